"""The page of `hpc dash` in a real browser: nothing is asked for, nothing sticks out, its numbers are right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import open_page
from tests.local_projects import EXPERIMENT, LocalProject, make_project

FAILING = "import sys\nx = int(sys.argv[1])\nassert x < 4, 'too large'\nprint(f'loss: {1 / x}')\n"
WIDTHS = (1280, 390)
CARDS = """[...document.querySelectorAll("article")].map(one => [
  one.querySelector("h2").firstChild.textContent.trim(),
  [...one.querySelectorAll(".counts li")].map(each => each.textContent.trim()),
  [...one.querySelectorAll(".bar span")].map(each => [each.className, each.getBoundingClientRect().width]),
  one.scrollWidth <= one.clientWidth])"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """One experiment with two results and a failure, one that is only planned and whose name is long."""
    project = make_project(tmp_path_factory.mktemp("dash") / "project", EXPERIMENT.replace("[1, 2]", "[1, 2, 4]"))
    project.write_program(FAILING)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    project.hpc("collect", "tiny", expect=1)
    long = "a_name_that_somebody_typed_without_a_thought_for_phones_" * 2
    experiments = project.folder / "manifests/experiments"
    (experiments / f"{long}.yaml").write_text(
        (experiments / "tiny.yaml").read_text().replace("name: tiny", f"name: {long}")
    )
    project.hpc("plan", long, "--cluster", "local")
    project.hpc("dash")
    return project


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_says_what_status_says(browser: Any, project: LocalProject, width: int) -> None:
    """On a screen and on a phone: no sideways scrolling, no complaint, counts and bar as `status --json` has them."""
    page = Path(project.runs / "dash.html")
    with open_page(browser, page, viewport={"width": width, "height": 844}) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        cards = tab.evaluate(CARDS)
    assert all(fits for *_, fits in cards)
    (counts, bar), (planned, _) = ((each[1], each[2]) for each in sorted(cards, key=lambda each: -len(each[1])))
    outcomes: Mapping[str, int] = project.json("status", "tiny")["outcomes"]
    assert counts == [f"{number} {name}" for name, number in outcomes.items() if number] == ["2 finished", "1 failed"]
    assert planned == []
    (_, finished), (_, failed) = bar
    assert finished == pytest.approx(2 * failed, rel=0.05)
