"""``collected/results.h5``: every run's numbers in columns, so that 10,000 runs are read in a second."""

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.adapters.curves import COLUMNS, Column, Curve, Curves
from hpc.adapters.files import make_folder, mode_in
from hpc.adapters.metrics_read import Series
from hpc.adapters.sparse_file import SparseFile, write_at
from hpc.core.errors import InputError
from hpc.core.records.columns import link_names

SCHEMA = 1


@dataclass(frozen=True)
class Rows:
    """One attempt's values of one metric.

    Attributes:
        task: Row in ``tasks/``.
        attempt: Attempt number.
        step, value, time: Arrays of equal length.
    """

    task: int
    attempt: int
    step: NDArray[np.int64]
    value: NDArray[np.float64]
    time: NDArray[np.float64]


@dataclass(frozen=True)
class TaskColumns:
    """One value per task, in manifest order."""

    task_id: list[str]
    run_name: list[str]
    outcome: list[str]
    failure_class: list[str]
    attempts: list[int]
    altered: list[bool]


def write_results(
    path: Path,
    attributes: Mapping[str, str | float],
    tasks: TaskColumns,
    summary: Mapping[str, NDArray[np.float64]],
    series: Mapping[str, Curve],
) -> None:
    """Replace the file as a whole. HDF5 describes it in memory, and we write the columns: a full disk is an error.

    Args:
        attributes: Root attributes besides the schema.
        tasks: What happened to each task.
        summary: Metric → one value per task, NaN where there is none.
        series: Metric → rows of its attempts.

    Raises:
        OSError: The disk is full or the folder not writable; the old file is as it was.
    """
    make_folder(path.parent)
    image = SparseFile()
    columns: list[tuple[int, Column]] = []
    curves: list[tuple[Curve, str, int]] = []
    with h5py.File(image, "w", libver="earliest") as file:
        file.attrs.update({"schema": SCHEMA, **attributes})
        _write_tasks(file.create_group("tasks"), tasks)
        for name, link in link_names(summary).items():
            place = _make_room(file.require_group("summary"), link, summary[name].shape, summary[name].dtype, name)
            columns.append((place, summary[name]))
        known: dict[bytes, h5py.Dataset] = {}
        for name, link in link_names(series).items():
            group = file.create_group(f"series/{link}")
            group.attrs["name"] = name
            curves += _make_columns(group, series[name], known)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_whole(temporary, image, columns, curves)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_rows(path: Path, wanted: Mapping[str, tuple[int, Collection[int]]]) -> list[tuple[str, Rows]]:
    """Read what a file holds of some attempts.

    Args:
        wanted: Task id → the row it is to have, and the attempts.

    Returns:
        Metric, and one attempt's values of it.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is damaged, or none of ours.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            known = {task_id: row for row, task_id in enumerate(file["tasks/task_id"].asstr()[()])}
            groups = file.get("series", {}).values()
            return [(str(group.attrs["name"]), rows) for group in groups for rows in _find_rows(group, known, wanted)]
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"is damaged ({' '.join(str(error).split())[:200]})", str(path)) from None


def _find_rows(
    group: h5py.Group, known: Mapping[str, int], wanted: Mapping[str, tuple[int, Collection[int]]]
) -> Iterator[Rows]:
    tasks, attempts = group["task"][()], group["attempt"][()]
    for task_id, (row, numbers) in wanted.items():
        if task_id not in known:
            continue
        start, stop = np.searchsorted(tasks, (known[task_id], known[task_id] + 1))
        for number in numbers:
            places = start + np.flatnonzero(attempts[start:stop] == number)
            if len(places):
                yield Rows(row, number, *(group[name][places] for name in ("step", "value", "time")))


def curves_of(series: Mapping[str, Sequence[Rows]], folder: Path) -> dict[str, Curve]:
    """What `write_results` takes, of rows that are in memory; metric → rows of its attempts."""
    curves = Curves(folder)
    for name, rows in series.items():
        for each in rows:
            curves.add(each.task, each.attempt, {name: Series(each.step, each.value, each.time)})
    return {name: curves.curve(name) for name in series}


_KINDS = tuple(np.dtype(kind) for kind in (np.int64, np.int64, np.int64, np.float64, np.float64))


def _write_whole(
    path: Path,
    image: SparseFile,
    columns: Iterable[tuple[int, Column]],
    curves: Iterable[tuple[Curve, str, int]],
) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_in(path.parent))
    try:
        image.write_to(descriptor)
        for offset, values in columns:
            write_at(descriptor, values.tobytes(), offset)
        for curve, column, place in curves:
            curve.write(descriptor, column, place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_tasks(group: h5py.Group, tasks: TaskColumns) -> None:
    text = h5py.string_dtype()
    for name in ("task_id", "run_name", "outcome", "failure_class"):
        group.create_dataset(name, data=np.array(getattr(tasks, name), dtype=object), dtype=text)
    group.create_dataset("attempts", data=np.array(tasks.attempts, dtype=np.int64))
    group.create_dataset("altered", data=np.array(tasks.altered, dtype=bool))


def _make_columns(
    group: h5py.Group, curve: Curve, known: dict[bytes, h5py.Dataset]
) -> Iterator[tuple[Curve, str, int]]:
    """Make room for the columns of a metric; those that another has just so are that one's.

    Args:
        known: Digest of a column → where it is; takes in these.

    Yields:
        What is to be written, and where.
    """
    for column, kind in zip(COLUMNS, _KINDS, strict=True):
        digest = curve.digest(column)
        if digest in known:
            group[column] = known[digest]
            continue
        place = _make_room(group, column, (curve.rows,), kind)
        known[digest] = group[column]
        yield curve, column, place


def _make_room(
    group: h5py.Group, link: str, shape: tuple[int, ...], dtype: np.dtype[Any], name: str | None = None
) -> int:
    """Make room for a column; return its place in the file."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind, space = h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape)
    dataset = h5py.h5d.create(group.id, link.encode(), kind, space, settings)
    if name is not None:
        h5py.Dataset(dataset).attrs["name"] = name
    return dataset.get_offset() or 0
