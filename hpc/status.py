"""Where an experiment stands: counts, progress, GPU hours, why tasks wait.

    python -m hpc.status lora_sweep

Reads claims and exit records, and asks Slurm once; it judges nothing (that is hpc.collect) and opens no metrics.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from hpc.console import json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_TEMPORARY
from hpc.core.outcomes import Outcome, count_outcomes, render_counts
from hpc.inspection import AttemptState, Progress, Snapshot, TaskState, take_snapshot
from hpc.workspace import Workspace


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
    """

    outcomes: Mapping[str, int]
    retried: int
    gpu_hours: float
    eta_s: float | None
    reasons: Mapping[str, int]
    running: Sequence[str]


@click.command(epilog="Example: python -m hpc.status lora_sweep --json")
@name_argument
@json_option
@speaks_plainly
def main(name: str | None, as_json: bool) -> int:
    """Show where experiment NAME (default: the one planned last) stands."""
    layout = Workspace.current().layout(name)
    snapshot = take_snapshot(layout, require_slurm=False)
    standing = stand(snapshot)
    if as_json:
        print_json({"experiment": layout.experiment, "tasks": len(snapshot.tasks), **vars(standing)})
    else:
        show(snapshot, standing)
    if snapshot.slurm_problem:
        note(f"warning: {snapshot.slurm_problem}; what is shown comes from the run folder alone")
        return EXIT_TEMPORARY
    return EXIT_DONE


def stand(snapshot: Snapshot) -> Standing:
    """Count."""
    outcomes = [rough_outcome(task) for task in snapshot.tasks]
    attempts = [attempt for task in snapshot.tasks for attempt in task.attempts]
    waiting = [attempt for attempt in attempts if attempt.progress is Progress.WAITING]
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
    )


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


def show(snapshot: Snapshot, standing: Standing) -> None:
    """Print one line of counts, and what is worth knowing besides."""
    counts = standing.outcomes
    say(f"{snapshot.layout.experiment}: {render_counts(counts)}")
    if standing.running:
        names = ", ".join(standing.running[:5]) + (", …" if len(standing.running) > 5 else "")
        say(f"running: {names}")
    if standing.eta_s is not None:
        say(f"about {max(1, round(standing.eta_s / 60))} minutes left at the pace so far")
    if standing.gpu_hours:
        say(f"{standing.gpu_hours:,.2f} GPU hours used")
    if standing.retried:
        say(f"{standing.retried} tasks needed more than one attempt")
    for reason, count in standing.reasons.items():
        say(f"{count} waiting: {reason}")
    if counts[Outcome.FAILED]:
        say(f"why they failed: python -m hpc.collect {snapshot.layout.experiment}")
    if counts[Outcome.PLANNED]:
        say(f"not submitted yet: python -m hpc.submit {snapshot.layout.experiment}")


if __name__ == "__main__":
    main()
