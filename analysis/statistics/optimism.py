"""The best of many: how much of its lead is luck, and how firmly it is first.

The best mean of k configurations was chosen for being the best on these very runs: it flatters. Held-out runs tell by
how much: the choice is repeated without one run of each configuration, and the run left out, which had no part in the
choice, says what the chosen one is worth. Runs far from the others of their configuration are left out of that: one
wild run would else be the whole estimate. How well that corrects is measured in ``docs/statistics.md``.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.estimates import LEVEL, t_quantile

Floats = npt.NDArray[np.float64]
RESAMPLES = 1000
FEWEST = 3
"""Runs of each configuration below which nothing is said of how firm ranks are."""
_SHOWN = 10
_FAR = 8.0
"""How many usual distances from the median a run may be away before it is wild."""
_ELEMENTS = 5_000_000
"""Comparisons of ranks made at once: enough for speed, and no burden to memory with thousands of configurations."""


@dataclass(frozen=True)
class Rank:
    """How firm a configuration's place is.

    Attributes:
        place: Which of the samples given.
        rank: Its rank by mean, 1 is the best; equal means share one.
        low: Best rank it takes in `level` of the repetitions.
        high: Worst rank it takes in them.
        first: Share of repetitions in which it is the best; those in which several are count in parts.
    """

    place: int
    rank: int
    low: int
    high: int
    first: float


@dataclass(frozen=True)
class Selection:
    """The best of several configurations, corrected for having been selected.

    Attributes:
        chosen: Which of the samples given has the best mean.
        of: Samples it was chosen from.
        apparent: Its mean, in the metric's unit.
        held_out: Mean of runs that had no part in choosing; None where no configuration but one has 2 runs.
        optimism: By how much the best mean flatters, in the metric's unit, above 0 when it does; None without
            `held_out`.
        optimism_low: Lower end of its interval; None where no configuration has 2 runs that differ.
        optimism_high: Upper end.
        wild: Runs far from the others of their configuration, which `held_out` and `optimism` leave out.
        folds: Runs left out in turn.
        ranks: The first ten by mean, best first; empty where a sample has fewer than 3 runs.
        level: Share of the repetitions that the ranks' ranges hold.
    """

    chosen: int
    of: int
    apparent: float
    held_out: float | None
    optimism: float | None
    folds: int
    ranks: tuple[Rank, ...]
    level: float = LEVEL
    optimism_low: float | None = None
    optimism_high: float | None = None
    wild: int = 0


def select_best(
    samples: Sequence[npt.ArrayLike],
    goal: str,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Selection | None:
    """Choose the best mean, estimate its optimism by held-out runs and the firmness of ranks by repetitions.

    Args:
        samples: One array of shape (runs,) per configuration, in the same order of seeds; NaN where there is no value.
        goal: ``min`` or ``max``.
        rng: Source of chance of the repetitions.
        resamples: Repetitions played.
        level: Share of them that the ranges of ranks hold.

    Returns:
        None where fewer than 2 samples have a value.
    """
    sign = 1.0 if goal == "min" else -1.0
    width = max((np.size(one) for one in samples), default=0)
    runs = np.full((len(samples), width), np.nan)
    for place, one in enumerate(samples):
        runs[place, : np.size(one)] = sign * np.asarray(one, dtype=np.float64)
    counts = np.isfinite(runs).sum(axis=1)
    valued = np.flatnonzero(counts > 0)
    if len(valued) < 2:
        return None
    means = _means(runs[valued])
    chosen = int(valued[np.argmin(means)])
    apparent = float(means.min())
    near = _without_wild(runs)
    held_out, folds = _held_out(near[np.isfinite(near).sum(axis=1) > 1])
    optimism = None if held_out is None else held_out - float(_means(near[valued]).min())
    half = None if optimism is None else _half_width(near, int(counts[chosen]), level)
    return Selection(
        chosen=chosen,
        of=len(valued),
        apparent=sign * apparent,
        held_out=None if held_out is None else sign * held_out,
        optimism=optimism,
        folds=folds,
        ranks=_ranks(runs[valued], valued, sign, rng, resamples, level) if counts[valued].min() >= FEWEST else (),
        level=level,
        optimism_low=None if optimism is None or half is None else optimism - half,
        optimism_high=None if optimism is None or half is None else optimism + half,
        wild=int(counts.sum() - np.isfinite(near).sum()),
    )


def _without_wild(runs: Floats) -> Floats:
    """Leave out runs that are 8 times as far from the median of their configuration as runs usually are.

    That is 5 standard deviations of normal values. A configuration that varies more than others is measured by itself.
    """
    middle = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in runs])[:, None]
    away = np.abs(runs - middle)
    common = _lower_median(away)
    own = [_lower_median(row) if np.isfinite(row).sum() > 2 else 0.0 for row in away]
    most = _FAR * np.maximum(common, own)[:, None]
    # Nothing varies that could tell what is far.
    most = np.where(most > 0, most, np.inf)
    near: Floats = np.where(away > most, np.nan, runs)
    return near


def _lower_median(away: Floats) -> float:
    """Median of what differs from 0, the lower one of two: half of the values may be wild, and it is not."""
    there = np.sort(away[np.isfinite(away) & (away > 0)])
    return float(there[(len(there) - 1) // 2]) if len(there) else 0.0


def _half_width(runs: Floats, chosen: int, level: float) -> float | None:
    """Half the interval of the optimism: it lies between two means of as many runs as the chosen one has."""
    runs = runs[np.isfinite(runs).sum(axis=1) > 1]
    free = np.isfinite(runs).sum(axis=1) - 1
    if not len(runs):
        return None
    with np.errstate(over="ignore"):
        variance = float((np.nanvar(runs, axis=1, ddof=1) * free).sum() / free.sum())
    half = t_quantile(level, int(free.sum())) * math.sqrt(2 * variance / chosen)
    return half if 0 < half < math.inf else None


def _means(runs: Floats) -> Floats:
    """Mean of each row, NaN left out; infinite for rows without a value."""
    finite = np.isfinite(runs)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = np.where(finite, runs, 0.0).sum(axis=-1) / finite.sum(axis=-1)
    return np.where(np.isfinite(means), means, np.inf)


def _held_out(runs: Floats) -> tuple[float | None, int]:
    """Leave out each column in turn, choose by the others, and average the value of the chosen in the one left out."""
    if len(runs) < 2:
        return None, 0
    told = []
    for column in range(runs.shape[1]):
        chosen = int(np.argmin(_means(np.delete(runs, column, axis=1))))
        told.append(runs[chosen, column])
    finite = [value for value in told if np.isfinite(value)]
    return (float(np.mean(finite)), len(finite)) if finite else (None, 0)


def _ranks(
    runs: Floats, places: npt.NDArray[np.int64], sign: float, rng: np.random.Generator, resamples: int, level: float
) -> tuple[Rank, ...]:
    """Play repetitions of the experiment, each with as many new runs, and rank the means by what came out.

    `runs` times `sign` are the values as they were measured.

    For normal values the mean of n new runs lies t(n − 1) · s · sqrt(2 / n) from that of the n old ones. What runs of a
    seed have in common changes no rank: where all configurations have all seeds it is taken out of the spread.
    """
    means, order = _means(runs), np.argsort(_means(runs), kind="stable")[:_SHOWN]
    firsts, drawn_ranks = np.zeros(len(runs)), list[Floats]()
    for repeated in _repetitions(runs, sign, rng, resamples):
        is_first = repeated == repeated.min(axis=1, keepdims=True)
        firsts += (is_first / is_first.sum(axis=1, keepdims=True)).sum(axis=0)
        drawn_ranks.append(1 + (repeated[:, None, :] < repeated[:, order, None]).sum(axis=2))
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(drawn_ranks), ends, axis=0, method="inverted_cdf")
    taken = 1 + (means[None, :] < means[order][:, None]).sum(axis=1)
    return tuple(
        Rank(int(places[place]), int(taken[at]), int(low[at]), int(high[at]), float(firsts[place] / resamples))
        for at, place in enumerate(order)
    )


def _repetitions(runs: Floats, sign: float, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Draw the means of repetitions, arrays of shape (some repetitions, configurations)."""
    means, counts = _means(runs), np.isfinite(runs).sum(axis=1)
    width = _spreads(runs) * np.sqrt(2 / counts)
    low, high = sorted(sign * end for end in _range(sign * runs))
    most = max(1, _ELEMENTS // (_SHOWN * len(runs)))
    for start in range(0, resamples, most):
        size = (min(most, resamples - start), len(runs))
        yield np.clip(means + rng.standard_t(np.broadcast_to(counts - 1, size)) * width, low, high)


def _spreads(runs: Floats) -> Floats:
    """Standard deviation of each configuration's runs, without what the runs of a seed have in common."""
    is_whole = bool(np.isfinite(runs).all())
    own = runs - runs.mean(axis=0) if is_whole else runs
    spreads: Floats = np.nanstd(own, axis=1, ddof=1)
    # Each configuration is a part of the mean that was taken off.
    return spreads * np.sqrt(len(runs) / (len(runs) - 1)) if is_whole else spreads


def _range(values: Floats) -> tuple[float, float]:
    """The range of a metric as far as its values tell: not negative, a rate, a percentage that reaches 100."""
    finite = values[np.isfinite(values)]
    least, greatest = float(finite.min()), float(finite.max())
    if least < 0:
        return -np.inf, np.inf
    return 0.0, 1.0 if greatest <= 1 else 100.0 if greatest == 100 else np.inf
