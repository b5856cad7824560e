"""Small files of an attempt that is over, in one: ``packed.zip`` in its folder, an archive that any unzip reads.

A reader asks for a file by its own name, and gets it from there where it is gone (`hpc.adapters.files.open_regular`).
What lies in the folder by its own name counts, and not what the archive has of it: so packing may be cut short at any
moment, and unpacking by hand is no mistake. `hpc.adapters.packing` writes it.

Standard library only: the wrapper may read what was packed. The library for archives is loaded where there is one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from hpc.core.errors import InputError, Problem

if TYPE_CHECKING:
    import zipfile

PACKED = "packed.zip"

MOST_BYTES = 16 << 20
"""A larger file stays as it is: one that is packed is read as a whole."""
UNIX_TIME = 0x5455  # the extra field by which unzip sets a file's time, in Unix seconds


def open_packed(path: Path) -> BinaryIO | None:
    """Open a file that was packed, unnamed; None where the archive has none of that name, or there is no archive.

    Raises:
        InputError: The archive is damaged, or no file of ours.
        OSError: The file system has an error.
    """
    with contextlib.suppress(FileNotFoundError), opened(path.parent) as archive:
        found = next((each for each in archive.infolist() if each.filename == path.name), None)
        if found is None:
            return None
        return _unnamed(read_entry(archive, found, path.parent), time_of(found))
    return None


def _unnamed(data: bytes, when: float) -> BinaryIO:
    """A file without a name, as it was."""
    import tempfile

    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  the caller closes it
    try:
        file.write(data)
        file.flush()
        file.seek(0)
        os.utime(file.fileno(), (when, when))
    except BaseException:
        file.close()
        raise
    return file


def has_file(path: Path) -> bool:
    """Whether an attempt has a file, packed or not."""
    return path.exists() or path.name in packed_names(path.parent)


def names_in(folder: Path) -> list[str]:
    """Names of what an attempt's folder holds, packed files included.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: It is none.
    """
    names = os.listdir(folder)  # noqa: PTH208  names are enough
    return [*names, *(set(packed_names(folder)) - {*names})] if PACKED in names else names


def packed_names(folder: Path) -> list[str]:
    """Names of the files that were packed; none where there is no archive, or one that cannot be read."""
    if not (folder / PACKED).exists():
        return []
    with contextlib.suppress(InputError, OSError), opened(folder) as archive:
        return archive.namelist()
    return []


def time_of(entry: zipfile.ZipInfo) -> float:
    """When a packed file was changed last, Unix seconds; 0 where the archive does not say it."""
    import struct

    extra = entry.extra
    if len(extra) >= 9 and struct.unpack_from("<HHB", extra) == (UNIX_TIME, 5, 1):
        return float(struct.unpack_from("<l", extra, 5)[0])
    return 0.0


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive of an attempt.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is damaged, or no file of ours.
    """
    import zipfile

    path = folder / PACKED
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(folder, error.strerror or error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise damaged(folder, "it is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise damaged(folder, error) from None
        with archive:
            yield archive


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> bytes:
    """Read a packed file.

    Raises:
        InputError: It is damaged, or larger than any that we pack.
    """
    import zipfile
    import zlib

    if entry.file_size > MOST_BYTES:
        raise damaged(folder, f"{entry.filename} has {entry.file_size:,} bytes")
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise damaged(folder, error) from None


def damaged(folder: Path, why: object) -> InputError:
    """What is said of an archive that cannot be read."""
    path = folder / PACKED
    remedy = shlex.join(["mv", str(path), f"{path}.unusable"])
    told = Problem(f"is damaged: {why}", remedy=f"restore it from a copy, or move it away: {remedy}")
    return InputError((told,), str(path))
