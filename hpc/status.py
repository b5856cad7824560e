"""Where an experiment stands: counts, progress, health of what runs, GPU hours, why tasks wait.

    python -m hpc.status lora_sweep
    python -m hpc.status lora_sweep --watch
    python -m hpc.status lora_sweep --tasks failed,running

Reads claims and exit records, asks Slurm once, and looks into the metrics of what runs. Outcomes are those that
hpc.collect would give: what that has seen is taken from it, what ended since is looked at. Nothing is written but what
was read of attempts that are over (`hpc.snapshots.remembered`), so that the next look reads only what changed.
"""

import contextlib
import gc
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import click

if __name__ == "__main__":  # as in hpc.cli: modules stay, and looking for garbage among them takes a fifth of a look
    gc.disable()

from hpc.console import (
    is_colourful,
    json_option,
    name_argument,
    note,
    print_json,
    print_table,
    say,
    say_styled,
    speaks_plainly,
)
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_TEMPORARY, InputError, TemporaryError
from hpc.core.failures.outcomes import Outcome, count_outcomes, render_counts
from hpc.core.launch.program import experiments_before
from hpc.core.layout import RunLayout
from hpc.core.picture import Line
from hpc.core.slurm.executions import fold_elements, is_job
from hpc.core.words import counted
from hpc.rounds.checked import answers_now, check_of, count_answers, describe_checks
from hpc.rounds.outcomes_now import OutcomesNow, find_outcomes
from hpc.rounds.values_now import best_now
from hpc.snapshots.other_code import describe_other_code
from hpc.snapshots.outdated import describe_outdated
from hpc.snapshots.remembered import Memory
from hpc.snapshots.running import look_at_running
from hpc.snapshots.snapshot import (
    AttemptState,
    Progress,
    Snapshot,
    TaskState,
    newest_of,
    take_snapshot,
)
from hpc.snapshots.untouched import take_brief_snapshot
from hpc.standing.lines import draw, render
from hpc.standing.numbers import Standing, Waiting
from hpc.standing.tasks import TaskRow, list_tasks, read_outcomes
from hpc.workspace import Workspace

SHORTEST_S = 2.0
WATCH_S = 10.0
LATEST = 50
"""Finished attempts that the pace is told by: the newest."""


@click.command(epilog="Example: python -m hpc.status lora_sweep --watch 30")
@name_argument
@click.option(
    "--watch", is_flag=False, flag_value=str(WATCH_S), metavar="[SECONDS]", help="Refresh until nothing is left to run."
)
@click.option(
    "--tasks",
    "which",
    is_flag=False,
    flag_value="",
    metavar="[OUTCOME,…]",
    help="One row per task, of all outcomes or the named ones: planned, pending, running, finished, failed.",
)
@json_option
@speaks_plainly
def main(name: str | None, watch: str | None, which: str | None, as_json: bool) -> int:
    """Show where experiment NAME (default: the one planned last) stands."""
    name, every_s = read_watch(name, watch)
    name, wanted = read_tasks(name, which)
    workspace = Workspace.current()
    layout = workspace.layout(name, acts=False)
    if said := workspace.other_project(layout):
        note(f"warning: {said}")
    if every_s is not None:
        if as_json:
            raise InputError("--json prints one value: leave out --watch")
        if wanted is not None:
            raise InputError("--tasks prints one table: leave out --watch")
        return keep_watching(layout, every_s, writes=workspace.may_write(layout))
    snapshot, standing, seen = _look(layout, writes=workspace.may_write(layout), brief=wanted is None)
    rows = None if wanted is None else list(list_tasks(snapshot, seen.outcomes, standing.at_work, wanted))
    if as_json:
        runs = {} if rows is None else {"runs": [asdict(row) for row in rows]}
        print_json(
            {"experiment": layout.experiment, "tasks": sum(standing.outcomes.values()), **asdict(standing), **runs}
        )
    elif rows is not None:
        show_tasks(rows, f"{layout.experiment}: {render_counts(standing.outcomes)}")
    elif is_colourful():
        for line in draw(snapshot, standing, shutil.get_terminal_size().columns):
            say_styled(line)
    else:
        for told in render(snapshot, standing):
            say(told)
    if snapshot.slurm_problem:
        note(_doubt(snapshot))
        return EXIT_TEMPORARY
    return EXIT_DONE


def look(layout: RunLayout, *, writes: bool) -> tuple[Snapshot, Standing]:
    """Look at an experiment, and at no record of an attempt that is over twice.

    Args:
        writes: Keep what was read for the next look: not with runs of somebody else.
    """
    snapshot, standing, _ = _look(layout, writes=writes, brief=True)
    return snapshot, standing


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Let garbage lie: what a look reads is needed until its end, and a look is short."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_uncollected()
def _look(layout: RunLayout, *, writes: bool, brief: bool) -> tuple[Snapshot, Standing, OutcomesNow]:
    """Look.

    Args:
        brief: Tasks to which nothing has happened are wanted as numbers alone.
    """
    memory = Memory(layout)
    if brief:
        snapshot = take_brief_snapshot(layout, memory)
    else:
        snapshot = take_snapshot(layout, require_slurm=False, memory=memory)
    seen = find_outcomes(snapshot, memory)
    standing = stand(snapshot, seen=seen)
    if writes:
        memory.save()
    return snapshot, standing, seen


def read_tasks(name: str | None, which: str | None) -> tuple[str | None, tuple[Outcome, ...] | None]:
    """Tell ``--tasks failed`` from ``--tasks NAME``: name, and the outcomes that are shown (None: no rows).

    Raises:
        InputError: A word is no outcome.
    """
    if which is None:
        return name, None
    try:
        return name, read_outcomes(which)
    except InputError:
        if name is not None or "," in which or nearest_outcome(which):
            raise
        return which, read_outcomes("")


def nearest_outcome(word: str) -> bool:
    """Whether a word is one letter or two from an outcome's: mistyped, rather than the name of an experiment."""
    from difflib import get_close_matches

    return bool(get_close_matches(word, [each.value for each in Outcome], cutoff=0.8))


def show_tasks(rows: Sequence[TaskRow], title: str) -> None:
    """Print one row a task."""
    metric = rows[0].metric if rows else ""
    cells = [
        (row.run_name, row.outcome, row.failure_class or "–", row.attempt or "–", row.job or "–",
         "–" if row.step is None else row.step, "–" if row.value is None else f"{row.value:.6g}", _took(row.time_s))
        for row in rows
    ]  # fmt: skip
    columns = ("run", "outcome", "class", "attempt", "job", "step", metric or "metric", "time")
    print_table(title, columns, cells, right=(3, 5, 6, 7))


def _took(seconds: float | None) -> str:
    """A length of time as a table has it: ``1:02:03``."""
    if seconds is None:
        return "–"
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"


def read_watch(name: str | None, watch: str | None) -> tuple[str | None, float | None]:
    """Tell ``--watch 30`` from ``--watch NAME``: name, and seconds between two looks (None: look once).

    Raises:
        InputError: The value is neither.
    """
    if watch is None:
        return name, None
    try:
        return name, max(SHORTEST_S, float(watch))
    except ValueError:
        if name is not None:
            raise InputError(f"--watch {watch} is not a number of seconds; write for example --watch 30") from None
        return watch, WATCH_S


def _doubt(snapshot: Snapshot) -> str:
    return f"warning: {snapshot.slurm_problem}; this view comes from the run folder and from what did answer"


# ── again and again ──────────────────────────────────────────────────────────────────────────────────────────────


def keep_watching(layout: RunLayout, every_s: float, *, writes: bool) -> int:
    """Show the standing again and again until nothing runs or waits: in place on a terminal, else block after block."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from hpc.standing.screen import Screen

        with Screen() as screen:
            for picture in pictures(layout, every_s, screen.wait, writes=writes):
                screen.show(picture)
    else:
        _show_blocks(_looks(layout, every_s, writes=writes))
    return EXIT_DONE


def _looks(layout: RunLayout, every_s: float, *, writes: bool) -> Iterator[list[str]]:
    """What is to be shown, at each look."""
    while True:
        snapshot, standing = look(layout, writes=writes)
        lines = [f"{_clock(snapshot.taken)}  {layout.experiment}"]
        lines += render(snapshot, standing) + ([_doubt(snapshot)] if snapshot.slurm_problem else [])
        yield lines
        if standing.is_over and not snapshot.slurm_problem:
            return
        time.sleep(every_s)


def _show_blocks(looks: Iterator[list[str]]) -> None:
    for lines in looks:
        say("\n".join(lines) + "\n")
        sys.stdout.flush()


def pictures(
    layout: RunLayout, every_s: float, wait: Callable[[float], None], *, writes: bool
) -> Iterator[Callable[[int], list[Line]]]:
    """The same for a screen. While nobody answers, the last picture stays, and since when that is so stands above it.

    Args:
        wait: Called between two looks with `every_s`.

    Raises:
        InputError: The run folder was removed meanwhile.
    """
    last: tuple[Snapshot, Standing] | None = None
    since: float | None = None
    while True:
        who = "Slurm has not answered"
        try:
            snapshot, standing = look(layout, writes=writes)
            problem = snapshot.slurm_problem
        except TemporaryError as error:
            who, problem = "it could not be looked at", str(error)
        except (InputError, OSError):
            if layout.home.exists():
                raise
            raise InputError(f"{layout.home} was removed while it was being watched") from None
        else:
            last = last if problem and last else (snapshot, standing)
        now = time.time()
        since = (since or now) if problem else None
        said = f"{who} since {_clock(since)}: {problem}" if since else ""
        yield partial(_picture, layout.experiment, every_s, now, last, said)
        if not problem and standing.is_over:
            return
        wait(every_s)


def _picture(
    name: str, every_s: float, now: float, last: tuple[Snapshot, Standing] | None, problem: str, width: int
) -> list[Line]:
    """What stands on the screen.

    Args:
        now: Unix time of the look.
        last: What is shown; None where nothing was seen yet.
        problem: Why that is not how it stands now; empty where it is.
    """
    head = f"{name}  {_clock(now)}, again every {every_s:g} s until nothing is left; Ctrl-C ends"
    lines: list[Line] = [[(head, "dim")]]
    if problem:
        lines.append([(problem + (f"; below: what was known at {_clock(last[0].taken)}" if last else ""), "red")])
    if last is None:
        return lines
    drawn = draw(*last, width) if is_colourful() else [[(line, "")] for line in render(*last)]
    return lines + drawn


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def stand(snapshot: Snapshot, memory: Memory | None = None, seen: OutcomesNow | None = None) -> Standing:
    """Count, and look at what runs.

    Args:
        memory: As `find_outcomes`.
        seen: The outcomes, where they are known already.
    """
    seen = seen or find_outcomes(snapshot, memory)
    outcomes = seen.outcomes
    counts = {name: count + snapshot.untouched.get(name, 0) for name, count in count_outcomes(outcomes).items()}
    attempts = [attempt for task in snapshot.tasks for attempt in task.attempts]
    waiting = [attempt for attempt in attempts if attempt.progress is Progress.WAITING]
    followed, is_followed = _following(snapshot.layout)
    best = best_now(snapshot, outcomes) if Outcome.FINISHED in outcomes else None
    answers = answers_now(snapshot, outcomes)
    newest = newest_of(snapshot)
    return Standing(
        outcomes=counts,
        retried=sum(len(task.attempts) > 1 for task in snapshot.tasks),
        gpu_hours=sum(attempt.end.gpu_seconds for attempt in attempts if attempt.end) / 3600,
        eta_s=eta_s(counts, attempts),
        reasons=dict(Counter(attempt.row.reason for attempt in waiting if attempt.row and attempt.row.reason)),
        running=[
            task.task.run_name
            for task, outcome in zip(snapshot.tasks, outcomes, strict=True)
            if outcome is Outcome.RUNNING
        ],
        waiting=in_words(waiting),
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
        jobs={
            task.task.run_name: attempt.job
            for task in snapshot.tasks
            for attempt in task.attempts
            if attempt.progress is Progress.RUNNING and is_job(attempt.job)
        },
        collected=seen.judged == 0 and seen.by_exit_code == 0,
        other_code=describe_other_code(snapshot.layout, snapshot.manifest, newest=newest),
        checks=count_answers(answers),
        checked=describe_checks(check_of(snapshot.manifest), answers),
        waits_for=_waits_for(snapshot, outcomes),
        outdated=describe_outdated(snapshot.layout, snapshot.manifest, newest),
        held_runs=_held_runs(snapshot),
        broken=_broken_rung(snapshot, outcomes) if counts[Outcome.PLANNED] else "",
        forecast=_forecast(snapshot, outcomes),
        adopted="adopted" in snapshot.manifest["provenance"],
        core_hours=sum(_core_seconds(snapshot, attempt) for attempt in attempts) / 3600,
        runs_per_hour=runs_per_hour(attempts, snapshot.taken),
    )


def _core_seconds(snapshot: Snapshot, attempt: AttemptState) -> float:
    asked = snapshot.asked.get(attempt.submission)
    return asked.nodes * asked.cpus * attempt.end.elapsed_s if asked and attempt.end else 0.0


def runs_per_hour(attempts: Sequence[AttemptState], now: float) -> float | None:
    """The pace of the newest finished attempts: how many ended from the first one's start until now, or the last end.

    Args:
        now: Counts while something runs; between two sweeps nobody works, and nothing becomes slower.
    """
    ends = sorted(
        (attempt.end.ended, attempt.end.ended - attempt.end.elapsed_s)
        for attempt in attempts
        if attempt.end and attempt.end.is_done
    )[-LATEST:]
    if not ends:
        return None
    runs = any(attempt.progress is Progress.RUNNING for attempt in attempts)
    span_s = (max(now, ends[-1][0]) if runs else ends[-1][0]) - min(began for _, began in ends)
    return len(ends) * 3600 / span_s if span_s > 0 else None


def _forecast(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> str:
    """Forecast and actual use."""
    if any(snapshot.untouched.values()) or not snapshot.layout.forecasts.exists():
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
    return task.has_kept_result or bool(task.collected and task.collected.get("kept") and not task.is_live)


def in_words(waiting: Sequence[AttemptState]) -> list[Waiting]:
    """Group waiting elements by why they wait; what needs somebody's help comes first."""
    rows = [attempt.row for attempt in waiting if attempt.row]
    if not rows:
        return []
    from hpc.core.slurm.pending import INSIDE, Kind, Pending, explain_pending

    groups: dict[tuple[str, Pending], list[str]] = defaultdict(list)
    for attempt in waiting:
        if row := attempt.row:
            inside = attempt.is_packed and row.state.is_running
            why = ("", INSIDE) if inside else (row.reason, explain_pending(row.state, row.reason))
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


def _following(layout: RunLayout) -> tuple[list[str], bool]:
    """What the unattended loop has to say, and whether it goes on."""
    if not layout.follow_state.exists():
        return [], False
    from hpc.core.slurm.successors import Course
    from hpc.unattended.describe import describe
    from hpc.unattended.state import read_state

    try:
        state = read_state(layout)
        return describe(layout), state is not None and state.course is Course.GOES_ON
    except InputError as error:
        return [f"how it is followed is not known: {error}"], False


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


def eta_s(outcomes: Mapping[str, int], attempts: Sequence[AttemptState]) -> float | None:
    """Estimate the time left: median length of finished attempts × what is left ÷ what runs at once.

    Args:
        outcomes: Tasks by outcome.
    """
    lengths = sorted(
        attempt.end.elapsed_s
        for attempt in attempts
        if attempt.end and attempt.end.exit_code in (EXIT_DONE, EXIT_CHECKPOINTED)
    )
    at_once = outcomes[Outcome.RUNNING]
    left = at_once / 2 + outcomes[Outcome.PENDING]
    if not lengths or not at_once:
        return None
    return float(lengths[len(lengths) // 2] * left / at_once)


if __name__ == "__main__":
    main()
