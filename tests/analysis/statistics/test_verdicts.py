"""Both verdicts: what each rests on, what they say together, and how many seeds would settle what is open."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower, TTestPower

from analysis.statistics.comparisons import AnalysisPlan, compare_family
from analysis.statistics.row_tests import welch_rows
from analysis.statistics.samples import Sample
from analysis.statistics.sequential import simulate_two_looks
from analysis.statistics.verdicts import (
    Judgement,
    judge_family,
    power_of_equivalence,
    power_of_test,
    seeds_for_verdict,
    two_sigma_false_alarm,
)


@pytest.mark.parametrize(("n", "n_baseline"), [(3, 3), (3, 5), (5, 5), (1, 2)])
def test_false_alarms_of_the_two_sigma_rule_are_as_computed(n: int, n_baseline: int) -> None:
    """The stated chance of a WINNER or LOSER among equals is what 40,000 simulated experiments show."""
    rng = np.random.default_rng(100 * n + n_baseline)
    ours, base = rng.normal(size=(40_000, n)), rng.normal(size=(40_000, n_baseline))
    seen = np.mean(np.abs(ours.mean(axis=1) - base.mean(axis=1)) >= 2 * base.std(axis=1, ddof=1))

    assert two_sigma_false_alarm(n, n_baseline) == pytest.approx(seen, abs=0.01)


def test_false_alarm_chance_needs_a_spread() -> None:
    """With one baseline run the rule cannot be applied, so there is no chance to state."""
    assert two_sigma_false_alarm(3, 1) is None


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("effect", [-0.5, 1.0, 3.0])
def test_power_agrees_with_statsmodels(n: int, effect: float) -> None:
    """The power of both t tests is statsmodels' to 1e-9, either sign of the effect."""
    paired = power_of_test(effect, [2.25], n, 0.03, paired=True)
    independent = power_of_test(effect, [2.25, 2.25], n, 0.03, paired=False)

    assert paired == pytest.approx(TTestPower().power(effect / 1.5, n, 0.03), abs=1e-9)
    assert independent == pytest.approx(TTestIndPower().power(effect / 1.5, n, 0.03), abs=1e-9)


def test_power_of_unequal_spreads_is_what_is_simulated() -> None:
    """Welch's test with a spread of 1 and 3 finds a difference of 4 as often as computed."""
    rng = np.random.default_rng(0)
    ours, base = rng.normal(4, 1, (4000, 6)), rng.normal(0, 3, (4000, 6))
    seen = np.mean(welch_rows(ours, base).p < 0.05)

    assert power_of_test(4.0, [1.0, 9.0], 6, 0.05, paired=False) == pytest.approx(seen, abs=0.03)


def test_power_of_equivalence_grows_with_runs_and_shrinks_with_the_difference() -> None:
    """More runs show equivalence more surely; a true difference at the margin hardly ever."""
    rising = [power_of_equivalence(0.0, 1.0, [1.0], n, 0.05, paired=True) for n in (3, 6, 12, 24)]

    assert rising == sorted(rising)
    assert rising[-1] > 0.99
    assert power_of_equivalence(1.0, 1.0, [1.0], 24, 0.05, paired=True) <= 0.05


def test_seeds_for_a_verdict_are_the_fewest_that_do() -> None:
    """The number found has a chance of 80 %, one run less has not; beyond 1,000 none is named."""
    n = seeds_for_verdict(1.0, None, [2.0], 3, 0.05, paired=True)
    assert n is not None

    assert power_of_test(1.0, [2.0], n, 0.05, paired=True) >= 0.8
    assert power_of_test(1.0, [2.0], n - 1, 0.05, paired=True) < 0.8
    assert seeds_for_verdict(1e-3, None, [2.0], 3, 0.05, paired=True) is None
    for now in (3, 300, 400, 999):  # however the search comes there
        assert seeds_for_verdict(0.1, None, [1.0, 1.0], now, 0.05, paired=False) is None
    assert seeds_for_verdict(100.0, None, [2.0], 5, 0.05, paired=True) == 6


def judge(
    values: list[list[float]], baseline: list[float], goal: str = "min", margin: float | None = 0.1
) -> tuple[Judgement, ...]:
    """Judge samples without seeds against one baseline."""
    groups, base = [Sample(np.array(one)) for one in values], Sample(np.array(baseline))
    plan = AnalysisPlan(margin=margin)
    family = compare_family(groups, [base] * len(groups), goal, plan)
    return judge_family(family, goal, plan)


BASE = [10.0, 10.2, 9.8, 10.1, 9.9]


@pytest.mark.parametrize(
    ("shift", "goal", "word"),
    [
        (-3.0, "min", "WINNER"),
        (-3.0, "max", "LOSER"),
        (3.0, "min", "LOSER"),
        (0.0, "min", "EQUIVALENT"),
        (0.5, "min", "EQUIVALENT"),
        (0.95, "min", "LOSER"),
    ],
)
def test_tested_verdict(shift: float, goal: str, word: str) -> None:
    """Beyond the margin the direction decides; what is shown to lie within it is EQUIVALENT, also a real difference."""
    (found,) = judge([[value + shift for value in BASE]], BASE, goal)

    assert found.tested.word == word
    assert found.tested.further_seeds is None


def test_without_a_margin_nothing_is_equivalent() -> None:
    """Equal samples are inconclusive as long as nobody said what would be equal; no number of seeds settles that."""
    (found,) = judge([BASE], BASE, margin=None)

    assert found.tested.word == "INCONCLUSIVE"
    assert found.tested.further_seeds is None
    assert "more than 1,000" in found.tested.rationale


def test_inconclusive_names_the_seeds() -> None:
    """Two noisy samples: seeds if it is as it looks, more for any true difference, both in the rationale."""
    (found,) = judge([[8.0, 11.0, 9.0]], [10.0, 12.0, 11.0])
    tested = found.tested

    assert tested.word == "INCONCLUSIVE"
    assert tested.further_seeds is not None
    assert tested.further_seeds_any is not None
    assert 0 < tested.further_seeds <= tested.further_seeds_any
    assert f"{tested.further_seeds} further seeds" in tested.rationale
    assert f"{tested.further_seeds_any} for any true difference" in tested.rationale


@pytest.mark.parametrize("margin", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("paired", [False, True])
def test_no_true_difference_needs_more_seeds_than_any(margin: float, paired: bool) -> None:
    """The hardest difference lies about half way to the margin; the number named is enough for all, within 5 %."""
    rng = np.random.default_rng(int(10 * margin))
    seeds = np.arange(4) if paired else None
    base = Sample(10 + rng.normal(0, 0.5, 4), seeds)
    ours = Sample(base.values - 0.2 + rng.normal(0, 0.5, 4), seeds)
    plan = AnalysisPlan(margin=margin / float(base.values.mean()))
    (found,) = judge_family(compare_family([ours], [base], "min", plan), "min", plan)
    if found.tested.word != "INCONCLUSIVE":
        return
    named = found.tested.further_seeds_any
    assert named is not None

    sides = [ours.values - base.values] if paired else [ours.values, base.values]
    variance, free = [float(np.var(one, ddof=1)) for one in sides], 3 * len(sides)
    for share in np.linspace(0, 1, 21):
        needed = seeds_for_verdict(share * margin, margin, variance, 4, plan.alpha, paired=paired, free=free)
        assert needed is not None
        assert needed - 4 <= 1 + 1.05 * named
    assert named >= (found.tested.further_seeds or 0)


@pytest.mark.parametrize("pilot", [3, 5])
def test_seeds_named_after_a_small_pilot_keep_their_chance(pilot: int) -> None:
    """Of 3 runs the spread is half or twice the true one: averaged over that, the seeds named have about 80 %."""
    drawn = np.random.default_rng(pilot).chisquare(pilot - 1, 200) / (pilot - 1)
    chances = []
    for variance in drawn:
        n = seeds_for_verdict(1.0, None, [float(variance)], pilot, 0.05, paired=True, free=pilot - 1)
        assert n is not None
        chances.append(power_of_test(1.0, [1.0], n, 0.05, paired=True))

    assert 0.76 <= np.mean(chances) <= 0.88


def test_equal_differences_name_the_seeds_that_flipped_signs_need() -> None:
    """Three pairs that gain the same reach 0.25; three more would reach 5 %, if they gain the same, too."""
    base = Sample(np.array([10.0, 11.0, 13.0]), np.arange(3))
    ours = Sample(base.values - 1.0, base.seeds)
    plan = AnalysisPlan()
    (found,) = judge_family(compare_family([ours], [base], "min", plan), "min", plan)

    assert (found.tested.word, found.tested.further_seeds) == ("INCONCLUSIVE", 3)
    assert "sign-flip test over 3 seeds" in found.tested.rationale


def test_open_comparisons_share_the_error_rate() -> None:
    """The same sample needs more seeds among four open comparisons than alone."""
    alone, among = judge([[8.0, 11.0, 9.0]], [10.0, 12.0, 11.0]), judge([[8.0, 11.0, 9.0]] * 4, [10.0, 12.0, 11.0])

    assert (among[0].tested.further_seeds or 0) > (alone[0].tested.further_seeds or 0) > 0


def test_rule_and_test_may_disagree_and_both_are_told() -> None:
    """Three scattered runs far off: WINNER by the rule with its chance of error, INCONCLUSIVE when tested."""
    (found,) = judge([[5.0, 9.0, 1.0]], [10.0, 11.0, 9.0])

    assert (found.rule.word, found.tested.word) == ("WINNER", "INCONCLUSIVE")
    assert found.rule.false_alarm == two_sigma_false_alarm(3, 3)
    assert "13.4 %" in found.rule.rationale


def test_what_cannot_be_judged_says_why() -> None:
    """One run on a side has the rule's verdict and no test; no run has neither."""
    one, none = judge([[5.0], []], [10.0, 11.0, 9.0])

    assert (one.rule.word, one.tested.word, none.rule.word) == ("WINNER", "not computable", "not computable")
    assert "n=1" in one.tested.rationale
    assert "n=0" in none.rule.rationale


def test_two_looks_lower_the_level() -> None:
    """A p just below alpha claims nothing when seeds were added on the way; the rule's chance is that of both looks."""
    looks = simulate_two_looks(3, 2, (3, 5), np.random.default_rng(0), repetitions=20_000)
    plan, base = AnalysisPlan(), Sample(np.array(BASE))
    drawn = np.array(BASE) - 0.25 + np.random.default_rng(5).normal(0, 0.1, (400, 5))
    p = welch_rows(drawn, np.tile(base.values, (400, 1))).p
    sample = Sample(drawn[np.flatnonzero((p > looks.level) & (p < plan.alpha))[0]])
    (found,) = compare_family([sample], [base], "min", plan)
    (once,) = judge_family([found], "min", plan)
    (twice,) = judge_family([found], "min", plan, looks)

    assert (once.tested.word, twice.tested.word) == ("WINNER", "INCONCLUSIVE")
    assert twice.rule.false_alarm == looks.rule_error


@pytest.mark.parametrize("scale", [1e-180, 1e180])
def test_unit_of_the_metric_changes_no_verdict(scale: float) -> None:
    """Words and numbers of seeds are the same in any unit, also where squares would leave the range of floats."""
    (plain,) = judge([[8.0, 11.0, 9.0]], [10.0, 12.0, 11.0])
    (scaled,) = judge([[8.0 * scale, 11.0 * scale, 9.0 * scale]], [10.0 * scale, 12.0 * scale, 11.0 * scale])

    assert scaled == plain
