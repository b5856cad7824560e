"""How numbers are written in sentences."""

import pytest

from hpc.core.words import rounded


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
