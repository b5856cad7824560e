"""Methods over several systems: effects over all of them with their intervals, tests, ranks and performance profiles.

Systems have units of their own, so nothing is averaged over them before it is made comparable (`Scale`): scores within
a declared range, else ratios to the baseline on the same system where every value is above 0, else the order of runs
alone. A method and its baseline meet in the pairs of their runs on the same system: the mean over pairs, their
interquartile mean and the share in which the method is better (Agarwal et al. 2021) rest on the same pairs, and each
system counts alike. Both sides are samples: intervals come from a jackknife over the runs of either side, with the
degrees of freedom of Satterthwaite. There is no chance in it. How often these intervals hold the truth is measured in
``docs/statistics.md``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from analysis.statistics.comparisons import AnalysisPlan
from analysis.statistics.corrections import adjust
from analysis.statistics.estimates import t_quantile
from analysis.statistics.missing import Runs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
RANGE, RATIO, ORDER = "range", "ratio", "order"
_POINTS = 101
_GROUPS = 20
"""Runs of one side on one system are left out one by one up to so many, above in so many groups."""
_ELEMENTS = 5_000_000
"""Terms times leavings that are averaged at once."""
_LONGEST = 200_000
"""Outcomes of the rank statistic up to which its exact distribution is used."""
_MOST_RUNS = 60
"""Runs on one system up to which the exact distribution of ranks is used."""
_MOST_METHODS = 5
_MOST_SUMS = 300_000
"""Methods, and sums of ranks to follow, up to which Friedman's statistic has its exact distribution."""
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
class Dropped:
    """What is in no number over systems.

    Attributes:
        name: The system or method.
        reason: Why.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Omnibus:
    """Friedman's test that all methods rank alike; the systems are its blocks.

    Attributes:
        statistic: Friedman's χ², ties taken into account.
        f: Iman and Davenport's F of it; None where it is infinite.
        p: Its p-value.
        method: ``exact``, over all orders of methods within systems, or ``Iman–Davenport``.
        floor: Smallest p that so few systems and methods can give.
    """

    statistic: float
    f: float | None
    p: float
    method: str
    floor: float


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
    kept, systems, dropped = _shared(runs, baseline, ranges or {})
    scale, why = _choose_scale(kept, systems, ranges or {})
    names = [baseline, *(name for name in kept if name != baseline)] if baseline in kept else []
    empty = OverSystems(
        baseline, systems, scale, why, goal, (), (), plan.confidence, alpha or plan.alpha, plan.correction, dropped
    )
    if len(systems) < 2 or len(names) < 2:
        return empty
    cells = {
        name: [_Cell.make(kept[name][system], scale, (ranges or {}).get(system), goal) for system in systems]
        for name in names
    }
    ranks = _ranks([cells[name] for name in names])
    points = _points(cells, baseline, scale)
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
        outside=_outside(kept, names, systems, ranges or {}),
        omnibus=friedman(ranks) if len(names) > 2 else None,
        critical_difference=nemenyi(len(names), len(systems), empty.alpha) if len(names) > 2 else None,
    )


def friedman(ranks: Floats) -> Omnibus:
    """Test that all methods rank alike (Friedman 1937), with its exact distribution for few methods and systems.

    Above, Iman and Davenport's (1980) F, which is less cautious than χ² and about right from 10 systems on.

    Args:
        ranks: Array of shape (systems, methods), midranks within each system; at least 3 methods.
    """
    systems, methods = ranks.shape
    if (ranks == ranks[:, :1]).all():
        return Omnibus(0.0, 0.0, 1.0, "exact", 1.0)
    statistic = float(stats.friedmanchisquare(*ranks.T).statistic)
    rest = systems * (methods - 1) - statistic
    f = (systems - 1) * statistic / rest if rest > _SAME * systems else None
    exact = _exact_friedman(ranks) if methods <= _MOST_METHODS else None
    if exact is not None:
        return Omnibus(statistic, f, exact[0], "exact", exact[1])
    p = 0.0 if f is None else float(stats.f.sf(f, methods - 1, (methods - 1) * (systems - 1)))
    # All systems in the same order: one of methods! orders in each but the first.
    floor = math.exp(-math.lgamma(methods + 1) * (systems - 1))
    return Omnibus(statistic, f, max(p, floor), "Iman–Davenport", floor)


def nemenyi(methods: int, systems: int, alpha: float) -> float:
    """Return the difference of average ranks from which on two methods differ, any two of them (Nemenyi 1963)."""
    quantile = float(stats.studentized_range.ppf(1 - alpha, methods, np.inf))
    return quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * systems))


@dataclass(frozen=True, eq=False)
class _Terms:
    """What is averaged over systems.

    Attributes:
        values: Array of shape (terms,): runs, or pairs of runs.
        owner: The system of each term, from 0 without gaps.
        kept: One array of shape (leavings, terms) per sample: which terms are left without each of its runs.
    """

    values: Floats
    owner: Ints
    kept: Sequence[Bools]


def _jackknife(terms: _Terms, level: float, *, is_iqm: bool) -> tuple[Aggregate, float | None, float | None]:
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


def stratified_rank_test(ours: Sequence[Floats], base: Sequence[Floats]) -> tuple[float, float | None]:
    """Test that runs of both sides are alike on every system, by their order within systems alone.

    The mean over systems of Mann and Whitney's share of pairs, with its exact distribution given the ties; above
    60 runs on a system the normal one.

    Args:
        ours: One array of shape (runs,) per system; infinite for runs worse than all others.
        base: The same of the baseline.

    Returns:
        The two-sided p-value, and the smallest it could be; None where it is not exact.
    """
    tables = [_rank_table(one, two) for one, two in zip(ours, base, strict=True)]
    sizes = [len(one) * len(two) for one, two in zip(ours, base, strict=True)]
    common = math.lcm(*sizes)
    exact = [chances for _, chances, _ in tables if chances is not None]
    # Twice the wins of each system are whole numbers; times common / size each system counts alike.
    observed = sum(wins * (common // size) for (wins, _, _), size in zip(tables, sizes, strict=True))
    centre = common * len(sizes)
    if common * len(sizes) * 2 > _LONGEST or len(exact) < len(tables):
        variance = sum(one * (common // size) ** 2 for (_, _, one), size in zip(tables, sizes, strict=True))
        z = abs(observed - centre) / math.sqrt(variance) if variance else 0.0
        return float(2 * special.ndtr(-z)), None
    total = np.ones(1)
    for chances, size in zip(exact, sizes, strict=True):
        stretched = np.zeros((len(chances) - 1) * (common // size) + 1)
        stretched[:: common // size] = chances
        total = np.convolve(total, stretched)
    away = np.abs(np.arange(len(total)) - centre)
    p = float(total[away >= abs(observed - centre)].sum())
    there = np.flatnonzero(total > 0)
    return min(1.0, p), min(1.0, float(total[away >= away[there].max()].sum()))


def score_interval(share: Floats, sizes: Sequence[tuple[int, int]], level: float) -> tuple[Floats, Floats]:
    """Return the interval of a share of pairs, averaged over systems; Newcombe's (2006, method 5) for one system.

    Where the share and θ differ by t standard errors at θ; it stays wide where the share is 0 or 1. Hanley and
    McNeil's standard error at the mean share is not below that of shares that differ between systems.

    Args:
        share: Array of shape (shares,), 0 to 1.
        sizes: Runs of both sides on each system.
        level: Coverage.
    """
    quantile = t_quantile(level, max(1, sum(n + m - 2 for n, m in sizes)))
    alone = sum(1 / (n * m) for n, m in sizes) / len(sizes) ** 2
    shared = sum(((n + m) / 2 - 1) / (n * m) for n, m in sizes) / len(sizes) ** 2
    inside, outside = np.stack([share, share]), np.stack([np.zeros_like(share), np.ones_like(share)])
    for _ in range(32):
        at = (inside + outside) / 2
        variance = at * (1 - at) * (alone + shared * ((1 - at) / (2 - at) + at / (1 + at)))
        within = (share - at) ** 2 <= quantile**2 * variance
        inside, outside = np.where(within, at, inside), np.where(within, outside, at)
    low, high = (inside + outside) / 2
    return low, high


@dataclass(frozen=True, eq=False)
class _Cell:
    """The runs of one method on one system.

    Attributes:
        values: Scaled values of the runs that have one: scores, logarithms, or as they are.
        seeds: Their seeds; None where seeds mean nothing.
        ordered: Values such that less is better, infinite for diverged runs.
        missing: Other runs without a value.
    """

    values: Floats
    seeds: Ints | None
    ordered: Floats
    missing: int

    @classmethod
    def make(cls, runs: Runs, scale: str, limits: tuple[float, float] | None, goal: str) -> "_Cell":
        is_there = np.isfinite(runs.values)
        values = runs.values[is_there]
        if scale == RATIO:
            values = np.log(values)
        elif scale == RANGE and limits is not None:
            values = (values - limits[0]) / (limits[1] - limits[0])
        lost = int(runs.lost[~is_there].sum()) if runs.lost is not None else 0
        ordered = np.concatenate([values if goal == "min" else -values, np.full(lost, np.inf)])
        seeds = None if runs.seeds is None else runs.seeds[is_there]
        return cls(values, seeds, ordered, int((~is_there).sum()) - lost)

    @property
    def mean(self) -> float:
        """Mean such that less is better; infinite where every run diverged."""
        finite = self.ordered[np.isfinite(self.ordered)]
        return float(finite.mean()) if len(finite) else np.inf

    @property
    def diverged(self) -> int:
        return len(self.ordered) - len(self.values)


def _shared(
    runs: Mapping[str, Mapping[str, Runs]], baseline: str, ranges: Mapping[str, tuple[float, float]]
) -> tuple[Mapping[str, Mapping[str, Runs]], tuple[str, ...], tuple[Dropped, ...]]:
    """Keep the systems on which every method has a result; a method that has none on 2 systems is left out itself."""
    dropped = []
    systems = dict.fromkeys(system for by_system in runs.values() for system in by_system)
    usable = []
    for system in systems:
        base = runs[baseline].get(system)
        if base is None or not np.isfinite(base.values).any():
            diverged = base is not None and base.lost is not None and base.lost.any()
            why = "every run of it diverged" if diverged else "no run of it has a value"
            dropped.append(Dropped(system, f"the baseline {baseline} has none: {why}"))
        elif ranges and system not in ranges:
            dropped.append(Dropped(system, "no range is declared for it"))
        else:
            usable.append(system)
    kept = {}
    for name, by_system in runs.items():
        if sum(_has_result(by_system.get(system)) for system in usable) >= min(2, len(usable)):
            kept[name] = by_system
        else:
            dropped.append(Dropped(name, "it has results on fewer than 2 systems"))
    shared = []
    for system in usable:
        without = [name for name, by_system in kept.items() if not _has_result(by_system.get(system))]
        if without:
            dropped.append(Dropped(system, f"no run of {', '.join(without)} has a value there"))
        else:
            shared.append(system)
    return kept, tuple(shared), tuple(dropped)


def _has_result(runs: Runs | None) -> bool:
    """Whether a run gave a value, or diverged, which is a result too."""
    if runs is None:
        return False
    return bool(np.isfinite(runs.values).any() or (runs.lost is not None and runs.lost.any()))


def _choose_scale(
    runs: Mapping[str, Mapping[str, Runs]], systems: Sequence[str], ranges: Mapping[str, tuple[float, float]]
) -> tuple[str, str]:
    """Choose how values of different systems are made comparable, and say why in no better way."""
    if ranges:
        return RANGE, ""
    undeclared = "no range of the metric is declared (metrics.primary.range)"
    below = [
        system for system in systems
        if any((by_system[system].values[np.isfinite(by_system[system].values)] <= 0).any()
               for by_system in runs.values())
    ]  # fmt: skip
    if below:
        return ORDER, f"{undeclared}, and ratios need values above 0, which {', '.join(below)} has not everywhere"
    return RATIO, undeclared


def _outside(
    runs: Mapping[str, Mapping[str, Runs]],
    names: Sequence[str],
    systems: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
) -> tuple[str, ...]:
    """Name the values outside the declared ranges."""
    said = []
    for system in systems if ranges else ():
        low, high = ranges[system]
        for name in names:
            values = runs[name][system].values
            finite = values[np.isfinite(values)]
            out = finite[(finite < low) | (finite > high)]
            if len(out):
                span = f"{out.min():.4g}" + (f" to {out.max():.4g}" if len(out) > 1 else "")
                said.append(f"{system}, {name}: {len(out)} of {len(finite)} ({span}; declared {low:g} to {high:g})")
    return tuple(said)


def _ranks(methods: Sequence[Sequence[_Cell]]) -> Floats:
    """Rank the methods on each system, equal means alike: array of shape (systems, methods).

    Means that differ by rounding are equal: by less than a billionth of what the runs on the system differ by.
    """
    rows = []
    for cells in zip(*methods, strict=True):
        values = np.concatenate([one.values for one in cells])
        spread = float(np.ptp(values))
        means = np.array([one.mean for one in cells])
        finite = means[np.isfinite(means)]
        unit = spread if spread > _SAME * float(np.abs(values).max()) else np.inf
        away = np.where(np.isfinite(means), means, finite.min()) - finite.min()
        rows.append(_midranks(np.where(np.isfinite(means), np.round(away / unit, 9), np.inf)))
    ranked: Floats = np.array(rows)
    return ranked


def _points(cells: Mapping[str, Sequence[_Cell]], baseline: str, scale: str) -> Floats:
    """Where the profiles are taken: from the least to the largest ratio or score, 1 among the ratios."""
    if scale == ORDER:
        return np.empty(0)
    if scale == RANGE:
        every = np.concatenate([one.values for by_system in cells.values() for one in by_system])
        return np.linspace(every.min(), every.max(), _POINTS)
    ends = [
        end
        for name, by_system in cells.items()
        if name != baseline
        for one, base in zip(by_system, cells[baseline], strict=True)
        if len(one.values)
        for end in (one.values.min() - base.values.max(), one.values.max() - base.values.min())
    ]
    between = np.linspace(min([*ends, 0.0]), max([*ends, 0.0]), _POINTS)
    points: Floats = _exp(np.unique(np.append(between, 0.0)))
    return points


def _summarise(
    name: str,
    ours: Sequence[_Cell],
    base: Sequence[_Cell],
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
        terms = _over_runs([one.values for one in ours])
        (score, _, _), (iqm, _, _) = (_jackknife(terms, level, is_iqm=is_iqm) for is_iqm in (False, True))
        found = replace(found, score=score, score_iqm=iqm, gap=_gap(terms, goal, level))
    if scale == RANGE:
        found = _with_profile(found, *_score_profile(ours, points, goal, level))
    if is_baseline:
        return found
    pairs = list(zip(ours, base, strict=True))
    found = _with_ranks(found, pairs, level)
    if scale == RATIO:
        found = _with_profile(found, *_ratio_profile(pairs, points, goal, level))
    return found if scale == ORDER else _with_differences(found, pairs, scale, plan)


def _with_ranks(found: MethodOverSystems, pairs: Sequence[tuple[_Cell, _Cell]], level: float) -> MethodOverSystems:
    """Add how often it is better than the baseline, and the rank test: that needs no numbers, only their order."""
    ours, base = zip(*pairs, strict=True)
    share = np.array([np.mean([_share_lower(one.ordered, two.ordered) for one, two in pairs])])
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
    found: MethodOverSystems, pairs: Sequence[tuple[_Cell, _Cell]], scale: str, plan: AnalysisPlan
) -> MethodOverSystems:
    """Add how much it differs from the baseline, and the t test where nothing diverged."""
    ours, base = zip(*pairs, strict=True)
    level = plan.confidence
    back = _exp if scale == RATIO else np.asarray
    found = replace(
        found,
        by_system=tuple(
            float(back(one.values.mean() - two.values.mean())) if len(one.values) else None for one, two in pairs
        ),
    )
    if not all(len(one.values) for one in ours):
        return found
    terms = _over_pairs(pairs)
    (effect, error, df), (iqm, _, _) = (_jackknife(terms, level, is_iqm=is_iqm) for is_iqm in (False, True))
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


def _gap(terms: _Terms, goal: str, level: float) -> Aggregate:
    """Mean of what scores lack to the best end of the range; what lies beyond it makes up for nothing."""
    short = np.maximum(terms.values if goal == "min" else 1 - terms.values, 0.0)
    gap, _, _ = _jackknife(replace(terms, values=short), level, is_iqm=False)
    if not short.any():
        # No spread to judge by: an interval from 0 to 0 would claim that no run ever falls short.
        return Aggregate(0.0, None, None)
    return gap if gap.low is None else replace(gap, low=max(0.0, gap.low))


def score_curve(scores: Sequence[Floats], level: float) -> tuple[Aggregate, ...]:
    """Interquartile mean of the scores of one method over systems, step by step, each with its own interval.

    Args:
        scores: One array of shape (runs, steps) per system, at least one run; the same steps everywhere.
        level: Coverage at each step.
    """
    first = _over_runs([one[:, 0] for one in scores])
    return tuple(
        _jackknife(replace(first, values=values), level, is_iqm=True)[0] for values in np.concatenate(scores).T
    )


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
        is_better = gain < 0 if over.goal == "min" else gain > 0
    else:
        is_better = one.improvement.value > 0.5
    return "WINNER" if is_better else "LOSER"


def _with_profile(found: MethodOverSystems, middle: Floats, low: Floats, high: Floats) -> MethodOverSystems:
    return replace(
        found,
        profile=tuple(middle.tolist()),
        profile_low=tuple(np.minimum(low, middle).tolist()),
        profile_high=tuple(np.maximum(high, middle).tolist()),
    )


def _score_profile(ours: Sequence[_Cell], points: Floats, goal: str, level: float) -> tuple[Floats, Floats, Floats]:
    """Share of runs with such a score or a better one, averaged over systems, with Wilson's band."""
    at = points if goal == "min" else -points
    share = np.mean([_reached(one.ordered, at) for one in ours], axis=0)
    n = sum(len(one.ordered) for one in ours)
    z = float(special.ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share, middle - half, middle + half


def _ratio_profile(
    pairs: Sequence[tuple[_Cell, _Cell]], points: Floats, goal: str, level: float
) -> tuple[Floats, Floats, Floats]:
    """Share of pairs with such a ratio or a better one, averaged over systems; diverged runs of the method none."""
    at = np.log(points) if goal == "min" else -np.log(points)
    told = []
    for one, two in pairs:
        with np.errstate(invalid="ignore"):
            differences = one.ordered[:, None] - two.ordered[None, :]
        told.append(_reached(np.where(np.isnan(differences), np.inf, differences).ravel(), at))
    share = np.mean(told, axis=0)
    sizes = [(len(one.ordered), len(two.ordered)) for one, two in pairs]
    return share, *score_interval(share, sizes, level)


def _reached(values: Floats, at: Floats) -> Floats:
    reached: Floats = np.searchsorted(np.sort(values), at + _SAME, side="right") / len(values)
    return reached


def _over_runs(systems: Sequence[Floats]) -> _Terms:
    """The runs of one method, an array of shape (runs,) per system, and what is left without each."""
    owner = np.concatenate([np.full(len(one), place) for place, one in enumerate(systems)])
    kept = []
    for place, one in enumerate(systems):
        groups = _groups(len(one))
        without = np.ones((groups.max() + 1, len(owner)), dtype=bool)
        without[:, owner == place] = groups != np.arange(groups.max() + 1)[:, None]
        kept.append(without)
    return _Terms(np.concatenate(systems), owner, kept)


def _over_pairs(pairs: Sequence[tuple[_Cell, _Cell]]) -> _Terms:
    """The differences of all pairs of runs on the same system, and what is left without each run.

    Where both sides have the same seeds on a system, the two runs of a seed are left out together: what they have in
    common is then no error of the difference.
    """
    owner = np.concatenate([np.full(len(one.values) * len(two.values), at) for at, (one, two) in enumerate(pairs)])
    kept = []
    for place, (one, two) in enumerate(pairs):
        n, m = len(one.values), len(two.values)
        mine, theirs = np.repeat(_groups(n), m), np.tile(_groups(m), n)
        match = _match(one, two)
        if match is not None:
            theirs = np.tile(_groups(n)[match], n)
        count = np.arange(max(mine.max(), theirs.max()) + 1)[:, None]
        samples = [(mine != count) & (theirs != count)] if match is not None else []
        samples = samples or [side != count[: side.max() + 1] for side in (mine, theirs)]
        for sample in samples:
            without = np.ones((len(sample), len(owner)), dtype=bool)
            without[:, owner == place] = sample
            kept.append(without)
    return _Terms(
        np.concatenate([(one.values[:, None] - two.values[None, :]).ravel() for one, two in pairs]), owner, kept
    )


def _groups(runs: int) -> Ints:
    """Number of the group with which each run is left out: its own where there are few."""
    found: Ints = np.arange(runs) * min(runs, _GROUPS) // runs
    return found


def _match(ours: _Cell, base: _Cell) -> Ints | None:
    """Which of our runs has the seed of each of the baseline's; None where the two have not the same seeds."""
    if ours.seeds is None or base.seeds is None:
        return None
    place = {seed: at for at, seed in enumerate(ours.seeds.tolist())}
    if len(place) < len(ours.seeds) or sorted(place) != sorted(base.seeds.tolist()):
        return None
    return np.array([place[seed] for seed in base.seeds.tolist()], dtype=np.int64)


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing theirs: scipy's take ten times as long for a few values."""
    order = np.sort(values)
    return (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right") + 1) / 2


def _share_lower(ours: Floats, base: Floats) -> float:
    """Share of pairs in which ours is lower, ties half, two diverged runs included."""
    wins = (ours[:, None] < base[None, :]) + 0.5 * (ours[:, None] == base[None, :])
    return float(wins.mean())


def _rank_table(ours: Floats, base: Floats) -> tuple[int, Floats | None, float]:
    """Twice the pairs that ours wins, the chances of 0, 1, 2, … of them given all values, and the variance.

    The chances are None where there are too many runs.
    """
    n, m = len(ours), len(base)
    wins = round(2 * n * m * _share_lower(ours, base))
    doubled = np.rint(2 * _midranks(np.concatenate([ours, base]))).astype(np.int64)
    variance = 4 * n * m / ((n + m) * max(1, n + m - 1)) * float(((doubled / 2 - (n + m + 1) / 2) ** 2).sum())
    if n + m > _MOST_RUNS:
        return wins, None, variance
    return wins, _chances_of_wins(n, tuple(sorted(doubled.tolist()))), variance


@lru_cache(maxsize=1024)
def _chances_of_wins(n: int, doubled: tuple[int, ...]) -> Floats:
    """Chances of 0, 1, 2, … for twice the pairs won by n of the runs with these (doubled) ranks."""
    m = len(doubled) - n
    counts = np.zeros((n + 1, sum(doubled) + 1))
    counts[0, 0] = 1
    for rank in doubled:
        counts[1:, rank:] += counts[:-1, : counts.shape[1] - rank].copy()
    # A low sum of ranks is a win of ours: twice the wins are 2 n m + n (n + 1) − the doubled rank sum.
    chances = counts[n] / counts[n].sum()
    top = 2 * n * m + n * (n + 1)
    by_wins = np.zeros(2 * n * m + 1)
    there = np.flatnonzero(chances)
    by_wins[top - there] = chances[there]
    return by_wins


def _exact_friedman(ranks: Floats) -> tuple[float, float] | None:
    """P-value over all orders of the methods within each system, and the smallest there could be; None if too many."""
    doubled = np.rint(2 * ranks).astype(np.int64)
    found = _friedman_outcomes(tuple(sorted(map(tuple, np.sort(doubled, axis=1).tolist()))))
    if found is None:
        return None
    squares, chances = found
    # The sum of squares orders outcomes as Friedman's statistic does.
    observed = int((doubled.sum(axis=0) ** 2).sum())
    return float(chances[squares >= observed].sum()), float(chances[squares == squares.max()].sum())


@lru_cache(maxsize=256)
def _friedman_outcomes(rows: tuple[tuple[int, ...], ...]) -> tuple[Ints, Floats] | None:
    """Sums of squares of the rank sums, and their chances, for systems with these (doubled) ranks in any order.

    Sums of ranks are followed system by system; which method has which is of no account, so they are kept in order.
    """
    methods = len(rows[0])
    digits = (max(map(max, rows)) * len(rows) + 1) ** np.arange(methods)
    states, chances = np.zeros((1, methods), dtype=np.int64), np.ones(1)
    for row in rows:
        orders = np.unique(np.array(list(permutations(row))), axis=0)
        if len(states) * len(orders) > _MOST_SUMS:
            return None
        every = np.sort((states[:, None, :] + orders[None, :, :]).reshape(-1, methods), axis=1)
        # One number for each row of sums: sorting numbers is much faster than sorting rows.
        _, first, place = np.unique(every @ digits, return_index=True, return_inverse=True)
        states = every[first]
        weights = np.repeat(chances / len(orders), len(orders))
        chances = np.bincount(place.ravel(), weights=weights, minlength=len(states)).astype(np.float64)
    return (states**2).sum(axis=1), chances


def _exp(values: npt.ArrayLike) -> Floats:
    """Ratios of differences of logarithms, kept within what floats can hold."""
    found: Floats = np.exp(np.clip(np.asarray(values, dtype=np.float64), -700, 700))
    return found


def _back(one: Aggregate, back: Callable[[float], npt.ArrayLike]) -> Aggregate:
    low, high = (None if end is None else float(np.asarray(back(end))) for end in (one.low, one.high))
    return Aggregate(float(np.asarray(back(one.value))), low, high)
