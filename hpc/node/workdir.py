"""The folder an attempt works in: a copy of the code that it may write to, so that it runs as it would by hand.

No two attempts share one: what a program writes beside itself (``model.pt``, ``outputs/``) is its own, and stays in the
attempt. What it left untouched is taken away again at the end. Standard library only.
"""

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from hpc.adapters.code_snapshot import LinkTo, changed, digest_of, file_line, link_line, walk
from hpc.adapters.files import Lasting, for_group, group_reads, make_folder, write_text
from hpc.core.records.index import Code

LINKED_FROM = 1 << 26
"""Bytes. Larger files of the code are linked, not copied: they are read, and a program that writes them is refused. A
checkpoint that somebody committed is smaller, and a program may save over it."""


def lay_out(code: Code, work: Path, inputs: Mapping[str, str]) -> None:
    """Make a working folder: a verified copy of the code, and links to what it reads besides.

    Args:
        inputs: Path in the working folder → absolute path; see `link_input`.

    Raises:
        InputError: The code is not what was planned.
        OSError: The code is gone, or the disk is full.
    """
    found = sorted(walk(Path(code.path)))
    make_folder(work)
    for folder in {os.path.dirname(name) for name, _ in found}:  # noqa: PTH120  thousands of names
        make_folder(work / folder)
    shared = group_reads(work)
    if digest_of(_put(name, entry, work / name, shared=shared) for name, entry in found) != code.sha256:
        raise changed(Path(code.path))
    for name, path in inputs.items():
        link_input(Path(path), work / name)


def write_files(work: Path, files: Mapping[str, str]) -> None:
    """Write the attempt's own files, in the place of what the code has there.

    Args:
        files: Path in the working folder → text.

    Raises:
        OSError: The disk is full.
    """
    for name, text in files.items():
        # Where that is a link to the copy of the code, in the place of the link. It ends with the machine, as we do.
        write_text(work / name, text, lasting=Lasting.NOTHING)


def _put(name: str, entry: Path | LinkTo, target: Path, *, shared: bool) -> str:
    """Put one file or link in its place; return its line of the digest.

    Args:
        shared: Whether the group may read it.
    """
    if isinstance(entry, LinkTo):
        target.symlink_to(entry.target)
        return link_line(name, entry.target)
    with entry.open("rb") as source:
        found, content = os.fstat(source.fileno()), source.read()
    starts = bool(found.st_mode & 0o111)
    if len(content) >= LINKED_FROM:
        target.symlink_to(entry)
    else:
        mode = 0o700 if starts else 0o600
        mode = for_group(mode) if shared else mode
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))  # by that it is known, later, to be untouched
    return file_line(name, starts, content)


def link_input(source: Path, target: Path) -> None:
    """Link a file or folder; where the code has a folder of that name, link what that one lacks."""
    if target.is_dir() and not target.is_symlink():
        for each in source.iterdir() if source.is_dir() else ():
            link_input(each, target / each.name)
    elif not target.is_symlink() and not target.exists():
        make_folder(target.parent)
        target.symlink_to(source)


def tidy(code: Code, work: Path, inputs: Mapping[str, str]) -> None:
    """Take away what the program left as it was, and folders that are then empty; all that it wrote or changed stays.

    Nothing is raised: what cannot be taken away stays.
    """
    with contextlib.suppress(OSError):
        for name, entry in walk(Path(code.path)):
            _remove_untouched(entry, work / name)
        _remove_bytecode(work)
        for path in inputs.values():
            _unlink_links_into(Path(path), work)
        _remove_empty(work)


def _remove_untouched(entry: Path | LinkTo, target: Path) -> None:
    with contextlib.suppress(OSError):
        has = target.lstat()
        if stat.S_ISLNK(has.st_mode):
            is_ours = str(target.readlink()) == (entry.target if isinstance(entry, LinkTo) else str(entry))
        else:
            had = entry.stat() if isinstance(entry, Path) else None
            is_ours = had is not None and (had.st_size, had.st_mtime_ns) == (has.st_size, has.st_mtime_ns)
        if is_ours:
            target.unlink()


def _remove_bytecode(work: Path) -> None:
    """Remove what Python compiled: it can always do so again, and it is no result."""
    for parent, _, names in os.walk(work):
        if os.path.basename(parent) == "__pycache__":  # noqa: PTH119  thousands of names
            for name in names:
                if name.endswith(".pyc"):
                    with contextlib.suppress(OSError):
                        Path(parent, name).unlink()


def _unlink_links_into(source: Path, work: Path) -> None:
    for parent, folders, names in os.walk(work):
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink() and path.readlink().is_relative_to(source):
                path.unlink()


def _remove_empty(work: Path) -> None:
    for parent, _, _ in os.walk(work, topdown=False):
        with contextlib.suppress(OSError):  # not empty
            Path(parent).rmdir()
