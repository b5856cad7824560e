"""What our messages may say: they are read in other people's repositories, where there is no Makefile of ours."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TARGETS = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
IN_OUR_CLONE = {("hpc/adapters/images.py", "Build it: make image IMAGE=")}
"""Said only where our clone's own definition of that image lies beside the code."""


def texts(path: Path) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    yield from (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare
    )


@pytest.mark.parametrize("package", ["hpc", "analysis", "train"])
def test_no_message_names_make(package: str) -> None:
    """`make setup`, `make image` and the like are named to nobody who has no Makefile of ours."""
    named = re.compile(rf"\bmake (?:{'|'.join(TARGETS)})\b")
    found = {
        (path.relative_to(ROOT).as_posix(), text)
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in texts(path)
        if named.search(text)
    }

    assert len(TARGETS) > 10
    assert found - IN_OUR_CLONE == set()


def test_templates_and_profiles_name_no_make() -> None:
    """Nor do the scripts and profiles that we write or ship."""
    files = [*ROOT.glob("hpc/templates/*"), *ROOT.glob("hpc/profiles/*"), *ROOT.glob("analysis/page/templates/*")]

    assert len(files) > 3
    assert [path.name for path in files if re.search(rf"\bmake (?:{'|'.join(TARGETS)})\b", path.read_text())] == []
