"""What else could decide between many arms and a baseline: each rival takes whole experiments and says what it finds.

Each takes an array of shape (experiments, 1 + arms, seeds), the baseline first, and gives one of shape (experiments,
arms): whether the arm is called different at 5 %, over the whole family. Ours is the report's (`model_rows`, Holm).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.comparisons import ALPHA
from analysis.statistics.linear_model import model_rows
from analysis.statistics.row_tests import paired_rows, welch_rows

Floats = npt.NDArray[np.float64]
Found = npt.NDArray[np.bool_]
AUTORANK_FEWEST = 5
"""autorank refuses fewer runs."""
_scipy: Any = stats


def ours(values: Floats) -> Found:
    """One linear model, spreads drawn together, Holm."""
    return _holm(model_rows(values, blocked=True).p)


def paired(values: Floats) -> Found:
    """Paired t tests, Holm."""
    return _each(paired_rows, values)


def welch(values: Floats) -> Found:
    """Welch's t tests, Holm."""
    return _each(welch_rows, values)


def pooled(values: Floats) -> Found:
    """The classical two-way analysis of variance: arm + seed, one variance for all, Holm."""
    _, groups, seeds = values.shape
    residuals = values - values.mean(axis=2, keepdims=True)
    residuals = residuals - residuals.mean(axis=1, keepdims=True)
    free = (groups - 1) * (seeds - 1)
    error = np.sqrt(2 * (residuals**2).sum(axis=(1, 2)) / free / seeds)[:, None]
    return _holm(2 * stats.t.sf(np.abs(_differences(values)) / error, free))


def tukey(values: Floats) -> Found:
    """Tukey and Kramer's (`scipy.stats.tukey_hsd`), all pairs, read against the baseline."""
    _, groups, seeds = values.shape
    error = np.sqrt(values.var(axis=2, ddof=1).mean(axis=1) / seeds)[:, None]
    return np.abs(_differences(values)) > _studentized(groups, groups * (seeds - 1)) * error


def dunnett(values: Floats) -> Found:
    """Dunnett's against the baseline (`scipy.stats.dunnett`)."""
    _, groups, seeds = values.shape
    error = np.sqrt(2 * values.var(axis=2, ddof=1).mean(axis=1) / seeds)[:, None]
    return np.abs(_differences(values)) > _dunnett_quantile(groups - 1, groups * (seeds - 1)) * error


def autorank(values: Floats) -> Found:
    """What autorank 1.3.0 chooses by looking at the data.

    Shapiro and Wilk's test of every arm (at 5 % over the arms), Bartlett's or Levene's of all; normal and of one
    variance: repeated-measures analysis of variance and Tukey's, else Friedman's test and Nemenyi's distance.
    """
    _, groups, seeds = values.shape
    is_normal = (_scipy.shapiro(values, axis=2).pvalue >= ALPHA / groups).all(axis=1)
    columns = [values[:, one] for one in range(groups)]
    alike = np.where(is_normal, _scipy.bartlett(*columns, axis=1).pvalue, _scipy.levene(*columns, axis=1).pvalue)
    residuals = values - values.mean(axis=2, keepdims=True)
    residuals = residuals - residuals.mean(axis=1, keepdims=True)
    free = (groups - 1) * (seeds - 1)
    between = seeds * values.mean(axis=2).var(axis=1, ddof=1)
    anova = stats.f.sf(between / ((residuals**2).sum(axis=(1, 2)) / free), groups - 1, free)
    ranks = stats.rankdata(values, axis=1)
    friedman = _scipy.friedmanchisquare(*columns, axis=1).pvalue
    distance = stats.studentized_range.ppf(1 - ALPHA, groups, np.inf) / np.sqrt(2)
    distance *= np.sqrt(groups * (groups + 1) / (6 * seeds))
    by_rank = (np.abs(_differences(ranks)) > distance) & (friedman < ALPHA)[:, None]
    by_mean = tukey(values) & (anova < ALPHA)[:, None]
    return np.where((is_normal & (alike >= ALPHA))[:, None], by_mean, by_rank)


RIVALS: Mapping[str, Callable[[Floats], Found]] = {
    "ours": ours,
    "paired t": paired,
    "Welch": welch,
    "one variance": pooled,
    "Tukey–Kramer": tukey,
    "Dunnett": dunnett,
    "autorank": autorank,
}


def _differences(values: Floats) -> Floats:
    means: Floats = values.mean(axis=2)
    return means[:, 1:] - means[:, :1]


def _each(test: Callable[..., Any], values: Floats) -> Found:
    base = values[:, 0]
    return _holm(np.stack([test(values[:, arm], base).p for arm in range(1, values.shape[1])], axis=1))


def _holm(p: Floats) -> Found:
    """Adjusted p-values below 5 %, as `holm` makes them, row by row."""
    order = np.argsort(p, axis=1)
    raised = np.take_along_axis(p, order, axis=1) * (p.shape[1] - np.arange(p.shape[1]))
    found = np.empty(p.shape, dtype=np.bool_)
    np.put_along_axis(found, order, np.maximum.accumulate(raised, axis=1) < ALPHA, axis=1)
    return found


@lru_cache
def _studentized(groups: int, free: int) -> float:
    return float(stats.studentized_range.ppf(1 - ALPHA, groups, free))


@lru_cache
def _dunnett_quantile(arms: int, free: int) -> float:
    """Of the largest |t| of arms that share a baseline, of 200,000 draws: scipy's own takes a second an experiment."""
    rng = np.random.default_rng(arms * free)
    draws = rng.standard_normal((200_000, 1 + arms), dtype=np.float32)
    largest = np.abs(draws[:, 1:] - draws[:, :1]).max(axis=1) / np.sqrt(2 * rng.chisquare(free, 200_000) / free)
    return float(np.quantile(largest, 1 - ALPHA))
