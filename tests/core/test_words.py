"""How numbers are written in sentences."""

import pytest

from hpc.core.words import amount, in_percent, rounded, with_spread


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1130.4, 3, "1,130"), (260.0, 2, "260"), (26.04, 2, "26"), (999.7, 3, "1,000"), (-123456.0, 4, "-123,500"),
        (0.03123, 2, "0.031"), (1e-7, 2, "1e-07"), (0.0, 3, "0"), (3e15, 2, "3e+15"),
        (float("nan"), 3, "nan"), (float("inf"), 3, "inf"),
    ],
)  # fmt: skip
def test_a_rounded_number_has_no_exponent_where_people_read_one(value: float, digits: int, text: str) -> None:
    """So many digits, thousands apart; tiny and huge numbers keep their exponent."""
    assert rounded(value, digits) == text


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [
        (0.0623555, 0.0023, "0.0624 ± 0.0023"),
        (0.0623555, 0.002, "0.0624 ± 0.0020"),
        (101.667, 1.5275, "101.7 ± 1.5"),
        (-3.31667, 0.0153, "-3.317 ± 0.015"),
        (12345.6, 151, "12,346 ± 150"),
        (0.5, 0.0, "0.5 ± 0"),
        (1234567.0, 9.96, "1,234,567.0 ± 10.0"),
        (1e-15, 3e-16, "1e-15 ± 3e-16"),
        (float("inf"), float("nan"), "inf ± nan"),
        (3e20, 2.0, "3e+20 ± 2"),
    ],
)
def test_a_mean_is_as_exact_as_its_spread(mean: float, spread: float, text: str) -> None:
    """Both end at the place of the spread's second digit."""
    assert with_spread(mean, spread) == text


@pytest.mark.parametrize("unit", ["GPU h", "core hours", "h"])
def test_an_amount_has_two_digits_and_is_nothing_only_where_it_is(unit: str) -> None:
    """From microseconds to centuries: off by a tenth at most, no digit that says nothing, in the unit it names."""
    said_in = {"h": 1.0, "hours": 1.0, "min": 60.0, "minutes": 60.0, "s": 3600.0, "seconds": 3600.0}
    assert amount(0.0, unit) == f"0 {unit}"
    for exponent in range(-40, 60):
        hours = 1.25**exponent
        told = amount(hours, unit)
        figure, _, name = told.partition(" ")
        scale = said_in[name.rpartition(" ")[2]]
        assert float(figure.replace(",", "")) == pytest.approx(hours * scale, rel=0.06)
        assert len(figure.replace(",", "").replace(".", "").strip("0")) <= 2 or hours * scale >= 100
        assert name.startswith(unit.rpartition(" ")[0])
    assert [amount(each, "GPU h") for each in (0.001, 0.016944, 0.0707, 0.34, 200)] == [
        "3.6 GPU s", "61 GPU s", "4.2 GPU min", "0.34 GPU h", "200 GPU h",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.83, "+2.8"), (-4.0, "-4.0"), (0.0, "+0.0"), (-100.0, "-100.0"), (1130.04, "+1130.0"), (0.04, "+0.04"),
        (-0.0031, "-0.003"), (-99.993, "-99.99"), (100.0004, "+100.0004"), (1e-14, "+0.0"), (-100 + 1e-13, "-100.0"),
    ],
)  # fmt: skip
def test_a_change_is_none_or_all_only_where_it_is(value: float, text: str) -> None:
    """To a tenth, else to the first place that tells it from nothing and from all."""
    assert in_percent(value) == text
    assert in_percent(value, sign=False) == text.lstrip("+-")
