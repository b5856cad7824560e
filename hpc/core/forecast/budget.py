"""What an experiment may cost in all, and which runs still fit into it."""

from collections.abc import Sequence

from hpc.core.experiment.spec import Budget
from hpc.core.forecast.forecast import say_hours
from hpc.core.forecast.predict import Interval
from hpc.core.immutable import immutable
from hpc.core.resources import HOUR, Resources
from hpc.core.words import amount, amount_unit, rounded, two_digits

GPU, CORE = "GPU h", "core h"
SPENT = "budget"
"""How a hold for it is marked; no failure has such a fingerprint."""


@immutable
class Hours:
    """Hours of devices and of cores."""

    gpu: float = 0.0
    core: float = 0.0

    def __add__(self, other: "Hours") -> "Hours":
        return Hours(self.gpu + other.gpu, self.core + other.core)

    def of(self, unit: str) -> float:
        """Those of one kind."""
        return self.gpu if unit == GPU else self.core


def hours_of(asked: Resources, seconds: float) -> Hours:
    """What so many seconds of a run cost."""
    return Hours(asked.nodes * asked.gpus * seconds / HOUR, asked.nodes * asked.cpus * seconds / HOUR)


def bounds_of(budget: Budget) -> tuple[tuple[str, float], ...]:
    """Its bounds: unit and hours."""
    pairs = ((GPU, budget.gpu_hours), (CORE, budget.core_hours))
    return tuple((unit, hours) for unit, hours in pairs if hours is not None)


def say_share(budget: Budget, spent: Hours, left: Interval | None, unit: str) -> str:
    """Say how much of a budget is spent, and how much of it the forecast takes."""
    told = []
    for name, hours in bounds_of(budget):
        said = f"budget {_bound(hours, name)}: {amount(spent.of(name), name)} spent"
        if left and name == unit:
            said += f", {say_hours(left, unit)} to come: {_percent((spent.of(name) + left.middle) / hours)} in all"
        told.append(said)
    return "; ".join(told)


def _of(part: float, whole: float, unit: str) -> str:
    """A part of a whole in one unit, that of the whole: ``0.06 of 1.0 GPU min``."""
    return f"{two_digits(part * amount_unit(whole, unit)[0])} of {_bound(whole, unit)}"


def _bound(hours: float, unit: str) -> str:
    """A bound of somebody's, with as many digits as people write."""
    scale, name = amount_unit(hours, unit)
    return f"{rounded(hours * scale, 4)} {name}"


def _percent(share: float) -> str:
    return "less than 1%" if 0 < share < 0.005 else f"{share:.0%}"


@immutable
class Fits:
    """Which runs a budget has room for.

    Attributes:
        count: So many of them, from the first.
        why: What bounds them, one clause; empty where all fit.
        is_spent: Whether nothing of it is left even if what runs were to end now.
    """

    count: int
    why: str = ""
    is_spent: bool = False


def fit_into(budget: Budget, spent: Hours, committed: Hours, costs: Sequence[Hours]) -> Fits:
    """Find how many runs may still be started.

    Args:
        spent: By every attempt so far, what runs included up to now.
        committed: What runs and waits may still take.
        costs: What each further run may take, in the order in which they would be started.
    """
    count, why, is_spent = len(costs), "", False
    for unit, hours in bounds_of(budget):
        taken, fits = spent.of(unit) + committed.of(unit), 0
        for cost in costs:
            taken += cost.of(unit)
            if taken > hours * (1 + 1e-9):
                break
            fits += 1
        if fits < count or (fits < len(costs) and not why):
            count = fits
            more = f" and {amount(committed.of(unit), unit)} committed" if committed.of(unit) else ""
            why = (
                f"budget: {_of(spent.of(unit), hours, unit)} spent{more}, and a run may take "
                f"{amount(costs[fits].of(unit), unit)}"
            )
        is_spent = is_spent or spent.of(unit) >= hours
    return Fits(count, why, is_spent)
