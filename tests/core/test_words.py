"""How numbers are written in sentences."""

import pytest

from hpc.core.words import rounded, with_spread


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
