"""Tests and intervals by order alone: Friedman's over methods, Mann and Whitney's over systems, shares of pairs.

The distributions are exact, given the ties, for as many runs, systems and methods as are usual.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from analysis.statistics.estimates import t_quantile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_LONGEST = 200_000
"""Outcomes of the rank statistic up to which its exact distribution is used."""
_MOST_RUNS = 60
"""Runs on one system up to which the exact distribution of ranks is used."""
_MOST_METHODS = 5
_MOST_SUMS = 300_000
"""Methods, and sums of ranks to follow, up to which Friedman's statistic has its exact distribution."""
_SAME = 1e-12


@dataclass(frozen=True)
class Omnibus:
    """Friedman's test that all methods rank alike; the systems are its blocks.

    Attributes:
        statistic: Friedman's χ², ties taken into account.
        f: Iman and Davenport's F of it; None where it is infinite.
        p: Its p-value.
        method: ``exact``, over all orders of methods within systems, or ``Iman–Davenport``.
        floor: Smallest p that so few systems and methods can give.
    """

    statistic: float
    f: float | None
    p: float
    method: str
    floor: float


def friedman(ranks: Floats) -> Omnibus:
    """Test that all methods rank alike (Friedman 1937), with its exact distribution for few methods and systems.

    Above, Iman and Davenport's (1980) F, which is less cautious than χ² and about right from 10 systems on.

    Args:
        ranks: Array of shape (systems, methods), midranks within each system; at least 3 methods.
    """
    systems, methods = ranks.shape
    if (ranks == ranks[:, :1]).all():
        return Omnibus(0.0, 0.0, 1.0, "exact", 1.0)
    statistic = float(stats.friedmanchisquare(*ranks.T).statistic)
    rest = systems * (methods - 1) - statistic
    f = (systems - 1) * statistic / rest if rest > _SAME * systems else None
    exact = _exact_friedman(ranks) if methods <= _MOST_METHODS else None
    if exact is not None:
        return Omnibus(statistic, f, exact[0], "exact", exact[1])
    p = 0.0 if f is None else float(stats.f.sf(f, methods - 1, (methods - 1) * (systems - 1)))
    # All systems in the same order: one of methods! orders in each but the first.
    floor = math.exp(-math.lgamma(methods + 1) * (systems - 1))
    return Omnibus(statistic, f, max(p, floor), "Iman–Davenport", floor)


def nemenyi(methods: int, systems: int, alpha: float) -> float:
    """Return the difference of average ranks from which on two methods differ, any two of them (Nemenyi 1963)."""
    quantile = float(stats.studentized_range.ppf(1 - alpha, methods, np.inf))
    return quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * systems))


def stratified_rank_test(ours: Sequence[Floats], base: Sequence[Floats]) -> tuple[float, float | None]:
    """Test that runs of both sides are alike on every system, by their order within systems alone.

    The mean over systems of Mann and Whitney's share of pairs, with its exact distribution given the ties; above
    60 runs on a system the normal one.

    Args:
        ours: One array of shape (runs,) per system; infinite for runs worse than all others.
        base: The same of the baseline.

    Returns:
        The two-sided p-value, and the smallest it could be; None where it is not exact.
    """
    tables = [_rank_table(one, two) for one, two in zip(ours, base, strict=True)]
    sizes = [len(one) * len(two) for one, two in zip(ours, base, strict=True)]
    common = math.lcm(*sizes)
    exact = [chances for _, chances, _ in tables if chances is not None]
    # Twice the wins of each system are whole numbers; times common / size each system counts alike.
    observed = sum(wins * (common // size) for (wins, _, _), size in zip(tables, sizes, strict=True))
    centre = common * len(sizes)
    if common * len(sizes) * 2 > _LONGEST or len(exact) < len(tables):
        variance = sum(one * (common // size) ** 2 for (_, _, one), size in zip(tables, sizes, strict=True))
        z = abs(observed - centre) / math.sqrt(variance) if variance else 0.0
        return float(2 * special.ndtr(-z)), None
    total = np.ones(1)
    for chances, size in zip(exact, sizes, strict=True):
        stretched = np.zeros((len(chances) - 1) * (common // size) + 1)
        stretched[:: common // size] = chances
        total = np.convolve(total, stretched)
    away = np.abs(np.arange(len(total)) - centre)
    p = float(total[away >= abs(observed - centre)].sum())
    there = np.flatnonzero(total > 0)
    return min(1.0, p), min(1.0, float(total[away >= away[there].max()].sum()))


def score_interval(share: Floats, sizes: Sequence[tuple[int, int]], level: float) -> tuple[Floats, Floats]:
    """Return the interval of a share of pairs, averaged over systems; Newcombe's (2006, method 5) for one system.

    Where the share and θ differ by t standard errors at θ; it stays wide where the share is 0 or 1. Hanley and
    McNeil's standard error at the mean share is not below that of shares that differ between systems.

    Args:
        share: Array of shape (shares,), 0 to 1.
        sizes: Runs of both sides on each system.
        level: Coverage.
    """
    quantile = t_quantile(level, max(1, sum(n + m - 2 for n, m in sizes)))
    alone = sum(1 / (n * m) for n, m in sizes) / len(sizes) ** 2
    shared = sum(((n + m) / 2 - 1) / (n * m) for n, m in sizes) / len(sizes) ** 2
    inside, outside = np.stack([share, share]), np.stack([np.zeros_like(share), np.ones_like(share)])
    for _ in range(32):
        at = (inside + outside) / 2
        variance = at * (1 - at) * (alone + shared * ((1 - at) / (2 - at) + at / (1 + at)))
        within = (share - at) ** 2 <= quantile**2 * variance
        inside, outside = np.where(within, at, inside), np.where(within, outside, at)
    low, high = (inside + outside) / 2
    return low, high


def midranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing theirs: scipy's take ten times as long for a few values."""
    order = np.sort(values)
    return (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right") + 1) / 2


def share_lower(ours: Floats, base: Floats) -> float:
    """Share of pairs in which ours is lower, ties half, two diverged runs included."""
    wins = (ours[:, None] < base[None, :]) + 0.5 * (ours[:, None] == base[None, :])
    return float(wins.mean())


def _rank_table(ours: Floats, base: Floats) -> tuple[int, Floats | None, float]:
    """Twice the pairs that ours wins, the chances of 0, 1, 2, … of them given all values, and the variance.

    The chances are None where there are too many runs.
    """
    n, m = len(ours), len(base)
    wins = round(2 * n * m * share_lower(ours, base))
    doubled = np.rint(2 * midranks(np.concatenate([ours, base]))).astype(np.int64)
    variance = 4 * n * m / ((n + m) * max(1, n + m - 1)) * float(((doubled / 2 - (n + m + 1) / 2) ** 2).sum())
    if n + m > _MOST_RUNS:
        return wins, None, variance
    return wins, _chances_of_wins(n, tuple(sorted(doubled.tolist()))), variance


@lru_cache(maxsize=1024)
def _chances_of_wins(n: int, doubled: tuple[int, ...]) -> Floats:
    """Chances of 0, 1, 2, … for twice the pairs won by n of the runs with these (doubled) ranks."""
    m = len(doubled) - n
    counts = np.zeros((n + 1, sum(doubled) + 1))
    counts[0, 0] = 1
    for rank in doubled:
        counts[1:, rank:] += counts[:-1, : counts.shape[1] - rank].copy()
    # A low sum of ranks is a win of ours: twice the wins are 2 n m + n (n + 1) − the doubled rank sum.
    chances = counts[n] / counts[n].sum()
    top = 2 * n * m + n * (n + 1)
    by_wins = np.zeros(2 * n * m + 1)
    there = np.flatnonzero(chances)
    by_wins[top - there] = chances[there]
    return by_wins


def _exact_friedman(ranks: Floats) -> tuple[float, float] | None:
    """P-value over all orders of the methods within each system, and the smallest there could be; None if too many."""
    doubled = np.rint(2 * ranks).astype(np.int64)
    found = _friedman_outcomes(tuple(sorted(map(tuple, np.sort(doubled, axis=1).tolist()))))
    if found is None:
        return None
    squares, chances = found
    # The sum of squares orders outcomes as Friedman's statistic does.
    observed = int((doubled.sum(axis=0) ** 2).sum())
    return float(chances[squares >= observed].sum()), float(chances[squares == squares.max()].sum())


@lru_cache(maxsize=256)
def _friedman_outcomes(rows: tuple[tuple[int, ...], ...]) -> tuple[Ints, Floats] | None:
    """Sums of squares of the rank sums, and their chances, for systems with these (doubled) ranks in any order.

    Sums of ranks are followed system by system; which method has which is of no account, so they are kept in order.
    """
    methods = len(rows[0])
    digits = (max(map(max, rows)) * len(rows) + 1) ** np.arange(methods)
    states, chances = np.zeros((1, methods), dtype=np.int64), np.ones(1)
    for row in rows:
        orders = np.unique(np.array(list(permutations(row))), axis=0)
        if len(states) * len(orders) > _MOST_SUMS:
            return None
        every = np.sort((states[:, None, :] + orders[None, :, :]).reshape(-1, methods), axis=1)
        # One number for each row of sums: sorting numbers is much faster than sorting rows.
        _, first, place = np.unique(every @ digits, return_index=True, return_inverse=True)
        states = every[first]
        weights = np.repeat(chances / len(orders), len(orders))
        chances = np.bincount(place.ravel(), weights=weights, minlength=len(states)).astype(np.float64)
    return (states**2).sum(axis=1), chances
