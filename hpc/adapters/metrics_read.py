"""Reading `metrics.h5` and `metrics.jsonl`, whatever stands in them: bounded, and what cannot be read is named.

A file belongs to a program of somebody else, and may be damaged. So only what is needed is opened, its kind and size
are asked before its content, and one unusable series costs that series. HDF5 itself can crash on a damaged file; who
must survive that reads through `hpc.adapters.metrics_apart`.
"""

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.adapters import files
from hpc.core.errors import InputError
from hpc.core.experiment.metric_source import name_problem

SCHEMA = 1
RECORD = np.dtype([("step", "<i8"), ("value", "<f8"), ("time", "<f8")])
RECORD_TYPE = h5py.h5t.py_create(RECORD, logical=True)
MOST_SERIES = 5_000
"""Metrics, and as many final values, that one file may have."""
MOST_ROWS = 40_000_000
"""Rows read from one file, those of all series together: 1 GB."""
MOST_JOURNAL_BYTES = 1 << 30
_MOST_LINE_BYTES = 1 << 20
_MOST_TEXT = 4096
_MOST_ATTRIBUTES = 1000
WHOSE = (b"task_id", b"attempt", b"manifest_sha", b"complete")
"""Attributes that say whose a file is, and whether it is whole: each costs as much as a series of 200 rows."""
_READ_ATTEMPTS = 3
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py and NumPy raise over a damaged file."""

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
        attributes: Root attributes: who wrote it, for which task and attempt, when.
        problems: What could not be read, and why; one sentence each.
    """

    series: dict[str, Series]
    summary: dict[str, float]
    complete: bool
    attributes: dict[str, Any]
    problems: tuple[str, ...]


def read(path: Path) -> dict[str, Series]:
    """Read every series of a metrics file: finished, being written at this moment, or left by a dead process.

    Where there is no such file but a ``metrics.jsonl`` beside it (written where h5py was missing), that one is read.
    A series that cannot be read is left out, with a `UserWarning` that says which and why. What the wrapper sampled of
    the machine meanwhile (``system.jsonl`` beside it) has names that begin with ``system/``.

    Returns:
        Metric → its steps, values and Unix times in seconds: arrays of one length, in the order logged.

    Raises:
        FileNotFoundError: There is neither.
        InputError: It is no metrics file, or no regular one, or it was cut or damaged as a whole.
    """
    return _warned(path).series | _samples(path.with_name("system.jsonl"))


def _samples(path: Path) -> dict[str, Series]:
    """What the wrapper sampled; nothing where it did not, or what is there is none of it."""
    try:
        return _read_journal(path).series if os.path.lexists(path) else {}
    except (InputError, OSError):
        return {}


def read_summary(path: Path) -> dict[str, float]:
    """Read the final values: metric → number. Warns and raises as `read`."""
    return _warned(path).summary


def read_attributes(path: Path) -> dict[str, Any]:
    """Read who wrote the file, for which task and attempt, when, and whether it is complete.

    Raises as `read`; an attribute that is not text or a number is left out.
    """
    if _is_journal(path):
        return _read_journal(_journal(path)).attributes
    return with_file(path, _attributes)


def is_complete(path: Path) -> bool:
    """Say whether the program closed the file as its last act; False where there is none. Raises as `read`."""
    try:
        return bool(read_attributes(path).get("complete", False))
    except FileNotFoundError:
        return False


def read_contents(
    path: Path, first: Sequence[str] = (), then: Callable[[h5py.File, Contents], object] = lambda *_: None
) -> Contents:
    """Read everything that tells of a run, opening the file once; of the attributes `WHOSE`.

    Args:
        path: The file; as `read`.
        first: Metrics to read before all others, should the file hold more than can be read.
        then: Takes the open HDF5 file and what was read.

    Raises:
        FileNotFoundError: There is none.
        InputError: As `read`.
    """
    if _is_journal(path):
        return _read_journal(_journal(path))

    def use(file: h5py.File) -> Contents:
        contents = contents_of(file, first, WHOSE)
        then(file, contents)
        return contents

    return with_file(path, use)


def check_name(name: str) -> None:
    """Refuse what cannot name a metric.

    Raises:
        InputError: Empty, too long, or with control characters.
    """
    if reason := name_problem(name) if isinstance(name, str) else f"{name!r:.80} cannot name a metric: it is not text":
        raise InputError(reason)


def link_of(name: str) -> str:
    """A metric's name as an HDF5 link: '/' would make groups, '.' alone means the group itself."""
    return name.replace("/", ".").strip(".") or "metric"


def _warned(path: Path) -> Contents:
    contents = read_contents(path)
    for problem in contents.problems:
        warnings.warn(f"{path}: {problem}", stacklevel=3)
    return contents


# --- HDF5 -----------------------------------------------------------------------------------------------------------


def with_file(path: Path, use: Callable[[h5py.File], _T]) -> _T:
    """Open, check and use a metrics file; a replacement seen half-way by a network file system is tried again.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is no metrics file, or it was cut or damaged.
    """
    for attempt in range(1, _READ_ATTEMPTS + 1):
        try:
            files.open_regular(path).close()
            # No HDF5 lock: the writer never changes a file's structure in place, and not all file systems have locks.
            with h5py.File(path, "r", locking=False) as file:
                _check_schema(file, path)
                return use(file)
        except FileNotFoundError:
            raise
        except DAMAGE as error:
            if attempt == _READ_ATTEMPTS:
                raise InputError(
                    f"is not a readable metrics file: it was cut off, is damaged or never was one ({_short(error)})",
                    str(path),
                ) from None
            files.refresh(path.parent)
            time.sleep(0.05)
    raise AssertionError("unreachable")


def _check_schema(file: h5py.File, path: Path) -> None:
    schema = _attribute(file.id, b"schema")
    if schema is None or not all(_is_own(file, name) for name in (b"series", b"summary")):
        raise InputError("is an HDF5 file, but not one with metrics (no `schema`, `series` or `summary`)", str(path))
    if schema != SCHEMA:
        raise InputError(f"has schema {schema}; this version reads schema {SCHEMA}", str(path))


def _is_own(group: h5py.Group, link: bytes) -> bool:
    """Whether something lies in this very file, not where a link leads."""
    return link in group.id and group.id.links.get_info(link).type == h5py.h5l.TYPE_HARD


def contents_of(file: h5py.File, first: Sequence[str] = (), attributes_asked: Sequence[bytes] = ()) -> Contents:
    """Read everything of an open metrics file that can be read.

    Args:
        first: As `read_contents`.
        attributes_asked: Root attributes that are wanted; none for all of them.
    """
    problems: list[str] = []
    series = _series_of(file, problems, first)
    summary = _summary_of(file, problems, first)
    attributes = _attributes(file, attributes_asked)
    if not isinstance(attributes.get("complete"), bool):
        problems.append("has no attribute `complete` that is true or false: treated as incomplete")
    return Contents(series, summary, attributes.get("complete") is True, attributes, tuple(problems))


def _series_of(file: h5py.File, problems: list[str], first: Sequence[str] = ()) -> dict[str, Series]:
    """Read the series that can be read; what is wrong with the others is added to `problems`."""
    left = MOST_ROWS

    def take(dataset: h5py.h5d.DatasetID) -> Series:
        nonlocal left
        series = series_of(_rows_of(dataset, left))
        left -= len(series.step)
        return series

    return dict(_each(file["series"], "series", take, problems, first))


def _summary_of(file: h5py.File, problems: list[str], first: Sequence[str] = ()) -> dict[str, float]:
    """Read the final values that can be read; what is wrong with the others is added to `problems`."""
    return dict(_each(file["summary"], "final value", _scalar, problems, first))


def _each(
    group: h5py.Group,
    what: str,
    take: Callable[[h5py.h5d.DatasetID], _T],
    problems: list[str],
    first: Sequence[str],
) -> Iterator[tuple[str, _T]]:
    """What is taken from each data set of a group, under the name it was logged as; no name twice."""
    seen: set[str] = set()
    for link in _links(group, what, problems, first):
        try:
            dataset = own_dataset(group, link)
            name = logged_name(dataset, link)
            if name in seen:
                raise InputError(f"is a second {what} called {name}")
            taken = take(dataset)
        except (InputError, *DAMAGE) as error:
            problems.append(f"{what} {_shown(link)}: {_short(error)}")
            continue
        seen.add(name)
        yield name, taken


def _links(group: h5py.Group, what: str, problems: list[str], first: Sequence[str]) -> list[bytes]:
    """The links of a group, at most `MOST_SERIES` of them, wanted ones first."""
    found: list[bytes] = []

    def add(link: bytes) -> bool | None:
        found.append(link)
        return True if len(found) >= MOST_SERIES else None  # anything but None ends it

    wanted = [link for link in (link_of(name).encode("utf-8", "surrogateescape") for name in first) if link in group.id]
    group.id.links.iterate(add)
    count = group.id.get_num_objs()
    if count > MOST_SERIES:
        problems.append(f"holds {count:,} entries for a {what}; the first {MOST_SERIES:,} are read")
    return list(dict.fromkeys([*wanted, *found]))[:MOST_SERIES]


def own_dataset(group: h5py.Group, link: bytes) -> h5py.h5d.DatasetID:
    """A data set of this file whose content lies in this file.

    Raises:
        InputError: It is none, or its content lies elsewhere; other files are nobody's results.
    """
    if group.id.links.get_info(link).type != h5py.h5l.TYPE_HARD:
        raise InputError("is a link; links are not followed")
    dataset = h5py.h5o.open(group.id, link)
    if not isinstance(dataset, h5py.h5d.DatasetID):
        raise InputError("is not a data set")
    kept = dataset.get_create_plist()
    layout = kept.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        raise InputError("is a virtual data set of other files, which are not read")
    if kept.get_external_count():
        raise InputError("keeps its content in another file, which is not read")
    if layout == h5py.h5d.CHUNKED and np.prod(kept.get_chunk(), dtype=float) > MOST_ROWS:
        raise InputError(f"is stored in pieces of {kept.get_chunk()}: too large to unpack")
    return dataset


def logged_name(dataset: h5py.h5d.DatasetID, link: bytes) -> str:
    """The name a metric was logged under; that of its link where it has none.

    Raises:
        InputError: It is no name.
    """
    name = _attribute(dataset, b"name") if h5py.h5a.exists(dataset, b"name") else link.decode()
    if not isinstance(name, str):
        raise InputError("has a name that is not text")
    check_name(name)
    return name


def _rows_of(dataset: h5py.h5d.DatasetID, most: int = MOST_ROWS) -> NDArray[np.void]:
    """Read all rows of a series, those for which there is only room included; at most so many."""
    shape: tuple[int, ...] = (
        dataset.shape or ()
    )  # each question makes an object of HDF5's, and costs more than its answer
    if len(shape) != 1:
        raise InputError(f"has {len(shape)} dimensions; a series has one")
    # What our own writer left is known by HDF5's own word for it: each of h5py's costs as much as reading the rows.
    kind = RECORD if dataset.get_type().equal(RECORD_TYPE) else dataset.dtype
    if not _is_record(kind):
        raise InputError(f"holds {str(kind)[:100]}, not rows of step, value and time")
    count = shape[0]
    if count * kind.itemsize > most * RECORD.itemsize:
        raise InputError(f"has {count:,} rows; {most:,} more can be read from this file")
    rows: NDArray[np.void] = np.empty(count, kind)
    if count:
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, rows, RECORD_TYPE if kind is RECORD else None)
    return rows


def _is_record(kind: np.dtype[Any]) -> bool:
    fields = {name: kind[name] for name in kind.names or ()}
    return fields.keys() == set(Series._fields) and all(
        each.kind in ("iu" if name == "step" else "fiu") and each.shape == () for name, each in fields.items()
    )


def _scalar(dataset: h5py.h5d.DatasetID) -> float:
    if dataset.get_space().get_simple_extent_type() != h5py.h5s.SCALAR or dataset.dtype.kind not in "fiu":
        raise InputError(f"is not a single number, but {str(dataset.dtype)[:100]} of shape {dataset.shape}")
    held = np.empty((), dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, held)
    return float(held)


def series_of(rows: NDArray[np.void]) -> Series:
    """The rows that are written, column by column.

    Raises:
        InputError: One of them has no time.
    """
    written = rows[: written_rows(rows)]
    if not np.isfinite(written["time"]).all():
        raise InputError("has invalid times")
    return Series(*(np.ascontiguousarray(written[field], RECORD[field]) for field in Series._fields))


def written_rows(rows: NDArray[np.void]) -> int:
    """Rows before the first unwritten one; a network file system may show later ones earlier.

    A row that is being written may be seen in part: its end new, its beginning still that of an unwritten row. A row
    that a program logged with step -1 looks so too, and counts once another stands behind it.
    """
    unwritten = np.isnan(rows["time"])
    count = int(unwritten.argmax()) if unwritten.any() else len(rows)
    torn = count < len(rows) and count > 0 and rows["step"][count - 1] == -1
    return count - 1 if torn else count


def _attributes(file: h5py.File, asked: Sequence[bytes] = ()) -> dict[str, Any]:
    names = [*asked]

    def add(name: bytes, *_: object) -> bool | None:
        names.append(name)
        return True if len(names) >= _MOST_ATTRIBUTES else None  # anything but None ends it

    if not names:
        h5py.h5a.iterate(file.id, add)
    held = {name.decode("utf-8", "replace"): _attribute(file.id, name) for name in names}
    return {name: value for name, value in held.items() if value is not None}


def _attribute(owner: Any, name: bytes) -> bool | int | float | str | None:
    """An attribute that is one text or number; None where it is absent, or something else, which is not ours."""
    if not h5py.h5a.exists(owner, name):
        return None
    attribute = h5py.h5a.open(owner, name)
    kind = attribute.dtype
    if attribute.shape != () or kind.itemsize > _MOST_TEXT:
        return None
    held = np.empty((), kind)
    attribute.read(held)
    value = held.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    is_small = isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _MOST_TEXT)
    return value if is_small else None


def _shown(link: bytes) -> str:
    """A link's name in pure ASCII: it may hold anything."""
    text = ascii(link.decode("utf-8", "surrogateescape"))
    return text if len(text) <= 80 else f"{text[:77]}…'"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# --- metrics.jsonl, where h5py was missing --------------------------------------------------------------------------


def _journal(path: Path) -> Path:
    return path.with_suffix(".jsonl")


def _is_journal(path: Path) -> bool:
    return not os.path.lexists(path) and os.path.lexists(_journal(path))


def _read_journal(path: Path) -> Contents:
    """Read a journal line by line; a line that is none of ours is named, and costs itself."""
    columns: dict[str, list[tuple[int, float, float]]] = {}
    summary: dict[str, float] = {}
    attributes: dict[str, Any] = {"complete": False}
    bad: list[str] = []
    good = 0
    for number, line in enumerate(_lines(path), start=1):
        try:
            record = json.loads(line)
            told, final, row = (_part(record, name) for name in ("attributes", "summary", "metrics"))
            final = {_name(name): float(value) for name, value in final.items()}
            rows = {_name(name): (*_moment(record), float(value)) for name, value in row.items()}
        except (InputError, ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            bad.append(f"line {number}: {_short(error)}")
            continue
        attributes.update(told)
        summary.update(final)
        for name, (step, when, value) in rows.items():
            columns.setdefault(name, []).append((step, value, when))
        good += 1
    if bad and not good:
        raise InputError(f"has no line of metrics, but a line that is not JSON or not ours ({bad[0]})", str(path))
    series = {name: series_of(np.array(rows, dtype=RECORD)) for name, rows in columns.items()}
    problems = (*bad[:10], *([f"and {len(bad) - 10} more such lines"] if len(bad) > 10 else []))
    return Contents(series, summary, attributes["complete"] is True, attributes, problems)


def _part(record: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(record, Mapping) or not isinstance(record.get(name, {}), Mapping):
        raise InputError(f"`{name}` is not there as an object")
    return record.get(name, {})  # type: ignore[no-any-return]


def _name(name: str) -> str:
    check_name(name)
    return name


def _moment(record: Mapping[str, Any]) -> tuple[int, float]:
    step, when = record["step"], record["time"]
    if type(step) is not int or not -(2**63) <= step < 2**63:
        raise InputError("`step` is not a whole number of 64 bits")
    if type(when) not in (int, float) or not np.isfinite(when):
        raise InputError("`time` is not a time")
    return step, float(when)


def _lines(path: Path) -> Iterator[bytes]:
    """Lines that were ended; what follows the last newline was cut by a kill."""
    with files.open_regular(path) as file:
        while (line := file.readline(_MOST_LINE_BYTES)).endswith(b"\n"):
            yield line
            if file.tell() > MOST_JOURNAL_BYTES:
                raise InputError(f"is larger than the {MOST_JOURNAL_BYTES:,} bytes that are read", str(path))
        if len(line) == _MOST_LINE_BYTES:
            raise InputError(f"has a line of more than {_MOST_LINE_BYTES:,} bytes", str(path))
