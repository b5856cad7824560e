"""Estimates, intervals and comparisons: arrays in, frozen results out, no file and no picture.

What cannot be computed is None with the reason in `note` (``not computable: n=1``): never a crash, never an invented
number. The choices and their error rates are in ``docs/decisions/0008-statistics.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
ALPHA = 0.05
_MAGNITUDES = ((0.2, "negligible"), (0.5, "small"), (0.8, "medium"))


@dataclass(frozen=True)
class Estimate:
    """The mean of a sample, how much the sample varies, and how well the mean is known.

    Attributes:
        n: Finite values; everything here rests on these alone.
        missing: Values that were NaN or infinite: runs that gave no number.
        mean: Arithmetic mean, in the metric's unit; None for n = 0.
        std: Sample standard deviation (n − 1 in the denominator), in the metric's unit; None for n < 2.
        low: Lower end of Student's t interval of the mean, in the metric's unit; None for n < 2.
        high: Upper end of the same interval.
        level: Coverage of the interval, 0 to 1.
        note: Why something is None; empty when everything could be computed.
    """

    n: int
    missing: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    level: float
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """One configuration against the baseline on one metric. Differences are configuration minus baseline.

    Attributes:
        n: Finite values of the configuration.
        n_baseline: Finite values of the baseline.
        difference: Difference of the means, in the metric's unit.
        low: Lower end of Welch's interval of the difference.
        high: Upper end of the same interval.
        relative_percent: Difference in percent of the baseline's mean (of its absolute value).
        t: Welch's t statistic.
        df: Welch–Satterthwaite degrees of freedom.
        p: Two-sided p-value of Welch's test.
        p_adjusted: Holm's adjusted p-value over the family of comparisons that could be tested.
        cohens_d: Difference over sqrt((σ_b² + σ_e²) / 2).
        magnitude: ``negligible``, ``small``, ``medium`` or ``large`` for |d|; ``not computable`` without one.
        z: |difference| in standard deviations of the baseline.
        strength: What the 2σ rule says of z: ``noise``, ``suggestive``, ``clear`` or ``not computable``.
        rule_verdict: ``WINNER``, ``NEUTRAL``, ``LOSER`` by the 2σ rule, or ``not computable``.
        tested_verdict: ``better``, ``worse`` (adjusted p below alpha), ``inconclusive`` or ``not computable``.
        note: Why something is None; empty when everything could be computed.
    """

    n: int
    n_baseline: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative_percent: float | None = None
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


def estimate(values: npt.ArrayLike, level: float = LEVEL) -> Estimate:
    """Estimate a mean with Student's t interval: mean ± t(n − 1) · s / sqrt(n).

    Args:
        values: Array of shape (runs,); NaN and infinity count as missing.
        level: Coverage wanted, strictly between 0 and 1.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is a coverage strictly between 0 and 1, not {level}")
    sample = np.asarray(values, dtype=np.float64).ravel()
    finite = sample[np.isfinite(sample)]
    n, missing = len(finite), len(sample) - len(finite)
    if n == 0:
        return Estimate(0, missing, None, None, None, None, level, "not computable: n=0, no run gave a value")
    mean = _mean(finite)
    if n == 1:
        return Estimate(1, missing, mean, None, None, None, level, "std and interval not computable: n=1")
    std = _std(finite)
    half = _t_quantile(level, n - 1) * std / np.sqrt(n)
    note = "" if std > 0 else "all values are equal: the interval has no width, which is no proof of certainty"
    return Estimate(n, missing, mean, std, float(mean - half), float(mean + half), level, note)


def compare(values: npt.ArrayLike, baseline: npt.ArrayLike, goal: str, level: float = LEVEL) -> Comparison:
    """Compare a configuration with the baseline by itself; `compare_family` adds the adjustment and the tested verdict.

    Args:
        values: Array of shape (runs,) of the configuration.
        baseline: Array of shape (runs,) of the baseline; the two are treated as independent samples.
        goal: ``min`` or ``max``: which direction is better.
        level: Coverage of the interval of the difference.

    Raises:
        ValueError: `goal` is neither ``min`` nor ``max``.
    """
    if goal not in ("min", "max"):
        raise ValueError(f"goal is 'min' or 'max', not {goal!r}")
    ours, theirs = estimate(values, level), estimate(baseline, level)
    bare = Comparison(n=ours.n, n_baseline=theirs.n)
    if ours.mean is None or theirs.mean is None:
        return replace(bare, note=f"not computable: n={ours.n}, baseline n={theirs.n}")
    difference = ours.mean - theirs.mean
    relative = 100 * difference / abs(theirs.mean) if theirs.mean else None
    result = replace(bare, difference=difference, relative_percent=relative)
    notes = [] if theirs.mean else ["relative difference not computable: the baseline's mean is 0"]
    result = _with_two_sigma(result, difference, theirs.std, goal, notes)
    result = _with_welch(result, ours, theirs, level, notes)
    return replace(result, note="; ".join(notes))


def compare_family(
    groups: Sequence[npt.ArrayLike],
    baselines: Sequence[npt.ArrayLike],
    goal: str,
    level: float = LEVEL,
    alpha: float = ALPHA,
) -> tuple[Comparison, ...]:
    """Compare each configuration with its baseline and adjust all p-values together after Holm.

    Args:
        groups: One array of shape (runs,) per configuration.
        baselines: The baseline of each, same length; often the same array every time.
        goal: ``min`` or ``max``.
        level: Coverage of the intervals (each by itself, not adjusted).
        alpha: Family-wise error rate of the tested verdict.
    """
    bare = [compare(group, base, goal, level) for group, base in zip(groups, baselines, strict=True)]
    adjusted = holm([comparison.p for comparison in bare])
    return tuple(
        replace(comparison, p_adjusted=p, tested_verdict=verdict_of_test(comparison.difference, p, goal, alpha))
        for comparison, p in zip(bare, adjusted, strict=True)
    )


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


def magnitude(cohens_d: float | None) -> str:
    """Put |d| into words: below 0.2 negligible, below 0.5 small, below 0.8 medium, else large."""
    if cohens_d is None:
        return "not computable"
    return next((word for bound, word in _MAGNITUDES if abs(cohens_d) < bound), "large")


def two_sigma_rule(difference: float, z: float, goal: str) -> tuple[str, str]:
    """Apply the thresholds to z = |difference| / σ_baseline; give (strength, verdict).

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


def two_sigma_false_alarm(n: int, n_baseline: int) -> float | None:
    """Chance that the 2σ rule calls a configuration WINNER or LOSER that is no different from the baseline.

    For normal values of equal variance, difference / (s_b · sqrt(1/n + 1/n_b)) follows Student's t with n_b − 1 degrees
    of freedom, so the chance is 2 · P(t > 2 / sqrt(1/n + 1/n_b)): 13 % for 3 against 3 runs, 3 % for 5 against 5.

    Returns:
        The chance, 0 to 1; None where the rule cannot be applied (n < 1 or n_baseline < 2).
    """
    if n < 1 or n_baseline < 2:
        return None
    return float(2 * stats.t.sf(2 / np.sqrt(1 / n + 1 / n_baseline), n_baseline - 1))


@lru_cache(maxsize=1024)
def _t_quantile(level: float, df: float) -> float:
    """Two-sided quantile of Student's t; kept, because thousands of configurations share a few sizes."""
    return float(stats.t.ppf((1 + level) / 2, df))


def _mean(finite: Floats) -> float:
    """Mean that is exact for equal values: summing 0.1 three times and dividing is not 0.1."""
    return float(finite[0]) if finite.min() == finite.max() else float(np.mean(finite))


def _std(finite: Floats) -> float:
    """Sample standard deviation that is exactly zero for equal values."""
    spread = finite.max() - finite.min()
    if spread == 0:
        return 0.0
    # Scaled first: the squares of 1e-200 or 1e200 would leave the range of floats.
    return float(np.std((finite - finite.min()) / spread, ddof=1) * spread)


def _with_two_sigma(
    result: Comparison, difference: float, std_baseline: float | None, goal: str, notes: list[str]
) -> Comparison:
    """Fill z and the 2σ rule's words, or note why not."""
    if not std_baseline:
        reason = "the baseline has n=1" if std_baseline is None else "the baseline does not vary"
        notes.append(f"2σ rule not computable: {reason}")
        return result
    z = abs(difference) / std_baseline
    strength, verdict = two_sigma_rule(difference, z, goal)
    return replace(result, z=z, strength=strength, rule_verdict=verdict)


def _with_welch(result: Comparison, ours: Estimate, theirs: Estimate, level: float, notes: list[str]) -> Comparison:
    """Fill Welch's test, its interval and Cohen's d, or note why not."""
    if ours.std is None or theirs.std is None or ours.mean is None or theirs.mean is None or result.difference is None:
        notes.append(f"test and Cohen's d not computable: n={ours.n}, baseline n={theirs.n}, 2 of each are needed")
        return result
    scale = max(ours.std, theirs.std)
    if scale == 0:
        notes.append("test and Cohen's d not computable: neither sample varies")
        return result
    std, std_baseline = ours.std / scale, theirs.std / scale
    tested = stats.ttest_ind_from_stats(
        ours.mean / scale, std, ours.n, theirs.mean / scale, std_baseline, theirs.n, equal_var=False
    )
    variance, variance_baseline = std**2 / ours.n, std_baseline**2 / theirs.n
    total = variance + variance_baseline
    df = total**2 / (variance**2 / (ours.n - 1) + variance_baseline**2 / (theirs.n - 1))
    half = _t_quantile(level, df) * float(np.sqrt(total)) * scale
    d = result.difference / (scale * float(np.sqrt((std**2 + std_baseline**2) / 2)))
    return replace(
        result,
        t=float(tested.statistic),
        df=df,
        p=float(tested.pvalue),
        low=result.difference - half,
        high=result.difference + half,
        cohens_d=d,
        magnitude=magnitude(d),
    )
