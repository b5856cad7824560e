"""Metrics that a program leaves in files of its own: CSV, JSON (also JSON lines), TensorBoard's event files, wandb's
runs. Bytes in, readings out; where the files are is `hpc.node.metric_files`.
"""

import csv
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Any

from hpc.core.experiment.metric_source import STEP, Reading, leaves, name_problem, number_of, parse_number, whole

STEP_COLUMNS = (STEP, "global_step", "iteration", "iter", "epoch")
"""Columns that can hold the step, the first that is there; else rows are counted."""
_MOST_COLUMNS = 10_000


def read_csv(content: bytes) -> list[Reading]:
    """The rows of a CSV file with a header; separated by comma, semicolon or tab. Empty cells say nothing.

    A last line without its end is left out: the program may still be writing it.
    """
    text = content.decode("utf-8-sig", errors="replace")
    text = text[: text.rfind("\n") + 1]
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    names = [name.strip() for name in next(rows, [])][:_MOST_COLUMNS]
    steps = next((names.index(name) for name in _by_case(names)), None)
    found = [_row(names, cells, steps) for cells in rows]
    return [each for each in found if each.values or each.ignored]


def _by_case(names: Sequence[str]) -> Iterator[str]:
    """The columns that can hold the step, as the file spells them."""
    for wanted in STEP_COLUMNS:
        yield from (name for name in names if name.casefold() == wanted)


def _row(names: Sequence[str], cells: Sequence[str], steps: int | None) -> Reading:
    values: dict[str, float] = {}
    step = None
    for place, (name, cell) in enumerate(zip(names, cells, strict=False)):
        number = parse_number(cell) if cell.strip() else None
        if place == steps:
            step = None if number is None else whole(number)
        elif number is not None and not name_problem(name):
            values[name] = number
    if steps is not None and step is None and values:
        return Reading(None, {}, (f"{names[steps]}: {cells[steps]!r} is not an integer",))
    return Reading(step, values)


def read_json(content: bytes) -> list[Reading]:
    """What a JSON file says: final values, lists of values over the steps, or one record a step; or JSON lines.

    Values of inner objects are called ``outer/inner``. What is no number is left out.
    """
    text = content.decode("utf-8-sig", errors="replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = [record for line in text.splitlines() if (record := _object(line)) is not None]
    if isinstance(data, list):
        return [_record(record) for record in data if isinstance(record, dict)]
    return _object_readings(data) if isinstance(data, dict) else []


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _record(record: Mapping[str, Any]) -> Reading:
    """One record of a list: its step, and its other numbers."""
    key = next(iter(_by_case([str(name) for name in record])), None)
    step = whole(number_of(record[key])) if key is not None else None
    values = {name: number for name, value in leaves(record, "") if (number := _usable(name, value)) is not None}
    return Reading(step, {name: value for name, value in values.items() if name != key})


def _object_readings(data: Mapping[str, Any]) -> list[Reading]:
    """An object: lists are series over their positions, numbers stand once, after them; a list of records is one."""
    series: dict[int, dict[str, float]] = {}
    final: dict[str, float] = {}
    records: list[Reading] = []
    for name, value in leaves(data, ""):
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            records += [_record(each) for each in value]
        elif isinstance(value, list):
            for step, each in enumerate(value):
                if (number := _usable(name, each)) is not None:
                    series.setdefault(step, {})[name] = number
        elif (number := _usable(name, value)) is not None:
            final[name] = number
    rows = [Reading(step, values) for step, values in sorted(series.items())]
    return [each for each in (*records, *rows, Reading(None, final)) if each.values]


def _usable(name: str, value: Any) -> float | None:
    return None if isinstance(value, bool) or name_problem(name) else number_of(value)


# ── TensorBoard ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_events(content: bytes) -> list[Reading]:
    """The scalars of one event file, in the order they were written; a record that is cut ends it.

    A file is a row of records, each its length, a checksum, the message and another checksum. Messages are protocol
    buffers: of an Event the step and the summary, of that each value's tag and its number, plain or as a tensor.
    """
    found: list[Reading] = []
    place = 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        message = content[place + 12 : place + 12 + length]
        place += 16 + length
        if len(message) < length or place > len(content):
            break
        try:
            found += _scalars(message)
        except (IndexError, struct.error, ValueError):
            break
    return found


def _scalars(message: bytes) -> Iterator[Reading]:
    event = _fields(message)
    step = next((value for number, value in event if number == 2 and isinstance(value, int)), 0)
    for number, summary in event:
        if number == 5 and isinstance(summary, bytes):
            for inner, value in _fields(summary):
                if inner == 1 and isinstance(value, bytes):
                    yield from _scalar(step, dict(_fields(value)))


def _scalar(step: int, value: Mapping[int, int | bytes]) -> Iterator[Reading]:
    tag, plain, tensor = value.get(1), value.get(2), value.get(8)
    number = None
    if isinstance(plain, bytes) and len(plain) == 4:
        (number,) = struct.unpack("<f", plain)
    elif isinstance(tensor, bytes):
        number = _tensor_scalar(dict(_fields(tensor)))
    if isinstance(tag, bytes) and number is not None:
        name = tag.decode("utf-8", errors="replace")
        if not name_problem(name):
            yield Reading(step if step < 2**63 else step - 2**64, {name: float(number)})


def _tensor_scalar(tensor: Mapping[int, int | bytes]) -> float | None:
    """The one number of a tensor: packed (field 4 its bytes), or as repeated floats (5) or doubles (6)."""
    kind, content, floats, doubles = (tensor.get(number) for number in (1, 4, 5, 6))
    for values, form in ((floats, "<f"), (doubles, "<d"), (content, "<d" if kind == 2 else "<f")):
        if isinstance(values, bytes) and len(values) == struct.calcsize(form) and kind in (1, 2):
            return float(struct.unpack(form, values)[0])
    return None


# ── wandb ────────────────────────────────────────────────────────────────────────────────────────────────────────

_BLOCK, _HEAD = 32768, 7
"""A wandb file is cut into blocks of this many bytes; each piece in them has a head: checksum, length, kind."""
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY, _SUMMARY = 2, 3


def read_wandb(content: bytes) -> list[Reading]:
    """The numbers of one wandb run: what was logged at each step, then the summary where it says something else.

    Inner names are joined, ``val/acc``; names that begin with ``_`` are wandb's own. A record that is cut ends the
    file. The form is LevelDB's log, its records are protocol buffers (``wandb_internal.proto``).
    """
    rows: list[Reading] = []
    final: dict[str, float] = {}
    try:
        for record in _wandb_records(content):
            for number, body in _fields(record):
                if number == _HISTORY and isinstance(body, bytes):
                    rows.append(_wandb_row(body))
                elif number == _SUMMARY and isinstance(body, bytes):
                    final |= _wandb_numbers(body)
    except (IndexError, ValueError, struct.error):
        pass  # the file was cut here; what came before it stands
    logged = {name: value for row in rows for name, value in row.values.items()}
    told = {name: value for name, value in final.items() if not _is_same(value, logged.get(name))}
    return [row for row in (*rows, Reading(None, told)) if row.values]


def _is_same(value: float, other: float | None) -> bool:
    return value == other or (other is not None and isnan(value) and isnan(other))


def _wandb_records(content: bytes) -> Iterator[bytes]:
    """The records of a file, put together from their pieces."""
    place, record = _HEAD, b""
    while place + _HEAD <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEAD:  # too small for a head: filled with zeros
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        piece = content[place + _HEAD : place + _HEAD + length]
        if len(piece) < length or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
            return
        place += _HEAD + length
        record = piece if kind in (_WHOLE, _FIRST) else record + piece
        if kind in (_WHOLE, _LAST):
            yield record


def _wandb_row(history: bytes) -> Reading:
    """One call of ``wandb.log``; its step stands beside the items, in older files among them."""
    values = _wandb_numbers(history, keep="_step")
    among = values.pop("_step", None)
    beside = [dict(_fields(body)).get(1, 0) for number, body in _fields(history) if number == 2 and type(body) is bytes]
    step = beside[0] if beside else whole(among)
    return Reading(step if isinstance(step, int) else None, values)


def _wandb_numbers(message: bytes, keep: str = "") -> dict[str, float]:
    """The numbers among the items of a history or summary record."""
    found: dict[str, float] = {}
    for number, body in _fields(message):
        if number == 1 and isinstance(body, bytes):
            item = _fields(body)
            name = "/".join(
                part.decode("utf-8", "replace") for key, part in item if key in (1, 2) and type(part) is bytes
            )
            text = next((part for key, part in item if key == 16 and isinstance(part, bytes)), b"")
            value = json.loads(text) if text else None
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if name == keep or not (name.startswith("_") or name_problem(name)):
                found[name] = float(value)
    return found


# ── protocol buffers ─────────────────────────────────────────────────────────────────────────────────────────────


def _fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number, and its whole number or its bytes."""
    found: list[tuple[int, int | bytes]] = []
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, place = _varint(message, place)
        else:
            length, place = (
                _varint(message, place) if kind == 2 else ({1: 8, 5: 4}[kind] if kind in (1, 5) else -1, place)
            )
            if length < 0 or place + length > len(message):
                raise ValueError("no protocol buffer")
            value, place = message[place : place + length], place + length
        found.append((key >> 3, value))
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("no protocol buffer")
