"""Metrics files that are laid out as one HDF5 has read: of ten thousand runs of a sweep most are, in all but values.

HDF5 takes a hundred times as long to find where a value lies as to read it. So of one file it is asked where rows,
final values and attributes lie, and all bytes besides are kept. A file in which these are the same, byte for byte, has
the same structure: its values are read from their places. Every other file is HDF5's.
`docs/decisions/0059-metrics-files-alike.md` has the reasons.
"""

import os
import re
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpc.adapters.files import open_regular
from hpc.adapters.metrics_read import (
    DAMAGE,
    RECORD,
    RECORD_TYPE,
    WHOSE,
    Contents,
    logged_name,
    own_dataset,
    read_contents,
    series_of,
)
from hpc.core.errors import InputError

MOST_BYTES = 16 << 20
"""Of a file; in a larger one it is the values that take the time."""
MOST_KEPT = 64
"""Sizes of files of which something is known; the one that was met longest ago goes first."""
MOST_OF_A_SIZE = 16
"""Layouts of files of one size, those that were looked at in vain included."""
_LEAST, _MOST_TEXT = 4, 4096
"""Bytes of a value that may differ: fewer stand in many places, and of more there is no use."""
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NUMBER = np.dtype("<f8")
_TIME = re.compile(rb"\x12\0\x08\0.\0\0\0\x01\0\0\0", re.DOTALL)
"""What stands before the four bytes of a time in the head of an object, by HDF5's first version of that."""

_Span = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Where values lie in a file.

    Attributes:
        size: Of the file.
        fixed: Place and bytes of all that is no value.
        rows: Metric → where its rows begin, and how many there are.
        finals: Name → where the final value lies.
        texts: Attribute → where it lies; of these files, all others of `attributes` are the same.
        attributes: `WHOSE`, as the first file has them.
    """

    size: int
    fixed: Sequence[tuple[int, bytes]]
    rows: Mapping[str, _Span]
    finals: Mapping[str, int]
    texts: Mapping[str, _Span]
    attributes: Mapping[str, Any]

    def read(self, data: bytes) -> Contents | None:
        """What a file holds; None where it is laid out otherwise, or HDF5 may make something else of a value."""
        if len(data) != self.size or not all(data.startswith(part, place) for place, part in self.fixed):
            return None
        texts = {name: data[begin:end] for name, (begin, end) in self.texts.items()}
        if any(b"\0" in text for text in texts.values()):  # it ends a text there
            return None
        told = {name: text.decode("utf-8", "surrogateescape") for name, text in texts.items()}
        try:
            series = {
                name: series_of(np.frombuffer(data, RECORD, count, place).copy())
                for name, (place, count) in self.rows.items()
            }
        except InputError:
            return None
        finals = {name: float(np.frombuffer(data, _NUMBER, 1, place)[0]) for name, place in self.finals.items()}
        attributes = {**self.attributes, **told}
        return Contents(series, finals, attributes["complete"] is True, attributes, ())


@dataclass
class _OfSize:
    """What is known of files of a size.

    Attributes:
        met: How many were read by HDF5.
    """

    met: int = 0
    layouts: list[Layout] = field(default_factory=list)


class Alike:
    """The layouts a process has met. A layout is looked at where a size comes again: of a single file it is no use."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: OrderedDict[tuple[int, tuple[str, ...]], _OfSize] = OrderedDict()

    def read(self, path: Path, first: Sequence[str] = ()) -> Contents:
        """Read a metrics file, as `read_contents`, which takes and raises the same."""
        return self.find(path, first) or read_contents(path, first, lambda *found: self._learn(path, first, *found))

    def find(self, path: Path, first: Sequence[str] = ()) -> Contents | None:
        """Read a file that is laid out as one before; None for any other, whatever it is."""
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                known = self._known.get((size, tuple(first)))
                data = file.read(size + 1) if known and known.layouts else b""
        except (InputError, OSError):
            return None
        layouts = known.layouts if known else ()
        return next((found for each in layouts if (found := each.read(data))), None)

    def _learn(self, path: Path, first: Sequence[str], file: h5py.File, contents: Contents) -> None:
        """Take in a file that HDF5 has read."""
        size, key = file.id.get_filesize(), (file.id.get_filesize(), tuple(first))
        if size > MOST_BYTES or contents.problems:
            return
        known = self._known.setdefault(key, _OfSize())
        self._known.move_to_end(key)
        if len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)
        known.met += 1
        if 1 < known.met <= MOST_OF_A_SIZE and (found := layout_of(path, file, contents)):
            known.layouts.append(found)


def layout_of(path: Path, file: h5py.File, contents: Contents) -> Layout | None:
    """Find where the values of an open file lie; None where they do not lie by themselves, or that is not known.

    Args:
        contents: What was read of it, `WHOSE` of its attributes.
    """
    try:
        data = path.read_bytes()
        rows = {name: _rows_in(each) for name, each in _data_sets(file["series"])}
        finals = {name: _final_in(each) for name, each in _data_sets(file["summary"])}
        values = [(begin, begin + RECORD.itemsize * count) for begin, count in rows.values()]
        values += [(begin, begin + _NUMBER.itemsize) for begin in finals.values()]
        bare = _without(data, values)
        texts = dict(_texts_in(file, bare))
        others = [*texts.values(), *_numbers_in(file, bare), *_times_in(file, bare)]
        found = Layout(
            len(data), _besides(data, [*values, *others]), {name: rows[name] for name in contents.series},
            {name: finals[name] for name in contents.summary},
            {name: span for name, span in texts.items() if name.encode() in WHOSE}, contents.attributes,
        )  # fmt: skip
        return found if data.startswith(_SIGNATURE) and _same(found.read(data), contents) else None
    except (InputError, *DAMAGE):
        return None


def _same(one: Contents | None, other: Contents) -> bool:
    """Whether the same was read, to the last bit and in the same order."""
    if one is None or one[2:] != other[2:] or [*one.series] != [*other.series] or [*one.summary] != [*other.summary]:
        return False
    pairs = [*zip(one.series.values(), other.series.values(), strict=True)]
    numbers = struct.pack(f"{len(one.summary)}d", *one.summary.values())
    return numbers == struct.pack(f"{len(other.summary)}d", *other.summary.values()) and all(
        mine.tobytes() == theirs.tobytes() for pair in pairs for mine, theirs in zip(*pair, strict=True)
    )


def _data_sets(group: h5py.Group) -> Iterator[tuple[str, h5py.h5d.DatasetID]]:
    for link in group:
        dataset = own_dataset(group, link.encode())
        if dataset.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
            raise InputError("does not lie in one place")
        yield logged_name(dataset, link.encode()), dataset


def _rows_in(dataset: h5py.h5d.DatasetID) -> _Span:
    (count,) = dataset.shape
    begin = dataset.get_offset() if count else 0
    if begin is None or not dataset.get_type().equal(RECORD_TYPE):
        raise InputError("is not as our own writer leaves it")
    return begin, count


def _final_in(dataset: h5py.h5d.DatasetID) -> int:
    begin = dataset.get_offset()
    if begin is None or dataset.shape != () or dataset.dtype != _NUMBER:
        raise InputError("is not as our own writer leaves it")
    return int(begin)


def _without(data: bytes, spans: Iterable[_Span]) -> bytes:
    """The bytes, with zeros in some places."""
    bare = bytearray(data)
    for begin, end in spans:
        bare[begin:end] = bytes(end - begin)
    return bytes(bare)


def _besides(data: bytes, spans: Iterable[_Span]) -> list[tuple[int, bytes]]:
    """Place and bytes of all that lies in none of some places."""
    found, place = [], 0
    for begin, end in sorted(spans):
        if begin < place:
            raise InputError("values overlap")
        if begin > place:
            found.append((place, data[place:begin]))
        place = end
    return [*found, (place, data[place:])]


def _places_of(raw: bytes, bare: bytes) -> list[_Span]:
    """Every place where some bytes stand."""
    return [(each.start(), each.start() + len(raw)) for each in re.finditer(b"(?=%b)" % re.escape(raw), bare)]


def _texts_in(file: h5py.File, bare: bytes) -> Iterator[tuple[str, _Span]]:
    """Attributes that are texts and stand in one place: that is where each lies, since it has to lie somewhere."""
    for name, value in file.attrs.items():
        kind = h5py.h5a.open(file.id, name.encode()).get_type()
        if not isinstance(value, str) or not isinstance(kind, h5py.h5t.TypeStringID) or not kind.is_variable_str():
            continue
        raw = value.encode("utf-8", "surrogateescape")
        if _LEAST <= len(raw) <= _MOST_TEXT and len(places := _places_of(raw, bare)) == 1:
            yield name, places[0]


def _numbers_in(file: h5py.File, bare: bytes) -> Iterator[_Span]:
    """Likewise numbers that nobody asks for, such as when it was made."""
    for name, value in file.attrs.items():
        if isinstance(value, np.floating | np.integer) and name.encode() not in WHOSE and value.nbytes >= _LEAST:
            places = _places_of(value.tobytes(), bare)
            yield from places if len(places) == 1 else ()


def _times_in(file: h5py.File, bare: bytes) -> Iterator[_Span]:
    """When HDF5 made each data set, where it says so of as many as keep that: our writer once had them do."""
    keeping = sum(dataset.get_create_plist().get_obj_track_times() for _, dataset in _data_sets(file["series"]))
    found = [(each.end(), each.end() + 4) for each in _TIME.finditer(bare)]
    yield from found if len(found) == keeping else ()


ALIKE = Alike()
"""Those of this process."""
