"""One task's attempts: what lies on disk joined with the array elements that were submitted for it."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from hpc.adapters.files import move_away, read_record, read_record_or_none
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Task
from hpc.core.immutable import replace
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.submitted import LOCAL
from hpc.core.records.task import TaskRecord
from hpc.core.slurm.executions import Executions, JobRow, execution_of, may_bear
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.remembered import Began, Ended, Known, Memory, in_brief
from hpc.snapshots.states import (
    TOLD_TO_END,
    AttemptState,
    LateAttempts,
    Progress,
    TaskState,
    Unreadable,
    attempt_state,
    without_place,
)
from hpc.snapshots.submitted import Answer, Submitted, cancelled_row, element_name, newest_row
from hpc.submissions.on_disk import comment_of, list_attempts

SETTLE_S = 60.0
"""How long Slurm may go on calling a job running after our record of its end; then our record alone decides."""


def task_state(
    layout: RunLayout,
    task: Task,
    elements: Sequence[tuple[Submitted, int]],
    answer: Answer,
    memory: Memory | None = None,
    *,
    has_folder: bool = True,
) -> TaskState:
    """Join one task's attempts on disk with the elements that were submitted for it."""
    if has_folder and memory and (still := _still(layout, task, elements, answer, memory)):
        return TaskState(task, still)
    try:
        numbers = list[int]()
        if has_folder:
            numbers = memory.list_attempts(task.run_name) if memory else list_attempts(layout, task.run_name)
    except OSError as error:
        return TaskState(task, (_no_folder(layout, task, error),))
    attempts: list[AttemptState] = []
    jobs: set[str] = set()
    is_left = False
    for number in reversed(numbers):
        attempt = layout.attempt(task.run_name, number)
        state = claimed_attempt(attempt, task, answer, jobs, is_newest=number == numbers[-1], memory=memory)
        jobs.add(state.job)
        attempts.insert(0, state)
    for submission, position in elements:
        # Jobs of a script that was submitted twice find the attempt taken and run nothing: they are no attempts.
        if submission.attempt_of(position) not in numbers:
            never = unclaimed_element(layout, submission, position, answer)
            if never is None:
                is_left = True
            elif not answer.is_restored or never.progress is Progress.OVER:  # what waited elsewhere is none of ours
                attempts.append(never)
        else:
            attempts += requeued_element(layout, submission, position, answer.executions, attempts)
    if memory and len(attempts) == 1 and (late := _late(layout, task, attempts[0], memory)):
        return TaskState(task, late, is_left=is_left)
    return TaskState(task, tuple(sorted(attempts, key=lambda each: (each.number, each.submission))), is_left=is_left)


def _still(
    layout: RunLayout, task: Task, elements: Sequence[tuple[Submitted, int]], answer: Answer, memory: Memory
) -> LateAttempts | None:
    """The attempt of a run on which nothing has changed since it was collected, and of which nothing waits."""
    told = memory.still(task.run_name, task.task_id)
    if told is None or not _says_no_more(answer.executions, told.job):
        return None
    for submission, position in elements:
        if submission.cancelled or submission.attempt_of(position) != told.number:
            return None
    return LateAttempts(layout, memory, task.run_name, told)


def _says_no_more(executions: Executions, job: str) -> bool:
    """Whether Slurm says nothing of a job but that it ended."""
    rows = executions.get(job, ())
    return all(row.state.is_finished and row.state is not SlurmState.CANCELLED for row in rows)


def _late(layout: RunLayout, task: Task, attempt: AttemptState, memory: Memory) -> LateAttempts | None:
    """An attempt that memory can tell again as it is; None where it cannot."""
    if attempt.progress is not Progress.OVER or attempt.unreadable is not None or attempt.entry is not None:
        return None
    told = memory.late(task.run_name, attempt.number)
    return LateAttempts(layout, memory, task.run_name, told) if told else None


def _no_folder(layout: RunLayout, task: Task, error: OSError) -> AttemptState:
    """Stand for all attempts of a task whose folder cannot be listed."""
    home = layout.task(task.run_name).home
    problem = Unreadable(home, f"is not a readable folder ({error.strerror or error})", move_away(home))
    attempt = layout.task(task.run_name).attempt(1)
    return AttemptState(1, 0, "", Progress.OVER, attempt, None, None, None, unreadable=problem)


def claimed_attempt(
    attempt: AttemptLayout,
    task: Task | None,
    answer: Answer,
    newer_jobs: Collection[str],
    *,
    is_newest: bool,
    memory: Memory | None = None,
) -> AttemptState:
    """Read one attempt that has a folder.

    Args:
        task: The task it should be of; None where nobody knows.
        newer_jobs: Jobs of the attempts after it.
        is_newest: Whether there is none after it.
        memory: What is remembered of the attempts of that task.
    """
    number = attempt.number
    recalled = memory.recall(task.run_name, number) if memory and task else None
    try:
        began = recalled.began if recalled else read_record(attempt.task_json, TaskRecord)
        _check_is_of(began, task, attempt)
    except (InputError, FileNotFoundError) as error:
        problem = without_place(error) if isinstance(error, InputError) else "is missing"
        why = f"to count the attempt as never made, move it away: {move_away(attempt.home)}"
        unreadable = Unreadable(attempt.task_json, problem, why)
        return AttemptState(number, 0, "", Progress.OVER, attempt, None, None, None, unreadable=unreadable)
    try:
        end = recalled.ended if recalled else read_record_or_none(attempt.exit_json, ExitRecord)
        kept = recalled.row if recalled else _kept_row(attempt, began)
    except InputError as error:
        path = Path(error.source)
        why = f"without it the attempt is judged by what Slurm and its logs say: {move_away(path)}"
        unreadable = Unreadable(path, without_place(error), why)
        known = AttemptState(number, began.submission, began.job, Progress.OVER, attempt, began, None, None)
        return replace(known, unreadable=unreadable)
    if memory and task and not recalled:
        memory.note(task.run_name, number, Known(began, end, kept))
        if end:
            began, end = in_brief(began, end)
    row = kept or _row_of(began, answer.executions, is_newest=began.job not in newer_jobs)
    over = not is_newest or _is_over(began, end, row, answer)
    return attempt_state(attempt, began, end, row, Progress.OVER if over else Progress.RUNNING)


def _check_is_of(record: Began, task: Task | None, attempt: AttemptLayout) -> None:
    """Raise InputError when a folder holds a run of another question: its numbers must not answer this one."""
    if attempt.number not in (0, record.attempt):  # 0: a folder somebody copied elsewhere
        raise InputError(f"is that of attempt {record.attempt}")
    if task is not None and record.task_id != task.task_id:
        raise InputError(
            f"holds a run of other settings (task {record.task_id} instead of {task.task_id}): the program, its "
            "arguments or the parameters have changed since"
        )


def _kept_row(attempt: AttemptLayout, record: Began) -> JobRow | None:
    """What was kept of Slurm's word on an attempt once it was over.

    Raises:
        InputError: It cannot be read.
    """
    return None if record.scheduler == LOCAL else read_record_or_none(attempt.scheduler, JobRow)


def _row_of(record: Began, executions: Executions, *, is_newest: bool) -> JobRow | None:
    """What Slurm says of an attempt now."""
    if record.scheduler == LOCAL:
        return None
    rows = executions.get(record.job, ())
    wanted = comment_of(record.manifest_sha, record.submission)
    ours = [row for row in rows if may_bear(row.comment, wanted)]
    return execution_of(ours, record.restart_count, is_newest=is_newest)


def _is_over(record: Began, end: Ended | None, row: JobRow | None, answer: Answer) -> bool:
    """Whether nothing more will come of an attempt. Absent is never a result: not asked means not over."""
    is_local = record.scheduler == LOCAL
    if answer.is_restored:
        return True
    if end is not None and (end.is_done or (is_local and not end.starts_again)):
        return True
    if is_local and end is None:
        return not answer.may_live(record.host, record.pid, record.pid_namespace)
    if row is not None and row.state.is_finished:
        return True
    if end is not None and record.packed and TOLD_TO_END not in end.signals_received:
        return not end.starts_again  # the element goes on with the others
    if end is not None:
        return time.time() - end.ended > SETTLE_S
    return row is None and answer.has_lost(record.started, record.cluster)


def unclaimed_element(layout: RunLayout, submission: Submitted, position: int, answer: Answer) -> AttemptState | None:
    """An element that was submitted and claimed nothing: it waits, is just starting, or ended before it began.

    Returns:
        None for a task of a pack that is over and did not come to it: nothing of it has been tried.
    """
    entry = submission.index.entries[position]
    row = newest_row(submission, position, answer)
    attempt = layout.task(entry.run_name).attempt(entry.attempt)
    row = row or submission.cancelled.get(element_name(attempt))
    withdrawn, is_packed = submission.withdrawn.cancelled.get(entry.run_name), submission.index.pack is not None
    if withdrawn is not None and (row is None or (is_packed and row.state is not SlurmState.CANCELLED)):
        row = cancelled_row(row.job if row else "", withdrawn)
    if row is not None:
        over = row.state.is_finished
    elif submission.is_local:
        over = False
    else:
        over = submission.is_lost(answer)
    is_cancelled = row is not None and row.state is SlurmState.CANCELLED
    if is_packed and over and not is_cancelled and submission.has_begun(layout, position):
        return None
    progress = Progress.OVER if over else Progress.WAITING
    number, job = submission.index.submission, row.job if row else ""
    asked_for = submission.index.resources
    return AttemptState(
        entry.attempt, number, job, progress, attempt, None, None, row, entry, asked_for, is_packed=is_packed
    )


def requeued_element(
    layout: RunLayout,
    submission: Submitted,
    position: int,
    executions: Executions,
    attempts: Sequence[AttemptState],
) -> list[AttemptState]:
    """An element that Slurm put back into the queue after its attempt: it waits, or was cancelled while it waited."""
    if not executions and not submission.cancelled:
        return []
    mine = [each for each in attempts if each.began and each.submission == submission.index.submission]
    if not mine or mine[-1].progress is not Progress.OVER:
        return []
    newest = mine[-1]
    if newest.is_packed and newest.end and not _goes_on(newest.end):
        return []
    row = _row_after(newest, executions)
    if row is None and not submission.cancelled:
        return []
    number = newest.number + 1
    again = layout.task(newest.layout.home.parent.name).attempt(number)
    row = row or submission.cancelled.get(element_name(again))
    if row is None or any(each.number == number for each in attempts):
        return []
    entry, progress = submission.index.entries[position], Progress.OVER if row.state.is_finished else Progress.WAITING
    state = AttemptState(number, newest.submission, newest.job, progress, again, None, None, row, entry)
    return [replace(state, asked=submission.index.resources, is_packed=newest.is_packed)]


def _goes_on(end: Ended) -> bool:
    """Whether a pack that is put back starts an attempt again, as `hpc.node.attempt.next_attempt` decides."""
    return end.starts_again or TOLD_TO_END in end.signals_received


def _row_after(attempt: AttemptState, executions: Executions) -> JobRow | None:
    """The execution of its job that comes after an attempt and has not begun: it waits, or was cancelled before."""
    if attempt.began is None:
        return None
    mark = comment_of(attempt.began.manifest_sha, attempt.began.submission)
    rows = [row for row in executions.get(attempt.job, ()) if may_bear(row.comment, mark)]
    if not rows or (rows[-1].state.is_finished and rows[-1].state is not SlurmState.CANCELLED):
        return None
    last = rows[-1]
    # Without accounting there is one row only; what was kept of the attempt tells whether that is another execution.
    was_over = attempt.row is not None and attempt.row.state not in (last.state, SlurmState.UNKNOWN)
    is_another = len(rows) - 1 > attempt.began.restart_count or last.state.is_waiting
    return last if is_another or (last.state.is_finished and was_over) else None
