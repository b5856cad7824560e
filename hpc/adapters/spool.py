"""Bytes that are put down now and read again soon: in memory while they are few, in a file without a name beyond."""

import os
import tempfile
import threading
from pathlib import Path
from typing import IO

MOST_IN_MEMORY = 4 << 20
_BLOCK = 1 << 20


class Spool:
    """A place to put bytes down. What is in it is gone with the process, however that ends.

    A thread may ask while another puts down.
    """

    def __init__(self, folder: Path, *, ahead: int = 0, must_fit: bool = True) -> None:
        """Make an empty one.

        Args:
            folder: Where there is room for what memory is not to hold.
            ahead: Bytes that are read at once where they are asked for in order.
            must_fit: Whether it is an error where there is no room; else memory holds it all the same.
        """
        self._folder, self._ahead, self._must_fit = folder, ahead, must_fit
        self._file: IO[bytes] | None = None
        self._is_full = False
        self._written = 0
        self._held = bytearray()
        self._block = (0, b"")
        self._lock = threading.RLock()

    def put(self, data: bytes) -> int:
        """Put bytes down; return the place by which they are got back.

        Raises:
            OSError: The disk is full.
        """
        with self._lock:
            place = self._written + len(self._held)
            self._held += data
            if len(self._held) >= (_BLOCK if self._file else MOST_IN_MEMORY) and not self._is_full:
                self._write_out()
            return place

    def get(self, place: int, size: int) -> bytes:
        """Return the bytes at a place."""
        with self._lock:
            if self._file is None or place >= self._written:
                with memoryview(self._held) as held:
                    return bytes(held[place - self._written : place - self._written + size])
            if place + size > self._written:
                head = self._written - place
                return self._read(self._file, place, head) + self.get(self._written, size - head)
            return self._read(self._file, place, size)

    def _read(self, file: IO[bytes], place: int, size: int) -> bytes:
        if not self._ahead:
            return os.pread(file.fileno(), size, place)
        begin, block = self._block
        if not begin <= place <= place + size <= begin + len(block):
            begin, block = place, os.pread(file.fileno(), max(size, self._ahead), place)
            self._block = begin, block
        return block[place - begin : place - begin + size]

    def close(self) -> None:
        """Let go of all that is in it."""
        self._held.clear()
        if self._file:
            self._file.close()

    def _write_out(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  lives as long as this
            while self._held:
                with memoryview(self._held) as held, held[:_BLOCK] as piece:
                    written = self._file.write(piece)
                self._written += written
                del self._held[:written]
        except OSError:
            if self._must_fit:
                raise
            self._is_full = True
