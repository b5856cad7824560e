"""Where in the user's own code an error was raised, by the traceback that the quoted line ends."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from hpc.core.failures.evidence import LogLine
from hpc.core.failures.reading.prefixes import split_prefix
from hpc.core.failures.rules.stack import INSTALLED
from hpc.core.immutable import immutable

MOST_LINES = 400
"""Of a traceback, from its end."""
_HEADER = "Traceback (most recent call last)"
_FRAME = re.compile(r'\s*File "(?P<path>[^"]{1,400})", line (?P<line>\d{1,9})(?:,? in (?P<function>\S.{0,120}))?$')


_COPY = re.compile(r"^.*/attempt-\d{1,9}/work/")
"""Where a run finds the copy of its code; whoever mends it does so in their own folder."""


@immutable
class RaisedAt:
    """A line of code.

    Attributes:
        path: Its file, as the traceback has it.
        line: Its number, from 1.
        function: In which it stands; empty where the traceback does not say.
        code: The line as the traceback quotes it; empty where it does not.
    """

    path: str
    line: int
    function: str
    code: str

    def __str__(self) -> str:
        """``train.py:31, in main: assert logits.shape == labels.shape``."""
        where = f"{_COPY.sub('', self.path)}:{self.line}" + (f", in {self.function}" if self.function else "")
        return f"{where}: {self.code}" if self.code else where


def raised_at(quoted: LogLine, log: Sequence[LogLine]) -> RaisedAt | None:
    """Find the innermost call in a file that no package brought; None where the line ends no traceback of Python's.

    Args:
        quoted: The line that decided.
        log: All lines that were read.
    """
    above = islice(_above(quoted, log), MOST_LINES)
    for below, text in pairwise(("", *above)):
        if text.startswith(_HEADER) or not (text.startswith(" ") or _FRAME.match(text)):
            return None
        frame = _FRAME.match(text)
        if frame and not INSTALLED.search(frame["path"]) and not frame["path"].startswith("<"):
            code = "" if _FRAME.match(below) else below.strip()
            return RaisedAt(frame["path"], int(frame["line"]), frame["function"] or "", code)
    return None


def _above(quoted: LogLine, log: Sequence[LogLine]) -> Iterator[str]:
    """What the same rank wrote before a line, nearest first, up to where lines were left out.

    Without carets, and without what stands for repeated calls.
    """
    rank, number = split_prefix(quoted.text)[0], quoted.line
    for line in reversed(log):
        if line.source != quoted.source or line.line >= quoted.line:
            continue
        if line.line != number - 1:
            return
        number = line.line
        own, text = split_prefix(line.text)
        if own == rank and text.strip(" ~^") and not text.lstrip().startswith("[Previous line repeated"):
            yield text
