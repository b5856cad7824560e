"""From the states of an experiment's tasks to verdicts: evidence is gathered and classified, nothing is decided.

The rule tables are imported where something is classified.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.failures.outcomes import Outcome, outcome_of
from hpc.core.layout import RunLayout
from hpc.core.records.index import Element
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Resources
from hpc.experiments.freezing import frozen_of
from hpc.rounds.left_behind import tidy_left_behind
from hpc.snapshots.evidence import Results, gather, read_results, was_read
from hpc.snapshots.kept import Entry, Kept, keep_without_metrics
from hpc.snapshots.settled import Settled
from hpc.snapshots.snapshot import keep_cancelled, keep_scheduler_record
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState
from hpc.submissions.prepare import Frozen, backend_of

_NOT_KNOWN = Element(task_id="", run_name="", parameters={}, seed=0, attempt=1)


@dataclass(frozen=True)
class JudgedAttempt:
    """An attempt with its results and, once it is over, its verdict.

    Attributes:
        alone: What its own files come to, where its siblings made another verdict of them.
        beside: Names the siblings that `verdict` was given beside; empty before they were asked.
        is_whole: Whether all of its files could be read, so that what they come to stands for as long as they do.
    """

    state: AttemptState
    results: Results
    verdict: Verdict | None
    alone: Verdict | None = None
    beside: str = ""
    is_whole: bool = True

    @property
    def settings(self) -> TaskRecord | Element:
        """What it was to run: ``task.json``, or the element of the index where it was never claimed."""
        return self.state.record or self.state.entry or _NOT_KNOWN

    @property
    def resources(self) -> Resources | None:
        """What was asked for it; None where nobody knows."""
        return self.state.record.resources if self.state.record else self.state.asked

    @property
    def resumed_from(self) -> str:
        """Path of the checkpoint it went on from; empty for a start from nothing."""
        return self.state.record.resume_from if self.state.record else ""

    @property
    def node(self) -> str:
        """Where it ran; several nodes as Slurm writes them."""
        if self.state.row:
            return self.state.row.node
        return self.state.record.host if self.state.record else ""

    @property
    def ended(self) -> float | None:
        """Unix time of its end, by the wrapper's record, else by Slurm; None when nobody knows."""
        if self.state.ended:
            return self.state.ended.ended
        return self.state.row.ended if self.state.row else None

    @property
    def peak_memory_mib(self) -> float | None:
        """Most host memory anybody measured: the wrapper's cgroup, or Slurm's MaxRSS."""
        told = (self.state.ended, self.state.row)
        return max((each.peak_memory_mib for each in told if each and each.peak_memory_mib), default=None)

    @property
    def lacks_metrics(self) -> bool:
        """It is over, and no metrics are there: it never wrote any, or they are gone."""
        return self.verdict is not None and self.results.complete is None


@dataclass(frozen=True, slots=True)
class JudgedTask:
    """A task with everything that is known and concluded about it.

    Attributes:
        attempts: None for a run that is settled.
        kept: What was concluded before of attempts that are gone.
        settled: What is known of a finished run of which nothing else is held.
    """

    state: TaskState
    attempts: tuple[JudgedAttempt, ...]
    outcome: Outcome
    kept: Kept | None = None
    settled: Settled | None = None

    @property
    def kept_result(self) -> Entry | None:
        """The task as it was collected before, where its result is kept from there."""
        return self.kept.entry if self.kept and self.kept.is_result else None

    @property
    def failure_class(self) -> FailureClass | None:
        """Class of the last attempt of a failed task."""
        last = self.attempts[-1].verdict if self.attempts else None
        return last.category if self.outcome is Outcome.FAILED and last else None

    @property
    def altered(self) -> bool:
        """Whether what was run last is still what was asked."""
        if self.settled:
            return self.settled.brief.altered
        if told := self.kept_result:
            return bool(told["altered"])
        return bool(self.attempts) and self.attempts[-1].settings.altered

    @property
    def changes(self) -> list[str]:
        """What retries changed, in words, in order."""
        if self.kept_result:
            return list(self.kept_result["changes"])
        return [change for attempt in self.attempts for change in attempt.settings.changes]


@dataclass(frozen=True)
class JudgedExperiment:
    """An experiment at one moment with a verdict on every attempt that is over: what a round decides and writes from.

    Attributes:
        frozen: What its submissions share, on the backend where the newest one went.
        tasks: In the manifest's order.
        again: Classes of failure and names of runs that a person asks to start again.
    """

    snapshot: Snapshot
    frozen: Frozen
    tasks: tuple[JudgedTask, ...]
    again: Collection[str] = ()

    @property
    def layout(self) -> RunLayout:
        """Where its files are."""
        return self.snapshot.layout

    def of_outcome(self, *outcomes: Outcome) -> list[JudgedTask]:
        """Its tasks with one of these outcomes."""
        return [task for task in self.tasks if task.outcome in outcomes]


def judge_experiment(
    snapshot: Snapshot,
    *,
    include_running: bool = False,
    again: Collection[str] = (),
    writes: bool = True,
    judge: Callable[[Sequence[TaskState]], Sequence["JudgedTask"]] | None = None,
    frozen: Frozen | None = None,
) -> JudgedExperiment:
    """Judge every attempt that is over, keep what Slurm said of it, and tidy up after a killed wrapper.

    Args:
        include_running: Read the metrics of what runs, too.
        again: Classes and runs to start again on request.
        writes: Without, what Slurm said is not kept: the runs are somebody else's.
        judge: What judges the tasks; None holds all that was read of each.
        frozen: What was planned, where somebody has read it; as its manifest says.
    """
    if writes:
        keep_cancelled(snapshot)
    layout = snapshot.layout
    if judge:
        tasks = tuple(judge(snapshot.tasks))
    else:
        tasks = tuple(judge_task(layout, state, include_running=include_running) for state in snapshot.tasks)
    for attempt in (attempt for state in snapshot.tasks if not state.late for attempt in state.attempts):
        if writes and attempt.progress is Progress.OVER:
            tidy_left_behind(attempt)
            keep_scheduler_record(attempt)
    return JudgedExperiment(snapshot, backend_of(layout, frozen or frozen_of(snapshot.manifest)), tasks, again)


def judge_task(layout: RunLayout, state: TaskState, *, include_running: bool) -> JudgedTask:
    """Judge every attempt of a task that is over. Writes nothing."""
    attempts = tuple(_judge_attempt(layout, attempt, include_running=include_running) for attempt in state.attempts)
    kept = state.kept
    if attempts and attempts[-1].lacks_metrics and not state.has_kept_result:
        kept = keep_without_metrics(state.collected, attempts[-1].state) or kept
    if kept and kept.is_result:
        attempts = tuple(each for each in attempts if each.state.number not in kept.gone)
        return JudgedTask(state, attempts, Outcome.FINISHED, kept)
    outcome = outcome_of(
        [each.verdict for each in attempts],
        is_running=any(each.progress is Progress.RUNNING for each in state.attempts),
        is_waiting=any(each.progress is Progress.WAITING for each in state.attempts),
    )
    return JudgedTask(state, attempts, outcome, kept)


def _judge_attempt(layout: RunLayout, attempt: AttemptState, *, include_running: bool) -> JudgedAttempt:
    over = attempt.progress is Progress.OVER
    is_read = attempt.unreadable is None and (over or include_running)
    results = Results({}, {}, None)
    if is_read:  # of what is over the record is asked for in any case
        results = read_results(attempt.layout, attempt.record) if over else read_results(attempt.layout)
    if not over:
        return JudgedAttempt(attempt, results, None)
    verdict, is_whole = _verdict(layout, attempt, results)
    return JudgedAttempt(attempt, results, verdict, is_whole=is_whole)


def _verdict(layout: RunLayout, attempt: AttemptState, results: Results) -> tuple[Verdict, bool]:
    """Classify an attempt that is over; one whose folder cannot be read is no success and no failure we could name."""
    from hpc.core.failures.classify import classify, unreadable_verdict

    if attempt.unreadable:
        what = attempt.unreadable
        return unreadable_verdict(str(what.path), what.problem, what.remedy), False
    evidence = gather(layout, attempt, results)
    return classify(evidence), was_read(evidence, results)


def final_values(task: JudgedTask) -> dict[str, float]:
    """What the last attempt's program summed up, and the seconds its result took (`wall_time`).

    Nothing for a task without a result: what a failed run reached is in its series, and is no result. A resumed
    attempt stands on the ones before it, so their time counts; one that began anew stands alone.
    """
    if told := task.settled.entry if task.settled else task.kept_result:
        summary = told["summary"]
        return {name: math.nan if value is None else float(value) for name, value in summary.items()}
    if task.outcome is not Outcome.FINISHED:
        return {}
    last = task.attempts[-1]
    chain = task.attempts if last.resumed_from else task.attempts[-1:]
    seconds = [each.state.ended.elapsed_s for each in chain if each.state.ended]
    measured = {"wall_time": sum(seconds)} if last.state.ended else {}
    return {**measured, **last.results.summary}
