"""The files of an attempt's folder that say something of it, with what tells whether one of them has changed since.

Names come with their stamps from one listing: a network file system sends both together. Where the disk is this
machine's own, files that are known by name are asked for without it, which takes half as long; the stamp of the folder
tells whether a name has come or gone.
"""

import hashlib
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

_NO_EVIDENCE = frozenset({"claim", "outcome.json", "scheduler.json", "work"})
"""What says nothing that another file or Slurm's row does not say."""
_RECORDS = frozenset({"task.json", "exit.json", "scheduler.json"})

Stamp = list[int] | None
"""Inode, size, times of the last change of content and of anything; None: there is none; empty: nobody can tell."""


class Listing(NamedTuple):
    """What one look at an attempt's folder found.

    Attributes:
        digest: Of the names and stamps of all files that are evidence.
        newest: When the last of them changed, Unix time in nanoseconds.
        look: As `look_again`; empty where the folder itself has no stamp that could be kept.
        names: What `look_again` is to ask for.
        touched: When the folder itself changed, as `newest`.
    """

    digest: bytes
    newest: int
    look: bytes = b""
    names: tuple[str, ...] = ()
    touched: int = 0

    @property
    def in_short(self) -> "Listing":
        """What names the evidence: a third of the memory, where ten thousand wait to be judged."""
        return Listing(self.digest, self.newest)


def list_files(home: str) -> tuple[Listing, dict[str, Stamp]]:
    """Look at the folder of an attempt; folders in it are passed over.

    Returns:
        What was found, and name → stamp of ``task.json``, ``exit.json`` and ``scheduler.json``, those that are there.

    Raises:
        OSError: It cannot be looked at.
    """
    lines: list[str] = []
    records: dict[str, Stamp] = {}
    stamps: list[tuple[str, int, int, int, int]] = []
    newest = 0
    folder = os.stat(home)  # noqa: PTH116  first: what comes into it from here on changes this stamp
    with os.scandir(home) as entries:
        for entry in entries:
            name = entry.name
            is_evidence = name not in _NO_EVIDENCE and name[0] != "."
            if not (is_evidence or name in _RECORDS) or entry.is_dir():
                continue
            found = entry.stat()
            modified, changed = found.st_mtime_ns, found.st_ctime_ns
            stamps.append((name, found.st_ino, found.st_size, modified, changed))
            if name in _RECORDS:
                records[name] = [found.st_ino, found.st_size, modified, changed]
            if is_evidence:
                newest = max(newest, modified, changed)
                lines.append(f"{name}\0{found.st_ino} {found.st_size} {modified} {changed}")
    lines.sort()
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).digest()
    stamps.sort()
    numbers = [folder.st_ino, folder.st_mtime_ns, folder.st_ctime_ns]
    for _, *stamp in stamps:
        numbers += stamp
    names = tuple(name for name, *_ in stamps)
    return Listing(digest, newest, pack(numbers), names, max(folder.st_mtime_ns, folder.st_ctime_ns)), records


def look_again(home: str, names: Sequence[str], *, lists: bool) -> bytes:
    """The stamps of an attempt's folder and of files in it; empty where one of them is not there, or cannot be told.

    Args:
        names: The files, sorted.
        lists: Whether to list the folder rather than to ask for file by file.
    """
    try:
        folder = os.stat(home)  # noqa: PTH116  a hundred thousand at a time, as all here
        numbers = [folder.st_ino, folder.st_mtime_ns, folder.st_ctime_ns]
        if lists:
            with os.scandir(home) as entries:
                there = {entry.name: entry for entry in entries}
            found = [there[name].stat() for name in names]
        else:
            found = [os.stat(f"{home}/{name}") for name in names]  # noqa: PTH116
    except (OSError, KeyError):
        return b""
    for each in found:
        numbers += (each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns)
    return pack(numbers)


def pack(numbers: Sequence[int]) -> bytes:
    """Numbers of a stamp as bytes; none where one is negative, as times before 1970 are."""
    try:
        return struct.pack(f"{len(numbers)}Q", *numbers)
    except struct.error:
        return b""


def list_below(folder: str) -> tuple[list[str], int]:
    """All files and folders below a folder, with their stamps; and when the last of them changed, in nanoseconds.

    Raises:
        OSError: One of them cannot be asked for.
    """
    lines: list[str] = []
    newest = 0
    for parent, _, names in os.walk(folder):
        for path in (parent, *(f"{parent}/{name}" for name in names)):
            stamp = stamp_on(path)
            newest = max(newest, *stamp[2:])
            lines.append(f"{path}\0{stamp}")
    return sorted(lines), newest


def stamp_of(path: str) -> Stamp:
    """What tells whether a file or folder has changed since."""
    try:
        return stamp_on(path)
    except FileNotFoundError:
        return None
    except OSError:
        return []


def stamp_on(file: str | int) -> list[int]:
    """The stamp of what is there for sure: a path or an open file.

    Raises:
        OSError: It cannot be asked for.
    """
    found = os.stat(file)  # noqa: PTH116  ten thousand at a time
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def is_settled(stamp: Stamp, before: float) -> bool:
    """Whether a file is there and has not changed since a Unix time."""
    return max(stamp[2:]) / 1e9 <= before if stamp else False
