"""``collected/results.h5``: every run's numbers in columns, so that 10,000 runs are read in a second."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

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
    """Replace the file as a whole.

    Args:
        attributes: Root attributes besides the schema.
        tasks: What happened to each task.
        summary: Metric → one value per task, NaN where there is none.
        series: Metric → rows of its attempts, in order.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs.update({"schema": SCHEMA, **attributes})
            _write_tasks(file.create_group("tasks"), tasks)
            for name, values in summary.items():
                file.create_dataset(f"summary/{_flat(name)}", data=values).attrs["name"] = name
            for name, rows in series.items():
                group = file.create_group(f"series/{_flat(name)}")
                group.attrs["name"] = name
                _write_series(group, rows)
        temporary.chmod(0o600)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _flat(name: str) -> str:
    """Name a metric inside the file; '/' would nest it, so the true name is kept as an attribute."""
    return name.replace("/", ".")


def _write_tasks(group: h5py.Group, tasks: TaskColumns) -> None:
    text = h5py.string_dtype()
    for name in ("task_id", "run_name", "outcome", "failure_class"):
        group.create_dataset(name, data=np.array(getattr(tasks, name), dtype=object), dtype=text)
    group.create_dataset("attempts", data=np.array(tasks.attempts, dtype=np.int64))
    group.create_dataset("altered", data=np.array(tasks.altered, dtype=bool))


def _write_series(group: h5py.Group, rows: Sequence[Rows]) -> None:
    lengths = [len(each.step) for each in rows]
    group.create_dataset("task", data=np.repeat([each.task for each in rows], lengths).astype(np.int64))
    group.create_dataset("attempt", data=np.repeat([each.attempt for each in rows], lengths).astype(np.int64))
    for column in ("step", "value", "time"):
        group.create_dataset(column, data=np.concatenate([getattr(each, column) for each in rows]))
