"""Ledgers of JSON lines: added to by anybody, all lines or none, whatever another host is at. Standard library only."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from hpc.adapters.files import MOST_JSON_BYTES, make_folder, mode_in, open_regular, set_mode_of
from hpc.adapters.locks import NO_FLOCK, excludes_all, lock, network_mount, wait_for_flock
from hpc.core.errors import TemporaryError

APPEND_S = 60.0
"""How long to wait for whoever adds to the same ledger; each takes milliseconds."""
READ_S = 1.0
"""How long a reader waits for them before it reads what there is."""


def append_json_line(path: Path, value: Any) -> None:
    """Add one object to a ledger of JSON lines, as `append_json_lines`."""
    append_json_lines(path, [value])


def append_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Add objects to a ledger of JSON lines, all or none, whoever else adds to it, here or on another host.

    On NFS a host knows the end of a file only as it was when it last asked, and two that append overwrite each other:
    so the ledger itself is locked meanwhile. A line that somebody died over is ended first, so that it spoils only
    itself.

    Raises:
        TemporaryError: Somebody else was at it for `APPEND_S` seconds.
        OSError: It cannot be written.
    """
    make_folder(path.parent)
    lines = "".join(json.dumps(value, ensure_ascii=True, allow_nan=False) + "\n" for value in values)
    with contextlib.ExitStack() as stack:
        if not excludes_all(path.parent) or not _append(path, lines, is_locked=False):
            stack.enter_context(lock(path.with_name(f".{path.name}.lock"), APPEND_S))
            _append(path, lines, is_locked=True)


def _append(path: Path, lines: str, *, is_locked: bool) -> bool:
    """Add lines to the end of a file that nobody else adds to meanwhile; False where it cannot be locked."""
    # Opened under the lock, where there is another than its own: opening asks the server how long it is.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if not is_locked:
            try:
                wait_for_flock(descriptor, path, APPEND_S)
            except OSError as error:
                if error.errno not in NO_FLOCK:
                    raise
                return False
        _write_lines(descriptor, path, lines)
        return True
    finally:
        os.close(descriptor)  # which frees it


def _write_lines(descriptor: int, path: Path, lines: str) -> None:
    size = os.fstat(descriptor).st_size
    if not size:
        set_mode_of(descriptor, mode_in(path.parent))
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    try:
        left = memoryview((("\n" if torn else "") + lines).encode())
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)  # on NFS a quota is told here, and nowhere else
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def read_json_lines(path: Path, last_bytes: int | None = None) -> list[Any]:
    """Read a ledger of JSON lines, oldest first; lines that somebody died over are left out.

    Args:
        last_bytes: Read only what stands in so many bytes at the end.

    Raises:
        InputError: As `open_regular`.
        OSError: The file system has an error.
    """
    try:
        with open_regular(path) as file:
            _see_all(file, path)
            size = os.fstat(file.fileno()).st_size
            most = min(size, MOST_JSON_BYTES if last_bytes is None else last_bytes)
            file.seek(size - most)
            lines = file.read(most).splitlines()  # the first may be cut in two, and is then none
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.loads(line.decode()))  # as bytes, NULs of a hole would be taken for UTF-32
    return found


def _see_all(file: BinaryIO, path: Path) -> None:
    """Make what other hosts added to a ledger visible here.

    An NFS client knows a change by the file's size and time. Two that add lines in the same tick of the server's clock
    leave it with a page of its own that lacks the other's line; taking a lock drops such pages.
    """
    if network_mount(os.fstat(file.fileno()).st_dev, str(path.parent)) is None:
        return
    with contextlib.suppress(TemporaryError, OSError):  # a reader never waits long, and reads what there is
        wait_for_flock(file.fileno(), path, READ_S, fcntl.LOCK_SH)
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
