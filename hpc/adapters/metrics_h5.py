"""`metrics.h5`: an HDF5 file that is whole at every instant, although it grows while others read it.

HDF5 itself cannot promise that: a writer killed between two of its metadata writes leaves a broken file, and an open
writer locks readers out. So the library only *describes* the file, in memory; all bytes reach the disk by our hands:

1. A file with room to spare is written beside the old one and renamed over it. Unused rows are NaN.
2. New rows overwrite unused rows in place (`pwrite` at the data set's known address). No metadata changes.
3. When the room is used up it is doubled, by 1. So n rows cost O(n), in at most log2(n) replacements.
4. The last replacement leaves exactly the written rows, and `complete` true.

A row counts once its `time`, the last field of its record, is a number. `docs/data-formats.md` has the layout,
`docs/decisions/0004-metrics-in-hdf5.md` the alternatives and the measurements.
"""

import contextlib
import io
import json
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.core.errors import InputError

SCHEMA = 1
RECORD = np.dtype([("step", "<i8"), ("value", "<f8"), ("time", "<f8")])
pack_row = struct.Struct("<qdd").pack
"""One row as it lies in the file: step, value, Unix time in seconds."""

MAX_NAME_LENGTH = 200
_FIRST_ROWS = 256
_COPY_BYTES = 1 << 20
_UNWRITTEN = pack_row(-1, float("nan"), float("nan"))
_READ_ATTEMPTS = 3

_T = TypeVar("_T")


class Series(NamedTuple):
    """One metric over time, in the order it was logged.

    Attributes:
        step: int64, as the program counts.
        value: float64, non-finite values as they were.
        time: float64, Unix time in seconds.
    """

    step: NDArray[np.int64]
    value: NDArray[np.float64]
    time: NDArray[np.float64]


class Contents(NamedTuple):
    """Everything a metrics file is read for.

    Attributes:
        series: Metric → its series.
        summary: Metric → its final value.
        complete: Whether the program closed the file as its last act.
    """

    series: dict[str, Series]
    summary: dict[str, float]
    complete: bool


@dataclass
class _Slot:
    """Where one metric's rows lie: byte offset in the file, rows there is room for, rows written."""

    offset: int
    capacity: int
    rows: int


class MetricsFile:
    """A `metrics.h5` that this process alone appends to (the caller holds the lock).

    An existing file is continued: its rows stay, `complete` becomes false until `finish`.
    """

    def __init__(self, path: Path, attributes: Mapping[str, str | int | float]) -> None:
        """Make or continue the file; it is readable when this returns.

        Raises:
            InputError: There is a file, and it is not a metrics file of this schema.
            OSError: The disk is full or the folder not writable.
        """
        self.path = path
        self._slots: dict[str, _Slot] = {}
        self._scalars: dict[str, float] = {}
        self._scalar_offsets: dict[str, int] = {}
        self._attributes = dict(attributes)
        self._identity: tuple[int, int] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_over in path.parent.glob(f".{path.name}.*.tmp"):
            left_over.unlink(missing_ok=True)
        if path.exists():
            _with_file(path, self._continue)
        self._replace({}, complete=False)

    def append(self, blocks: MutableMapping[str, bytearray]) -> None:
        """Write packed rows; each metric's block is emptied as it is written, so what is left may be tried again.

        Raises:
            OSError: Not all could be written (disk full, file taken away); the file and what is left are sound.
        """
        failure: OSError | None = None
        try:
            self._make_room({name: len(block) // RECORD.itemsize for name, block in blocks.items()})
        except OSError as error:
            failure = error  # what still fits is written all the same
        with self._opened() as descriptor:
            for name in [name for name in blocks if name in self._slots]:
                self._fill(descriptor, self._slots[name], blocks[name])
                if not blocks[name]:
                    del blocks[name]
        if failure is not None:
            raise failure

    def set_summary(self, values: Mapping[str, float]) -> None:
        """Write final values; a later one of the same name replaces the earlier.

        Raises:
            OSError: As `append`; the values are kept and written with the next replacement.
        """
        self._scalars.update(values)
        if set(self._scalars) != set(self._scalar_offsets):
            self._replace({}, complete=False)
            return
        with self._opened() as descriptor:
            for name, value in values.items():
                _write_at(descriptor, struct.pack("<d", value), self._scalar_offsets[name])

    def finish(self, *, complete: bool) -> None:
        """Leave exactly the written rows, and say whether that is all there will be.

        Raises:
            OSError: The disk is full; the file keeps its rows and stays incomplete.
        """
        self._replace(None, complete=complete)

    def _make_room(self, coming: Mapping[str, int]) -> None:
        known = self._slots
        if any(name not in known or known[name].rows + rows > known[name].capacity for name, rows in coming.items()):
            self._replace(coming, complete=False)

    def _fill(self, descriptor: int, slot: _Slot, block: bytearray) -> None:
        rows = min(len(block) // RECORD.itemsize, slot.capacity - slot.rows)
        _write_at(descriptor, bytes(block[: rows * RECORD.itemsize]), slot.offset + slot.rows * RECORD.itemsize)
        slot.rows += rows
        del block[: rows * RECORD.itemsize]

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        # Opened anew for each flush: on NFS it is the close that makes rows visible to other hosts.
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            if _identity(descriptor) != self._identity:
                raise OSError(0, "somebody else replaced this metrics file", str(self.path))
            yield descriptor
        finally:
            os.close(descriptor)

    def _continue(self, file: h5py.File) -> None:
        for name, dataset in _named(file["series"]):
            rows = _written_rows(dataset[:])
            offset = dataset.id.get_offset()
            if rows and offset is None:
                raise InputError("was rewritten by another program and cannot be continued", str(self.path))
            self._slots[name] = _Slot(offset or 0, len(dataset), rows)
        self._scalars = _all_scalars(file)
        before = _plain_attributes(file)
        given = {name: value for name, value in self._attributes.items() if value != ""}
        self._attributes = self._attributes | before | given | {"created": before["created"]}
        status = self.path.stat()
        self._identity = status.st_dev, status.st_ino

    def _replace(self, coming: Mapping[str, int] | None, *, complete: bool) -> None:
        """Write the whole file anew with room for twice the rows (`coming` None: no room), and rename it in place."""
        capacities = self._capacities(coming)
        skeleton, offsets, scalar_offsets = _describe(capacities, self._scalars, self._attributes, complete)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            identity = self._write_whole(temporary, skeleton, offsets, capacities)
            if self._identity is not None:
                with self._opened():  # is it still ours?
                    pass
            os.replace(temporary, self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        rows = {name: slot.rows for name, slot in self._slots.items()}
        self._slots = {name: _Slot(offsets[name], capacities[name], rows.get(name, 0)) for name in capacities}
        self._scalar_offsets, self._identity = scalar_offsets, identity

    def _capacities(self, coming: Mapping[str, int] | None) -> dict[str, int]:
        if coming is None:
            return {name: slot.rows for name, slot in self._slots.items()}
        capacities = {}
        for name in [*self._slots, *(name for name in coming if name not in self._slots)]:
            slot = self._slots.get(name, _Slot(0, 0, 0))
            needed = slot.rows + coming.get(name, 0)
            # Metrics logged side by side fill up side by side: all that are half full are doubled in one go.
            capacities[name] = max(_FIRST_ROWS, slot.capacity, 2 * needed)
        return capacities

    def _write_whole(
        self, temporary: Path, skeleton: "_SparseFile", offsets: Mapping[str, int], capacities: Mapping[str, int]
    ) -> tuple[int, int]:
        with contextlib.ExitStack() as stack:
            target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            stack.callback(os.close, target)
            skeleton.write_to(target)
            if any(slot.rows for slot in self._slots.values()):
                source = os.open(self.path, os.O_RDONLY)
                stack.callback(os.close, source)
                for name, slot in self._slots.items():
                    _copy(source, slot.offset, target, offsets[name], slot.rows * RECORD.itemsize)
            for name, capacity in capacities.items():
                rows = self._slots[name].rows if name in self._slots else 0
                _fill_unwritten(target, offsets[name] + rows * RECORD.itemsize, capacity - rows)
            os.fsync(target)
            return _identity(target)


def read(path: Path) -> dict[str, Series]:
    """Read every series of a metrics file: finished, being written at this moment, or left by a dead process.

    Where there is no such file but a ``metrics.jsonl`` beside it (written where h5py was missing), that one is read.

    Raises:
        FileNotFoundError: There is neither.
        InputError: It is no metrics file, or it was cut or damaged.
    """
    if _is_journal(path):
        return _read_journal(_journal(path)).series
    return _with_file(path, _all_series)


def read_summary(path: Path) -> dict[str, float]:
    """Read the final values. Raises as `read`."""
    if _is_journal(path):
        return _read_journal(_journal(path)).summary
    return _with_file(path, _all_scalars)


def read_attributes(path: Path) -> dict[str, Any]:
    """Read who wrote the file, for which task and attempt, when, and whether it is complete. Raises as `read`."""
    if _is_journal(path):
        return _read_journal(_journal(path)).attributes
    return _with_file(path, _plain_attributes)


def read_contents(path: Path) -> Contents:
    """Read series, final values and completeness, opening the file once. Raises as `read`."""
    if _is_journal(path):
        journal = _read_journal(_journal(path))
        return Contents(journal.series, journal.summary, bool(journal.attributes["complete"]))
    return _with_file(path, lambda file: Contents(_all_series(file), _all_scalars(file), bool(file.attrs["complete"])))


def is_complete(path: Path) -> bool:
    """Say whether the program closed the file as its last act; False where there is none. Raises as `read`."""
    try:
        return bool(read_attributes(path)["complete"])
    except FileNotFoundError:
        return False


def check_name(name: str) -> None:
    """Refuse what cannot name a metric.

    Raises:
        InputError: Empty, too long, or with control characters.
    """
    if not isinstance(name, str) or not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise InputError(f"{name!r} cannot name a metric: 1 to {MAX_NAME_LENGTH} printable characters are allowed")


# --- the description of a file, in memory ---------------------------------------------------------------------------


class _SparseFile(io.RawIOBase):
    """What HDF5 writes when it creates a file, kept in memory; the room for data takes none.

    HDF5 on a full disk answers with a segmentation fault, which would kill the training. Here it never sees a disk.
    """

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
            _write_at(descriptor, bytes(content[: self._size - start]), start)

    def _pieces(self, length: int) -> Iterator[tuple[int, int, int, int]]:
        """Cut the next `length` bytes at page borders: start in the buffer, page, first and last byte in the page."""
        done = 0
        while done < length:
            page, low = divmod(self._position + done, self._PAGE)
            high = min(self._PAGE, low + length - done)
            yield done, page, low, high
            done += high - low


def _describe(
    capacities: Mapping[str, int], scalars: Mapping[str, float], attributes: Mapping[str, Any], complete: bool
) -> tuple[_SparseFile, dict[str, int], dict[str, int]]:
    """Have HDF5 lay out a file; returns it with the byte offset of each series and of each summary value."""
    image = _SparseFile()
    with h5py.File(image, "w", libver="earliest") as file:
        file.attrs.update({"schema": SCHEMA, **attributes})
        series, summary = file.create_group("series"), file.create_group("summary")
        offsets = {name: _room(series, name, capacity) for name, capacity in capacities.items()}
        scalar_offsets = {name: _scalar(summary, name, value) for name, value in scalars.items()}
        file.attrs["complete"] = np.bool_(complete)
    return image, offsets, scalar_offsets


def _room(group: h5py.Group, name: str, rows: int) -> int:
    """Create a data set whose place in the file is fixed now and filled by us; its byte offset (0 when it is empty)."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    link = _free_link(group, name)
    record = h5py.h5t.py_create(RECORD, logical=True)
    dataset = h5py.h5d.create(group.id, link.encode(), record, h5py.h5s.create_simple((rows,)), settings)
    h5py.Dataset(dataset).attrs["name"] = name
    return dataset.get_offset() or 0


def _scalar(group: h5py.Group, name: str, value: float) -> int:
    dataset = group.create_dataset(_free_link(group, name), data=np.float64(value))
    dataset.attrs["name"] = name
    return int(dataset.id.get_offset())


def _free_link(group: h5py.Group, name: str) -> str:
    """A metric's name as an HDF5 link: '/' would make groups, '.' alone means the group itself; never taken twice."""
    link = name.replace("/", ".").strip(".") or "metric"
    while link in group:
        link += "~"
    return link


# --- bytes ----------------------------------------------------------------------------------------------------------


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _copy(source: int, source_offset: int, target: int, target_offset: int, length: int) -> None:
    done = 0
    while done < length:
        piece = os.pread(source, min(_COPY_BYTES, length - done), source_offset + done)
        if not piece:
            raise OSError(0, "the metrics file became shorter while it was copied")
        _write_at(target, piece, target_offset + done)
        done += len(piece)


def _fill_unwritten(descriptor: int, offset: int, rows: int) -> None:
    at_once = _COPY_BYTES // RECORD.itemsize
    for start in range(0, rows, at_once):
        content = _UNWRITTEN * min(at_once, rows - start)
        _write_at(descriptor, content, offset + start * RECORD.itemsize)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


# --- reading --------------------------------------------------------------------------------------------------------


def _with_file(path: Path, use: Callable[[h5py.File], _T]) -> _T:
    """Open, check and use a metrics file; a replacement seen half-way by a network file system is tried again."""
    for attempt in range(1, _READ_ATTEMPTS + 1):
        try:
            with _open_for_reading(path) as file:
                _check_schema(file, path)
                return use(file)
        except FileNotFoundError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            if attempt == _READ_ATTEMPTS:
                reason = " ".join(str(error).split())[:200]
                raise InputError(
                    f"is not a readable metrics file: it was cut, damaged or never one ({reason})", str(path)
                ) from None
            time.sleep(0.05)
    raise AssertionError("unreachable")


def _open_for_reading(path: Path) -> h5py.File:
    # No HDF5 lock: the writer never changes a file's structure in place, and file systems without locks still open it.
    return h5py.File(path, "r", locking=False)


def _check_schema(file: h5py.File, path: Path) -> None:
    schema = file.attrs.get("schema")
    if schema is None or "series" not in file or "summary" not in file:
        raise InputError("is an HDF5 file, but not one with metrics (no `schema`, `series` or `summary`)", str(path))
    if int(schema) != SCHEMA:
        raise InputError(f"has schema {schema}; this version reads schema {SCHEMA}", str(path))


def _named(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for link in group:
        dataset = group[link]
        yield str(dataset.attrs["name"]), dataset


def _all_series(file: h5py.File) -> dict[str, Series]:
    return {name: _series(dataset[:]) for name, dataset in _named(file["series"])}


def _all_scalars(file: h5py.File) -> dict[str, float]:
    return {name: float(dataset[()]) for name, dataset in _named(file["summary"])}


def _series(rows: NDArray[np.void]) -> Series:
    written = rows[: _written_rows(rows)]
    return Series(*(np.ascontiguousarray(written[field]) for field in Series._fields))


def _written_rows(rows: NDArray[np.void]) -> int:
    """Rows before the first unwritten one; a network file system may show later ones earlier.

    A row that is being written may be seen in part: its end new, its beginning still that of an unwritten row. A row
    that a program logged with step -1 looks so too, and counts once another stands behind it.
    """
    unwritten = np.isnan(rows["time"])
    count = int(unwritten.argmax()) if unwritten.any() else len(rows)
    torn = count < len(rows) and count > 0 and rows["step"][count - 1] == -1
    return count - 1 if torn else count


def _plain_attributes(file: h5py.File) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()}


# --- metrics.jsonl, where h5py was missing --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Journal:
    series: dict[str, Series]
    summary: dict[str, float]
    attributes: dict[str, Any]


def _journal(path: Path) -> Path:
    return path.with_suffix(".jsonl")


def _is_journal(path: Path) -> bool:
    return not path.exists() and _journal(path).exists()


def _read_journal(path: Path) -> _Journal:
    columns: dict[str, list[tuple[int, float, float]]] = {}
    summary: dict[str, float] = {}
    attributes: dict[str, Any] = {"complete": False}
    for record in _json_lines(path):
        attributes.update(record.get("attributes", {}))
        summary.update({name: float(value) for name, value in record.get("summary", {}).items()})
        for name, value in record.get("metrics", {}).items():
            columns.setdefault(name, []).append((record["step"], float(value), record["time"]))
    series = {name: _series(np.array(rows, dtype=RECORD)) for name, rows in columns.items()}
    return _Journal(series, summary, attributes)


def _json_lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines[:-1]]  # what follows the last newline was cut by a kill
    except ValueError as error:
        raise InputError(f"has a line that is not JSON ({error})", str(path)) from None
