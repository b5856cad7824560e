"""The statistics of the report once more, from arrays: as docs/statistics.md defines them, and without a line of ours.

Written for being read beside the definition, not for speed: numpy and scipy.stats, exhaustive enumeration where that is
possible, numeric roots and integrals where our code has series or tables. Nothing of ``analysis`` is imported.
Differences are configuration minus baseline. What is not defined is None.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement, product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, special, stats

Floats = npt.NDArray[np.float64]
Numbers = dict[str, Any]
"""Name → number, None, a `Near` or further numbers, as the document nests them."""
ROUNDING = 1e-12
MOST_ARRANGEMENTS = 2000


@dataclass(frozen=True)
class Near:
    """A number that the report knows up to something: mostly one of resampling, which differs from ours by chance.

    Attributes:
        value: By our own resampling or enumeration.
        within: 4.5 standard errors of what the report draws.
    """

    value: float
    within: float


@dataclass(frozen=True)
class Runs:
    """All planned runs of one configuration on one metric.

    Attributes:
        values: Seed → value, NaN where there is none that may be compared; in the plan's order.
        failed: Seeds whose run failed.
        lost: Seeds whose run diverged.
        altered: Seed → value of a run that finished altered.
    """

    values: Mapping[int, float]
    failed: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    altered: Mapping[int, float] = field(default_factory=dict)

    @property
    def there(self) -> dict[int, float]:
        """The values there are, by seed."""
        return {seed: value for seed, value in self.values.items() if math.isfinite(value)}

    @property
    def array(self) -> Floats:
        return np.array(list(self.there.values()))

    def changed(self, values: Mapping[int, float]) -> "Runs":
        return Runs(values, self.failed, self.lost, self.altered)


@dataclass(frozen=True)
class Plan:
    """How results are judged."""

    goal: str
    alpha: float
    correction: str
    level: float
    margin: float | None


def adjusted(p_values: Sequence[float | None], correction: str) -> list[float | None]:
    """p-values after Holm (1979) or Benjamini and Hochberg (1995), over those there are."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    count, found = len(known), list[float | None](p_values)
    for rank, (_, place) in enumerate(known):
        if correction == "holm":
            found[place] = max(min(1.0, (count - before) * p) for before, (p, _) in enumerate(known[: rank + 1]))
        else:
            found[place] = min(min(1.0, count / after * p) for after, (p, _) in enumerate(known[rank:], start=rank + 1))
    return found


# Estimates


def estimate(values: Sequence[float], level: float) -> Numbers:
    """Mean, spread and place of the finite values, with Student's t interval."""
    every = np.asarray(values, dtype=np.float64)
    x = every[np.isfinite(every)]
    found: Numbers = dict.fromkeys(("mean", "std", "low", "high", "median", "iqm", "minimum", "maximum"))
    found |= {"n": len(x), "missing": len(every) - len(x), "level": level}
    if len(x):
        found |= {"mean": x.mean(), "median": np.median(x), "iqm": stats.trim_mean(x, 0.25)}
        found |= {"minimum": x.min(), "maximum": x.max()}
    if len(x) > 1:
        low, high = stats.t.interval(level, len(x) - 1, loc=x.mean(), scale=stats.sem(x))
        found |= {"std": x.std(ddof=1), "low": low, "high": high}
    return found


def bca(values: Floats, level: float) -> Numbers:
    """BCa bootstrap of the mean (Efron 1987), from 100,000 resamples; the report draws 2,000."""
    n, mean = len(values), values.mean()
    drawn = np.random.default_rng(5).choice(values, (100_000, n)).mean(axis=1)
    bias = stats.norm.ppf((np.mean(drawn < mean) + np.mean(drawn <= mean)) / 2)
    without = np.array([np.delete(values, place).mean() for place in range(n)])
    away = without.mean() - without
    pull = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    ends = {}
    for name, share in (("low", (1 - level) / 2), ("high", (1 + level) / 2)):
        z = bias + stats.norm.ppf(share)
        at = stats.norm.cdf(bias + z / (1 - pull * z))
        # A quantile of 2,000 draws, at a place that hangs on the bias, which is a share of them too.
        density = stats.norm.pdf(stats.norm.ppf(at))
        error = math.sqrt(at * (1 - at) / 2000) / density + 2 * math.sqrt(0.25 / 2000) / stats.norm.pdf(0)
        ends[name] = Near(float(np.quantile(drawn, at)), 4.5 * error * float(drawn.std()))
    return {"value": mean, "level": level, **ends}


# One configuration against its baseline


@dataclass(frozen=True)
class Contrast:
    """What the linear model says of an arm; the difference by least squares, in the metric's unit."""

    is_blocked: bool
    difference: float
    error: float
    df: float
    base_error: float

    @property
    def p(self) -> float:
        return float(2 * stats.t.sf(abs(self.difference) / self.error, self.df))


def fit_model(base: Runs, arms: Sequence[Runs]) -> list[Contrast]:
    """value ~ arm + seed (or value ~ arm) by dummies and the hat matrix; each arm against the first.

    An arm's variance is its share of the squared residuals over its share of their degrees of freedom, drawn towards
    the pooled one by as many degrees of freedom as Smyth (2004) gives, taken one standard error fewer; the baseline's
    is its own. Degrees of freedom are Satterthwaite's.
    """
    groups = [base, *arms]
    planned = [set(one.values) for one in groups]
    blocked = any(planned[0] <= one or len(planned[0] & one) >= 5 for one in planned[1:])
    rows = [(arm, seed, value) for arm, one in enumerate(groups) for seed, value in one.there.items()]
    seeds = sorted({seed for _, seed, _ in rows})
    dummies = [[float(arm == one) for one in range(len(groups))] for arm, _, _ in rows]
    if blocked:
        of_seed = [[float(seed == one) for one in seeds[1:]] for _, seed, _ in rows]
        dummies = [[*one, *other] for one, other in zip(dummies, of_seed, strict=True)]
    x, y, arm_of = np.array(dummies), np.array([value for *_, value in rows]), np.array([arm for arm, *_ in rows])
    solve = np.linalg.pinv(x)
    residual, free_of_run = y - x @ (solve @ y), 1 - np.diagonal(x @ solve)
    free = np.array([free_of_run[arm_of == arm].sum() for arm in range(len(groups))])
    variance = np.array([(residual[arm_of == arm] ** 2).sum() for arm in range(len(groups))]) / free
    drawn, prior = moderated(variance[1:], free[1:])
    of_run = np.array([variance[0], *drawn])[arm_of]
    found = []
    for arm in range(1, len(groups)):
        weights = solve[arm] - solve[0]
        parts = weights**2 * of_run
        own, bases = parts[arm_of == arm].sum(), parts[arm_of == 0].sum()
        others = parts.sum() - own - bases
        df = parts.sum() ** 2 / (own**2 / (prior + free[arm]) + bases**2 / free[0] + others**2 / free.sum())
        found.append(
            Contrast(blocked, float(weights @ y), math.sqrt(parts.sum()), min(df, free.sum()), math.sqrt(bases))
        )
    return found


def moderated(variances: Floats, free: Floats) -> tuple[Floats, float]:
    """Variances drawn towards their pooled value, and how many degrees of freedom that counts for."""
    pooled = (variances * free).sum() / free.sum()
    # The logarithm of a variance of normal values is that of a gamma variable: its moments are known.
    logs = np.log(np.maximum(variances, 1e-9 * pooled)) - special.digamma(free / 2) + np.log(free / 2)
    chance = np.mean([special.polygamma(1, d / 2) for d in free])
    fourth = np.mean([special.polygamma(3, d / 2) for d in free])
    count = len(free)
    more = np.var(logs, ddof=1) - chance + math.sqrt(fourth / count + 2 * chance**2 / (count - 1))
    wanted = max(more, 1e-6)
    prior = 2 * optimize.brentq(lambda half: special.polygamma(1, half) - wanted, 1e-6, 1e9, xtol=1e-14, rtol=1e-14)
    return (prior * pooled + free * variances) / (prior + free), prior


def pairs_of(ours: Runs, base: Runs) -> list[tuple[float, float]]:
    """Values of both sides by shared seed, where the planned seeds of one side are all among the other's."""
    mine, theirs = set(ours.values), set(base.values)
    if not (mine <= theirs or theirs <= mine):
        return []
    there = base.there
    pairs = [(value, there[seed]) for seed, value in ours.there.items() if seed in there]
    return pairs if len(pairs) > 1 else []


def are_steady(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether three and more pairs all differ by the same although the runs vary."""
    ours, base = np.array(pairs).T
    return len(pairs) > 2 and np.ptp(ours - base) <= 1e-9 * max(np.ptp(ours), np.ptp(base))


def varies(ours: Floats, base: Floats) -> bool:
    """Whether there is a spread to test by."""
    spread = max(ours.std(ddof=1), base.std(ddof=1))
    return bool(spread > ROUNDING * max(abs(ours.mean()), abs(base.mean())))


def contrasts_of(family: Sequence[tuple[Runs, Runs]]) -> list[Contrast | None]:
    """One model for each baseline and what shares seeds with it, where that is two and more."""
    found: list[Contrast | None] = [None] * len(family)
    for base in {id(base): base for _, base in family}.values():
        sharing = [place for place, (ours, one) in enumerate(family) if one is base and pairs_of(ours, base)]
        arms = [
            place for place in sharing
            if not are_steady(pairs_of(family[place][0], base)) and varies(family[place][0].array, base.array)
        ]  # fmt: skip
        if len(arms) > 1:
            fitted = fit_model(base, [family[place][0] for place in arms])
            widest = max(np.ptp(one.array) for one in (base, *(family[place][0] for place in arms)))
            if max(one.error for one in fitted) > 1e-9 * widest:
                for place, contrast in zip(arms, fitted, strict=True):
                    found[place] = contrast
    return found


FIELDS = (
    "reference", "difference", "low", "high", "relative_percent", "relative_low", "relative_high", "difference_of_all",
    "mean_of_all", "error", "t", "df", "p", "cohens_d", "z", "p_welch", "p_paired", "p_rank", "p_permutation",
    "p_smallest", "p_equivalence", "p_adjusted", "p_equivalence_adjusted", "d", "hedges_g", "cliffs_delta",
    "improvement", "aso",
)  # fmt: skip
"""Numbers of a comparison that may be missing."""


def compare(ours: Runs, base: Runs, contrast: Contrast | None, plan: Plan, *, sized: bool) -> Numbers:
    """Every number of one row of the comparison, before adjustment; of the sizes all, or what readings tell."""
    pairs, every, all_base = pairs_of(ours, base), ours.array, base.array
    found: Numbers = dict.fromkeys(FIELDS)
    found |= {"n": len(every), "n_baseline": len(all_base), "pairs": 0}
    found["mean_of_all"] = all_base.mean() if len(all_base) else None
    is_shifted = contrast is not None and contrast.is_blocked and set(ours.there) != set(base.there)
    by_pairs = contrast.is_blocked if contrast else len(pairs) >= 5 or (bool(pairs) and are_steady(pairs))
    x, y = every, all_base
    if is_shifted and contrast is not None:
        x = every + contrast.difference - (every.mean() - all_base.mean())
    elif pairs and by_pairs:
        x, y = np.array(pairs).T
        found["pairs"] = len(pairs)
    if not len(x) or not len(y):
        return found
    found |= {"reference": y.mean(), "difference": x.mean() - y.mean()}
    if found["pairs"] or is_shifted:
        found["difference_of_all"] = every.mean() - all_base.mean()
    if len(all_base) > 1 and all_base.std(ddof=1) > ROUNDING * abs(all_base.mean()):
        found["z"] = abs(found["difference"]) / all_base.std(ddof=1)
    if len(x) > 1 and len(y) > 1 and varies(x, y):
        found |= tested(x, y, bool(found["pairs"]), plan)
        found |= sizes_of(x, y, plan) if sized else {"improvement": {"value": improvement(x, y, plan.goal)}}
        if contrast:
            found |= by_model(found, contrast, all_base, plan)
    for name, of in (("relative_percent", "difference"), ("relative_low", "low"), ("relative_high", "high")):
        if found[of] is not None and abs(y.mean()) > ROUNDING * np.abs(y).max():
            found[name] = 100 * found[of] / abs(y.mean())
    return found


def tested(x: Floats, y: Floats, paired: bool, plan: Plan) -> Numbers:
    """The tests of two sides by themselves."""
    welch = welchs(x, y)
    found = {"p_welch": welch.pvalue, **by_arrangements(x, y, paired)}
    if paired and are_steady(list(zip(x, y, strict=True))):
        is_none = np.abs(x - y).max() <= 1e-9 * max(x.std(ddof=1), y.std(ddof=1))
        return found | {"p": 1.0 if is_none else 2.0 ** (1 - len(x))}
    test = stats.ttest_rel(x, y) if paired else welch
    ends = test.confidence_interval(plan.level)
    found |= {"t": test.statistic, "df": test.df, "p": test.pvalue, "low": ends.low, "high": ends.high}
    found["error"] = (x.mean() - y.mean()) / test.statistic
    if paired:
        found["p_paired"] = test.pvalue
    if plan.margin is not None:
        # Equivalent: above (1 − margin) and below (1 + margin) times the baseline, as lengths on its own side of 0.
        sign = np.sign(y.mean())
        less, more = (1 - plan.margin) * sign * y, (1 + plan.margin) * sign * y
        one: Any = stats.ttest_rel if paired else welchs
        found["p_equivalence"] = max(
            one(sign * x, less, alternative="greater").pvalue, one(sign * x, more, alternative="less").pvalue
        )
    return found


def welchs(x: Floats, y: Floats, **way: Any) -> Any:
    """scipy's; where one side does not vary, which it warns of, the other side's variance carries the test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        return stats.ttest_ind(x, y, equal_var=False, **way)


def by_model(found: Numbers, contrast: Contrast, base: Floats, plan: Plan) -> Numbers:
    """The model's test in the place of that of the two sides."""
    difference, error = contrast.difference, contrast.error
    half = stats.t.ppf((1 + plan.level) / 2, contrast.df) * error
    told = {"error": error, "t": difference / error, "df": contrast.df, "p": contrast.p,
            "low": difference - half, "high": difference + half}  # fmt: skip
    if plan.margin is not None:
        mean, m = found["reference"], plan.margin
        # Var(D ∓ m·B): the baseline's mean B is in the difference D with a minus, so it counts with both.
        of_margin, common = m**2 * base.var(ddof=1) / len(base), 2 * m * np.sign(mean) * contrast.base_error**2
        errors = {side: math.sqrt(error**2 + of_margin + side * common) for side in (1, -1)}
        told["p_equivalence"] = max(
            stats.t.cdf((side * difference - m * abs(mean)) / one, contrast.df) for side, one in errors.items()
        )
    return told


def by_arrangements(x: Floats, y: Floats, paired: bool) -> Numbers:
    """Rank and permutation tests, by going through every arrangement where there are at most 2,000."""
    n, m = len(x), len(y)
    count = 2**n if paired else math.comb(n + m, n)
    if count > MOST_ARRANGEMENTS:
        test = stats.wilcoxon(x, y, zero_method="pratt") if paired else stats.mannwhitneyu(x, y)
        return {"p_rank": test.pvalue}
    if paired:
        signed = np.sign(x - y) * stats.rankdata(np.abs(x - y))
        ranked, permuted = (
            [sum(sign * abs(one) for sign, one in zip(signs, of, strict=True)) for signs in product((1, -1), repeat=n)]
            for of in (signed, x - y)
        )
        told = signed.sum(), (x - y).sum()
    else:
        every = np.concatenate([x, y])
        ranks = stats.rankdata(every)
        ranked, permuted = ([sum(of[list(one)]) for one in combinations(range(n + m), n)] for of in (ranks, every))
        told = ranks[:n].sum(), x.sum()
    ps = [two_sided(np.array(arranged), one) for arranged, one in zip((ranked, permuted), told, strict=True)]
    return {"p_rank": ps[0], "p_permutation": ps[1], "p_smallest": min(1.0, 2 / count)}


def two_sided(arranged: Floats, told: float) -> float:
    """Twice the smaller share of arrangements at least as far on one side."""
    slack = 1e-9 * max(1e-300, float(np.abs(arranged).max()))
    return min(1.0, 2 * min(float(np.mean(arranged >= told - slack)), float(np.mean(arranged <= told + slack))))


# Sizes


def sizes_of(x: Floats, y: Floats, plan: Plan) -> Numbers:
    """Cohen's d (Bonett 2008), Hedges' g (noncentral t), Cliff's delta and improvement (Newcombe 2006), ASO."""
    n, m, level = len(x), len(y), plan.level
    z = stats.norm.ppf((1 + level) / 2)
    vx, vy = x.var(ddof=1), y.var(ddof=1)
    square = (vx + vy) / 2
    d = (x.mean() - y.mean()) / math.sqrt(square)
    half = z * math.sqrt(
        d**2 * (vx**2 / (n - 1) + vy**2 / (m - 1)) / (8 * square**2) + (vx / (n - 1) + vy / (m - 1)) / square
    )
    pooled = math.sqrt(((n - 1) * vx + (m - 1) * vy) / (n + m - 2))
    unit = math.sqrt(1 / n + 1 / m)
    t = (x.mean() - y.mean()) / pooled / unit
    low, high = (noncentrality_of_t(t, n + m - 2, share) for share in ((1 + level) / 2, (1 - level) / 2))
    share = improvement(x, y, "max")
    least, most = newcombe(share, [(n, m)], z)
    better = (share, least, most) if plan.goal == "max" else (1 - share, 1 - most, 1 - least)
    return {
        "cohens_d": d,
        "d": effect(d, d - half, d + half),
        "hedges_g": effect((1 - 3 / (4 * (n + m) - 9)) * t * unit, *(of_cdflib(end * unit) for end in (low, high))),
        "cliffs_delta": effect(*(2 * one - 1 for one in (share, least, most))),
        "improvement": effect(*better),
        "aso": almost_order(x, y, plan) if min(n, m) > 2 else None,
    }


def improvement(x: Floats, y: Floats, goal: str) -> float:
    """Share of pairs in which the configuration's run is the better one, ties half."""
    more = float(np.mean([(a > b) + (a == b) / 2 for a in x for b in y]))
    return more if goal == "max" else 1 - more


def effect(value: float, low: float | Near, high: float | Near) -> Numbers:
    return {"value": value, "low": low, "high": high}


def of_cdflib(value: float) -> Near:
    """An end that the report inverts with cdflib, which stops where the coverage is right to a millionth."""
    return Near(value, 1e-5 * abs(value))


def noncentrality_of_t(t: float, df: int, share: float) -> float:
    """Noncentrality at which a share of the noncentral t lies below t."""
    far = 10 + 10 * abs(t)
    # Mirrored where t < 0: the tail that scipy computes well is the other one.
    sign, share = (1, share) if t >= 0 else (-1, 1 - share)
    return float(sign * optimize.brentq(lambda at: below_t(abs(t), df, at) - share, -far, far, xtol=1e-12))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def below_t(t: float, df: float, noncentrality: Any) -> Any:
    """Distribution function of the noncentral t: a normal value over the root of a chi-square, averaged over the root.

    scipy's gives NaN far from the middle.
    """
    low, high = stats.chi.ppf(1e-17, df), stats.chi.isf(1e-17, df)
    roots = (low + high) / 2 + (high - low) / 2 * _NODES
    weights = (high - low) / 2 * _WEIGHTS * stats.chi.pdf(roots, df)
    return special.ndtr(t * roots / math.sqrt(df) - np.asarray(noncentrality)[..., None]) @ weights


def newcombe(share: float, sizes: Sequence[tuple[int, int]], quantile: float) -> tuple[float, float]:
    """Ends of the score interval of a share of pairs, averaged over systems (one for a single comparison)."""
    count = len(sizes)

    def beyond(at: float) -> float:
        variance = sum(
            at * (1 - at) * (1 + ((n + m) / 2 - 1) * ((1 - at) / (2 - at) + at / (1 + at))) / (n * m) for n, m in sizes
        )
        return (share - at) ** 2 - quantile**2 * variance / count**2

    # At 0 and 1 there is no variance: the share itself is a root there, and not the end that is looked for.
    inside = 1e-12
    low = optimize.brentq(beyond, 0.0, min(share, 1 - inside), xtol=1e-14) if share > 0 else 0.0
    high = optimize.brentq(beyond, max(share, inside), 1.0, xtol=1e-14) if share < 1 else 1.0
    return low, high


def violation(x: Floats, y: Floats, goal: str) -> Floats:
    """Violation ratio of samples along the last axis: quantile functions on a grid that both jump on."""
    n, m = x.shape[-1], y.shape[-1]
    steps = math.lcm(n, m)
    ours, base = (np.repeat(np.sort(one, axis=-1), steps // one.shape[-1], axis=-1) for one in (x, y))
    squares = (ours - base) ** 2
    worse = ours > base if goal == "min" else ours < base
    whole = squares.sum(axis=-1)
    return np.where(whole > 0, (squares * worse).sum(axis=-1) / np.where(whole > 0, whole, 1.0), 0.5)


def almost_order(x: Floats, y: Floats, plan: Plan) -> Numbers:
    """ε, and ε + z · s with s over every resample of both sides, or over 20,000 where these are too many."""
    n, m = len(x), len(y)
    ways = math.comb(2 * n - 1, n) * math.comb(2 * m - 1, m)
    if ways <= 20_000:
        (mine, p), (theirs, q) = every_resample(n), every_resample(m)
        found = violation(x[mine][:, None, :], y[theirs][None, :, :], plan.goal).ravel()
        chances = np.outer(p, q).ravel()
    else:
        rng = np.random.default_rng(3)
        found = violation(rng.choice(x, (20_000, n)), rng.choice(y, (20_000, m)), plan.goal)
        chances = np.full(len(found), 1 / len(found))
    away = found - found @ chances
    second, fourth = float(away**2 @ chances), float(away**4 @ chances)
    value, z = float(violation(x, y, plan.goal)), float(stats.norm.ppf(plan.level))
    bound = float(np.clip(value + z * math.sqrt(second), 0, 1))
    # Of a standard deviation over 500 draws, and over ours where they are draws.
    draws = 0.0 if ways <= 500 else 1 / 500 + (1 / 20_000 if ways > 20_000 else 0.0)
    error = math.sqrt(max(0.0, fourth - second**2) * draws) / (2 * math.sqrt(second)) if second else 0.0
    return {"violation": value, "bound": Near(bound, 4.5 * z * error) if draws else bound}


def every_resample(n: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Every different resample of n runs, and its chance."""
    drawn = list(combinations_with_replacement(range(n), n))
    ways = [math.factorial(n) / math.prod(math.factorial(one.count(each)) for each in set(one)) for one in drawn]
    return np.array(drawn), np.array(ways) / n**n


# A family of comparisons


def compare_family(
    family: Sequence[tuple[Runs, Runs]], plan: Plan, *, modelled: bool = True, sized: bool = True
) -> list[Numbers]:
    """Every number of every comparison, adjusted over all of them."""
    contrasts = contrasts_of(family) if modelled else [None] * len(family)
    found = [compare(*pair, contrast, plan, sized=sized) for pair, contrast in zip(family, contrasts, strict=True)]
    for name in ("p", "p_equivalence"):
        for one, p in zip(found, adjusted([one[name] for one in found], plan.correction), strict=True):
            one[f"{name}_adjusted"] = p
    return found


def tested_word(one: Numbers, level: float) -> str:
    """EQUIVALENT, INCONCLUSIVE, DIFFERENT or nothing."""
    if one["p_adjusted"] is None:
        return ""
    if one["p_equivalence_adjusted"] is not None and one["p_equivalence_adjusted"] < level:
        return "EQUIVALENT"
    return "INCONCLUSIVE" if one["p_adjusted"] >= level else "DIFFERENT"


def further_seeds(one: Numbers, alpha: float, margin: float | None) -> tuple[int | None, int | None]:
    """Further runs on both sides for a verdict with a chance of 80 %: as measured, and for any true difference.

    The power of the t test of as many degrees of freedom a run as now, averaged over eight quantiles of what the true
    spread may be; of equivalence from below. Alpha is shared among the open comparisons by the caller.
    """
    sides = [one["pairs"]] * 2 if one["pairs"] else [one["n"], one["n_baseline"]]
    now = min(sides)
    if one["df"] is None:
        same = next(k for k in range(1, 1000) if 2.0 ** (1 - now - k) < alpha) if one["p"] < 1 else None
        return same, None
    unit, slope = one["error"] * math.sqrt(now), one["df"] / (now - 1)
    free = max(1, round(one["df"]))
    spreads = np.sqrt(free / stats.chi2.isf((np.arange(8) + 0.5) / 8, free))
    effect_size, width = abs(one["difference"]) / unit, (margin or 0.0) * abs(one["reference"]) / unit

    def enough(size: float, runs: int) -> bool:
        df, errors = slope * (runs - 1), spreads / math.sqrt(runs)
        chances = 1 - below_t(stats.t.isf(alpha / 2, df), df, size / errors)
        if size < width and chances.mean() < 0.8:
            bound = stats.t.isf(alpha, df)
            both = 1 - sum(below_t(bound, df, (width + sign * size) / errors) for sign in (1, -1))
            chances = np.maximum(chances, both)
        return bool(chances.mean() >= 0.8)

    def fewest(size: float, above: int) -> int | None:
        high = above + 1
        while not enough(size, high):
            if high > 1000:
                return None
            above, high = high, 2 * high
        while high - above > 1:
            middle = (above + high) // 2
            above, high = (above, middle) if enough(size, middle) else (middle, high)
        return high if high <= 1000 else None

    likely = fewest(effect_size, now)
    whatever = likely if width else None
    for share in np.linspace(0, 1, 21) if whatever else ():
        if whatever:
            whatever = fewest(float(share) * width, whatever - 1)
    return tuple(None if runs is None else runs - now for runs in (likely, whatever))  # type: ignore[return-value]


def rule_alarm(one: Numbers) -> float | Near | None:
    """Chance that the 2σ rule calls one of two equal configurations, for normal values, by integration."""
    if one["z"] is None:
        return None
    n, m = one["pairs"] or one["n"], one["n_baseline"]
    unit, df = math.sqrt(1 / n + 1 / m), m - 1
    if not 0 < one["pairs"] < m:
        return float(2 * stats.t.sf(2 / unit, df))
    if df == 1:
        # On a line the direction is one of two.
        most = math.sqrt(1 / n - 1 / m)
        return float(stats.t.sf((2 - most) / unit, df) + stats.t.sf((2 + most) / unit, df))
    half, most = (df - 1) / 2, math.sqrt((1 / n - 1 / m) * df)
    # One coordinate u of a random direction in df dimensions: (1 + u) / 2 is Beta; on a circle it is a cosine.
    chance, _ = integrate.quad(
        lambda angle: math.sin(angle) ** (2 * half - 1)
        * (stats.t.sf((2 - most * math.cos(angle)) / unit, df) + stats.t.sf((2 + most * math.cos(angle)) / unit, df)),
        0, math.pi,
    )  # fmt: skip
    whole, _ = integrate.quad(lambda angle: math.sin(angle) ** (2 * half - 1), 0, math.pi)
    return Near(chance / whole, 1e-4 * chance / whole)  # the report has a sum over 400 places


# Readings of what is missing


def readings(family: Sequence[tuple[Runs, Runs]], found: Sequence[Numbers], plan: Plan) -> list[list[Numbers] | None]:
    """The readings of every comparison from which something is missing, in the report's order."""
    every = np.concatenate([one.array for pair in family for one in pair])
    worst, best = (every.max(), every.min()) if plan.goal == "min" else (every.min(), every.max())
    behind = worst + (1 if plan.goal == "min" else -1) * (1 + abs(worst))

    def failed_last(runs: Runs) -> Runs:
        return runs.changed({seed: behind if seed in runs.failed else v for seed, v in runs.values.items()})

    def filled(runs: Runs, put: float) -> Runs:
        told = {s: v if math.isfinite(v) else worst if s in runs.lost else put for s, v in runs.values.items()}
        return runs.changed(told)

    def with_altered(runs: Runs) -> Runs:
        return runs.changed({**runs.values, **runs.altered})

    ways = {
        "treat": (failed_last, failed_last),
        "worst": (lambda one: filled(one, worst), lambda one: filled(one, best)),
        "best": (lambda one: filled(one, best), lambda one: filled(one, worst)),
        "altered": (with_altered, with_altered),
    }
    gone = [len(ours.there) < len(ours.values) or len(base.there) < len(base.values) for ours, base in family]
    read = {"protocol": list(found)}
    for name, (of_ours, of_base) in ways.items():
        bases = {id(base): of_base(base) for (_, base), is_gone in zip(family, gone, strict=True) if is_gone}
        sides = [
            (of_ours(ours), bases[id(base)]) if is_gone else (ours, bases.get(id(base), base))
            for (ours, base), is_gone in zip(family, gone, strict=True)
        ]
        again = compare_family(sides, plan, modelled=name != "treat", sized=False)
        read[name] = [new if is_gone else old for new, old, is_gone in zip(again, found, gone, strict=True)]
    told: list[list[Numbers] | None] = []
    for place, (pair, is_gone) in enumerate(zip(family, gone, strict=True)):
        names = [("protocol", False)]
        names += [("protocol", True), ("treat", True)] if any(one.failed for one in pair) else []
        names += [("worst", False), ("best", False)]
        names += [("altered", False)] if any(one.altered for one in pair) else []
        told.append([_reading(read[name], place, by_rank, plan) for name, by_rank in names] if is_gone else None)
    return told


def _reading(family: Sequence[Numbers], place: int, by_rank: bool, plan: Plan) -> Numbers:
    one = family[place]
    ps = adjusted([each["p_rank" if by_rank else "p"] for each in family], plan.correction)
    sides = (one["pairs"], one["pairs"]) if one["pairs"] else (one["n"], one["n_baseline"])
    return {
        "n": sides[0],
        "n_baseline": sides[1],
        "relative_percent": None if by_rank else one["relative_percent"],
        "improvement": one["improvement"]["value"] if one["improvement"] else None,
        "p_adjusted": ps[place],
    }


# The best of many


def selection(samples: Mapping[int, Sequence[float]], goal: str, level: float) -> Numbers | None:
    """The best mean corrected for having been chosen, and how firm ranks are (by 20,000 repetitions).

    Args:
        samples: Number of a configuration → its runs in the same order of seeds, NaN without a value.
        goal: ``min`` or ``max``.
        level: Share of repetitions that ranges of ranks hold.
    """
    sign = 1 if goal == "min" else -1
    numbers = [number for number, one in samples.items() if np.isfinite(one).any()]
    if len(numbers) < 2:
        return None
    runs = sign * np.array([samples[number] for number in numbers], dtype=np.float64)
    means, counts = np.nanmean(runs, axis=1), np.isfinite(runs).sum(axis=1)
    chosen = int(np.argmin(means))
    near = without_wild(runs)
    several = near[np.isfinite(near).sum(axis=1) > 1]
    told = []
    for column in range(runs.shape[1] if len(several) > 1 else 0):
        others = np.delete(several, column, axis=1)
        there = np.isfinite(others).any(axis=1)
        first = int(np.argmin(np.where(there, np.nanmean(np.where(there[:, None], others, 0.0), axis=1), np.inf)))
        told += [several[first, column]] if math.isfinite(several[first, column]) else []
    found: Numbers = dict.fromkeys(("held_out", "optimism", "optimism_low", "optimism_high"))
    found |= {"chosen": numbers[chosen], "of": len(numbers), "apparent": sign * means[chosen], "level": level}
    found |= {"folds": len(told), "wild": int(counts.sum() - np.isfinite(near).sum()), "ranks": []}
    if told:
        flattery = float(np.mean(told)) - float(np.nanmean(near, axis=1).min())
        free = (np.isfinite(several).sum(axis=1) - 1).astype(float)
        pooled = float((np.nanvar(several, axis=1, ddof=1) * free).sum() / free.sum())
        half = stats.t.ppf((1 + level) / 2, free.sum()) * math.sqrt(2 * pooled / counts[chosen])
        found |= {"held_out": sign * float(np.mean(told)), "optimism": flattery}
        found |= {"optimism_low": flattery - half, "optimism_high": flattery + half}
    if counts.min() >= 3:
        found["ranks"] = ranks_of(runs, sign, numbers, level)
    return found


def without_wild(runs: Floats) -> Floats:
    """NaN for runs 8 times as far from their median as runs usually are, here or in their own configuration."""
    away = np.abs(runs - np.nanmedian(runs, axis=1, keepdims=True))

    def lower_median(of: Floats) -> float:
        there = np.sort(of[of > 0])
        return float(there[(len(there) - 1) // 2]) if len(there) else 0.0

    own = np.array([lower_median(row) if np.isfinite(row).sum() > 2 else 0.0 for row in away])
    far = 8 * np.maximum(lower_median(away), own)[:, None]
    return np.where((away > far) & (far > 0), np.nan, runs)


def ranks_of(runs: Floats, sign: int, numbers: Sequence[int], level: float) -> list[Numbers]:
    """The first ten by mean, with the ranges of their ranks over repetitions with as many new runs."""
    means, counts, k = np.nanmean(runs, axis=1), np.isfinite(runs).sum(axis=1), len(runs)
    whole = bool(np.isfinite(runs).all())
    # What the runs of a seed have in common is taken out: of the rest, one k-th is in the mean that was taken off.
    spread = np.nanstd(runs - runs.mean(axis=0) if whole else runs, axis=1, ddof=1)
    spread *= math.sqrt(k / (k - 1)) if whole else 1.0
    values = sign * runs[np.isfinite(runs)]
    low, high = (0.0, 1.0 if values.max() <= 1 else 100.0 if values.max() == 100 else math.inf)
    low, high = (low, high) if values.min() >= 0 else (-math.inf, math.inf)
    drawn = means + np.random.default_rng(9).standard_t(counts - 1, (20_000, k)) * spread * np.sqrt(2 / counts)
    drawn = sign * np.clip(sign * drawn, low, high)
    rank = np.array([(drawn < drawn[:, [one]]).sum(axis=1) + 1 for one in range(k)])
    is_first = rank == 1
    first = (is_first / is_first.sum(axis=0)).mean(axis=1)
    told = []
    for one in np.argsort(means, kind="stable")[:10]:
        error = math.sqrt(max(first[one] * (1 - first[one]), 0.001) * (1 / 1000 + 1 / 20_000))
        ends = {}
        for name, share in (("low", (1 - level) / 2), ("high", (1 + level) / 2)):
            slack = 4.5 * math.sqrt(share * (1 - share) / 1000)
            least, most = np.quantile(rank[one], [max(0.0, share - slack), min(1.0, share + slack)])
            ends[name] = Near((least + most) / 2, (most - least) / 2)
        place = int(1 + (means < means[one]).sum())
        told.append({"place": numbers[one], "rank": place, "first": Near(float(first[one]), 4.5 * error), **ends})
    return told


def second_look(first: int, further: int, alpha: float) -> Numbers:
    """Level and error of the 2σ rule for one arm whose seeds, and its baseline's, come in two looks (60,000 played).

    Below 5 pairs the test is Welch's, from 5 on the paired one; whoever lies within 2σ gets the further seeds.
    """
    count, told = 60_000, 100_000
    rng = np.random.default_rng(17)
    x, y = rng.standard_normal((2, count, first + further))

    def look(n: int) -> tuple[Floats, Floats]:
        z = np.abs(x[:, :n].mean(axis=1) - y[:, :n].mean(axis=1)) / y[:, :n].std(axis=1, ddof=1)
        ours, base = x[:, :n], y[:, :n]
        test = stats.ttest_rel(ours, base, axis=1) if n >= 5 else stats.ttest_ind(ours, base, axis=1, equal_var=False)
        return z, test.pvalue

    (early, p), (late, q) = look(first), look(first + further)
    decided = np.where(early >= 2, p, q)
    rule = float(np.mean((early >= 2) | (late >= 2)))
    level = min(alpha, float(np.quantile(decided, alpha)))
    both = math.sqrt(1 / count + 1 / told)
    error = math.sqrt(rule * (1 - rule)) * both
    return {"level": Near(level, 4.5 * math.sqrt(alpha * (1 - alpha)) * both), "alarm": Near(rule, 4.5 * error)}


# What the parameters do


def importance(
    columns: Mapping[str, Sequence[Any]], configuration: Sequence[int], values: npt.ArrayLike, plan: Plan,
    blocks: Sequence[str] = (), *, has_zero: bool = True,
) -> Numbers | None:  # fmt: skip
    """Analysis of variance over the runs, type II, ω² with Steiger's interval, and what each value does.

    Args:
        columns: Parameter → value of every run.
        configuration: Number of every run's configuration.
        values: NaN without a value.
        plan: Goal and coverage.
        blocks: Systems, whose own effect was taken out of the values.
        has_zero: Whether percentages mean something.
    """
    told_values = np.asarray(values, dtype=np.float64)
    keep = np.isfinite(told_values)
    y, groups = told_values[keep], np.asarray(configuration)[keep]
    codes, names_of, is_cut = {}, {}, False
    for name, column in columns.items():
        told = [one for one, kept in zip(column, keep, strict=True) if kept]
        is_number = all(isinstance(one, int | float) and not isinstance(one, bool) for one in told)
        different = sorted(set(told)) if is_number else list(dict.fromkeys(told))
        if len(different) > 12:
            # Four parts of equal counts; what they are called is a text.
            is_cut, edges = True, np.quantile(told, (0.25, 0.5, 0.75))
            told = [f"part {sum(one > edge for edge in edges)}" for one in told]
            different = sorted(set(told))
        if len(different) > 1:
            names_of[name], codes[name] = different, np.array([different.index(one) for one in told])
    for name in sorted(codes, key=lambda one: (one in blocks, len(names_of[one]), -list(columns).index(one))):
        # What another parameter settles is that parameter's.
        others = [other for other in codes if other != name]
        if any(
            len(set(zip(codes[one].tolist(), codes[name].tolist(), strict=True))) == len(names_of[one])
            for one in others
        ):
            del codes[name], names_of[name]
    if not codes or len(y) <= 1 + sum(len(one) - 1 for one in names_of.values()) or np.ptp(y) == 0:
        # Nothing can be told; what varied in the plan and not among the values is named all the same.
        is_named = any(name not in codes and len(set(map(repr, column))) > 1 for name, column in columns.items())
        nothing: Numbers = {"runs": len(y), "noise": None, "level": plan.level, "parameters": [], "interactions": []}
        return nothing if is_named else None
    # Effects as deviations from their mean: the last level is minus all others.
    coded = {
        name: np.vstack([np.eye(len(names_of[name]) - 1), -np.ones(len(names_of[name]) - 1)])[code]
        for name, code in codes.items()
    }

    def left(*blocks_of: Floats) -> tuple[float, int]:
        x = np.column_stack([np.ones(len(y)), *blocks_of])
        told, _, rank, _ = np.linalg.lstsq(x, y, rcond=1e-10)
        return float(((y - x @ told) ** 2).sum()), int(rank)

    main, rank = left(*coded.values())
    within = sum(float(((y[groups == one] - y[groups == one].mean()) ** 2).sum()) for one in set(groups.tolist()))
    repeats = len(y) - len(set(groups.tolist()))
    by_repeats = repeats >= 3 and not is_cut
    rest, df = (within, repeats) if by_repeats else (main, len(y) - rank)
    total, variance = float(((y - y.mean()) ** 2).sum()), rest / df

    def share(squares: float, of: int) -> Numbers:
        told = min(1.0, max(0.0, (squares - of * variance) / (total + variance)))
        if not of or not variance:
            return {"share": told, "low": told, "high": told, "p": None}
        f = squares / of / variance
        others = max(0.0, (total - squares) / variance - (len(y) - 1 - of)) + len(y)
        low, high = (noncentrality_of_f(f, of, df, part) for part in ((1 + plan.level) / 2, (1 - plan.level) / 2))
        return {"share": told, "low": min(told, low / (low + others)), "high": max(told, high / (high + others)),
                "p": stats.f.sf(f, of, df)}  # fmt: skip

    shares = {}
    for name in coded:
        without, fewer = left(*(one for other, one in coded.items() if other != name))
        shares[name] = share(without - main, rank - fewer)
    order = sorted(coded, key=lambda name: (-shares[name]["share"], list(coded).index(name)))
    parameters = [
        {"name": name, **shares[name], **level_means(name, coded, names_of[name], codes[name], y, variance, df, plan)}
        for name in order if name not in blocks
    ]  # fmt: skip
    for one in parameters:
        one["improvement_percent"] = one["improvement_percent"] if has_zero else None
    interactions = []
    for first, second in combinations([name for name in coded if name in order[:8]], 2) if by_repeats else ():
        both = np.column_stack([one * other for one in coded[first].T for other in coded[second].T])
        more, bigger = left(*coded.values(), both)
        if bigger > rank:
            cells = [
                [one, other, y[mine].mean()]
                for one, other in product(range(len(names_of[first])), range(len(names_of[second])))
                if (mine := (codes[first] == one) & (codes[second] == other)).any()
            ]
            interactions.append({"names": (first, second), **share(main - more, bigger - rank), "cells": cells})
    every = [*parameters, *interactions]
    for one, p in zip(every, adjusted([one["p"] for one in every], "holm"), strict=True):
        one["p_adjusted"] = p
    interactions.sort(key=lambda one: (-one["share"], one["names"]))
    noise = min(1.0, within / repeats / (total / (len(y) - 1))) if repeats else None
    return {"runs": len(y), "noise": noise, "level": plan.level, "parameters": parameters, "interactions": interactions}


def noncentrality_of_f(f: float, of: int, df: int, part: float) -> float:
    """Noncentrality at which a part of the noncentral F lies below f."""
    if stats.f.cdf(f, of, df) <= part:
        return 0.0
    high = 10.0 + 2 * of * f
    while stats.ncf.cdf(f, of, df, high) > part:
        high *= 2
    return float(optimize.brentq(lambda at: stats.ncf.cdf(f, of, df, at) - part, 0, high, xtol=1e-12, rtol=1e-13))


def level_means(
    name: str, coded: Mapping[str, Floats], told: Sequence[Any], code: npt.NDArray[np.int64], y: Floats,
    variance: float, df: int, plan: Plan,
) -> Numbers:  # fmt: skip
    """Mean of each value with the other parameters held equal, and how the best stands out from the others."""
    x = np.column_stack([np.ones(len(y)), *coded.values()])
    inverse = np.linalg.pinv(x.T @ x)
    coefficients = inverse @ x.T @ y
    start = 1 + sum(one.shape[1] for one in list(coded.values())[: list(coded).index(name)])
    rows = []
    for place in range(len(told)):
        row = np.zeros(x.shape[1])
        row[0] = 1
        width = len(told) - 1
        row[start : start + width] = np.eye(width)[place] if place < width else -1
        rows.append(row)
    means = [float(row @ coefficients) for row in rows]
    halves = [stats.t.ppf((1 + plan.level) / 2, df) * math.sqrt(variance * row @ inverse @ row) for row in rows]
    best = int(np.argmin(means) if plan.goal == "min" else np.argmax(means))
    others = [place for place in range(len(told)) if place != best]
    contrast = rows[best] - np.mean([rows[place] for place in others], axis=0)
    difference, rest = float(contrast @ coefficients), float(np.mean([means[place] for place in others]))
    error = math.sqrt(variance * contrast @ inverse @ contrast)
    return {
        "levels": [
            {"value": value, "n": int((code == place).sum()), "mean": mean, "low": mean - half, "high": mean + half}
            for place, (value, mean, half) in enumerate(zip(told, means, halves, strict=True))
        ],
        "best": best,
        "improvement_percent": 100 * (-difference if plan.goal == "min" else difference) / abs(rest),
        "p_best": min(1.0, len(told) * 2 * stats.t.sf(abs(difference) / error, df)),
    }
