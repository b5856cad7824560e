"""The best of many: how much of its lead is luck, and how firmly it is first.

The best mean of k configurations was chosen for being the best on these very runs: it flatters. Held-out runs tell by
how much: the choice is repeated without one run of each configuration, and the run left out, which had no part in the
choice, says what the chosen one is worth. How well that corrects is measured in ``docs/statistics.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RESAMPLES = 1000
_SHOWN = 10


@dataclass(frozen=True)
class Rank:
    """How firm a configuration's place is.

    Attributes:
        place: Which of the samples given.
        rank: Its rank by mean, 1 is the best.
        low: Best rank it takes in 95 % of the bootstrap samples.
        high: Worst rank it takes in them.
        first: Share of bootstrap samples in which it is the best.
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
        optimism: By how much `apparent` flatters, in the metric's unit, above 0 when it does; None without `held_out`.
        folds: Runs left out in turn.
        ranks: The first ten by mean, best first; empty where every sample is one run: drawn again it stays as it is.
    """

    chosen: int
    of: int
    apparent: float
    held_out: float | None
    optimism: float | None
    folds: int
    ranks: tuple[Rank, ...]


def select_best(
    samples: Sequence[npt.ArrayLike], goal: str, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Selection | None:
    """Choose the best mean, estimate its optimism by held-out runs and the firmness of ranks by bootstrap.

    Args:
        samples: One array of shape (runs,) per configuration, in the same order of seeds; NaN where there is no value.
        goal: ``min`` or ``max``.
        rng: Source of chance of the bootstrap.
        resamples: Bootstrap samples.

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
    held_out, folds = _held_out(runs[counts > 1])
    return Selection(
        chosen=chosen,
        of=len(valued),
        apparent=sign * apparent,
        held_out=None if held_out is None else sign * held_out,
        optimism=None if held_out is None else held_out - apparent,
        folds=folds,
        ranks=_ranks(runs[valued], valued, rng, resamples) if counts.max() > 1 else (),
    )


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


def _ranks(runs: Floats, places: npt.NDArray[np.int64], rng: np.random.Generator, resamples: int) -> tuple[Rank, ...]:
    """Resample the runs of each configuration by itself and rank the means.

    Deviations are stretched by sqrt(n / (n − 1)): a sample of 3 drawn from 3 varies a third less than they do. A
    configuration with one run does not vary and its rank looks firmer than it is.
    """
    means = _means(runs)
    firsts = np.zeros(len(runs))
    order = np.argsort(means, kind="stable")[:_SHOWN]
    drawn_ranks = np.empty((resamples, len(order)))
    counts = np.isfinite(runs).sum(axis=1)
    packed = np.sort(runs, axis=1)  # NaN last: the first `count` columns are the values
    deviations = (packed - means[:, None]) * np.sqrt(counts / np.maximum(1, counts - 1))[:, None]
    for row in range(resamples):
        picks = (rng.random(runs.shape) * counts[:, None]).astype(np.int64)
        weight = np.arange(runs.shape[1]) < counts[:, None]
        drawn = np.take_along_axis(deviations, picks, axis=1)
        resampled = means + np.where(weight, drawn, 0.0).sum(axis=1) / counts
        firsts[np.argmin(resampled)] += 1
        drawn_ranks[row] = 1 + (resampled[None, :] < resampled[order][:, None]).sum(axis=1)
    low, high = np.quantile(drawn_ranks, [0.025, 0.975], axis=0, method="inverted_cdf")
    return tuple(
        Rank(int(places[place]), rank, int(low[rank - 1]), int(high[rank - 1]), float(firsts[place] / resamples))
        for rank, place in enumerate(order, start=1)
    )
