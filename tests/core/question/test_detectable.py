"""The smallest difference a design finds: as the report's own tests find it, by scipy's quantiles."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.linear_model import model_rows
from analysis.statistics.row_tests import paired_rows, welch_rows
from hpc.core.question.detectable import Design, quantile


@pytest.mark.parametrize("df", [1.0, 1.5, 4.0, 40.0, 400.0])
@pytest.mark.parametrize("share", [0.8, 0.975, 0.99975])
def test_quantiles_are_scipys(df: float, share: float) -> None:
    """Student's t to 1e-8, whole degrees of freedom or not."""
    assert quantile(share, df) == pytest.approx(stats.t.ppf(share, df), rel=1e-8)


@pytest.mark.parametrize(("arms", "seeds"), [(5, 3), (20, 3), (5, 5), (20, 10)])
def test_many_arms_find_it_in_four_of_five(arms: int, seeds: int) -> None:
    """Simulated with the report's model and Holm's hardest level, the difference named is found in 77 to 88 %."""
    design = Design(arms, seeds, seeds, arms)
    values = np.random.default_rng(arms).normal(size=(3000, 1 + arms, seeds))
    values[:, 1] += design.smallest

    assert 0.77 < np.mean(model_rows(values, blocked=True).p[:, 0] < 0.05 / arms) < 0.88


@pytest.mark.parametrize(("seeds", "baseline"), [(3, 3), (3, 5), (5, 5), (5, 10)])
def test_one_configuration_finds_it_in_four_of_five(seeds: int, baseline: int) -> None:
    """The test that decides alone, Welch's or over 5 pairs, has the chance that is named."""
    rng = np.random.default_rng(seeds * baseline)
    base = rng.normal(size=(10_000, baseline))
    ours = rng.normal(Design(1, seeds, baseline, 1).smallest, 1, (10_000, seeds))
    test = paired_rows if seeds == baseline == 5 else welch_rows

    assert np.mean(test(ours, base).p < 0.05) == pytest.approx(0.8, abs=0.025)


def test_seeds_and_fewer_arms_find_less() -> None:
    """More seeds or fewer comparisons: a smaller difference; one seed: none."""
    at_three = Design(20, 3, 3, 20).smallest

    assert Design(20, 4, 4, 20).smallest < at_three
    assert Design(19, 3, 3, 19).smallest < at_three
    assert Design(20, 1, 1, 20).smallest == float("inf")
