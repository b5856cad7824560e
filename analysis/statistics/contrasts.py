"""What one linear model of all configurations that share seeds says of each of them against the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.estimates import ROUNDING, mean_of
from analysis.statistics.linear_model import model_rows
from analysis.statistics.samples import FEWEST_PAIRS, STEADY, Sample, are_steady, extent, find_pairs
from hpc.core.words import counted


@dataclass(frozen=True)
class Contrast:
    """What the linear model says of one configuration against the baseline, in the metric's unit.

    Attributes:
        words: The model in words: ``linear model over 20 arms``.
        is_blocked: Whether seeds are blocks of it.
        shift: What is added to the configuration's runs to take out what its seeds add beyond the baseline's.
        error: Standard error of the difference.
        df: Degrees of freedom.
        p: Two-sided p-value.
        base_error: Standard error of the baseline's mean, without what seeds add to it.
    """

    words: str
    is_blocked: bool
    shift: float
    error: float
    df: float
    p: float
    base_error: float


def fit_models(
    ours: Sequence[Sample], bases: Sequence[Sample], beside: Sequence[Sequence[Sample]]
) -> dict[int, Contrast]:
    """Fit one linear model to each baseline and what shares seeds with it; by place, where there are 2 and more."""
    places_of: dict[int, list[int]] = {}
    for place, base in enumerate(bases):
        places_of.setdefault(id(base), []).append(place)
    found: dict[int, Contrast] = {}
    for places in places_of.values():
        base = bases[places[0]]
        others = (one for place in places for one in (beside[place] if beside else ()))
        distinct = {id(one): one for one in (*(ours[place] for place in places), *others) if one is not base}
        arms = [one for one in distinct.values() if _is_of_model(one, base)]
        if len(arms) > 1:
            contrasts = dict(zip(map(id, arms), _fit_model(arms, base), strict=False))  # or none of them
            found |= {place: contrasts[id(ours[place])] for place in places if id(ours[place]) in contrasts}
    return found


def _is_of_model(one: Sample, base: Sample) -> bool:
    """Whether a configuration shares seeds with the baseline, and varies beside it."""
    pairs = find_pairs(one, base)
    if pairs is None or are_steady(*pairs):
        return False
    return max(extent(one.finite), extent(base.finite)) > ROUNDING * float(np.abs(base.finite).max())


def _fit_model(arms: Sequence[Sample], base: Sample) -> list[Contrast]:
    """Compare arms with their baseline in one model; none where nothing varies but by arm and seed.

    Seeds are blocks of it, unless the baseline has further ones that every arm lacks and few are shared: all its runs
    are worth more than what a seed has in common then.
    """
    planned = [set() if one.seeds is None else set(one.seeds.tolist()) for one in (base, *arms)]
    blocked = any(planned[0] <= one or len(one & planned[0]) >= FEWEST_PAIRS for one in planned[1:])
    column = {seed: place for place, seed in enumerate(sorted(set().union(*planned)))}
    centre, scale = mean_of(base.finite), max(extent(one.finite) for one in (base, *arms))
    values = np.full((1, 1 + len(arms), len(column)), np.nan)
    for row, one in enumerate((base, *arms)):
        if one.seeds is not None:
            values[0, row, [column[seed] for seed in one.seeds.tolist()]] = (one.values - centre) / scale
    values[~np.isfinite(values)] = np.nan
    rows = model_rows(values[:, :, np.isfinite(values[0]).any(axis=0)], blocked=blocked)
    if rows.error.max() <= STEADY:
        # Two pairs that differ by the same, in every arm: no spread to test by, and too few for flipping signs.
        return []
    words = f"linear model over {len(arms)} arms"
    if blocked:
        words = f"seed-blocked {words} and {counted(int(np.isfinite(values[0]).any(axis=0).sum()), 'seed')}"
    return [
        Contrast(
            words=words,
            is_blocked=blocked,
            shift=float(rows.shift[0, row] * scale),
            error=float(rows.error[0, row] * scale),
            df=float(rows.df[0, row]),
            p=float(rows.p[0, row]),
            base_error=float(np.sqrt(rows.base_variance[0, row]) * scale),
        )
        for row in range(len(arms))
    ]
