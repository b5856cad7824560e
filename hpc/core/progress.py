"""How far long work is, as one line that fits a terminal: a bar, counts, rate and what is left. Pure."""

from collections.abc import Iterator

from hpc.core.immutable import immutable
from hpc.core.picture import Line
from hpc.core.printable import one_line
from hpc.core.words import rounded

BYTES = "B"
"""The unit of what is counted in bytes; anything else is counted one by one."""
_LAYOUTS = ((30, True, True), (16, True, True), (8, True, True), (8, False, True), (0, False, True), (0, False, False))
"""Cells of the bar, whether the rate is said, and whether the time is: the first that fits is taken."""
_SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


@immutable
class Standing:
    """How far a piece of work is.

    Attributes:
        what: What is being done.
        done: How much of it.
        total: Of how much; None where nobody knows, or nothing is counted.
        unit: `BYTES`, or empty for things.
        elapsed_s: Since it began.
        rate: How much is done a second; 0 where that is not known.
    """

    what: str
    done: int
    total: int | None
    unit: str
    elapsed_s: float
    rate: float


def progress_line(at: Standing, columns: int, marks: str = "━─") -> Line:
    """Draw one line of at most so many columns; what finds no room is left out, first of all the bar.

    Args:
        marks: What the bar is made of: a cell that is done, and one that is not.
    """
    what, rest = _cut(one_line(at.what), columns * 2 // 3), Line()
    for cells, says_rate, says_time in _LAYOUTS:
        told = [_counts(at), _rate(at) if says_rate else "", _time(at) if says_time else ""]
        rest = [*_bar(at, cells, marks), ("".join(f"  {each}" for each in told if each), "dim")]
        if _width(what) + sum(len(text) for text, _ in rest) <= columns:
            return [(what, ""), *rest]
    left = columns - sum(len(text) for text, _ in rest)
    return [(_cut(what, left), ""), *rest] if left > 0 else [(_cut(what, columns), "")]


def _bar(at: Standing, cells: int, marks: str) -> Iterator[tuple[str, str]]:
    if cells and at.total:
        full = min(cells, cells * at.done // at.total)
        yield from (("  ", ""), (marks[0] * full, "green"), (marks[1] * (cells - full), "dim"))


def _counts(at: Standing) -> str:
    if not at.total:
        return _amount(at.done, at.unit) if at.done else ""
    if at.unit != BYTES:
        return f"{at.done:,}/{at.total:,}"
    return f"{_amount(at.done, BYTES)}/{_amount(at.total, BYTES)}"


def _amount(number: float, unit: str) -> str:
    if unit != BYTES:
        return f"{number:,.0f}"
    name, size = next(((name, size) for name, size in _SIZES if number >= size), ("B", 1.0))
    return f"{rounded(number / size)} {name}"


def _rate(at: Standing) -> str:
    if at.rate <= 0:
        return ""
    if at.unit == BYTES:
        return f"{_amount(at.rate, BYTES)}/s"
    return f"{at.rate:,.0f}/s" if at.rate >= 1 else f"{at.rate * 60:.0f}/min" if at.rate * 60 >= 1 else ""


def _time(at: Standing) -> str:
    """What is left where that can be told, else how long it has taken."""
    if at.total and at.rate > 0:
        return f"{_clock(max(at.total - at.done, 0) / at.rate)} left"
    return _clock(at.elapsed_s)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _cut(text: str, columns: int) -> str:
    """As much of the beginning of a text as finds room."""
    if _width(text) <= columns:
        return text
    while text and _width(text) >= columns:
        text = text[:-1]
    return f"{text}…" if columns > 0 else ""


def _width(text: str) -> int:
    """Columns that a text takes: two for each wide character, none for one that is put onto another."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # here: a library, for names that few have

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
