"""Estimates against paper answers, scipy and statsmodels; chance comes from the generator that is passed in, alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from analysis.statistics.estimates import bca_intervals, estimate

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


def test_estimate_of_one_two_three_is_known_on_paper() -> None:
    """Mean 2, std 1, interval 2 ± t / sqrt(3); with 2 degrees of freedom t is 0.95 / sqrt(2 · 0.975 · 0.025)."""
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
    found = estimate([1.0, 2.0, 3.0])

    assert (found.n, found.mean, found.std) == (3, 2.0, 1.0)
    assert found.low == pytest.approx(2 - half, abs=1e-9)
    assert found.high == pytest.approx(2 + half, abs=1e-9)


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
    assert "does not prove" in found.note


@pytest.mark.parametrize("n", [3, 5])
def test_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    """Of 4,000 intervals from normal samples of n runs 95 % cover the mean (within four standard errors)."""
    rng = np.random.default_rng(20_000 + n)
    samples = rng.normal(3.0, 2.0, size=(4000, n))
    covered = np.mean([(one.low or 0) <= 3.0 <= (one.high or 0) for one in map(estimate, samples)])

    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_middle_and_ends_are_numpys_and_scipys() -> None:
    """Median, interquartile mean, minimum and maximum are those of numpy and scipy, from 1 to 12 runs."""
    for n in range(1, 13):
        values = np.random.default_rng(n).normal(size=n)
        found = estimate([*values, math.nan])

        assert found.median == pytest.approx(np.median(values), abs=1e-12)
        assert found.iqm == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-12)
        assert (found.minimum, found.maximum) == (values.min(), values.max())


def test_level_that_is_no_coverage_is_refused() -> None:
    """A level in percent is an error, not a default."""
    with pytest.raises(ValueError, match="level"):
        estimate([1.0], level=95)


def test_bca_interval_is_scipys() -> None:
    """One sample has scipy's BCa interval of the same generator, in its own unit."""
    values = np.random.default_rng(3).normal(50.0, 4.0, size=8)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=500, method="BCa", rng=np.random.default_rng(9)
    ).confidence_interval

    (found,) = bca_intervals([values], np.random.default_rng(9), resamples=500)

    assert found is not None
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert found.value == pytest.approx(values.mean())


def test_bca_intervals_need_runs_that_vary() -> None:
    """Two runs, equal runs and missing ones have no interval; the others have theirs in the same call."""
    samples = [[1.0, 2.0], [3.0, 3.0, 3.0], [1.0, math.nan, math.nan, 2.0], [1.0, 2.0, 4.0]]
    found = bca_intervals(samples, np.random.default_rng(0), resamples=200)

    assert [one is None for one in found] == [True, True, True, False]


def test_the_generator_passed_in_is_the_only_source_of_chance() -> None:
    """Another generator gives another interval, the same one the same; numpy's global seed changes nothing."""
    values = np.random.default_rng(1).normal(size=(3, 6))

    def interval(seed: int, global_seed: int) -> tuple[float, float]:
        np.random.seed(global_seed)  # noqa: NPY002  to show that it has no effect
        rng = np.random.default_rng(seed)
        found = bca_intervals(values[:1], rng)[0]
        assert found is not None
        return found.low, found.high

    assert interval(1, 1) == interval(1, 2)
    assert interval(1, 1) != interval(2, 1)
