"""The numbers of a round as columns: what goes into ``results.h5`` and ``tasks.csv``, with no name twice."""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from hpc.adapters.curves import Curve, Curves
from hpc.adapters.metrics_read import Series
from hpc.adapters.results_h5 import Rows, TaskColumns, read_rows
from hpc.core.errors import InputError
from hpc.core.experiment.values import is_single, render_value
from hpc.core.identity import content_hash
from hpc.core.printable import guard_cell
from hpc.core.records.columns import label_metrics, name_columns
from hpc.core.words import counted
from hpc.rounds.judge import JudgedExperiment, JudgedTask, final_values

MAX_METRICS = 2_000
"""Metrics of an experiment that get columns; the declared ones always do."""
SHOWN = 5


@dataclass(frozen=True)
class Table:
    """The numbers of all tasks, under names that every file can hold.

    Attributes:
        values: One mapping a task, in the manifest's order: metric → final value.
        summary: Metric → one value a task; NaN where there is none.
        series: Metric → the rows of all attempts, by task and attempt.
        problems: What has no column, one sentence each.
        is_renamed: Whether a metric has another name here than its program gave it, or none.
    """

    values: Sequence[Mapping[str, float]]
    summary: Mapping[str, NDArray[np.float64]]
    series: Mapping[str, Curve]
    problems: tuple[str, ...]
    is_renamed: bool


class _Finals(Sequence[Mapping[str, float]]):
    """Final values of all tasks; of those that are settled, what ten thousand have in common is held once."""

    def __init__(self, tasks: Sequence[JudgedTask]) -> None:
        """Ask each task once."""
        known: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._held: list[Mapping[str, float] | tuple[str, ...]] = []
        self._values, self._begins = array("d"), array("q")
        for task in tasks:
            found = final_values(task)
            self._begins.append(len(self._values))
            if task.settled:
                names = tuple(found)
                self._held.append(known.setdefault(names, names))
                self._values.extend(found.values())
            else:
                self._held.append(found)
        self.names = dict.fromkeys(name for each in dict.fromkeys(map(_names, self._held)) for name in each)

    def __len__(self) -> int:
        """One a task."""
        return len(self._held)

    @overload
    def __getitem__(self, place: int) -> Mapping[str, float]: ...
    @overload
    def __getitem__(self, place: slice) -> list[Mapping[str, float]]: ...
    def __getitem__(self, place: int | slice) -> Mapping[str, float] | list[Mapping[str, float]]:
        """Of one task."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        held = self._held[place]
        if not isinstance(held, tuple):
            return held
        begin = self._begins[place]
        return dict(zip(held, self._values[begin : begin + len(held)], strict=True))


def _names(held: Iterable[str]) -> tuple[str, ...]:
    return held if isinstance(held, tuple) else tuple(held)


def tabulate(judged: JudgedExperiment, curves: Curves) -> Table:
    """Put the numbers of all tasks side by side.

    Args:
        curves: Those that were read; those of runs that are gone are added.
    """
    finals = _Finals(judged.tasks)
    kept, problems = _kept_curves(judged)
    together: dict[tuple[int, int], dict[str, Series]] = {}
    for name, rows in kept:
        together.setdefault((rows.task, rows.attempt), {})[name] = Series(rows.step, rows.value, rows.time)
    for (row, attempt), found in together.items():
        curves.add(row, attempt, found)
    names = dict.fromkeys((*finals.names, *curves.names))
    declared = judged.frozen.spec.metrics
    first = [metric.name for metric in (declared.primary, *declared.secondary)]
    labels = label_metrics(names, first, MAX_METRICS)
    left_out = [name for name in names if name not in labels]
    is_renamed = bool(left_out) or any(name != label for name, label in labels.items())
    values: Sequence[Mapping[str, float]] = finals
    if is_renamed:
        values = [{labels[name]: value for name, value in each.items() if name in labels} for each in finals]
    series = {labels[name]: curves.curve(name) for name in curves.names if name in labels}
    summary = _summary_columns(values, [labels[name] for name in first if name in labels])
    return Table(values, summary, series, (*problems, *_without_column(left_out)), is_renamed)


def _without_column(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(ascii(name)[:60] for name in names[:SHOWN])
    return (
        f"{counted(len(names), 'metric has', 'metrics have')} no column in collected/, which holds {MAX_METRICS} "
        f"at most: {shown}"
        f"{', …' if len(names) > SHOWN else ''}; the runs' own metrics.h5 have them",
    )


def _kept_curves(judged: JudgedExperiment) -> tuple[list[tuple[str, Rows]], tuple[str, ...]]:
    """Read the curves of attempts that are gone from the ``results.h5`` that stands, and say when that fails."""
    wanted = {
        task.state.task.task_id: (row, task.kept.gone.keys() - {each.state.number for each in task.attempts})
        for row, task in enumerate(judged.tasks)
        if task.kept
    }
    if not wanted:
        return [], ()
    try:
        return read_rows(judged.layout.results, wanted), ()
    except (InputError, FileNotFoundError) as error:
        return [], (f"{counted(len(wanted), 'run')} whose folders are missing have lost their curves: {error}",)


def _summary_columns(values: Sequence[Mapping[str, float]], names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """One column a final value: those named, then the others by their names."""
    columns: dict[str, NDArray[np.float64]] = {}
    for row, each in enumerate(values):
        for name, value in each.items():
            if name not in columns:
                columns[name] = np.full(len(values), math.nan)
            columns[name][row] = value
    return {name: columns[name] for name in dict.fromkeys((*names, *sorted(columns))) if name in columns}


def columns_of(tasks: Sequence[JudgedTask], entries: Sequence[Mapping[str, Any]]) -> TaskColumns:
    """What happened to each task.

    Args:
        entries: The tasks of ``verdicts.json``, those that are settled in short.
    """
    columns = TaskColumns([], [], [], [], [], [])
    for task, entry in zip(tasks, entries, strict=True):
        is_settled = task.settled is not None  # nothing of it is parsed, then
        columns.task_id.append(task.state.task.task_id)
        columns.run_name.append(task.state.task.run_name)
        columns.outcome.append(task.outcome.value)
        columns.failure_class.append("" if is_settled else entry.get("failure_class") or "")
        columns.attempts.append(len(task.state.attempts if is_settled else entry["attempts"]))
        columns.altered.append(task.altered)
    return columns


_BEFORE = ("run_name", "task_id", "case")
_BETWEEN = ("seed", "outcome", "failure_class", "altered", "attempts")
_AFTER = ("evidence", "decision", "kept")
_CHECK = ("check", "check_said")
"""Where the experiment declares a check."""


@dataclass(frozen=True)
class Columns:
    """What stands in each column of ``tasks.csv``.

    Attributes:
        parameters, metrics: Name → name of its column.
        after: What stands behind them.
    """

    parameters: Mapping[str, str]
    metrics: Mapping[str, str]
    after: Sequence[str]

    @property
    def digest(self) -> str:
        """Names them: rows of the same tasks in the same columns are the same."""
        told = (list(self.parameters.items()), list(self.metrics.items()), list(self.after))
        return content_hash(told)


def csv_columns(judged: JudgedExperiment, table: Table) -> Columns:
    """The columns of ``tasks.csv``."""
    after = (*_AFTER, *(_CHECK if judged.frozen.spec.check else ()))
    names = dict.fromkeys(name for task in judged.tasks for name in task.state.task.parameters)
    parameters, metrics = name_columns((*_BEFORE, *_BETWEEN, *after), names, table.summary)
    return Columns(parameters, metrics, after)


def write_csv(
    file: BinaryIO,
    judged: JudgedExperiment,
    columns: Columns,
    entries: Sequence[Mapping[str, Any]],
    lines: Iterable[bytes],
    before: Iterable[bytes],
    sizes: array[int],
) -> Iterator[bytes]:
    """Write the same table for people and spreadsheets: one row a task, every parameter and final metric a column.

    Args:
        entries: The tasks, those that are settled in short.
        lines: Their lines of ``verdicts.json``.
        before: The rows of the collection before in the same columns; empty for a task that was not settled then.
        sizes: Takes in how many bytes each row has.

    Yields:
        Each line, once its row is written.

    Raises:
        OSError: The disk is full.
    """
    header = (*_BEFORE, *columns.parameters.values(), *_BETWEEN, *columns.metrics.values(), *columns.after)
    file.write(_row(header))
    for task, entry, line, earlier in zip(judged.tasks, entries, lines, before, strict=True):
        row = earlier
        if not row:
            whole = json.loads(line) if task.settled else entry
            cells = {**whole, "attempts": len(whole["attempts"]), "decision": whole["decision"]["reason"]}
            cells |= {"evidence": _evidence(whole)}
            row = _row((
                *(cells[name] for name in _BEFORE), *(whole["parameters"].get(name) for name in columns.parameters),
                *(cells[name] for name in _BETWEEN), *(whole["summary"].get(name) for name in columns.metrics),
                *(cells[name] for name in columns.after),
            ))  # fmt: skip
        file.write(row)
        sizes.append(len(row))
        yield line


def _row(cells: Iterable[object]) -> bytes:
    """A row of the table."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([_cell(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _evidence(task: Mapping[str, Any]) -> str:
    """The line that decided about the last attempt."""
    verdict = task["attempts"][-1]["verdict"] if task["attempts"] else None
    return str(verdict["evidence"][0]["text"]) if verdict and verdict["evidence"] else ""


def _cell(value: object) -> object:
    """Keep a spreadsheet from reading text as a formula; a list or mapping is written as JSON."""
    if not is_single(value):
        return render_value(value)
    return guard_cell(value) if isinstance(value, str) else value
