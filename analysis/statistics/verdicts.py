"""Two verdicts that stand side by side and are never mixed: the user's 2σ rule, and what the test allows to say.

The rule screens: it compares a mean with the baseline's own spread and knows nothing of the number of comparisons. The
tested verdict claims: WINNER and LOSER rest on the adjusted p-value, EQUIVALENT on two one-sided tests against the
difference declared as meaningful, and INCONCLUSIVE names the seeds that would settle it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.comparisons import AnalysisPlan, Comparison, is_better
from analysis.statistics.sequential import TwoLooks
from hpc.core.words import counted

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
POWER = 0.8
"""Chance of a verdict that the number of further seeds is made for."""
_MOST = 1000
_QUANTILES = 8
"""Of the spread that may be behind an observed one; more of them change a number of seeds by one in ten at most."""
_SHARES = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.25, 0.75, 0.0, 1.0)
"""Parts of the margin that are tried for the hardest true difference, which mostly is the first."""


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
        further_seeds_any: The same whatever the truth is, never fewer: enough to find a difference or to show
            equivalence for each difference up to the declared margin; None also where no margin is declared.
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
    goal: str,
    plan: AnalysisPlan,
    looks: TwoLooks | None = None,
) -> tuple[Judgement, ...]:
    """Judge every comparison of a family.

    Args:
        comparisons: As `compare_family` gives them.
        goal: ``min`` or ``max``.
        plan: Error rate and margin.
        looks: The account of the second look; None where the sample size was fixed.
    """
    level = looks.level if looks else plan.alpha
    words = [_tested_word(one, goal, level) for one in comparisons]
    shared = level / max(1, words.count("INCONCLUSIVE"))
    further = _seeds_needed(comparisons, words, shared, plan)
    return tuple(
        Judgement(rule=_judge_rule(one, looks), tested=_judge_test(one, word, level, plan, seeds))
        for one, word, seeds in zip(comparisons, words, further, strict=True)
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
    right, wrong = (_chance_found(df, np.array([sign * abs(effect) / error]), alpha)[0] for sign in (1, -1))
    return float(right + wrong)


def power_of_equivalence(
    effect: float, margin: float, variance: Sequence[float], n: int, alpha: float, *, paired: bool
) -> float:
    """Chance that both one-sided tests reject, at least: the sum of both chances minus 1 (Bonferroni's inequality).

    Args:
        effect: True difference.
        margin: Difference within which means count as equal; other arguments as for `power_of_test`.
    """
    df, error = _df_and_error(variance, n, paired=paired)
    return float(_chance_equivalent(df, np.array([effect / error]), np.array([margin / error]), alpha)[0])


def _chance_found(df: float | Floats, effect: Floats, alpha: float) -> Floats:
    """Chance that a two-sided t test finds a difference upwards, for effects in standard errors."""
    return np.asarray(1 - special.nctdtr(df, effect, -special.stdtrit(df, alpha / 2)), dtype=np.float64)


def _chance_equivalent(df: float | Floats, effect: Floats, margin: Floats, alpha: float) -> Floats:
    """Chance that both one-sided tests reject, at least, for effects and margins in standard errors."""
    bound = -special.stdtrit(df, alpha)
    both = sum(1 - special.nctdtr(df, margin + sign * effect, bound) for sign in (1, -1))
    return np.maximum(0.0, np.asarray(both, dtype=np.float64) - 1)


def seeds_for_verdict(
    difference: float,
    margin: float | None,
    variance: Sequence[float],
    now: int,
    alpha: float,
    *,
    paired: bool,
    free: int | None = None,
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
        free: Degrees of freedom of the observed variance, over whose uncertainty the chance is averaged (assurance):
            of 3 runs it may be a fraction of the true one. None: the variance is known.

    Returns:
        Runs on each side, above `now`; None where more than 1,000 would be needed.
    """
    slope, error = _df_and_error(variance, 2, paired=paired)
    unit = error * sqrt(2)
    spreads = np.ones((1, 1)) if free is None else _spreads_behind(free)[None, :]
    one = _Pilots(np.array([slope]), spreads, np.array([(margin or 0.0) / unit]), alpha)
    (found,) = one.runs_needed(np.array([difference / unit]), np.array([now])).tolist()
    return found or None


@dataclass(frozen=True, eq=False)
class _Pilots:
    """Comparisons that are to be run again with more seeds; thousands are searched together.

    Attributes:
        slope: Degrees of freedom of the test per run beyond the first, shape (comparisons,).
        spreads: What the true spread may be, in those observed, shape (comparisons, quantiles).
        margin: Difference within which means count as equal, in standard deviations of the difference between two
            runs, shape (comparisons,); 0 without one.
        alpha: Level each test has to reach.
    """

    slope: Floats
    spreads: Floats
    margin: Floats
    alpha: float

    def runs_needed(self, effect: Floats, above: Ints) -> Ints:
        """Find the fewest runs on each side, above a number, that are enough; by doubling and halving.

        More runs are never less.

        Args:
            effect: True difference, in the unit of `margin`, shape (comparisons,).
            above: Numbers of runs that are not enough or not wanted, shape (comparisons,).

        Returns:
            Runs on each side, shape (comparisons,); 0 where more than 1,000 would be needed.
        """
        effect = np.abs(effect)
        low, high = above.copy(), above + 1
        rows = np.arange(len(effect))
        while len(rows := rows[~self._are_enough(rows, effect, high)]):
            given_up = high[rows] > _MOST
            high[rows[given_up]] = 0
            rows = rows[~given_up]
            low[rows], high[rows] = high[rows], 2 * high[rows]
        rows = np.flatnonzero(high - low > 1)
        while len(rows):
            middle = (low + high) // 2
            enough = self._are_enough(rows, effect, middle)
            high[rows[enough]], low[rows[~enough]] = middle[rows[enough]], middle[rows[~enough]]
            rows = rows[high[rows] - low[rows] > 1]
        # Doubling may have gone beyond.
        return np.where(high > _MOST, 0, high)

    def runs_for_any(self, at_least: Ints) -> Ints:
        """Find the fewest runs, never fewer than a number, that are enough whatever the true difference is.

        Hardest is a difference of about half the margin: too small to be found, too large for equivalence.

        Args:
            at_least: Numbers of runs, shape (comparisons,); 0 where there is none.

        Returns:
            Runs on each side, shape (comparisons,); 0 where more than 1,000 would be needed, and without a margin.
        """
        most = np.where(self.margin > 0, at_least, 0)
        for share in _SHARES:
            rows = np.flatnonzero(most)
            some = _Pilots(self.slope[rows], self.spreads[rows], self.margin[rows], self.alpha)
            most[rows] = some.runs_needed(share * some.margin, most[rows] - 1)
        return most

    def _are_enough(self, rows: Ints, effect: Floats, runs: Ints) -> npt.NDArray[np.bool_]:
        """Whether that many runs give an 80 % chance of a verdict, for some of the comparisons."""
        df, error = (self.slope[rows] * (runs[rows] - 1))[:, None], self.spreads[rows] / np.sqrt(runs[rows])[:, None]
        effects = effect[rows][:, None] / error
        chances = _chance_found(df, effects, self.alpha)
        # A difference of more than the margin is hardly ever shown to lie within it: not worth the time.
        tried = (effect[rows] < self.margin[rows]) & (chances.mean(axis=1) < POWER)
        margins = self.margin[rows][tried][:, None] / error[tried]
        equal = _chance_equivalent(df[tried], effects[tried], margins, self.alpha)
        chances[tried] = np.maximum(chances[tried], equal)
        return np.asarray(chances.mean(axis=1) >= POWER)


@lru_cache(maxsize=64)
def _spreads_behind(free: int) -> Floats:
    """What the true spread may be, as multiples of the observed one: roots of quantiles of df / χ²(df)."""
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return np.asarray(np.sqrt(free / special.chdtri(free, shares)), dtype=np.float64)


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
    comparisons: Sequence[Comparison],
    words: Sequence[str],
    alpha: float,
    plan: AnalysisPlan,
) -> list[tuple[int | None, int | None]]:
    """Further seeds of inconclusive comparisons, as each looks and whatever it is; alpha is shared among them."""
    found: list[tuple[int | None, int | None]] = [(None, None)] * len(words)
    pilots: list[tuple[int, _Pilot]] = []
    for place, (one, word) in enumerate(zip(comparisons, words, strict=True)):
        if word == "INCONCLUSIVE" and one.df is None:
            found[place] = _signs_needed(one, alpha), None
        elif word == "INCONCLUSIVE":
            pilots.append((place, _pilot(one, plan)))
    if not pilots:
        return found
    effect, now = np.array([one.effect for _, one in pilots]), np.array([one.now for _, one in pilots])
    together = _Pilots(
        slope=np.array([one.slope for _, one in pilots]),
        spreads=np.stack([_spreads_behind(one.free) for _, one in pilots]),
        margin=np.array([one.margin for _, one in pilots]),
        alpha=alpha,
    )
    looks_like = together.runs_needed(effect, now)
    most = together.runs_for_any(looks_like)
    for (place, pilot), likely, whatever in zip(pilots, looks_like.tolist(), most.tolist(), strict=True):
        found[place] = likely - pilot.now if likely else None, whatever - pilot.now if whatever else None
    return found


@dataclass(frozen=True)
class _Pilot:
    """A comparison without a verdict: runs on each side now, and what `_Pilots` has of each."""

    now: int
    slope: float
    free: int
    effect: float
    margin: float


def _pilot(one: Comparison, plan: AnalysisPlan) -> _Pilot:
    now = min(one.sizes)
    df, unit = one.df or 1.0, (one.error or 0.0) * sqrt(now)
    return _Pilot(
        now=now,
        slope=df / (now - 1),
        free=max(1, round(df)),
        effect=(one.difference or 0.0) / unit,
        margin=plan.margin * abs(one.reference or 0.0) / unit if plan.margin else 0.0,
    )


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
        return TestedVerdict(word, level, None, None, one.note or "no test was possible")
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
        text = f"{size}, not distinguishable from 0 ({p}){neither}; {_settled(*further)}"
    return TestedVerdict(word, level, *further, text)


def _settled(looks_like: int | None, whatever: int | None) -> str:
    if looks_like is None:
        return f"more than {_MOST:,} further seeds would be needed if the true difference is as measured"
    text = (
        f"{counted(looks_like, 'further seed')} on both sides would settle it with 80 % probability if the true "
        "difference is as measured"
    )
    return text if whatever is None else f"{text}, {whatever} for any true difference"


def _size(one: Comparison) -> str:
    if one.relative_percent is not None:
        digits = ".2g" if abs(one.relative_percent) < 10 else ".0f"
        return f"difference {one.relative_percent:+{digits}} %"
    return f"difference {one.difference:+.3g}"
