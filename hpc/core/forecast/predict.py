"""Intervals for runs to come, from runs that are known: drawn from what these leave open. Pure: chance comes in.

The logarithm of a run's time (over what its arguments explain) is taken as normal with a mean and a spread that the
known runs tell only so well; both are drawn with each sweep (the reference prior, so that one run's interval is the
t-interval for a further observation). Sums and ends of sweeps come from the same draws.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from hpc.core.forecast.observed import log_spread
from hpc.core.immutable import immutable

LEVEL = 0.8
"""Share of what comes that an interval is to cover."""
OCCASION = 0.1
"""How far all times of a sweep are off together, as a logarithm: other days, nodes, neighbours (docs/forecast.md)."""
MOST_DRAWN = 300
"""Runs of a sweep that are drawn one by one; a larger sweep is drawn by so many of them."""
MOST_NUMBERS = 60_000
"""Times drawn for one forecast."""
MOST_EXPONENT = 12.0
"""A spread of two runs may be drawn a thousand times too large: nothing grows by more than e to this."""


class Chance(Protocol):
    """Where chance comes from: `random.Random` with a seed."""

    def gauss(self, mu: float, sigma: float) -> float: ...
    def gammavariate(self, alpha: float, beta: float) -> float: ...


@immutable
class Interval:
    """What is expected.

    Attributes:
        middle: The median.
        low, high: Between which it falls four times in five; None where one run alone is known.
    """

    middle: float
    low: float | None = None
    high: float | None = None

    @property
    def most(self) -> float:
        """Its upper end, or all that is known."""
        return self.middle if self.high is None else self.high

    def times(self, factor: float) -> "Interval":
        """The same in another unit."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Interval(self.middle * factor, low, high)


@immutable
class Sweep:
    """What a sweep is expected to take.

    Attributes:
        run_s: One of its runs.
        total: Of all runs, their times by their weights.
        wall_s: From the first start to the last end, with so many at once and no waiting.
    """

    run_s: Interval
    total: Interval
    wall_s: Interval


def predict_sweep(
    ratios: Sequence[float],
    fitted: int,
    times_s: Sequence[float],
    weights: Sequence[float],
    at_once: int,
    chance: Chance,
    unseen: Sequence[str] = (),
    between: float = 0.0,
    occasion: float = 0.0,
) -> Sweep:
    """Draw sweeps.

    Args:
        ratios: Time measured over time explained, of each known run.
        fitted: Numbers that were fitted to them.
        times_s: Time explained of each run to come, in the order in which they start; at least one.
        weights: Of each of these, what a second of it costs.
        at_once: Runs that run at once.
        unseen: Of each, the value of the argument that sets runs apart, where none with it is known (`Scaling.unseen`).
        between: How far the logarithms of times differ by that argument: all runs of an unseen value differ alike.
        occasion: How far these logarithms are off together, for all runs alike: `OCCASION` for times.
    """
    mean, spread = log_spread(ratios, fitted)
    free = len(ratios) - fitted
    if free < 1:
        times = [time * math.exp(mean) for time in times_s]
        total = sum(time * weight for time, weight in zip(times, weights, strict=True))
        return Sweep(Interval(sorted(times)[len(times) // 2]), Interval(total), Interval(wall_time(times, at_once)))
    some = _representative([time * weight for time, weight in zip(times_s, weights, strict=True)])
    factor = len(times_s) / len(some)
    slots = at_once / factor
    totals, walls, runs = [], [], []
    kinds = tuple(unseen) or ("",) * len(times_s)
    fresh = [kind for kind in dict.fromkeys(kinds) if kind]
    for _ in range(max(100, min(400, MOST_NUMBERS // len(some)))):
        sigma = spread * math.sqrt(free / max(chance.gammavariate(free / 2, 2.0), 1e-12))
        mu = mean + sigma / math.sqrt(len(ratios)) * chance.gauss(0, 1)
        mu += occasion * chance.gauss(0, 1) if occasion else 0.0
        apart = {kind: between * chance.gauss(0, 1) for kind in fresh}
        times = [
            times_s[place] * _grown(mu + apart.get(kinds[place], 0.0) + sigma * chance.gauss(0, 1)) for place in some
        ]
        totals.append(factor * sum(time * weights[place] for time, place in zip(times, some, strict=True)))
        walls.append(wall_time(times, at_once) if factor == 1 else max(sum(times) / slots, *times))
        runs += times[:: max(1, len(times) // 10)]
    return Sweep(interval_of(runs), interval_of(totals), interval_of(walls))


def _grown(exponent: float) -> float:
    return math.exp(max(-MOST_EXPONENT, min(MOST_EXPONENT, exponent)))


def predict_one(values: Sequence[float], chance: Chance) -> Interval:
    """What a further run shows, from what others showed: memory, space. All above 0, at least one."""
    return predict_sweep(values, 1, [1.0] * 20, [1.0] * 20, 1, chance).run_s


def interval_of(drawn: Iterable[float]) -> Interval:
    """The middle of what was drawn, and between what `LEVEL` of it lies."""
    ordered = sorted(drawn)
    outside = (1 - LEVEL) / 2
    places = (min(len(ordered) - 1, int(share * len(ordered))) for share in (0.5, outside, 1 - outside))
    return Interval(*(ordered[place] for place in places))


def wall_time(times_s: Iterable[float], at_once: int) -> float:
    """When the last of some runs ends that start in order, each as soon as a place is free."""
    ends: list[float] = []
    for time in times_s:
        begins = heapq.heappop(ends) if len(ends) >= max(1, at_once) else 0.0
        heapq.heappush(ends, begins + time)
    return max(ends, default=0.0)


def _representative(costs: Sequence[float]) -> list[int]:
    """All places, or `MOST_DRAWN` of them that stand for the others: the middle ones of equal shares by size."""
    if len(costs) <= MOST_DRAWN:
        return list(range(len(costs)))
    by_size = sorted(range(len(costs)), key=costs.__getitem__)
    return [by_size[(2 * share + 1) * len(costs) // (2 * MOST_DRAWN)] for share in range(MOST_DRAWN)]
