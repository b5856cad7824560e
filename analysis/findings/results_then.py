"""What the ledger says of results: started anew, gone, changed since they were collected; and whether it is whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.data.frame import ExperimentFrame, computable
from analysis.findings.deviations import Deviation, few
from analysis.words import show_minute, show_number
from hpc.adapters.collected_file import read_aside
from hpc.adapters.ledger import read_json_lines
from hpc.core.errors import InputError
from hpc.core.question.ledger import ResultLine

Execution = tuple[int, float | None]


@dataclass(frozen=True)
class Consent:
    """That somebody asked, by our own commands, that a result count no more.

    Attributes:
        time: When, Unix seconds.
        task_id: Of which task.
    """

    time: float
    task_id: str


def read_consents(frame: ExperimentFrame) -> tuple[tuple[Consent, ...], str]:
    """Read what was asked for once more, and what was set aside; and why that cannot be read, empty where it can."""
    aside = [Consent(one.time, run.task_id) for _, one in read_aside(frame.layout) for run in one.runs]
    try:
        lines = read_json_lines(frame.layout.again)
    except (InputError, OSError) as error:
        return tuple(aside), f"the list of requested reruns cannot be read: {error}"
    asked = [
        Consent(float(line["time"]) if isinstance(line.get("time"), int | float) else 0.0, str(run.get("task_id")))
        for line in lines
        if isinstance(line, dict) and isinstance(line.get("runs"), list)
        for run in line["runs"]
        if isinstance(run, dict) and run.get("has_result") is True
    ]
    return (*aside, *asked), ""


def find_in_ledger(frame: ExperimentFrame, consents: Sequence[Consent]) -> Iterator[Deviation]:
    """Hold what was collected against every result that was collected before."""
    told: dict[str, list[tuple[str, str]]] = {"rerolled": [], "vanished": [], "changed_result": []}
    asked: dict[str, list[float]] = {}
    for one in consents:
        asked.setdefault(one.task_id, []).append(one.time)
    by_task = frame.sealed.ledger.by_task
    executions = _executions(frame)
    for row, (key, name) in enumerate(zip(frame.tasks["task_id"], frame.tasks["run_name"], strict=True)):
        lines = by_task.get(str(key), [])
        for kind, text in _of_task(frame, row, lines, executions.get(row), asked.get(str(key), [])):
            told[kind].append((str(name), text))
    for kind, found in told.items():
        if found:
            text = few(f"{name}: {what}" for name, what in found)
            yield Deviation(kind, text, tuple(dict.fromkeys(name for name, _ in found)))
    if frame.sealed.ledger.problems:
        yield Deviation("ledger", f"{frame.layout.ledger.name}: {few(frame.sealed.ledger.problems)}")


def values_then(frame: ExperimentFrame, task_id: str) -> str:
    """What a task gave each time, as it was collected: ``0.5, then 0.4``; empty where the ledger has none."""
    lines = [line for line in frame.sealed.ledger.by_task.get(task_id, []) if line.is_result]
    return ", then ".join(dict.fromkeys(_result(frame, line) for line in lines))


def _executions(frame: ExperimentFrame) -> dict[int, Execution]:
    """Row → its last attempt."""
    table = frame.attempts
    rows = zip(table["task"].tolist(), table["attempt"].tolist(), table["started"].tolist(), strict=True)
    return {row: (attempt, None if started is None else float(started)) for row, attempt, started in rows}


def _of_task(
    frame: ExperimentFrame,
    row: int,
    lines: Sequence[ResultLine],
    execution: Execution | None,
    asked: Sequence[float],
) -> Iterator[tuple[str, str]]:
    """The deviations of one task: kind and words."""
    for before, after in pairwise(lines):
        if before.execution == after.execution:
            if _differs(before.values, after.values) or before.outcome != after.outcome:
                yield (
                    "changed_result",
                    f"{_result(frame, before)} and later {_result(frame, after)}, of the same attempt",
                )
        elif before.is_result and not _is_allowed(before, after.attempt, after.time, asked):
            yield "rerolled", f"{_dated(frame, before)}, then {_result(frame, after)}"
    if not lines:
        return
    last, outcome = lines[-1], str(frame.tasks["outcome"].iloc[row])
    if execution is None or outcome != "finished":
        if last.is_finished and not any(time > last.time for time in asked):
            yield "vanished", f"{_dated(frame, last)}, and {outcome} now"
        return
    now = {str(name): value for name, value in frame.values.iloc[row].items()}
    if last.execution == execution and (not last.is_finished or _differs(last.values, now)):
        yield "changed_result", f"{_dated(frame, last)}, and {show_number(_primary(frame, now), 6)} now"
    elif last.execution != execution and last.is_result and not _is_allowed(last, execution[0], frame.collected, asked):
        yield "rerolled", f"{_dated(frame, last)}, then {show_number(_primary(frame, now), 6)}"


def _is_allowed(before: ResultLine, attempt: int, time: float, asked: Sequence[float]) -> bool:
    """Whether somebody asked for a run again in between, or a diverged one was tried again as the experiment says."""
    is_healed = not before.is_finished and attempt > before.attempt
    return is_healed or any(before.time <= one <= time for one in asked)


def _differs(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a metric that both have is another number, as far as it can be computed with."""
    shared = [name for name in then if name in now]
    ours, theirs = (
        computable(np.array([np.nan if one[name] is None else one[name] for name in shared], dtype=np.float64))
        for one in (then, now)
    )
    return not np.array_equal(ours, theirs, equal_nan=True)


def _dated(frame: ExperimentFrame, line: ResultLine) -> str:
    return f"{_result(frame, line)} (collected {show_minute(line.time)})"


def _result(frame: ExperimentFrame, line: ResultLine) -> str:
    """What a line says in a word or a number."""
    if not line.is_finished:
        return f"failed: {line.failure_class}" if line.failure_class else "failed"
    return show_number(_primary(frame, line.values), 6)


def _primary(frame: ExperimentFrame, values: Mapping[str, Any]) -> float | None:
    goals = frame.metric_goals
    name = goals[0].name if goals and goals[0].name in values else next(iter(values), "")
    return values.get(name)
