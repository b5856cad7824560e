"""Comparisons against scipy and statsmodels, the choice of the test, and the corrections for many of them."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttest_ind, ttost_ind, ttost_paired

from analysis.statistics.comparisons import AnalysisPlan, compare, compare_family, two_sigma_rule, verdict_of_test
from analysis.statistics.corrections import adjust, holm
from analysis.statistics.effects import Effect
from analysis.statistics.row_tests import equivalence_rows
from analysis.statistics.samples import Sample, find_pairs

SEEDS = np.array([42, 137, 256, 512, 1024])


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
    numbers = [value for value in vars(found).values() if value is not None and not isinstance(value, str | Effect)]
    assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize("scale", [1e-180, 1e180])
def test_extreme_magnitudes_do_not_change_the_test(scale: float) -> None:
    """p, d and z do not depend on the unit, also where squares would leave the range of floats."""
    ours, base = np.array([1.0, 2.0, 4.0]), np.array([2.0, 5.0, 6.0])
    plain, scaled = compare(ours, base, "min"), compare(ours * scale, base * scale, "min")

    assert (scaled.p, scaled.cohens_d, scaled.z) == pytest.approx((plain.p, plain.cohens_d, plain.z), rel=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_equal_configurations_are_rarely_called_different(n: int) -> None:
    """Of 2,000 pairs of equal normal samples 5 % have p < 0.05 (within four standard errors), as paired runs."""
    runs = np.random.default_rng(30_000 + n).normal(1.0, 0.2, size=(2, 2000, n))
    groups, bases = ([Sample(one, SEEDS[:n]) for one in side] for side in runs)
    family = compare_family(groups, bases, "min")
    share = np.mean([(one.p or 0.0) < 0.05 for one in family])

    assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 2000))


def test_real_effects_are_found() -> None:
    """An effect of five standard deviations at n=5 is found nearly always: the test is not blind."""
    rng = np.random.default_rng(4)
    groups, bases = list(rng.normal(0, 1, (200, 5))), list(rng.normal(5, 1, (200, 5)))
    found = [verdict_of_test(one.difference, one.p, "min") for one in compare_family(groups, bases, "min")]

    assert found.count("better") > 190


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_benjamini_hochberg_agrees_with_statsmodels(size: int) -> None:
    """The adjusted p-values are statsmodels', in the order they came; None stays None and does not count."""
    p_values = [*np.random.default_rng(size).uniform(0, 1, size) ** 3, 0.0, 1.0, 0.01, 0.01]
    expected = multipletests(p_values, method="fdr_bh")[1].tolist()

    found = adjust([*p_values, None], "bh")

    assert found[:-1] == pytest.approx(expected, abs=1e-12)
    assert found[-1] is None
    assert adjust([None], "bh") == (None,)


def _samples(seed: int, n: int = 5) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n)
    return (
        Sample(1.0 + shared + rng.normal(0, 0.3, n), SEEDS[:n]),
        Sample(1.5 + shared + rng.normal(0, 0.3, n), SEEDS[:n]),
    )


@pytest.mark.parametrize("seed", range(10))
def test_paired_comparison_agrees_with_scipy(seed: int) -> None:
    """With shared seeds t, df, p, interval, Wilcoxon's p and the permutation test are scipy's to 1e-9."""
    ours, base = _samples(seed)
    tested = stats.ttest_rel(ours.values, base.values)
    interval = tested.confidence_interval(0.95)
    permuted = stats.permutation_test(
        (ours.values - base.values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )

    found = compare(ours, base, "min")

    assert (found.test, found.pairs) == ("paired t test over 5 seeds", 5)
    assert (found.t, found.df, found.p) == pytest.approx((tested.statistic, 4, tested.pvalue), abs=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found.p_rank == pytest.approx(stats.wilcoxon(ours.values, base.values, method="exact").pvalue, abs=1e-9)
    assert found.p_permutation == pytest.approx(permuted.pvalue, abs=1e-9)
    assert found.p_welch == pytest.approx(stats.ttest_ind(ours.values, base.values, equal_var=False).pvalue, abs=1e-9)
    assert found.p_smallest == 1 / 16


@pytest.mark.parametrize("ties", [False, True])
def test_exact_tests_of_independent_samples_agree_with_scipy(ties: bool) -> None:
    """Without seeds the rank test and the permutation test are scipy's over every arrangement, ties included."""
    rng = np.random.default_rng(3)
    ours, base = rng.normal(size=4), rng.normal(1.0, size=5)
    if ties:
        ours, base = np.round(ours), np.round(base)
    every = stats.PermutationMethod(n_resamples=np.inf)
    permuted = stats.permutation_test(
        (ours, base), lambda one, two: np.mean(one) - np.mean(two), vectorized=False, n_resamples=np.inf
    )

    found = compare(ours, base, "min")

    assert found.test == "Welch's t test"
    assert found.p_rank == pytest.approx(stats.mannwhitneyu(ours, base, method=every).pvalue, abs=1e-9)
    assert found.p_permutation == pytest.approx(permuted.pvalue, abs=1e-9)
    assert found.p_smallest == pytest.approx(2 / math.comb(9, 4))


def test_many_runs_have_scipys_rank_test_and_no_permutation_test() -> None:
    """Beyond 2,000 arrangements ranks are tested as scipy chooses to, paired or not."""
    rng = np.random.default_rng(5)
    ours, base, seeds = rng.normal(size=12), rng.normal(size=12), np.arange(12)
    alone, together = compare(ours, base, "min"), compare(Sample(ours, seeds), Sample(base, seeds), "min")

    assert alone.p_rank == pytest.approx(stats.mannwhitneyu(ours, base).pvalue, abs=1e-9)
    assert together.p_rank == pytest.approx(stats.wilcoxon(ours, base, zero_method="pratt").pvalue, abs=1e-9)
    assert (alone.p_permutation, together.p_permutation, alone.p_smallest) == (None, None, None)


@pytest.mark.parametrize(
    ("mine", "theirs", "pairs"),
    [
        ([42, 137, 256], [42, 137, 256], 3),
        ([42, 137, 256], [1024, 512, 256, 137, 42], 3),
        ([42, 137, 256, 512], [42, 137, 999, 1000], 0),
        ([42, 42, 256], [42, 137, 256], 0),
        ([42], [42, 137], 0),
    ],
)
def test_pairs_follow_from_the_planned_seeds(mine: list[int], theirs: list[int], pairs: int) -> None:
    """Runs are paired where one side's seeds are among the other's, each once, and two pairs are there."""
    ours = Sample(np.arange(len(mine), dtype=float) ** 2, np.array(mine))
    base = Sample(np.array(theirs, dtype=float), np.array(theirs))

    found = find_pairs(ours, base)

    assert (0 if found is None else len(found[0])) == pairs
    if found is not None:
        assert found[1].tolist() == [float(seed) for seed in mine]


def test_run_without_a_value_takes_its_partner_out() -> None:
    """One diverged run leaves the other pairs, and the sizes keep all runs there are."""
    ours = Sample(np.array([1.0, math.nan, 3.0, 2.5, 2.0, 4.0]), np.arange(6))
    base = Sample(np.array([2.0, 9.0, 3.5, 4.0, 2.5, 5.0]), np.arange(6))
    found = compare(ours, base, "min")

    assert (found.n, found.n_baseline, found.pairs) == (5, 6, 5)
    assert found.difference == pytest.approx(np.mean([-1.0, -0.5, -1.5, -0.5, -1.0]))


def test_few_pairs_of_one_configuration_are_compared_over_all_runs() -> None:
    """Three runs against a stored baseline of five: Welch's test, which finds twice as much as three pairs do."""
    base = Sample(np.array([1.0, 2.0, 1.5, 1.2, 1.9]), SEEDS)
    found = compare(Sample(np.array([3.0, 4.1, 3.6]), SEEDS[:3]), base, "min")

    assert (found.test, found.pairs, found.basis, found.sizes) == ("Welch's t test", 0, "over all runs", (3, 5))


@pytest.mark.parametrize(("runs", "p"), [(3, 0.25), (5, 0.0625)])
def test_equal_differences_of_pairs_are_tested_by_their_signs(runs: int, p: float) -> None:
    """The same difference at every seed has no spread for t: the exact test of signs decides, and the rest is there."""
    base = Sample(np.array([1.0, 2.0, 3.0, 5.0, 9.0])[:runs], SEEDS[:runs])
    found = compare(Sample(base.values + 0.5, SEEDS[:runs]), base, "max")

    assert (found.test, found.p) == (f"sign-flip test over {runs} seeds", p)
    assert (found.t, found.low, found.high) == (None, None, None)
    assert found.relative_percent == pytest.approx(50 / base.values.mean())
    assert found.cohens_d == pytest.approx(0.5 / np.std(base.values, ddof=1))
    assert found.d is not None
    assert found.improvement is not None
    assert found.z is not None
    assert "all pairs differ by the same" in found.note


def test_ten_equal_differences_are_a_winner() -> None:
    """The clearest result there is needs no spread: ten pairs that all gain the same are better, p = 2 / 1,024."""
    base = Sample(np.random.default_rng(1).normal(size=10), np.arange(10))
    (found,) = compare_family([Sample(base.values - 0.25, base.seeds)], [base], "min")

    assert found.tested_verdict == "better"
    assert found.p == pytest.approx(2 / 1024)


def test_equal_runs_at_every_seed_are_no_difference() -> None:
    """An arm that gives exactly what the baseline gives: p = 1, and the question whether it does anything."""
    base = Sample(np.array([1.0, 2.0, 3.0]), SEEDS[:3])
    found = compare(Sample(base.values.copy(), SEEDS[:3]), base, "min")

    assert (found.p, found.difference, found.relative_percent) == (1.0, 0.0, 0.0)
    assert "does the program use what was changed?" in found.note


@pytest.mark.parametrize("seeds", [None, SEEDS[:3]])
def test_sides_without_spread_have_all_but_a_test(seeds: np.ndarray | None) -> None:
    """Runs that are all alike on both sides: difference and percent stand, d is infinite, the seed is asked about."""
    found = compare(Sample(np.full(3, 2.0), seeds), Sample(np.full(3, 1.5), seeds), "min")

    assert (found.difference, found.p, found.magnitude) == (0.5, None, "infinite")
    assert found.relative_percent == pytest.approx(100 / 3)
    assert "does the program use the seed?" in found.note


@pytest.mark.parametrize("seed", range(5))
def test_equivalence_agrees_with_statsmodels(seed: int) -> None:
    """The larger p of both one-sided tests is statsmodels', against (1 ± 10 %) times the baseline, and its TOST's."""
    rng = np.random.default_rng(seed)
    ours, base = rng.normal(10, 1, 5), rng.normal(10.2, 1, 5)
    centre = np.array([base.mean()])
    sides = ((ours - centre)[None], (base - centre)[None])
    above = ttest_ind(ours, 0.9 * base, alternative="larger", usevar="unequal")[1]
    below = ttest_ind(ours, 1.1 * base, alternative="smaller", usevar="unequal")[1]

    found = equivalence_rows(*sides, centre, 0.1, paired=False)

    assert found == pytest.approx([max(above, below)], abs=1e-9)
    narrow = np.concatenate((ours, ours + 0.1))  # a baseline without noise of its own: the margin is a fixed line
    fixed = np.full(10, 10.0) + np.tile([1e-9, -1e-9], 5)
    p, _, _ = ttost_ind(narrow, fixed, -1.0, 1.0, usevar="unequal")
    again = equivalence_rows((narrow - 10)[None], (fixed - 10)[None], np.array([10.0]), 0.1, paired=False)
    assert again == pytest.approx([p], abs=1e-6)
    p, _, _ = ttost_paired(narrow, fixed, -1.0, 1.0)
    again = equivalence_rows((narrow - 10)[None], (fixed - 10)[None], np.array([10.0]), 0.1, paired=True)
    assert again == pytest.approx([p], abs=1e-6)


def test_equivalence_does_not_depend_on_the_sign_of_the_metric() -> None:
    """Negating every value mirrors the margin; a baseline of mean 0 has none."""
    ours, base = np.array([[9.0, 10.0, 11.5]]), np.array([[10.0, 10.4, 9.6]])
    plan = AnalysisPlan(margin=0.2)
    plus = compare_family([ours[0]], [base[0]], "min", plan)[0]
    minus = compare_family([-ours[0]], [-base[0]], "min", plan)[0]
    zero = compare_family([ours[0]], [base[0] - 10.0], "min", plan)[0]

    assert plus.p_equivalence == pytest.approx(minus.p_equivalence, abs=1e-12)
    assert zero.p_equivalence is None


def test_members_of_a_family_do_not_change_each_other() -> None:
    """Without shared seeds a comparison has the same numbers computed together or alone, but for the adjustment."""
    rng = np.random.default_rng(8)
    groups = [Sample(rng.normal(size=n)) for n in (3, 5, 4, 3, 5)]
    base = Sample(rng.normal(size=5), SEEDS)
    together = compare_family(groups, [base] * 5, "max")

    for one, found in zip(groups, together, strict=True):
        alone = compare(one, base, "max")
        for name in ("p", "low", "high", "p_rank", "p_permutation", "cohens_d", "z"):
            assert getattr(found, name) == pytest.approx(getattr(alone, name), abs=1e-12), name


def test_improvement_follows_the_goal() -> None:
    """The chance of being better is that of the smaller value for a goal of min; Cliff's delta keeps its sign."""
    less, more = compare([1.0, 2.0, 3.0], [4.0, 5.0, 2.5], "min"), compare([1.0, 2.0, 3.0], [4.0, 5.0, 2.5], "max")
    assert less.improvement is not None
    assert more.improvement is not None

    assert less.improvement.value == pytest.approx(8 / 9)
    assert more.improvement.value == pytest.approx(1 / 9)
    assert (more.improvement.low, more.improvement.high) == pytest.approx(
        (1 - less.improvement.high, 1 - less.improvement.low)
    )
    assert less.cliffs_delta == more.cliffs_delta
    assert less.cliffs_delta is not None
    assert less.cliffs_delta.value == pytest.approx(-7 / 9)


def test_wrong_arguments_are_refused() -> None:
    """A goal or a correction that means nothing is an error, not a default."""
    with pytest.raises(ValueError, match="'min' or 'max'"):
        compare([1.0], [1.0], "minimise")
    with pytest.raises(ValueError, match="holm, bh"):
        adjust([0.1], "bonferroni")


@pytest.mark.parametrize("spread", [0.0, 1e-15])
def test_rounding_is_no_spread(spread: float) -> None:
    """Runs that are equal up to the last digit do not vary: no verdict rests on how a sum was rounded."""
    rng = np.random.default_rng(0)
    base, ours = 10.0 + spread * rng.normal(size=4), 10.0 + 1e-14 + spread * rng.normal(size=4)
    (found,) = compare_family([ours], [base], "min", AnalysisPlan(margin=0.05))

    assert (found.p, found.z, found.p_equivalence) == (None, None, None)
    assert "neither sample varies" in found.note
    assert found.rule_verdict == "not computable"


def test_two_seeds_that_add_the_same_to_every_arm_prove_nothing() -> None:
    """No run varies but by its arm and its seed: the model has no spread, and p would be 0."""
    seeds = np.arange(2)
    base, *arms = (Sample(level + np.array([0.1, 0.5]), seeds) for level in (3.0, 3.2, 3.5))
    found = compare_family(arms, [base, base], "min")

    assert [one.test for one in found] == ["Welch's t test"] * 2
    assert [one.p for one in found] == pytest.approx(
        [stats.ttest_ind(one.values, base.values, equal_var=False).pvalue for one in arms]
    )
    assert {one.tested_verdict for one in found} == {"inconclusive"}
