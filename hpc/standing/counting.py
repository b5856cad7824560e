"""The numbers of an experiment's standing: counted over its tasks, told by what runs, asked of what holds or waits.

Rooms that are only needed where there is something to say are imported there: most looks have nothing of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, InputError
from hpc.core.failures.outcomes import LEFT, Outcome, count_outcomes
from hpc.core.launch.program import experiments_before
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import JobRow, fold_elements, is_job
from hpc.core.words import counted
from hpc.rounds.outcomes_now import OutcomesNow
from hpc.snapshots.other_code import describe_other_code
from hpc.snapshots.outdated import describe_outdated
from hpc.snapshots.remembered import Ended, Memory, Times
from hpc.snapshots.running import look_at_running
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState, newest_of
from hpc.standing.numbers import Standing, Waiting

if TYPE_CHECKING:
    from hpc.core.question.best import Best

Over = Ended | Times
"""How an attempt ended: its record, or what is remembered of it."""
LATEST = 50
"""Finished attempts that the pace is told by: the newest."""


def count(
    snapshot: Snapshot, seen: OutcomesNow, followed: list[str], is_followed: bool, memory: Memory | None = None
) -> Standing:
    """Count, and look at what runs.

    Args:
        seen: The outcomes of the tasks.
        followed: What the unattended loop has to say.
        is_followed: Whether it goes on.
        memory: What is remembered of final values, and takes in those that are read.
    """
    outcomes = seen.outcomes
    counts = {name: count + snapshot.untouched.get(name, 0) for name, count in count_outcomes(outcomes).items()}
    ends = [end for task in snapshot.tasks for end in ends_of(task)]
    attempts = [attempt for task in snapshot.tasks if not task.late for attempt in task.attempts]
    at_work = [(task.task.run_name, each) for task in snapshot.tasks if not task.late for each in task.attempts
               if each.progress is Progress.RUNNING]  # fmt: skip
    waiting = [attempt for attempt in attempts if attempt.progress is Progress.WAITING]
    rows = [*(attempt.row for attempt in waiting if attempt.row), *snapshot.waiting_rows]
    best = _best(snapshot, outcomes, memory) if Outcome.FINISHED in outcomes else None
    checks, checked = _checks(snapshot, outcomes)
    newest = cache(partial(newest_of, snapshot))
    return Standing(
        outcomes=counts,
        retried=sum(len(task.attempts) > 1 for task in snapshot.tasks),
        gpu_hours=sum(end.gpu_seconds for _, end in ends) / 3600,
        eta_s=eta_s(counts, [end for _, end in ends]),
        reasons=dict(Counter(row.reason for row in rows if row.reason)),
        running=[
            task.task.run_name
            for task, outcome in zip(snapshot.tasks, outcomes, strict=True)
            if outcome is Outcome.RUNNING
        ],
        waiting=in_words(waiting, snapshot.waiting_rows),
        at_work=look_at_running(snapshot),
        held=_hold(snapshot.layout),
        followed=followed,
        is_followed=is_followed,
        probed=_probed(snapshot.layout),
        abandoned=_abandoned(snapshot.layout) if counts[Outcome.PENDING] else 0,
        kept=[task.task.run_name for task in snapshot.tasks if _is_kept(task)],
        by_exit_code=seen.by_exit_code,
        best=str(best) if best else "",
        values=best,
        jobs={run_name: attempt.job for run_name, attempt in at_work if is_job(attempt.job)},
        collected=seen.judged == 0 and seen.by_exit_code == 0,
        report=_report(snapshot.layout),
        other_code=describe_other_code(snapshot.layout, snapshot.manifest, newest=newest),
        checks=checks,
        checked=checked,
        waits_for=_waits_for(snapshot, outcomes),
        outdated=describe_outdated(snapshot.layout, snapshot.manifest, newest),
        held_runs=_held_runs(snapshot),
        broken=_broken_rung(snapshot, outcomes) if counts[Outcome.PLANNED] else "",
        forecast=_forecast(snapshot, outcomes),
        adopted="adopted" in snapshot.manifest["provenance"],
        core_hours=sum(_core_seconds(snapshot, *each) for each in ends) / 3600,
        runs_per_hour=runs_per_hour([end for _, end in ends], snapshot.taken, runs=bool(at_work)),
    )


def _best(snapshot: Snapshot, outcomes: Sequence[Outcome], memory: Memory | None) -> "Best | None":
    from hpc.rounds.values_now import best_now

    return best_now(snapshot, outcomes, memory)


def _checks(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> tuple[Mapping[str, int], str]:
    """The answers of the declared check: counted, and in words."""
    if not snapshot.manifest["spec"].get("check"):
        return {}, ""
    from hpc.rounds.checked import answers_now, check_of, count_answers, describe_checks

    answers = answers_now(snapshot, outcomes)
    return count_answers(answers), describe_checks(check_of(snapshot.manifest), answers)


def _report(layout: RunLayout) -> str:
    page = layout.report / "report.html"
    try:
        return str(page) if page.stat().st_mtime >= layout.verdicts.stat().st_mtime else ""
    except OSError:
        return ""


def ends_of(task: TaskState) -> Iterator[tuple[int, Over]]:
    """How its attempts ended, those that did: submission and end."""
    if task.late:
        yield task.late.submission, task.late.times
        return
    yield from ((each.submission, each.end) for each in task.attempts if each.end)


def _core_seconds(snapshot: Snapshot, submission: int, end: Over) -> float:
    asked = snapshot.asked.get(submission)
    return asked.nodes * asked.cpus * end.elapsed_s if asked else 0.0


def runs_per_hour(ends: Iterable[Over], now: float, *, runs: bool) -> float | None:
    """The pace of the newest finished attempts: how many ended from the first one's start until now, or the last end.

    Args:
        now: Counts while something runs; between two sweeps nobody works, and nothing becomes slower.
        runs: Whether something does.
    """
    newest = sorted((end.ended, end.ended - end.elapsed_s) for end in ends if end.is_done)[-LATEST:]
    if not newest:
        return None
    span_s = (max(now, newest[-1][0]) if runs else newest[-1][0]) - min(began for _, began in newest)
    return len(newest) * 3600 / span_s if span_s > 0 else None


def _forecast(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> str:
    """Forecast and actual use."""
    is_over = not any(snapshot.untouched.values()) and not any(each in LEFT for each in outcomes)
    if not is_over or not snapshot.layout.forecasts.exists():
        return ""
    from hpc.rounds.forecast_now import say_forecast_now

    return say_forecast_now(snapshot, outcomes)


def _broken_rung(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> str:
    """What keeps the rest from being started: the rung at which the newest attempt of a canary failed."""
    if not (snapshot.manifest["spec"].get("program") or {}).get("sanity"):
        return ""
    failed = (task for task, outcome in zip(snapshot.tasks, outcomes, strict=True) if outcome is Outcome.FAILED)
    ends = ((task.task.run_name, task.attempts[-1].ended) for task in failed if task.attempts)
    return next((f"{name}: sanity: {ended.sanity}" for name, ended in ends if ended and ended.sanity), "")


def _waits_for(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> str:
    """Which runs of other experiments are missing for what is not submitted yet."""
    if not experiments_before(snapshot.manifest["spec"]):
        return ""
    from hpc.core.slurm.arrays import first_assignment
    from hpc.experiments.freezing import frozen_of
    from hpc.submissions.sources import split_ready

    frozen = frozen_of(snapshot.manifest)
    planned = [task.task for task, outcome in zip(snapshot.tasks, outcomes, strict=True) if outcome is Outcome.PLANNED]
    try:
        split = split_ready(snapshot.layout, frozen.spec, [first_assignment(frozen.spec, task) for task in planned])
    except InputError as error:
        return str(error)
    return (
        f"{counted(len(split.waiting), 'waits', 'wait')} for other experiments ({split.why})" if split.waiting else ""
    )


def _is_kept(task: TaskState) -> bool:
    """Whether its result is only in ``collected/``; that metrics alone are gone only the collector has seen."""
    if task.late and task.late.result:
        return False
    return task.has_kept_result or bool(task.collected and task.collected.get("kept") and not task.is_live)


def in_words(waiting: Sequence[AttemptState], untouched: Sequence[JobRow] = ()) -> list[Waiting]:
    """Group waiting elements by why they wait; what needs somebody's help comes first.

    Args:
        untouched: What Slurm says of others that wait, one a task.
    """
    rows = [(attempt.row, attempt.is_packed) for attempt in waiting if attempt.row]
    rows += [(row, False) for row in untouched]
    if not rows:
        return []
    from hpc.core.slurm.pending import INSIDE, Kind, Pending, explain_pending

    explain = cache(explain_pending)
    groups: dict[tuple[str, Pending], list[str]] = defaultdict(list)
    for row, is_packed in rows:
        inside = is_packed and row.state.is_running
        why = ("", INSIDE) if inside else (row.reason, explain(row.state, row.reason))
        groups[why].append(row.job)
    found = [
        Waiting(reason, len(jobs), fold_elements(jobs), pending.kind.value, pending.meaning, pending.advice)
        for (reason, pending), jobs in groups.items()
    ]
    urgency = [Kind.NEVER, Kind.HELD, Kind.LIMITED, Kind.QUEUED]
    return sorted(found, key=lambda each: (urgency.index(Kind(each.kind)), -each.count))


def _hold(layout: RunLayout) -> str | None:
    if not layout.hold.exists():
        return None
    from hpc.submissions.holds import describe_hold

    return describe_hold(layout) or None


def _held_runs(snapshot: Snapshot) -> dict[str, str]:
    if not snapshot.layout.held_runs.exists():
        return {}
    from hpc.submissions.held_runs import why_held

    why = why_held(snapshot.layout)
    return {task.task.run_name: said for task in snapshot.tasks if (said := why(task.task.run_name))}


def _abandoned(layout: RunLayout) -> int:
    if not (layout.home / ".local").is_dir():
        return 0
    from hpc.local.queue import list_abandoned

    return len(list_abandoned(layout))


def _probed(layout: RunLayout) -> list[str]:
    if not layout.probes.exists():
        return []
    from hpc.submissions.probes import describe

    return describe(layout)


def eta_s(outcomes: Mapping[str, int], ends: Iterable[Over]) -> float | None:
    """Estimate the time left: median length of finished attempts × what is left ÷ what runs at once.

    Args:
        outcomes: Tasks by outcome.
        ends: How attempts ended.
    """
    at_once = outcomes[Outcome.RUNNING]
    left = at_once / 2 + outcomes[Outcome.PENDING]
    if not at_once:
        return None
    lengths = sorted(end.elapsed_s for end in ends if end.exit_code in (EXIT_DONE, EXIT_CHECKPOINTED))
    return float(lengths[len(lengths) // 2] * left / at_once) if lengths else None
