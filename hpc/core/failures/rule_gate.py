"""Which rules can know a line at all: all their patterns in one machine, in one pass. Pure.

A line is asked of some hundred and fifty patterns. RE2 looks for the words that each of them needs in one pass, and
runs those whose words it found; only what it names is then asked again. RE2 knows no look-around and counts badly, so
it is given a wider pattern than each rule's own: what it names may fail to match, what it does not name cannot.
"""

import re
from collections.abc import Sequence
from functools import cache

from hpc.core.failures.engine import filter_of


class RuleGate:
    """Patterns that are asked together.

    Args:
        patterns: As `re` has them, case ignored.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._all = range(len(patterns))
        self._filter = filter_of([widened(pattern) for pattern in patterns])

    def may_match(self, text: str) -> Sequence[int]:
        """Places of the patterns that may be found in a line, in order. Beyond ASCII the two engines differ: all."""
        if self._filter is None or not text.isascii():
            return self._all
        return sorted(self._filter.Match(text) or ())


_COUNTED = re.compile(r"\{(\d+),(\d+)\}")


@cache
def widened(pattern: str) -> str:
    """A pattern that matches wherever the given one does, without look-around and without long counts."""
    shorter = _COUNTED.sub(lambda m: f"{{{m[1]},}}" if int(m[2]) > 8 else m[0], _without_look_around(pattern))
    return shorter.replace("{0,}", "*").replace("{1,}", "+")


def _without_look_around(pattern: str) -> str:
    kept: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            kept.append(pattern[at : at + 2])
            at += 2
        elif pattern[at] == "[":
            end = _end_of_class(pattern, at)
            kept.append(pattern[at:end])
            at = end
        elif pattern.startswith(("(?=", "(?!", "(?<=", "(?<!"), at):
            at = _end_of_group(pattern, at)
        else:
            kept.append(pattern[at])
            at += 1
    return "".join(kept)


def _end_of_class(pattern: str, at: int) -> int:
    at += 2 if pattern.startswith("[^", at) else 1
    first = at
    while pattern[at] != "]" or at == first:  # a bracket that stands first is one of the characters
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _end_of_group(pattern: str, at: int) -> int:
    depth = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 2
            continue
        if pattern[at] == "[":
            at = _end_of_class(pattern, at)
            continue
        depth += (pattern[at] == "(") - (pattern[at] == ")")
        at += 1
        if not depth:
            break
    return at
