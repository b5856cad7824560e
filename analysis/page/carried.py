"""What a report takes with it: every run as a CSV inside the page, and all its files as one archive."""

import base64
import gzip
import io
import zipfile
from collections.abc import Mapping

from analysis.page.document import Download
from analysis.words import plain

PLAIN = 100_000
"""Bytes up to which a CSV is carried as it is; a larger one is compressed."""
MOST = 150_000
"""Bytes of a compressed CSV beyond which the page says where it lies, and stays light."""
_OLDEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time an archive can name: the same files give the same bytes."""


def carry_csv(experiment: str, text: str) -> Download:
    """Put a CSV of every run into the page, compressed where it is large."""
    data = text.encode("utf-8")
    kind, ending = "text/csv;charset=utf-8", "csv"
    if len(data) > PLAIN:
        data, kind, ending = gzip.compress(data, mtime=0), "application/gzip", "csv.gz"
    is_carried = len(data) <= MOST
    size = f"{max(1, round(len(data) / 1000))} kB" + (", compressed" if ending == "csv.gz" else "")
    return Download(
        name="runs.csv",
        saved=plain(f"{experiment}-runs.{ending}"),
        words=f"Every run as CSV ({size})",
        data=f"data:{kind};base64,{base64.b64encode(data).decode()}" if is_carried else "",
    )


def pack(folder: str, files: Mapping[str, bytes]) -> bytes:
    """Pack files into a ZIP archive below one folder, for their owner alone; the same files give the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{folder}/{name}", _OLDEST)
            entry.external_attr = 0o100600 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return file.getvalue()
