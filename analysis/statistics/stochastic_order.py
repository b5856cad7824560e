"""Almost stochastic order of two samples of runs: how far one is from being better at every quantile.

del Barrio, Cuesta-Albertos and Matrán (2018); for machine learning Dror, Shlomov and Reichart (2019), as a library
Ulmer, Hardmeier and Frellsen (2022, deepsig). How often it is wrong at few runs: ``docs/statistics.md``.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, prod

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST = 3
"""Runs of a side below which nothing is said: two runs have no shape."""
_DRAWS = 500
"""Resamples; where there are no more different ones than this, each is taken once with its probability."""
_ELEMENTS = 2_000_000
"""Numbers that are held at once."""


@dataclass(frozen=True)
class AlmostOrder:
    """How far the configuration is from being better than the baseline at every quantile.

    Attributes:
        violation: Violation ratio: 0 if it is better at every quantile, 1 if it is worse at every quantile.
        bound: Its upper bound ε_min at the plan's confidence; below 0.5 ASO calls the configuration better.
    """

    violation: float
    bound: float


def almost_order(ours: Floats, base: Floats, goal: str, level: float) -> tuple[Floats, Floats]:
    """Violation ratio ε and its upper bound ε_min, for many comparisons at once.

    ε is the integral of the squared difference of the two quantile functions over the quantiles at which ours is the
    worse, divided by that over all quantiles (the squared Wasserstein distance); equal samples have 1/2. ε_min is
    ε + z · s, within 0 and 1, with the one-sided normal quantile z and the standard deviation s of ε over bootstrap
    resamples of both sides, which are taken as independent. The resamples depend on the sizes only, so a comparison
    reads the same whatever stands beside it.

    Args:
        ours: Array of shape (comparisons, runs), at least 3 runs.
        base: Array of shape (comparisons, runs of the baseline), at least 3.
        goal: ``min`` or ``max``: which values are better.
        level: One-sided confidence of the bound.

    Returns:
        ε and ε_min, each of shape (comparisons,).
    """
    n, m = ours.shape[1], base.shape[1]
    sign = 1.0 if goal == "max" else -1.0
    ours, base = np.sort(sign * ours, axis=1), np.sort(sign * base, axis=1)
    widths, at_ours, at_base = _steps(n, m)
    violation = _violation(ours[:, at_ours], base[:, at_base], widths)
    mine, theirs, chances = _resamples(n, m)
    mine, theirs = mine[:, at_ours], theirs[:, at_base]
    rows = max(1, _ELEMENTS // mine.size)
    spread = np.empty(len(ours))
    for first in range(0, len(ours), rows):
        part = slice(first, first + rows)
        drawn = _violation(ours[part][:, mine], base[part][:, theirs], widths)
        spread[part] = np.sqrt((drawn - (drawn @ chances)[:, None]) ** 2 @ chances)
    bound: Floats = np.clip(violation + float(special.ndtri(level)) * spread, 0.0, 1.0)
    return violation, bound


def _violation(ours: Floats, base: Floats, widths: Floats) -> Floats:
    """Share of the squared distance at which ours is the lower; the last axis are steps of the quantile functions."""
    apart = ours - base
    squares = apart**2
    whole = squares @ widths
    below = np.where(apart < 0, squares, 0.0) @ widths
    found: Floats = np.divide(below, whole, out=np.full_like(whole, 0.5), where=whole > 0)
    return found


@lru_cache(maxsize=256)
def _steps(n: int, m: int) -> tuple[Floats, Ints, Ints]:
    """Widths of the steps at which neither quantile function jumps, and which run of either side each belongs to."""
    ends = np.unique(np.concatenate([np.arange(n + 1) * m, np.arange(m + 1) * n]))
    return np.diff(ends) / (n * m), ends[:-1] // m, ends[:-1] // n


@lru_cache(maxsize=256)
def _resamples(n: int, m: int) -> tuple[Ints, Ints, Floats]:
    """Resamples of both sides as sorted places, arrays of shape (resamples, runs), and their probabilities."""
    if comb(2 * n - 1, n) * comb(2 * m - 1, m) > _DRAWS:
        rng = np.random.default_rng([n, m])
        mine, theirs = (np.sort(rng.integers(0, size, (_DRAWS, size)), axis=1) for size in (n, m))
        return mine, theirs, np.full(_DRAWS, 1 / _DRAWS)
    (mine, of_mine), (theirs, of_theirs) = _every_resample(n), _every_resample(m)
    chances = np.outer(of_mine, of_theirs).ravel()
    return np.repeat(mine, len(theirs), axis=0), np.tile(theirs, (len(mine), 1)), chances


def _every_resample(n: int) -> tuple[Ints, Floats]:
    """Each different resample of n runs, and its probability."""
    drawn = np.array(list(combinations_with_replacement(range(n), n)), dtype=np.int64)
    ways = [factorial(n) // prod(map(factorial, np.bincount(one).tolist())) for one in drawn]
    return drawn, np.array(ways) / n**n
