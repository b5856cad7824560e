"""The present state of an experiment: every task, every attempt, what Slurm says of each. Shared by the commands.

One sacct and one squeue call whatever the size; everything else is read from the run folder.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpc.adapters import proc, slurm
from hpc.adapters.files import read_json, read_json_or_none, write_json
from hpc.adapters.manifest_store import list_submissions, load_index, load_manifest, task_from_json
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, InputError, TemporaryError
from hpc.core.executions import Executions, JobRow, execution_of, join_rows, may_bear, of_submission
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.core.slurm_states import parse_state
from hpc.core.spec import Task
from hpc.submission import comment_of, list_attempts, logged_jobs

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
    def succeeded(self) -> bool:
        """An attempt ended well, by its exit code."""
        return any(attempt.ended and attempt.ended["exit_code"] == EXIT_DONE for attempt in self.attempts)

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
        slurm_problem: Why Slurm could not be asked; empty when it was, or was not needed.
    """

    layout: RunLayout
    manifest: Mapping[str, Any]
    tasks: tuple[TaskState, ...]
    taken: float
    slurm_problem: str = ""


@dataclass(frozen=True)
class _Submitted:
    """A submission somebody asked Slurm (or the local backend) for.

    Attributes:
        asked: Receipt, or the intent where there is no receipt (yet); None after a plain sbatch.
        jobs: Array job ids known to be its own.
    """

    layout: SubmissionLayout
    index: Mapping[str, Any]
    asked: Mapping[str, Any] | None
    jobs: tuple[str, ...]

    @property
    def is_local(self) -> bool:
        """Whether this machine's own queue has it."""
        return (self.asked or {}).get("job") == "local"

    def entry(self, position: int) -> dict[str, Any]:
        """One element, with the resources all elements share."""
        return {**self.index["entries"][position], "resources": self.index["resources"]}

    def rows(self, executions: Executions, position: int) -> list[JobRow]:
        """What Slurm says of one element; a job id that was given again carries another comment."""
        mark = comment_of(self.index["manifest_sha"], self.index["submission"])
        found = (row for job in self.jobs for row in executions.get(f"{job}_{position}", ()))
        return [row for row in found if may_bear(row.comment, mark)]


@dataclass(frozen=True)
class _Answer:
    """What Slurm was asked and when: only this cluster's silence about a job of its own means that the job is lost.

    Attributes:
        taken: Unix time; None when Slurm was not asked, or did not answer.
        cluster: The cluster that answered; empty when it did not say.
    """

    executions: Executions
    taken: float | None = None
    cluster: str = ""

    def has_lost(self, since: float, cluster: str) -> bool:
        """Whether a job of that cluster, unknown to Slurm now, has been so for too long to be merely not listed yet."""
        if self.taken is None or (cluster and self.cluster and cluster != self.cluster):
            return False
        return self.taken - since > LOST_S


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
    answer, problem = _Answer({}), ""
    # Also for prepared ones: somebody may have typed `sbatch` a second ago, and only Slurm knows.
    if any(index["scheduler"] == "slurm" for _, index in prepared):
        try:
            answer = ask_slurm(layout.experiment, min(index["created"] for _, index in prepared), now)
        except TemporaryError as error:
            if require_slurm:
                raise
            problem = str(error)
    elements: dict[str, list[tuple[_Submitted, int]]] = {}
    submitted = _find_submitted(prepared, answer.executions)
    for submission in submitted:
        for position, entry in enumerate(submission.index["entries"]):
            elements.setdefault(entry["task_id"], []).append((submission, position))
    tasks = tuple(
        _task_state(layout, task_from_json(each), elements.get(each["task_id"], []), answer)
        for each in manifest["tasks"]
    )
    return Snapshot(layout, manifest, _without_barred(tasks, submitted), now, problem)


def ask_slurm(experiment: str, since: float, now: float) -> _Answer:
    """Ask Slurm for everything of an experiment: two calls for the jobs, one for the cluster's name."""
    executions = join_rows(slurm.query_accounting(experiment, since), slurm.query_queue(experiment))
    return _Answer(executions, now, slurm.read_config_value("ClusterName") or "")


def _find_submitted(
    prepared: Sequence[tuple[SubmissionLayout, Mapping[str, Any]]], executions: Executions
) -> list[_Submitted]:
    """Tell submitted arrays from prepared ones, and find their jobs.

    By comment (which many sites drop once a job is over), by receipt, and by the names of the logs that a plain
    ``sbatch`` leaves.
    """
    found = []
    for each, index in prepared:
        asked = read_json_or_none(each.receipt) or read_json_or_none(each.intent)
        logged = logged_jobs(each)
        commented = of_submission(executions, comment_of(index["manifest_sha"], index["submission"]))
        received = [asked["job"]] if asked and asked.get("job", "local") != "local" else []
        if asked or logged or commented:
            found.append(_Submitted(each, index, asked, tuple(dict.fromkeys((*commented, *received, *logged)))))
    return found


def _task_state(
    layout: RunLayout,
    task: Task,
    elements: Sequence[tuple[_Submitted, int]],
    answer: _Answer,
) -> TaskState:
    """Join one task's attempts on disk with the elements that were submitted for it."""
    numbers = list_attempts(layout, task.run_name)
    attempts: list[AttemptState] = []
    jobs: set[str] = set()
    for number in reversed(numbers):
        attempt = layout.task(task.run_name).attempt(number)
        record = read_json(attempt.task_json)
        check_is_of(record, task, attempt)
        row = _row_of(attempt, record, answer.executions, is_newest=record["job"] not in jobs)
        jobs.add(record["job"])
        attempts.insert(0, _attempt_state(attempt, record, row, answer, is_newest=number == numbers[-1]))
    for submission, position in elements:
        entry = submission.index["entries"][position]
        # Jobs of a script that was submitted twice find the attempt taken and run nothing: they are no attempts.
        if entry["attempt"] not in numbers:
            attempts.append(_unclaimed(layout, submission, position, answer))
        else:
            attempts += _requeued(layout, submission, position, answer.executions, attempts)
    return TaskState(task, tuple(sorted(attempts, key=lambda each: (each.number, each.submission))))


def check_is_of(record: Mapping[str, Any], task: Task, attempt: AttemptLayout) -> None:
    """Raise InputError when a folder holds a run of another question: its numbers must not answer this one."""
    if record["task_id"] != task.task_id:
        raise InputError(
            f"{attempt.home} holds a run of other settings (task {record['task_id']}, asked is {task.task_id}): the "
            f"program, its arguments or the parameters were changed since. Rename the experiment, or move it away"
        )


def _without_barred(tasks: Sequence[TaskState], submitted: Sequence[_Submitted]) -> tuple[TaskState, ...]:
    """Leave out elements that a failed canary kept from ever beginning: they are no attempts, and count for nothing."""
    by_number = {each.index["submission"]: each for each in submitted}
    by_id = {task.task.task_id: task for task in tasks}
    barred = set()
    for number, each in by_number.items():
        if canary := by_number.get((each.asked or {}).get("waits_for", 0)):
            birds = [by_id[entry["task_id"]] for entry in canary.index["entries"] if entry["task_id"] in by_id]
            if any(_ended_badly(bird, canary.index["submission"]) for bird in birds):
                barred.add(number)

    def never_begins(attempt: AttemptState) -> bool:
        if attempt.record is not None or attempt.submission not in barred:
            return False
        return attempt.progress is Progress.OVER or by_number[attempt.submission].is_local

    return tuple(
        replace(task, attempts=tuple(each for each in task.attempts if not never_begins(each))) for task in tasks
    )


def _ended_badly(task: TaskState, submission: int) -> bool:
    """Whether what a submission started of a task is over and did not succeed; or never was its own."""
    mine = [attempt for attempt in task.attempts if attempt.submission == submission]
    if not mine:
        return True
    last = mine[-1]
    return last.progress is Progress.OVER and not (last.ended and last.ended["exit_code"] == EXIT_DONE)


def _attempt_state(
    attempt: AttemptLayout, record: Mapping[str, Any], row: JobRow | None, answer: _Answer, *, is_newest: bool
) -> AttemptState:
    ended = read_json_or_none(attempt.exit_json)
    over = not is_newest or _is_over(record, ended, row, answer)
    progress = Progress.OVER if over else Progress.RUNNING
    return AttemptState(attempt.number, record["submission"], record["job"], progress, attempt, record, ended, row)


def attempt_in(folder: Path) -> tuple[RunLayout, AttemptState]:
    """Read one attempt by its folder alone, as it stands: what Slurm said of it only if that was kept."""
    folder = folder.absolute()
    attempt = AttemptLayout(folder)
    record = read_json_or_none(attempt.task_json) or {}
    ended = read_json_or_none(attempt.exit_json)
    row = _row_of(attempt, record, {}, is_newest=True) if record else None
    over = not record or ended is not None or _is_over(record, ended, row, _Answer({}))
    progress = Progress.OVER if over else Progress.RUNNING
    state = AttemptState(
        attempt.number, record.get("submission", 0), record.get("job", ""), progress, attempt, record, ended, row
    )
    return RunLayout(folder.parents[3], folder.parents[2].name), state


def read_task(layout: RunLayout, task: Task) -> TaskState:
    """Read one task from its folder alone: what Slurm said only where it was kept, nothing of elements that wait.

    Raises:
        InputError: Its folder holds a run of another question.
    """
    return _task_state(layout, task, (), _Answer({}))


def _row_of(
    attempt: AttemptLayout, record: Mapping[str, Any], executions: Executions, *, is_newest: bool
) -> JobRow | None:
    """What Slurm says of an attempt: what was kept of it once it was over, else what it says now."""
    kept = read_json_or_none(attempt.scheduler)
    if kept is not None:
        steps = {name: parse_state(state) for name, state in kept["steps"].items()}
        return JobRow(**{**kept, "state": parse_state(kept["state"]), "steps": steps})
    rows = executions.get(record["job"], ())
    wanted = comment_of(record["manifest_sha"], record["submission"])
    ours = [row for row in rows if may_bear(row.comment, wanted)]
    return execution_of(ours, record["restart_count"], is_newest=is_newest)


def _is_over(record: Mapping[str, Any], ended: Mapping[str, Any] | None, row: JobRow | None, answer: _Answer) -> bool:
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
    return row is None and answer.has_lost(record["started"], record["slurm"].get("SLURM_CLUSTER_NAME", ""))


def _unclaimed(layout: RunLayout, submission: _Submitted, position: int, answer: _Answer) -> AttemptState:
    """An element that was submitted and claimed nothing: it waits, is just starting, or ended before it began."""
    entry = submission.entry(position)
    rows = submission.rows(answer.executions, position)
    row = max(rows, key=lambda each: (not each.state.is_finished, each.submitted or 0.0), default=None)
    if row is not None:
        over = row.state.is_finished
    elif submission.is_local:
        over = False
    else:
        # After a plain sbatch nobody wrote down when; the logs of its elements are at least as old as the index.
        asked = submission.asked or {"time": submission.index["created"]}
        over = answer.has_lost(asked["time"], asked.get("cluster", ""))
    attempt = layout.task(entry["run_name"]).attempt(entry["attempt"])
    progress = Progress.OVER if over else Progress.WAITING
    number, job = submission.index["submission"], row.job if row else ""
    return AttemptState(entry["attempt"], number, job, progress, attempt, None, None, row, entry)


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
    entry = submission.entry(position)
    again = layout.task(entry["run_name"]).attempt(number)
    return [AttemptState(number, newest.submission, newest.job, Progress.WAITING, again, None, None, rows[-1], entry)]


def keep_scheduler_record(attempt: AttemptState) -> None:
    """Keep what Slurm said of an attempt that is over, because Slurm forgets."""
    if attempt.record and attempt.row and attempt.row.state.is_finished and not attempt.layout.scheduler.exists():
        write_json(attempt.layout.scheduler, asdict(attempt.row))
