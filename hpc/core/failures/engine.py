"""Patterns that are asked of every line: RE2, whose time is linear in the text whatever the pattern. Pure.

Where google-re2 is not installed (a compute node's bare Python, a machine no wheel was built for) `re` answers the
same, several times slower (docs/decisions/0035). RE2 is asked of ASCII alone, unless a pattern knows no other letters:
beyond it the two engines disagree about what a letter is.
"""

import re
from functools import cache, cached_property
from typing import Any


@cache
def _re2() -> Any:
    """The engine; None where it is not installed. Loaded when it is first needed, not by ``--help``."""
    try:
        import re2  # type: ignore[import-untyped]  # it has none
    except ImportError:
        return None
    return re2


def is_fast() -> bool:
    """Whether RE2 is here; a long alternation is then one automaton, else one attempt after the other."""
    return _re2() is not None


def _options(*, latin: bool = False, ignore_case: bool = True) -> Any:
    options = _re2().Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    if latin:
        options.encoding = _re2().Options.Encoding.LATIN1
    return options


class Finder:
    """One pattern, to be found or not.

    Args:
        pattern: As both engines have it: no look-around, no back-references.
        ignore_case: Whether case does not count.
        ascii_words: Whether only ASCII letters are letters.
    """

    def __init__(self, pattern: str, *, ignore_case: bool = True, ascii_words: bool = False) -> None:
        self.pattern = pattern
        self._ignore_case = ignore_case
        self._ascii_words = ascii_words

    @cached_property
    def slow(self) -> re.Pattern[str]:
        """The pattern as Python's own engine has it."""
        flags = (re.IGNORECASE if self._ignore_case else 0) | (re.ASCII if self._ascii_words else 0)
        return re.compile(self.pattern, flags)

    @cached_property
    def _fast(self) -> Any:
        """A set of this one pattern: it says whether, and makes no match, which takes half the time of a search."""
        if _re2() is None:
            return None
        alone = _re2().Set.SearchSet(_options(ignore_case=self._ignore_case))
        alone.Add(self.pattern)
        alone.Compile()
        return alone

    def found(self, text: str) -> bool:
        """Whether it is found anywhere in a text."""
        if self._fast is None or not (text.isascii() or self._ascii_words):
            return self.slow.search(text) is not None
        return self._fast.Match(text.encode("utf-8", "replace")) is not None


class Pattern:
    """A pattern for `re`, case ignored, compiled when it is first asked: of a table's rows most never are.

    Args:
        pattern: As `re` has it.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    def search(self, text: str) -> re.Match[str] | None:
        """As `re.Pattern.search`."""
        return self._compiled.search(text)


@cache
def bytes_pattern(pattern: str) -> Any:
    """A pattern over bytes, case ignored, with `re`'s methods: every byte is a character."""
    if _re2() is None:
        return re.compile(pattern.encode(), re.IGNORECASE)
    return _re2().compile(pattern.encode(), _options(latin=True))


def filter_of(patterns: list[str]) -> Any:
    """All patterns together, case ignored, `Match` giving the places of those that are found; None without RE2."""
    if _re2() is None:
        return None
    together = _re2().Filter()
    for pattern in patterns:
        together.Add(pattern, _options())
    together.Compile()
    return together
