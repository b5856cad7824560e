"""The table of requirements names tests that exist, and admits what has none."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/requirements.md"
_ROW = re.compile(r"^\| (?!asked for|---)(.+?) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[tuple[str, str, str]]:
    """Return what was asked for, where it is, and what shows it."""
    return [(a, b, c) for a, b, c in _ROW.findall(PAGE.read_text(encoding="utf-8"))]


@cache
def functions(path: Path) -> set[str]:
    """Return the functions of a test file."""
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_every_requirement_has_its_test_or_says_not_yet(row: tuple[str, str, str]) -> None:
    """The test is there under that name; where there is none the row says what is missing."""
    _, place, shown = row
    named = _TEST.findall(shown)

    assert bool(named) != (shown == "not yet"), shown
    assert named or "missing" in place or "not proposed" in place, "a row without a test says what is missing"
    for file, function in named:
        assert (ROOT / file).is_file(), file
        assert not function or function in functions(ROOT / file), function


def test_the_table_is_not_thinned_out() -> None:
    """Rows are filled in; none is dropped."""
    assert len(rows()) >= 70
