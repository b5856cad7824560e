"""`metrics.h5`: an HDF5 file that is whole at every instant, although it grows while others read it.

HDF5 itself cannot promise that: a writer killed between two of its metadata writes leaves a broken file, and an open
writer locks readers out. So the library only *describes* the file, in memory; all bytes reach the disk by our hands:

1. A file with room to spare is written beside the old one and renamed over it. Unused rows are NaN.
2. New rows overwrite unused rows in place (`pwrite` at the data set's known address). No metadata changes.
3. When the room is used up it is doubled, by 1. So n rows cost O(n), in at most log2(n) replacements.
   As long as there is room, an index of where it lies stands behind HDF5's content (`hpc.adapters.metrics_rows`).
4. The last replacement leaves exactly the written rows, and `complete` true.

A row counts once its `time`, the last field of its record, is a number. `docs/formats/metrics.md` has the layout,
`docs/decisions/0004-metrics-in-hdf5.md` the alternatives and the measurements.
"""

import contextlib
import os
import secrets
import struct
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpc.adapters.files import mode_in
from hpc.adapters.metrics_read import (
    RECORD,
    SCHEMA,
    Contents,
    contents_of,
    link_of,
    logged_name,
    own_dataset,
    with_file,
)
from hpc.adapters.metrics_rows import index_of
from hpc.adapters.sparse_file import SparseFile, write_at
from hpc.core.errors import InputError

pack_row = struct.Struct("<qdd").pack
"""One row as it lies in the file: step, value, Unix time in seconds."""

_FIRST_ROWS = 256
_COPY_BYTES = 1 << 20
_UNWRITTEN = pack_row(-1, float("nan"), float("nan"))


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
        for left_over in path.parent.glob(f".{path.name}.*.tmp"):
            left_over.unlink(missing_ok=True)
        if os.path.lexists(path):
            with_file(path, self._continue)
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
        before = {name: (self._slots[name].rows, bytes(block)) for name, block in blocks.items() if name in self._slots}
        try:
            with self._opened() as descriptor:
                for name in before:
                    self._fill(descriptor, self._slots[name], blocks[name])
                    if not blocks[name]:
                        del blocks[name]
        except OSError:  # also of closing it, by which NFS tells what of all that reached nobody
            for name, (rows, block) in before.items():
                self._slots[name].rows, blocks[name] = rows, bytearray(block)
            raise
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
                write_at(descriptor, struct.pack("<d", value), self._scalar_offsets[name])

    def names(self) -> tuple[set[str], set[str]]:
        """Metrics, and final values, that the file has."""
        return set(self._slots), set(self._scalars)

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
        write_at(descriptor, bytes(block[: rows * RECORD.itemsize]), slot.offset + slot.rows * RECORD.itemsize)
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
        contents = self._all_of(file)
        for link in file["series"]:
            dataset = own_dataset(file["series"], link.encode())
            name = logged_name(dataset, link.encode())
            rows, offset = len(contents.series[name].step), dataset.get_offset()
            if rows and (offset is None or dataset.dtype != RECORD):
                raise InputError("was rewritten by another program and cannot be continued", str(self.path))
            self._slots[name] = _Slot(offset or 0, dataset.shape[0], rows)
        self._scalars = contents.summary
        before = contents.attributes
        given = {name: value for name, value in self._attributes.items() if value != ""}
        self._attributes = self._attributes | before | given | {"created": before.get("created", 0.0)}
        status = self.path.stat()
        self._identity = status.st_dev, status.st_ino

    def _all_of(self, file: h5py.File) -> Contents:
        """What the file holds; nothing of it may get lost in a continued one."""
        contents = contents_of(file)
        if contents.problems:
            raise InputError(f"cannot be continued: {contents.problems[0]}", str(self.path))
        return contents

    def _replace(self, coming: Mapping[str, int] | None, *, complete: bool) -> None:
        """Write the whole file anew with room for twice the rows (`coming` None: no room), and rename it in place."""
        capacities = self._capacities(coming)
        skeleton, offsets, scalar_offsets = _describe(capacities, self._scalars, self._attributes, complete)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            index = b"" if coming is None else index_of({name: (offsets[name], capacities[name]) for name in offsets})
            identity = self._write_whole(temporary, skeleton, offsets, capacities, index)
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
        self,
        temporary: Path,
        skeleton: "SparseFile",
        offsets: Mapping[str, int],
        capacities: Mapping[str, int],
        index: bytes,
    ) -> tuple[int, int]:
        with contextlib.ExitStack() as stack:
            target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_in(temporary.parent))
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
            write_at(target, index, os.fstat(target).st_size)
            os.fsync(target)
            return _identity(target)


# --- the description of a file, in memory ---------------------------------------------------------------------------


def _describe(
    capacities: Mapping[str, int], scalars: Mapping[str, float], attributes: Mapping[str, Any], complete: bool
) -> tuple[SparseFile, dict[str, int], dict[str, int]]:
    """Have HDF5 lay out a file; returns it with the byte offset of each series and of each summary value."""
    image = SparseFile()
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
    settings.set_obj_track_times(False)  # files of runs are alike, then, but for values (`hpc.adapters.metrics_alike`)
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
    """A metric's link that is not taken yet."""
    link = link_of(name)
    while link in group:
        link += "~"
    return link


# --- bytes ----------------------------------------------------------------------------------------------------------


def _copy(source: int, source_offset: int, target: int, target_offset: int, length: int) -> None:
    done = 0
    while done < length:
        piece = os.pread(source, min(_COPY_BYTES, length - done), source_offset + done)
        if not piece:
            raise OSError(0, "the metrics file shrank while it was being copied")
        write_at(target, piece, target_offset + done)
        done += len(piece)


def _fill_unwritten(descriptor: int, offset: int, rows: int) -> None:
    at_once = _COPY_BYTES // RECORD.itemsize
    for start in range(0, rows, at_once):
        content = _UNWRITTEN * min(at_once, rows - start)
        write_at(descriptor, content, offset + start * RECORD.itemsize)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
