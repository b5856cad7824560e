r"""Which lines of a piece of a log match a pattern. Pure; the time is linear in the log, whatever its lines are like.

The pattern is looked for in the whole piece at once, which is many times faster than line by line, and each line it
is found in is then asked by itself: a pattern such as ``a\s+b`` would otherwise join two lines.
"""

import re
from collections.abc import Iterator

from hpc.core.errors import InputError, Problem
from hpc.core.immutable import immutable

_NEEDS_LINES = re.compile(r"\(\?(?:[=!>(]|<[=!])|\\[ABZ]|[*+?}]\+")
r"""What looks at its surroundings or gives nothing back (``(?=``, ``\A``, ``\B``, ``a++``): a line alone and one
among others are not the same to it, so every line is asked by itself."""
_ANYTHING = re.compile(r"\A\.\*\??|(?<!\\)\.\*\??\Z")
"""``.*`` at either end finds the same lines without it, and tries every start of a long line anew."""

_WORDS_ONLY = re.compile(r"\(\?i\)[A-Za-z0-9 _:,/'\"|-]+")
"""Words in either case, and nothing that has a meaning in upper case."""


@immutable
class Search:
    """A pattern to look for.

    Attributes:
        text: As it was written.
        pattern: Over bytes, ``^`` and ``$`` at the ends of lines.
        by_line: Whether it has to be asked line by line.
        folds: Whether it is looked for in lower case: several times faster than asking `re` for either case.
    """

    text: str
    pattern: re.Pattern[bytes]
    by_line: bool = False
    folds: bool = False


def parse_search(text: str) -> Search:
    """Read a pattern as a person writes it (Python's ``re``).

    Raises:
        InputError: It is none; the message says where, and how to look for these very characters.
    """
    folds = bool(_WORDS_ONLY.fullmatch(text))
    shorter = text.removeprefix("(?i)").lower() if folds else text if "|" in text else _ANYTHING.sub("", text)
    try:
        re.compile(text)
        pattern = re.compile(shorter.encode("utf-8", "surrogateescape"), re.MULTILINE)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        problem = f"{text!r} is not a valid pattern ({error}); to look for these very characters: {re.escape(text)!r}"
        raise InputError([Problem(problem, "--grep")]) from None
    return Search(text, pattern, bool(_NEEDS_LINES.search(text)), folds)


@immutable
class Hit:
    """A line that matches; of one that a progress bar wrote over and over, the first writing that does.

    Attributes:
        line: Its number, from 1.
        start: First byte of it in the piece.
        end: Byte after its last, its line end not counted.
        at: First byte of what matched.
    """

    line: int
    start: int
    end: int
    at: int


def find_lines(piece: bytes, search: Search, first_line: int = 1, begin: int = 0) -> Iterator[Hit]:
    """Find the lines of a piece that match, each once, in order.

    Args:
        piece: Whole lines; or, of a line that is too long to be held, a part.
        first_line: Number of the line the piece begins with.
        begin: Where to begin; what stands before it is known to the pattern (``^`` does not match there).
    """
    look = _find_alone if search.by_line else _find_among
    # What a carriage return ends was written over: on a screen it was a line by itself.
    written = piece.replace(b"\r", b"\n") if b"\r" in piece else piece
    written = written.lower() if search.folds else written
    number, counted_to = first_line, 0
    while begin < len(piece) and (found := look(written, search.pattern, begin)):
        start, end, at = found
        if piece[start - 1 : start + 1] == b"\r\n":  # between the two is nothing
            begin = end + 1
            continue
        number += piece.count(b"\n", counted_to, start)
        counted_to = start
        yield Hit(number, start, end, at)
        begin = piece.find(b"\n", end) + 1 or len(piece)


def _find_among(written: bytes, pattern: re.Pattern[bytes], begin: int) -> tuple[int, int, int] | None:
    """The first line from a byte on that matches: its start and end, and where; looked for in all of them at once."""
    while begin < len(written) and (found := pattern.search(written, begin)):
        start = max(begin, written.rfind(b"\n", begin, found.start()) + 1)
        end = _end_of_line(written, found.start())
        if found.end() > end:  # it goes on in the next line: what of it is in this one?
            found = pattern.search(written, start, end)
        if found and start < len(written):  # after the last line end there is no line
            return start, end, found.start()
        begin = end + 1
    return None


def _find_alone(written: bytes, pattern: re.Pattern[bytes], begin: int) -> tuple[int, int, int] | None:
    """The same, each line asked by itself: what looks back must not see the line before."""
    start = begin
    while start < len(written):
        end = _end_of_line(written, start)
        if start == begin and begin and written[begin - 1 : begin] != b"\n":  # the line is known further back
            if found := pattern.search(written, start, end):
                return start, end, found.start()
        elif found := pattern.search(written[start:end]):
            return start, end, start + found.start()
        start = end + 1
    return None


def _end_of_line(written: bytes, position: int) -> int:
    end = written.find(b"\n", position)
    return len(written) if end < 0 else end
