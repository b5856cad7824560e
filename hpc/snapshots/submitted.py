"""What was submitted of an experiment, and what Slurm says of it: one sacct and one squeue call whatever the size."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import cast

from hpc.adapters.files import is_there, move_away, read_record_or_none, readable_record
from hpc.adapters.manifest_store import load_index
from hpc.adapters.task_lines import LazyEntries, TaskLines, index_lines
from hpc.adapters.withdrawn import NOTHING, read_withdrawn
from hpc.core.errors import InputError, TemporaryError
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout, TaskLayout
from hpc.core.records.aside import Withdrawn
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.records.record import RecordError
from hpc.core.records.submitted import LOCAL, Asked
from hpc.core.records.task import TaskRecord
from hpc.core.slurm.executions import CancelledElements, Executions, JobRow, join_rows, may_bear, of_submission
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.remembered import Memory
from hpc.snapshots.states import Unreadable, without_place
from hpc.submissions.on_disk import asked_of, comment_of, list_attempts, logged_jobs

LOST_S = 300.0
"""After this long a job that neither sacct nor squeue knows is lost; before, it may just not be listed yet."""


@immutable
class Submitted:
    """A submission somebody asked Slurm (or the local backend) for.

    Attributes:
        asked: Receipt, or the intent where there is no receipt (yet); None after a plain sbatch.
        jobs: Array job ids known to be its own.
        cancelled: Elements kept as cancelled before they began, by `element_name`.
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

    def is_lost(self, answer: "Answer") -> bool:
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
class Answer:
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


Prepared = tuple[SubmissionLayout, SubmissionIndex]
"""A submission and what is to run in it."""


def was_sent_to_slurm(prepared: Sequence[Prepared]) -> bool:
    """Whether a submission is known to have gone there.

    A script that somebody sent from another machine does no harm where this says no: a run is claimed before it begins.
    """
    mine = [each for each, index in prepared if index.scheduler == "slurm"]
    return any(is_there(each.intent) or is_there(each.receipt) or logged_jobs(each) for each in mine)


def cancelled_row(job: str, when: float) -> JobRow:
    return JobRow(job, "", SlurmState.CANCELLED, ended=when)


def read_prepared(
    submissions: Sequence[SubmissionLayout], memory: Memory | None
) -> tuple[list[Prepared], list[Unreadable]]:
    """Read the indices that can be read; the tasks of the others can be submitted again, and claims guard them."""
    found, unreadable = [], []
    for each in submissions:
        try:
            found.append((each, (_index_in_lines(each, memory) if memory else None) or load_index(each)))
        except InputError as error:
            remedy = "to submit its tasks again, move it away first: " + move_away(each.home)
            unreadable.append(Unreadable(each.index, without_place(error), remedy))
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


def ask_slurm(experiment: str, since: float, now: float, user: str = "") -> Answer:
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
        return Answer(join_rows((), queue), problem=str(error))
    return Answer(join_rows(accounting, queue), now, cache(lambda: slurm_site.read_config_value("ClusterName") or ""))


def find_submitted(
    prepared: Sequence[Prepared], executions: Executions, unreadable: list[Unreadable]
) -> list[Submitted]:
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
            unreadable.append(Unreadable(path, without_place(error), remedy))
        logged = logged_jobs(each)
        commented = of_submission(executions, comment_of(index.manifest_sha, index.submission))
        received = [asked.job] if asked and asked.job not in ("", LOCAL) else []
        if asked or logged or commented:
            jobs = tuple(dict.fromkeys((*commented, *received, *logged)))
            found.append(Submitted(each, index, asked, jobs, kept_cancelled(each), read_withdrawn(each)))
    return found


def newest_row(submission: Submitted, position: int, answer: Answer) -> JobRow | None:
    """What Slurm says of an element: of the job that is not over, or the newest."""
    rows = submission.newest_rows(answer.executions, position)
    return max(rows, key=lambda each: (not each.state.is_finished, each.submitted or 0.0), default=None)


def kept_cancelled(submission: SubmissionLayout) -> Mapping[str, JobRow]:
    """Elements kept as cancelled. Should the file be damaged, Slurm may still know them; they are kept anew then."""
    try:
        kept = read_record_or_none(submission.cancelled, CancelledElements)
    except InputError:
        kept = None
    return kept.elements if kept else {}


def element_name(attempt: AttemptLayout) -> str:
    """Name an element by the attempt it would have been, such as ``X1/attempt-2``."""
    return f"{attempt.home.parent.name}/{attempt.home.name}"
