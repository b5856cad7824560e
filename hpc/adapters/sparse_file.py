"""A file that HDF5 may write without ever seeing a disk, which other hands then fill.

On a full disk HDF5 answers a failed write with a segmentation fault. So it only *describes* a file, in memory; where
data sets are contiguous and allocated early, their room takes no memory, and we write what belongs there ourselves.
"""

import io
import os
from collections.abc import Iterator
from typing import Any


class SparseFile(io.RawIOBase):
    """What HDF5 writes when it creates a file, kept in memory; the room for data takes none."""

    _PAGE = 4096

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytearray] = {}
        self._size = 0
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        return self._size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), max(0, self._size - self._position))
        for start, page, low, high in self._pieces(length):
            view[start : start + high - low] = self._pages.get(page, bytes(self._PAGE))[low:high]
        self._position += length
        return length

    def write(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        for start, page, low, high in self._pieces(len(view)):
            self._pages.setdefault(page, bytearray(self._PAGE))[low:high] = view[start : start + high - low]
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def write_to(self, descriptor: int) -> None:
        """Write the pages there are to a real file and give it its full size."""
        os.ftruncate(descriptor, self._size)
        for page, content in self._pages.items():
            start = page * self._PAGE
            write_at(descriptor, bytes(content[: self._size - start]), start)

    def _pieces(self, length: int) -> Iterator[tuple[int, int, int, int]]:
        """Cut the next `length` bytes at page borders: start in the buffer, page, first and last byte in the page."""
        done = 0
        while done < length:
            page, low = divmod(self._position + done, self._PAGE)
            high = min(self._PAGE, low + length - done)
            yield done, page, low, high
            done += high - low


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of it at an offset.

    Raises:
        OSError: The disk is full.
    """
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
