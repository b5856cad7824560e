"""Statistics against paper answers, against scipy and statsmodels, and against the error rates they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from analysis.comparisons import compare, compare_family, holm, two_sigma_rule, verdict_of_test
from analysis.effects import magnitude
from analysis.estimates import estimate
from analysis.verdicts import two_sigma_false_alarm

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


def test_estimate_of_one_two_three_is_known_on_paper() -> None:
    """Mean 2, std 1, interval 2 ± t / sqrt(3); with 2 degrees of freedom t is 0.95 / sqrt(2 · 0.975 · 0.025)."""
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
    found = estimate([1.0, 2.0, 3.0])

    assert (found.n, found.mean, found.std) == (3, 2.0, 1.0)
    assert found.low == pytest.approx(2 - half, abs=1e-12)
    assert found.high == pytest.approx(2 + half, abs=1e-12)


@given(VALUES)
def test_interval_agrees_with_statsmodels(values: list[float]) -> None:
    """Mean, std and t interval are statsmodels' to 1e-9."""
    if len(set(values)) == 1:
        return
    theirs = DescrStatsW(np.array(values), weights=None)
    scale = max(1.0, *(abs(value) for value in values))

    found = estimate(values)

    assert found.mean == pytest.approx(theirs.mean, abs=1e-9 * scale)
    assert (found.low, found.high) == pytest.approx(theirs.tconfint_mean(), abs=1e-9 * scale)


@pytest.mark.parametrize("seed", range(20))
def test_comparison_agrees_with_scipy_and_statsmodels(seed: int) -> None:
    """Welch's t, df, p and interval are scipy's and statsmodels' to 1e-9, for unequal sizes and spreads."""
    rng = np.random.default_rng(seed)
    ours = rng.normal(1.0, 0.1 + seed, size=2 + seed % 5)
    base = rng.normal(1.3, 0.5, size=3 + seed % 4)
    scipy_said = stats.ttest_ind(ours, base, equal_var=False)
    interval = scipy_said.confidence_interval(0.95)
    models = CompareMeans(DescrStatsW(ours), DescrStatsW(base))

    found = compare(ours, base, "min")

    assert found.t == pytest.approx(scipy_said.statistic, abs=1e-9)
    assert found.p == pytest.approx(scipy_said.pvalue, abs=1e-9)
    assert found.df == pytest.approx(scipy_said.df, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(models.tconfint_diff(usevar="unequal"), abs=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 30])
def test_holm_agrees_with_statsmodels(size: int) -> None:
    """Holm's adjusted p-values are statsmodels', in the order they came, ties and extremes included."""
    p_values = [*np.random.default_rng(size).uniform(0, 1, size) ** 3, 0.0, 1.0, 0.01, 0.01]
    expected = multipletests(p_values, method="holm")[1]

    assert holm(p_values) == pytest.approx(expected.tolist(), abs=1e-12)


def test_holm_leaves_out_what_was_not_tested() -> None:
    """A test that could not be made stays None and does not make the others more expensive."""
    assert holm([0.01, None, 0.04]) == pytest.approx((0.02, None, 0.04))
    assert holm([None]) == (None,)


def test_cohens_d_uses_the_mean_of_both_variances() -> None:
    """d = 2 / sqrt((1 + 9) / 2) for spreads of 1 and 3, also where the sizes differ."""
    found = compare([3.0, 4.0, 5.0], [-1.0, 2.0, 5.0], "max")

    assert found.cohens_d == pytest.approx(2 / math.sqrt(5))
    assert found.magnitude == "large"


@pytest.mark.parametrize(
    ("d", "word"),
    [(0.0, "negligible"), (0.199, "negligible"), (-0.2, "small"), (0.499, "small"), (0.5, "medium"), (-0.8, "large")],
)
def test_magnitudes_change_at_the_stated_bounds(d: float, word: str) -> None:
    """0.2, 0.5 and 0.8 each belong to the larger word, whatever the sign."""
    assert magnitude(d) == word


@pytest.mark.parametrize(
    ("difference", "z", "goal", "expected"),
    [
        (-1.0, 2.0, "min", ("clear", "WINNER")),
        (-1.0, 2.0, "max", ("clear", "LOSER")),
        (1.0, 2.5, "max", ("clear", "WINNER")),
        (1.0, 1.999, "max", ("suggestive", "NEUTRAL")),
        (1.0, 1.0, "min", ("suggestive", "NEUTRAL")),
        (-1.0, 0.999, "min", ("noise", "NEUTRAL")),
    ],
)
def test_two_sigma_rule_at_its_bounds(difference: float, z: float, goal: str, expected: tuple[str, str]) -> None:
    """Two sigmas decide by the goal's direction, one to two is suggestive, less is noise."""
    assert two_sigma_rule(difference, z, goal) == expected


def test_rule_and_test_are_told_apart() -> None:
    """Three against three runs can be a clear WINNER by the 2σ rule and inconclusive when tested."""
    (found,) = compare_family([[0.5, 0.9, 0.1]], [[1.0, 1.1, 0.9]], "min")

    assert (found.rule_verdict, found.tested_verdict) == ("WINNER", "inconclusive")


@pytest.mark.parametrize(("goal", "word"), [("min", "better"), ("max", "worse")])
def test_tested_verdict_follows_the_goal(goal: str, word: str) -> None:
    """The same significant decrease is better when less is wanted and worse when more is."""
    assert verdict_of_test(-1.0, 0.01, goal) == word
    assert verdict_of_test(-1.0, 0.05, goal) == "inconclusive"
    assert verdict_of_test(None, 0.01, goal) == "not computable"


@pytest.mark.parametrize(
    ("ours", "base", "words"),
    [
        ([1.0], [1.0, 2.0, 3.0], "n=1"),
        ([1.0, 2.0], [1.0], "n=1"),
        ([], [1.0, 2.0], "n=0"),
        ([math.nan, math.nan], [1.0, 2.0], "n=0"),
        ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1], "neither sample varies"),
        ([1.0, 2.0], [0.0, 0.0], "does not vary"),
    ],
)
def test_degenerate_samples_say_what_is_not_computable(ours: list[float], base: list[float], words: str) -> None:
    """One run, no run or no spread give a reason; no number is invented and nothing is raised or warned."""
    (found,) = compare_family([ours], [base], "min")

    assert words in found.note
    assert all(value is None or math.isfinite(value) for value in vars(found).values() if not isinstance(value, str))


def test_single_value_has_a_mean_and_nothing_else() -> None:
    """n=1 gives the value itself and None, with the reason, for everything about spread."""
    found = estimate([4.2, math.nan])

    assert (found.n, found.missing, found.mean) == (1, 1, 4.2)
    assert (found.std, found.low, found.high) == (None, None, None)
    assert "n=1" in found.note


def test_equal_values_have_no_rounding_spread() -> None:
    """Three times 0.1 has std 0 exactly and mean 0.1 exactly, and the note warns of the interval."""
    found = estimate([0.1, 0.1, 0.1])

    assert (found.mean, found.std, found.low, found.high) == (0.1, 0.0, 0.1, 0.1)
    assert "no proof" in found.note


@pytest.mark.parametrize("scale", [1e-180, 1e180])
def test_extreme_magnitudes_do_not_change_the_test(scale: float) -> None:
    """p, d and z do not depend on the unit, also where squares would leave the range of floats."""
    ours, base = np.array([1.0, 2.0, 4.0]), np.array([2.0, 5.0, 6.0])
    plain, scaled = compare(ours, base, "min"), compare(ours * scale, base * scale, "min")

    assert (scaled.p, scaled.cohens_d, scaled.z) == pytest.approx((plain.p, plain.cohens_d, plain.z), rel=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    """Of 4,000 intervals from normal samples of n runs 95 % cover the mean (within four standard errors)."""
    rng = np.random.default_rng(20_000 + n)
    samples = rng.normal(3.0, 2.0, size=(4000, n))
    covered = np.mean([(one.low or 0) <= 3.0 <= (one.high or 0) for one in map(estimate, samples)])

    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize("n", [3, 5])
def test_family_rarely_finds_what_is_not_there(n: int) -> None:
    """With five configurations equal to the baseline, any significant verdict comes in at most 5 % of experiments."""
    rng = np.random.default_rng(30_000 + n)
    rounds = 400
    alarms = 0
    for _ in range(rounds):
        runs = rng.normal(1.0, 0.2, size=(6, n))
        family = compare_family(list(runs[1:]), [runs[0]] * 5, "min")
        alarms += any(one.tested_verdict in ("better", "worse") for one in family)

    assert alarms / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)


def test_real_effects_are_found() -> None:
    """An effect of five standard deviations at n=5 is found nearly always: the test is not blind."""
    rng = np.random.default_rng(4)
    found = [compare_family([rng.normal(0, 1, 5)], [rng.normal(5, 1, 5)], "min")[0].tested_verdict for _ in range(200)]

    assert found.count("better") > 190


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


def test_wrong_arguments_are_refused() -> None:
    """A goal or a level that means nothing is an error, not a default."""
    with pytest.raises(ValueError, match="'min' or 'max'"):
        compare([1.0], [1.0], "minimise")
    with pytest.raises(ValueError, match="level"):
        estimate([1.0], level=95)
