"""Keeping to the budget: what may still be started of an experiment, and the hold once nothing may.

Counted is what every attempt took, retries included, and what those that run or wait may still take: what 9 of 10 known
runs took at most, or, while fewer than `ENOUGH` are known, their time limits. The caller holds the experiment's lock.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.core.failures.breaker import Trip
from hpc.core.forecast.budget import Hours, fit_into, hours_of
from hpc.core.forecast.observed import Scaling, find_scaling
from hpc.core.forecast.predict import predict_one
from hpc.core.layout import RunLayout
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import Assignment
from hpc.forecasting.known import runs_of
from hpc.forecasting.making import chance
from hpc.forecasting.spent import spent_hours
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import AttemptState, Progress, TaskState
from hpc.submissions.holds import held, hold
from hpc.submissions.prepare import Frozen

ENOUGH = 5
"""Runs from which on they say what another may take; before, only its time limit does."""


@dataclass(frozen=True)
class Kept:
    """What a budget lets be started.

    Attributes:
        now: What fits.
        later: What does not, now or ever.
        why: What bounds it, one clause; empty where all fits.
    """

    now: Sequence[Assignment]
    later: Sequence[Assignment] = ()
    why: str = ""


def keep_to_budget(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> Kept:
    """Choose what fits into the budget; hold the experiment where it is spent, or nothing fits and nothing runs.

    What runs goes on: the budget bounds what is started.

    Raises:
        TemporaryError: Slurm is needed and did not answer.
    """
    budget = frozen.spec.budget
    if budget is None:
        return Kept(assignments)
    states = take_snapshot(layout).tasks
    live = [(state, each) for state in states for each in state.attempts if each.progress is not Progress.OVER]
    running = {each.layout.home for _, each in live if each.progress is Progress.RUNNING}
    expect = Expected(layout, frozen)
    committed = sum((expect.still_of(state, attempt) for state, attempt in live), Hours())
    costs = [expect.cost_of(each) for each in assignments]
    fits = fit_into(budget, spent_hours(layout, running), committed, costs)
    waits = any(attempt.progress is Progress.WAITING for _, attempt in live)
    is_stuck = bool(assignments) and not fits.count and not live
    if is_stuck or (fits.is_spent and (assignments or waits)):
        reason = fits.why or "its budget is spent"
        raising = "raise budget in the experiment's YAML and plan again before you release it"
        if held(layout) is None:
            hold(layout, Trip(f"{reason}; {raising}", "", reason, ()))
        return Kept((), assignments, reason)
    return Kept(assignments[: fits.count], assignments[fits.count :], fits.why)


class Expected:
    """What runs of an experiment may take."""

    def __init__(self, layout: RunLayout, frozen: Frozen) -> None:
        self._args = frozen.spec.program.args
        known = runs_of(layout, frozen.manifest).runs
        self._scaling: Scaling | None = find_scaling(known) if len(known) >= ENOUGH else None
        ratios = [each.run_s / self._scaling.time_s(each.arguments) for each in known] if self._scaling else []
        self._most = predict_one(ratios, chance()).most if ratios else 0.0

    def cost_of(self, assignment: Assignment) -> Hours:
        """What an attempt may take, from its start to its end."""
        return hours_of(assignment.resources, self._seconds(assignment.resources, assignment.task.parameters))

    def still_of(self, state: TaskState, attempt: AttemptState) -> Hours:
        """What an attempt that runs or waits may still take; past what was expected it may take all it is granted."""
        asked = attempt.record.resources if attempt.record else attempt.asked
        if asked is None:
            return Hours()
        ran = max(0.0, time.time() - attempt.record.started) if attempt.record else 0.0
        seconds = self._seconds(asked, state.task.parameters)
        return hours_of(asked, max(0.0, (seconds if ran < seconds else asked.time_s) - ran))

    def _seconds(self, asked: Resources, parameters: Mapping[str, Any]) -> float:
        given = {**self._args, **parameters}
        if self._scaling is None or self._scaling.unseen(given):
            return float(asked.time_s)
        return min(float(asked.time_s), self._most * self._scaling.time_s(given))
