"""The present state of an experiment: every task, every attempt, what Slurm says of each. Shared by the commands.

One sacct and one squeue call whatever the size; everything else is read from the run folder. What few experiments have
(Slurm, processes that may live, small files) is imported where it is met, so that `status` answers at once.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import move_away, read_record_or_none, refresh, write_json
from hpc.adapters.manifest_store import check_manifest, find_manifest, list_submissions, task_from_json
from hpc.adapters.owner import owner_in_slurm
from hpc.adapters.packed import has_file
from hpc.adapters.task_lines import LazyManifest, manifest_lines
from hpc.core.errors import InputError, TemporaryError
from hpc.core.experiment.spec import Task
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.record import Record
from hpc.core.resources import Resources
from hpc.core.slurm.executions import CancelledElements, JobRow
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.attempts import claimed_attempt, task_state
from hpc.snapshots.brief import whole_of
from hpc.snapshots.kept import Entry, find_kept
from hpc.snapshots.remembered import LateEntries, Memory
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState, Unreadable, without_place
from hpc.snapshots.submitted import (
    Answer,
    Prepared,
    Submitted,
    ask_slurm,
    cancelled_row,
    element_name,
    find_submitted,
    kept_cancelled,
    newest_row,
    read_prepared,
    was_sent_to_slurm,
)
from hpc.submissions.on_disk import list_runs


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
    submitted: Sequence[Submitted]
    answer: Answer
    taken: float
    unreadable: Sequence[Unreadable]

    def waiting_row(self, submission: Submitted, position: int) -> tuple[bool, JobRow | None]:
        """Whether an element of which nothing is on disk waits, and Slurm's row on it where there is one."""
        if submission.is_local:
            return True, None
        row = newest_row(submission, position, self.answer)
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
        prepared, unreadable = read_prepared(list_submissions(layout), memory)
    # Also for prepared ones: somebody may have typed `sbatch` a second ago, and only Slurm knows.
    is_restored = layout.restored.exists()
    is_on_slurm = not is_restored and any(index.scheduler == "slurm" for _, index in prepared)
    since = min((index.created for _, index in prepared), default=now)
    try:
        answer = Answer({}, is_restored=is_restored)
        if is_on_slurm:
            answer = ask_slurm(layout.experiment, since, now, owner_in_slurm(layout))
    except TemporaryError as error:
        from hpc.adapters import slurm_client

        is_needless = isinstance(error, slurm_client.NotHere) and not was_sent_to_slurm(prepared)
        if require_slurm and not is_needless:
            raise
        is_said = not is_needless or prepared[-1][1].scheduler == "slurm"
        answer = Answer({}, problem=str(error) if is_said else "")
    submitted = find_submitted(prepared, answer.executions, unreadable)
    if require_slurm and answer.problem and submitted:  # a first submission needs no accounting
        raise TemporaryError(answer.problem)
    return Found(prepared, submitted, answer, now, unreadable)


def see(layout: RunLayout, tasks: Sequence[Task], found: Found, memory: Memory | None = None) -> Seen:
    """Look at tasks, once it is known what was submitted."""
    submitted, answer = found.submitted, found.answer
    wanted, elements = {task.task_id for task in tasks}, dict[str, list[tuple[Submitted, int]]]()
    for submission in submitted:
        for position, (own, run_name) in enumerate(submission.named()):
            if own in wanted and run_name not in submission.withdrawn.set_aside:
                elements.setdefault(own, []).append((submission, position))
    has_folder = _has_folder(layout)
    if memory:
        memory.begin()
    states = tuple(
        task_state(layout, task, elements.get(task.task_id, []), answer, memory, has_folder=has_folder(task.run_name))
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


def _with_cancelled(tasks: Sequence[TaskState], submitted: Sequence[Submitted]) -> tuple[TaskState, ...]:
    """Let a person's cancelling be known where Slurm says nothing of it: on this machine, without accounting."""
    when = {(each.index.submission, run): time for each in submitted for run, time in each.withdrawn.cancelled.items()}
    return tuple(_told_cancelled(task, when) for task in tasks) if when else tuple(tasks)


def _told_cancelled(task: TaskState, when: Mapping[tuple[int, str], float]) -> TaskState:
    def told(attempt: AttemptState) -> AttemptState:
        cancelled = when.get((attempt.submission, task.task.run_name))
        is_its_end = attempt.progress is Progress.OVER and attempt.row is None and not attempt.unreadable
        if cancelled is None or not is_its_end or _ended_before_or_well(attempt, cancelled):
            return attempt
        return replace(attempt, row=cancelled_row(attempt.job, cancelled))

    return replace(task, attempts=tuple(told(attempt) for attempt in task.attempts))


def _ended_before_or_well(attempt: AttemptState, cancelled: float) -> bool:
    return attempt.end is not None and (attempt.end.is_done or attempt.end.ended < cancelled)


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


def _unreadable_run_files(layout: RunLayout, of_manifest: InputError | None) -> Iterator[Unreadable]:
    """Name the small files of the run folder that are not what we wrote; each reader goes on as said here.

    Args:
        of_manifest: What is wrong with ``manifest.json``.
    """
    if of_manifest is not None:
        meaning = f"{without_place(of_manifest)}: the newest copy in {layout.manifests.name}/ is read instead"
        yield Unreadable(layout.manifest, meaning, f"plan again: python -m hpc.plan {layout.experiment}")
    paths = (layout.hold, layout.held_runs, layout.accepted, layout.relaunched, layout.learned)
    refresh(layout.home)
    if not any(map(os.path.lexists, paths)):
        return
    for path, (kind, meaning) in zip(paths, _run_files(), strict=True):
        try:
            read_record_or_none(path, kind)
        except InputError as error:
            yield Unreadable(path, f"{without_place(error)}: {meaning}", move_away(path))


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


def _without_barred(tasks: Sequence[TaskState], submitted: Sequence[Submitted]) -> tuple[TaskState, ...]:
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
    state = claimed_attempt(attempt, None, Answer({}), (), is_newest=True)
    if state.end is not None:  # without Slurm's word on it, the record of its end is the last word
        state = replace(state, progress=Progress.OVER)
    return RunLayout(folder.parents[3], folder.parents[2].name), state


def read_task(layout: RunLayout, task: Task) -> TaskState:
    """Read one task from its folder alone: what Slurm said only where it was kept, nothing of elements that wait.

    Raises:
        InputError: Its folder holds a run of another question.
    """
    return task_state(layout, task, (), Answer({}))


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
            cancelled.setdefault(each.submission, {})[element_name(each.layout)] = each.row
    for number, rows in cancelled.items():
        submission = snapshot.layout.submission(number)
        known = kept_cancelled(submission)
        if not known.keys() >= rows.keys():
            write_json(submission.cancelled, CancelledElements({**rows, **known}).to_json())
