"""Measuring and removing what lies in a run folder; no link is followed, and nothing half removed keeps its name."""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from hpc.core.immutable import immutable

REMOVED = ".removed-"
"""What is being removed is first called so: a death in between leaves no checkpoint that looks whole."""


@immutable
class Size:
    """What something takes.

    Attributes:
        bytes: On disk; a file that has another name elsewhere takes none.
        files: Inodes: files, folders and links.
    """

    bytes: int = 0
    files: int = 0

    def __add__(self, other: "Size") -> "Size":
        """Both together."""
        return Size(self.bytes + other.bytes, self.files + other.files)


def measure(path: Path) -> Size:
    """What a file, link or folder takes with all that is in it; nothing where it is gone or may not be looked at."""
    size = Size()
    for found in _stats(path):
        only_name = stat.S_ISDIR(found.st_mode) or found.st_nlink == 1
        size += Size(found.st_blocks * 512 if only_name else 0, 1)
    return size


def _stats(path: Path) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError):
        found = path.lstat()
        yield found
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(path) as entries:
                for entry in entries:
                    yield from _stats(Path(entry.path))


def newest_change(path: Path) -> float:
    """Unix time at which something was written last in a file or folder; 0 where it is gone."""
    return max((found.st_mtime for found in _stats(path)), default=0.0)


def why_not_ours(root: Path, path: Path) -> str:
    """Why a place below a root is not to be touched: a link on the way leads elsewhere, or it is another user's.

    The place itself may be a link: then only the link is removed.
    """
    if not path.is_relative_to(root) or ".." in path.parts:
        return "it lies elsewhere"
    place = root
    for part in path.relative_to(root).parts[:-1]:
        place /= part
        if place.is_symlink():
            return f"{place} is a link"
    try:
        owner = path.lstat().st_uid
    except OSError as error:
        return error.strerror or str(error)
    return "" if owner == os.geteuid() else "it belongs to somebody else"


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, also one that is closed; links are not followed.

    Raises:
        OSError: Something of it could not be removed; what is left begins with `REMOVED`.
    """
    parent = path.parent
    is_closed = not parent.stat().st_mode & stat.S_IWUSR
    if is_closed:
        parent.chmod(parent.stat().st_mode | stat.S_IWUSR)
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        gone = path if path.name.startswith(REMOVED) else parent / f"{REMOVED}{os.urandom(6).hex()}"
        if gone != path:
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IRWXU)  # a closed folder cannot be renamed on every file system
            path.rename(gone)
        for folder, _, _ in os.walk(gone):
            if Path(folder).stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
                Path(folder).chmod(0o700)
        shutil.rmtree(gone)
    finally:
        if is_closed:
            parent.chmod(parent.stat().st_mode & ~stat.S_IWUSR)
