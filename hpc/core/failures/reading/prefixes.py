"""What stands before the words of a line and is none of them: the rank or host that speaks, and the clock. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from hpc.core.failures.log_scan import split_rank

_CLOCK = re.compile(
    r"^\s?[\[(<]?(?:\d{4}[-/]\d\d[-/]\d\d[T _]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
    r"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]?\d"
    r" \d\d:\d\d:\d\d(?: \d{4})?"
    r"|\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)(?:[\])>]:?|:(?= )|(?= |$)) ?(?:\| )?"
)
_BARS = re.compile(r"^\s{1,12}[|+] (?=\s{0,8}(?:(?:Exception Group )?Traceback|File \"|[\w.]{1,80}(?:Error|Exception)\b"
                   r"|KeyboardInterrupt)|    )")  # fmt: skip
_SPEAKER = re.compile(
    r"^(?!(?:srun|slurmstepd|wandb|pyxis|enroot|FATAL|ERROR|INFO|WARNING|hpc|epoch|step|iter\w*)\b)"
    r"(?P<name>[A-Za-z][\w.-]{0,40}\d(?:[\w.-]{0,20})|\d{1,3}(?:\.\d{1,3}){3}|<\w{2,20}>|\([\w.:-]{1,40}\)"
    r"|\[[\w.:-]{1,40}\])(?::| {0,3}\||>)? ?"
)
_DIGITS = re.compile(r"\d+")
_NUMBERED = re.compile(r"\[(?P<rank>\d{1,6})\](?: |$)")
TOGETHER = 4
"""Lines that begin with one number in brackets, one of them with nothing behind it, before it is a rank."""
SHARE = 0.8
"""Share of the lines that begin alike before the beginning is taken for the name of who speaks."""


def split_prefix(text: str) -> tuple[str, str]:
    """Take the rank and the clock off a line: ``(rank, rest)``. Indentation behind them stays."""
    rank = ""
    for _ in range(3):
        found, rest = ("", text) if rank else split_rank(text)
        rank = rank or found
        clock = _CLOCK.match(rest)
        rest = rest[clock.end() :] if clock else rest
        if rest == text:
            break
        text = rest
    bars = _BARS.match(text)
    return rank, text[bars.end() :] if bars else text


def split_speakers(split: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Take off what almost every line of a log begins with: hosts and pods, as pdsh, kubectl and others write them."""
    split = _with_numbered(split)
    found = [None if rank or not text else _SPEAKER.match(text) for rank, text in split]
    shapes = Counter(_DIGITS.sub("0", match[0].strip()) for match in found if match)
    shape, count = shapes.most_common(1)[0] if shapes else ("", 0)
    if count < 3 or count < SHARE * sum(bool(text.strip()) for _, text in split):
        return list(split)
    return [
        _speaking(match["name"], text[match.end() :])
        if match and _DIGITS.sub("0", match[0].strip()) == shape
        else (rank, text)
        for (rank, text), match in zip(split, found, strict=True)
    ]


def _with_numbered(split: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Take ``[3]`` off the lines of a rank that stand together, as solvers write their fatal errors."""
    if not any(text.startswith("[") and _NUMBERED.fullmatch(text) for _, text in split):
        return split
    found = [None if rank else _NUMBERED.match(text) for rank, text in split]
    together = Counter(match["rank"] for match in found if match)
    return [
        (match["rank"], text[match.end() :]) if match and together[match["rank"]] >= TOGETHER else (rank, text)
        for (rank, text), match in zip(split, found, strict=True)
    ]


def _speaking(name: str, text: str) -> tuple[str, str]:
    """Who speaks on a host: the rank, where the line names one behind it."""
    rank, rest = split_prefix(text)
    return rank or name, rest
