"""``collected/results.h5``: every run's numbers in columns, so that 10,000 runs are read in a second."""

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.adapters.files import make_folder, mode_in
from hpc.adapters.sparse_file import SparseFile, write_at
from hpc.core.errors import InputError
from hpc.core.records.columns import link_names

SCHEMA = 1
Column = NDArray[np.int64] | NDArray[np.float64]


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

    task_id: Sequence[str]
    run_name: Sequence[str]
    outcome: Sequence[str]
    failure_class: Sequence[str]
    attempts: Sequence[int]
    altered: Sequence[bool]


def write_results(
    path: Path,
    attributes: Mapping[str, str | float],
    tasks: TaskColumns,
    summary: Mapping[str, NDArray[np.float64]],
    series: Mapping[str, Sequence[Rows]],
) -> None:
    """Replace the file as a whole. HDF5 describes it in memory, and we write the columns: a full disk is an error.

    Args:
        attributes: Root attributes besides the schema.
        tasks: What happened to each task.
        summary: Metric → one value per task, NaN where there is none.
        series: Metric → rows of its attempts, in order.

    Raises:
        OSError: The disk is full or the folder not writable; the old file is as it was.
    """
    make_folder(path.parent)
    image = SparseFile()
    columns: list[tuple[int, Column]] = []
    with h5py.File(image, "w", libver="earliest") as file:
        file.attrs.update({"schema": SCHEMA, **attributes})
        _write_tasks(file.create_group("tasks"), tasks)
        for name, link in link_names(summary).items():
            columns.append(_column(file.require_group("summary"), link, summary[name], name))
        for name, link in link_names(series).items():
            group = file.create_group(f"series/{link}")
            group.attrs["name"] = name
            columns += [_column(group, *each) for each in _series_columns(series[name])]
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_whole(temporary, image, columns)
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


def _write_whole(path: Path, image: SparseFile, columns: Iterable[tuple[int, Column]]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_in(path.parent))
    try:
        image.write_to(descriptor)
        for offset, values in columns:
            write_at(descriptor, values.tobytes(), offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_tasks(group: h5py.Group, tasks: TaskColumns) -> None:
    text = h5py.string_dtype()
    for name in ("task_id", "run_name", "outcome", "failure_class"):
        group.create_dataset(name, data=np.array(getattr(tasks, name), dtype=object), dtype=text)
    group.create_dataset("attempts", data=np.array(tasks.attempts, dtype=np.int64))
    group.create_dataset("altered", data=np.array(tasks.altered, dtype=bool))


def _series_columns(rows: Sequence[Rows]) -> Iterator[tuple[str, Column]]:
    lengths = [len(each.step) for each in rows]
    yield "task", np.repeat([each.task for each in rows], lengths).astype(np.int64)
    yield "attempt", np.repeat([each.attempt for each in rows], lengths).astype(np.int64)
    yield "step", np.concatenate([each.step for each in rows]).astype(np.int64, copy=False)
    for name in ("value", "time"):
        yield name, np.concatenate([getattr(each, name) for each in rows]).astype(np.float64, copy=False)


def _column(group: h5py.Group, link: str, values: Column, name: str | None = None) -> tuple[int, Column]:
    """Make room for a column; return its place in the file with the values that belong there."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(values.dtype)
    dataset = h5py.h5d.create(group.id, link.encode(), kind, h5py.h5s.create_simple(values.shape), settings)
    if name is not None:
        h5py.Dataset(dataset).attrs["name"] = name
    return dataset.get_offset() or 0, values
