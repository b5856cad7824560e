"""Which run a person means: the one that is named, or the one that is looked at now."""

from collections.abc import Sequence

from hpc.core.errors import InputError, NothingToDo, nearest_of_many
from hpc.core.experiment.spec import Task
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.rounds.cancelling import all_tasks
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState
from hpc.submissions.on_disk import list_attempts


def find_run(layout: RunLayout, name: str) -> Task:
    """The task of a run name, or of the path of its folder, as a shell completes it.

    Raises:
        InputError: There is none; the message names the nearest.
    """
    tasks = {task.run_name: task for task in all_tasks(layout).values()}
    wanted = name.rstrip("/").rsplit("/", 1)[-1] if "/" in name else name
    if wanted not in tasks:
        raise InputError(f"{layout.experiment}: no run {wanted}; {nearest_of_many(wanted, sorted(tasks))}")
    return tasks[wanted]


def find_attempt(layout: RunLayout, task: Task, number: int | None) -> int:
    """Number of an attempt of a task: the one asked for, or the newest; 0 where none has begun.

    Raises:
        InputError: It has no attempt of that number.
    """
    numbers = list_attempts(layout, task.run_name)
    if number is None:
        return max(numbers, default=0)
    if number not in numbers:
        there = f"there are {', '.join(map(str, numbers))}" if numbers else "none has begun yet"
        raise InputError(f"{task.run_name} has no attempt {number}; {there}")
    return number


def newest_run(layout: RunLayout) -> tuple[Task, str]:
    """The run a person wants to see who names none, and which one that is: it runs, it failed, or it ended last.

    Raises:
        NothingToDo: None has begun.
    """
    snapshot = take_snapshot(layout, require_slurm=False)
    for what, of in (("runs", _running(snapshot)), ("failed", _failed(snapshot)), ("ended", _begun(snapshot))):
        if of:
            state, _ = max(of, key=lambda pair: _when(pair[1]))
            return state.task, f"{state.task.run_name}, the newest that {what}"
    raise NothingToDo(f"{layout.experiment}: no run has begun; see python -m hpc.status {layout.experiment}")


Pairs = Sequence[tuple[TaskState, AttemptState]]


def _begun(snapshot: Snapshot) -> Pairs:
    return [(task, each) for task in snapshot.tasks for each in task.attempts[-1:] if each.is_claimed]


def _running(snapshot: Snapshot) -> Pairs:
    return [pair for pair in _begun(snapshot) if pair[1].progress is Progress.RUNNING]


def _failed(snapshot: Snapshot) -> Pairs:
    """Runs that failed by their own record, or by the verdict on it: one that diverged may end with exit code 0."""
    return [
        (task, newest) for task, newest in _begun(snapshot)
        if not task.is_live and (not task.succeeded or _judged(task) == (Outcome.FAILED.value, newest.number))
    ]  # fmt: skip


def _judged(task: TaskState) -> tuple[str, int]:
    """What the newest collection says of a task, and of which attempt; nothing where it has not collected it."""
    told = task.collected
    return (told["outcome"], told["attempts"][-1]["attempt"]) if told and told["attempts"] else ("", 0)


def _when(attempt: AttemptState) -> float:
    """When it ended, or began where it has not."""
    return attempt.end.ended if attempt.end else attempt.began.started if attempt.began else 0.0
