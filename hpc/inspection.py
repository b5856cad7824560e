"""The present state of an experiment: every task, every attempt, what Slurm says of each. Shared by the commands.

One sacct and one squeue call whatever the size; everything else is read from the run folder.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpc.adapters import proc, slurm
from hpc.adapters.files import read_json, read_json_or_none, write_json
from hpc.adapters.manifest_store import list_submissions, load_index, load_manifest, task_from_json
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, TemporaryError
from hpc.core.executions import Executions, JobRow, execution_of, join_rows, of_submission
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.core.slurm_states import SlurmState, parse_state
from hpc.core.spec import Task
from hpc.submission import comment_of, is_used, list_attempts

SETTLE_S = 60.0
"""How long Slurm may go on calling a job running after our record of its end; then our record alone decides."""
LOST_S = 300.0
"""After this long a job that neither sacct nor squeue knows is lost; before, it may just not be listed yet."""


class Progress(StrEnum):
    """How far an element or an attempt is."""

    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True)
class AttemptState:
    """One attempt, or one array element that ended before it claimed any (`record` is then None).

    Attributes:
        number: Attempt number, from 1; for an element that never started, the number it would have had.
        submission: Number of the submission that authorised it.
        job: Job it ran in; empty when nobody knows.
        progress: Whether it waits, runs or is over.
        layout: Its folder, which does not exist when it never started.
        record: ``task.json``.
        ended: ``exit.json``; None while it runs, and for ever when its node died.
        row: What Slurm says of this execution.
        entry: The element as ``index.json`` has it.
    """

    number: int
    submission: int
    job: str
    progress: Progress
    layout: AttemptLayout
    record: Mapping[str, Any] | None
    ended: Mapping[str, Any] | None
    row: JobRow | None
    entry: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TaskState:
    """One task of the manifest with everything that happened to it, oldest first."""

    task: Task
    attempts: tuple[AttemptState, ...]

    @property
    def last(self) -> AttemptState | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def is_live(self) -> bool:
        """Something of it waits or runs, so nothing new may be started."""
        return any(attempt.progress is not Progress.OVER for attempt in self.attempts)


@dataclass(frozen=True)
class Snapshot:
    """The state of an experiment at one moment.

    Attributes:
        asked_slurm: False when no submission needed Slurm, or it could not be asked (`slurm_problem` says why).
    """

    layout: RunLayout
    manifest: Mapping[str, Any]
    tasks: tuple[TaskState, ...]
    taken: float
    asked_slurm: bool = True
    slurm_problem: str = ""


@dataclass(frozen=True)
class _Submitted:
    """A submission somebody asked Slurm (or the local backend) for, with the jobs that carry its comment."""

    layout: SubmissionLayout
    index: Mapping[str, Any]
    receipt: Mapping[str, Any] | None
    jobs: tuple[str, ...]


def take_snapshot(layout: RunLayout, *, require_slurm: bool = True) -> Snapshot:
    """Read the state of an experiment.

    Args:
        require_slurm: Raise when Slurm is needed and does not answer; otherwise go on with what the files say.

    Raises:
        InputError: There is no manifest, or a file was damaged.
        TemporaryError: Slurm is needed and did not answer.
    """
    now = time.time()
    manifest = load_manifest(layout)
    prepared = [(each, load_index(each)) for each in list_submissions(layout)]
    executions: Executions = {}
    problem = ""
    # Also prepared ones: somebody may have typed `sbatch` a second ago, and only Slurm knows.
    needs_slurm = any(index["scheduler"] == "slurm" for _, index in prepared)
    if needs_slurm:
        try:
            executions = ask_slurm(layout.experiment, min(index["created"] for _, index in prepared))
        except TemporaryError as error:
            if require_slurm:
                raise
            problem = str(error)
    found = [
        _Submitted(each, index, read_json_or_none(each.receipt), _jobs_of(index, executions))
        for each, index in prepared
    ]
    submitted = [each for each in found if each.jobs or is_used(each.layout)]
    elements: dict[str, list[tuple[_Submitted, int]]] = {}
    for submission in submitted:
        for position, entry in enumerate(submission.index["entries"]):
            elements.setdefault(entry["task_id"], []).append((submission, position))
    asked = needs_slurm and not problem
    tasks = tuple(
        _task_state(layout, task_from_json(each), elements.get(each["task_id"], []), executions, now if asked else None)
        for each in manifest["tasks"]
    )
    return Snapshot(layout, manifest, tasks, now, asked, problem)


def ask_slurm(job_name: str, since: float) -> dict[str, tuple[JobRow, ...]]:
    """Ask Slurm for everything of that name: two calls."""
    accounting = slurm.query_accounting(job_name, since)
    return join_rows(accounting, slurm.query_queue(job_name))


def _jobs_of(index: Mapping[str, Any], executions: Executions) -> tuple[str, ...]:
    return tuple(of_submission(executions, comment_of(index["manifest_sha"], index["submission"])))


def _task_state(
    layout: RunLayout,
    task: Task,
    elements: Sequence[tuple[_Submitted, int]],
    executions: Executions,
    asked: float | None,
) -> TaskState:
    """Join one task's attempts on disk with the elements that were submitted for it."""
    numbers = list_attempts(layout, task.run_name)
    attempts = [
        _attempt_state(layout.task(task.run_name).attempt(number), executions, asked, is_newest=number == numbers[-1])
        for number in numbers
    ]
    for submission, position in elements:
        entry = submission.index["entries"][position]
        # Jobs of a script that was submitted twice find the attempt taken and run nothing: they are no attempts.
        if entry["attempt"] not in numbers:
            attempts.append(_unclaimed(layout, submission, position, executions, asked))
        else:
            attempts += _requeued(layout, submission, position, executions, attempts)
    return TaskState(task, tuple(sorted(attempts, key=lambda each: (each.number, each.submission))))


def _attempt_state(
    attempt: AttemptLayout, executions: Executions, asked: float | None, *, is_newest: bool
) -> AttemptState:
    record = read_json(attempt.task_json)
    ended = read_json_or_none(attempt.exit_json)
    row = _row_of(attempt, record, executions)
    over = not is_newest or _is_over(record, ended, row, asked)
    progress = Progress.OVER if over else Progress.RUNNING
    return AttemptState(attempt.number, record["submission"], record["job"], progress, attempt, record, ended, row)


def attempt_in(folder: Path) -> tuple[RunLayout, AttemptState]:
    """Read one attempt by its folder alone, as it stands: what Slurm said of it only if that was kept."""
    folder = folder.absolute()
    attempt = AttemptLayout(folder)
    record = read_json_or_none(attempt.task_json) or {}
    row = _row_of(attempt, record, {}) if record else None
    state = AttemptState(
        attempt.number,
        record.get("submission", 0),
        record.get("job", ""),
        Progress.OVER,
        attempt,
        record,
        read_json_or_none(attempt.exit_json),
        row,
    )
    return RunLayout(folder.parents[3], folder.parents[2].name), state


def _row_of(attempt: AttemptLayout, record: Mapping[str, Any], executions: Executions) -> JobRow | None:
    """What Slurm says of an attempt: what was kept of it once it was over, else what it says now."""
    kept = read_json_or_none(attempt.scheduler)
    if kept is not None:
        steps = {name: parse_state(state) for name, state in kept["steps"].items()}
        return JobRow(**{**kept, "state": parse_state(kept["state"]), "steps": steps})
    rows = executions.get(record["job"], ())
    wanted = comment_of(record["manifest_sha"], record["submission"])
    ours = [row for row in rows if row.comment in ("", wanted)]
    return execution_of(ours, record["restart_count"])


def _is_over(
    record: Mapping[str, Any], ended: Mapping[str, Any] | None, row: JobRow | None, asked: float | None
) -> bool:
    """Whether nothing more will come of an attempt. Absent is never a result: not asked means not over."""
    is_local = record["scheduler"] == "local"
    if ended is not None and (
        ended["exit_code"] == EXIT_DONE or (is_local and ended["exit_code"] != EXIT_CHECKPOINTED)
    ):
        return True
    if is_local and ended is None:
        return bool(record["host"] == proc.this_host()) and not proc.lives(record["pid"])
    if row is not None and row.state.is_finished:
        return True
    if ended is not None:
        return bool(time.time() - ended["ended"] > SETTLE_S)
    return row is None and asked is not None and asked - record["started"] > LOST_S


def _unclaimed(
    layout: RunLayout, submission: _Submitted, position: int, executions: Executions, asked: float | None
) -> AttemptState:
    """An element that was submitted and claimed nothing: it waits, is just starting, or ended before it began."""
    entry = submission.index["entries"][position]
    rows = [row for job in submission.jobs for row in executions.get(f"{job}_{position}", ())]
    row = max(rows, key=lambda each: (not each.state.is_finished, each.submitted or 0.0), default=None)
    attempt = layout.task(entry["run_name"]).attempt(entry["attempt"])
    job = row.job if row else ""
    if row is not None:
        over = row.state.is_finished
    else:
        receipt = submission.receipt or read_json_or_none(submission.layout.intent)
        over = (
            asked is not None
            and receipt is not None
            and asked - receipt["time"] > LOST_S
            and receipt.get("job") != "local"
        )
    cancelled = bool((submission.receipt or {}).get("cancelled"))
    progress = Progress.OVER if over or cancelled else Progress.WAITING
    if cancelled and row is None:
        row = JobRow(job="local", raw_id="", state=SlurmState.CANCELLED)
    return AttemptState(
        entry["attempt"], submission.index["submission"], job, progress, attempt, None, None, row, entry
    )


def _requeued(
    layout: RunLayout,
    submission: _Submitted,
    position: int,
    executions: Executions,
    attempts: Sequence[AttemptState],
) -> list[AttemptState]:
    """An element that Slurm put back into the queue after its attempt and that has not begun again."""
    mine = [each for each in attempts if each.record and each.submission == submission.index["submission"]]
    rows = executions.get(mine[-1].job, ()) if mine else ()
    if not rows or rows[-1].state.is_finished or mine[-1].progress is not Progress.OVER:
        return []
    newest = mine[-1]
    is_another = len(rows) - 1 > (newest.record or {})["restart_count"] or rows[-1].state.is_waiting
    number = newest.number + 1
    if not is_another or any(each.number == number for each in attempts):
        return []
    entry = submission.index["entries"][position]
    again = layout.task(entry["run_name"]).attempt(number)
    return [AttemptState(number, newest.submission, newest.job, Progress.WAITING, again, None, None, rows[-1], entry)]


def keep_scheduler_record(attempt: AttemptState) -> None:
    """Keep what Slurm said of an attempt that is over, because Slurm forgets."""
    if attempt.record and attempt.row and attempt.row.state.is_finished and not attempt.layout.scheduler.exists():
        write_json(attempt.layout.scheduler, asdict(attempt.row))
