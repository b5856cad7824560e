"""One row a task: run, outcome, class, attempt, job, step, primary metric, time. For ``status --tasks``.

What costs little comes from records and the newest collection. Of failures that no collection has seen, logs and
metrics are looked at, `MOST_JUDGED` of them at most; the class of the others stays open.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from hpc.core.errors import InputError, Problem, nearest
from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import immutable
from hpc.rounds.outcomes_now import MOST_JUDGED, class_collected
from hpc.rounds.values_now import asked_of, primary_of, values_left
from hpc.snapshots.running import RunningTask
from hpc.snapshots.states import AttemptState, Snapshot, TaskState


@immutable
class TaskRow:
    """One task.

    Attributes:
        run_name: Its name.
        outcome: Whether its result is there.
        failure_class: Why there is none; empty where it has not failed, or nobody has looked yet.
        attempt: Number of its last attempt, that which waits included; 0 where nothing was submitted.
        job: Slurm job of that; empty where there is none.
        step: Highest step of a task that runs; None where it logged none, or does not run.
        metric: Name of the primary metric.
        value: Its last value so far, or the final one; None where it has none.
        values: Metric → final value of a finished task.
        time_s: Seconds that the last attempt took or has been running; None where it has not begun.
        parameters: Parameter → value.
        seed: Seed.
    """

    run_name: str
    outcome: str
    failure_class: str
    attempt: int
    job: str
    step: int | None
    metric: str
    value: float | None
    values: Mapping[str, float]
    time_s: float | None
    parameters: Mapping[str, object]
    seed: int


def read_outcomes(text: str | None) -> tuple[Outcome, ...]:
    """Read ``failed,running``; all outcomes where nothing is named.

    Raises:
        InputError: A word is not an outcome; all of them at once.
    """
    words = [word for word in (text or "").replace(",", " ").split() if word]
    valid = [each.value for each in Outcome]
    if wrong := [word for word in words if word not in valid]:
        raise InputError([Problem(f"'{word}' is not an outcome; {nearest(word, valid)}") for word in wrong], "--tasks")
    return tuple(each for each in Outcome if not words or each.value in words)


def list_tasks(
    snapshot: Snapshot, outcomes: Sequence[Outcome], at_work: Sequence[RunningTask], wanted: Collection[Outcome]
) -> Iterator[TaskRow]:
    """The rows of tasks with the outcomes that are wanted, in the manifest's order.

    Args:
        outcomes: One a task, as `find_outcomes` has them.
        at_work: What was read of tasks that run.
    """
    metric = primary_of(asked_of(snapshot))[0]
    running = {each.run_name: each for each in at_work}
    left = MOST_JUDGED
    for state, outcome in zip(snapshot.tasks, outcomes, strict=True):
        if outcome not in wanted:
            continue
        category = class_collected(state) if outcome is Outcome.FAILED else ""
        if category is None:
            category, left = (_class_now(snapshot, state), left - 1) if left else ("", 0)
        yield _row(snapshot, state, outcome, category, metric, running.get(state.task.run_name))


def _class_now(snapshot: Snapshot, state: TaskState) -> str:
    from hpc.rounds.judge import judge_task

    found = judge_task(snapshot.layout, state, include_running=False).failure_class
    return found.value if found else ""


def _row(
    snapshot: Snapshot, state: TaskState, outcome: Outcome, category: str, metric: str, works: RunningTask | None
) -> TaskRow:
    last = state.last
    values = dict(values_left(snapshot.layout, state)) if outcome is Outcome.FINISHED else {}
    return TaskRow(
        run_name=state.task.run_name,
        outcome=outcome.value,
        failure_class=category,
        attempt=last.number if last else 0,
        job=last.job if last else "",
        step=works.step if works else None,
        metric=works.metric if works else metric,
        value=works.value if works else values.get(metric),
        values=values,
        time_s=_time_s(last, snapshot.taken),
        parameters=dict(state.task.parameters),
        seed=state.task.seed,
    )


def _time_s(last: AttemptState | None, now: float) -> float | None:
    if last is None or last.began is None:
        return None
    if last.end is not None:
        return last.end.elapsed_s
    ended = last.row.ended if last.row and last.row.ended else None
    elapsed = (ended or now) - last.began.started
    return max(0.0, elapsed) if math.isfinite(elapsed) else None
