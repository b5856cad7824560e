"""How a number of things and a long list of names are written in every sentence of ours."""

from collections.abc import Sequence
from math import floor, isfinite, log10

FEW = 5
"""Names that a sentence lists; more are counted."""
_MOST_PLACES = 9
"""Decimal places that people still read; smaller numbers have an exponent."""


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Write ``1 run`` or ``2 runs``; `nouns` where the plural is not the singular with an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def rounded(value: float, digits: int = 3) -> str:
    """A number to so many digits: ``0.0312``, ``26``, ``1,130``; no exponent where people read one (to 10¹²)."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e12 else text


def with_spread(mean: float, spread: float) -> str:
    """A mean to the place of its standard deviation's second digit: ``0.0624 ± 0.0023``, ``101.7 ± 1.5``, ``0.5 ± 0``.

    Digits beyond that say nothing: two means that differ in them alone do not differ.
    """
    places = max(1 - floor(log10(spread)), 0) if spread > 0 and isfinite(spread) else None
    if places is None or places > _MOST_PLACES or not abs(mean) < 1e12:
        return f"{rounded(mean, 6)} ± {rounded(spread, 2)}"
    return f"{mean:,.{places}f} ± " + (f"{spread:.{places}f}" if places else rounded(spread, 2))


def few(names: Sequence[str], most: int = FEW, between: str = ", ") -> str:
    """The first few names, and how many more there are."""
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
