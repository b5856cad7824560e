"""The curves of all attempts as columns, put down one attempt after the other and written out in order.

Ten thousand runs fill no memory: what was read now lies in a spool, and what an earlier `results.h5` holds is copied
from there, byte for byte. Metrics that are logged together have the same steps and times: these are put down once.
"""

import contextlib
import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.adapters.metrics_read import Series
from hpc.adapters.sparse_file import write_at
from hpc.adapters.spool import Spool
from hpc.core.errors import InputError

Column = NDArray[np.int64] | NDArray[np.float64]
COLUMNS = ("task", "attempt", "step", "value", "time")
_BLOCK_ROWS = 1 << 17
"""Rows that are held at once: a megabyte a column."""
_PIECE = 64 << 20
ROW_BYTES = 8
"""Of one column."""
_SPOOLED, _EARLIER = 0, 1
_NO_COPY = (OSError, AttributeError)


class Packed(NamedTuple):
    """A curve as it is put down; those of one attempt share the bytes of steps and times that are alike.

    Attributes:
        rows: How many it has.
        step, value, time: Its columns.
    """

    rows: int
    step: bytes
    value: bytes
    time: bytes


def pack(series: Mapping[str, Series]) -> dict[str, Packed]:
    """Pack the curves of an attempt: metric → curve."""
    known: dict[bytes, bytes] = {}

    def shared(column: NDArray[Any], kind: type) -> bytes:
        data = np.ascontiguousarray(column, kind).tobytes()
        return known.setdefault(data, data)

    return {
        name: Packed(
            len(curve.step),
            shared(curve.step, np.int64),
            np.ascontiguousarray(curve.value, np.float64).tobytes(),
            shared(curve.time, np.float64),
        )
        for name, curve in series.items()
    }


@dataclass
class _Runs:
    """Where the rows of one metric lie: one entry an attempt, as they come."""

    task: "array[int]" = field(default_factory=lambda: array("q"))
    attempt: "array[int]" = field(default_factory=lambda: array("q"))
    length: "array[int]" = field(default_factory=lambda: array("q"))
    source: "array[int]" = field(default_factory=lambda: array("b"))
    step: "array[int]" = field(default_factory=lambda: array("q"))
    value: "array[int]" = field(default_factory=lambda: array("q"))
    time: "array[int]" = field(default_factory=lambda: array("q"))

    def as_arrays(self, known: dict[bytes, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The entries, by task and attempt.

        Args:
            known: Digest → what other metrics have; the same is not held twice. Takes in these.
        """
        order = np.lexsort((self.attempt, self.task))
        return {name: _held_once(np.array(getattr(self, name))[order], known) for name in _PLACES}


def _held_once(values: NDArray[Any], known: dict[bytes, NDArray[Any]]) -> NDArray[Any]:
    return known.setdefault(hashlib.sha256(values.tobytes()).digest(), values)


_PLACES = tuple(_Runs.__dataclass_fields__)


@dataclass(frozen=True)
class Curve:
    """One metric of all attempts.

    Attributes:
        rows: How many there are.
    """

    rows: int
    _entries: Mapping[str, NDArray[Any]]
    _of: "Curves"

    def digest(self, column: str) -> bytes:
        """Names what is in one of `COLUMNS`: metrics for which it is the same have that column in common."""
        told = [column.encode(), *(self._entries[name].tobytes() for name in ("task", "attempt", "length"))]
        if column in COLUMNS[2:]:
            told += [self._entries[name].tobytes() for name in ("source", column)]
        return hashlib.sha256(b"".join(told)).digest()

    def write(self, descriptor: int, column: str, place: int) -> None:
        """Write one of `COLUMNS` into a file.

        Args:
            descriptor: The file.
            place: Where the column begins in it.

        Raises:
            OSError: The disk is full.
        """
        entries = self._entries
        if column in COLUMNS[:2]:
            _write_repeated(descriptor, place, entries[column], entries["length"])
            return
        for first, last in _blocks(entries, column):
            part = {name: each[first:last] for name, each in entries.items()}
            place += self._of.copy(part, column, descriptor, place)


class Curves:
    """The curves of all attempts of an experiment."""

    def __init__(self, folder: Path) -> None:
        """Begin with none.

        Args:
            folder: Where there is room for what memory is not to hold.
        """
        self._spool = Spool(folder)
        self._runs: dict[str, _Runs] = {}
        self._first: dict[str, tuple[int, int, int]] = {}
        self._earlier: Earlier | None = None
        self._arrays: dict[bytes, NDArray[Any]] = {}

    def add(self, task: int, attempt: int, series: Mapping[str, Series]) -> None:
        """Put the curves of an attempt down.

        Args:
            task: Its row in ``tasks/``.
            attempt: Its number.
            series: Metric → curve.

        Raises:
            OSError: The disk is full.
        """
        self.put(task, attempt, pack(series))

    def put(self, task: int, attempt: int, packed: Mapping[str, Packed]) -> None:
        """Put the curves of an attempt down, as `add`, in any order of attempts."""
        places: dict[int, int] = {}
        for number, (name, (length, *columns)) in enumerate(packed.items()):
            for data in columns:
                if id(data) not in places:
                    places[id(data)] = self._spool.put(data)
            runs = self._of(name, (task, attempt, number))
            told = (task, attempt, length, _SPOOLED, *(places[id(data)] for data in columns))
            for column, value in zip(_PLACES, told, strict=True):
                getattr(runs, column).append(value)

    def _of(self, name: str, seen: tuple[int, int, int]) -> _Runs:
        """The rows of a metric.

        Args:
            seen: Task and attempt that have it, and at which place.
        """
        self._first[name] = min(seen, self._first.get(name, seen))
        return self._runs.setdefault(name, _Runs())

    def take_over(self, earlier: "Earlier", tasks: Sequence[int]) -> None:
        """Take the curves of some tasks as an earlier file has them; one file at most.

        Args:
            tasks: Their rows in its ``tasks/``.
        """
        self._earlier = earlier
        for number, (name, found) in enumerate(earlier.curves.items()):
            chosen = np.isin(found["task"], tasks)
            if chosen.any():
                first = chosen.argmax()  # they lie by task and attempt
                runs = self._of(name, (int(found["task"][first]), int(found["attempt"][first]), number))
                for column in ("task", "attempt", "length", "step", "value", "time"):
                    getattr(runs, column).frombytes(found[column][chosen].astype(np.int64).tobytes())
                runs.source.frombytes(bytes([_EARLIER]) * int(chosen.sum()))

    def close(self) -> None:
        """Let go of what was put down."""
        self._spool.close()

    @property
    def names(self) -> list[str]:
        """The metrics, by the first attempt that has them."""
        return sorted(self._first, key=lambda name: self._first[name])

    def curve(self, name: str) -> Curve:
        """One metric of all attempts."""
        entries = self._runs[name].as_arrays(self._arrays)
        return Curve(int(entries["length"].sum()), entries, self)

    def copy(self, entries: Mapping[str, NDArray[Any]], column: str, target: int, place: int) -> int:
        """Write a column of attempts that lie in one source into a file.

        Args:
            place: Where it begins.

        Returns:
            How many bytes it has.
        """
        size = ROW_BYTES * int(entries["length"].sum())
        if self._earlier is not None and entries["source"][0] == _EARLIER:
            _copy(self._earlier.file.fileno(), int(entries[column][0]), target, place, size)
        else:
            told = zip(entries[column].tolist(), entries["length"].tolist(), strict=True)
            write_at(target, b"".join(self._spool.get(each, ROW_BYTES * rows) for each, rows in told), place)
        return size


def _blocks(entries: Mapping[str, NDArray[Any]], column: str) -> Iterator[tuple[int, int]]:
    """Cut attempts into groups: those behind each other in an earlier file, and a few of the spool at a time."""
    source, length, at = entries["source"], entries["length"], entries[column]
    torn = source[1:] != source[:-1]
    torn |= (source[1:] == _EARLIER) & (at[:-1] + ROW_BYTES * length[:-1] != at[1:])
    first = 0
    for last in [*(np.flatnonzero(torn) + 1), len(source)]:
        if source[first] == _EARLIER:
            yield first, int(last)
        else:
            so_far = np.cumsum(length[first:last]) // _BLOCK_ROWS
            cuts = first + np.flatnonzero(np.diff(so_far)) + 1
            yield from zip((first, *cuts), (*cuts, last), strict=True)
        first = int(last)


def _write_repeated(target: int, place: int, values: NDArray[Any], lengths: NDArray[Any]) -> None:
    """Write each value as often as its attempt has rows."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(values):
        begun = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, begun + 8 * _BLOCK_ROWS)))
        column = np.repeat(values[first:last], lengths[first:last]).astype(np.int64, copy=False)
        write_at(target, column.tobytes(), place + ROW_BYTES * begun)
        first = last


def _copy(source: int, start: int, target: int, place: int, size: int) -> None:
    """Copy bytes between two files, by the kernel where it can: some file systems share them instead.

    Raises:
        OSError: The disk is full, or the source was cut.
    """
    done = 0
    with contextlib.suppress(*_NO_COPY):
        while done < size:
            copied = os.copy_file_range(source, target, min(_PIECE, size - done), start + done, place + done)
            if not copied:
                break
            done += copied
    while done < size:
        data = os.pread(source, min(_PIECE >> 4, size - done), start + done)
        if not data:
            raise OSError("the results collected before were cut meanwhile")
        write_at(target, data, place + done)
        done += len(data)


@dataclass(frozen=True)
class Earlier:
    """A ``results.h5`` whose curves may be taken over.

    Attributes:
        file: Open for as long as they are.
        curves: Metric → where the rows of each attempt lie in it.
    """

    file: BinaryIO
    curves: Mapping[str, Mapping[str, NDArray[Any]]]


def find_earlier(file: BinaryIO) -> Earlier:
    """Find the curves in an open ``results.h5``, to take them over.

    Raises:
        InputError: It is damaged, or not laid out as ours are.
    """
    try:
        with h5py.File(file, "r") as results:
            known: dict[tuple[int, ...], _Begins] = {}
            return Earlier(file, {str(group.attrs["name"]): _find(group, known) for group in _groups(results)})
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"is damaged ({' '.join(str(error).split())[:200]})", "results.h5") from None


def _groups(results: h5py.File) -> Iterable[h5py.Group]:
    return results["series"].values() if "series" in results else ()


_Begins = Mapping[str, NDArray[np.int64]]
"""Task, attempt and number of rows of each attempt, and how many rows are before it (`at`)."""


def _find(group: h5py.Group, known: dict[tuple[int, ...], _Begins]) -> Mapping[str, NDArray[Any]]:
    """Where the rows of each attempt lie.

    Args:
        known: What was found in columns of other metrics, by their places; takes in what is found here.
    """
    places = {name: group[name].id.get_offset() for name in COLUMNS}
    kinds = {name: group[name].dtype for name in COLUMNS}
    rows = {group[name].shape for name in COLUMNS}
    right = dict(zip(COLUMNS, ("<i8", "<i8", "<i8", "<f8", "<f8"), strict=True))
    if None in places.values() or kinds != right or len(rows) != 1:
        raise ValueError("its columns are not as they are written")
    size = rows.pop()[0]
    key = (places["task"], places["attempt"], size)
    if key not in known:
        known[key] = _find_begins(group, size)
    begins = known[key]
    told = {name: begins[name] for name in ("task", "attempt", "length")}
    return told | {name: places[name] + ROW_BYTES * begins["at"] for name in COLUMNS[2:]}


def _find_begins(group: h5py.Group, size: int) -> _Begins:
    last = (-1, -1)
    starts, told = [np.zeros(0, np.int64)], ([np.zeros(0, np.int64)], [np.zeros(0, np.int64)])
    for first in range(0, size, _BLOCK_ROWS):
        task, attempt = (group[name][first : first + _BLOCK_ROWS] for name in COLUMNS[:2])
        begins = np.empty(len(task), bool)
        begins[0] = (task[0], attempt[0]) != last
        begins[1:] = (task[1:] != task[:-1]) | (attempt[1:] != attempt[:-1])
        starts.append(first + np.flatnonzero(begins))
        for found, column in zip(told, (task, attempt), strict=True):
            found.append(column[begins])
        last = (task[-1], attempt[-1])
    at = np.concatenate(starts)
    tasks, attempts = (np.concatenate(each) for each in told)
    return {"task": tasks, "attempt": attempts, "length": np.diff(at, append=size), "at": at}
