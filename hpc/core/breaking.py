"""Lines broken between words, as wide as a terminal; a command stays whole, so that it can be copied. Pure.

A terminal breaks a line wherever it ends, also within a word. What is broken here keeps the indent of its line. A word
or a command that is wider than the terminal is left to it: what is copied from there has no newline in it.
"""

import re
from collections.abc import Iterator, Sequence

LEAST = 20
"""No line is broken earlier than this, however narrow the terminal."""
_GOES_ON = {"to", "and", "or", "then", "for", "in", "which", "after", "says", "shows", "lists", "names", "with", "is"}
"""Words of a sentence that goes on behind a command."""
_STARTS = re.compile(
    r"\w+=\S+|\S*/?python[\d.]*|hpc|export|sbatch|scancel|scontrol|squeue|sinfo|pip|make|git|cd|kill|chmod|rm|tar"
)


def broken(text: str, width: int, commands: Sequence[str] = ("python -m hpc.",)) -> str:
    """Break every line of a text that is too wide.

    Args:
        text: One line or several.
        width: Characters that a line may have.
        commands: How a command of ours begins, such as ``hpc `` or ``python -m hpc.``.
    """
    width = max(width, LEAST)
    return "\n".join(
        line if len(line) <= width else "\n".join(_lines(line, width, commands)) for line in text.split("\n")
    )


def _lines(line: str, width: int, commands: Sequence[str]) -> Iterator[str]:
    lead = line[: len(line) - len(line.lstrip())]
    now, gap = "", lead
    for atom in _atoms(line[len(lead) :], commands):
        if atom.isspace():
            gap = atom
        elif now.strip() and len(now) + len(gap) + len(atom) > width:
            yield now
            now = lead + atom
        else:
            now, gap = now + gap + atom, ""
    yield now


def _atoms(text: str, commands: Sequence[str]) -> Iterator[str]:
    """Yield words, whole commands, and the spaces between them."""
    pieces, at = re.findall(r"\S+|\s+", text), 0
    while at < len(pieces):
        end = _end_of_command(pieces, at) if _starts(pieces, at, commands) else at + 1
        yield "".join(pieces[at:end])
        at = end


def _starts(pieces: Sequence[str], at: int, commands: Sequence[str]) -> bool:
    """Whether a command begins here: one of ours, or another where a line or what follows a colon begins."""
    rest = "".join(pieces[at : at + 6]).lstrip("(`'\"")
    if any(rest.startswith(one) for one in commands):
        return True
    is_first = at == 0 or (at > 1 and pieces[at - 2].endswith(":"))
    return is_first and at + 2 < len(pieces) and _STARTS.fullmatch(pieces[at]) is not None


def _opens_quote(pieces: Sequence[str]) -> bool:
    """Whether what is quoted for the shell goes on behind these; the apostrophe of ``it's`` quotes nothing."""
    quotes = (len(re.findall(r"(?<![A-Za-z])'|'(?![A-Za-z])", piece)) for piece in pieces)
    return sum(quotes) % 2 == 1


def _end_of_command(pieces: Sequence[str], at: int) -> int:
    """Where it ends: before a word of the sentence, or behind what a mark of the sentence closes."""
    for place in range(at, len(pieces), 2):
        if _opens_quote(pieces[at:place]):
            continue  # within what is quoted for the shell
        if place > at and (pieces[place] in _GOES_ON or pieces[place].startswith("(")):
            return place - 1
        if place > at and re.search(r"[;,:.)]$", pieces[place]) and not pieces[place].startswith("'"):
            return place + 1
    return len(pieces)
