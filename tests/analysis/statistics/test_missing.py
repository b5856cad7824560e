"""Verdicts with what is missing from them: failed runs, runs without a value, altered runs, each read openly."""

import math

import numpy as np
import pytest

from analysis.statistics.comparisons import AnalysisPlan, compare, compare_family
from analysis.statistics.corrections import adjust
from analysis.statistics.missing import (
    BEST,
    PER_PROTOCOL,
    TO_TREAT,
    WITH_ALTERED,
    WORST,
    Robustness,
    Runs,
    read_robustness,
)

NONE = math.nan


def runs(*values: float, failed: tuple[int, ...] = (), altered: dict[int, float] | None = None) -> Runs:
    """Planned runs; `failed` and `altered` by position."""
    at = np.arange(len(values))
    changed = np.array([(altered or {}).get(int(place), NONE) for place in at])
    return Runs(np.array(values), None, np.isin(at, failed), changed)


def read(ours: Runs, base: Runs, goal: str = "min") -> Robustness | None:
    """Read one comparison."""
    family = compare_family([ours.sample], [base.sample], goal)
    return read_robustness(family, [ours], [base], goal, AnalysisPlan())[0]


def test_whole_comparison_has_nothing_to_be_read_otherwise() -> None:
    """All planned runs with a value on both sides: no readings, no doubt raised."""
    assert read(runs(1.0, 2.0, 3.0), runs(4.0, 5.0, 6.0)) is None


def test_failed_run_counts_as_worst_by_rank() -> None:
    """Of four against three runs one failed: better in all pairs without it, in three of four with it as the worst."""
    found = read(runs(1.0, 2.0, 3.0, NONE, failed=(3,)), runs(4.0, 5.0, 6.0))
    assert found is not None
    by_rank = {one.name: one for one in found.readings if one.by_rank}

    assert by_rank[PER_PROTOCOL].improvement == 1.0
    assert by_rank[TO_TREAT].improvement == 0.75
    assert (by_rank[PER_PROTOCOL].n, by_rank[TO_TREAT].n) == (3, 4)
    expected = compare([1.0, 2.0, 3.0, 99.0], [4.0, 5.0, 6.0], "min").p_rank
    assert by_rank[TO_TREAT].p_adjusted == expected


def test_how_far_a_run_had_come_before_it_failed_does_not_count() -> None:
    """Failures of both sides share the last place: as many pairs are tied, whichever way the goal points."""
    for goal in ("min", "max"):
        found = read(runs(1.0, 2.0, NONE, failed=(2,)), runs(1.5, NONE, NONE, failed=(1, 2)), goal)
        assert found is not None
        treated = next(one for one in found.readings if one.name == TO_TREAT)

        # Of 9 pairs one of two between values is won, four of values against failures are, and two failures are tied.
        assert treated.improvement == pytest.approx((1 + 4 + 2 / 2) / 9)


def test_bounds_use_the_worst_and_best_value_there_is() -> None:
    """A missing run at its worst has the greatest value of both sides when less is better, at its best the least."""
    ours, base = runs(1.0, 1.1, 0.9, NONE), runs(2.0, 2.1, 1.9, 2.05)
    found = read(ours, base)
    assert found is not None
    relative = {one.name: one.relative_percent for one in found.readings}
    mean = np.mean(base.values)

    assert relative[WORST] == pytest.approx(100 * (np.mean([1.0, 1.1, 0.9, 2.1]) / mean - 1))
    assert relative[BEST] == pytest.approx(100 * (np.mean([1.0, 1.1, 0.9, 0.9]) / mean - 1))


def test_missing_baseline_runs_are_put_the_other_way() -> None:
    """The worst case for a configuration is the best one for its baseline."""
    found = read(runs(1.0, 1.1, 0.9), runs(2.0, 2.1, NONE))
    assert found is not None
    relative = {one.name: one.relative_percent for one in found.readings}

    assert relative[WORST] == pytest.approx(100 * (1.0 / np.mean([2.0, 2.1, 0.9]) - 1))
    assert relative[BEST] == pytest.approx(100 * (1.0 / np.mean([2.0, 2.1, 2.1]) - 1))


def test_verdict_that_hangs_on_a_missing_run_says_so() -> None:
    """Significantly better without the missing run, undecided with it at its worst: named, in the sentence too."""
    found = read(runs(1.0, 1.1, 0.9, NONE, NONE), runs(2.0, 2.1, 1.9, 2.05))
    assert found is not None

    assert found.hangs_on == (WORST,)
    assert found.text.startswith("better, but other readings of the missing runs differ")


def test_verdict_that_survives_says_that() -> None:
    """A difference so large that one missing run among ten cannot undo it holds in all readings."""
    rng = np.random.default_rng(0)
    found = read(runs(*rng.normal(0, 1, 9), NONE, failed=(9,)), runs(*rng.normal(9, 1, 10)))
    assert found is not None

    assert found.hangs_on == ()
    assert found.text == "better in all 5 readings of the missing runs"


def test_failures_that_turn_the_ranking_around_are_named() -> None:
    """Better in most pairs while it lasts, worse in most once its diverged runs count."""
    found = read(runs(1.0, 1.1, NONE, NONE, NONE, failed=(2, 3, 4)), runs(2.0, 2.1, 1.9, 2.2, 2.3))
    assert found is not None

    assert TO_TREAT in found.hangs_on


def test_altered_runs_are_in_one_reading_only() -> None:
    """The altered run's value is used where the reading says so, and nowhere else."""
    ours = runs(1.0, 1.1, 0.9, NONE, altered={3: 40.0})
    base = runs(2.0, 2.1, 1.9, 2.05)
    found = read(ours, base)
    assert found is not None
    n = {one.name: one.n for one in found.readings}
    relative = {one.name: one.relative_percent for one in found.readings}

    assert (n[PER_PROTOCOL], n[WITH_ALTERED]) == (3, 4)
    assert relative[WITH_ALTERED] == pytest.approx(100 * (np.mean([1.0, 1.1, 0.9, 40.0]) / np.mean(base.values) - 1))
    assert max(abs(value or 0.0) for name, value in relative.items() if name != WITH_ALTERED) < 100
    assert WITH_ALTERED in found.hangs_on


def test_readings_are_adjusted_with_the_family_they_belong_to() -> None:
    """One concerned comparison among five: its p-values are adjusted over all five."""
    base = runs(2.0, 2.1, 1.9, 2.05)
    others = [runs(*(2.0 + np.random.default_rng(seed).normal(0, 0.1, 4))) for seed in range(4)]
    groups = [runs(1.5, 1.6, 1.4, NONE), *others]
    family = compare_family([one.sample for one in groups], [base.sample] * 5, "min")
    found = read_robustness(family, groups, [base] * 5, "min", AnalysisPlan())

    assert [one is None for one in found] == [False, True, True, True, True]
    assert found[0] is not None
    assert found[0].readings[0].p_adjusted == family[0].p_adjusted
    assert (family[0].p_adjusted or 0) > (family[0].p or 0)


@pytest.mark.parametrize("goal", ["min", "max"])
def test_runs_that_diverged_are_the_worst_in_every_reading(goal: str) -> None:
    """An arm whose runs all diverged is better in no pair, however what is missing is read, and worse at its best."""
    sign = 1.0 if goal == "min" else -1.0
    base = Runs(sign * np.array([1.0, 1.1, 1.2, 9.0]), None, np.zeros(4, bool), np.full(4, NONE))
    every = np.ones(4, bool)
    arm = Runs(np.full(4, NONE), None, every, np.full(4, NONE), lost=every)
    found = read(arm, base, goal)
    assert found is not None

    told = {one.name: one.improvement for one in found.readings if one.improvement is not None}
    assert set(told) == {TO_TREAT, WORST, BEST}
    assert max(told.values()) <= 1 / 8  # the worst value seen is the baseline's own: one tie in four
    assert not [one for one in found.readings if one.verdict == "better"]


def test_a_baseline_that_diverged_is_the_worst_too() -> None:
    """Where the runs of the baseline diverged, the arm is not worse in any reading."""
    base = Runs(np.array([1.0, 1.2, NONE]), None, np.array([False, False, True]), np.full(3, NONE),
                lost=np.array([False, False, True]))  # fmt: skip
    found = read(runs(1.0, 1.1, 1.3), base)
    assert found is not None

    relative = {one.name: one.relative_percent for one in found.readings}
    assert relative[WORST] == relative[BEST] == pytest.approx(100 * ((3.4 / 3) / (3.5 / 3) - 1))


def test_other_failures_may_have_gone_either_way() -> None:
    """A run that died of something else is at the worst value in one reading and at the best in the other."""
    found = read(runs(1.0, NONE, 1.2, failed=(1,)), runs(1.0, 1.1, 1.3))
    assert found is not None
    relative = {one.name: one.relative_percent for one in found.readings}

    assert (relative[WORST] or 0.0) > (relative[BEST] or 0.0)


def test_a_reading_is_tested_as_its_verdict_is() -> None:
    """One of five arms lost a run: it is read by the model over all five, not by a test of its own that finds less."""
    rng = np.random.default_rng(8)
    seeds = np.arange(3)
    values = [rng.normal(-8.0 if place == 5 else 0.0, 1.0, 3) for place in range(6)]
    values[5][2] = NONE
    base, *arms = (Runs(one, seeds, np.isnan(one), np.full(3, NONE)) for one in values)
    family = compare_family([one.sample for one in arms], [base.sample] * 5, "min")
    *_, found = read_robustness(family, arms, [base] * 5, "min", AnalysisPlan())
    filled = [*arms[:4], Runs(np.nan_to_num(values[5], nan=min(map(np.nanmin, values))), seeds, *[np.zeros(3)] * 2)]
    expected = compare_family([one.sample for one in filled], [base.sample] * 5, "min")
    by_model = adjust([*(one.p for one in family[:4]), expected[4].p], "holm")

    assert found is not None
    assert "over 5 arms" in expected[4].test
    (p,) = (one.p_adjusted for one in found.readings if one.name == BEST)
    assert p == pytest.approx(by_model[4])
    assert p < 0.001
