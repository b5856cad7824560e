"""How a forecast is said and held against limits, what came, and the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.spec import Budget
from hpc.core.forecast.budget import Hours, fit_into, say_share
from hpc.core.forecast.forecast import (
    Forecast,
    counts_then,
    forecasts_of,
    limit_advice,
    limit_warnings,
    round_memory,
    round_time,
    say_against,
    say_forecast,
    say_interval,
    say_memory,
    say_span,
)
from hpc.core.forecast.predict import Interval
from hpc.core.resources import Resources

RUN = Interval(720.0, 540.0, 960.0)
KNOWN = Forecast(
    time=10.0, manifest_sha="a", tasks=4, left=4, known=12, source="this experiment", unit="GPU h", run_s=RUN,
    hours=Interval(3.1, 2.4, 4.0), left_hours=Interval(3.1, 2.4, 4.0), wall_s=Interval(3000.0, 2400.0, 3600.0),
    at_once=2, memory_mib=Interval(2100.0, 2000.0, 2200.0), at_most_hours=40.0,
)  # fmt: skip
HOURS = st.floats(0, 100, allow_nan=False)


def test_a_forecast_is_said_in_two_lines() -> None:
    """Time of a run and of all, memory, hours and what it rests on."""
    assert list(say_forecast(KNOWN, "x")) == [
        "forecast: a run 12 min (9.0–16 min), 2.1 GB (2.0–2.1 GB); 4 runs 3.1 GPU h (2.4–4.0), 50 min (40–60 min) "
        "with 2 at once",
        "  learned from 12 runs of this experiment; in brackets 10–90 %; not scaled",
    ]


def test_where_nothing_is_known_a_canary_is_named() -> None:
    """The command that measures one, and the bound that limits allow, unless the line before has said it."""
    found = Forecast(0.0, "a", 4, 4, unit="core h", at_most_hours=96.0)
    told = [*say_forecast(found, "x")]

    assert told == [
        "forecast: at most 96 core h by the limits; no similar run is known",
        "  to measure one first: python -m hpc.submit x --canary",
    ]
    assert [*say_forecast(found, "x", says_bound=False)] == ["forecast: no similar run is known", told[1]]


def test_forecast_and_actual_are_one_line() -> None:
    """As in: forecast 3.1 GPU h (2.4–4.0), used 3.4."""
    assert say_against(KNOWN, 3.41) == "forecast 3.1 GPU h (2.4–4.0), used 3.4 GPU h"
    assert say_against(KNOWN, 3.41, 3300.0).endswith("; 50 min (40–60 min) of time, took 55 min")


def test_what_came_is_held_against_the_last_forecast_before_it() -> None:
    """The last one before the first start; one that knew a run goes before one that knew none."""
    none = Forecast(1.0, "a", 4, 4)
    later = Forecast(**{**vars(KNOWN), "time": 30.0})

    assert counts_then([none, KNOWN, later], 20.0) == KNOWN
    assert counts_then([none, later], 20.0) == later
    assert counts_then([none], 20.0) == none
    assert counts_then([], 20.0) is None


def test_a_forecast_reads_back_and_damaged_lines_are_passed_over() -> None:
    """What is kept is the record; a line of another kind is none."""
    assert forecasts_of([KNOWN.to_json(), {"kind": "hold"}, 3]) == [KNOWN]


def test_limits_that_will_be_met_are_warned_of() -> None:
    """The upper end decides, for time and for memory, and what is advised is above it."""
    asked = Resources(memory_mib=2048, time_s=900)
    time, memory = limit_warnings(asked, RUN, Interval(1000.0, 900.0, 3000.0))

    assert "may take 16 min but get 00:15:00; ask for 00:20:00" in time
    assert "may need 2.9 GB but get 2G; ask for 3840M" in memory
    assert list(limit_warnings(Resources(memory_mib=4096, time_s=1200), RUN, Interval(1000.0, 900.0, 3000.0))) == []


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.integers(1, 10**7), st.floats(1, 1e5), st.integers(1, 10**6))
def test_no_advice_goes_below_what_was_seen(upper: float, most: float, limit: int, peak: float, memory: int) -> None:
    """Whatever was asked and seen: a lower limit is named only where it stays above every run, failed ones included."""
    asked = Resources(memory_mib=memory, time_s=limit)
    told = list(limit_advice(asked, Interval(upper / 2, 1.0, upper), Interval(peak, peak, peak), most, peak, 3))

    assert round_time(max(upper, most) * 1.2) > most
    assert round_memory(peak * 1.2) > peak
    assert any("would be enough, and" in each for each in told) == (
        limit > 3 * max(upper, most) and round_time(max(upper, most) * 1.2) < limit
    )
    assert list(limit_advice(asked, RUN, None, most, 0.0, 2)) == []


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0 s"), (90.0, "90 s"), (130.0, "2.2 min"), (7300.0, "2.0 h"), (400_000.0, "4.6 days")]
)
def test_durations_have_two_digits(seconds: float, said: str) -> None:
    """In the unit of which there are at least two."""
    assert say_span(seconds) == said


def test_an_interval_names_its_unit_once() -> None:
    """Where both ends have one."""
    assert say_interval(Interval(100.0, 70.0, 900.0), say_span) == "100 s (70 s–15 min)"
    assert say_interval(Interval(40.0, 39.9, 40.1), say_memory) == "40 MB"
    assert say_interval(Interval(40.0), say_memory) == "40 MB"


@given(HOURS, HOURS, st.lists(st.tuples(HOURS, HOURS), max_size=8), st.floats(0.1, 200))
def test_a_budget_is_never_passed(
    spent: float, committed: float, costs: list[tuple[float, float]], bound: float
) -> None:
    """Whatever was spent: what may be started stays inside both bounds, and one more would not."""
    runs = [Hours(*each) for each in costs]
    budget = Budget(gpu_hours=bound, core_hours=2 * bound)
    fits = fit_into(budget, Hours(spent, spent), Hours(committed, committed), runs)

    def taken(count: int) -> Hours:
        return sum(runs[:count], Hours(spent + committed, spent + committed))

    def inside(hours: Hours) -> bool:
        return hours.gpu <= bound * (1 + 1e-6) and hours.core <= 2 * bound * (1 + 1e-6)

    assert not fits.count or inside(taken(fits.count))
    assert fits.count == len(runs) or not (
        inside(taken(fits.count + 1)) and taken(fits.count + 1).gpu < bound * 0.999999
    )
    assert bool(fits.why) == (fits.count < len(runs))
    assert fits.is_spent == (spent >= bound)


def test_a_budget_says_what_the_forecast_takes_of_it() -> None:
    """What is spent, what is to come, and both as a share."""
    said = say_share(Budget(gpu_hours=10.0), Hours(gpu=2.0), KNOWN.hours, "GPU h")

    assert said == "budget 10 GPU h: 2.0 GPU h spent, 3.1 GPU h (2.4–4.0) to come: 51% in all"
