"""The rows of a ``metrics.h5`` that is being written, read without HDF5.

The writer (`hpc.adapters.metrics_h5`) knows where the rows of each metric lie. As long as the file has room for more,
an index says so behind HDF5's own content, where libraries for HDF5 do not look: a JSON object, metric → [offset, rows
there is room for], then its length, its CRC and a mark. So `status` of forty runs needs neither numpy nor h5py, nor a
process apart: nothing here can crash over a damaged file.

Standard library only: the writer on the compute node imports it.
"""

import json
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from itertools import compress, count
from pathlib import Path
from typing import NamedTuple

from hpc.adapters.files import open_regular
from hpc.core.errors import InputError

ROW_BYTES = 24
"""Step, value and time of one value: int64 and two float64, little-endian."""
_TAIL = struct.Struct("<QQ8s")
_MARK = b"hpc-rows"
_MOST_INDEX_BYTES = 16 << 20
_BEGINS = b"\x89HDF\r\n\x1a\n"


class Rows(NamedTuple):
    """One metric over time, in the order it was logged; columns of one length.

    Attributes:
        step: As the program counts.
        value: Non-finite ones as they were.
        time: Unix seconds.
    """

    step: Sequence[int]
    value: Sequence[float]
    time: Sequence[float]


def index_of(places: Mapping[str, tuple[int, int]]) -> bytes:
    """What stands behind HDF5's content.

    Args:
        places: Metric → byte offset of its first row, rows there is room for.
    """
    text = json.dumps(places, separators=(",", ":")).encode()
    return text + _TAIL.pack(len(text), zlib.crc32(text), _MARK)


def read_rows(path: Path) -> dict[str, Rows] | None:
    """Read the rows of each metric of a file that is being written, or was when its program ended.

    Returns:
        None where that is not to be told so: the file is closed, of another writer or damaged. Whoever knows HDF5 reads
        it then, or says what is wrong.
    """
    try:
        with open_regular(path) as file:
            return _read(file.fileno())
    except (InputError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _read(descriptor: int) -> dict[str, Rows] | None:
    size = os.fstat(descriptor).st_size - _TAIL.size
    if size < 0 or sys.byteorder != "little" or os.pread(descriptor, len(_BEGINS), 0) != _BEGINS:
        return None
    length, crc, mark = _TAIL.unpack(os.pread(descriptor, _TAIL.size, size))
    ends = size - length
    if mark != _MARK or not 0 < length <= _MOST_INDEX_BYTES or ends < 0:
        return None
    text = os.pread(descriptor, length, ends)
    if zlib.crc32(text) != crc:
        return None
    places = json.loads(text)
    if any(offset < 0 or room < 0 or offset + room * ROW_BYTES > ends for offset, room in places.values()):
        return None
    found = {name: _rows(os.pread(descriptor, room * ROW_BYTES, offset)) for name, (offset, room) in places.items()}
    return found if all(_are_times(rows.time) for rows in found.values()) else None


def _rows(data: bytes) -> Rows:
    """The rows before the first unwritten one, as `hpc.adapters.metrics_read.written_rows` counts them."""
    steps, numbers = array("q", data)[0::3], array("d", data)
    times = numbers[2::3]
    # NaN alone differs from itself.
    written = next(compress(count(), map(float.__ne__, times, times)), len(times))
    if 0 < written < len(times) and steps[written - 1] == -1:
        written -= 1
    return Rows(steps[:written], numbers[1::3][:written], times[:written])


def _are_times(times: Sequence[float]) -> bool:
    return not times or (min(times) > -float("inf") and max(times) < float("inf"))
