"""Lines that begin with their key, put down in a spool: of a hundred thousand, memory holds where each one lies.

Who asks for them in the order in which they were put down, as nearly everybody does, finds each at once; who does not,
by a sorted list of numbers that the keys come to. A thread may ask while another does.
"""

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

from hpc.adapters.spool import Spool

_PLACE_BITS = 28
_HASH = (1 << 64 - _PLACE_BITS) - 1
_BETWEEN = b"\t"


class KeyedLines:
    """Lines of a spool, each with its key before the first tab."""

    def __init__(self, spool: Spool) -> None:
        """Begin with none; several may share a spool."""
        self._spool = spool
        self._lock = threading.Lock()
        self._places, self._sizes = array("q"), array("i")
        self._sorted: array[int] | None = None
        self._next = 0

    def put(self, line: bytes) -> int:
        """Put a line down; return its number."""
        with self._lock:
            place = self._spool.put(line)
            return self._add(place, len(line))

    def keep(self, other: "KeyedLines", number: int) -> int:
        """Take in a line of others in the same spool as it lies there; return its number."""
        if other._spool is not self._spool:  # noqa: SLF001  one of this class
            return self.put(other.line(number))
        with self._lock:
            return self._add(other._places[number], other._sizes[number])  # noqa: SLF001

    def _add(self, place: int, size: int) -> int:
        self._places.append(place)
        self._sizes.append(size)
        self._sorted = None
        return len(self._places) - 1

    def drop_last(self) -> None:
        """Leave the newest line out."""
        with self._lock:
            del self._places[-1], self._sizes[-1]
            self._sorted = None

    def line(self, number: int) -> bytes:
        """The line of a number."""
        with self._lock:
            return self._line(number)

    def _line(self, number: int) -> bytes:
        return self._spool.get(self._places[number], self._sizes[number])

    def find(self, key: bytes) -> tuple[int, bytes] | None:
        """Number and line of a key; None where there is none."""
        begin = key + _BETWEEN
        with self._lock:
            if self._next < len(self._places) and (line := self._line(self._next)).startswith(begin):
                self._next += 1
                return self._next - 1, line
            wanted = hash(key) & _HASH
            numbers = self._index()
            for at in range(bisect_left(numbers, wanted << _PLACE_BITS), len(numbers)):
                if numbers[at] >> _PLACE_BITS != wanted:
                    break
                number = numbers[at] & (1 << _PLACE_BITS) - 1
                if (line := self._line(number)).startswith(begin):
                    self._next = number + 1
                    return number, line
        return None

    def _index(self) -> "array[int]":
        if self._sorted is None:
            keys = (hash(self._line(number).partition(_BETWEEN)[0]) & _HASH for number in range(len(self._places)))
            self._sorted = array("Q", sorted(key << _PLACE_BITS | number for number, key in enumerate(keys)))
        return self._sorted

    def _key(self, entry: int) -> bytes:
        """The key of a line, by what the index has of it."""
        return self._line(entry & (1 << _PLACE_BITS) - 1).partition(_BETWEEN)[0]

    def get(self, key: bytes) -> bytes | None:
        """The line of a key; None where there is none."""
        found = self.find(key)
        return found[1] if found else None

    @property
    def is_unique(self) -> bool:
        """Whether no key is there twice."""
        with self._lock:
            pairs = (each for each in pairwise(self._index()) if each[0] >> _PLACE_BITS == each[1] >> _PLACE_BITS)
            alike = {entry for pair in pairs for entry in pair}
            return len({self._key(entry) for entry in alike}) == len(alike)

    def __contains__(self, key: bytes) -> bool:
        """Whether there is such a line."""
        return self.find(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        """The lines in order."""
        return map(self.line, range(len(self)))

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self._places)
