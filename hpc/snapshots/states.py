"""What is known of an experiment at one moment: its tasks, their attempts, and what of them cannot be read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

from hpc.adapters.files import read_record
from hpc.core.errors import InputError, TemporaryError
from hpc.core.experiment.spec import Task
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Element
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Resources
from hpc.core.slurm.executions import JobRow, share_of
from hpc.snapshots.kept import Kept
from hpc.snapshots.remembered import Began, Ended, Memory, Still, Times

MOST_NAMED = 20
"""Unreadable files that are listed one by one."""
TOLD_TO_END = "TERM"
"""The signal by which Slurm ends a job, as a wrapper notes it."""


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
        return attempt_state(attempt, known.began, known.ended, known.row, Progress.OVER)


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


def without_place(error: InputError) -> str:
    """What is wrong, without the file's name, which is said beside it."""
    return "; ".join(problem.message for problem in error.problems)


def attempt_state(
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
