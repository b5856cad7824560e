"""Where an experiment stands at one moment, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import field, immutable

if TYPE_CHECKING:
    from hpc.core.question.best import Best
    from hpc.snapshots.running import RunningTask


@immutable
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


@immutable
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
        abandoned: Elements in this machine's queue that no runner works off.
        kept: Finished tasks whose folders are gone: what was collected of them stands.
        best: The best configuration so far by the primary metric, in words; empty where nothing is measured.
        values: The same with its numbers; None likewise.
        jobs: Run name → Slurm job of what runs.
        collected: Whether the newest collection has seen every end.
        report: Path of the report, where it is as new as the newest collection; empty before.
        by_exit_code: Tasks that ended since the last collection and count as finished by their exit codes alone.
        other_code: Which runs other code made than the plan names, and how to run them again.
        outdated: Which runs started from runs of other experiments that were repeated since, and the same.
        checks: Answer of the declared check → finished runs; empty without one.
        checked: The same in words, with the runs that failed it.
        waits_for: Which runs of other experiments are missing for tasks that are not submitted yet; empty for none.
        forecast: What was forecast and what it came to, once nothing is left; empty before.
        held_runs: Single runs that a person holds → who, and why.
        broken: Which rung a canary's ladder of checks broke at, while tasks are not submitted yet; empty for none.
        adopted: Whether its runs were made without us: what is missing of them is never started.
        core_hours: CPU cores times hours that attempts took that ended.
        runs_per_hour: The pace of the newest `LATEST` finished attempts; None without one.
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
    abandoned: int = 0
    kept: Sequence[str] = ()
    by_exit_code: int = 0
    best: str = ""
    values: Best | None = None
    jobs: Mapping[str, str] = field(default_factory=dict)
    collected: bool = False
    report: str = ""
    other_code: Sequence[str] = ()
    checks: Mapping[str, int] = field(default_factory=dict)
    checked: str = ""
    waits_for: str = ""
    outdated: Sequence[str] = ()
    held_runs: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""
    forecast: str = ""
    adopted: bool = False
    core_hours: float = 0.0
    runs_per_hour: float | None = None

    @property
    def is_over(self) -> bool:
        """Nothing runs or waits, and nobody is going to start anything."""
        waiting = self.outcomes[Outcome.PENDING] - self.abandoned
        return not (self.outcomes[Outcome.RUNNING] or waiting > 0 or self.is_followed)
