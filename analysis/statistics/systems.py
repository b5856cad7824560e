"""Methods over several systems: performance profiles, aggregates and probability of improvement (Agarwal et al. 2021).

Each value is divided by the mean of the baseline on the same system (and mirrored at 1 where more is better), so that 1
is the baseline and less is better on every system. Systems are fixed: the runs of each are resampled by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.estimates import LEVEL, RESAMPLES, Interval, iqm, mean, resample_strata, stratified_interval

Floats = npt.NDArray[np.float64]
_POINTS = 101


@dataclass(frozen=True)
class MethodOverSystems:
    """One method over all systems, in ratios to the baseline: 1 is the baseline's mean, less is better.

    Attributes:
        method: Its name.
        systems: Systems it has runs on.
        n: Runs with a value, all systems.
        lost: Runs that failed; in the profile they never reach any ratio.
        mean: Mean ratio with its stratified bootstrap interval; None where a system has no value.
        iqm: Interquartile mean of the ratios with its interval.
        improvement: Probability of being better than the baseline on the same system, averaged over systems, with its
            interval; None for the baseline itself.
        profile: At each of `ratios`, the share of runs with a ratio of at most that, averaged over systems.
        profile_low: Lower end of the pointwise bootstrap band.
        profile_high: Upper end.
    """

    method: str
    systems: int
    n: int
    lost: int
    mean: Interval | None
    iqm: Interval | None
    improvement: Interval | None
    profile: tuple[float, ...]
    profile_low: tuple[float, ...]
    profile_high: tuple[float, ...]


@dataclass(frozen=True)
class OverSystems:
    """All methods over the systems they were all run on.

    Attributes:
        baseline: The method that is 1 everywhere.
        systems: Names of the systems.
        ratios: Where the profiles are taken.
        methods: One per method, the baseline first.
        level: Coverage of the intervals, and of the bands at each point.
    """

    baseline: str
    systems: tuple[str, ...]
    ratios: tuple[float, ...]
    methods: tuple[MethodOverSystems, ...]
    level: float


def compare_over_systems(
    values: Mapping[str, Mapping[str, npt.ArrayLike]],
    lost: Mapping[str, Mapping[str, int]],
    baseline: str,
    goal: str,
    rng: np.random.Generator,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> OverSystems | None:
    """Compare methods over systems.

    Args:
        values: Method → system → array of shape (runs,); NaN is left out.
        lost: Method → system → runs that failed.
        baseline: Name of the method that others are divided by.
        goal: ``min`` or ``max``.
        rng: Source of chance.
        level: Coverage of intervals and bands.
        resamples: Bootstrap samples.

    Returns:
        None where the methods share fewer than 2 systems on which the baseline has a positive mean: ratios mean
        nothing without one.
    """
    finite = {
        method: {system: _finite(runs) for system, runs in by_system.items()} for method, by_system in values.items()
    }
    shared = [
        system
        for system, runs in finite[baseline].items()
        if len(runs) and runs.mean() > 0 and all(len(one.get(system, ())) for one in finite.values())
    ]
    if len(shared) < 2:
        return None
    scaled = {
        method: [_ratio(by_system[system], float(finite[baseline][system].mean()), goal) for system in shared]
        for method, by_system in finite.items()
    }
    largest = max(float(one.max()) for strata in scaled.values() for one in strata)
    smallest = min(float(one.min()) for strata in scaled.values() for one in strata)
    ratios = np.linspace(smallest, largest, _POINTS)
    names = [baseline, *(method for method in values if method != baseline)]
    return OverSystems(
        baseline=baseline,
        systems=tuple(shared),
        ratios=tuple(ratios.tolist()),
        methods=tuple(
            _summarise(name, scaled[name], [lost.get(name, {}).get(one, 0) for one in shared], scaled[baseline], ratios,
                       rng, level, resamples, is_baseline=name == baseline)
            for name in names
        ),
        level=level,
    )  # fmt: skip


def improvement_over_systems(
    ours: Sequence[Floats], base: Sequence[Floats], rng: np.random.Generator, level: float, resamples: int
) -> Interval:
    """Probability that ours has the lower ratio on a system, averaged over systems (Agarwal et al. 2021, section 4.3).

    Args:
        ours: One array of shape (runs,) per system.
        base: The same of the baseline.
        rng: Source of chance.
        level: Coverage.
        resamples: Bootstrap samples; the runs of either side are drawn by themselves on each system.
    """
    drawn = [
        _share_lower(mine, theirs)
        for mine, theirs in zip(
            resample_strata(ours, rng, resamples), resample_strata(base, rng, resamples), strict=True
        )
    ]
    value = float(np.mean([_share_lower(one[None], two[None]) for one, two in zip(ours, base, strict=True)]))
    low, high = np.quantile(np.mean(drawn, axis=0), [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level, "stratified bootstrap")


def _summarise(
    name: str,
    strata: Sequence[Floats],
    lost: Sequence[int],
    base: Sequence[Floats],
    ratios: Floats,
    rng: np.random.Generator,
    level: float,
    resamples: int,
    *,
    is_baseline: bool,
) -> MethodOverSystems:
    profile = np.mean([_reached(one[None], gone, ratios)[0] for one, gone in zip(strata, lost, strict=True)], axis=0)
    again = [
        _reached(one, gone, ratios) for one, gone in zip(resample_strata(strata, rng, resamples), lost, strict=True)
    ]
    low, high = np.quantile(np.mean(again, axis=0), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return MethodOverSystems(
        method=name,
        systems=len(strata),
        n=sum(map(len, strata)),
        lost=sum(lost),
        mean=stratified_interval(strata, mean, rng, level, resamples),
        iqm=stratified_interval(strata, iqm, rng, level, resamples),
        improvement=None if is_baseline else improvement_over_systems(strata, base, rng, level, resamples),
        profile=tuple(profile.tolist()),
        profile_low=tuple(low.tolist()),
        profile_high=tuple(high.tolist()),
    )


def _finite(runs: npt.ArrayLike) -> Floats:
    values = np.asarray(runs, dtype=np.float64).ravel()
    found: Floats = values[np.isfinite(values)]
    return found


def _ratio(values: Floats, reference: float, goal: str) -> Floats:
    """Ratio to the baseline's mean; for a goal of max mirrored at 1, which also holds for values of 0."""
    return values / reference if goal == "min" else 2.0 - values / reference


def _reached(runs: Floats, lost: int, ratios: Floats) -> Floats:
    """Share of runs with a ratio of at most each of `ratios`, shape (samples, points); lost runs never reach any."""
    counted = np.stack([np.searchsorted(one, ratios, side="right") for one in np.sort(runs, axis=1)])
    reached: Floats = counted / (runs.shape[1] + lost)
    return reached


def _share_lower(ours: Floats, base: Floats) -> Floats:
    """Share of pairs in which ours is lower, ties half: from (samples, runs) twice to (samples,)."""
    differences = ours[:, :, None] - base[:, None, :]
    share: Floats = ((differences < 0) + 0.5 * (differences == 0)).mean(axis=(1, 2))
    return share
