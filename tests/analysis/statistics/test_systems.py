"""Methods over systems: ratios, profiles and chances that can be followed on paper."""

import numpy as np
import pytest

from analysis.statistics.systems import OverSystems, compare_over_systems

VALUES = {
    "grpo": {"pendulum": [5.0, 6.0], "cartpole": [100.0, 300.0]},
    "sft": {"pendulum": [10.0, 10.0], "cartpole": [150.0, 250.0]},
}


def compared(values: dict[str, dict[str, list[float]]], goal: str = "min", seed: int = 0) -> OverSystems:
    """Compare with sft where that must be possible."""
    found = compare_over_systems(values, {"grpo": {"pendulum": 2}}, "sft", goal, np.random.default_rng(seed))
    assert found is not None
    return found


def test_ratios_are_to_the_baseline_on_the_same_system() -> None:
    """Means 5.5 of 10 and 200 of 200 average to a ratio of 0.775; the baseline is 1."""
    sft, grpo = compared(VALUES).methods
    assert sft.mean is not None
    assert grpo.mean is not None

    assert sft.method == "sft"
    assert sft.mean.value == pytest.approx(1.0)
    assert grpo.mean.value == pytest.approx(0.775)
    assert grpo.mean.low < 0.775 < grpo.mean.high


def test_improvement_is_averaged_over_systems() -> None:
    """Better in all pairs on one system and in half of them on the other: 75 %; the baseline has none."""
    sft, grpo = compared(VALUES).methods

    assert sft.improvement is None
    assert grpo.improvement is not None
    assert grpo.improvement.value == 0.75


def test_lost_runs_never_reach_a_ratio() -> None:
    """Two of four pendulum runs failed: the profile ends at (2/4 + 2/2) / 2, the baseline's at 1."""
    found = compared(VALUES)
    sft, grpo = found.methods

    assert sft.profile[-1] == 1.0
    assert grpo.profile[-1] == 0.75
    assert grpo.lost == 2
    assert list(grpo.profile) == sorted(grpo.profile)
    assert all(
        low <= middle <= high
        for low, middle, high in zip(grpo.profile_low, grpo.profile, grpo.profile_high, strict=True)
    )


def test_goal_max_is_mirrored() -> None:
    """More is better: 5 % above the baseline is a ratio of 0.95."""
    values = {"a": {"x": [105.0, 105.0], "y": [10.5, 10.5]}, "sft": {"x": [100.0, 100.0], "y": [10.0, 10.0]}}
    found = compared(values, "max").methods[1]
    assert found.mean is not None

    assert found.mean.value == pytest.approx(0.95)
    assert found.improvement is not None
    assert found.improvement.value == 1.0


def test_systems_not_shared_by_all_are_left_out() -> None:
    """A system on which a method has no value is not compared; with one system left there is nothing to aggregate."""
    three = {name: {**systems, "extra": [1.0]} for name, systems in VALUES.items()}
    three["grpo"]["extra"] = [float("nan")]
    two = {"grpo": {"pendulum": [5.0], "cartpole": []}, "sft": VALUES["sft"]}

    assert compared(three).systems == ("pendulum", "cartpole")
    assert compare_over_systems(two, {}, "sft", "min", np.random.default_rng(0)) is None


def test_generator_is_the_only_source_of_chance() -> None:
    """The same generator gives the same bands, another one others, whatever numpy's global seed."""

    def band(seed: int, global_seed: int) -> tuple[float, ...]:
        np.random.seed(global_seed)  # noqa: NPY002  to show that it has no effect
        rng = np.random.default_rng(1)
        values = {name: {system: list(rng.normal(9, 1, 6)) for system in "xyz"} for name in ("sft", "grpo")}
        return compared(values, seed=seed).methods[1].profile_low

    assert band(1, 1) == band(1, 2)
    assert band(1, 1) != band(2, 1)
