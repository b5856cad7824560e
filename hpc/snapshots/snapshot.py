"""The present state of an experiment: every task, every attempt, what Slurm says of each. Shared by the commands.

One sacct and one squeue call whatever the size; everything else is read from the run folder. What few experiments have
(Slurm, processes that may live, small files) is imported where it is met, so that `status` answers at once.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import (
    is_there,
    move_away,
    read_record,
    read_record_or_none,
    readable_record,
    refresh,
    write_json,
)
from hpc.adapters.manifest_store import check_manifest, find_manifest, list_submissions, load_index, task_from_json
from hpc.adapters.owner import owner_in_slurm
from hpc.adapters.packed import has_file
from hpc.adapters.task_lines import LazyEntries, LazyManifest, TaskLines, index_lines, manifest_lines
from hpc.adapters.withdrawn import NOTHING, read_withdrawn
from hpc.core.errors import InputError, TemporaryError
from hpc.core.experiment.spec import Task
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout, TaskLayout
from hpc.core.records.aside import Withdrawn
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.records.record import Record, RecordError
from hpc.core.records.submitted import LOCAL, Asked
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Resources
from hpc.core.slurm.executions import (
    CancelledElements,
    Executions,
    JobRow,
    execution_of,
    join_rows,
    may_bear,
    of_submission,
    share_of,
)
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.brief import whole_of
from hpc.snapshots.kept import Entry, Kept, find_kept
from hpc.snapshots.remembered import Began, Ended, Known, LateEntries, Memory, Still, Times, in_brief
from hpc.submissions.on_disk import asked_of, comment_of, list_attempts, list_runs, logged_jobs

SETTLE_S = 60.0
"""How long Slurm may go on calling a job running after our record of its end; then our record alone decides."""
MOST_NAMED = 20
"""Unreadable files that are listed one by one."""
TOLD_TO_END = "TERM"
"""The signal by which Slurm ends a job, as a wrapper notes it."""
LOST_S = 300.0
"""After this long a job that neither sacct nor squeue knows is lost; before, it may just not be listed yet."""


class Progress(StrEnum):
    """How far an element or an attempt is."""

    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


@immutable
class Unreadable:
    """A file or folder of a run that is not what we wrote: cut, edited, left by a copy or a purge.

    Attributes:
        path: The file or folder.
        problem: What was found, and what would be valid.
        remedy: A command that lets the run go on without it.
    """

    path: Path
    problem: str
    remedy: str

    def __str__(self) -> str:
        """One sentence for people."""
        return f"{self.path}: {self.problem}; {self.remedy}"


@dataclass(frozen=True)
class AttemptState:
    """One attempt, or one array element that ended before it claimed any (`record` is then None).

    Attributes:
        number: Attempt number, from 1; for an element that never started, the number it would have had.
        submission: Number of the submission that authorised it.
        job: Job it ran in; empty when nobody knows.
        progress: Whether it waits, runs or is over.
        layout: Its folder, which does not exist when it never started.
        began: ``task.json``, or what is remembered of it.
        end: ``exit.json``, or what is remembered of it; None while it runs, and for ever when its node died.
        row: What Slurm says of this execution.
        entry: The element as ``index.json`` has it, for one that never started.
        asked: What its array asks for.
        unreadable: What of its folder cannot be read; such an attempt is over, and nobody knows how it ended.
        is_packed: Whether other tasks share its array element. Its row is then what Slurm says of that element, and
            there is none for an attempt that ended before it did.
    """

    number: int
    submission: int
    job: str
    progress: Progress
    layout: AttemptLayout
    began: Began | None
    end: Ended | None
    row: JobRow | None
    entry: Element | None = None
    asked: Resources | None = None
    unreadable: Unreadable | None = None
    is_packed: bool = False

    @property
    def is_claimed(self) -> bool:
        """Whether its number is taken: a folder of that name is there, readable or not."""
        return self.began is not None or self.unreadable is not None

    @property
    def ended_with_its_element(self) -> bool:
        """Whether the end of its array element was its own: it left no end, or was told to end."""
        return self.end is None or TOLD_TO_END in self.end.signals_received

    @cached_property
    def record(self) -> TaskRecord | None:
        """``task.json`` whole; read now where it was remembered.

        Raises:
            TemporaryError: It was remembered, and changed a moment ago.
        """
        known = self.began
        return known if known is None or isinstance(known, TaskRecord) else _whole(self.layout.task_json, TaskRecord)

    @cached_property
    def ended(self) -> ExitRecord | None:
        """``exit.json`` whole; as `record`."""
        known = self.end
        return known if known is None or isinstance(known, ExitRecord) else _whole(self.layout.exit_json, ExitRecord)


R = TypeVar("R")


def _whole(path: Path, kind: type[R]) -> R:
    try:
        return read_record(path, kind)
    except (InputError, FileNotFoundError) as error:
        raise TemporaryError(f"{path} changed while it was being read ({error}); try again") from None


class LateAttempts(Sequence[AttemptState]):
    """The attempt of a run of one that ended well, made anew whenever somebody asks for it: of most runs nobody does.

    Attributes:
        run_name: The run.
        number: Of the attempt.
        submission: That authorised it.
        brief: What the newest collection kept of the run, where all that says something of it is as it was then.
        result: What that says, where a mere look has asked.
    """

    __slots__ = ("_layout", "_memory", "_times", "brief", "number", "result", "run_name", "submission")

    def __init__(self, layout: RunLayout, memory: Memory, run_name: str, told: Still) -> None:
        """Take what is remembered."""
        self._layout, self._memory, self._times = layout, memory, told.times
        self.run_name, self.number, self.submission = run_name, told.number, told.submission
        self.brief, self.result = told.brief, told.result

    @property
    def times(self) -> Times:
        """When it was what."""
        return self._memory.times(self._times)

    def without_brief(self) -> "LateAttempts":
        """The same, of which what was collected does not count."""
        told = Still(self.number, self.submission, "", self._times, None)
        return LateAttempts(self._layout, self._memory, self.run_name, told)

    def __len__(self) -> int:
        """One."""
        return 1

    @overload
    def __getitem__(self, place: int) -> AttemptState: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[AttemptState, ...]: ...
    def __getitem__(self, place: int | slice) -> AttemptState | tuple[AttemptState, ...]:
        """As of a tuple."""
        return (self._made(),)[place]

    def __iter__(self) -> Iterator[AttemptState]:
        """The attempt."""
        yield self._made()

    def __eq__(self, other: object) -> bool:
        """As a tuple of the same."""
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        """Likewise."""
        return hash((self.run_name, self.number))

    def _made(self) -> AttemptState:
        known = self._memory.known(self.run_name, self.number)
        attempt = self._layout.attempt(self.run_name, self.number)
        return _attempt_state(attempt, known.began, known.ended, known.row, Progress.OVER)


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of the manifest with everything that happened to it, oldest first.

    Attributes:
        collected: The task as the newest collection has it; None when it has not.
        kept: What stands of it although its folder, or files in it, are gone since.
        is_left: Whether an array element that it shared is over, and had not begun it.
    """

    task: Task
    attempts: Sequence[AttemptState]
    collected: Mapping[str, Any] | None = None
    kept: Kept | None = None
    is_left: bool = False

    @property
    def late(self) -> LateAttempts | None:
        """Its attempt where that is made when asked for: whoever goes through many runs asks this first.

        It is over, ended well, and can be read.
        """
        return self.attempts if isinstance(self.attempts, LateAttempts) else None

    @property
    def has_kept_result(self) -> bool:
        """Its result is gone and stands all the same: nothing is to be started for it."""
        return self.kept is not None and self.kept.is_result

    @property
    def succeeded(self) -> bool:
        """An attempt ended well, by its exit code."""
        if self.late:
            return True
        ended_well = (attempt.end is not None and attempt.end.is_done for attempt in self.attempts)
        return self.has_kept_result or any(ended_well)

    @property
    def last(self) -> AttemptState | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def is_live(self) -> bool:
        """Something of it waits or runs, so nothing new may be started."""
        return not self.late and any(attempt.progress is not Progress.OVER for attempt in self.attempts)


@immutable
class Snapshot:
    """The state of an experiment at one moment.

    Attributes:
        slurm_problem: Why Slurm could not be asked; empty when it was, or was not needed.
        unreadable: What of the run folder cannot be read besides attempts.
        asked: Submission → what each of its elements asks for.
        untouched: Outcome → tasks besides `tasks`, to which nothing has happened (`hpc.snapshots.untouched`).
        waiting_rows: What Slurm says of those of them that wait, one a task.
    """

    layout: RunLayout
    manifest: Mapping[str, Any]
    tasks: tuple[TaskState, ...]
    taken: float
    slurm_problem: str = ""
    unreadable: tuple[Unreadable, ...] = ()
    asked: Mapping[int, Resources] = field(default_factory=dict)
    untouched: Mapping[str, int] = field(default_factory=dict)
    waiting_rows: Sequence[JobRow] = ()

    @property
    def all_unreadable(self) -> list[Unreadable]:
        """Everything that cannot be read, that of attempts included."""
        of_attempts = (attempt.unreadable for task in self.tasks if not task.late for attempt in task.attempts)
        return [*self.unreadable, *(each for each in of_attempts if each)]


def name_unreadable(snapshot: Snapshot) -> list[str]:
    """A line for each thing that cannot be read, with the command that lets the run go on without it."""
    found = snapshot.all_unreadable
    lines = [f"cannot be read: {each}" for each in found[:MOST_NAMED]]
    return lines + ([f"and {len(found) - MOST_NAMED} more that cannot be read"] if len(found) > MOST_NAMED else [])


def newest_of(snapshot: Snapshot) -> dict[str, tuple[Began | None, Ended | None]]:
    """Run → its newest attempt and how that ended, where both are as they lie on disk and can be read."""
    found: dict[str, tuple[Began | None, Ended | None]] = {}
    for task in snapshot.tasks:
        claimed = [attempt for attempt in task.attempts if attempt.is_claimed]
        if claimed and claimed[-1].unreadable is None and task.kept is None:
            found[task.task.run_name] = (claimed[-1].began, claimed[-1].end)
    return found


@immutable
class _Submitted:
    """A submission somebody asked Slurm (or the local backend) for.

    Attributes:
        asked: Receipt, or the intent where there is no receipt (yet); None after a plain sbatch.
        jobs: Array job ids known to be its own.
        cancelled: Elements kept as cancelled before they began, by `_element`.
        withdrawn: Elements that are not to start any more.
        begun: Array index, and the jobs it had → whether it began any of its tasks; filled as it is asked.
    """

    layout: SubmissionLayout
    index: SubmissionIndex
    asked: Asked | None
    jobs: tuple[str, ...]
    cancelled: Mapping[str, JobRow] = field(default_factory=dict)
    withdrawn: Withdrawn = NOTHING
    begun: dict[int, bool] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether this machine's own queue has it."""
        return self.asked is not None and self.asked.job == LOCAL

    @property
    def never_to_start(self) -> set[str]:
        """Runs of which an element was withdrawn, or cancelled before it began."""
        cancelled = (element.rpartition("/")[0] for element in self.cancelled)
        return {*self.withdrawn.cancelled, *self.withdrawn.set_aside, *cancelled}

    def named(self) -> Iterable[tuple[str, str]]:
        """Task id and run of each entry."""
        entries = self.index.entries
        lazily = entries.named() if isinstance(entries, LazyEntries) else None
        return lazily or ((entry.task_id, entry.run_name) for entry in entries)

    def attempt_of(self, position: int) -> int:
        """Number of the attempt that an entry authorises."""
        entries = self.index.entries
        return entries.attempt(position) if isinstance(entries, LazyEntries) else entries[position].attempt

    def is_lost(self, answer: "_Answer") -> bool:
        """Whether Slurm, which says nothing of an element, has lost its job."""
        # After a plain sbatch nobody wrote down when; the logs of its elements are at least as old as the index.
        asked = self.asked or Asked(self.index.created)
        return answer.has_lost(asked.time, asked.cluster)

    def newest_rows(self, executions: Executions, position: int) -> list[JobRow]:
        """The newest execution of the element of an entry in each of its jobs; an id that was given again has another
        comment."""
        mark = comment_of(self.index.manifest_sha, self.index.submission)
        element = self.index.element_of(position)
        jobs = (executions.get(f"{job}_{element}") or _cancelled_as_one(executions.get(job, ())) for job in self.jobs)
        ours = ([row for row in rows if may_bear(row.comment, mark)] for rows in jobs)
        return [rows[-1] for rows in ours if rows]

    def has_begun(self, layout: RunLayout, position: int) -> bool:
        """Whether the array element of an entry, which others share, began any of them."""
        element = self.index.element_of(position)
        if element not in self.begun:
            jobs = {f"{job}_{element}" for job in self.jobs}
            runs = (layout.task(entry.run_name) for entry in self.index.entries_of(element))
            self.begun[element] = any(self._ran_in(run, jobs) for run in runs)
        return self.begun[element]

    def _ran_in(self, run: TaskLayout, jobs: Collection[str]) -> bool:
        numbers = list_attempts(RunLayout(run.home.parents[2], run.home.parents[1].name), run.home.name)
        records = (readable_record(run.attempt(number).task_json, TaskRecord) for number in numbers)
        return any(each.submission == self.index.submission and each.job in jobs for each in records if each)


def _cancelled_as_one(rows: Sequence[JobRow]) -> Sequence[JobRow]:
    """What sacct says of the array itself where it says nothing of an element: that it was cancelled before it began.

    An array that is cancelled in the moment it was submitted has one row for all that waited, under its own id.
    """
    return rows if rows and rows[-1].state is SlurmState.CANCELLED else ()


@immutable
class _Answer:
    """What Slurm was asked and when: only this cluster's silence about a job of its own means that the job is lost.

    Attributes:
        taken: Unix time; None when Slurm was not asked, or did not answer in full.
        ask_cluster: Names the cluster that answered; empty when it does not say. Asked where it makes a difference.
        problem: Who did not answer, and why; empty when all did, or nobody was asked.
        is_restored: Whether the runs came out of an archive: nothing of them waits or runs anywhere.
        living: Process on record → whether it may live; filled as it is asked.
    """

    executions: Executions
    taken: float | None = None
    ask_cluster: Callable[[], str] = str
    problem: str = ""
    is_restored: bool = False
    living: dict[tuple[str, str, str], bool] = field(default_factory=dict)

    def may_live(self, host: str, pid: str, namespace: str) -> bool:
        """Whether a process on record may still run: asked once a look, tasks of a pack share theirs."""
        from hpc.adapters import proc

        who = (host, pid, namespace)
        if who not in self.living:
            self.living[who] = proc.may_live(*who)
        return self.living[who]

    def has_lost(self, since: float, cluster: str) -> bool:
        """Whether a job of that cluster, unknown to Slurm now, has been so for too long to be merely not listed yet."""
        if self.taken is None or self.taken - since <= LOST_S:
            return False
        return not cluster or self.ask_cluster() in ("", cluster)


def take_snapshot(
    layout: RunLayout, *, require_slurm: bool = True, keep: bool = True, memory: Memory | None = None
) -> Snapshot:
    """Read the state of an experiment.

    Args:
        require_slurm: Raise when Slurm is needed and does not answer; otherwise go on with what the files say.
        keep: Let results stand whose folders are gone, as they were collected before.
        memory: What is remembered of attempts that are over, and is to be of these; None reads every record.

    Raises:
        InputError: There is no manifest, or a file was damaged.
        TemporaryError: Slurm is needed and did not answer.
    """
    manifest, asked, problem = _read_plan(layout, memory)
    seen = look_at(layout, asked, require_slurm=require_slurm, memory=memory)
    told = memory.read_entries() if memory else read_entries(layout)
    return snapshot_of(layout, manifest, seen, told if keep else {}, problem)


_Plan = tuple[Mapping[str, Any], Sequence[Task], InputError | None]


def _read_plan(layout: RunLayout, memory: Memory | None) -> _Plan:
    """The manifest, its tasks, and what is wrong with ``manifest.json``.

    Raises:
        InputError: There is none.
    """
    if memory:
        with contextlib.suppress(
            InputError, OSError, ValueError, LookupError, TypeError
        ):  # it is read as a whole, then
            lines = manifest_lines(layout.manifest)
            if lines and not memory.is_whole(lines.digest):
                check_manifest({**LazyManifest(lines)}, layout.manifest)
                memory.note_whole(lines.digest, len(lines.ids))
            if lines:
                tasks = [task_from_json(each) for each in lines.read_all()]  # never all of them as parsed
                return LazyManifest(lines), tasks, None
    manifest, problem = find_manifest(layout)
    return manifest, [task_from_json(each) for each in manifest["tasks"]], problem


def snapshot_of(
    layout: RunLayout,
    manifest: Mapping[str, Any],
    seen: "Seen",
    collected: Mapping[str, Entry],
    problem: InputError | None = None,
) -> Snapshot:
    """Join what is on disk and in Slurm with what was collected, and name what cannot be read.

    Args:
        problem: What is wrong with ``manifest.json``.
    """
    tasks = _with_collected(seen.tasks, collected)
    unreadable = (*seen.unreadable, *_unreadable_run_files(layout, problem))
    return Snapshot(layout, manifest, tasks, seen.taken, seen.problem, unreadable, seen.asked)


@immutable
class Seen:
    """What is on disk and in Slurm of some tasks.

    Attributes:
        tasks: One for each that was asked for, without what was collected.
        taken: Unix time.
        problem: Why Slurm could not be asked; empty when it was, or was not needed.
        unreadable: Files of submissions that cannot be read.
        asked: As `Snapshot.asked`.
    """

    tasks: tuple[TaskState, ...]
    taken: float
    problem: str
    unreadable: tuple[Unreadable, ...]
    asked: Mapping[int, Resources] = field(default_factory=dict)


Prepared = tuple[SubmissionLayout, SubmissionIndex]
"""A submission and what is to run in it."""


def look_at(
    layout: RunLayout,
    tasks: Sequence[Task],
    *,
    require_slurm: bool = True,
    memory: Memory | None = None,
    prepared: Sequence[Prepared] | None = None,
) -> Seen:
    """Look at tasks, of the newest plan or of an earlier one.

    Args:
        prepared: The submissions with what they say of these tasks; None: they are read.

    Raises:
        TemporaryError: Slurm is needed and did not answer.
    """
    found = ask_for(layout, require_slurm=require_slurm, prepared=prepared, memory=memory)
    return see(layout, tasks, found, memory)


@immutable
class Found:
    """What was submitted, and what Slurm says of it.

    Attributes:
        prepared: Every submission that can be read.
        submitted: Those that somebody asked for.
        answer: What Slurm said.
        taken: Unix time.
        unreadable: Files of submissions that cannot be read.
    """

    prepared: Sequence[Prepared]
    submitted: Sequence[_Submitted]
    answer: _Answer
    taken: float
    unreadable: Sequence[Unreadable]

    def waiting_row(self, submission: _Submitted, position: int) -> tuple[bool, JobRow | None]:
        """Whether an element of which nothing is on disk waits, and Slurm's row on it where there is one."""
        if submission.is_local:
            return True, None
        row = _newest_row(submission, position, self.answer)
        if row is not None:
            return row.state.is_waiting and row.started is None, row
        return not submission.is_lost(self.answer), None


def ask_for(
    layout: RunLayout,
    *,
    require_slurm: bool,
    prepared: Sequence[Prepared] | None = None,
    memory: Memory | None = None,
) -> Found:
    """Find what was submitted, and ask Slurm.

    Args:
        prepared: As `look_at`.
        memory: Likewise.

    Raises:
        TemporaryError: Slurm is needed and did not answer.
    """
    now = time.time()
    unreadable: list[Unreadable] = []
    if prepared is None:
        prepared, unreadable = _readable(list_submissions(layout), memory)
    # Also for prepared ones: somebody may have typed `sbatch` a second ago, and only Slurm knows.
    is_restored = layout.restored.exists()
    is_on_slurm = not is_restored and any(index.scheduler == "slurm" for _, index in prepared)
    since = min((index.created for _, index in prepared), default=now)
    try:
        answer = _Answer({}, is_restored=is_restored)
        if is_on_slurm:
            answer = ask_slurm(layout.experiment, since, now, owner_in_slurm(layout))
    except TemporaryError as error:
        from hpc.adapters import slurm_client

        is_needless = isinstance(error, slurm_client.NotHere) and not _was_sent_to_slurm(prepared)
        if require_slurm and not is_needless:
            raise
        is_said = not is_needless or prepared[-1][1].scheduler == "slurm"
        answer = _Answer({}, problem=str(error) if is_said else "")
    submitted = _find_submitted(prepared, answer.executions, unreadable)
    if require_slurm and answer.problem and submitted:  # a first submission needs no accounting
        raise TemporaryError(answer.problem)
    return Found(prepared, submitted, answer, now, unreadable)


def see(layout: RunLayout, tasks: Sequence[Task], found: Found, memory: Memory | None = None) -> Seen:
    """Look at tasks, once it is known what was submitted."""
    submitted, answer = found.submitted, found.answer
    wanted, elements = {task.task_id for task in tasks}, dict[str, list[tuple[_Submitted, int]]]()
    for submission in submitted:
        for position, (own, run_name) in enumerate(submission.named()):
            if own in wanted and run_name not in submission.withdrawn.set_aside:
                elements.setdefault(own, []).append((submission, position))
    has_folder = _has_folder(layout)
    states = tuple(
        _task_state(layout, task, elements.get(task.task_id, []), answer, memory, has_folder=has_folder(task.run_name))
        for task in tasks
    )
    states = _with_cancelled(_without_barred(states, submitted), submitted)
    asked = {index.submission: index.resources for _, index in found.prepared}
    return Seen(states, found.taken, answer.problem, tuple(found.unreadable), asked)


def _has_folder(layout: RunLayout) -> Callable[[str], bool]:
    """Say of runs whether something has their name: by one listing, where a hundred thousand looks would be taken."""
    try:
        return set(list_runs(layout)).__contains__
    except OSError:  # each is looked for by itself, and what is wrong is said of it
        return lambda _: True


def _was_sent_to_slurm(prepared: Sequence[Prepared]) -> bool:
    """Whether a submission is known to have gone there.

    A script that somebody sent from another machine does no harm where this says no: a run is claimed before it begins.
    """
    mine = [each for each, index in prepared if index.scheduler == "slurm"]
    return any(is_there(each.intent) or is_there(each.receipt) or logged_jobs(each) for each in mine)


def _with_cancelled(tasks: Sequence[TaskState], submitted: Sequence[_Submitted]) -> tuple[TaskState, ...]:
    """Let a person's cancelling be known where Slurm says nothing of it: on this machine, without accounting."""
    when = {(each.index.submission, run): time for each in submitted for run, time in each.withdrawn.cancelled.items()}
    return tuple(_told_cancelled(task, when) for task in tasks) if when else tuple(tasks)


def _told_cancelled(task: TaskState, when: Mapping[tuple[int, str], float]) -> TaskState:
    def told(attempt: AttemptState) -> AttemptState:
        cancelled = when.get((attempt.submission, task.task.run_name))
        is_its_end = attempt.progress is Progress.OVER and attempt.row is None and not attempt.unreadable
        if cancelled is None or not is_its_end or _ended_before_or_well(attempt, cancelled):
            return attempt
        return replace(attempt, row=_cancelled_row(attempt.job, cancelled))

    return replace(task, attempts=tuple(told(attempt) for attempt in task.attempts))


def _ended_before_or_well(attempt: AttemptState, cancelled: float) -> bool:
    return attempt.end is not None and (attempt.end.is_done or attempt.end.ended < cancelled)


def _cancelled_row(job: str, when: float) -> JobRow:
    return JobRow(job, "", SlurmState.CANCELLED, ended=when)


def _with_collected(tasks: Sequence[TaskState], entries: Mapping[str, Entry]) -> tuple[TaskState, ...]:
    """Add what was collected before, and let it stand for what is gone."""
    held = entries.held if isinstance(entries, LateEntries) else entries.get
    return tuple(_as_before(task, entries) or _with_entry(task, held(task.task.task_id)) for task in tasks)


def _as_before(task: TaskState, entries: Mapping[str, Entry]) -> TaskState | None:
    """A run on which nothing has changed since this very collection; None for every other."""
    late = task.late
    if late is None or late.brief is None or not isinstance(entries, LateEntries):
        return None
    entry = entries.late(task.task.task_id, late.brief)
    return TaskState(task.task, late, entry, None, task.is_left) if entry is not None else None


def _with_entry(task: TaskState, entry: Entry | None) -> TaskState:
    if task.late and task.late.brief:  # what it was by is not what counts now
        task = replace(task, attempts=task.late.without_brief())
    if entry is None:
        return task
    kept = find_kept(whole_of(entry), task.attempts)
    attempts = task.attempts
    if kept and kept.is_result:  # elements of attempts that are gone look as if they had never begun
        attempts = tuple(each for each in attempts if each.number not in kept.gone or each.unreadable)
    return TaskState(task.task, attempts, entry, kept, task.is_left)


def _readable(
    submissions: Sequence[SubmissionLayout], memory: Memory | None
) -> tuple[list[Prepared], list[Unreadable]]:
    """Read the indices that can be read; the tasks of the others can be submitted again, and claims guard them."""
    found, unreadable = [], []
    for each in submissions:
        try:
            found.append((each, (_index_in_lines(each, memory) if memory else None) or load_index(each)))
        except InputError as error:
            remedy = "to submit its tasks again, move it away first: " + move_away(each.home)
            unreadable.append(Unreadable(each.index, _without_place(error), remedy))
    return found, unreadable


def _index_in_lines(files: SubmissionLayout, memory: Memory) -> SubmissionIndex | None:
    """An index whose entries are parsed on demand, once it was found right as a whole.

    Returns:
        None where it is not laid out so, or cannot be read: who reads all of it says what is wrong.
    """
    try:
        return read_array(index_lines(files.index), memory)
    except (InputError, OSError, ValueError):
        return None


def read_array(lines: TaskLines | None, memory: Memory) -> SubmissionIndex | None:
    """As `_index_in_lines`, of what its file holds.

    Raises:
        InputError: It was edited; ValueError likewise.
    """
    if lines is None:
        return None
    if not memory.is_whole(lines.digest):
        index = _read_index(lines, lines.read({*lines.ids}))
        numbers = {entry.attempt for entry in index.entries}
        memory.note_whole(lines.digest, len(lines.ids), numbers.pop() if len(numbers) == 1 else None)
    entries = cast("tuple[Element, ...]", LazyEntries(lines, memory.only_attempt(lines.digest)))
    return replace(_read_index(lines, []), entries=entries)


def _read_index(lines: TaskLines, entries: list[dict[str, object]]) -> SubmissionIndex:
    """Read an index with these entries.

    Raises:
        InputError: It was edited.
    """
    try:
        return SubmissionIndex.from_json({**lines.rest, "entries": entries})
    except RecordError as error:
        raise InputError(str(error)) from None


def _unreadable_run_files(layout: RunLayout, of_manifest: InputError | None) -> Iterator[Unreadable]:
    """Name the small files of the run folder that are not what we wrote; each reader goes on as said here.

    Args:
        of_manifest: What is wrong with ``manifest.json``.
    """
    if of_manifest is not None:
        meaning = f"{_without_place(of_manifest)}: the newest copy in {layout.manifests.name}/ is read instead"
        yield Unreadable(layout.manifest, meaning, f"plan again: python -m hpc.plan {layout.experiment}")
    paths = (layout.hold, layout.held_runs, layout.accepted, layout.relaunched, layout.learned)
    refresh(layout.home)
    if not any(map(os.path.lexists, paths)):
        return
    for path, (kind, meaning) in zip(paths, _run_files(), strict=True):
        try:
            read_record_or_none(path, kind)
        except InputError as error:
            yield Unreadable(path, f"{_without_place(error)}: {meaning}", move_away(path))


def _run_files() -> tuple[tuple[type[Record], str], ...]:
    """What is in `hold`, `held_runs`, `accepted`, `relaunched` and `learned`, and how it is gone on without."""
    from hpc.core.records.hold import Accepted, HeldRuns, Hold, Relaunched
    from hpc.core.retry.learned import Learned

    return (
        (Hold, "the experiment stays held until it is released"),
        (HeldRuns, "no run starts until it is released"),
        (Accepted, "a cause that was released may hold the experiment again"),
        (Relaunched, "jobs that cannot be launched are released again"),
        (Learned, "no micro-batch is known to fit"),
    )


def _without_place(error: InputError) -> str:
    """What is wrong, without the file's name, which is said beside it."""
    return "; ".join(problem.message for problem in error.problems)


def ask_slurm(experiment: str, since: float, now: float, user: str = "") -> _Answer:
    """Ask Slurm for everything of an experiment: two calls, and one for the cluster's name where a job is missing.

    Returns:
        What squeue alone says, and a problem, where the site's accounting does not answer.

    Raises:
        TemporaryError: squeue did not answer.
    """
    from hpc.adapters import slurm, slurm_site

    queue = slurm.query_queue(experiment, user)
    try:
        accounting = slurm.query_accounting(experiment, since, user)
    except TemporaryError as error:
        return _Answer(join_rows((), queue), problem=str(error))
    return _Answer(join_rows(accounting, queue), now, cache(lambda: slurm_site.read_config_value("ClusterName") or ""))


def _find_submitted(
    prepared: Sequence[Prepared], executions: Executions, unreadable: list[Unreadable]
) -> list[_Submitted]:
    """Tell submitted arrays from prepared ones, and find their jobs.

    By comment (which many sites drop once a job is over), by receipt, and by the names of the logs that a plain
    ``sbatch`` leaves.
    """
    found = []
    for each, index in prepared:
        try:
            asked = asked_of(each)
        except InputError as error:
            asked = Asked(index.created)  # somebody asked, or there would be no such file
            path = Path(error.source)
            remedy = f"its job is then found by its comment or logs: {move_away(path)}"
            unreadable.append(Unreadable(path, _without_place(error), remedy))
        logged = logged_jobs(each)
        commented = of_submission(executions, comment_of(index.manifest_sha, index.submission))
        received = [asked.job] if asked and asked.job not in ("", LOCAL) else []
        if asked or logged or commented:
            jobs = tuple(dict.fromkeys((*commented, *received, *logged)))
            found.append(_Submitted(each, index, asked, jobs, _kept_cancelled(each), read_withdrawn(each)))
    return found


def _task_state(
    layout: RunLayout,
    task: Task,
    elements: Sequence[tuple[_Submitted, int]],
    answer: _Answer,
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
        state = _claimed(attempt, task, answer, jobs, is_newest=number == numbers[-1], memory=memory)
        jobs.add(state.job)
        attempts.insert(0, state)
    for submission, position in elements:
        # Jobs of a script that was submitted twice find the attempt taken and run nothing: they are no attempts.
        if submission.attempt_of(position) not in numbers:
            never = _unclaimed(layout, submission, position, answer)
            if never is None:
                is_left = True
            elif not answer.is_restored or never.progress is Progress.OVER:  # what waited elsewhere is none of ours
                attempts.append(never)
        else:
            attempts += _requeued(layout, submission, position, answer.executions, attempts)
    if memory and len(attempts) == 1 and (late := _late(layout, task, attempts[0], memory)):
        return TaskState(task, late, is_left=is_left)
    return TaskState(task, tuple(sorted(attempts, key=lambda each: (each.number, each.submission))), is_left=is_left)


def _still(
    layout: RunLayout, task: Task, elements: Sequence[tuple[_Submitted, int]], answer: _Answer, memory: Memory
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


def _claimed(
    attempt: AttemptLayout,
    task: Task | None,
    answer: _Answer,
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
        problem = _without_place(error) if isinstance(error, InputError) else "is missing"
        why = f"to count the attempt as never made, move it away: {move_away(attempt.home)}"
        unreadable = Unreadable(attempt.task_json, problem, why)
        return AttemptState(number, 0, "", Progress.OVER, attempt, None, None, None, unreadable=unreadable)
    try:
        end = recalled.ended if recalled else read_record_or_none(attempt.exit_json, ExitRecord)
        kept = recalled.row if recalled else _kept_row(attempt, began)
    except InputError as error:
        path = Path(error.source)
        why = f"without it the attempt is judged by what Slurm and its logs say: {move_away(path)}"
        unreadable = Unreadable(path, _without_place(error), why)
        known = AttemptState(number, began.submission, began.job, Progress.OVER, attempt, began, None, None)
        return replace(known, unreadable=unreadable)
    if memory and task and not recalled:
        memory.note(task.run_name, number, Known(began, end, kept))
        if end:
            began, end = in_brief(began, end)
    row = kept or _row_of(began, answer.executions, is_newest=began.job not in newer_jobs)
    over = not is_newest or _is_over(began, end, row, answer)
    return _attempt_state(attempt, began, end, row, Progress.OVER if over else Progress.RUNNING)


def _attempt_state(
    attempt: AttemptLayout, began: Began, end: Ended | None, row: JobRow | None, progress: Progress
) -> AttemptState:
    """Put together what was found of an attempt that was claimed.

    Args:
        row: What Slurm says of it, or of the element that it shares.
    """
    number, is_packed = attempt.number, bool(began.packed)
    state = AttemptState(number, began.submission, began.job, progress, attempt, began, end, row, is_packed=is_packed)
    if is_packed and row is not None:  # what Slurm says of an element says nothing of a task that ended by itself
        return replace(state, row=share_of(row, began.started) if state.ended_with_its_element else None)
    return state


def _check_is_of(record: Began, task: Task | None, attempt: AttemptLayout) -> None:
    """Raise InputError when a folder holds a run of another question: its numbers must not answer this one."""
    if attempt.number not in (0, record.attempt):  # 0: a folder somebody copied elsewhere
        raise InputError(f"is that of attempt {record.attempt}")
    if task is not None and record.task_id != task.task_id:
        raise InputError(
            f"holds a run of other settings (task {record.task_id} instead of {task.task_id}): the program, its "
            "arguments or the parameters have changed since"
        )


def _without_barred(tasks: Sequence[TaskState], submitted: Sequence[_Submitted]) -> tuple[TaskState, ...]:
    """Leave out elements that a failed canary kept from ever beginning: they are no attempts, and count for nothing."""
    by_number = {each.index.submission: each for each in submitted}
    by_id = {task.task.task_id: task for task in tasks}
    barred = set()
    for number, each in by_number.items():
        if canary := by_number.get(each.asked.waits_for if each.asked else 0):
            birds = [by_id[entry.task_id] for entry in canary.index.entries if entry.task_id in by_id]
            if any(_ended_badly(bird, canary.index.submission) for bird in birds):
                barred.add(number)
    if not barred:
        return tuple(tasks)

    def never_begins(attempt: AttemptState) -> bool:
        if attempt.is_claimed or attempt.submission not in barred:
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
    return last.progress is Progress.OVER and not (last.end and last.end.is_done)


def attempt_in(folder: Path) -> tuple[RunLayout, AttemptState]:
    """Read one attempt by its folder alone, as it stands: what Slurm said of it only if that was kept."""
    folder = folder.absolute()
    attempt = AttemptLayout(folder)
    state = _claimed(attempt, None, _Answer({}), (), is_newest=True)
    if state.end is not None:  # without Slurm's word on it, the record of its end is the last word
        state = replace(state, progress=Progress.OVER)
    return RunLayout(folder.parents[3], folder.parents[2].name), state


def read_task(layout: RunLayout, task: Task) -> TaskState:
    """Read one task from its folder alone: what Slurm said only where it was kept, nothing of elements that wait.

    Raises:
        InputError: Its folder holds a run of another question.
    """
    return _task_state(layout, task, (), _Answer({}))


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


def _is_over(record: Began, end: Ended | None, row: JobRow | None, answer: _Answer) -> bool:
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


def _newest_row(submission: _Submitted, position: int, answer: _Answer) -> JobRow | None:
    """What Slurm says of an element: of the job that is not over, or the newest."""
    rows = submission.newest_rows(answer.executions, position)
    return max(rows, key=lambda each: (not each.state.is_finished, each.submitted or 0.0), default=None)


def _unclaimed(layout: RunLayout, submission: _Submitted, position: int, answer: _Answer) -> AttemptState | None:
    """An element that was submitted and claimed nothing: it waits, is just starting, or ended before it began.

    Returns:
        None for a task of a pack that is over and did not come to it: nothing of it has been tried.
    """
    entry = submission.index.entries[position]
    row = _newest_row(submission, position, answer)
    attempt = layout.task(entry.run_name).attempt(entry.attempt)
    row = row or submission.cancelled.get(_element(attempt))
    withdrawn, is_packed = submission.withdrawn.cancelled.get(entry.run_name), submission.index.pack is not None
    if withdrawn is not None and (row is None or (is_packed and row.state is not SlurmState.CANCELLED)):
        row = _cancelled_row(row.job if row else "", withdrawn)
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


def _requeued(
    layout: RunLayout,
    submission: _Submitted,
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
    row = row or submission.cancelled.get(_element(again))
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


def keep_scheduler_record(attempt: AttemptState) -> None:
    """Keep what Slurm said of an attempt that is over, because Slurm forgets."""
    if attempt.began and attempt.row and attempt.row.state.is_finished and not has_file(attempt.layout.scheduler):
        write_json(attempt.layout.scheduler, asdict(attempt.row))


def keep_cancelled(snapshot: Snapshot) -> None:
    """Keep which elements were cancelled before they began: Slurm forgets, and a person's last word is no accident."""
    attempts = [each for task in snapshot.tasks if not task.late for each in task.attempts if each.began is None]
    cancelled: dict[int, dict[str, JobRow]] = {}
    for each in attempts:
        if each.row is not None and each.row.state is SlurmState.CANCELLED:
            cancelled.setdefault(each.submission, {})[_element(each.layout)] = each.row
    for number, rows in cancelled.items():
        submission = snapshot.layout.submission(number)
        known = _kept_cancelled(submission)
        if not known.keys() >= rows.keys():
            write_json(submission.cancelled, CancelledElements({**rows, **known}).to_json())


def _kept_cancelled(submission: SubmissionLayout) -> Mapping[str, JobRow]:
    """Elements kept as cancelled. Should the file be damaged, Slurm may still know them; they are kept anew then."""
    try:
        kept = read_record_or_none(submission.cancelled, CancelledElements)
    except InputError:
        kept = None
    return kept.elements if kept else {}


def _element(attempt: AttemptLayout) -> str:
    """Name an element by the attempt it would have been, such as ``X1/attempt-2``."""
    return f"{attempt.home.parent.name}/{attempt.home.name}"
