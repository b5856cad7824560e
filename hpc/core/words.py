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


def in_percent(value: float, *, sign: bool = True) -> str:
    """A change in percent to a tenth, ``+2.8``; to as many places as it takes not to say that it is none, or all.

    Args:
        sign: Whether a plus is written; without, of the amount alone.
    """
    value = value if sign else abs(value)
    texts = [f"{value:{'+' if sign else ''}.{places}f}" for places in range(1, _MOST_PLACES)]
    # What does not differ in so many places does so by the last bit of an addition.
    return next((text for text in texts if abs(float(text)) not in (0, 100)), texts[0])


def with_spread(mean: float, spread: float) -> str:
    """A mean to the place of its standard deviation's second digit: ``0.0624 ± 0.0023``, ``101.7 ± 1.5``, ``0.5 ± 0``.

    Digits beyond that say nothing: two means that differ in them alone do not differ.
    """
    places = max(1 - floor(log10(spread)), 0) if spread > 0 and isfinite(spread) else None
    if places is None or places > _MOST_PLACES or not abs(mean) < 1e12:
        return f"{rounded(mean, 6)} ± {rounded(spread, 2)}"
    return f"{mean:,.{places}f} ± " + (f"{spread:.{places}f}" if places else rounded(spread, 2))


def two_digits(value: float) -> str:
    """A number to two digits, and to no more than a thousandth: ``4,000``, ``12``, ``3.1``, ``0.34``, ``0.050``."""
    if value >= 9.95:
        return f"{value:,.0f}"
    digits = 1 if value >= 0.95 else 2 if value >= 0.095 else 3
    return f"{value:.{digits}f}" if value >= 0.0005 else "0"


def span(seconds: float) -> str:
    """A length of time to two digits: ``12 min``, ``3.4 h``, ``2.1 days``."""
    for unit, length, least in (("days", 86400, 2 * 86400), ("h", 3600, 7200), ("min", 60, 120), ("s", 1, 0)):
        if seconds >= least:
            return f"{two_digits(seconds / length)} {unit}"
    raise AssertionError("a duration is not negative")


_PARTS = {"h": ("h", "min", "s"), "hours": ("hours", "minutes", "seconds")}
_LEAST_HOURS = (0.1, 2 / 60)
"""From so many hours on an amount is said in hours, from so many in minutes."""


def amount(hours: float, unit: str) -> str:
    """Hours to two digits, little of it in minutes or seconds: ``3.1 GPU h``, ``4.2 core min``, ``36 core s``.

    Args:
        unit: Whose hours: ``GPU h``, ``core hours``.
    """
    scale, of = amount_unit(hours, unit)
    return f"{two_digits(hours * scale)} {of}"


def amount_unit(hours: float, unit: str) -> tuple[float, str]:
    """In what so many hours are said: how many of it an hour has, and its name. None at all are hours."""
    kind, _, name = unit.rpartition(" ")
    place = next((at for at, least in enumerate(_LEAST_HOURS) if hours >= least), 2) if hours > 0 else 0
    return 60.0**place, f"{kind} {_PARTS[name][place]}".strip()


def few(names: Sequence[str], most: int = FEW, between: str = ", ") -> str:
    """The first few names, and how many more there are."""
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
