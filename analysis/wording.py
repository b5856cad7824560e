"""How numbers, times and durations are written, the same in every form of the report."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import floor, log10
from typing import Any
from urllib.parse import quote

import numpy as np

from analysis.document import Cell, cell
from analysis.drawing import plain
from analysis.estimates import Estimate
from analysis.frame import show_value


def show_time(unix: float | None) -> str:
    """Write a Unix time in UTC; every reader and every rebuild sees the same text."""
    return "not recorded" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def show_number(value: float | None, digits: int = 4) -> str:
    """Write a number with some significant digits; ``–`` where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


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


def counted(number: int, noun: str) -> str:
    """Write ``1 run`` or ``3 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show_p(p: float | None) -> str:
    """Write a p-value; very small ones as a bound."""
    return "–" if p is None else ("< 0.0001" if p < 1e-4 else f"{p:.4f}")


def show_duration(seconds: float | None) -> str:
    """Write ``43 s``, ``5 min 49 s`` or ``3 h 20 min``."""
    if seconds is None:
        return "not recorded"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def plain_json(value: Any) -> str:
    """Write a value as indented JSON whose texts are safe to show."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    return "\n".join(plain(line) for line in text.splitlines())


def run_link(directory: str) -> str:
    """Link from the report's folder to a folder of the experiment; a relative path whatever the text is."""
    return "../" + quote(directory.lstrip("/"))


def number_cell(value: float | None, digits: int = 4, mark: str = "") -> Cell:
    """A number that sorts by its full precision."""
    return cell(show_number(value, digits), "" if value is None else repr(float(value)), mark=mark)


def _to_place(value: float, spread: float) -> str:
    """Write a value to the second significant digit of a spread."""
    if spread == 0 or not np.isfinite(value):
        return show_number(value)
    place = 1 - floor(log10(abs(spread)))
    if not -6 <= place <= 9:
        return f"{value:.4g}"
    return f"{round(value, place):.{max(0, place)}f}"


def short_list(values: Sequence[Any]) -> str:
    shown = ", ".join(show_value(value) for value in values[:12])
    return shown + (f", … ({len(values)} values)" if len(values) > 12 else "")


def round_parts(parts: Sequence[float]) -> tuple[list[float], int]:
    """Round parts so that they add up to the rounded whole (largest remainders first); with the decimals to show.

    The whole keeps four significant digits, and no part is moved by more than one unit of the last decimal.
    """
    total = sum(parts)
    places = min(9, max(0, 3 - floor(log10(total)))) if total > 0 else 0
    units = [part * 10**places for part in parts]
    down = [floor(one) for one in units]
    by_remainder = sorted(range(len(parts)), key=lambda place: down[place] - units[place])
    for place in by_remainder[: round(sum(units)) - sum(down)]:
        down[place] += 1
    return [one / 10**places for one in down], places


def share_text(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "of nothing"


def pairs_text(mapping: Mapping[str, Any] | None) -> str:
    if not mapping:
        return "not declared"
    return ", ".join(
        f"{name} {show_value(value) if not isinstance(value, dict) else json.dumps(value)}"
        for name, value in mapping.items()
    )


def cut_note(total: int, limit: int, what: str, file: str, which: str = "") -> str:
    """Say that a table was cut; empty when it was not."""
    if total <= limit:
        return ""
    return f"{limit} of {total} {what} are listed here{f' ({which})' if which else ''}; all of them are in {file}."
