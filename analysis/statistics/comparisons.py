"""One configuration against the baseline: tests, sizes of the difference, corrections for many comparisons.

Which test decides is settled by the design, before any value is seen. Two or more configurations that share seeds with
their baseline are compared by one linear model of all of them (`linear_model`). A configuration alone is compared in
pairs from 5 shared seeds on, else the sides are independent samples and Welch's test decides. Every number of a row is
over the same runs: difference, interval, percent, effect sizes and the 2σ rule. Only the σ of the 2σ rule is always
that of all runs of the baseline. The paired and Welch's t test, the rank tests and the permutation test stand beside
the deciding one and decide nothing. What cannot be computed is None with its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.contrasts import Contrast, fit_models
from analysis.statistics.corrections import adjust
from analysis.statistics.effects import Effect, cohens_d, hedges_g, magnitude, probability_greater
from analysis.statistics.estimates import LEVEL, ROUNDING, Estimate, estimate, mean_of, std_of
from analysis.statistics.row_tests import equivalence_rows, exact_rows, paired_rows, sign_flips, welch_rows
from analysis.statistics.samples import STEADY, Sample, are_steady, as_sample
from analysis.statistics.sides import Sides, take_sides
from analysis.statistics.stochastic_order import FEWEST, AlmostOrder, almost_order

Floats = npt.NDArray[np.float64]
ALPHA = 0.05
_NO_SPREAD = "neither sample varies (does the program use the seed?)"
_SAME_DIFFERENCE = (
    "all pairs differ by the same amount: there is no spread for a t test and its interval, so signs are flipped "
    "instead"
)
_SAME_VALUE = (
    "every run gave the same value as the baseline with the same seed (does the program use what was changed?)"
)


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
    contrasts = fit_models(ours, bases, beside) if modelled else {}
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


def compare_means(ours: Sample, base: Sample, goal: str, theirs: Estimate | None = None) -> Comparison:
    """Compare without a test: difference, percent, 2σ rule, and why something is missing.

    Args:
        ours: The configuration.
        base: The baseline.
        goal: ``min`` or ``max``.
        theirs: The estimate of all runs of the baseline, where it is known already.
    """
    return Comparison(**_means(ours, base, take_sides(ours, base), goal, theirs or estimate(base.values)))


Fields = dict[str, Any]
"""Attributes of a comparison in the making, by name: a frozen one made anew at each step takes most of the time."""


def _means(ours: Sample, base: Sample, sides: "Sides", goal: str, theirs: Estimate) -> Fields:
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
        found["difference_of_all"] = _difference(Sides(ours.finite, base.finite), reference)
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


def _difference(sides: Sides, centre: float) -> float:
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
    contrasts: Mapping[int, Contrast],
) -> list[Fields]:
    """Compare each pair of samples, without adjustment; those of equal sizes are computed together."""
    if goal not in ("min", "max"):
        raise ValueError(f"goal must be 'min' or 'max', not {goal!r}")
    distinct = {id(base): base for base in bases}
    known = {name: estimate(base.values, plan.confidence) for name, base in distinct.items()}
    base_error = {name: (one.std or 0.0) / np.sqrt(max(1, one.n)) for name, one in known.items()}
    found, by_shape = list[Fields](), dict[tuple[int, int, bool, bool], list[_Ready]]()
    for place, (our, base) in enumerate(zip(ours, bases, strict=True)):
        sides = take_sides(our, base, contrasts.get(place))
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


def _decide_by_model(found: Fields, contrast: Contrast, base_error: float, plan: AnalysisPlan) -> None:
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
        return _SAME_VALUE if np.abs(self.ours - self.base).max() <= STEADY else _SAME_DIFFERENCE


def _note(found: Fields, text: str) -> None:
    found["note"] = "; ".join(part for part in (found.get("note", ""), text) if part)


def _make_ready(place: int, sides: Sides) -> _Ready | str:
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
    is_steady = sides.is_paired and are_steady(ours, base)
    return _Ready(place, ours, base, sides.is_paired, is_steady, scale, centre)


def _call_infinite(found: Fields, sides: Sides) -> None:
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
        columns["p"] = sign_flips(ours - base)
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
