"""The primary metric of what has finished, as `status`, `collect` and `ls` show it: read where it costs little.

Metric, goal and baseline are those that the report answers by: what was sealed before any run began.
From the newest collection where that has seen the run's end, else from the small ``metrics.json`` its wrapper left; of
those `MOST_READ` at most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpc.adapters.files import read_json_or_none
from hpc.core.errors import InputError
from hpc.core.experiment.grid import CASE, Combination
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.question.best import Best, Measured, find_best, find_best_of_systems
from hpc.core.question.systems import system_parameters
from hpc.experiments.sealing import asked_first
from hpc.snapshots.states import Snapshot, TaskState

if TYPE_CHECKING:
    from hpc.rounds.judge import JudgedExperiment, JudgedTask
    from hpc.snapshots.remembered import Memory

MOST_READ = 500
BESIDE = ("outcome", "exit_code", "signal", "attempt", "complete")
"""What ``metrics.json`` says besides metrics."""


def best_now(snapshot: Snapshot, outcomes: Sequence[Outcome], memory: Memory | None = None) -> Best | None:
    """Find the best configuration among the finished runs of a snapshot; None where nothing is measured.

    Args:
        memory: What is remembered of values that no collection has seen, and takes in those that are read.
    """
    spec = asked_of(snapshot)
    name = primary_of(spec)[0]
    finished = [task for task, outcome in zip(snapshot.tasks, outcomes, strict=True) if outcome is Outcome.FINISHED]
    return best_of(spec, list(_measured(snapshot.layout, finished, name, memory)))


def best_judged(judged: JudgedExperiment) -> Best | None:
    """Find the best configuration of what a collection judged."""
    spec = asked_of(judged.snapshot)
    name = primary_of(spec)[0]
    is_primary = name == judged.frozen.spec.metrics.primary.name
    runs = [
        measured
        for task in judged.of_outcome(Outcome.FINISHED)
        if not task.altered
        for measured in _if_number(
            combination_of(task.state.task.case, task.state.task.parameters),
            _final_value(task, name, is_primary=is_primary),
        )
    ]
    return best_of(spec, runs)


def _final_value(task: JudgedTask, name: str, *, is_primary: bool) -> float | None:
    """A final value of a finished run; of a settled one the primary metric is at hand."""
    from hpc.rounds.judge import final_values

    return task.settled.brief.value if task.settled and is_primary else final_values(task).get(name)


def best_of(spec: Mapping[str, Any], runs: Sequence[Measured]) -> Best | None:
    """Find the best configuration of an experiment; among systems, whose values do not compare, by what was gained."""
    name, goal = primary_of(spec)
    baseline = spec.get("baseline") if isinstance(spec.get("baseline"), dict) else None
    ranged = tuple(spec["metrics"]["primary"].get("range") or ())
    systems = system_parameters([run.combination for run in runs], baseline, str(spec.get("type") or ""), ranged)
    if systems:
        return find_best_of_systems(runs, name, goal, baseline, systems)
    return find_best(runs, name, goal, baseline)


def primary_of(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Name and goal of the primary metric."""
    primary = spec["metrics"]["primary"]
    return str(primary["name"]), str(primary.get("goal") or "min")


def asked_of_entries(
    layout: RunLayout, manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The experiment with the question that counts, where a collection says when runs began."""
    told = [one.get("started") for entry in entries for one in entry["attempts"]]
    return asked_first(layout, manifest["spec"], [start for start in told if isinstance(start, int | float)])


def asked_of(snapshot: Snapshot) -> Mapping[str, Any]:
    """The experiment with the question that counts."""
    starts = [start for task in snapshot.tasks for start in _starts(task)]
    return asked_first(snapshot.layout, snapshot.manifest["spec"], starts)


def _starts(task: TaskState) -> Iterator[float]:
    """When its attempts began, where that is known."""
    if task.late:
        yield task.late.times.started
        return
    known = (one.began or one.row for one in task.attempts)
    yield from (one.started for one in known if one is not None and one.started is not None)


def measured_in(entries: Sequence[Mapping[str, Any]], name: str) -> list[Measured]:
    """The finished runs of a collection that have a value, without those that are altered."""
    found = []
    for entry in entries:
        value = entry["summary"].get(name)
        is_result = entry["outcome"] == Outcome.FINISHED and not entry.get("altered")
        if is_result and _is_number(value) and isinstance(entry.get("parameters"), dict):
            found.append(Measured(combination_of(entry.get("case"), entry["parameters"]), float(value)))
    return found


def combination_of(case: str | None, parameters: Mapping[str, Any]) -> Combination:
    """Parameters and case of a configuration, as baselines are compared with."""
    return {**({CASE: case} if case is not None else {}), **parameters}


def _measured(layout: RunLayout, finished: Sequence[TaskState], name: str, memory: Memory | None) -> Iterator[Measured]:
    read = 0
    for state in finished:
        combination = combination_of(state.task.case, state.task.parameters)
        if state.late and (result := state.late.result):
            yield from _if_number(combination, json.loads(result.summary).get(name))
        elif is_collected(state) and state.collected is not None:
            if not state.collected.get("altered"):
                yield from _if_number(combination, state.collected["summary"].get(name))
        elif read < MOST_READ and not (state.last and state.last.began and state.last.began.altered):
            read += 1
            yield from _if_number(combination, _left(layout, state, name, memory))


def is_collected(state: TaskState) -> bool:
    """Whether the newest collection has this very result."""
    entry, last = state.collected, state.last
    if entry is None or entry["outcome"] != Outcome.FINISHED or not entry["attempts"]:
        return False
    told = entry["attempts"][-1]
    return state.has_kept_result or last is None or (last.end is not None and told.get("ended") == last.end.ended)


def values_left(layout: RunLayout, state: TaskState) -> Iterator[tuple[str, float]]:
    """Every final value of a finished run, from where `best_now` takes that of the primary metric."""
    told = state.collected["summary"] if is_collected(state) and state.collected else _told(layout, state)
    yield from ((name, float(value)) for name, value in told.items() if name not in BESIDE and _is_number(value))


def _left(layout: RunLayout, state: TaskState, name: str, memory: Memory | None) -> object:
    """What the run's own small file says."""

    def read() -> object:
        return _told(layout, state).get(name)

    return memory.value(state.task.run_name, name, read) if memory else read()


def _told(layout: RunLayout, state: TaskState) -> Mapping[str, Any]:
    try:
        told = read_json_or_none(layout.task(state.task.run_name).metrics_json)
    except (InputError, OSError):
        return {}
    return told if isinstance(told, dict) else {}


def _if_number(combination: Combination, value: object) -> Iterator[Measured]:
    if _is_number(value):
        yield Measured(combination, float(value))  # type: ignore[arg-type]  # it is a number


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
