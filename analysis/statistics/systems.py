"""Methods over several systems: effects over all of them with their intervals, tests, ranks and performance profiles.

Systems have units of their own, so nothing is averaged over them before it is made comparable (`system_runs`): scores
within a declared range, else ratios to the baseline on the same system where every value is above 0, else the order of
runs alone. A method and its baseline meet in the pairs of their runs on the same system: the mean over pairs, their
interquartile mean and the share in which the method is better (Agarwal et al. 2021) rest on the same pairs, and each
system counts alike. Both sides are samples: intervals come from a `jackknife` over the runs of either side, with the
degrees of freedom of Satterthwaite. There is no chance in it. How often these intervals hold the truth is measured in
``docs/statistics.md``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.comparisons import AnalysisPlan, is_better
from analysis.statistics.corrections import adjust
from analysis.statistics.jackknife import Aggregate, Terms, jackknife, over_pairs, over_runs
from analysis.statistics.missing import Runs
from analysis.statistics.profiles import profile_points, ratio_profile, score_profile
from analysis.statistics.rank_tests import Omnibus, friedman, nemenyi, score_interval, share_lower, stratified_rank_test
from analysis.statistics.system_runs import (
    ORDER,
    RANGE,
    RATIO,
    Dropped,
    SystemRuns,
    bounded_exp,
    choose_scale,
    find_outside,
    rank_methods,
    shared_systems,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MethodOverSystems:
    """One method over all systems.

    Attributes:
        method: Its name.
        n: Runs with a value, all systems.
        n_baseline: The same of the baseline.
        diverged: Runs that diverged: the worst of all in the order of runs, and in no mean.
        missing: Other runs without a value.
        score: Mean score within the declared range; None without one.
        score_iqm: Interquartile mean of these scores.
        gap: Optimality gap: by how much runs fall short of the best end of the range on average, 0 for those beyond it;
            without an interval where no run falls short.
        effect: Against the baseline: mean difference of scores, or geometric mean ratio; None for the baseline, on the
            order of runs alone, and where every run of it diverged on a system.
        iqm: Interquartile mean of the difference or ratio, over all pairs of runs on the same system.
        improvement: Probability that a run of it is better than one of the baseline on the same system.
        by_system: Mean difference or ratio on each system; NaN-free: None where there is none.
        wins: Systems on which its mean is better than the baseline's.
        rank: Its average rank among all methods, 1 is best.
        ranks: Its rank on each system.
        test: Which test decides: ``t test stratified by system``, ``exact rank test stratified by system``.
        p: Of that test, two-sided.
        df: Degrees of freedom of the t test.
        p_rank: Of the rank test stratified by system, which counts diverged runs as the worst.
        p_adjusted: `p` adjusted over the methods.
        p_equivalence: Of two one-sided t tests that the ratio is within the margin, adjusted over the methods.
        floor: Smallest p that the rank test can give here.
        word: WINNER, LOSER, EQUIVALENT, INCONCLUSIVE or not computable; empty for the baseline.
        profile: At each of `OverSystems.points`: the share of pairs with such a ratio or a better one; with scores the
            share of runs.
        profile_low: Lower end of the pointwise band.
        profile_high: Upper end.
    """

    method: str
    n: int
    n_baseline: int
    diverged: int
    missing: int
    score: Aggregate | None = None
    score_iqm: Aggregate | None = None
    gap: Aggregate | None = None
    effect: Aggregate | None = None
    iqm: Aggregate | None = None
    improvement: Aggregate | None = None
    by_system: tuple[float | None, ...] = ()
    wins: int = 0
    rank: float = 0.0
    ranks: tuple[float, ...] = ()
    test: str = ""
    p: float | None = None
    df: float | None = None
    p_rank: float | None = None
    p_adjusted: float | None = None
    p_equivalence: float | None = None
    floor: float | None = None
    word: str = ""
    profile: tuple[float, ...] = ()
    profile_low: tuple[float, ...] = ()
    profile_high: tuple[float, ...] = ()


@dataclass(frozen=True)
class OverSystems:
    """All methods over the systems they were all run on.

    Attributes:
        baseline: The method that others are compared with.
        systems: Names of the systems.
        scale: ``range``, ``ratio`` or ``order``.
        why: Why it is no better one; empty for a declared range.
        goal: ``min`` or ``max``: which scores and ratios are better.
        points: Scores or ratios at which the profiles are taken; empty on the order alone.
        methods: One per method, the baseline first; empty where fewer than 2 systems are left.
        level: Coverage of the intervals, and of the bands at each point.
        alpha: Error rate of the tests over all methods.
        correction: How p is adjusted over the methods.
        dropped: Systems and methods that are in nothing of this, each with its reason.
        outside: Runs outside the declared range, which count as they are.
        omnibus: Test over all methods; None for two.
        critical_difference: Average ranks that differ by less cannot be told apart (Nemenyi 1963); None for two
            methods.
        are_scales: Whether the systems have raw scales of their own, so that raw values do not compare between them.
    """

    baseline: str
    systems: tuple[str, ...]
    scale: str
    why: str
    goal: str
    points: tuple[float, ...]
    methods: tuple[MethodOverSystems, ...]
    level: float
    alpha: float
    correction: str
    dropped: tuple[Dropped, ...] = ()
    outside: tuple[str, ...] = ()
    omnibus: Omnibus | None = None
    critical_difference: float | None = None
    are_scales: bool = False

    @property
    def compared(self) -> tuple[MethodOverSystems, ...]:
        """The methods that are compared with the baseline."""
        return tuple(one for one in self.methods if one.method != self.baseline)


def compare_over_systems(
    runs: Mapping[str, Mapping[str, Runs]],
    baseline: str,
    goal: str,
    plan: AnalysisPlan,
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    alpha: float | None = None,
) -> OverSystems:
    """Compare methods over systems.

    Args:
        runs: Method → system → its runs.
        baseline: Name of the method that others are compared with.
        goal: ``min`` or ``max``.
        plan: How to judge.
        ranges: System → declared range of the metric; None or empty where none is declared.
        alpha: Error rate where it is not the plan's (a second look).
    """
    kept, systems, dropped = shared_systems(runs, baseline, ranges or {})
    scale, why = choose_scale(kept, systems, ranges or {})
    names = [baseline, *(name for name in kept if name != baseline)] if baseline in kept else []
    empty = OverSystems(
        baseline, systems, scale, why, goal, (), (), plan.confidence, alpha or plan.alpha, plan.correction, dropped
    )
    if len(systems) < 2 or len(names) < 2:
        return empty
    cells = {
        name: [SystemRuns.make(kept[name][system], scale, (ranges or {}).get(system), goal) for system in systems]
        for name in names
    }
    ranks = rank_methods([cells[name] for name in names])
    points = profile_points(cells, baseline, scale)
    found = [
        _summarise(name, cells[name], cells[baseline], (scale, goal, points), plan, is_baseline=name == baseline)
        for name in names
    ]
    found = [
        replace(one, rank=float(row.mean()), ranks=tuple(row.tolist()), wins=int((row < ranks[:, 0]).sum()))
        for one, row in zip(found, ranks.T, strict=True)
    ]
    return replace(
        empty,
        points=tuple(points.tolist()),
        methods=tuple(_judge(found, empty)),
        outside=find_outside(kept, names, systems, ranges or {}),
        omnibus=friedman(ranks) if len(names) > 2 else None,
        critical_difference=nemenyi(len(names), len(systems), empty.alpha) if len(names) > 2 else None,
    )


def _summarise(
    name: str,
    ours: Sequence[SystemRuns],
    base: Sequence[SystemRuns],
    shown: tuple[str, str, Floats],
    plan: AnalysisPlan,
    *,
    is_baseline: bool,
) -> MethodOverSystems:
    """Everything about one method but its ranks and what needs the others."""
    scale, goal, points = shown
    level = plan.confidence
    found = MethodOverSystems(
        method=name,
        n=sum(len(one.values) for one in ours),
        n_baseline=sum(len(one.values) for one in base),
        diverged=sum(one.diverged for one in ours),
        missing=sum(one.missing for one in ours),
    )
    if scale == RANGE and all(len(one.values) for one in ours):
        terms = over_runs([one.values for one in ours])
        (score, _, _), (iqm, _, _) = (jackknife(terms, level, is_iqm=is_iqm) for is_iqm in (False, True))
        found = replace(found, score=score, score_iqm=iqm, gap=_gap(terms, goal, level))
    if scale == RANGE:
        found = _with_profile(found, *score_profile(ours, points, goal, level))
    if is_baseline:
        return found
    pairs = list(zip(ours, base, strict=True))
    found = _with_ranks(found, pairs, level)
    if scale == RATIO:
        found = _with_profile(found, *ratio_profile(pairs, points, goal, level))
    return found if scale == ORDER else _with_differences(found, pairs, scale, plan)


def _with_ranks(
    found: MethodOverSystems, pairs: Sequence[tuple[SystemRuns, SystemRuns]], level: float
) -> MethodOverSystems:
    """Add how often it is better than the baseline, and the rank test: that needs no numbers, only their order."""
    ours, base = zip(*pairs, strict=True)
    share = np.array([np.mean([share_lower(one.ordered, two.ordered) for one, two in pairs])])
    sizes = [(len(one.ordered), len(two.ordered)) for one, two in pairs]
    low, high = score_interval(share, sizes, level)
    p_rank, floor = stratified_rank_test([one.ordered for one in ours], [two.ordered for two in base])
    return replace(
        found,
        improvement=Aggregate(float(share[0]), float(low[0]), float(high[0])),
        p_rank=p_rank, floor=floor, p=p_rank,
        test="exact rank test stratified by system" if floor is not None else "rank test stratified by system",
    )  # fmt: skip


def _with_differences(
    found: MethodOverSystems, pairs: Sequence[tuple[SystemRuns, SystemRuns]], scale: str, plan: AnalysisPlan
) -> MethodOverSystems:
    """Add how much it differs from the baseline, and the t test where nothing diverged."""
    ours, base = zip(*pairs, strict=True)
    level = plan.confidence
    back = bounded_exp if scale == RATIO else np.asarray
    found = replace(
        found,
        by_system=tuple(
            float(back(one.values.mean() - two.values.mean())) if len(one.values) else None for one, two in pairs
        ),
    )
    if not all(len(one.values) for one in ours):
        return found
    terms = over_pairs(pairs)
    (effect, error, df), (iqm, _, _) = (jackknife(terms, level, is_iqm=is_iqm) for is_iqm in (False, True))
    found = replace(found, effect=_back(effect, back), iqm=_back(iqm, back))
    if found.diverged or any(two.diverged for two in base) or not error or df is None:
        # A t test would leave the diverged runs out; ranks have them as what they are.
        return found
    within = _p_within(effect.value, error, df, plan.margin) if scale == RATIO else None
    p = 2 * float(special.stdtr(df, -abs(effect.value) / error))
    return replace(found, test="t test stratified by system", p=p, df=df, p_equivalence=within)


def _p_within(effect: float, error: float, df: float, margin: float | None) -> float | None:
    """The larger p of both one-sided tests against (1 ± margin) times the baseline, on the scale of logarithms."""
    if margin is None or margin >= 1:
        return None
    upper, lower = math.log1p(margin), math.log1p(-margin)
    return float(special.stdtr(df, max((effect - upper) / error, (lower - effect) / error)))


def _gap(terms: Terms, goal: str, level: float) -> Aggregate:
    """Mean of what scores lack to the best end of the range; what lies beyond it makes up for nothing."""
    short = np.maximum(terms.values if goal == "min" else 1 - terms.values, 0.0)
    gap, _, _ = jackknife(replace(terms, values=short), level, is_iqm=False)
    if not short.any():
        # No spread to judge by: an interval from 0 to 0 would claim that no run ever falls short.
        return Aggregate(0.0, None, None)
    return gap if gap.low is None else replace(gap, low=max(0.0, gap.low))


def _judge(found: Sequence[MethodOverSystems], over: OverSystems) -> list[MethodOverSystems]:
    """Adjust over the methods and say the verdict of each."""
    compared = [one for one in found if one.improvement is not None]
    adjusted = adjust([one.p for one in compared], over.correction)
    within = adjust([one.p_equivalence for one in compared], over.correction)
    judged = iter(
        replace(one, p_adjusted=p, p_equivalence=same, word=_word(one, p, same, over))
        for one, p, same in zip(compared, adjusted, within, strict=True)
    )
    return [one if one.improvement is None else next(judged) for one in found]


def _word(one: MethodOverSystems, p: float | None, within: float | None, over: OverSystems) -> str:
    if p is None or one.improvement is None:
        return "not computable"
    if within is not None and within < over.alpha:
        return "EQUIVALENT"
    if p >= over.alpha:
        return "INCONCLUSIVE"
    if one.df is not None and one.effect is not None:
        gain = one.effect.value - (1.0 if over.scale == RATIO else 0.0)
        won = is_better(gain, over.goal)
    else:
        won = one.improvement.value > 0.5
    return "WINNER" if won else "LOSER"


def _with_profile(found: MethodOverSystems, middle: Floats, low: Floats, high: Floats) -> MethodOverSystems:
    return replace(
        found,
        profile=tuple(middle.tolist()),
        profile_low=tuple(np.minimum(low, middle).tolist()),
        profile_high=tuple(np.maximum(high, middle).tolist()),
    )


def _back(one: Aggregate, back: Callable[[float], npt.ArrayLike]) -> Aggregate:
    low, high = (None if end is None else float(np.asarray(back(end))) for end in (one.low, one.high))
    return Aggregate(float(np.asarray(back(one.value))), low, high)
