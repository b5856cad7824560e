"""The example reports are what today's code writes of the runs that are kept beside them."""

import re
import tarfile
from pathlib import Path

import pytest

from analysis.report import build
from hpc.core.layout import RunLayout

EXAMPLES = Path(__file__).parents[1] / "docs/examples"
REPORTS = sorted(EXAMPLES.glob("*/report.html"))
_OF_LIBRARIES = re.compile(r'<svg.*?</svg>| data-sort="[^"]*"', re.DOTALL)
"""What another version of a library draws otherwise, or computes otherwise in the last digit."""


def wording(page: Path) -> list[str]:
    """A page in lines, without drawings and without the digits that nobody sees."""
    return _OF_LIBRARIES.sub("", page.read_text(encoding="utf-8")).splitlines()


def test_there_is_an_example() -> None:
    """The page of examples leads to it."""
    assert EXAMPLES / "sweep/report.html" in REPORTS


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: page.parent.name)
def test_an_example_is_what_is_written_today(page: Path, tmp_path: Path) -> None:
    """Every sentence, number, table, style and script, and the files beside; else: ``docs/examples/make --again``."""
    with tarfile.open(page.parent / "runs.tar.xz") as kept:
        kept.extractall(tmp_path, filter="data")
    built = build(RunLayout(tmp_path, page.parent.name), ("html",))

    shown = {path.name for path in page.parent.iterdir()} - {"runs.tar.xz"}
    assert {path.name for path in built.files} == shown, "write the examples again: docs/examples/make --again"
    assert wording(built.files[0]) == wording(page), "write the examples again: docs/examples/make --again"
