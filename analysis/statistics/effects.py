"""Sizes of a difference, each with its interval: Cohen's d, Hedges' g, Cliff's delta, probability of improvement.

All functions take many comparisons at once: one row each, the values of a side along the second axis. The two sides
are treated as independent; for runs that share seeds the intervals are too wide rather than too narrow where the runs
of a pair resemble each other. Measured coverage: ``docs/statistics.md``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
_MAGNITUDES = ((0.2, "negligible"), (0.5, "small"), (0.8, "medium"))


@dataclass(frozen=True)
class Effect:
    """The size of a difference.

    Attributes:
        value: The measure.
        low: Lower end of its interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def magnitude(cohens_d: float | None) -> str:
    """Put |d| into words: below 0.2 negligible, below 0.5 small, below 0.8 medium, else large."""
    if cohens_d is None:
        return "not computable"
    return next((word for bound, word in _MAGNITUDES if abs(cohens_d) < bound), "large")


def cohens_d(ours: Floats, base: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Mean difference over sqrt((σ_b² + σ_e²) / 2), whatever the sizes, with Bonett's interval.

    The interval (Bonett 2008, Psychological Methods 13, equation 5 for two groups) assumes neither equal variances nor
    equal sizes: d ± z · sqrt(d² · (σ_e⁴/(n_e − 1) + σ_b⁴/(n_b − 1)) / (8 σ⁴) + (σ_e²/(n_e − 1) + σ_b²/(n_b − 1)) / σ²).

    Args:
        ours: Array of shape (comparisons, runs), at least 2 runs.
        base: Array of shape (comparisons, runs of the baseline), at least 2.
        level: Coverage of the interval.

    Returns:
        d, low and high, each of shape (comparisons,); NaN where neither side varies.
    """
    ours_var, base_var = ours.var(axis=1, ddof=1), base.var(axis=1, ddof=1)
    pooled = (ours_var + base_var) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        d = (ours.mean(axis=1) - base.mean(axis=1)) / np.sqrt(pooled)
        ours_free, base_free = ours.shape[1] - 1, base.shape[1] - 1
        spread = d**2 * (ours_var**2 / ours_free + base_var**2 / base_free) / (8 * pooled**2)
        half = _normal_quantile(level) * np.sqrt(spread + (ours_var / ours_free + base_var / base_free) / pooled)
    return d, d - half, d + half


def hedges_g(ours: Floats, base: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Mean difference over the pooled standard deviation, freed of its bias, with the noncentral t interval.

    g = (1 − 3 / (4 (n_e + n_b) − 9)) · difference / s_pooled (Hedges 1981). The interval is that of the true
    standardised difference, exact for normal values of equal variance: the noncentralities at which the observed t is
    the upper and the lower quantile, times sqrt(1/n_e + 1/n_b). At n = 3 it lies clearly to one side of g.

    Args:
        ours: Array of shape (comparisons, runs).
        base: Array of shape (comparisons, runs of the baseline); both sides together at least 3.
        level: Coverage of the interval.

    Returns:
        g, low and high, each of shape (comparisons,); NaN where neither side varies.
    """
    n, m = ours.shape[1], base.shape[1]
    df = n + m - 2
    squares = ((ours - ours.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    squares = squares + ((base - base.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    unit = np.sqrt(1 / n + 1 / m)
    factor = 1 - 3 / (4 * (n + m) - 9)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (ours.mean(axis=1) - base.mean(axis=1)) / (np.sqrt(squares / df) * unit)
    low, high = (_noncentrality(df, share, t) for share in ((1 + level) / 2, (1 - level) / 2))
    return factor * unit * t, unit * low, unit * high


def probability_greater(ours: Floats, base: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Chance that a run of ours has the greater value than one of the baseline, ties counted half.

    The share of all pairs (Mann and Whitney's U over n · m); Cliff's delta is twice the share minus 1. The interval is
    Newcombe's (2006, Statistics in Medicine 25, method 5): a score interval, which stays wide where the samples are
    apart and the share is 0 or 1.

    Args:
        ours: Array of shape (comparisons, runs).
        base: Array of shape (comparisons, runs of the baseline).
        level: Coverage of the interval.

    Returns:
        The share, low and high, each of shape (comparisons,), 0 to 1.
    """
    differences = ours[:, :, None] - base[:, None, :]
    share = ((differences > 0) + 0.5 * (differences == 0)).mean(axis=(1, 2))
    low, high = (_newcombe_bound(share, ours.shape[1], base.shape[1], level, end) for end in (0.0, 1.0))
    return share, low, high


def _newcombe_bound(share: Floats, n: int, m: int, level: float, end: float) -> Floats:
    """Find, towards `end`, where |share − θ| = z · standard error at θ; by halving, 60 times.

    The standard error is Hanley and McNeil's under bounded_exp values, with both sizes replaced by their mean.
    """
    z = _normal_quantile(level)
    size = (n + m) / 2 - 1
    inside, outside = share.copy(), np.full_like(share, end)
    for _ in range(60):
        at = (inside + outside) / 2
        variance = at * (1 - at) * (1 + size * ((1 - at) / (2 - at) + at / (1 + at))) / (n * m)
        within = (share - at) ** 2 <= z**2 * variance
        inside, outside = np.where(within, at, inside), np.where(within, outside, at)
    # Where even the end is within reach, halving has come to it.
    return (inside + outside) / 2


def _noncentrality(df: float, share: float, t: Floats) -> Floats:
    """Noncentrality at which `share` of the noncentral t lies below t; mirrored for t < 0, where cdflib fails."""
    found = special.nctdtrinc(df, np.where(t < 0, 1 - share, share), np.abs(t)).astype(np.float64)
    return np.where(t < 0, -found, found)


def _normal_quantile(level: float) -> float:
    return float(special.ndtri((1 + level) / 2))
