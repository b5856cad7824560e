"""The best configuration so far: means, spread and change against the baseline, held against plain arithmetic."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.question.best import Measured, find_best, find_best_of_systems

VALUES = st.floats(-1e6, 1e6)


def test_the_best_mean_beside_the_baseline() -> None:
    """By goal; the spread is the sample's; the change is relative to the baseline's mean."""
    runs = [Measured({"x": x}, x + seed / 10) for x in (1, 2) for seed in (0, 1, 2)]
    found = find_best(runs, "loss", "min", {"x": 2})
    assert found is not None
    assert str(found) == (
        "best loss so far (min, of 2 configurations): 1.10 ± 0.10 (n 3), x=1; baseline 2.10 ± 0.10 (n 3), x=2 (-47.6%)"
    )
    highest = find_best(runs, "loss", "max", {"x": 2})
    assert highest is not None
    assert str(highest).endswith("x=2: the baseline itself")


@pytest.mark.parametrize("runs", [[], [Measured({"x": 1}, math.nan)], [Measured({}, math.inf)]])
def test_nothing_finite_is_nothing(runs: list[Measured]) -> None:
    """A NaN is no value, and none is invented."""
    assert find_best(runs, "loss", "min") is None


@given(st.lists(st.tuples(st.integers(0, 3), VALUES), min_size=1), st.sampled_from(["min", "max"]))
def test_it_is_the_best_of_the_means(pairs: list[tuple[int, float]], goal: str) -> None:
    """Whatever was measured: the mean shown is that of its group, and no group has a better one."""
    found = find_best([Measured({"x": x}, value) for x, value in pairs], "m", goal)
    assert found is not None
    groups = [[value for x, value in pairs if x == name] for name in {x for x, _ in pairs}]
    means = [statistics.fmean(group) for group in groups]
    assert found.best.mean == pytest.approx((min if goal == "min" else max)(means), rel=1e-9, abs=1e-6)
    assert found.configurations == len(groups)
    assert (found.best.spread is None) == (found.best.n == 1)


def test_a_baseline_of_zero_has_no_relative_change() -> None:
    """Division by nothing is left out, the means are not."""
    found = find_best([Measured({"x": 1}, 0.0), Measured({"x": 2}, 1.0)], "m", "max", {"x": 1})
    assert found is not None
    assert found.change is None
    assert "baseline 0 (n 1), x=1" in str(found)


def test_equal_means_make_no_best_one() -> None:
    """All equal, but for rounding: none is the best; some equal: the first is shown, and how many more."""
    runs = [Measured({"x": x}, 0.1) for x in (1, 2, 3) for _ in range(x)]
    assert str(find_best(runs, "loss", "min", {"x": 1})) == (
        "loss so far (min): mean 0.1 in all 3 configurations, so none is best"
    )
    runs += [Measured({"x": 4}, 0.3)]
    assert "0.1 (n 1), x=1 and 2 more with the same mean" in str(find_best(runs, "loss", "min"))
    assert "more with" not in str(find_best(runs, "loss", "max"))
    assert "of 1 configuration)" in str(find_best(runs[:1], "loss", "max"))


def test_among_systems_the_largest_gain_on_its_own_baseline_is_best() -> None:
    """Not the lowest value, which belongs to the easiest system."""
    levels = {"easy": 0.01, "hard": 100.0}
    gains = {("easy", "sft"): 1.0, ("easy", "grpo"): 0.9, ("hard", "sft"): 1.0, ("hard", "grpo"): 0.5}
    runs = [
        Measured({"system": system, "training": training}, levels[system] * gain)
        for (system, training), gain in gains.items()
    ]
    found = find_best_of_systems(runs, "loss", "min", {"training": "sft"}, ("system",))
    assert found is not None

    assert (found.system, found.best.mean, found.change) == ("hard", 50.0, -0.5)
    assert str(found).startswith("largest gain on its baseline in loss so far (min, of 2 configurations on hard): 50")
    without = find_best_of_systems(runs, "loss", "min", None, ("system",))
    assert without is not None
    assert without.system == "easy"
