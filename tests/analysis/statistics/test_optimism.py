"""The best of many: what held-out runs say of it, and how firm ranks are."""

import numpy as np
import pytest

from analysis.statistics.optimism import select_best


def test_held_out_runs_can_be_followed_on_paper() -> None:
    """Two configurations of two runs: each choice by one column is judged in the other."""
    # By column 1 the first is chosen (1 < 2) and has 5 in column 0; by column 0 the second (3 < 5) with 2 in column 1.
    found = select_best([[5.0, 1.0], [3.0, 2.0]], "min", np.random.default_rng(0))
    assert found is not None

    assert (found.chosen, found.of, found.folds) == (1, 2, 2)
    assert (found.apparent, found.held_out, found.optimism) == (2.5, 3.5, 1.0)


def test_goal_max_mirrors_the_choice() -> None:
    """The greatest mean of negated values is the same choice, and optimism is above 0 where it flatters."""
    low = select_best([[5.0, 1.0], [3.0, 2.0]], "min", np.random.default_rng(0))
    high = select_best([[-5.0, -1.0], [-3.0, -2.0]], "max", np.random.default_rng(0))
    assert low is not None
    assert high is not None

    assert (high.chosen, high.apparent, high.held_out) == (low.chosen, -2.5, -3.5)
    assert high.optimism == low.optimism


def test_optimism_of_equal_configurations_is_corrected() -> None:
    """The best of 10 equal ones looks 0.8 σ better than it is; held-out runs are right on average."""
    rng = np.random.default_rng(1)
    found = [select_best(list(rng.normal(size=(10, 3))), "min", rng, resamples=1) for _ in range(1500)]

    assert np.mean([one.apparent for one in found if one]) < -0.75
    assert np.mean([one.held_out or 0.0 for one in found if one]) == pytest.approx(0.0, abs=0.1)


def test_clear_winner_is_firm_and_not_optimistic() -> None:
    """Far better than the rest, it is first in nearly every repetition and its mean needs no correction.

    Three runs tell little of their spread: in some repetitions one of the eight others would still be better.
    """
    samples = [np.array([0.0, 0.1, -0.1]), *(10 + np.random.default_rng(2).normal(size=(8, 3)))]
    found = select_best(samples, "min", np.random.default_rng(3))
    assert found is not None

    first = found.ranks[0]
    assert (first.place, first.rank, first.low) == (0, 1, 1)
    assert 0.95 < first.first < 1
    assert first.high <= 2
    assert found.optimism == pytest.approx(0.0, abs=1e-12)


def test_rank_of_equals_is_open() -> None:
    """Among equal configurations the first is first in few samples, and its rank may be nearly any."""
    found = select_best(list(np.random.default_rng(4).normal(size=(8, 3))), "min", np.random.default_rng(5))
    assert found is not None

    assert found.ranks[0].first < 0.8
    assert found.ranks[0].high >= 4
    assert sum(one.first for one in found.ranks) == pytest.approx(1.0)


@pytest.mark.parametrize("samples", [[[1.0], [2.0]], [[1.0, 1.1], [2.0, 2.1]], [[1.0, 1.1, 1.2], [2.0, 2.1]]])
def test_below_three_runs_nothing_is_said_of_ranks(samples: list[list[float]]) -> None:
    """One or two runs say too little of how they vary for any word on who would be first again."""
    found = select_best(samples, "min", np.random.default_rng(0))
    assert found is not None

    assert found.ranks == ()


def test_ties_share_the_first_place() -> None:
    """Three configurations that never vary and are equal: each is first in a third, and all have rank 1."""
    found = select_best([np.full(3, 0.5)] * 3 + [np.full(3, 0.9)], "min", np.random.default_rng(0))
    assert found is not None

    assert [(one.rank, one.first) for one in found.ranks[:3]] == [(1, pytest.approx(1 / 3))] * 3
    assert (found.ranks[3].rank, found.ranks[3].first) == (4, 0.0)


@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_no_repetition_leaves_the_range_of_a_rate(whole: float) -> None:
    """Nothing is better than all right: who always is stays first, or shares the place."""
    perfect, good = np.full(3, 1.0), np.array([0.9, 0.99, 0.94])
    found = select_best([whole * perfect, whole * good], "max", np.random.default_rng(0))
    assert found is not None

    assert found.ranks[0].place == 0
    assert found.ranks[0].first > 0.8


def _share_called_firm(n: int, shared: float, level: float = 0.95) -> float:
    """Share of 500 experiments with two equal configurations in which one would be first again in `level`."""
    rng = np.random.default_rng([n, int(shared)])
    firm = 0
    for _ in range(500):
        runs = rng.normal(size=(2, n)) + shared * rng.normal(size=n)
        found = select_best(list(runs), "min", rng, resamples=200)
        assert found is not None
        firm += max(one.first for one in found.ranks) >= level
    return firm / 500


@pytest.mark.parametrize(("n", "shared"), [(3, 0.0), (3, 2.0), (10, 0.0)])
def test_equal_configurations_are_rarely_called_firm(n: int, shared: float) -> None:
    """Of two equal configurations none is first again in 95 % of repetitions, but in about 1 of 20 experiments."""
    assert _share_called_firm(n, shared) <= 0.075


def test_what_seeds_have_in_common_does_not_hide_who_is_first() -> None:
    """Better by 3 at each of 5 seeds whose level varies by 100 is as firm as without that."""
    rng = np.random.default_rng(1)
    base, level = rng.normal(size=5), 100 * rng.normal(size=5)
    ours = base - 3 + rng.normal(0, 0.1, 5)
    alone, among = (select_best([ours + add, base + add], "min", np.random.default_rng(2)) for add in (0.0, level))
    assert alone is not None
    assert among is not None

    assert among.ranks[0].first > 0.95
    assert among.ranks[0].first == pytest.approx(alone.ranks[0].first, abs=0.01)


def test_runs_without_a_value_are_left_out() -> None:
    """A configuration without any value is no candidate, and one value can be chosen but not held out."""
    found = select_best([[np.nan, np.nan], [2.0, 3.0], [1.0, np.nan], [4.0, 5.0]], "min", np.random.default_rng(0))
    assert found is not None

    assert (found.chosen, found.of, found.apparent) == (2, 3, 1.0)
    assert select_best([[1.0, 2.0], [np.nan]], "min", np.random.default_rng(0)) is None


def test_generator_is_the_only_source_of_chance() -> None:
    """The same generator gives the same ranks, another one others, whatever numpy's global seed."""
    samples = list(np.random.default_rng(4).normal(size=(8, 3)))

    def shares(seed: int, global_seed: int) -> list[float]:
        np.random.seed(global_seed)  # noqa: NPY002  to show that it has no effect
        found = select_best(samples, "min", np.random.default_rng(seed))
        assert found is not None
        return [one.first for one in found.ranks]

    assert shares(1, 1) == shares(1, 2)
    assert shares(1, 1) != shares(2, 1)


@pytest.mark.parametrize("goal", ["min", "max"])
@pytest.mark.parametrize("configurations", [2, 10])
@pytest.mark.parametrize("wild", [50.0, 1e6, -50.0, -1e6])
def test_one_wild_run_makes_no_absurd_optimism(goal: str, configurations: int, wild: float) -> None:
    """Whichever configuration has it: the optimism stays within a few spreads, and the run is counted."""
    rng = np.random.default_rng(6)
    runs = rng.normal(size=(configurations, 3))
    for place in (0, configurations - 1):
        samples = runs.copy()
        samples[place, 1] = wild
        found = select_best(list(samples), goal, np.random.default_rng(7), resamples=10)
        assert found is not None
        assert found.optimism is not None
        assert found.optimism_low is not None
        assert found.optimism_high is not None

        assert found.wild == 1
        assert abs(found.optimism) < 3
        assert found.optimism_low < found.optimism < found.optimism_high
        assert found.optimism_high - found.optimism_low < 12


def test_runs_of_a_restless_configuration_are_not_wild() -> None:
    """A configuration that always varies 100 times as much as the others has no run left out."""
    rng = np.random.default_rng(8)
    found = select_best([*rng.normal(size=(4, 10)), 100 * rng.normal(size=10)], "min", rng, resamples=10)

    assert found is not None
    assert found.wild == 0


def test_optimism_without_spread_has_no_interval() -> None:
    """Runs that never vary tell of no uncertainty: no interval instead of one without width."""
    found = select_best([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]], "min", np.random.default_rng(0), resamples=10)

    assert found is not None
    assert (found.optimism, found.optimism_low, found.wild) == (0.0, None, 0)
