"""Logs of any size for people: their end, the lines that match, and what comes in; in bounded memory.

What of a log may be evidence is read by `hpc.adapters.logs`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hpc.adapters.files import open_regular
from hpc.core.immutable import immutable
from hpc.core.log_search import Search, find_lines

BLOCK = 1 << 16
"""Bytes that are read at a time; a line that is longer is looked at in parts of that size."""
OVERLAP = 1 << 12
"""Bytes of one part that are looked at again with the next."""
SHOWN = 2000
"""Bytes of a longer line that are shown, around what matched."""


@immutable
class FoundLine:
    """A line that matches.

    Attributes:
        line: Its number, from 1.
        text: It, or the part of it around the match.
    """

    line: int
    text: bytes


def search_log(path: Path, search: Search) -> Iterator[FoundLine]:
    """Find the lines of a log that match, in order; a log that does not exist has none.

    Raises:
        InputError: It is not a regular file, or not ours to read.
        OSError: The file system has an error.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    with file:
        number, last = 1, 0
        for piece, begin in _pieces(file):
            for hit in find_lines(piece, search, number, begin):
                if hit.line > last:  # of a long line, each part may match
                    yield FoundLine(hit.line, _around(piece[hit.start : hit.end], hit.at - hit.start))
                last = hit.line
            number += piece.count(b"\n")


def _pieces(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """A file in pieces of whole lines, and of a long line in parts; with each, where in it the new begins."""
    rest, begin = b"", 0
    while block := file.read(BLOCK):
        piece = rest + block
        cut = piece.rfind(b"\n") + 1 or (piece.rfind(b"\r") + 1 if len(piece) >= BLOCK else 0)
        if cut:
            yield piece[:cut], begin
            rest, begin = piece[cut:], 0
        elif len(piece) >= BLOCK:
            yield piece, begin
            rest, begin = piece[-OVERLAP:], 1
        else:
            rest = piece
    if rest:
        yield rest, begin


def _around(line: bytes, at: int) -> bytes:
    if len(line) <= SHOWN:
        return line
    start = max(0, min(at - SHOWN // 4, len(line) - SHOWN))
    return b"... " * bool(start) + line[start : start + SHOWN] + b" ..." * (start + SHOWN < len(line))


def size_of(path: Path) -> int:
    """How many bytes a log has, packed or not; 0 where there is none.

    Raises:
        InputError: It is not a regular file, or not ours to read.
        OSError: The file system has an error.
    """
    try:
        with open_regular(path) as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0


def start_of_tail(path: Path, lines: int) -> int:
    """Byte at which the last so many lines of a log begin; 0 where it has no more, or there is none.

    Raises:
        InputError: It is not a regular file, or not ours to read.
        OSError: The file system has an error.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return 0
    with file:
        end = os.fstat(file.fileno()).st_size
        if not lines:
            return end
        file.seek(max(0, end - 1))
        lines += file.read(1) == b"\n"  # the end of the last line is none of another
        while end:
            start = max(0, end - BLOCK)
            file.seek(start)
            block = file.read(end - start)
            ends = block.count(b"\n")
            if ends >= lines:
                at = len(block)
                for _ in range(lines):
                    at = block.rfind(b"\n", 0, at)
                return start + at + 1
            lines, end = lines - ends, start
    return 0


class LogReader:
    """Reads on in a log that grows, is cut, replaced or removed meanwhile.

    Attributes:
        path: The log.
        offset: Byte at which it reads on.
        said: What happened to it since the last look; empty for nothing.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        """Begin at a byte; what stands before it is not read."""
        self.path, self.said = path, ""
        self._file: BinaryIO | None = None
        self.offset = start
        self._inode = 0

    def read(self) -> bytes:
        """What has come in, at most `BLOCK` bytes; empty where there is nothing new, or no such file now.

        Raises:
            InputError: It is not a regular file, or not ours to read.
            OSError: The file system has an error.
        """
        self.said = ""
        try:
            found = self.path.stat()
        except OSError:  # removed, and what was open is read to its end; or packed
            if self._file is None:
                self._open_again(0)
            return self._read()
        if self._file is None or found.st_ino != self._inode:
            if rest := self._read():  # what the old one still has comes first
                return rest
            self._open_again(found.st_ino)
        elif found.st_size < self.offset:
            self.said, self.offset = "was cut short; from its beginning", 0
        return self._read()

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open_again(self, inode: int) -> None:
        is_other = self._file is not None
        self.close()
        try:
            self._file = open_regular(self.path)
        except FileNotFoundError:
            return
        if is_other:
            self.said, self.offset = "was replaced; from its beginning", 0
        self._inode = inode

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        try:
            self._file.seek(self.offset)
            data = self._file.read(BLOCK)
        except OSError:  # a stale handle: its folder was removed on another machine
            self.close()
            return b""
        self.offset += len(data)
        return data
