"""The tables of CONTRIBUTING that say where things are: every room has its row, every line looked for stands there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DRAWN = {"hpc/adapters", "hpc/core"}
"""Rooms that the drawing above the table shows."""
LOOKED_FOR = re.findall(r"^\| [^|`]+ \| `([\w/]+\.py)` `(\w+)` \|$", PAGE, re.MULTILINE)


def rooms() -> set[str]:
    """Folders with code of ours, one level below `hpc`, `hpc/core` and `analysis`."""
    above = [ROOT / "hpc", ROOT / "hpc/core", ROOT / "analysis"]
    found = (folder for one in above for folder in one.iterdir() if folder.is_dir() and folder.name != "__pycache__")
    return {folder.relative_to(ROOT).as_posix() for folder in found} - DRAWN


def rows() -> set[str]:
    """What the table of rooms names; a name without its wing is of the wing named before."""
    named, wing = set[str](), ""
    for row in re.findall(r"^\| (`[^|]+`) \| [^|]+ \|$", PAGE, re.MULTILINE):
        for name in re.findall(r"`([\w/]+)`", row):
            wing = name.rpartition("/")[0] if "/" in name else wing
            named.add(name if "/" in name else f"{wing}/{name}")
    return named


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    """A new folder is said to be there, and one that went is not named any more."""
    assert rooms() <= rows()
    assert {name for name in rows() if name.startswith(("hpc/", "analysis/"))} - rooms() == set()


def test_fifteen_lines_are_looked_for() -> None:
    """The list is as long as it says, and of different rooms."""
    assert len(LOOKED_FOR) == 15
    assert len({Path(path).parent for path, _ in LOOKED_FOR}) >= 10


@pytest.mark.parametrize(("path", "name"), LOOKED_FOR)
def test_a_line_stands_where_it_is_looked_for(path: str, name: str) -> None:
    """The module defines what is named beside it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    defined = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    assigned = {target.id for each in tree.body for target in ast.walk(each) if isinstance(target, ast.Name)
                and isinstance(target.ctx, ast.Store)}  # fmt: skip
    assert name in defined | assigned
