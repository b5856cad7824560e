"""One configuration against the baseline: tests, sizes of the difference, corrections for many comparisons.

Which test decides is settled by the design, before any value is seen. Two or more configurations that share seeds with
their baseline are compared by one linear model of all of them (`linear_model`). A configuration alone is compared in
pairs from 5 shared seeds on, else the sides are independent samples and Welch's test decides. Every number of a row is
over the same runs: difference, interval, percent, effect sizes and the 2σ rule. Only the σ of the 2σ rule is always
that of all runs of the baseline. The paired and Welch's t test, the rank tests and the permutation test stand beside
the deciding one and decide nothing. What cannot be computed is None with its reason.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from analysis.statistics.effects import Effect, cohens_d, hedges_g, magnitude, probability_greater
from analysis.statistics.estimates import LEVEL, ROUNDING, Estimate, estimate, mean_of, std_of
from analysis.statistics.linear_model import model_rows
from analysis.statistics.stochastic_order import FEWEST, AlmostOrder, almost_order
from hpc.core.words import counted

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
ALPHA = 0.05
CORRECTIONS = ("holm", "bh")
_scipy: Any = stats
"""Without its types, which know no tests of many rows at once."""
FEWEST_PAIRS = 5
"""Below it pairs of one configuration find less than Welch's test unless seeds make up more than half the spread."""
_FEWEST_SHARED = 2
_STEADY = 1e-9
"""Pairs whose differences vary by less than this share of the range of the runs differ by the same."""
_NO_SPREAD = "neither sample varies (does the program use the seed?)"
_SAME_DIFFERENCE = (
    "all pairs differ by the same amount: there is no spread for a t test and its interval, so signs are flipped "
    "instead"
)
_SAME_VALUE = (
    "every run gave the same value as the baseline with the same seed (does the program use what was changed?)"
)
_EXACT = 2000
"""Most arrangements that are gone through one by one: 6 against 6 runs are 924, 10 pairs are 1,024."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The runs of one configuration on one metric.

    Attributes:
        values: Array of shape (runs planned,); NaN where a run gave no comparable value.
        seeds: Array of shape (runs planned,), the seed of each; None where seeds mean nothing.
    """

    values: Floats
    seeds: Ints | None = None

    @property
    def finite(self) -> Floats:
        """The values there are."""
        found: Floats = self.values[np.isfinite(self.values)]
        return found


@dataclass(frozen=True)
class AnalysisPlan:
    """How comparisons are judged; fixed before the results.

    Attributes:
        alpha: Error rate of the tests after correction.
        correction: ``holm`` (family-wise error rate) or ``bh`` (rate of false finds).
        confidence: Coverage of the intervals, each by itself.
        margin: Differences below this share of the baseline's mean count as equal; None: nothing was declared.
    """

    alpha: float = ALPHA
    correction: str = "holm"
    confidence: float = LEVEL
    margin: float | None = None


@dataclass(frozen=True)
class Comparison:
    """One configuration against the baseline on one metric. Differences are configuration minus baseline.

    Attributes:
        n: Finite values of the configuration.
        n_baseline: Finite values of the baseline.
        basis: What every number here is over: ``over the 3 shared seeds``, ``over all runs``, or where some arms lack
            seeds that others have ``over all runs, seeds taken out``.
        reference: Mean of the baseline's runs that are compared, of whose absolute value the percentages are.
        difference: Difference of the means, in the metric's unit; with pairs the mean difference of the pairs.
        low: Lower end of the interval of the difference that belongs to the deciding test.
        high: Upper end of the same interval.
        relative_percent: Difference in percent of the reference.
        relative_low: Lower end of the interval in percent of the reference.
        relative_high: Upper end.
        difference_of_all: Difference of the means of all runs of both sides; None where the numbers are over all runs.
        mean_of_all: Mean of all runs of the baseline.
        error: Standard error of the difference.
        t: t statistic of the deciding test.
        df: Its degrees of freedom (Satterthwaite's, or pairs − 1).
        p: Its two-sided p-value.
        p_adjusted: p adjusted over the family of comparisons that could be tested.
        cohens_d: Difference of the means over sqrt((σ_b² + σ_e²) / 2).
        magnitude: ``negligible``, ``small``, ``medium`` or ``large`` for |d|; ``infinite`` where the sides differ and
            neither varies; ``not computable`` without one.
        z: |difference| in standard deviations of the baseline, of all its n_baseline runs.
        strength: What the 2σ rule says of z: ``noise``, ``suggestive``, ``clear`` or ``not computable``.
        rule_verdict: ``WINNER``, ``NEUTRAL``, ``LOSER`` by the 2σ rule, or ``not computable``.
        tested_verdict: ``better``, ``worse`` (adjusted p below alpha), ``inconclusive`` or ``not computable``.
        note: Why something is None; empty when everything could be computed.
        test: The deciding test in words: ``seed-blocked linear model over 20 arms and 3 seeds``, ``linear model over 20
            arms``, ``paired t test over 5 seeds``, ``Welch's t test``, or where all pairs differ by the same
            ``sign-flip test over 3 seeds``; empty without one.
        pairs: Pairs of runs with the same seed, where the numbers are over those; else 0.
        p_welch: Two-sided p-value of Welch's test over the same runs, whichever test decides.
        p_paired: Of the paired t test; None where the numbers are not over pairs.
        p_rank: Of the rank test (Wilcoxon's over pairs, else Mann and Whitney's), exact where that is few arrangements.
        p_permutation: Of the exact permutation test of the mean difference (signs flipped over pairs, else runs
            exchanged); None where there are more than 2,000 arrangements.
        p_smallest: Smallest p-value that the exact tests can give at these n: 0.1 for 3 against 3 runs.
        d: Cohen's d with its interval.
        hedges_g: Hedges' g with its interval.
        cliffs_delta: Cliff's delta, above 0 where the configuration's values are greater, with its interval.
        improvement: Chance that a run of the configuration is better than one of the baseline, with its interval.
        aso: Almost stochastic order by the goal; None below 3 runs of a side, and where neither varies.
        p_equivalence: Of the two one-sided tests: the difference is within ± margin · |baseline's mean|.
        p_equivalence_adjusted: The same, adjusted over the family.
    """

    n: int
    n_baseline: int
    basis: str = "over all runs"
    reference: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative_percent: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    difference_of_all: float | None = None
    mean_of_all: float | None = None
    error: float | None = None
    t: float | None = None
    df: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    cohens_d: float | None = None
    magnitude: str = "not computable"
    z: float | None = None
    strength: str = "not computable"
    rule_verdict: str = "not computable"
    tested_verdict: str = "not computable"
    note: str = ""
    test: str = ""
    pairs: int = 0
    p_welch: float | None = None
    p_paired: float | None = None
    p_rank: float | None = None
    p_permutation: float | None = None
    p_smallest: float | None = None
    d: Effect | None = None
    hedges_g: Effect | None = None
    cliffs_delta: Effect | None = None
    improvement: Effect | None = None
    aso: AlmostOrder | None = None
    p_equivalence: float | None = None
    p_equivalence_adjusted: float | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Runs of both sides that the numbers are over."""
        return (self.pairs, self.pairs) if self.pairs else (self.n, self.n_baseline)


@dataclass(frozen=True, eq=False)
class TestedRows:
    """A t test of many comparisons of equal sizes; each array has shape (comparisons,).

    Attributes:
        difference: Mean difference.
        t: Test statistic.
        df: Degrees of freedom.
        p: Two-sided p-value.
        low: Lower end of the interval of the difference; NaN for a one-sided test.
        high: Upper end.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    difference: Floats
    t: Floats
    df: Floats
    p: Floats
    low: Floats
    high: Floats


def compare(
    values: npt.ArrayLike | Sample, baseline: npt.ArrayLike | Sample, goal: str, level: float = LEVEL
) -> Comparison:
    """Compare a configuration with the baseline by itself; `compare_family` adds adjustment and tested verdict.

    Raises:
        ValueError: `goal` is neither ``min`` nor ``max``.
    """
    (found,) = _compare_each([as_sample(values)], [as_sample(baseline)], goal, AnalysisPlan(confidence=level), {})
    return Comparison(**found)


def compare_family(
    groups: Sequence[npt.ArrayLike | Sample],
    baselines: Sequence[npt.ArrayLike | Sample],
    goal: str,
    plan: AnalysisPlan = AnalysisPlan(),
    beside: Sequence[Sequence[Sample]] = (),
    *,
    modelled: bool = True,
) -> tuple[Comparison, ...]:
    """Compare each configuration with its baseline and adjust all p-values together.

    Args:
        groups: One sample per configuration; a bare array has no seeds, so it is never paired.
        baselines: The baseline of each, same length; the same object where configurations share one.
        goal: ``min`` or ``max``: which direction is better.
        plan: Error rate, correction, coverage and margin.
        beside: For each comparison further configurations that were run with it and are not compared here: they tell
            of the spread and of what seeds do.
        modelled: Compare by one model what shares seeds; else each configuration alone.

    Raises:
        ValueError: `goal` is neither ``min`` nor ``max``.
    """
    ours, bases = [as_sample(one) for one in groups], [as_sample(one) for one in baselines]
    contrasts = _fit_models(ours, bases, beside) if modelled else {}
    bare = _compare_each(ours, bases, goal, plan, contrasts)
    adjusted = adjust([one.get("p") for one in bare], plan.correction)
    equivalence = adjust([one.get("p_equivalence") for one in bare], plan.correction)
    return tuple(
        Comparison(
            **one,
            p_adjusted=p,
            p_equivalence_adjusted=p_equal,
            tested_verdict=verdict_of_test(one.get("difference"), p, goal, plan.alpha),
        )
        for one, p, p_equal in zip(bare, adjusted, equivalence, strict=True)
    )


def adjust(p_values: Sequence[float | None], correction: str) -> tuple[float | None, ...]:
    """Adjust p-values over a family; None stands for a test that could not be made and does not count in it.

    Args:
        p_values: p-values in any order.
        correction: ``holm`` (Holm 1979) or ``bh`` (Benjamini and Hochberg 1995, scipy's).

    Raises:
        ValueError: `correction` is neither.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, not {correction!r}")
    if correction == "holm":
        return holm(p_values)
    tested = [p for p in p_values if p is not None]
    found = iter(stats.false_discovery_control(tested, method="bh").tolist() if tested else ())
    return tuple(None if p is None else float(next(found)) for p in p_values)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust p-values after Holm (1979): p_(i) · (m − i + 1), made monotone, at most 1.

    Args:
        p_values: m p-values in any order; None stands for a test that could not be made and does not count in m.
    """
    tested = [(p, place) for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(sorted(tested)):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[place] = highest
    return tuple(adjusted)


def two_sigma_rule(difference: float, z: float, goal: str) -> tuple[str, str]:
    """Apply the thresholds to z = |difference| / σ_baseline; return (strength, verdict).

    2 and more is clear (WINNER or LOSER by direction), 1 to 2 suggestive but inconclusive, below 1 noise.
    """
    if z >= 2:
        return "clear", "WINNER" if is_better(difference, goal) else "LOSER"
    return ("suggestive" if z >= 1 else "noise"), "NEUTRAL"


def verdict_of_test(difference: float | None, p_adjusted: float | None, goal: str, alpha: float = ALPHA) -> str:
    """Say what the test allows to say: ``better`` or ``worse`` only with an adjusted p below alpha."""
    if difference is None or p_adjusted is None:
        return "not computable"
    if p_adjusted >= alpha:
        return "inconclusive"
    return "better" if is_better(difference, goal) else "worse"


def is_better(difference: float, goal: str) -> bool:
    """Whether configuration minus baseline points the way the goal wants."""
    return difference < 0 if goal == "min" else difference > 0


def as_sample(values: npt.ArrayLike | Sample) -> Sample:
    """Take an array of shape (runs,) as a sample without seeds."""
    return values if isinstance(values, Sample) else Sample(np.asarray(values, dtype=np.float64).ravel())


def find_pairs(ours: Sample, base: Sample) -> tuple[Floats, Floats] | None:
    """Return the values of both sides seed by seed; None where the design has no pairs, or fewer than 2 are complete.

    A run without a value takes its partner out with it.

    Returns:
        Two arrays of shape (complete pairs,).
    """
    if not has_pairs(ours, base) or ours.seeds is None or base.seeds is None:
        return None
    by_seed = dict(zip(base.seeds.tolist(), base.values.tolist(), strict=True))
    mine = zip(ours.seeds.tolist(), ours.values.tolist(), strict=True)
    pairs = [(value, by_seed[seed]) for seed, value in mine if seed in by_seed]
    complete = np.array([pair for pair in pairs if np.isfinite(pair).all()], dtype=np.float64).reshape(-1, 2)
    return (complete[:, 0], complete[:, 1]) if len(complete) >= _FEWEST_SHARED else None


def has_pairs(ours: Sample, base: Sample) -> bool:
    """Whether each seed occurs once on a side and the planned seeds of one side are all among the other's."""
    if ours.seeds is None or base.seeds is None:
        return False
    mine, theirs = set(ours.seeds.tolist()), set(base.seeds.tolist())
    return len(mine) == len(ours.seeds) and len(theirs) == len(base.seeds) and (mine <= theirs or theirs <= mine)


def welch_rows(ours: Floats, base: Floats, level: float = LEVEL, alternative: str = "two-sided") -> TestedRows:
    """Welch's t test of many comparisons at once (scipy's).

    Args:
        ours: Array of shape (comparisons, runs), at least 2 runs, not all equal on both sides.
        base: Array of shape (comparisons, runs of the baseline).
        level: Coverage of the interval.
        alternative: ``two-sided``, ``less`` or ``greater``.
    """
    with _equal_values_are_meant():
        tested = _scipy.ttest_ind(ours, base, axis=1, equal_var=False, alternative=alternative)
    return _tested_rows(tested, ours.mean(axis=1) - base.mean(axis=1), level, alternative)


def paired_rows(ours: Floats, base: Floats, level: float = LEVEL, alternative: str = "two-sided") -> TestedRows:
    """Paired t test of many comparisons at once (scipy's); arguments as for `welch_rows`, both of the same shape."""
    with _equal_values_are_meant():
        tested = _scipy.ttest_rel(ours, base, axis=1, alternative=alternative)
    return _tested_rows(tested, (ours - base).mean(axis=1), level, alternative)


@contextmanager
def _equal_values_are_meant() -> Iterator[None]:
    """Silence scipy where one side does not vary: its variance is 0, and the other side's carries the test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        yield


def _tested_rows(tested: Any, difference: Floats, level: float, alternative: str) -> TestedRows:
    """Take scipy's result apart."""
    none = np.full_like(difference, np.nan)
    low, high = tested.confidence_interval(level) if alternative == "two-sided" else (none, none)
    df = np.broadcast_to(np.asarray(tested.df, dtype=np.float64), difference.shape)
    return TestedRows(difference, tested.statistic, df, tested.pvalue, low, high)


def compare_means(ours: Sample, base: Sample, goal: str, theirs: Estimate | None = None) -> Comparison:
    """Compare without a test: difference, percent, 2σ rule, and why something is missing.

    Args:
        ours: The configuration.
        base: The baseline.
        goal: ``min`` or ``max``.
        theirs: The estimate of all runs of the baseline, where it is known already.
    """
    return Comparison(**_means(ours, base, _sides(ours, base), goal, theirs or estimate(base.values)))


Fields = dict[str, Any]
"""Attributes of a comparison in the making, by name: a frozen one made anew at each step takes most of the time."""


def _means(ours: Sample, base: Sample, sides: "_Sides", goal: str, theirs: Estimate) -> Fields:
    """Everything that needs no test."""
    found: Fields = {"n": len(ours.finite), "n_baseline": theirs.n, "mean_of_all": theirs.mean, "basis": sides.basis}
    if sides.is_paired:
        found["pairs"] = len(sides.ours)
    if not len(sides.ours) or not len(sides.base):
        return found
    reference = mean_of(sides.base)
    difference = _difference(sides, reference)
    found |= {"reference": reference, "difference": difference}
    if sides.is_paired or sides.is_shifted:
        found["difference_of_all"] = _difference(_Sides(ours.finite, base.finite), reference)
    if _is_zero(reference, sides.base):
        _note(found, "relative difference not computable: the baseline's mean is 0")
    else:
        found["relative_percent"] = _finite(100 * difference / abs(reference))
    if not theirs.std or theirs.std <= ROUNDING * abs(theirs.mean or 0.0):
        reason = "the baseline has n=1" if theirs.std is None else "the baseline does not vary"
        _note(found, f"2σ rule not computable: {reason}")
        return found
    z = abs(difference) / theirs.std
    strength, verdict = two_sigma_rule(difference, z, goal)
    return found | {"z": z, "strength": strength, "rule_verdict": verdict}


@dataclass(frozen=True, eq=False)
class _Sides:
    """The runs of both sides that are compared.

    Attributes:
        ours: Those of the configuration; shifted, with what its seeds add beyond the baseline's taken out.
        base: Those of the baseline.
        is_paired: Runs of the shared seeds, seed by seed; else all there are.
        is_shifted: The sides have different seeds, and the model has taken out what these add.
    """

    ours: Floats
    base: Floats
    is_paired: bool = False
    is_shifted: bool = False

    @property
    def basis(self) -> str:
        if self.is_paired:
            return f"over the {len(self.ours)} shared seeds"
        return "over all runs, seeds taken out" if self.is_shifted else "over all runs"


@dataclass(frozen=True)
class _Contrast:
    """What the linear model says of one configuration against the baseline, in the metric's unit."""

    words: str
    is_blocked: bool
    shift: float
    error: float
    df: float
    p: float
    base_error: float


def _sides(ours: Sample, base: Sample, contrast: _Contrast | None = None) -> _Sides:
    pairs = find_pairs(ours, base)
    if contrast is not None and contrast.is_blocked and not _same_seeds(ours, base):
        return _Sides(ours.finite + contrast.shift, base.finite, is_shifted=True)
    is_paired = pairs and (contrast.is_blocked if contrast else len(pairs[0]) >= FEWEST_PAIRS or _are_steady(*pairs))
    return _Sides(*pairs, is_paired=True) if pairs and is_paired else _Sides(ours.finite, base.finite)


def _are_steady(ours: Floats, base: Floats) -> bool:
    """Whether 3 and more pairs all differ by the same although their runs vary."""
    return len(ours) > _FEWEST_SHARED and _range(ours - base) <= _STEADY * max(_range(ours), _range(base))


def _range(values: Floats) -> float:
    """Greatest minus least; a standard deviation takes ten times as long."""
    return float(values.max() - values.min())


def _same_seeds(ours: Sample, base: Sample) -> bool:
    """Whether both sides have values of the same seeds."""
    mine, theirs = (set(one.seeds[np.isfinite(one.values)].tolist()) for one in (ours, base) if one.seeds is not None)
    return mine == theirs


def _difference(sides: _Sides, centre: float) -> float:
    """Difference of the means; taken from `centre`, because large values that differ little would lose digits."""
    if sides.is_paired:
        return mean_of(sides.ours - sides.base)
    return mean_of(sides.ours - centre) - mean_of(sides.base - centre)


def _is_zero(mean: float, values: Floats) -> bool:
    """Whether a mean is 0 up to rounding: values that cancel each other are no measure."""
    return abs(mean) <= ROUNDING * float(np.abs(values).max())


def _compare_each(
    ours: Sequence[Sample],
    bases: Sequence[Sample],
    goal: str,
    plan: AnalysisPlan,
    contrasts: Mapping[int, _Contrast],
) -> list[Fields]:
    """Compare each pair of samples, without adjustment; those of equal sizes are computed together."""
    if goal not in ("min", "max"):
        raise ValueError(f"goal must be 'min' or 'max', not {goal!r}")
    distinct = {id(base): base for base in bases}
    known = {name: estimate(base.values, plan.confidence) for name, base in distinct.items()}
    base_error = {name: (one.std or 0.0) / np.sqrt(max(1, one.n)) for name, one in known.items()}
    found, by_shape = list[Fields](), dict[tuple[int, int, bool, bool], list[_Ready]]()
    for place, (our, base) in enumerate(zip(ours, bases, strict=True)):
        sides = _sides(our, base, contrasts.get(place))
        found.append(_means(our, base, sides, goal, known[id(base)]))
        ready = _make_ready(place, sides)
        if isinstance(ready, str):
            _call_infinite(found[place], sides)
            _note(found[place], ready)
        else:
            _note(found[place], ready.note)
            shape = (len(ready.ours), len(ready.base), ready.is_paired, ready.is_steady)
            by_shape.setdefault(shape, []).append(ready)
    for shape in sorted(by_shape):
        for place, changes in _test_rows(by_shape[shape], goal, plan):
            found[place] |= changes
            if place in contrasts:
                _decide_by_model(found[place], contrasts[place], base_error[id(bases[place])], plan)
            _add_percent(found[place])
    return found


def _fit_models(
    ours: Sequence[Sample], bases: Sequence[Sample], beside: Sequence[Sequence[Sample]]
) -> dict[int, _Contrast]:
    """Fit one linear model to each baseline and what shares seeds with it; by place, where there are 2 and more."""
    places_of: dict[int, list[int]] = {}
    for place, base in enumerate(bases):
        places_of.setdefault(id(base), []).append(place)
    found: dict[int, _Contrast] = {}
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
    if pairs is None or _are_steady(*pairs):
        return False
    return max(_range(one.finite), _range(base.finite)) > ROUNDING * float(np.abs(base.finite).max())


def _fit_model(arms: Sequence[Sample], base: Sample) -> list[_Contrast]:
    """Compare arms with their baseline in one model; none where nothing varies but by arm and seed.

    Seeds are blocks of it, unless the baseline has further ones that every arm lacks and few are shared: all its runs
    are worth more than what a seed has in common then.
    """
    planned = [set() if one.seeds is None else set(one.seeds.tolist()) for one in (base, *arms)]
    blocked = any(planned[0] <= one or len(one & planned[0]) >= FEWEST_PAIRS for one in planned[1:])
    column = {seed: place for place, seed in enumerate(sorted(set().union(*planned)))}
    centre, scale = mean_of(base.finite), max(_range(one.finite) for one in (base, *arms))
    values = np.full((1, 1 + len(arms), len(column)), np.nan)
    for row, one in enumerate((base, *arms)):
        if one.seeds is not None:
            values[0, row, [column[seed] for seed in one.seeds.tolist()]] = (one.values - centre) / scale
    values[~np.isfinite(values)] = np.nan
    rows = model_rows(values[:, :, np.isfinite(values[0]).any(axis=0)], blocked=blocked)
    if rows.error.max() <= _STEADY:
        # Two pairs that differ by the same, in every arm: no spread to test by, and too few for flipping signs.
        return []
    words = f"linear model over {len(arms)} arms"
    if blocked:
        words = f"seed-blocked {words} and {counted(int(np.isfinite(values[0]).any(axis=0).sum()), 'seed')}"
    return [
        _Contrast(
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


def _decide_by_model(found: Fields, contrast: _Contrast, base_error: float, plan: AnalysisPlan) -> None:
    """Put the model's test and interval in the place of those of the two sides alone.

    Args:
        found: The comparison.
        contrast: What the model says.
        base_error: Standard error of the baseline's mean, with what seeds do to it.
        plan: Coverage and margin.
    """
    difference, error, df = found["difference"], contrast.error, contrast.df
    half = -float(special.stdtrit(df, (1 - plan.confidence) / 2)) * error
    found |= {"test": contrast.words, "error": error, "t": difference / error, "df": df, "p": contrast.p}
    found |= {"low": difference - half, "high": difference + half}
    if plan.margin is None or not found["reference"]:
        return
    # As in `equivalence_rows` the margin hangs on the baseline's mean, whose noise counts.
    margin, common = plan.margin * abs(found["reference"]), 2 * plan.margin * np.sign(found["reference"])
    of_margin, shared = plan.margin * base_error / error, (contrast.base_error / error) ** 2
    found["p_equivalence"] = max(
        float(
            special.stdtr(
                df, (side * difference - margin) / (error * np.sqrt(1 + of_margin**2 + side * common * shared))
            )
        )
        for side in (1, -1)
    )


def _add_percent(found: Fields) -> None:
    """Write the interval in percent of the same reference as the difference."""
    low, high = found.get("low"), found.get("high")
    if found.get("relative_percent") is None or low is None or high is None:
        return
    found["relative_low"], found["relative_high"] = (
        _finite(100 * end / abs(found["reference"])) for end in (low, high)
    )


@dataclass(frozen=True, eq=False)
class _Ready:
    """Two samples that can be tested, with the baseline's mean moved to 0 and the larger spread brought to 1.

    `is_steady`: runs vary, and yet all pairs differ by the same.
    """

    place: int
    ours: Floats
    base: Floats
    is_paired: bool
    is_steady: bool
    scale: float
    centre: float

    @property
    def note(self) -> str:
        """What is to be said of pairs that all differ by the same; empty for others."""
        if not self.is_steady:
            return ""
        return _SAME_VALUE if np.abs(self.ours - self.base).max() <= _STEADY else _SAME_DIFFERENCE


def _note(found: Fields, text: str) -> None:
    found["note"] = "; ".join(part for part in (found.get("note", ""), text) if part)


def _make_ready(place: int, sides: _Sides) -> _Ready | str:
    """Bring two samples to a common scale, or say why they cannot be tested."""
    ours, base = sides.ours, sides.base
    sizes = f"n={len(ours)}, baseline n={len(base)}"
    if not len(ours) or not len(base):
        return f"not computable: {sizes}"
    if len(ours) < 2 or len(base) < 2:
        return f"test and Cohen's d not computable: {sizes}, 2 of each are needed"
    centre, scale = mean_of(base), max(std_of(ours), std_of(base))
    if scale <= ROUNDING * max(abs(mean_of(ours)), abs(centre)):
        return f"test and Cohen's d not computable: {_NO_SPREAD}"
    ours, base = (ours - centre) / scale, (base - centre) / scale
    is_steady = sides.is_paired and _are_steady(ours, base)
    return _Ready(place, ours, base, sides.is_paired, is_steady, scale, centre)


def _call_infinite(found: Fields, sides: _Sides) -> None:
    """Say of two sides that differ, of several runs each, that their d is infinite where neither varies."""
    if min(len(sides.ours), len(sides.base)) < 2:
        return
    if abs(found["difference"]) > ROUNDING * abs(found["reference"]):
        found["magnitude"] = "infinite"


def _test_rows(ready: Sequence[_Ready], goal: str, plan: AnalysisPlan) -> list[tuple[int, dict[str, Any]]]:
    """Compute everything that tests samples of equal sizes; return the fields of each comparison by its place."""
    ours, base = np.stack([one.ours for one in ready]), np.stack([one.base for one in ready])
    is_paired, scale = ready[0].is_paired, np.array([one.scale for one in ready])
    welch = welch_rows(ours, base, plan.confidence)
    columns: dict[str, Floats] = {"p_welch": welch.p, **exact_rows(ours, base, paired=is_paired)}
    words = {"test": "Welch's t test"}
    if ready[0].is_steady:
        columns["p"] = _sign_flips(ours - base)
        words = {"test": f"sign-flip test over {ours.shape[1]} seeds"}
    else:
        deciding = paired_rows(ours, base, plan.confidence) if is_paired else welch
        half = (deciding.high - deciding.low) / 2
        columns["error"] = scale * half / -special.stdtrit(deciding.df, (1 - plan.confidence) / 2)
        columns |= {"low": deciding.low * scale, "high": deciding.high * scale}
        columns |= {"t": deciding.t, "df": deciding.df, "p": deciding.p}
        columns |= {"p_paired": deciding.p} if is_paired else {}
        words = {"test": f"paired t test over {ours.shape[1]} seeds"} if is_paired else words
    if plan.margin is not None:
        centre = np.array([one.centre for one in ready]) / scale
        columns["p_equivalence"] = equivalence_rows(ours, base, centre, plan.margin, paired=is_paired)
    effects = _effect_columns(ours, base, goal, plan.confidence)
    orders = _orders(ours, base, goal, plan.confidence)
    return [
        (
            one.place,
            {name: _finite(values[row]) for name, values in columns.items()}
            | {name: _effect(values, row) for name, values in effects.items()}
            | {"cohens_d": float(effects["d"][0][row]), "magnitude": magnitude(float(effects["d"][0][row]))}
            | {"aso": orders[row]}
            | words,
        )
        for row, one in enumerate(ready)
    ]


def _sign_flips(differences: Floats) -> Floats:
    """Exact p of pairs that all differ by the same: of all arrangements of their signs two are as far from 0."""
    is_none = np.abs(differences).max(axis=1) <= _STEADY
    return np.where(is_none, 1.0, 2.0 ** (1 - differences.shape[1]))


def equivalence_rows(ours: Floats, base: Floats, centre: Floats, margin: float, *, paired: bool) -> Floats:
    """Two one-sided tests that the means differ by less than a share of the baseline's mean (Schuirmann 1987).

    The margin hangs on the baseline's mean, which is itself estimated: so ours is tested against (1 ± margin) times
    the baseline's values, not against shifted ones, and the baseline's own noise counts (Hauschke et al. 1999).

    Args:
        ours: Array of shape (comparisons, runs), from which `centre` was subtracted.
        base: The same of the baseline.
        centre: Array of shape (comparisons,): what was subtracted, the baseline's mean.
        margin: Share of the baseline's mean, above 0.
        paired: Whether column by column belongs together.

    Returns:
        The larger of the two p-values, shape (comparisons,); NaN where the baseline's mean is 0.
    """
    test = paired_rows if paired else welch_rows
    share = (margin * np.sign(centre))[:, None]
    shift = (margin * np.abs(centre))[:, None]
    above = test(ours + shift, (1 - share) * base, alternative="greater").p
    below = test(ours - shift, (1 + share) * base, alternative="less").p
    return np.where(centre == 0, np.nan, np.maximum(above, below))


def exact_rows(ours: Floats, base: Floats, *, paired: bool) -> dict[str, Floats]:
    """Rank test and permutation test; beyond 2,000 arrangements the rank test alone, as scipy chooses to compute it."""
    n, m = ours.shape[1], base.shape[1]
    arrangements = 2**n if paired else comb(n + m, n)
    if arrangements > _EXACT:
        large = _scipy.wilcoxon(ours, base, axis=1, zero_method="pratt") if paired else None
        return {"p_rank": (large or _scipy.mannwhitneyu(ours, base, axis=1)).pvalue}
    if paired:
        differences = ours - base
        # Wilcoxon's test written as flips of the signed ranks: scipy's own goes row by row, 400 times slower.
        ranks = np.sign(differences) * stats.rankdata(np.abs(differences), axis=1)
        ranked, permuted = (_permuted((one,), "samples") for one in (ranks, differences))
    else:
        joined = stats.rankdata(np.concatenate((ours, base), axis=1), axis=1)
        ranked = _permuted((joined[:, :n], joined[:, n:]), "independent")
        permuted = _permuted((ours, base), "independent")
    return {"p_rank": ranked, "p_permutation": permuted, "p_smallest": np.full(len(ours), min(1.0, 2 / arrangements))}


def _permuted(sides: tuple[Floats, ...], kind: str) -> Floats:
    """Exact two-sided p-value of the mean (of one sample of differences) or mean difference, every arrangement once."""
    rows, runs = len(sides[0]), sum(one.shape[1] for one in sides)
    batch = max(1, 4_000_000 // (rows * runs))
    statistic = _mean if len(sides) == 1 else _mean_difference
    found: Floats = _scipy.permutation_test(
        sides, statistic, axis=1, vectorized=True, n_resamples=np.inf, permutation_type=kind, batch=batch
    ).pvalue
    return found


def _mean(differences: Floats, axis: int) -> Floats:
    mean: Floats = differences.mean(axis=axis)
    return mean


def _mean_difference(ours: Floats, base: Floats, axis: int) -> Floats:
    difference: Floats = ours.mean(axis=axis) - base.mean(axis=axis)
    return difference


def _effect_columns(ours: Floats, base: Floats, goal: str, level: float) -> dict[str, tuple[Floats, Floats, Floats]]:
    share, low, high = probability_greater(ours, base, level)
    return {
        "d": cohens_d(ours, base, level),
        "hedges_g": hedges_g(ours, base, level),
        "cliffs_delta": (2 * share - 1, 2 * low - 1, 2 * high - 1),
        "improvement": (share, low, high) if goal == "max" else (1 - share, 1 - high, 1 - low),
    }


def _orders(ours: Floats, base: Floats, goal: str, level: float) -> Sequence[AlmostOrder | None]:
    if min(ours.shape[1], base.shape[1]) < FEWEST:
        return [None] * len(ours)
    return [AlmostOrder(*map(float, pair)) for pair in zip(*almost_order(ours, base, goal, level), strict=True)]


def _effect(values: tuple[Floats, Floats, Floats], row: int) -> Effect | None:
    value, low, high = (float(one[row]) for one in values)
    return Effect(value, low, high) if np.isfinite((value, low, high)).all() else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
