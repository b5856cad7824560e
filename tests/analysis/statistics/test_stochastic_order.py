"""Almost stochastic order: its laws, a value by hand, and its resamples."""

import numpy as np
import pytest

from analysis.statistics.comparisons import compare
from analysis.statistics.stochastic_order import _every_resample, almost_order

RNG = np.random.default_rng(11)
SIZES = [(3, 3), (3, 5), (4, 3), (5, 5), (7, 4), (10, 10)]


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_laws(n: int, m: int) -> None:
    """Within 0 and 1, the bound not below the ratio; swapped sides and goals add up to 1; no unit, no origin."""
    ours, base = RNG.standard_normal((60, n)), RNG.standard_exponential((60, m))
    violation, bound = almost_order(ours, base, "max", 0.95)

    assert np.all((violation >= 0) & (violation <= bound) & (bound <= 1))
    assert almost_order(base, ours, "max", 0.95)[0] == pytest.approx(1 - violation, abs=1e-12)
    assert almost_order(ours, base, "min", 0.95)[0] == pytest.approx(1 - violation, abs=1e-12)
    moved = almost_order(1000 * ours - 7, 1000 * base - 7, "max", 0.95)
    assert moved[0] == pytest.approx(violation, abs=1e-9)
    assert moved[1] == pytest.approx(bound, abs=1e-9)
    assert almost_order(-ours, -base, "min", 0.95)[1] == pytest.approx(bound, abs=1e-12)
    assert almost_order(ours[:, ::-1], base, "max", 0.95)[1] == pytest.approx(bound, abs=1e-12)
    assert np.all(almost_order(ours, base, "max", 0.99)[1] >= bound)


def test_dominance_is_none_of_it() -> None:
    """Runs all better than all others: ε and ε_min are 0; all worse: 1; the same runs: one half."""
    low, high = np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 7.0, 9.0]])

    assert [one[0] for one in almost_order(low, high, "min", 0.95)] == [0, 0]
    assert [one[0] for one in almost_order(low, high, "max", 0.95)] == [1, 1]
    assert almost_order(low, low, "max", 0.95)[0][0] == 0.5


def test_violation_by_hand() -> None:
    """Quantile by quantile 1 − 2, 4 − 3, 9 − 6: 1 of 11 in squares; unequal sizes, step by step."""
    ours, base = np.array([[9.0, 1.0, 4.0]]), np.array([[2.0, 6.0, 3.0]])
    assert almost_order(ours, base, "max", 0.95)[0][0] == pytest.approx(1 / 11)
    assert almost_order(ours, base, "min", 0.95)[0][0] == pytest.approx(10 / 11)

    # Steps of 1/4, 1/12, 1/6, 1/6, 1/12, 1/4 between 0, 1/4, 1/3, 1/2, 2/3, 3/4 and 1.
    four = np.array([[0.0, 2.0, 5.0, 9.0]])
    parts = [(0 - 1, 1 / 4), (2 - 1, 1 / 12), (2 - 4, 1 / 6), (5 - 4, 1 / 6), (5 - 9, 1 / 12), (9 - 9, 1 / 4)]
    expected = sum(w * d * d for d, w in parts if d < 0) / sum(w * d * d for d, w in parts)
    assert almost_order(four, np.array([[1.0, 4.0, 9.0]]), "max", 0.95)[0][0] == pytest.approx(expected)


def test_bound_is_that_of_every_resample() -> None:
    """At 3 against 3 the spread is that over all 27 · 27 resamples, gone through one by one."""
    ours, base = np.array([[0.3, 1.1, 2.0]]), np.array([[0.0, 1.4, 0.9]])
    every = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    drawn_ours, drawn_base = np.repeat(ours[0][every], 27, axis=0), np.tile(base[0][every], (27, 1))
    spread = almost_order(drawn_ours, drawn_base, "max", 0.95)[0].std()
    violation, bound = almost_order(ours, base, "max", 0.95)

    assert bound[0] == pytest.approx(violation[0] + 1.6448536269514722 * spread, abs=1e-12)
    assert _every_resample(5)[1].sum() == pytest.approx(1)


def test_a_comparison_reads_the_same_whatever_stands_beside_it() -> None:
    """Alone or among a thousand, and whatever numpy's global seed, the bound has the same digits."""
    ours, base = RNG.standard_normal((1000, 6)), RNG.standard_normal((1000, 6))
    together = almost_order(ours, base, "max", 0.9)[1]
    np.random.seed(3)  # noqa: NPY002 - the global source must not matter

    assert almost_order(ours[-1:], base[-1:], "max", 0.9)[1][0] == pytest.approx(together[-1], abs=1e-12)


def test_only_from_three_runs_on() -> None:
    """A comparison has it from 3 runs on either side, in the direction of the goal."""
    three, two = [1.0, 2.0, 3.0], [4.0, 5.0]

    assert compare(three, two, "min").aso is None
    assert compare(two, three, "min").aso is None
    found = compare(three, [4.0, 5.0, 6.0], "min").aso
    assert found is not None
    assert (found.violation, found.bound) == (0, 0)
