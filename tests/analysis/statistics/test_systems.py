"""Methods over systems: effects, ranks, tests and profiles that can be followed on paper, and the laws they keep."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.comparisons import AnalysisPlan
from analysis.statistics.jackknife import Aggregate
from analysis.statistics.missing import Runs
from analysis.statistics.rank_tests import friedman, nemenyi, score_interval, stratified_rank_test
from analysis.statistics.system_runs import ORDER, RANGE, RATIO
from analysis.statistics.systems import OverSystems, compare_over_systems

VALUES = {
    "sft": {"pendulum": [10.0, 10.0], "cartpole": [150.0, 250.0]},
    "grpo": {"pendulum": [5.0, 6.0], "cartpole": [100.0, 300.0]},
}
NAN = float("nan")


def runs_of(values: Sequence[float], diverged: int = 0, seeds: Sequence[int] | None = None) -> Runs:
    """Runs with these values, NaN for one without, and some that diverged beside them."""
    every = np.array([*values, *[NAN] * diverged])
    lost = np.array([False] * len(values) + [True] * diverged)
    return Runs(every, None if seeds is None else np.array(seeds), np.isnan(every), np.full(len(every), NAN), lost)


def compared(
    values: Mapping[str, Mapping[str, Sequence[float] | Runs]],
    goal: str = "min",
    plan: AnalysisPlan | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> OverSystems:
    """Compare with sft."""
    runs = {
        method: {system: one if isinstance(one, Runs) else runs_of(one) for system, one in by_system.items()}
        for method, by_system in values.items()
    }
    return compare_over_systems(runs, "sft", goal, plan or AnalysisPlan(), ranges=ranges)


def ends(one: Aggregate | None) -> tuple[float, float, float]:
    """Low, value and high of what must have an interval."""
    assert one is not None
    assert one.low is not None
    assert one.high is not None
    return one.low, one.value, one.high


def test_ratios_are_geometric_means_over_pairs_on_the_same_system() -> None:
    """sqrt(5 · 6) / 10 and sqrt(100 · 300) / sqrt(150 · 250): their geometric mean; each system counts alike."""
    found = compared(VALUES)
    sft, grpo = found.methods
    low, value, high = ends(grpo.effect)

    assert (found.scale, sft.method, sft.effect) == (RATIO, "sft", None)
    assert value == pytest.approx(((30**0.5 / 10) * (30000**0.5 / 37500**0.5)) ** 0.5)
    assert grpo.by_system == pytest.approx((30**0.5 / 10, (30000 / 37500) ** 0.5))
    assert low < value < high


def test_interval_is_welchs_on_logarithms_for_one_system_twice() -> None:
    """Two systems with the same runs: the mean of two equal contrasts, so Welch's error over the square root of 2."""
    ours, base = [1.0, 2.0, 4.0], [2.0, 3.0, 7.0, 9.0]
    found = compared({"sft": {"a": base, "b": base}, "new": {"a": ours, "b": ours}}).methods[1]
    one = stats.ttest_ind(np.log(ours), np.log(base), equal_var=False)
    error = one.statistic**-1 * (np.log(ours).mean() - np.log(base).mean()) / np.sqrt(2)
    df = 2 * one.df
    low, value, high = ends(found.effect)

    assert found.df == pytest.approx(df)
    half = stats.t.ppf(0.975, df) * error
    assert (np.log(low), np.log(high)) == pytest.approx((np.log(value) - half, np.log(value) + half))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(np.log(value) / error), df))


def test_runs_of_the_same_seeds_are_pairs() -> None:
    """What the runs of a seed have in common is no error: the interval is that of a paired t test."""
    common, ours, base = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.1, 0.3, 0.2, 0.15]), np.zeros(4)
    values = {
        name: {system: runs_of(np.exp(common + own).tolist(), seeds=[1, 2, 3, 4]) for system in "ab"}
        for name, own in (("sft", base), ("new", ours))
    }
    found = compared(values).methods[1]

    assert found.df == pytest.approx(6)
    error = ours.std(ddof=1) / np.sqrt(4) / np.sqrt(2)
    assert np.log(ends(found.effect)[2]) == pytest.approx(ours.mean() + stats.t.ppf(0.975, 6) * error)


def test_improvement_is_averaged_over_systems() -> None:
    """Better in all pairs on one system and in half of them on the other: 75 %; the baseline has none."""
    sft, grpo = compared(VALUES).methods

    assert sft.improvement is None
    assert ends(grpo.improvement)[1] == 0.75


def test_more_is_better_where_the_goal_says_so() -> None:
    """5 % above the baseline is a ratio of 1.05, never 0.95 or less than nothing, and an improvement in every pair."""
    values = {"sft": {"x": [100.0, 101.0], "y": [10.0, 10.1]}, "a": {"x": [105.0, 106.05], "y": [2000.0, 2020.0]}}
    found = compared(values, "max").methods[1]

    assert found.by_system == pytest.approx((1.05, 200.0))
    assert ends(found.improvement)[1] == 1.0
    assert found.word == "WINNER"


def test_diverged_runs_are_the_worst_and_in_no_mean() -> None:
    """Two of four pendulum runs diverged: pairs with them are lost, the profile ends below 1, and ranks decide."""
    values = {**VALUES, "grpo": {"pendulum": runs_of([5.0, 6.0], diverged=2), "cartpole": [100.0, 300.0]}}
    grpo = compared(values).methods[1]

    assert ends(grpo.improvement)[1] == (0.5 + 0.5) / 2
    assert ends(grpo.effect) == ends(compared(VALUES).methods[1].effect)
    assert grpo.profile[-1] == 0.75
    assert list(grpo.profile) == sorted(grpo.profile)
    assert grpo.test == "exact rank test stratified by system"
    assert (grpo.diverged, grpo.missing) == (2, 0)


def test_method_that_diverged_everywhere_on_a_system_is_last_there() -> None:
    """It is not left out with its system: it has no mean, the worst rank there, and no chance to win by it."""
    values = {
        "sft": {s: [10.0, 11.0, 12.0] for s in "abc"},
        "new": {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0], "c": runs_of([], diverged=3)},
    }
    found = compared(values)
    new = found.methods[1]

    assert found.systems == ("a", "b", "c")
    assert new.effect is None
    assert new.ranks == (1.0, 1.0, 2.0)
    assert ends(new.improvement)[1] == pytest.approx(2 / 3)
    assert new.word == "INCONCLUSIVE"


def test_declared_range_gives_scores_that_are_not_clipped() -> None:
    """(value − low) / (high − low), outside of 0 to 1 too, which is named; a baseline of 0 is no trouble."""
    values = {"sft": {"a": [0.0, 0.0], "b": [-5.0, 5.0]}, "new": {"a": [5.0, 25.0], "b": [0.0, 10.0]}}
    found = compared(values, "max", ranges={"a": (0, 10), "b": (-10, 10)})
    sft, new = found.methods

    assert found.scale == RANGE
    assert ends(sft.score)[1] == pytest.approx((0 + 0.5) / 2)
    assert ends(new.score)[1] == pytest.approx((1.5 + 0.75) / 2)
    assert ends(new.effect)[1] == pytest.approx((1.5 + 0.25) / 2)
    assert found.outside == ("a, new: 1 of 2 (25; declared 0 to 10)",)


@pytest.mark.parametrize("goal", ["max", "min"])
def test_optimality_gap_is_what_runs_lack_to_the_best_end(goal: str) -> None:
    """A run beyond the best end makes up for none below; where all reach it it is 0; without a range none."""
    values = {"sft": {"a": [10.0, 12.0, 25.0], "b": [11.0, 10.0]}, "new": {"a": [4.0, 8.0, 30.0], "b": [0.0, 10.0]}}
    sign = 1.0 if goal == "max" else -1.0
    turned = {name: {at: [sign * one for one in runs] for at, runs in by.items()} for name, by in values.items()}
    ranges = dict.fromkeys(("a", "b"), (0.0, 10.0) if goal == "max" else (-10.0, 0.0))
    sft, new = compared(turned, goal, ranges=ranges).methods

    assert sft.gap == Aggregate(0.0, None, None)
    low, gap, high = ends(new.gap)
    assert gap == pytest.approx(((0.6 + 0.2 + 0.0) / 3 + (1.0 + 0.0) / 2) / 2)
    assert low == 0.0 < gap < high
    assert compared(turned, goal).methods[0].gap is None


@pytest.mark.parametrize("goal", ["max", "min"])
def test_optimality_gap_within_the_range_is_the_rest_of_the_mean_score(goal: str) -> None:
    """Where no run is beyond the best end, gap and mean score tell the same, their intervals too."""
    values = {"sft": {"a": [4.0, 5.0, 7.0], "b": [5.0, 6.0]}, "new": {"a": [5.0, 5.5, 6.0], "b": [4.5, 5.0]}}
    for one in compared(values, goal, ranges={"a": (0, 10), "b": (0, 10)}).methods:
        low, score, high = ends(one.score)
        expected = (1 - high, 1 - score, 1 - low) if goal == "max" else (low, score, high)
        assert ends(one.gap) == pytest.approx((max(0.0, expected[0]), *expected[1:]))


def test_without_range_and_ratios_only_the_order_of_runs_counts() -> None:
    """A value of 0 makes ratios meaningless: the probability of improvement stays, and the page says why."""
    values = {"sft": {"a": [0.0, 0.1], "b": [1.0, 2.0]}, "new": {"a": [-1.0, -2.0], "b": [0.5, 0.6]}}
    found = compared(values)
    new = found.methods[1]

    assert (found.scale, found.points, new.effect, new.profile) == (ORDER, (), None, ())
    assert ends(new.improvement)[1] == 1.0
    assert "which a has not everywhere" in found.why


def test_what_is_left_out_is_named_with_its_reason() -> None:
    """A system without a result of a method, one without a baseline, a method that was hardly run."""
    values: dict[str, dict[str, Sequence[float] | Runs]] = {
        "sft": {"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 2.0], "d": [NAN], "e": runs_of([], diverged=1)},
        "new": {"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [NAN], "d": [1.0], "e": [1.0]},
        "rare": {"a": [1.0]},
    }
    found = compared(values)

    assert found.systems == ("a", "b")
    assert {one.name: one.reason for one in found.dropped} == {
        "c": "no run of new has a value there",
        "d": "the baseline sft has none: no run of it has a value",
        "e": "the baseline sft has none: every run of it diverged",
        "rare": "it has results on fewer than 2 systems",
    }
    assert compared({"sft": {"a": [1.0], "b": [NAN]}, "new": {"a": [1.0], "b": [1.0]}}).methods == ()


def test_one_run_on_a_system_has_no_interval_and_is_tested_by_ranks() -> None:
    """Without a spread there is no t test; 6 systems with one run each are a sign test: 2 / 2^6."""
    values = {"sft": {s: [10.0] for s in "abcdef"}, "new": {s: [9.0] for s in "abcdef"}}
    new = compared(values).methods[1]
    assert new.effect is not None

    assert (new.effect.value, new.effect.low) == (pytest.approx(0.9), None)
    assert (new.p, new.floor, new.word) == (pytest.approx(2 / 64), pytest.approx(2 / 64), "WINNER")


def test_equivalence_needs_the_whole_interval_within_the_margin() -> None:
    """Equal but for noise of 0.1 % is EQUIVALENT at 5 %, noise of 20 % is not."""
    rng = np.random.default_rng(0)
    for noise, word in ((0.001, "EQUIVALENT"), (0.2, "INCONCLUSIVE")):
        values = {m: {s: rng.normal(10, 10 * noise, 5).tolist() for s in "abc"} for m in ("sft", "new")}
        assert compared(values, plan=AnalysisPlan(margin=0.05)).methods[1].word == word


def test_rank_test_of_one_system_is_mann_whitneys_and_its_floor_is_named() -> None:
    """The exact two-sided p of scipy; of 3 against 3 on two systems it cannot be less than 2 / 20²."""
    rng = np.random.default_rng(1)
    for n, m in ((3, 5), (6, 4), (2, 7)):
        ours, base = rng.normal(size=n), rng.normal(size=m)
        expected = stats.mannwhitneyu(ours, base, method="exact").pvalue
        assert stratified_rank_test([ours], [base])[0] == pytest.approx(expected)

    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, np.inf])
    assert stratified_rank_test([low, low], [high, high]) == pytest.approx((2 / 400, 2 / 400))


def test_rank_test_of_many_runs_is_close_to_the_exact_one() -> None:
    """Above 60 runs on a system the normal distribution takes over, without a jump."""
    rng = np.random.default_rng(2)
    ours, base = rng.normal(0.3, 1, 35), rng.normal(size=35)
    p, floor = stratified_rank_test([ours], [base])

    assert floor is None
    assert p == pytest.approx(stats.mannwhitneyu(ours, base, method="exact").pvalue, abs=0.01)


def test_friedman_is_exact_for_few_systems() -> None:
    """Four systems, three methods: as many of all 6^4 orders as have at least this sum of squares; floor 1 / 6^3."""
    ranks = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]], dtype=np.float64)
    found = friedman(ranks)
    sums = [(np.sum(orders, axis=0) ** 2).sum() for orders in product(permutations((1, 2, 3)), repeat=4)]

    assert found.statistic == pytest.approx(stats.friedmanchisquare(*ranks.T).statistic)
    assert found.p == pytest.approx(np.mean(np.array(sums) >= (ranks.sum(axis=0) ** 2).sum()))
    assert found.floor == pytest.approx(1 / 6**3)
    assert friedman(np.full((4, 3), 2.0)).p == 1.0


def test_friedman_of_many_is_iman_and_davenports() -> None:
    """F = (systems − 1) χ² / (systems (methods − 1) − χ²), with its degrees of freedom."""
    ranks = stats.rankdata(np.random.default_rng(3).normal(size=(6, 8)), axis=1)
    found = friedman(ranks)
    f = 5 * found.statistic / (6 * 7 - found.statistic)

    assert found.method == "Iman–Davenport"
    assert found.p == pytest.approx(stats.f.sf(f, 7, 35))


def test_critical_difference_is_demsars() -> None:
    """Demšar's (2006) example: 4 methods on 14 data sets, q = 2.569, a critical difference of 1.25."""
    assert nemenyi(4, 14, 0.05) == pytest.approx(1.25, abs=0.005)


def test_average_ranks_share_equal_means() -> None:
    """Two methods with the same mean share ranks 1 and 2, whatever the unit of the system."""
    values = {"sft": {"a": [1.0, 3.0], "b": [9e6, 9e6]}, "x": {"a": [1.0, 3.0], "b": [7e6, 7e6]},
              "y": {"a": [5.0, 5.0], "b": [8e6, 8e6]}}  # fmt: skip
    found = compared(values)

    assert {one.method: one.ranks for one in found.methods} == {"sft": (1.5, 3.0), "x": (1.5, 1.0), "y": (3.0, 2.0)}


def test_means_that_differ_by_rounding_share_their_rank() -> None:
    """1 in all three, summed from other runs: scores of them differ in the last digit and nowhere else."""
    values: dict[str, dict[str, list[float]]] = {
        "sft": {"a": [4.0, 3.0, -3.0, 0.0], "b": [1.0]},
        "x": {"a": [-2.0, -2.0, 2.0, 6.0], "b": [2.0]},
        "y": {"a": [3.0, 6.0, -6.0], "b": [3.0]},
    }
    for factor in (1.0, -1.0):
        turned = {m: {s: [factor * one for one in v] for s, v in by_s.items()} for m, by_s in values.items()}
        found = compared(turned, "min" if factor > 0 else "max", ranges={"a": (-6, 6), "b": (-6, 6)})
        assert [one.ranks for one in found.methods] == [(2.0, 1.0), (2.0, 2.0), (2.0, 3.0)]


def test_score_interval_stays_wide_at_the_ends() -> None:
    """All pairs won on two systems of 3 against 3 is no proof of 100 %."""
    low, high = score_interval(np.array([1.0]), [(3, 3), (3, 3)], 0.95)

    assert low[0] < 0.85
    assert high[0] == 1.0


def experiments(*, positive: bool) -> st.SearchStrategy[dict[str, dict[str, Runs]]]:
    """Random experiments: 2 or 3 methods, 2 to 4 systems with levels far apart, unequal n, ties, diverged runs."""
    values = st.integers(1, 12) if positive else st.integers(-6, 6)
    some = st.lists(values, min_size=1, max_size=4)
    runs = st.builds(lambda found, diverged: runs_of([float(one) for one in found], diverged), some, st.integers(0, 1))
    return st.integers(2, 4).flatmap(
        lambda systems: st.fixed_dictionaries(
            {
                method: st.fixed_dictionaries({f"s{place}": runs for place in range(systems)})
                for method in ("sft", "a", "b")
            }
        )
    )


def printed(found: OverSystems) -> dict[str, list[float]]:
    """Every number over systems, by method."""
    told: dict[str, list[float]] = {}
    for one in found.methods:
        parts = [one.score, one.score_iqm, one.gap, one.effect, one.iqm, one.improvement]
        numbers = [end for part in parts if part for end in (part.value, part.low, part.high) if end is not None]
        told[one.method] = [*numbers, one.rank, *(p for p in (one.p, one.p_adjusted, one.p_rank) if p is not None)]
    return told


def assert_same(one: OverSystems, other: OverSystems) -> None:
    """Whether two say the same, but for the rounding of sums."""
    first, second = printed(one), printed(other)
    assert first.keys() == second.keys()
    for method, numbers in first.items():
        assert numbers == pytest.approx(second[method], rel=1e-6, abs=1e-9)
    assert [each.word for each in one.methods] == [each.word for each in other.methods]


@given(experiments(positive=True), st.sampled_from(("min", "max")))
@settings(max_examples=40, deadline=None)
def test_law_estimates_lie_in_their_intervals_and_signs_agree(runs: dict[str, dict[str, Runs]], goal: str) -> None:
    """low ≤ estimate ≤ high for all; a verdict of the t test has the sign of the effect; shares are shares."""
    found = compare_over_systems(runs, "sft", goal, AnalysisPlan(margin=0.05))
    for one in found.methods:
        for part in (one.effect, one.iqm, one.improvement):
            if part is not None and part.low is not None and part.high is not None:
                assert part.low <= part.value * (1 + 1e-9)
                assert part.value <= part.high * (1 + 1e-9)
        is_within = [
            low <= middle <= high
            for low, middle, high in zip(one.profile_low, one.profile, one.profile_high, strict=True)
        ]
        assert all(is_within)
        if one.word in ("WINNER", "LOSER") and one.df is not None and one.effect is not None:
            assert ((one.effect.value < 1) == (goal == "min")) == (one.word == "WINNER")
            assert one.effect.low is not None
            assert one.effect.high is not None
            assert not one.effect.low <= 1 <= one.effect.high


@given(experiments(positive=True), st.permutations(("s0", "s1", "s2", "s3")))
@settings(max_examples=40, deadline=None)
def test_law_order_of_systems_changes_nothing(runs: dict[str, dict[str, Runs]], order: Sequence[str]) -> None:
    """Systems in another order give the same numbers."""
    again = {name: {one: by_system[one] for one in order if one in by_system} for name, by_system in runs.items()}
    assert_same(*(compare_over_systems(one, "sft", "min", AnalysisPlan()) for one in (runs, again)))


@given(experiments(positive=True), st.sampled_from((1e-9, 0.37, 1e12)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_law_unit_of_one_system_changes_nothing(
    runs: dict[str, dict[str, Runs]], factor: float, has_ranges: bool
) -> None:
    """One system in another unit gives the same numbers, as ratios and as scores."""
    scaled = {
        name: {
            system: Runs(one.values * factor if system == "s0" else one.values, None, one.failed, one.altered, one.lost)
            for system, one in by_system.items()
        }
        for name, by_system in runs.items()
    }
    ranges = {f"s{place}": (0.0, 10.0) for place in range(4)} if has_ranges else {}
    other = {**ranges, "s0": (0.0, 10.0 * factor)} if has_ranges else {}
    assert_same(
        compare_over_systems(runs, "sft", "max", AnalysisPlan(), ranges=ranges),
        compare_over_systems(scaled, "sft", "max", AnalysisPlan(), ranges=other),
    )


@given(experiments(positive=False))
@settings(max_examples=40, deadline=None)
def test_law_mirrored_values_with_the_other_goal_say_the_same(runs: dict[str, dict[str, Runs]]) -> None:
    """Negative values of a goal of min are values of a goal of max, negated: the same order, the same words."""
    negated = {
        name: {s: Runs(-one.values, None, one.failed, one.altered, one.lost) for s, one in by_system.items()}
        for name, by_system in runs.items()
    }
    ranges = {f"s{place}": (-6.0, 6.0) for place in range(4)}
    found = compare_over_systems(runs, "sft", "min", AnalysisPlan(), ranges=ranges)
    other = compare_over_systems(negated, "sft", "max", AnalysisPlan(), ranges=ranges)
    for one, two in zip(found.methods, other.methods, strict=True):
        assert (one.word, one.rank) == (two.word, two.rank)
        assert one.p == pytest.approx(two.p)
        assert one.improvement == two.improvement


def test_everything_can_be_written_as_json() -> None:
    """No number is NaN or infinite, whatever diverged."""
    values = {**VALUES, "grpo": {"pendulum": runs_of([], diverged=2), "cartpole": [1e-300, 1e300]}}

    def check(value: object) -> None:
        if isinstance(value, Mapping):
            for one in value.values():
                check(one)
        elif isinstance(value, list | tuple):
            for one in value:
                check(one)
        elif isinstance(value, float):
            assert np.isfinite(value)

    check(asdict(compared(values)))
