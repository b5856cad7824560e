"""How names, numbers, times and lists are written, the same in every form of the report. Values in, text out."""

import json
import math
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from hpc.core.experiment.values import is_single, render_value
from hpc.core.words import amount_unit

# Names and texts from outside


def plain(text: str) -> str:
    """Make any text safe to show: control characters become their pictures, what reorders or hides text a '�'."""
    return text if text.isprintable() else "".join(_plain_character(one) for one in text)


def _plain_character(one: str) -> str:
    if ord(one) < 0x20:
        return chr(0x2400 + ord(one))
    if one == "\x7f":
        return "␡"
    # U+2028/2029 end lines, Cf (but not the joiners emoji need) reorders or hides text, Cs cannot be encoded.
    hidden = unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or (
        unicodedata.category(one) == "Cf" and one != "\u200d"
    )
    return "�" if hidden else one


def show_value(value: Any) -> str:
    """Write a parameter's value the way people do: ``0.0002``, ``8``, ``both``; `–` where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if not is_single(value):
        return render_value(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain_json(value: Any) -> str:
    """Write a value as indented JSON whose texts are safe to show."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    return "\n".join(plain(line) for line in text.splitlines())


def run_link(directory: str) -> str:
    """Link from the report's folder to a folder of the experiment; a relative path whatever the text is."""
    return "../" + quote(directory.lstrip("/"))


# Numbers


def show_number(value: float | None, digits: int = 4) -> str:
    """Write a number with some significant digits; ``–`` where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def show_p(p: float | None) -> str:
    """Write a p-value; very small ones as a bound."""
    return "–" if p is None else ("< 0.0001" if p < 1e-4 else f"{p:.4f}")


def say_p(p: float | None) -> str:
    """Write a p-value into a sentence: ``p = 0.0432``, ``p < 0.0001``."""
    told = show_p(p)
    return f"p {told}" if told.startswith("<") else f"p = {told}"


def coverage(level: float) -> str:
    """Write the coverage of an interval: ``95 %``."""
    return f"{100 * level:g} %"


def share_text(part: float, whole: float) -> str:
    """Write a part in percent of the whole."""
    return f"{100 * part / whole:.0f} %" if whole else "of nothing"


def round_parts(parts: Sequence[float]) -> tuple[list[float], int]:
    """Round parts so that they add up to the rounded whole (largest remainders first); with the decimals to show.

    The whole keeps four significant digits, and no part is moved by more than one unit of the last decimal.
    """
    total = sum(parts)
    places = min(9, max(0, 3 - math.floor(math.log10(total)))) if total > 0 else 0
    return [one / 10**places for one in _round_units([part * 10**places for part in parts])], places


def _round_units(units: Sequence[float]) -> list[int]:
    """Round to whole numbers that add up to the rounded sum, the largest remainders upwards."""
    down = [math.floor(one) for one in units]
    by_remainder = sorted(range(len(units)), key=lambda place: down[place] - units[place])
    for place in by_remainder[: round(sum(units)) - sum(down)]:
        down[place] += 1
    return down


# Times


@dataclass(frozen=True)
class Hours:
    """Hours that add up as they are written: all in the unit of their sum, and to its digits.

    Attributes:
        parts: One number a part, in `unit`.
        unit: ``h``, ``min`` or ``s``, as `hpc.core.words.amount` says the sum.
        places: Decimals, for three digits of the sum: with two, what a failure cost would often be nothing.
    """

    parts: tuple[float, ...]
    unit: str
    places: int

    @property
    def total(self) -> float:
        """The sum of the parts, in `unit`."""
        return sum(self.parts)

    def write(self, value: float) -> str:
        """Write a part, or several together: ``1.74 h``."""
        return f"{value:,.{self.places if value else 0}f} {self.unit}"


def split_hours(parts: Sequence[float]) -> Hours:
    """Round hours so that the parts add up to the whole."""
    scale, unit = amount_unit(sum(parts), "h")
    whole = sum(parts) * scale
    places = min(3, max(0, 2 - math.floor(math.log10(whole)))) if whole > 0 else 0
    units = _round_units([part * scale * 10**places for part in parts])
    return Hours(tuple(one / 10**places for one in units), unit, places)


def show_time(unix: float | None) -> str:
    """Write a Unix time in UTC; every reader and every rebuild sees the same text."""
    return "not recorded" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def show_minute(unix: float) -> str:
    """Write a Unix time in UTC to the minute: ``2026-11-21 13:05 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix))


def show_duration(seconds: float | None) -> str:
    """Write ``43 s``, ``5 min 49 s`` or ``3 h 20 min``."""
    if seconds is None:
        return "not recorded"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


# Counts and lists


def list_counts(counts: Mapping[str, int]) -> str:
    """Write ``3 oom_gpu, 1 divergence``."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def list_words(words: Sequence[str]) -> str:
    """Write ``code, image and launch``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def spread(numbers: Iterable[int]) -> str:
    """Write the least and the largest of some numbers: ``3`` or ``2 to 3``."""
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def short_list(values: Sequence[Any]) -> str:
    """Write the first twelve of some values, and how many there are."""
    shown = ", ".join(show_value(value) for value in values[:12])
    return shown + (f", … ({len(values)} values)" if len(values) > 12 else "")


def pairs_text(mapping: Mapping[str, Any] | None) -> str:
    """Write ``gpus 1, mem 32GB``."""
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


def presentable(value: Any) -> Any:
    """The same JSON value with every text one that UTF-8 can hold: bytes that are none, of a path say, are escaped."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {presentable(key): presentable(each) for key, each in value.items()}
    return [presentable(each) for each in value] if isinstance(value, list) else value
