"""Where an experiment stands: counts, progress, health of what runs, GPU hours, why tasks wait.

    python -m hpc.status lora_sweep
    python -m hpc.status lora_sweep --watch

Reads claims and exit records, asks Slurm once, and looks into the metrics of what runs; it judges nothing (that is
hpc.collect).
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import click

from hpc.console import json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_TEMPORARY, InputError
from hpc.core.executions import fold_elements
from hpc.core.layout import RunLayout
from hpc.core.outcomes import Outcome, count_outcomes, render_counts
from hpc.core.pending import Kind, Pending, explain_pending
from hpc.inspection import AttemptState, Progress, Snapshot, TaskState, take_snapshot
from hpc.watching import RunningTask, look_at_running
from hpc.workspace import Workspace

SHOWN = 8
"""Running tasks that are listed; those with warnings go first."""
SHORTEST_S = 2.0
WATCH_S = 10.0


@dataclass(frozen=True)
class Waiting:
    """Elements that wait for one reason.

    Attributes:
        reason: Slurm's word.
        count: Elements.
        jobs: Their job ids, folded as Slurm's commands take them.
        kind: ``queued``, ``limited``, ``held`` or ``never``: what has to happen before they start.
        meaning: Why they do not start, one clause.
        advice: What a person can do; empty where waiting is all.
    """

    reason: str
    count: int
    jobs: Sequence[str]
    kind: str
    meaning: str
    advice: str


@dataclass(frozen=True)
class Standing:
    """An experiment's numbers at one moment.

    Attributes:
        outcomes: Tasks by outcome.
        retried: Tasks with more than one attempt.
        gpu_hours: Used so far by attempts that ended.
        eta_s: Seconds until the rest is done at the pace so far; None without a finished task or anything that runs.
        reasons: Slurm's reason → waiting elements.
        running: Run names of the tasks that run.
        waiting: The same elements as in `reasons`, in words; those somebody has to help first.
        at_work: What the running tasks have logged so far, with warnings.
        held: Why the experiment is held, and how to go on; None when it is not.
        followed: What the unattended loop did and will do.
        is_followed: Whether the loop goes on, so that what failed may be started again.
        probed: What the newest probe measured or is measuring.
    """

    outcomes: Mapping[str, int]
    retried: int
    gpu_hours: float
    eta_s: float | None
    reasons: Mapping[str, int]
    running: Sequence[str]
    waiting: Sequence[Waiting]
    at_work: Sequence[RunningTask]
    held: str | None
    followed: Sequence[str]
    is_followed: bool
    probed: Sequence[str] = ()

    @property
    def is_over(self) -> bool:
        """Nothing runs or waits, and nobody is going to start anything."""
        return not (self.outcomes[Outcome.RUNNING] or self.outcomes[Outcome.PENDING] or self.is_followed)


@click.command(epilog="Example: python -m hpc.status lora_sweep --watch 30")
@name_argument
@click.option(
    "--watch", is_flag=False, flag_value=str(WATCH_S), metavar="[SECONDS]", help="Look again until nothing is left."
)
@json_option
@speaks_plainly
def main(name: str | None, watch: str | None, as_json: bool) -> int:
    """Show where experiment NAME (default: the one planned last) stands."""
    name, every_s = read_watch(name, watch)
    layout = Workspace.current().layout(name)
    if every_s is not None:
        if as_json:
            raise InputError("--json prints one value: leave out --watch")
        return keep_watching(layout, every_s)
    snapshot = take_snapshot(layout, require_slurm=False)
    standing = stand(snapshot)
    if as_json:
        print_json({"experiment": layout.experiment, "tasks": len(snapshot.tasks), **asdict(standing)})
    else:
        for line in render(snapshot, standing):
            say(line)
    if snapshot.slurm_problem:
        note(_doubt(snapshot))
        return EXIT_TEMPORARY
    return EXIT_DONE


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
            raise InputError(f"--watch {watch}: seconds are a number, for example --watch 30") from None
        return watch, WATCH_S


def _doubt(snapshot: Snapshot) -> str:
    return f"warning: {snapshot.slurm_problem}; what is shown comes from the run folder alone"


# ── watching ─────────────────────────────────────────────────────────────────────────────────────────────────────


def keep_watching(layout: RunLayout, every_s: float) -> int:
    """Show the standing again and again until nothing runs or waits: in place on a terminal, else block after block."""
    show = _show_in_place if sys.stdout.isatty() else _show_blocks
    show(_looks(layout, every_s))
    return EXIT_DONE


def _looks(layout: RunLayout, every_s: float) -> Iterator[list[str]]:
    """What is to be shown, at each look."""
    while True:
        snapshot = take_snapshot(layout, require_slurm=False)
        standing = stand(snapshot)
        lines = [f"{time.strftime('%H:%M:%S', time.localtime(snapshot.taken))}  {layout.experiment}"]
        lines += render(snapshot, standing) + ([_doubt(snapshot)] if snapshot.slurm_problem else [])
        yield lines
        if standing.is_over and not snapshot.slurm_problem:
            return
        time.sleep(every_s)


def _show_blocks(looks: Iterator[list[str]]) -> None:
    for lines in looks:
        say("\n".join(lines) + "\n")
        sys.stdout.flush()


def _show_in_place(looks: Iterator[list[str]]) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as screen:
        for lines in looks:
            screen.update(Text("\n".join(lines)), refresh=True)


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def stand(snapshot: Snapshot) -> Standing:
    """Count, and look at what runs."""
    outcomes = [rough_outcome(task) for task in snapshot.tasks]
    attempts = [attempt for task in snapshot.tasks for attempt in task.attempts]
    waiting = [attempt for attempt in attempts if attempt.progress is Progress.WAITING]
    followed, is_followed = _following(snapshot.layout)
    return Standing(
        outcomes=count_outcomes(outcomes),
        retried=sum(len(task.attempts) > 1 for task in snapshot.tasks),
        gpu_hours=sum((attempt.ended or {}).get("gpu_seconds", 0.0) for attempt in attempts) / 3600,
        eta_s=eta_s(outcomes, attempts),
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
    )


def in_words(waiting: Sequence[AttemptState]) -> list[Waiting]:
    """Group waiting elements by why they wait; what needs somebody's help comes first."""
    groups: dict[tuple[str, Pending], list[str]] = defaultdict(list)
    for row in (attempt.row for attempt in waiting if attempt.row):
        groups[row.reason, explain_pending(row.state, row.reason)].append(row.job)
    found = [
        Waiting(reason, len(jobs), fold_elements(jobs), pending.kind.value, pending.meaning, pending.advice)
        for (reason, pending), jobs in groups.items()
    ]
    urgency = [Kind.NEVER, Kind.HELD, Kind.LIMITED, Kind.QUEUED]
    return sorted(found, key=lambda each: (urgency.index(Kind(each.kind)), -each.count))


def _hold(layout: RunLayout) -> str | None:
    if not layout.hold.exists():
        return None
    from hpc.holding import describe_hold

    return describe_hold(layout) or None


def _following(layout: RunLayout) -> tuple[list[str], bool]:
    """What the unattended loop has to say, and whether it goes on."""
    if not layout.follow_state.exists():
        return [], False
    from hpc.core.chain import Course
    from hpc.following import describe, read_state

    state = read_state(layout)
    return describe(layout), state is not None and state.course is Course.GOES_ON


def _probed(layout: RunLayout) -> list[str]:
    if not layout.probes.exists():
        return []
    from hpc.probing import describe

    return describe(layout)


def rough_outcome(task: TaskState) -> Outcome:
    """Tell an outcome from the records alone: `collect` looks closer and may know better."""
    states = {attempt.progress for attempt in task.attempts}
    if Progress.RUNNING in states:
        return Outcome.RUNNING
    if Progress.WAITING in states:
        return Outcome.PENDING
    if task.last is None:
        return Outcome.PLANNED
    ended = task.last.ended
    return Outcome.FINISHED if ended is not None and ended["exit_code"] == EXIT_DONE else Outcome.FAILED


def eta_s(outcomes: Sequence[Outcome], attempts: Sequence[AttemptState]) -> float | None:
    """Estimate the time left: median length of finished attempts × what is left ÷ what runs at once."""
    lengths = sorted(
        attempt.ended["ended"] - attempt.ended["started"]
        for attempt in attempts
        if attempt.ended and attempt.ended["exit_code"] in (EXIT_DONE, EXIT_CHECKPOINTED)
    )
    at_once = sum(outcome is Outcome.RUNNING for outcome in outcomes)
    left = at_once / 2 + sum(outcome is Outcome.PENDING for outcome in outcomes)
    if not lengths or not at_once:
        return None
    return float(lengths[len(lengths) // 2] * left / at_once)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def render(snapshot: Snapshot, standing: Standing) -> list[str]:
    """One line of counts, and what is worth knowing besides."""
    counts, name = standing.outcomes, snapshot.layout.experiment
    lines = [f"{name}: {render_counts(counts)}"]
    lines += [standing.held] if standing.held else []
    lines += _running_lines(standing, snapshot.taken)
    if standing.eta_s is not None:
        lines.append(f"about {max(1, round(standing.eta_s / 60))} minutes left at the pace so far")
    if standing.gpu_hours:
        lines.append(f"{standing.gpu_hours:,.2f} GPU hours used")
    if standing.retried:
        lines.append(f"{standing.retried} tasks needed more than one attempt")
    lines += [_waiting_line(each) for each in standing.waiting]
    lines += standing.probed
    lines += standing.followed
    if counts[Outcome.FAILED]:
        lines.append(f"why they failed: python -m hpc.collect {name}")
    if counts[Outcome.PLANNED]:
        lines.append(f"not submitted yet: python -m hpc.submit {name}")
    return lines


def _waiting_line(each: Waiting) -> str:
    word = {"held": "held", "never": "will never start"}.get(each.kind, "waiting")
    reason = f" ({each.reason})" if each.reason else ""
    which = f" {' '.join(each.jobs)}" if word != "waiting" else ""
    return f"{each.count} {word}{which}: {each.meaning}{reason}" + (f"; {each.advice}" if each.advice else "")


def _running_lines(standing: Standing, now: float) -> list[str]:
    """The running tasks with their latest numbers, those with warnings first."""
    if not standing.running:
        return []
    ordered = sorted(standing.at_work, key=lambda task: not task.warnings)
    width = max((len(task.run_name) for task in ordered[:SHOWN]), default=0)
    lines = [f"{len(standing.running)} running:"]
    for task in ordered[:SHOWN]:
        lines.append(f"  {task.run_name:<{width}}  {_latest(task, now)}".rstrip())
        lines += [f"    warning: {each.text}; {each.advice}" for each in task.warnings]
    if len(standing.running) > SHOWN:
        lines.append(f"  and {len(standing.running) - SHOWN} more")
    return lines


def _latest(task: RunningTask, now: float) -> str:
    if task.step is None:
        return "no metrics yet"
    value = f"  {task.metric} {task.value:.6g}" if task.value is not None else ""
    age = f"  {_ago(now - task.logged)}" if task.logged is not None else ""
    return f"step {task.step}{value}{age}"


def _ago(seconds: float) -> str:
    """How long ago, in the largest whole unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


if __name__ == "__main__":
    main()
