"""Small pictures made of characters: a stacked bar of outcomes, a sparkline of a curve; text with a style, as pieces.

A piece is a text and the name of its style; a line is a list of pieces. Who prints them makes them safe and coloured.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Piece = tuple[str, str]
"""A text and the name of its style, one of `STYLES`; empty for none."""
Line = list[Piece]

STYLES = ("", "bold", "dim", "green", "red", "yellow", "blue")
OUTCOME_STYLES: Mapping[str, str] = {
    "finished": "green", "failed": "red", "running": "blue", "pending": "yellow", "planned": "dim",
}  # fmt: skip
"""Outcome → style, in the order of the bar: what is settled stands on the left."""
_FILLED: Mapping[str, str] = {"finished": "█", "failed": "▓", "running": "▒", "pending": "░", "planned": "·"}
"""Told apart without colours, too."""
_HEIGHTS = "▁▂▃▄▅▆▇█"
NARROW, WIDE = 10, 60
"""Characters that a bar takes at least and at most."""


def shares(counts: Sequence[int], cells: int) -> list[int]:
    """Divide a number of cells by counts: the sum is exact, and what is there at all has a cell.

    Args:
        counts: None of them negative.
        cells: As many as there are counts above 0, or more; else as many cells come back as those.
    """
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    given = [max(1, count * cells // total) if count else 0 for count in counts]
    while sum(given) < cells:  # to whom most is owed
        owed = [count * cells / total - have if count else -math.inf for count, have in zip(counts, given, strict=True)]
        given[owed.index(max(owed))] += 1
    while sum(given) > cells and max(given) > 1:  # from whom has most beyond its share, of those that can give
        beyond = [
            have - count * cells / total if have > 1 else -math.inf for count, have in zip(counts, given, strict=True)
        ]
        given[beyond.index(max(beyond))] -= 1
    return given


def bar(counts: Mapping[str, int], width: int) -> Line:
    """A stacked bar of tasks by outcome, `WIDE` characters or what the width allows; empty without a task."""
    names = list(OUTCOME_STYLES)
    cells = shares([counts.get(name, 0) for name in names], min(WIDE, max(NARROW, width)))
    return [(_FILLED[name] * many, OUTCOME_STYLES[name]) for name, many in zip(names, cells, strict=True) if many]


def thin(values: Sequence[float], most: int) -> list[float | None]:
    """Take a curve in at most that many points: the mean of the numbers of each stretch; None where it has none."""
    if not values:
        return []
    many = min(most, len(values))
    bounds = [len(values) * each // many for each in range(many + 1)]
    return [_mean(values[first:last]) for first, last in pairwise(bounds)]


def _mean(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    mean = sum(value / len(finite) for value in finite) if finite else math.nan
    return mean if math.isfinite(mean) else None


def sparkline(values: Sequence[float | None]) -> str:
    """A curve as one character a point; a space where there is no number. A flat one lies in the middle."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    return "".join(_height(value, low, high) for value in values)


def _height(value: float | None, low: float, high: float) -> str:
    if value is None or not math.isfinite(value):
        return " "
    return _HEIGHTS[min(len(_HEIGHTS) - 1, int(height(value, low, high) * len(_HEIGHTS)))]


def height(value: float, low: float, high: float) -> float:
    """Where a finite value lies between two others, from 0 to 1; in the middle where they are one."""
    span = high / 2 - low / 2  # halves: the whole span may be more than a float holds
    return min(1.0, max(0.0, (value / 2 - low / 2) / span)) if span else 0.5


def in_words(lines: Iterable[Line]) -> list[str]:
    """The same without styles."""
    return ["".join(text for text, _ in line) for line in lines]
