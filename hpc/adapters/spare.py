"""Room set aside while there is some: a small JSON file can be replaced as a whole on a disk that is full.

Two hidden files beside it hold the room. The text goes into one, over what it holds, which takes no new block; then it
gets the file's name. A file system that copies on every write (btrfs, ZFS) may refuse that, too.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpc.adapters.files import write_json, write_text

SPARE_BYTES = 16 << 10
SPARES = 2


def set_aside(path: Path) -> None:
    """Make the spare files of `path` that are missing, as far as there is room."""
    for spare in _spares(path):
        with contextlib.suppress(OSError):
            if _size(spare) < SPARE_BYTES:
                write_text(spare, " " * SPARE_BYTES)


def replace_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole; where it cannot be written, by one of its spare files.

    Raises:
        OSError: It cannot be written, and no spare file is left or takes the text. The old file is untouched.
    """
    try:
        write_json(path, value)
    except OSError:
        text = json.dumps(value, allow_nan=False).encode()
        if not any(_becomes(spare, path, text) for spare in _spares(path)):
            raise


def _spares(path: Path) -> Iterator[Path]:
    return (path.with_name(f".{path.name}.spare-{number}") for number in range(1, SPARES + 1))


def _size(path: Path) -> int:
    return path.lstat().st_size if path.exists() else 0


def _becomes(spare: Path, path: Path, text: bytes) -> bool:
    """Write the text over what a spare file holds, and let it take the place of `path`; whether that was possible."""
    with contextlib.suppress(OSError):
        descriptor = os.open(spare, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            if len(text) > size or os.pwrite(descriptor, text.ljust(size), 0) < size:
                return False
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(spare, path)
        return True
    return False
