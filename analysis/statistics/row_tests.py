"""Tests of many comparisons of equal sizes at once, one a row: t tests, equivalence, ranks, permutations.

Arrays of shape (comparisons, runs) go in, of shape (comparisons,) come out. Nothing is decided here.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.estimates import LEVEL
from analysis.statistics.samples import STEADY

Floats = npt.NDArray[np.float64]
_scipy: Any = stats
"""Without its types, which know no tests of many rows at once."""
_EXACT = 2000
"""Most arrangements that are gone through one by one: 6 against 6 runs are 924, 10 pairs are 1,024."""


@dataclass(frozen=True, eq=False)
class TestedRows:
    """A t test of many comparisons of equal sizes; each array has shape (comparisons,).

    Attributes:
        difference: Mean difference.
        t: Test statistic.
        df: Degrees of freedom.
        p: Two-sided p-value.
        low: Lower end of the interval of the difference; NaN for a one-sided test.
        high: Upper end.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    difference: Floats
    t: Floats
    df: Floats
    p: Floats
    low: Floats
    high: Floats


def welch_rows(ours: Floats, base: Floats, level: float = LEVEL, alternative: str = "two-sided") -> TestedRows:
    """Welch's t test of many comparisons at once (scipy's).

    Args:
        ours: Array of shape (comparisons, runs), at least 2 runs, not all equal on both sides.
        base: Array of shape (comparisons, runs of the baseline).
        level: Coverage of the interval.
        alternative: ``two-sided``, ``less`` or ``greater``.
    """
    with _equal_values_are_meant():
        tested = _scipy.ttest_ind(ours, base, axis=1, equal_var=False, alternative=alternative)
    return _tested_rows(tested, ours.mean(axis=1) - base.mean(axis=1), level, alternative)


def paired_rows(ours: Floats, base: Floats, level: float = LEVEL, alternative: str = "two-sided") -> TestedRows:
    """Paired t test of many comparisons at once (scipy's); arguments as for `welch_rows`, both of the same shape."""
    with _equal_values_are_meant():
        tested = _scipy.ttest_rel(ours, base, axis=1, alternative=alternative)
    return _tested_rows(tested, (ours - base).mean(axis=1), level, alternative)


@contextmanager
def _equal_values_are_meant() -> Iterator[None]:
    """Silence scipy where one side does not vary: its variance is 0, and the other side's carries the test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        yield


def _tested_rows(tested: Any, difference: Floats, level: float, alternative: str) -> TestedRows:
    """Take scipy's result apart."""
    none = np.full_like(difference, np.nan)
    low, high = tested.confidence_interval(level) if alternative == "two-sided" else (none, none)
    df = np.broadcast_to(np.asarray(tested.df, dtype=np.float64), difference.shape)
    return TestedRows(difference, tested.statistic, df, tested.pvalue, low, high)


def sign_flips(differences: Floats) -> Floats:
    """Exact p of pairs that all differ by the same: of all arrangements of their signs two are as far from 0."""
    is_none = np.abs(differences).max(axis=1) <= STEADY
    return np.where(is_none, 1.0, 2.0 ** (1 - differences.shape[1]))


def equivalence_rows(ours: Floats, base: Floats, centre: Floats, margin: float, *, paired: bool) -> Floats:
    """Two one-sided tests that the means differ by less than a share of the baseline's mean (Schuirmann 1987).

    The margin hangs on the baseline's mean, which is itself estimated: so ours is tested against (1 ± margin) times
    the baseline's values, not against shifted ones, and the baseline's own noise counts (Hauschke et al. 1999).

    Args:
        ours: Array of shape (comparisons, runs), from which `centre` was subtracted.
        base: The same of the baseline.
        centre: Array of shape (comparisons,): what was subtracted, the baseline's mean.
        margin: Share of the baseline's mean, above 0.
        paired: Whether column by column belongs together.

    Returns:
        The larger of the two p-values, shape (comparisons,); NaN where the baseline's mean is 0.
    """
    test = paired_rows if paired else welch_rows
    share = (margin * np.sign(centre))[:, None]
    shift = (margin * np.abs(centre))[:, None]
    above = test(ours + shift, (1 - share) * base, alternative="greater").p
    below = test(ours - shift, (1 + share) * base, alternative="less").p
    return np.where(centre == 0, np.nan, np.maximum(above, below))


def exact_rows(ours: Floats, base: Floats, *, paired: bool) -> dict[str, Floats]:
    """Rank test and permutation test; beyond 2,000 arrangements the rank test alone, as scipy chooses to compute it."""
    n, m = ours.shape[1], base.shape[1]
    arrangements = 2**n if paired else comb(n + m, n)
    if arrangements > _EXACT:
        large = _scipy.wilcoxon(ours, base, axis=1, zero_method="pratt") if paired else None
        return {"p_rank": (large or _scipy.mannwhitneyu(ours, base, axis=1)).pvalue}
    if paired:
        differences = ours - base
        # Wilcoxon's test written as flips of the signed ranks: scipy's own goes row by row, 400 times slower.
        ranks = np.sign(differences) * stats.rankdata(np.abs(differences), axis=1)
        ranked, permuted = (_permuted((one,), "samples") for one in (ranks, differences))
    else:
        joined = stats.rankdata(np.concatenate((ours, base), axis=1), axis=1)
        ranked = _permuted((joined[:, :n], joined[:, n:]), "independent")
        permuted = _permuted((ours, base), "independent")
    return {"p_rank": ranked, "p_permutation": permuted, "p_smallest": np.full(len(ours), min(1.0, 2 / arrangements))}


def _permuted(sides: tuple[Floats, ...], kind: str) -> Floats:
    """Exact two-sided p-value of the mean (of one sample of differences) or mean difference, every arrangement once."""
    rows, runs = len(sides[0]), sum(one.shape[1] for one in sides)
    batch = max(1, 4_000_000 // (rows * runs))
    statistic = _mean if len(sides) == 1 else _mean_difference
    found: Floats = _scipy.permutation_test(
        sides, statistic, axis=1, vectorized=True, n_resamples=np.inf, permutation_type=kind, batch=batch
    ).pvalue
    return found


def _mean(differences: Floats, axis: int) -> Floats:
    mean: Floats = differences.mean(axis=axis)
    return mean


def _mean_difference(ours: Floats, base: Floats, axis: int) -> Floats:
    difference: Floats = ours.mean(axis=axis) - base.mean(axis=axis)
    return difference
