"""How we write: what a docstring begins with, and that nothing is cited which a reader cannot open."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import blocks

ROOT = Path(__file__).parents[1]
WIDTH = 120
# Papers that lie outside the project, and numbers of tickets; `(?<!tasks/)` and the like are run names in paths.
PRIVATE = re.compile(
    r"\b(?:CONTRACT|DESIGN|HOUSE|FINDINGS|FIELD|STYLE|REQUIREMENTS)\.md\b"
    r"|\bCONTRACT's\b|\bof the contract\b|\b(?:our|with|per|see) issue #?\d+\b|\bS[0-4](?:'s\b|–S[0-4]\b| asks\b)"
)
# Texts by other people: their licence, logs of their programs, tables of files that they wrote.
FOREIGN = ("LICENSE", "tests/corpus/", "tests/data/", "docs/examples/")
WRITTEN = (".md", ".py", ".sh", ".yaml", ".toml", ".j2", ".def")


def _tracked() -> list[Path]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines()]


def _ours(*endings: str) -> list[Path]:
    return [
        path
        for path in _tracked()
        if path.suffix in endings and path.is_file() and not path.relative_to(ROOT).as_posix().startswith(FOREIGN)
    ]


def _docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def test_no_docstring_begins_with_give():
    """A function returns, writes, yields or renames; it does not give."""
    files = _ours(".py")
    assert len(files) > 500

    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in files
        for line, text in _docstrings(path)
        if text.startswith(("Give ", "Gives ")) or "; give " in text.splitlines()[0]
    ]

    assert found == []


def test_nothing_is_cited_that_a_reader_cannot_open():
    """Comments, messages and pages say the thing itself: no private paper, no ticket number."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in _ours(*WRITTEN)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PRIVATE.search(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    "text", ["CONTRACT's JSON", "DESIGN.md says so", "revised with issue 4", "S3 asks for five", "S0–S4", "S4's format"]
)
def test_a_citation_is_seen(text: str):
    """The pattern knows the citations that once stood here."""
    assert PRIVATE.search(text)


NARROW = [
    *sorted((ROOT / "docs/how-to").glob("*.md")),
    *(ROOT / f"docs/{name}.md" for name in ("examples/README", "glossary", "housekeeping", "index", "overview")),
    *(ROOT / f"docs/{name}.md" for name in ("requirements", "troubleshooting", "tutorial")),
    ROOT / "README.md",
]
"""Pages written at the width of our code; older ones join when they are rewritten."""


@pytest.mark.parametrize("page", NARROW, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_ends_at_the_width_of_our_code(page: Path):
    """120 characters, which a terminal and a diff show whole. Tables, headings, HTML and code may be longer."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(text):
        text = text.replace(block.text, "")

    assert [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith(("|", "#", "<", "!"))] == []
