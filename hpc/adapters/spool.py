"""Bytes that are put down now and read again soon: in memory while they are few, in a file without a name beyond."""

import os
import tempfile
from pathlib import Path
from typing import IO

MOST_IN_MEMORY = 16 << 20
_BLOCK = 1 << 20


class Spool:
    """A place to put bytes down. What is in it is gone with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Make an empty one.

        Args:
            folder: Where there is room for what memory is not to hold.
        """
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._written = 0
        self._held = bytearray()

    def put(self, data: bytes) -> int:
        """Put bytes down; return the place by which they are got back.

        Raises:
            OSError: The disk is full.
        """
        place = self._written + len(self._held)
        self._held += data
        if len(self._held) >= (_BLOCK if self._file else MOST_IN_MEMORY):
            self._write_out()
        return place

    def get(self, place: int, size: int) -> bytes:
        """Return the bytes at a place."""
        if place + size > self._written > place and self._file:
            self._write_out()
        if self._file is None or place >= self._written:
            return bytes(self._held[place - self._written : place - self._written + size])
        return os.pread(self._file.fileno(), size, place)

    def close(self) -> None:
        """Let go of all that is in it."""
        self._held.clear()
        if self._file:
            self._file.close()

    def _write_out(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  lives as long as this
        view = memoryview(bytes(self._held))
        while view:
            view = view[self._file.write(view) :]
        self._written += len(self._held)
        self._held.clear()
