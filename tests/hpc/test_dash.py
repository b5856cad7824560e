"""`hpc dash`: one page of all experiments that fetches nothing, obeys nobody's names and never stops the loop."""

import math
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hpc.standing.dash
import hpc.unattended.play
from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.standing.dash import EDGE, HEIGHT, POINTS, WIDTH, polyline, refresh_dash, write_dash
from hpc.workspace import Workspace
from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project

HOSTILE = '<img src=x onerror="alert(1)">'
FAILING = "import sys\nx = int(sys.argv[1])\nassert x < 4, 'too large'\nprint(f'loss: {1 / x}')\n"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a page from before anything ran, and an experiment that the loop has followed to its end."""
    project = make_project(tmp_path_factory.mktemp("dash") / "project", EXPERIMENT.replace("[1, 2]", "[1, 2, 4]"))
    project.write_program(FAILING)
    project.hpc("plan", "tiny", "--cluster", "local")
    assert "1 experiment" in project.hpc("dash")
    assert "nothing was collected yet" in (project.runs / "dash.html").read_text()
    project.call("-m", "hpc.submit", "tiny")
    layout = RunLayout(project.runs, "tiny")

    def build_report(*_: object) -> str:
        layout.report.mkdir()
        (layout.report / "report.html").write_text("<p>a report")
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hpc.unattended.play, "build_report", build_report)
        done = hpc.unattended.play.play_and_end(layout, lambda: None)
    assert done.course is Course.ENDED
    return project.folder


@pytest.fixture
def project(followed: Path, tmp_path: Path) -> LocalProject:
    """A copy of it."""
    return copy_project(followed, tmp_path / "project")


class Parsed(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        """Parse a page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.text += data


def test_the_loop_keeps_it_fresh(project: LocalProject) -> None:
    """After its last round the page has counts, class, best value, curve and the link to the report that is there."""
    path = project.runs / "dash.html"
    page = Parsed(path.read_text())
    text = " ".join(page.text.split())
    assert all(told in text for told in ("2 finished", "1 failed", "failed: 1", "best loss so far"))
    assert any(f"loss of 2 runs as they ended: {told}" in text for told in ("1 to 0.5", "0.5 to 1"))  # two at once
    (link,) = (attributes["href"] for tag, attributes in page.elements if tag == "a")
    assert (path.parent / str(link)).is_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_why_an_experiment_is_held_stands_on_its_card(project: LocalProject) -> None:
    """As `status` says it; once it is released, no more."""
    project.hpc("hold", "tiny", "--reason", "new data on Monday")
    project.hpc("dash")
    assert "held: new data on Monday" in Parsed((project.runs / "dash.html").read_text()).text
    project.hpc("release", "tiny")
    project.hpc("dash")
    assert "new data" not in (project.runs / "dash.html").read_text()


def test_nothing_is_fetched_or_executed_whatever_an_experiment_is_called(project: LocalProject) -> None:
    """A name is text; no script, no address but reports'; a browser reads the page again by itself."""
    (project.runs / "tiny").rename(project.runs / HOSTILE)
    project.hpc("dash", "--output", "over view.html")
    page = Parsed((project.folder / "over view.html").read_text())
    assert HOSTILE in page.text
    assert not {"img", "script", "link", "iframe"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    addresses = [
        value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert [str(each).endswith("/report/report.html") for each in addresses] == [True]
    metas = {
        attributes.get("http-equiv"): attributes.get("content") for tag, attributes in page.elements if tag == "meta"
    }
    assert metas["refresh"] == "60"
    assert str(metas["Content-Security-Policy"]).startswith("default-src 'none'")


def test_one_bad_experiment_is_a_card_that_says_so(project: LocalProject) -> None:
    """The others are as ever."""
    (project.runs / "bad").mkdir()
    (project.runs / "bad/manifest.json").write_text("{")
    assert project.json("dash")["experiments"] == 2
    text = Parsed((project.runs / "dash.html").read_text()).text
    assert "not valid JSON" in text
    assert "2 finished" in text


def test_whatever_fails_is_told_to_the_loop_and_the_page_before_stays(
    project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is raised and nothing half written; where there is no page, none is made."""
    path = project.runs / "dash.html"
    before = path.read_text()
    monkeypatch.setattr(hpc.standing.dash, "render", lambda *_: 1 / 0)
    assert refresh_dash(project.runs) == "ZeroDivisionError: division by zero"
    assert path.read_text() == before
    path.unlink()
    assert refresh_dash(project.runs) == ""
    assert not path.exists()


def test_a_place_that_is_none_is_said(project: LocalProject) -> None:
    """A folder that is missing, or a folder where a file is meant: exit 2 and what to type."""
    assert "mkdir -p" in project.hpc("dash", "--output", "no/where.html", expect=2)
    assert "--output runs/dash.html" in project.hpc("dash", "--output", "runs", expect=2)


def test_an_empty_root_has_a_page(tmp_path: Path) -> None:
    """It says that nothing was planned."""
    assert write_dash(Workspace(tmp_path, tmp_path), tmp_path / "dash.html") == 0
    assert "Nothing was planned here" in (tmp_path / "dash.html").read_text()


@given(st.lists(st.floats(), max_size=200))
@example([1e308, -1e308])
@example([0.0, 5e-324])
def test_a_curve_stays_inside_its_box(values: list[float]) -> None:
    """Whatever was measured: at most so many points, from left to right, none outside, none without a number."""
    points = [tuple(map(float, each.split(","))) for each in polyline(values).split()]
    assert len(points) <= POINTS
    assert len(points) != 1
    assert all(EDGE <= x <= WIDTH - EDGE and EDGE - 0.1 <= y <= HEIGHT - EDGE + 0.1 for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert all(math.isfinite(each) for point in points for each in point)
