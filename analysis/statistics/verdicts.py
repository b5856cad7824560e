"""Two verdicts that stand side by side and are never mixed: the user's 2σ rule, and what the test allows to say.

The rule screens: it compares a mean with the baseline's own spread and knows nothing of the number of comparisons. The
tested verdict claims: WINNER and LOSER rest on the adjusted p-value, EQUIVALENT on two one-sided tests against the
difference declared as meaningful, and INCONCLUSIVE names the seeds that would settle it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.comparisons import AnalysisPlan, Comparison, Sample, find_pairs, is_better
from analysis.statistics.sequential import TwoLooks

POWER = 0.8
"""Chance of a verdict that the number of further seeds is made for."""
_MOST = 1000


@dataclass(frozen=True)
class RuleVerdict:
    """What the 2σ rule says.

    Attributes:
        word: ``WINNER``, ``NEUTRAL``, ``LOSER`` or ``not computable``.
        strength: ``clear``, ``suggestive``, ``noise`` or ``not computable``.
        false_alarm: Chance that it calls a configuration WINNER or LOSER that is no different from the baseline, at
            these n (both looks counted where there are two); None where the rule cannot be applied.
        rationale: One sentence.
    """

    word: str
    strength: str
    false_alarm: float | None
    rationale: str


@dataclass(frozen=True)
class TestedVerdict:
    """What the tests allow to say.

    Attributes:
        word: ``WINNER``, ``LOSER``, ``EQUIVALENT``, ``INCONCLUSIVE`` or ``not computable``.
        level: Adjusted p-values below this decide; lower than alpha where the data were looked at twice.
        further_seeds: Seeds to add on both sides for an 80 % chance of a verdict if the true difference is what it
            looks like; None where there is a verdict, where it cannot be computed, or where more than 1,000 are needed.
        further_seeds_any: The same whatever the truth is: enough to find a difference of the declared margin and to
            show equivalence where there is none; None also where no margin is declared.
        rationale: One sentence.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    word: str
    level: float
    further_seeds: int | None
    further_seeds_any: int | None
    rationale: str


@dataclass(frozen=True)
class Judgement:
    """Both verdicts on one configuration."""

    rule: RuleVerdict
    tested: TestedVerdict


def judge_family(
    comparisons: Sequence[Comparison],
    groups: Sequence[Sample],
    baselines: Sequence[Sample],
    goal: str,
    plan: AnalysisPlan,
    looks: TwoLooks | None = None,
) -> tuple[Judgement, ...]:
    """Judge every comparison of a family.

    Args:
        comparisons: As `compare_family` gives them.
        groups: The samples behind them.
        baselines: The baseline of each.
        goal: ``min`` or ``max``.
        plan: Error rate and margin.
        looks: The account of the second look; None where the sample size was fixed.
    """
    level = looks.level if looks else plan.alpha
    words = [_tested_word(one, goal, level) for one in comparisons]
    undecided = words.count("INCONCLUSIVE")
    return tuple(
        Judgement(
            rule=_judge_rule(one, looks),
            tested=_judge_test(
                one, word, level, plan, _seeds_needed(one, word, ours, base, level / max(1, undecided), plan)
            ),
        )
        for one, word, ours, base in zip(comparisons, words, groups, baselines, strict=True)
    )


def two_sigma_false_alarm(n: int, n_baseline: int, shared: int = 0) -> float | None:
    """Chance that the 2σ rule calls a configuration WINNER or LOSER that is no different from the baseline.

    For normal values of equal variance, difference / (s_b · sqrt(1/n + 1/n_b)) follows Student's t with n_b − 1 degrees
    of freedom, so the chance is 2 · P(t > 2 / sqrt(1/n + 1/n_b)): 13 % for 3 against 3 runs, 3 % for 5 against 5.
    Simulated, also for values that are not normal, in ``docs/statistics.md``.

    Over shared seeds the baseline's mean is that of k of its n_b runs. It lies c · u · s_b · sqrt(n_b − 1) from the
    mean of all, with c² = 1/k − 1/n_b and u one coordinate of a random direction in n_b − 1 dimensions: the chance is
    averaged over u. Runs of a seed that resemble each other make it smaller.

    Args:
        n: Runs of the configuration that are compared.
        n_baseline: Runs of the baseline that σ is of.
        shared: Of them, those that are compared; 0 where all are.

    Returns:
        The chance, 0 to 1; None where the rule cannot be applied (n < 1 or n_baseline < 2).
    """
    if n < 1 or n_baseline < 2:
        return None
    free, unit = n_baseline - 1, np.sqrt(1 / n + 1 / n_baseline)
    if not 0 < shared < n_baseline:
        return float(2 * special.stdtr(free, -2 / unit))
    apart = np.sqrt((1 / shared - 1 / n_baseline) * free) * _coordinates(free)
    chances = special.stdtr(free, (-2 + apart) / unit) + special.stdtr(free, (-2 - apart) / unit)
    return float(chances.mean())


def _coordinates(dimensions: int) -> npt.NDArray[np.float64]:
    """Quantiles of one coordinate of a random direction: (1 + u) / 2 is Beta((d − 1)/2, (d − 1)/2)."""
    if dimensions == 1:
        return np.array([-1.0, 1.0])
    half = (dimensions - 1) / 2
    shares = (np.arange(400) + 0.5) / 400
    return np.asarray(2 * special.betaincinv(half, half, shares) - 1, dtype=np.float64)


def power_of_test(effect: float, variance: Sequence[float], n: int, alpha: float, *, paired: bool) -> float:
    """Chance that a two-sided t test finds a difference.

    Args:
        effect: True difference, in the metric's unit.
        variance: Variances of both sides; with pairs the one of the differences.
        n: Runs on each side, or pairs.
        alpha: Level of the test.
        paired: Paired test, else Welch's.
    """
    df, error = _df_and_error(variance, n, paired=paired)
    bound, shift = -special.stdtrit(df, alpha / 2), abs(effect) / error
    return float(1 - special.nctdtr(df, shift, bound) + 1 - special.nctdtr(df, -shift, bound))


def power_of_equivalence(
    effect: float, margin: float, variance: Sequence[float], n: int, alpha: float, *, paired: bool
) -> float:
    """Chance that both one-sided tests reject, at least: the sum of both chances minus 1 (Bonferroni's inequality).

    Args:
        effect: True difference.
        margin: Difference within which means count as equal; other arguments as for `power_of_test`.
    """
    df, error = _df_and_error(variance, n, paired=paired)
    bound = -special.stdtrit(df, alpha)
    chances = [1 - special.nctdtr(df, (margin + sign * effect) / error, bound) for sign in (1, -1)]
    return max(0.0, float(sum(chances)) - 1)


def seeds_for_verdict(
    difference: float, margin: float | None, variance: Sequence[float], now: int, alpha: float, *, paired: bool
) -> int | None:
    """Find how many runs on each side give an 80 % chance of a verdict if the true difference is `difference`.

    A verdict is a difference that is found or, with a margin, means that are shown to lie within it.

    Args:
        difference: Difference of the means.
        margin: Difference within which means count as equal, in the metric's unit; None without one.
        variance: As for `power_of_test`, observed.
        now: Runs on each side now.
        alpha: Level each test has to reach.
        paired: Paired test, else Welch's.

    Returns:
        Runs on each side, above `now`; None where more than 1,000 would be needed.
    """

    def is_enough(n: int) -> bool:
        found = power_of_test(difference, variance, n, alpha, paired=paired) >= POWER
        return found or (
            margin is not None and power_of_equivalence(difference, margin, variance, n, alpha, paired=paired) >= POWER
        )

    return _first(is_enough, now)


def _first(is_enough: Callable[[int], bool], now: int) -> int | None:
    """Smallest n above `now` that is enough, by halving: more runs are never less."""
    low, high = now, now + 1
    while not is_enough(high):
        if high > _MOST:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _df_and_error(variance: Sequence[float], n: int, *, paired: bool) -> tuple[float, float]:
    """Degrees of freedom and standard error of the difference with n runs on each side."""
    total = sum(variance)
    df = n - 1.0 if paired else total**2 / sum(one**2 for one in variance) * (n - 1)
    return df, sqrt(total / n)


def _tested_word(one: Comparison, goal: str, level: float) -> str:
    if one.difference is None or one.p_adjusted is None:
        return "not computable"
    # Different and yet shown to be within the margin: what was declared as equal counts.
    if one.p_equivalence_adjusted is not None and one.p_equivalence_adjusted < level:
        return "EQUIVALENT"
    if one.p_adjusted >= level:
        return "INCONCLUSIVE"
    return "WINNER" if is_better(one.difference, goal) else "LOSER"


def _seeds_needed(
    one: Comparison, word: str, ours: Sample, base: Sample, alpha: float, plan: AnalysisPlan
) -> tuple[int | None, int | None]:
    """Further seeds of an inconclusive comparison, as it looks and whatever it is; alpha is shared among them."""
    if word != "INCONCLUSIVE" or one.difference is None:
        return None, None
    if one.df is None:
        return _signs_needed(one, alpha), None
    pairs = find_pairs(ours, base) if one.pairs else None
    sides = [pairs[0] - pairs[1]] if pairs else [ours.finite, base.finite]
    # Brought to a scale of 1: the squares of 1e-200 or 1e200 would leave the range of floats.
    scale = max(float(np.ptp(side)) for side in sides)
    variance = [float(np.var(side / scale, ddof=1)) for side in sides]
    now = min(len(side) for side in sides)
    margin = plan.margin * abs(one.reference or 0.0) / scale if plan.margin else 0.0

    def runs_for(effect: float) -> int | None:
        needed = seeds_for_verdict(effect, margin or None, variance, now, alpha, paired=bool(pairs))
        return None if needed is None else needed - now

    either = [count for count in (runs_for(0.0), runs_for(margin)) if count] if margin else []
    return runs_for(one.difference / scale), max(either) if len(either) == 2 else None


def _signs_needed(one: Comparison, alpha: float) -> int | None:
    """Further pairs until flipping signs reaches alpha, if they all differ by the same, too."""
    if one.p is None or one.p >= 1:
        return None
    return next(count for count in range(1, _MOST) if 2.0 ** (1 - one.pairs - count) < alpha)


def _judge_rule(one: Comparison, looks: TwoLooks | None) -> RuleVerdict:
    if one.z is None or one.difference is None:
        return RuleVerdict(one.rule_verdict, one.strength, None, one.note or "the 2σ rule cannot be applied")
    alarm = looks.rule_error if looks else two_sigma_false_alarm(one.sizes[0], one.n_baseline, one.pairs)
    meaning = {"clear": "2σ or more", "suggestive": "between 1σ and 2σ, suggestive", "noise": "below 1σ, noise"}
    chance = "" if alarm is None else f"; equal configurations are called WINNER or LOSER in {100 * alarm:.1f} %"
    lies, far = f"lies {one.z:.2f}σ from the baseline's", meaning[one.strength]
    text = f"the mean {lies} ({far}; n={one.n} against {one.n_baseline})"
    if one.pairs:
        text = f"{one.basis} the mean {lies} ({far}; σ of the baseline's {one.n_baseline} runs)"
    return RuleVerdict(one.rule_verdict, one.strength, alarm, text + chance)


def _judge_test(
    one: Comparison, word: str, level: float, plan: AnalysisPlan, further: tuple[int | None, int | None]
) -> TestedVerdict:
    if one.p_adjusted is None:
        return TestedVerdict(word, level, None, None, one.note or "no test could be made")
    p = f"{one.test}, adjusted p = {one.p_adjusted:.3g}"
    size = _size(one)
    margin = f"±{100 * plan.margin:g} %" if plan.margin else ""
    if word in ("WINNER", "LOSER"):
        text = f"{size} ({p}, below {level:.3g})"
    elif word == "EQUIVALENT":
        text = (
            f"{size}, shown to lie within {margin} (two one-sided tests, adjusted p = {one.p_equivalence_adjusted:.3g})"
        )
    else:
        neither = f" nor shown to lie within {margin}" if plan.margin else ""
        text = f"{size}, not told from 0 ({p}){neither}; {_settled(*further)}"
    return TestedVerdict(word, level, *further, text)


def _settled(looks_like: int | None, whatever: int | None) -> str:
    if looks_like is None:
        return f"more than {_MOST:,} further seeds would be needed if the difference is what it looks like"
    text = (
        f"{looks_like} further {'seed' if looks_like == 1 else 'seeds'} on both sides would settle it with 80 % chance"
    )
    text += " if the difference is what it looks like"
    return text if whatever is None else f"{text}, {whatever} whatever it is"


def _size(one: Comparison) -> str:
    if one.relative_percent is not None:
        digits = ".2g" if abs(one.relative_percent) < 10 else ".0f"
        return f"difference {one.relative_percent:+{digits}} %"
    return f"difference {one.difference:+.3g}"
