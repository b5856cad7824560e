"""Forecasts of sweeps: what the intervals cover, by simulation, and how times scale."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.forecast.observed import Observed, find_scaling, unlike
from hpc.core.forecast.predict import LEVEL, OCCASION, predict_sweep, wall_time

SHAPES: dict[str, Callable[[random.Random], float]] = {
    "equal but for noise": lambda chance: max(0.05, chance.gauss(1, 0.1)),
    "skew": lambda chance: math.exp(chance.gauss(0, 0.5)),
    "uniform": lambda chance: chance.uniform(0.5, 2.0),
}
TIMES = st.lists(st.floats(1.0, 1e5), min_size=1, max_size=30)
EXPERIMENTS = 120


def dice(seed: object) -> random.Random:
    """Chance that is the same each time."""
    return random.Random(str(seed))  # noqa: S311  no secret


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("known", [3, 8])
def test_intervals_cover_what_they_claim(shape: str, known: int) -> None:
    """Four in five simulated experiments end inside (0.7 to 0.92 of 120, fixed seeds): a run, the sum, the last end."""
    inside = [0, 0, 0]
    for number in range(EXPERIMENTS):
        chance = dice(f"{shape} {known} {number}")
        seen = [SHAPES[shape](chance) for _ in range(known)]
        come = [SHAPES[shape](chance) for _ in range(12)]
        told = predict_sweep(seen, 1, [1.0] * 12, [1.0] * 12, 4, dice(number))
        pairs = ((told.run_s, come[0]), (told.total, sum(come)), (told.wall_s, wall_time(come, 4)))
        for place, (interval, value) in enumerate(pairs):
            assert interval.low is not None
            assert interval.high is not None
            inside[place] += interval.low <= value <= interval.high
    for count in inside:
        assert LEVEL - 0.1 <= count / EXPERIMENTS <= LEVEL + 0.12, inside


def test_one_run_gives_no_interval() -> None:
    """From one run alone nothing is known of the spread, and none is claimed."""
    told = predict_sweep([60.0], 1, [1.0] * 4, [1 / 3600] * 4, 2, dice(1))

    assert (told.run_s.middle, told.run_s.low, told.run_s.high) == (pytest.approx(60), None, None)
    assert told.total.middle == pytest.approx(4 / 60)
    assert told.wall_s.middle == pytest.approx(120)


def test_a_large_sweep_is_forecast_like_its_parts() -> None:
    """Ten thousand runs that alternate in length are drawn by some of them: the sum is theirs."""
    times = [1.0, 3.0] * 5000
    told = predict_sweep([0.9, 1.0, 1.1, 1.0, 0.95, 1.05], 1, times, [1.0] * len(times), 100, dice(1))

    assert told.total.middle == pytest.approx(20_000, rel=0.05)
    assert told.wall_s.middle == pytest.approx(200, rel=0.1)


@given(TIMES, st.integers(1, 40))
def test_the_last_run_ends_no_sooner_than_can_be(times: list[float], at_once: int) -> None:
    """With places for k runs a sweep takes at least its longest run and a k-th of the sum, at most both together."""
    took = wall_time(times, at_once)
    share = sum(times) / at_once

    assert took >= max(*times, share) * (1 - 1e-9) if len(times) > 1 else took == times[0]
    assert took <= (max(times) + share) * (1 + 1e-9)
    assert wall_time(times, len(times)) == max(times)


def runs(times: dict[int, list[float]]) -> list[Observed]:
    """Known runs by their epochs."""
    return [
        Observed("X", took, took, {"epochs": epochs, "rate": 0.1}) for epochs, each in times.items() for took in each
    ]


def test_time_is_scaled_by_work_that_was_seen_to_matter() -> None:
    """Two values of epochs, times in proportion: ten epochs take what the line says, start-up included."""
    scaling = find_scaling(runs({1: [25.0, 25.4], 4: [85.0, 84.2]}))

    assert scaling.argument == "epochs"
    assert scaling.time_s({"epochs": 10}) == pytest.approx(205, rel=0.03)
    assert scaling.start_s == pytest.approx(5, rel=0.3)


def test_time_is_not_scaled_by_what_does_not_explain_it() -> None:
    """One value of epochs, or times that do not follow them: not scaled."""
    assert find_scaling(runs({4: [85.0, 80.0, 90.0]})).argument == ""
    assert find_scaling(runs({1: [80.0, 20.0, 50.0], 4: [50.0, 80.0, 25.0]})).argument == ""
    assert find_scaling([Observed("X", 9, 9, {"rate": 1}), Observed("Y", 90, 90, {"rate": 10})]).argument == ""


@given(st.floats(0.01, 1e4), st.floats(0, 1e3), st.integers(2, 9))
def test_scaling_finds_the_line_that_made_the_times(per_unit: float, start: float, more: int) -> None:
    """Whatever the line, times that lie on it are continued by it, where the work matters at all."""
    made = {epochs: [start + per_unit * epochs] * 2 for epochs in (1, 2, 2 + more)}
    scaling = find_scaling(runs(made))
    if scaling.argument:
        expected = start + per_unit * 100
        assert scaling.time_s({"epochs": 100}) == pytest.approx(expected, rel=0.25)


def test_what_no_run_had_is_named() -> None:
    """Planned values that were never seen are said, but for the argument that is scaled by."""
    planned = [{"epochs": 9, "rate": 0.2}, {"epochs": 9, "rate": 0.1}]

    assert unlike(runs({1: [1.0]}), planned, "epochs") == {"rate": "0.1, planned 0.2"}
    assert set(unlike(runs({1: [1.0]}), planned, "")) == {"epochs", "rate"}
    given = unlike(runs({1: [1.0]}), [{"steps": 60}], "", told=("steps",))
    assert (unlike(runs({1: [1.0]}), [{"steps": 60}], ""), given) == ({}, {"steps": "not given, planned 60"})


def _two_kinds(chance: random.Random, kinds: str) -> list[Observed]:
    """Runs of which those of kind b take twice as long."""
    times = [(kind, max(0.05, chance.gauss(2.0 if kind == "b" else 1.0, 0.1))) for kind in kinds]
    return [Observed("X", took, took, {"kind": kind, "lr": chance.choice([1, 2])}) for kind, took in times]


@pytest.mark.parametrize(("known", "come"), [("aabb", "ab" * 6), ("aaabb", "b" * 12), ("aaabbb", "aabb" * 3)])
def test_runs_of_two_lengths_are_told_apart_by_what_makes_them(known: str, come: str) -> None:
    """The sum is inside its interval in 70 to 92 % of simulated experiments, whatever the mix of those to come."""
    inside, widths = 0, []
    for number in range(EXPERIMENTS):
        chance = dice(f"{known} {come} {number}")
        seen, later = _two_kinds(chance, known), _two_kinds(chance, come)
        scaling = find_scaling(seen)
        ratios = [each.run_s / scaling.time_s(each.arguments) for each in seen]
        times = [scaling.time_s(each.arguments) for each in later]
        told = predict_sweep(ratios, scaling.fitted, times, [1.0] * len(times), 4, dice(number)).total
        assert told.low is not None
        assert told.high is not None
        inside += told.low <= sum(each.run_s for each in later) <= told.high
        widths.append(told.high / told.low)
    assert LEVEL - 0.1 <= inside / EXPERIMENTS <= LEVEL + 0.12
    assert sorted(widths)[EXPERIMENTS // 2] < 1.6  # and not by being wide


def test_a_value_that_no_run_had_widens_the_interval_of_the_sum() -> None:
    """All its runs differ alike, so that they do not level each other out."""
    scaling = find_scaling(_two_kinds(dice(1), "aaabbb"))
    assert (scaling.by, scaling.unseen({"kind": "b"}), scaling.unseen({"kind": "c"})) == ("kind", "", "c")
    ratios = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95]
    old, new = (
        predict_sweep(ratios, 2, [1.0] * 12, [1.0] * 12, 4, dice(1), [kind] * 12, scaling.between).total
        for kind in ("", "c")
    )
    assert new.most > 1.3 * old.most
    assert (new.low or math.inf) < 0.7 * old.middle
    assert find_scaling(_two_kinds(dice(2), "aaaaaa")).by == ""


def test_another_day_is_another_pace() -> None:
    """Forty alike runs are known to a hundredth, the sum of others to a tenth only: all are off at once."""
    told = predict_sweep([1.0, 1.01, 0.99, 1.0] * 10, 1, [1.0] * 40, [1.0] * 40, 4, dice(1), occasion=OCCASION)

    assert told.total.low == pytest.approx(40 * math.exp(-1.28 * OCCASION), rel=0.03)
    assert told.total.most == pytest.approx(40 * math.exp(1.28 * OCCASION), rel=0.03)
