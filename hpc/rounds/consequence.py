"""What follows one attempt: the plan `collect` would make for its task, with its numbers. Reads the run folder only."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.adapters.manifest_store import load_manifest, task_from_json
from hpc.core.errors import InputError
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.retry.records import Declined, Retry
from hpc.snapshots.snapshot import attempt_in, read_task
from hpc.snapshots.states import Progress, Snapshot, TaskState


@dataclass(frozen=True)
class Consequence:
    """What was or will be done after an attempt.

    Attributes:
        kind: ``retry`` (planned, not done), ``declined``, ``followed`` (a later attempt is there), ``open`` (it is not
            known to be over) or ``finished`` (the task has its result).
        attempt: Number of the attempt that follows or followed; None for none.
        reason: Why, one sentence.
        changes: Each difference of that attempt with old value, new value and cause.
        next_step: What a person can do; empty for nothing.
    """

    kind: str
    attempt: int | None = None
    reason: str = ""
    changes: tuple[str, ...] = ()
    next_step: str = ""


def find_consequence(folder: Path) -> Consequence | None:
    """Say what follows the attempt in a folder; None where the folder belongs to no planned task.

    Raises:
        InputError: The manifest or a record is damaged.
    """
    layout, attempt = attempt_in(folder)
    found = _find_task(layout, folder.absolute().parent.name)
    if found is None:
        return None
    manifest, state = found
    later = next((each for each in state.attempts if each.number > attempt.number), None)
    if later is not None:
        changes = later.record.changes if later.record else ()
        return Consequence("followed", later.number, f"attempt {later.number} followed", changes)
    if attempt.progress is not Progress.OVER:
        ask = f"ask Slurm: python -m hpc.collect {layout.experiment}"
        return Consequence("open", reason="nobody has recorded its end", next_step=ask)
    return _plan(layout, manifest, state)


def _find_task(layout: RunLayout, run_name: str) -> tuple[Mapping[str, Any], TaskState] | None:
    if not layout.manifest.is_file():
        return None
    manifest = load_manifest(layout)
    task = next((each for each in manifest["tasks"] if each["run_name"] == run_name), None)
    try:
        return (manifest, read_task(layout, task_from_json(task))) if task else None
    except InputError:  # the folder holds a run of an earlier question: nothing follows it
        return None


def _plan(layout: RunLayout, manifest: Mapping[str, Any], state: TaskState) -> Consequence:
    """Ask the functions of `collect` about this one task."""
    from hpc.rounds.decide import plan_for
    from hpc.rounds.judge import judge_experiment
    from hpc.rounds.siblings_now import judge_beside_siblings
    from hpc.submissions.holds import describe_hold

    judged = judge_experiment(Snapshot(layout, manifest, (state,), time.time()))
    judged, _ = judge_beside_siblings(judged, writes=False)
    if judged.tasks[0].outcome is Outcome.FINISHED:
        return Consequence("finished", reason="the task has its result")
    plan = plan_for(judged)
    held = describe_hold(layout)
    decisions: tuple[Retry | Declined, ...] = (*plan.retry, *plan.declined)
    return _of(decisions[0], held)  # a failed task stands in its plan exactly once


def _of(decision: Retry | Declined, held: str) -> Consequence:
    if isinstance(decision, Declined):
        return Consequence("declined", None, decision.reason, next_step=decision.advice)
    goes_on = (f"goes on from {decision.resume_from}",) if decision.resume_from else ()
    altered = ("altered: it no longer measures what you asked for",) if decision.altered else ()
    changes = (*decision.changes, *goes_on, *altered)
    return Consequence("retry", decision.attempt, decision.reason, changes, held)
