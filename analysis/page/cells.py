"""How estimates stand in a table: mean and spread to the same decimal, always with n."""

import math

from analysis.page.document import Cell, cell
from analysis.statistics.estimates import Estimate
from analysis.words import show_number


def show_mean(one: Estimate) -> str:
    """Write ``0.0326 ± 0.0006 (n=3)``: the spread to two digits, the mean to the same place, always with n."""
    if one.mean is None:
        return "no value (n=0)"
    if one.std is None:
        return f"{show_number(one.mean)} (n=1, no std)"
    if one.std == 0:
        return f"{show_number(one.mean)} ± 0 (n={one.n})"
    return f"{_to_place(one.mean, one.std)} ± {_to_place(one.std, one.std)} (n={one.n})"


def show_interval(one: Estimate) -> str:
    """Write ``[0.0310, 0.0342]``; ``not computable`` where there is none."""
    if one.low is None or one.high is None or one.std is None:
        return f"not computable: n={one.n}"
    return f"[{_to_place(one.low, one.std or abs(one.low))}, {_to_place(one.high, one.std or abs(one.high))}]"


def number_cell(value: float | None, digits: int = 4, mark: str = "") -> Cell:
    """A number that sorts by its full precision."""
    return cell(show_number(value, digits), "" if value is None else repr(float(value)), mark=mark)


def _to_place(value: float, spread: float) -> str:
    """Write a value to the second significant digit of a spread."""
    if spread == 0 or not math.isfinite(value):
        return show_number(value)
    place = 1 - math.floor(math.log10(abs(spread)))
    if not -6 <= place <= 9:
        return f"{value:.4g}"
    return f"{round(value, place):.{max(0, place)}f}"
