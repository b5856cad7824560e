"""TensorBoard: a folder a run with one event file, written without TensorBoard; replaced whole when a run has changed.

The format: records of length, checksum, message, checksum; messages are protocol buffers (Event, Summary), whose few
fields that are needed are written here. Read back by TensorBoard's own reader in the tests.
"""

import shutil
import struct
from functools import cache
from pathlib import Path

from analysis.exports.runs import ExportedRun
from hpc.adapters.files import make_folder
from hpc.core.errors import InputError

_POLYNOMIAL = 0x82F63B78
_OURS = ".hpc"
"""How our event files end."""


def write_run(run: ExportedRun, folder: Path) -> str:
    """Write one run; return its folder.

    Raises:
        InputError: A folder of that name holds files of somebody else.
    """
    target = folder / run.name
    if target.exists() and any(not each.name.endswith(_OURS) for each in target.iterdir()):
        raise InputError(f"{target} contains files that this command did not write; name another folder with --out")
    partial = folder / f".{run.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial)
    first, last = run.times
    points = [(each.step, each.time, name, each.value) for name, series in run.series.items() for each in series] + [
        (_last_step(run), last, f"summary/{name}", value) for name, value in run.summary.items()
    ]
    records = [_record(_double(1, first) + _bytes(3, b"brain.Event:2"))]
    records += [_record(_event(*point)) for point in sorted(points, key=lambda each: (each[0], each[1]))]
    (partial / f"events.out.tfevents.{int(first):010d}{_OURS}").write_bytes(b"".join(records))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return str(target)


def _last_step(run: ExportedRun) -> int:
    return max((series[-1].step for series in run.series.values() if series), default=0)


def _event(step: int, time: float, tag: str, value: float) -> bytes:
    summary = _bytes(1, _bytes(1, tag.encode()) + _key(2, 5) + struct.pack("<f", _single(value)))
    return _double(1, time) + _key(2, 0) + _varint(step % 2**64) + _bytes(5, summary)


def _single(value: float) -> float:
    """A value as TensorBoard keeps it: single precision, infinite where that cannot hold it."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + struct.pack("<I", _masked(length)) + message + struct.pack("<I", _masked(message))


def _masked(content: bytes) -> int:
    crc = 0xFFFFFFFF
    table = _table()
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    """CRC-32C, byte by byte."""
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)  # noqa: PLW2901  the register that is shifted
        found.append(byte)
    return tuple(found)


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _double(field: int, value: float) -> bytes:
    return _key(field, 1) + struct.pack("<d", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
