"""How a number of things and a long list of names are written in every sentence of ours."""

from collections.abc import Sequence

FEW = 5
"""Names that a sentence lists; more are counted."""


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Write ``1 run`` or ``2 runs``; `nouns` where the plural is not the singular with an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def rounded(value: float, digits: int = 3) -> str:
    """A number to so many digits: ``0.0312``, ``26``, ``1,130``; no exponent where people read one (to 10¹²)."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e12 else text


def few(names: Sequence[str], most: int = FEW, between: str = ", ") -> str:
    """The first few names, and how many more there are."""
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
