"""Whether the line a verdict quotes is the line a person would quote.

A case may hold `quote`: the one line a careful reader marked, as it stands in the log. A verdict quotes several lines;
the first is the one that counts.
"""

import re
from collections.abc import Iterable, Sequence

from hpc.core.failures import log_scan
from tests.corpus.answers import Answered, Share
from tests.corpus.cases import HERE

REACH = 2
"""Lines between two lines of one message: a `what()` below its `terminate`, a hint below its error."""


def marked(answers: Iterable[Answered]) -> list[Answered]:
    """Failures with a marked line."""
    return [a for a in answers if a.is_failure and a.case.get("quote")]


def score_quotes(answers: Iterable[Answered]) -> tuple[Share, Share]:
    """How often the first line quoted is the marked one; how often it is that or another line of the same event."""
    asked = marked(answers)
    return (
        Share(sum(quotes_mark(a) for a in asked), len(asked)),
        Share(sum(quotes_event(a) for a in asked), len(asked)),
    )


def quotes_mark(answered: Answered) -> bool:
    """Whether the first line quoted says what the marked line says, from whichever rank and however often."""
    ours = _first_line(answered)
    return ours is not None and _alike(ours[1], answered.case["quote"])


def quotes_event(answered: Answered) -> bool:
    """Whether it says so, or stands in the same message: at most `REACH` lines off, with no blank line between."""
    ours = _first_line(answered)
    if ours is None or _alike(ours[1], answered.case["quote"]):
        return ours is not None
    number, lines = ours[0], _lines_of(answered)
    near = range(max(1, number - REACH), min(len(lines), number + REACH) + 1) if number else ()
    return any(_alike(lines[i - 1], answered.case["quote"]) and _unbroken(lines, i, number) for i in near)


def _first_line(answered: Answered) -> tuple[int, str] | None:
    evidence = answered.verdict.evidence
    return (evidence[0].line, evidence[0].text) if evidence else None


def _lines_of(answered: Answered) -> list[str]:
    path = HERE / str(answered.case["log"])
    return path.read_bytes().decode("utf-8", "replace").split("\n")


def _unbroken(lines: Sequence[str], i: int, k: int) -> bool:
    return all(line.strip() for line in lines[min(i, k) - 1 : max(i, k)])


def _alike(ours: str, mark: str) -> bool:
    """Whether two lines are one, or one ends or cuts the other: a marked line may be the last part after a return."""
    a, b = _words_of(ours), _words_of(mark)
    return bool(a) and bool(b) and (a == b or (min(len(a), len(b)) > 12 and (a in b or b in a)))


def _words_of(line: str) -> str:
    """A line without colours, rank, time and numbers: two ranks that say the same, say the same."""
    _, text = log_scan.split_rank(log_scan.clean(line))
    return re.sub(r"\W+", " ", re.sub(r"0x[0-9a-f]+|\d+(?:\.\d+)?", "", text)).strip().lower()
