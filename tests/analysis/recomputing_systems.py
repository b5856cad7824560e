"""Methods over systems once more, as docs/statistics.md defines them; `recomputing` has what is of one system."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from scipy import optimize, special, stats

from tests.analysis.recomputing import Floats, Numbers, Plan, Runs, adjusted, newcombe

Range = tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """One method on one system.

    Attributes:
        values: Seed → score, logarithm, or the value as it is.
        lost: Runs that diverged.
        missing: Other runs without a value.
    """

    values: Mapping[int, float]
    lost: int
    missing: int

    @property
    def array(self) -> Floats:
        return np.array(list(self.values.values()))

    def ordered(self, goal: str) -> Floats:
        """Less is better; a diverged run is the worst."""
        return np.concatenate([self.array if goal == "min" else -self.array, np.full(self.lost, math.inf)])


def make_cell(runs: Runs, scale: str, limits: Range | None) -> Cell:
    """Scale the runs of one method on one system."""

    def scaled(value: float) -> float:
        if scale == "ratio":
            return math.log(value)
        return (value - limits[0]) / (limits[1] - limits[0]) if limits else value

    values = {seed: scaled(value) for seed, value in runs.there.items()}
    lost = len(runs.lost - set(values))
    return Cell(values, lost, len(runs.values) - len(values) - lost)


def over_systems(
    runs: Mapping[str, Mapping[str, Runs]], baseline: str, plan: Plan, ranges: Mapping[str, Range]
) -> Numbers:
    """Every number over systems; each method has a result on each system here.

    Args:
        runs: Method → system → its runs.
        baseline: Method that others are compared with.
        plan: How to judge, the level of a second look included.
        ranges: System → declared range; empty without one.
    """
    systems = list(runs[baseline])
    positive = all((one.array > 0).all() for by_system in runs.values() for one in by_system.values())
    scale = "range" if ranges else "ratio" if positive else "order"
    names = [baseline, *(name for name in runs if name != baseline)]
    cells = {name: [make_cell(runs[name][one], scale, ranges.get(one)) for one in systems] for name in names}
    ranks = np.array([rank_methods([cells[name][place] for name in names], plan.goal) for place in range(len(systems))])
    points = profile_points(cells, baseline, scale)
    methods = []
    for place, name in enumerate(names):
        told = summarise(cells[name], cells[baseline], scale, points, plan, is_baseline=name == baseline)
        told |= {"ranks": ranks[:, place].tolist(), "rank": ranks[:, place].mean()}
        told["wins"] = int((ranks[:, place] < ranks[:, 0]).sum())
        methods.append(told)
    for field, of in (("p_adjusted", "p"), ("p_equivalence", "p_equivalence")):
        compared = methods[1:]
        for one, p in zip(compared, adjusted([one[of] for one in compared], plan.correction), strict=True):
            one[field] = p
    several = len(names) > 2
    return {
        "points": list(points), "methods": methods, "level": plan.level, "alpha": plan.alpha,
        "omnibus": friedman(ranks) if several else None,
        "critical_difference": critical_difference(len(names), len(systems), plan.alpha) if several else None,
    }  # fmt: skip


def rank_methods(cells: Sequence[Cell], goal: str) -> Floats:
    """Rank by mean on one system; a method that lost all runs is last."""
    sign = 1 if goal == "min" else -1
    return stats.rankdata([sign * one.array.mean() if one.values else math.inf for one in cells])


def profile_points(cells: Mapping[str, Sequence[Cell]], baseline: str, scale: str) -> Floats:
    """101 scores from the least to the largest, or ratios on a logarithmic scale with 1 among them."""
    if scale == "order":
        return np.empty(0)
    if scale == "range":
        every = np.concatenate([one.array for by_system in cells.values() for one in by_system])
        return np.linspace(every.min(), every.max(), 101)
    apart = [
        a - b
        for name, by_system in cells.items() if name != baseline
        for one, two in zip(by_system, cells[baseline], strict=True)
        for a in one.values.values() for b in two.values.values()
    ]  # fmt: skip
    grid = np.linspace(min(0.0, *apart), max(0.0, *apart), 101)
    points: Floats = np.exp(np.unique([*grid, 0.0]))
    return points


def summarise(
    ours: Sequence[Cell], base: Sequence[Cell], scale: str, points: Floats, plan: Plan, *, is_baseline: bool
) -> Numbers:
    """One method, without ranks and what needs the others."""
    found: Numbers = dict.fromkeys(
        ("score", "score_iqm", "gap", "effect", "iqm", "improvement", "p", "df", "p_rank", "p_equivalence", "floor",
         "p_adjusted")
    )  # fmt: skip
    found |= {"n": sum(len(one.values) for one in ours), "n_baseline": sum(len(one.values) for one in base)}
    found |= {"diverged": sum(one.lost for one in ours), "missing": sum(one.missing for one in ours)}
    found |= {"by_system": [], "profile": [], "profile_low": [], "profile_high": []}
    is_whole = all(one.values for one in ours)
    if scale == "range":
        found |= score_profile(ours, points, plan)
        if is_whole:
            samples = [[(value,) for value in one.values.values()] for one in ours]
            short = [[(max(0.0, v if plan.goal == "min" else 1 - v),) for (v,) in one] for one in samples]
            found |= {"score": runs_over(samples, plan, iqm=False), "score_iqm": runs_over(samples, plan, iqm=True)}
            found["gap"] = runs_over(short, plan, iqm=False)
            found["gap"]["low"] = max(0.0, found["gap"]["low"])
            if not any(v for one in short for (v,) in one):
                found["gap"] = {"value": 0.0, "low": None, "high": None}
    if is_baseline:
        return found
    orders = [(one.ordered(plan.goal), two.ordered(plan.goal)) for one, two in zip(ours, base, strict=True)]
    sizes = [(len(one), len(two)) for one, two in orders]
    share = float(np.mean([wins(one, two) for one, two in orders]))
    quantile = stats.t.ppf((1 + plan.level) / 2, sum(n + m - 2 for n, m in sizes))
    low, high = newcombe(share, sizes, quantile)
    p_rank, floor = rank_test(orders)
    found |= {"improvement": {"value": share, "low": low, "high": high}, "p_rank": p_rank, "floor": floor, "p": p_rank}
    if scale == "order":
        return found
    back = math.exp if scale == "ratio" else float
    found["by_system"] = [
        back(one.array.mean() - two.array.mean()) if one.values else None for one, two in zip(ours, base, strict=True)
    ]
    if scale == "ratio":
        found |= ratio_profile(orders, sizes, points, plan)
    if not is_whole:
        return found
    effect, error, df = pairs_over(ours, base, plan, iqm=False)
    within, _, _ = pairs_over(ours, base, plan, iqm=True)
    found |= {
        name: {end: back(value) for end, value in told.items()} for name, told in (("effect", effect), ("iqm", within))
    }
    if not any(one.lost for one in (*ours, *base)):
        found |= {"p": 2 * stats.t.sf(abs(effect["value"]) / error, df), "df": df}
        if plan.margin and scale == "ratio":
            most, least = math.log(1 + plan.margin), math.log(1 - plan.margin)
            found["p_equivalence"] = max(
                stats.t.cdf((effect["value"] - most) / error, df), stats.t.sf((effect["value"] - least) / error, df)
            )
    return found


# Means over systems with a jackknife's interval


def mean_over(systems: Sequence[Sequence[float]], *, iqm: bool) -> float:
    """Mean, or the middle half of the weight, of terms of which each system has as much weight as any other."""
    terms = sorted((value, 1 / len(one) / len(systems)) for one in systems for value in one)
    if not iqm:
        return math.fsum(value * weight for value, weight in terms)
    total = below = 0.0
    for value, weight in terms:
        inside = max(0.0, min(below + weight, 0.75) - max(below, 0.25))
        total, below = total + inside * value, below + weight
    return 2 * total


def interval(value: float, left_out: Sequence[Sequence[float]], level: float) -> tuple[Numbers, float, float]:
    """The t interval of a jackknife: for every sample the values without each of its runs."""
    parts = [(len(one) - 1) / len(one) * sum((each - np.mean(one)) ** 2 for each in one) for one in left_out]
    error = math.sqrt(sum(parts))
    df = sum(parts) ** 2 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, left_out, strict=True))
    half = stats.t.ppf((1 + level) / 2, df) * error
    return {"value": value, "low": value - half, "high": value + half}, error, float(df)


def runs_over(samples: Sequence[Sequence[tuple[float]]], plan: Plan, *, iqm: bool) -> Numbers:
    """Mean over systems of single runs."""
    systems = [[value for (value,) in one] for one in samples]

    def without(system: int, run: int) -> float:
        mine = [one for at, one in enumerate(systems[system]) if at != run]
        return mean_over([mine if place == system else one for place, one in enumerate(systems)], iqm=iqm)

    left_out = [[without(system, run) for run in range(len(mine))] for system, mine in enumerate(systems)]
    if sum(sum((each - np.mean(one)) ** 2 for each in one) for one in left_out) < 1e-30:
        value = mean_over(systems, iqm=iqm)
        return {"value": value, "low": value, "high": value}
    return interval(mean_over(systems, iqm=iqm), left_out, plan.level)[0]


def pairs_over(ours: Sequence[Cell], base: Sequence[Cell], plan: Plan, *, iqm: bool) -> tuple[Numbers, float, float]:
    """Mean over systems of the differences of all pairs; the runs of a seed are left out together where all match."""

    def told(gone: tuple[int, set[int], set[int]] | None) -> float:
        systems = []
        for place, (one, two) in enumerate(zip(ours, base, strict=True)):
            mine, theirs = (gone[1], gone[2]) if gone and gone[0] == place else (set[int](), set[int]())
            left = [a for seed, a in one.values.items() if seed not in mine]
            right = [b for seed, b in two.values.items() if seed not in theirs]
            systems.append([a - b for a in left for b in right])
        return mean_over(systems, iqm=iqm)

    left_out = []
    for place, (one, two) in enumerate(zip(ours, base, strict=True)):
        if set(one.values) == set(two.values):
            left_out.append([told((place, {seed}, {seed})) for seed in one.values])
        else:
            left_out.append([told((place, {seed}, set())) for seed in one.values])
            left_out.append([told((place, set(), {seed})) for seed in two.values])
    return interval(told(None), left_out, plan.level)


# Order alone


def wins(ours: Floats, base: Floats) -> float:
    """Share of pairs in which ours is the better, ties half."""
    return float(np.mean([(a < b) + (a == b) / 2 for a in ours for b in base]))


def rank_test(orders: Sequence[tuple[Floats, Floats]]) -> tuple[float, float]:
    """Two-sided p of the mean share of pairs won, given the values on each system, and the least it could be."""
    whole = {0: 1.0}
    common = math.lcm(*(2 * len(one) * len(two) for one, two in orders))
    for one, two in orders:
        every, n = np.concatenate([one, two]), len(one)
        unit = common // (2 * n * len(two))
        better = (every[:, None] < every[None, :]) * 2 + (every[:, None] == every[None, :]) * 1
        chances: dict[int, int] = defaultdict(int)
        for mine in combinations(range(len(every)), n):
            theirs = [place for place in range(len(every)) if place not in mine]
            chances[int(better[np.ix_(mine, theirs)].sum()) * unit] += 1
        added: dict[int, float] = defaultdict(float)
        for before, chance in whole.items():
            for more, ways in chances.items():
                added[before + more] += chance * ways / math.comb(len(every), n)
        whole = added
    centre = common * len(orders) // 2
    told = sum(round(wins(one, two) * common) for one, two in orders)
    p = sum(chance for at, chance in whole.items() if abs(at - centre) >= abs(told - centre))
    far = max(abs(at - centre) for at in whole)
    return min(1.0, p), min(1.0, sum(chance for at, chance in whole.items() if abs(at - centre) == far))


def friedman(ranks: Floats) -> Numbers:
    """Friedman's test over all orders of methods within systems (few of them, no ties)."""
    systems, methods = ranks.shape
    statistic = float(stats.friedmanchisquare(*ranks.T).statistic)
    sums = np.zeros((1, methods))
    for place in range(systems):
        # Which method has which rank on the first system is of no account.
        orders = np.array(list(permutations(sorted(ranks[place])))) if place else np.sort(ranks[:1], axis=1)
        sums = (sums[:, None, :] + orders[None, :, :]).reshape(-1, methods)
    squares = (sums**2).sum(axis=1)
    told = (ranks.sum(axis=0) ** 2).sum()
    rest = systems * (methods - 1) - statistic
    return {
        "statistic": statistic,
        "f": (systems - 1) * statistic / rest if rest > 1e-9 else None,
        "p": float(np.mean(squares >= told - 1e-9)),
        "floor": float(np.mean(squares >= squares.max() - 1e-9)),
    }


def critical_difference(methods: int, systems: int, alpha: float) -> float:
    """Nemenyi's, from the range of as many normal values, by integration."""

    x = np.linspace(-9, 9, 4001)
    density = methods * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)

    def beyond(q: float) -> float:
        within = np.trapezoid(density * (special.ndtr(x) - special.ndtr(x - q)) ** (methods - 1), x)
        return float(within - (1 - alpha))

    return float(optimize.brentq(beyond, 0.1, 10)) / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * systems))


# Profiles


def score_profile(ours: Sequence[Cell], points: Floats, plan: Plan) -> Numbers:
    """Share of runs that reach each score, with Wilson's band."""
    n = sum(len(one.values) + one.lost for one in ours)
    z = stats.norm.ppf((1 + plan.level) / 2)
    told: Numbers = {"profile": [], "profile_low": [], "profile_high": []}
    for point in points:
        at = point if plan.goal == "min" else -point
        share = float(np.mean([np.mean(one.ordered(plan.goal) <= at + 1e-12) for one in ours]))
        middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        told["profile"].append(share)
        told["profile_low"].append(min(share, (middle - half) / (1 + z**2 / n)))
        told["profile_high"].append(max(share, (middle + half) / (1 + z**2 / n)))
    return told


def ratio_profile(
    orders: Sequence[tuple[Floats, Floats]], sizes: Sequence[tuple[int, int]], points: Floats, plan: Plan
) -> Numbers:
    """Share of pairs that reach each ratio, with score intervals; a pair with a diverged run of the method never."""
    sign = 1 if plan.goal == "min" else -1
    quantile = stats.t.ppf((1 + plan.level) / 2, sum(n + m - 2 for n, m in sizes))
    apart = [
        np.sort([math.inf if a == math.inf else a - b for a in one for b in two]) for one, two in orders
    ]  # fmt: skip
    ends: dict[float, tuple[float, float]] = {}
    told: Numbers = {"profile": [], "profile_low": [], "profile_high": []}
    for point in points:
        share = float(np.mean([np.mean(one <= sign * math.log(point) + 1e-12) for one in apart]))
        if share not in ends:
            ends[share] = newcombe(share, sizes, quantile)
        told["profile"].append(share)
        told["profile_low"].append(min(share, ends[share][0]))
        told["profile_high"].append(max(share, ends[share][1]))
    return told
