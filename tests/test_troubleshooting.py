"""Troubleshooting by message: each message on the page is one that the code can still print."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/troubleshooting.md"
_ROW = re.compile(r"^\| `(.+?)` \| (.+) \| (.+) \|$", re.MULTILINE)


def shown() -> list[tuple[str, str, str]]:
    """Return message, cause and remedy of each row."""
    return _ROW.findall(PAGE.read_text(encoding="utf-8"))


def _parts(node: ast.expr) -> str:
    """Return what a text says, with a NUL where a value is put in; empty for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_parts(each) for each in values)
        case ast.FormattedValue(value=value):
            inside = [each for each in ast.walk(value) if isinstance(each, ast.Constant | ast.JoinedStr)]
            return "\0".join(["", *(text for each in inside if (text := _parts(each))), ""])
        case ast.BinOp(left=left, right=right):
            return f"{_parts(left)}\0{_parts(right)}"
    return ""


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".j2":
        yield path.read_text(encoding="utf-8").replace("$1", "\0")
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and (text := _parts(node)):
            yield text


@cache
def printed() -> tuple[str, ...]:
    """Return every text of the code."""
    rooms = (ROOT / room for room in ("hpc", "analysis"))
    files = [path for room in rooms for path in room.rglob("*") if path.suffix in {".py", ".j2"}]
    return tuple({text for path in files for text in _texts(path)})


def is_printed(message: str) -> bool:
    """Whether some text of the code has the fixed parts of a message, in order."""
    fixed = [part.strip() for part in re.split(r"…|\{…\}", message)]
    wanted = [part for part in fixed if re.search(r"\w", part)]
    return bool(wanted) and any(_has_in_order(text, wanted) for text in printed())


def _has_in_order(text: str, parts: list[str]) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at) + len(part)
        if at < len(part):
            return False
    return True


@pytest.mark.parametrize("message", [row[0] for row in shown()])
def test_every_message_is_still_printed(message: str) -> None:
    """The fixed parts of each message stand in one text of the code, in that order."""
    assert is_printed(message)


def test_each_message_has_a_cause_and_a_remedy_and_stands_once() -> None:
    """At least forty messages, none of them twice."""
    rows = shown()
    messages = [row[0] for row in rows]

    assert len(rows) >= 40
    assert len(rows) == PAGE.read_text(encoding="utf-8").count("\n| `")
    assert len(set(messages)) == len(messages)
    assert all(cause.strip() and remedy.strip() for _, cause, remedy in rows)


@pytest.mark.parametrize("message", ["this was never printed by …", "unknown key; did you mean … or not", "…"])
def test_a_message_that_is_gone_is_seen(message: str) -> None:
    """A text that no module has is not found; nor is one of blanks alone."""
    assert not is_printed(message)
