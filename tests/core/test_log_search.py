"""Looking for a pattern in a piece of a log: the same lines as if each were asked by itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.errors import InputError
from hpc.core.log_search import find_lines, parse_search

PARTS = (
    "a", "b", r"\s", "[^a]", ".", "^", "$", r"\b", r"\B", "a+", "b*", r"\s*", "(?=a)", "(?<!b)", r"(?!\s)", r"\Z", "a?",
    "(a|b)", r"\s++", ".*", r"\w", r"\.*", r"\\.*", "a|b.*", "(?i:A)",
)  # fmt: skip
patterns = st.one_of(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("".join),
    st.text("aB |", min_size=1).map("(?i){}".format),
)
logs = st.text(alphabet="aAb \n\r.\\", max_size=24)


def writings(line: bytes) -> list[bytes]:
    """What stood on the screen one after the other, of a line with carriage returns."""
    parts = line.split(b"\r")
    return parts[:-1] if len(parts) > 1 and not parts[-1] else parts


def lines_of(data: bytes) -> list[bytes]:
    """Lines; nothing stands after the last line end."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@given(patterns, logs)
def test_it_finds_the_lines_that_match_by_themselves(pattern: str, log: str) -> None:
    """Whole pieces are searched at once, and the answer is that of line by line: numbers, and what matched."""
    data, asked = log.encode(), re.compile(pattern.encode(), re.MULTILINE)
    found = list(find_lines(data, parse_search(pattern)))
    lines = lines_of(data)
    assert [hit.line for hit in found] == [
        number for number, line in enumerate(lines, 1) if any(asked.search(each) for each in writings(line))
    ]
    for hit in found:
        assert data[hit.start : hit.end] in writings(lines[hit.line - 1])
        assert hit.start <= hit.at <= hit.end


@given(patterns, logs, logs)
def test_what_stands_before_the_beginning_is_not_found_again(pattern: str, before: str, log: str) -> None:
    """From a place on: the same hits as of the whole, those before left out, where it begins with a line."""
    head, data = (before + "\n").encode(), log.encode()
    search = parse_search(pattern)
    whole = [(hit.line, hit.start, hit.end) for hit in find_lines(head + data, search) if hit.start >= len(head)]
    number = 1 + head.count(b"\n")
    later = [(hit.line, hit.start, hit.end) for hit in find_lines(head + data, search, 1, len(head))]
    assert later == whole
    moved = [(hit.line, hit.start + len(head), hit.end + len(head)) for hit in find_lines(data, search, number)]
    assert moved == whole


@pytest.mark.parametrize("text", ["(", "a{2", "[", "a**", "(?P<x>", "\\"])
def test_what_is_no_pattern_is_said_with_what_would_be(text: str) -> None:
    """The message has a pattern that finds these very characters; it does."""
    try:
        search = parse_search(text)
    except InputError as error:
        literal = str(error).rpartition(": ")[2]
        search = parse_search(eval(literal))  # noqa: S307  a literal of Python's
    assert list(find_lines(f"x {text} y\n".encode(), search))
