"""Packing the small files of an attempt that is over; nothing can be lost. `hpc.adapters.packed` reads them."""

import os
import re
import stat
import struct
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hpc.adapters.files import mode_in, open_regular, sync_folder, temporary_name
from hpc.adapters.packed import MOST_BYTES, PACKED, UNIX_TIME, opened, read_entry, time_of

_SMALL = re.compile(
    r"(?:stdout|stderr)(?:\.(?:node|rank)\d+)?\.log|system(?:\.node\d+)?\.jsonl|preflight(?:\.node\d+)?\.log"
    r"|(?:outcome|scheduler|summary|watch|check|adjustments)\.json|(?:check|sanity)\.log|stacks\.txt"
)
"""The files that we make, in every attempt or in some; what a program left is its user's, and stays where it is.
Records that say where an attempt stands (``task.json``, ``exit.json``) and its metrics stay, too."""
_LOCK = ".metrics.h5.lock"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip knows no time before


def pack(folder: Path, others: Mapping[str, Path] | None = None) -> int:
    """Pack the small files of an attempt that is over, and nobody else packs meanwhile; what was packed stays so.

    The archive is written, synced, read back and compared before it gets its name, and its name is synced before the
    first file goes. A file that changed meanwhile stays.

    Args:
        others: Name in the archive → a file that lies elsewhere and belongs to this attempt alone. One whose name the
            archive has with another content stays where it is.

    Returns:
        How many files and folders there are less; 0 where packing would not save any.

    Raises:
        InputError: The archive that is there is damaged; nothing was changed.
        OSError: The disk is full, or the folder not ours to write; every file is where it was, or packed.
    """
    for left in folder.glob(f".{PACKED}.*.tmp"):
        left.unlink()
    is_there = (folder / PACKED).exists()
    files = _read_all(folder) if is_there else {}
    paths = {name: folder / name for name in _small_in(folder)}
    paths |= {name: path for name, path in (others or {}).items() if name not in files or _is(path, files[name][0])}
    loose = {name: found for name, path in paths.items() if (found := _may_be_packed(path))}
    if len(loose) < (1 if is_there else 2):
        return 0
    files |= {name: (_read_file(paths[name]), found.st_mtime) for name, found in loose.items()}
    _write(folder, files)
    gone = 0
    for name, found in loose.items():
        if _stamp(_may_be_packed(paths[name])) == _stamp(found):
            paths[name].unlink()
            gone += 1
    gone += _drop_lock(folder / _LOCK)
    sync_folder(folder)
    return gone - (not is_there)


def _drop_lock(path: Path) -> bool:
    """Remove the lock of a writer that is over, which holds nothing; whether there was one."""
    found = _may_be_packed(path)
    if found is None or found.st_size:
        return False
    path.unlink()
    return True


def is_loose(folder: Path) -> bool:
    """Whether an attempt has files that are worth packing, by their names; a cheap look."""
    return len(_small_in(folder)) >= (1 if (folder / PACKED).exists() else 2)


def _small_in(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if _SMALL.fullmatch(name)]  # noqa: PTH208  names are enough


def _may_be_packed(path: Path) -> os.stat_result | None:
    """A file that may be packed, as it is now; None for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    is_plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
    return found if is_plain and found.st_size <= MOST_BYTES else None


def _stamp(found: os.stat_result | None) -> tuple[int, ...]:
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) if found else ()


def _is(path: Path, content: bytes) -> bool:
    """Whether a file holds just that; also where there is none."""
    return _may_be_packed(path) is None or _read_file(path) == content


def _read_file(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def _read_all(folder: Path) -> dict[str, tuple[bytes, float]]:
    """Name → content and time of all that is packed.

    Raises:
        InputError: The archive is damaged.
    """
    with opened(folder) as archive:
        return {each.filename: (read_entry(archive, each, folder), time_of(each)) for each in archive.infolist()}


def _write(folder: Path, files: dict[str, tuple[bytes, float]]) -> None:
    """Write the archive, and believe nothing but what can be read of it."""
    path = folder / PACKED
    temporary = temporary_name(path)
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode_in(folder))
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, (data, when) in sorted(files.items()):
                    archive.writestr(_entry(name, when), data)
            file.flush()
            os.fsync(descriptor)
            with zipfile.ZipFile(file) as written:
                if {each: written.read(each) for each in written.namelist()} != {
                    name: data for name, (data, _) in files.items()
                }:
                    raise OSError(f"{temporary} does not read as it was written")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def _entry(name: str, when: float) -> zipfile.ZipInfo:
    seconds = min(max(int(when), 0), 2**31 - 1)
    entry = zipfile.ZipInfo(name, max(time.gmtime(seconds)[:6], _EPOCH))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o600) << 16
    entry.extra = struct.pack("<HHBl", UNIX_TIME, 5, 1, seconds)
    return entry
