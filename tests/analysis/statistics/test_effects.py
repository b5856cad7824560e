"""Sizes of a difference: each against its definition and against another program that computes it."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import effectsize_smd
from statsmodels.stats.nonparametric import rank_compare_2indep

from analysis.statistics.effects import cohens_d, hedges_g, magnitude, probability_greater

RNG = np.random.default_rng(7)
OURS, BASE = RNG.normal(1.0, 1.0, (40, 4)), RNG.normal(0.0, 2.0, (40, 6))


@pytest.mark.parametrize(
    ("d", "word"),
    [(0.0, "negligible"), (0.199, "negligible"), (-0.2, "small"), (0.499, "small"), (0.5, "medium"), (-0.8, "large")],
)
def test_magnitudes_change_at_the_stated_bounds(d: float, word: str) -> None:
    """0.2, 0.5 and 0.8 each belong to the larger word, whatever the sign."""
    assert magnitude(d) == word


def test_cohens_d_is_the_protocols() -> None:
    """d is the difference over the root of the mean of both variances, and its interval is Bonett's, written out."""
    d, low, high = cohens_d(OURS, BASE, 0.95)
    ours, base = OURS.var(axis=1, ddof=1), BASE.var(axis=1, ddof=1)
    expected = (OURS.mean(axis=1) - BASE.mean(axis=1)) / np.sqrt((ours + base) / 2)
    variance = (ours + base) / 2
    error = expected**2 / 8 / variance**2 * (ours**2 / 3 + base**2 / 5) + (ours / 3 + base / 5) / variance

    assert d == pytest.approx(expected, abs=1e-12)
    assert high - low == pytest.approx(2 * stats.norm.ppf(0.975) * np.sqrt(error), abs=1e-9)


def test_hedges_g_agrees_with_statsmodels() -> None:
    """g is statsmodels' standardised mean difference to 1e-9."""
    g, _, _ = hedges_g(OURS, BASE, 0.95)
    theirs, _ = effectsize_smd(
        OURS.mean(axis=1), OURS.std(axis=1, ddof=1), 4, BASE.mean(axis=1), BASE.std(axis=1, ddof=1), 6
    )

    assert g == pytest.approx(theirs, abs=1e-9)


def test_interval_of_g_inverts_the_noncentral_t() -> None:
    """At its ends the observed t is exactly the quantile, for differences of either sign."""
    for ours in (OURS, -OURS - 3, BASE[:, :4]):
        t = stats.ttest_ind(ours, BASE, axis=1).statistic
        _, low, high = hedges_g(ours, BASE, 0.95)
        unit = np.sqrt(1 / 4 + 1 / 6)

        assert stats.nct.cdf(t, 8, low / unit) == pytest.approx(0.975, abs=1e-4)
        assert stats.nct.cdf(t, 8, high / unit) == pytest.approx(0.025, abs=1e-4)


def test_probability_agrees_with_scipy_and_statsmodels() -> None:
    """It is Mann and Whitney's U over all pairs and statsmodels' probability of superiority, ties counted half."""
    ours, base = np.round(OURS), np.round(BASE)
    share, low, high = probability_greater(ours, base, 0.95)
    theirs = [rank_compare_2indep(one, two).prob1 for one, two in zip(ours, base, strict=True)]

    assert share == pytest.approx(stats.mannwhitneyu(ours, base, axis=1).statistic / 24, abs=1e-12)
    assert share == pytest.approx(theirs, abs=1e-9)
    assert np.all((low <= share) & (share <= high))


def test_interval_of_samples_apart_stays_wide() -> None:
    """Three runs all above three others are no proof of 100 %: the interval begins near one half and ends at 1."""
    share, low, high = probability_greater(np.array([[4.0, 5.0, 6.0]]), np.array([[1.0, 2.0, 3.0]]), 0.95)

    assert share.tolist() == [1.0]
    assert 0.4 < low[0] < 0.6
    assert high[0] == pytest.approx(1.0, abs=1e-9)


def test_swapping_the_sides_mirrors_the_interval() -> None:
    """What is greater from one side is smaller from the other, the ends of the interval too."""
    share, low, high = probability_greater(OURS, BASE, 0.9)
    swapped, swapped_low, swapped_high = probability_greater(BASE, OURS, 0.9)

    assert 1 - share == pytest.approx(swapped, abs=1e-12)
    assert 1 - low == pytest.approx(swapped_high, abs=1e-9)
    assert 1 - high == pytest.approx(swapped_low, abs=1e-9)


def test_sides_that_do_not_vary_have_no_size() -> None:
    """Equal values on both sides give NaN for d and g, and no warning."""
    same = np.full((1, 3), 2.0)

    assert np.isnan(cohens_d(same, same, 0.95)[0]).all()
    assert np.isnan(hedges_g(same, same, 0.95)[0]).all()
