"""Means and interquartile means over systems that count alike, with t intervals from leaving out each run in turn.

Both sides are samples: each has its share in the variance with its own degrees of freedom, which Satterthwaite's
formula adds up. There is no chance in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.statistics.estimates import t_quantile
from analysis.statistics.system_runs import SystemRuns

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_GROUPS = 20
"""Runs of one side on one system are left out one by one up to so many, above in so many groups."""
_ELEMENTS = 5_000_000
"""Terms times leavings that are averaged at once."""
_SAME = 1e-12


@dataclass(frozen=True)
class Aggregate:
    """A number over all systems.

    Attributes:
        value: The estimate.
        low: Lower end of its interval; None where a side has one run on a system, which tells of no spread.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Terms:
    """What is averaged over systems.

    Attributes:
        values: Array of shape (terms,): runs, or pairs of runs.
        owner: The system of each term, from 0 without gaps.
        kept: One array of shape (leavings, terms) per sample: which terms are left without each of its runs.
    """

    values: Floats
    owner: Ints
    kept: Sequence[Bools]


def jackknife(terms: Terms, level: float, *, is_iqm: bool) -> tuple[Aggregate, float | None, float | None]:
    """Estimate a mean or interquartile mean over systems that count alike, and its t interval by leaving out runs.

    Each run (or both runs of one seed) of each sample is left out in turn; what the estimate then does gives the
    variance due to that sample, with its runs − 1 degrees of freedom, and Satterthwaite's formula (1946) adds them up.

    Args:
        terms: Runs, or pairs of runs.
        level: Coverage.
        is_iqm: Interquartile mean, else the mean.

    Returns:
        The estimate with its interval, its standard error and its degrees of freedom; the last two None without one.
    """
    order = np.argsort(terms.values, kind="stable")
    values, owner, kept = terms.values[order], terms.owner[order], terms.kept
    value = float(_averages(values, owner, np.ones((1, len(values)), dtype=bool), is_iqm=is_iqm)[0])
    if min(map(len, kept)) < 2:
        return Aggregate(value, None, None), None, None
    if sum(map(len, kept)) * len(values) <= _ELEMENTS:
        together = _averages(values, owner, np.concatenate(kept)[:, order], is_iqm=is_iqm)
        left = np.split(together, np.cumsum([len(one) for one in kept])[:-1])
    else:
        left = [_averages(values, owner, one[:, order], is_iqm=is_iqm) for one in kept]
    parts = [(len(one) - 1) / len(one) * float(((one - one.mean()) ** 2).sum()) for one in left]
    variance = sum(parts)
    if variance <= (_SAME * float(np.abs(values).max())) ** 2:
        return Aggregate(value, value, value), 0.0, None
    df = variance**2 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, left, strict=True))
    half = t_quantile(level, df) * math.sqrt(variance)
    return Aggregate(value, value - half, value + half), math.sqrt(variance), df


def _averages(values: Floats, owner: Ints, kept: Bools, *, is_iqm: bool) -> Floats:
    """Average of the terms kept, each system alike: array of shape (leavings,); `values` are in order.

    The interquartile mean cuts off a quarter of the weight on each side, parts of a term included.
    """
    systems = int(owner.max()) + 1
    counts = kept @ (owner[:, None] == np.arange(systems)).astype(np.float64)
    weights = kept / (counts * systems)[:, owner]
    if is_iqm:
        upper = np.cumsum(weights, axis=1)
        weights = 2 * np.clip(np.minimum(upper, 0.75) - np.maximum(upper - weights, 0.25), 0.0, None)
    found: Floats = weights @ values
    return found


def score_curve(scores: Sequence[Floats], level: float) -> tuple[Aggregate, ...]:
    """Interquartile mean of the scores of one method over systems, step by step, each with its own interval.

    Args:
        scores: One array of shape (runs, steps) per system, at least one run; the same steps everywhere.
        level: Coverage at each step.
    """
    first = over_runs([one[:, 0] for one in scores])
    return tuple(jackknife(replace(first, values=values), level, is_iqm=True)[0] for values in np.concatenate(scores).T)


def over_runs(systems: Sequence[Floats]) -> Terms:
    """The runs of one method, an array of shape (runs,) per system, and what is left without each."""
    owner = np.concatenate([np.full(len(one), place) for place, one in enumerate(systems)])
    kept = []
    for place, one in enumerate(systems):
        groups = _group_numbers(len(one))
        without = np.ones((groups.max() + 1, len(owner)), dtype=bool)
        without[:, owner == place] = groups != np.arange(groups.max() + 1)[:, None]
        kept.append(without)
    return Terms(np.concatenate(systems), owner, kept)


def over_pairs(pairs: Sequence[tuple[SystemRuns, SystemRuns]]) -> Terms:
    """The differences of all pairs of runs on the same system, and what is left without each run.

    Where both sides have the same seeds on a system, the two runs of a seed are left out together: what they have in
    common is then no error of the difference.
    """
    owner = np.concatenate([np.full(len(one.values) * len(two.values), at) for at, (one, two) in enumerate(pairs)])
    kept = []
    for place, (one, two) in enumerate(pairs):
        n, m = len(one.values), len(two.values)
        mine, theirs = np.repeat(_group_numbers(n), m), np.tile(_group_numbers(m), n)
        match = _match(one, two)
        if match is not None:
            theirs = np.tile(_group_numbers(n)[match], n)
        count = np.arange(max(mine.max(), theirs.max()) + 1)[:, None]
        samples = [(mine != count) & (theirs != count)] if match is not None else []
        samples = samples or [side != count[: side.max() + 1] for side in (mine, theirs)]
        for sample in samples:
            without = np.ones((len(sample), len(owner)), dtype=bool)
            without[:, owner == place] = sample
            kept.append(without)
    return Terms(
        np.concatenate([(one.values[:, None] - two.values[None, :]).ravel() for one, two in pairs]), owner, kept
    )


def _group_numbers(runs: int) -> Ints:
    """Number of the group with which each run is left out: its own where there are few."""
    found: Ints = np.arange(runs) * min(runs, _GROUPS) // runs
    return found


def _match(ours: SystemRuns, base: SystemRuns) -> Ints | None:
    """Which of our runs has the seed of each of the baseline's; None where the two have not the same seeds."""
    if ours.seeds is None or base.seeds is None:
        return None
    place = {seed: at for at, seed in enumerate(ours.seeds.tolist())}
    if len(place) < len(ours.seeds) or sorted(place) != sorted(base.seeds.tolist()):
        return None
    return np.array([place[seed] for seed in base.seeds.tolist()], dtype=np.int64)
