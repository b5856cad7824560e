"""The files of an attempt's folder that say something of it, with what tells whether one of them has changed since.

Names come with their stamps from one listing: a network file system sends both together.
"""

import hashlib
import os
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
    """

    digest: bytes
    newest: int


def list_files(home: str) -> tuple[Listing, dict[str, Stamp]]:
    """Look at the folder of an attempt; folders in it are passed over.

    Returns:
        What was found, and name → stamp of ``task.json``, ``exit.json`` and ``scheduler.json``, those that are there.

    Raises:
        OSError: It cannot be looked at.
    """
    lines: list[str] = []
    records: dict[str, Stamp] = {}
    newest = 0
    with os.scandir(home) as entries:
        for entry in entries:
            name = entry.name
            is_evidence = name not in _NO_EVIDENCE and name[0] != "."
            if not (is_evidence or name in _RECORDS) or entry.is_dir():
                continue
            found = entry.stat()
            modified, changed = found.st_mtime_ns, found.st_ctime_ns
            if name in _RECORDS:
                records[name] = [found.st_ino, found.st_size, modified, changed]
            if is_evidence:
                newest = max(newest, modified, changed)
                lines.append(f"{name}\0{found.st_ino} {found.st_size} {modified} {changed}")
    lines.sort()
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).digest()
    return Listing(digest, newest), records


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
