"""`hpc.ls`: one row an experiment, whatever is wrong with another, in bounded time."""

import json
import os
import shutil
from pathlib import Path

import pytest

import hpc.standing.listed
from hpc.standing.listed import list_rows
from hpc.workspace import Workspace
from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one experiment that ran, beside a baseline; collected."""
    text = EXPERIMENT + "baseline: {x: 2}\n"
    project = make_project(tmp_path_factory.mktemp("ls") / "project", text)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    assert "next: python -m hpc.collect tiny" in project.hpc("status", "tiny")
    told = project.hpc("collect", "tiny")
    assert "best loss so far (min, of 2 configurations): 0.5 (n 1), x=1; baseline 1 (n 1), x=2 (-50.0%)" in told
    assert "-m hpc.report tiny" in told
    return project.folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> LocalProject:
    """A copy of it."""
    return copy_project(finished, tmp_path / "project")


def rows(project: LocalProject) -> dict[str, hpc.standing.listed.Row]:
    """What would be listed, by name."""
    return {row.name: row for row in list_rows(Workspace(project.folder, project.runs))}


def test_an_experiment_is_a_row_with_its_best_value(project):
    """Counts as collected, the primary metric against the baseline; planned ones say that nothing was collected."""
    project.write_experiment(EXPERIMENT.replace("tiny", "other"), "other")
    project.hpc("plan", "other", "--cluster", "local")
    answer = project.json("ls")
    first, second = answer["experiments"]
    assert (first["name"], first["collected"], first["tasks"]) == ("other", None, 2)
    assert (second["name"], second["outcomes"]) == ("tiny", {"finished": 2})
    assert "0.5 (n 1), x=1; baseline 1 (n 1), x=2 (-50.0%)" in second["best"]
    told = project.hpc("ls", COLUMNS="200")
    assert "2 finished" in told
    assert "not yet" in told


def test_the_experiment_log_has_it_by_itself(project):
    """Planned and collected experiments are rows of `hpc history`, their runs answer its questions; notes are kept."""
    project.write_experiment(EXPERIMENT.replace("tiny", "other"), "other")
    project.hpc("plan", "other", "--cluster", "local")
    listed = {row["id"]: row for row in project.json("history", "list")["runs"]}
    assert (listed["tiny"]["status"], listed["tiny"]["results"]) == ("2 finished of 2 tasks", {"loss": 0.5})
    assert listed["other"]["status"] == "planned, 2 tasks"
    assert not (project.runs / "history.jsonl").exists()
    project.hpc("history", "note", "tiny", "seen")
    page = project.runs / "experiments.md"
    page.write_text(page.read_text().replace("**Goal**: –", "**Goal**: mine"))
    project.hpc("history", "render")
    assert page.read_text().count("**Goal**: mine") == 2
    assert "- seen" in page.read_text()
    answer = project.hpc("history", "ask", "compare x 1 with x 2")
    assert "loss: x=1 is better, 0.5 against 1 (-50.0%)" in answer
    assert "a planned experiment" in project.hpc("history", "finish", "tiny", "loss=1", expect=2)


def test_status_shows_the_value_before_and_after_it_is_collected(project):
    """From the run's own small file where no collection has seen it; the next step is said."""
    after = project.json("status", "tiny")
    assert (after["values"]["best"]["mean"], after["collected"]) == (0.5, True)
    assert "-m hpc.report tiny" in project.hpc("status", "tiny")
    page = project.runs / "tiny/report/report.html"
    page.parent.mkdir()
    page.touch()  # as new as the collection: what to look at
    assert project.hpc("status", "tiny").endswith(f"report: {page}\n")
    os.utime(page, (1, 1))
    assert "-m hpc.report tiny" in project.hpc("status", "tiny")
    shutil.rmtree(project.runs / "tiny/collected")
    before = project.json("status", "tiny")
    assert before["values"] == after["values"]
    assert "-m hpc.collect tiny" in project.hpc("status", "tiny")


BREAK = {
    "no JSON": lambda home: (home / "manifest.json").write_text("{"),
    "a folder": lambda home: ((home / "manifest.json").unlink(), (home / "manifest.json").mkdir()),
    "another kind": lambda home: (home / "manifest.json").write_text('{"kind": "manifest"}'),
    "verdicts of nothing": lambda home: (home / "collected/verdicts.json").write_text('{"tasks": [{}, 7, null]}'),
    "a broken loop": lambda home: (home / "follow.json").write_text("[1"),
    "a hold": lambda home: (home / "hold.json").write_text("{"),
}


@pytest.mark.parametrize("what", BREAK)
def test_one_bad_experiment_never_stops_the_list(project, what):
    """Its own row says what can be said; the other is as ever."""
    bad = project.runs / "bad"
    shutil.copytree(project.runs / "tiny", bad, symlinks=True)
    shutil.rmtree(bad / "manifests")
    BREAK[what](bad)
    found = rows(project)
    assert set(found) == {"tiny", "bad"}
    assert found["tiny"].outcomes == {"finished": 2}
    assert found["bad"].problem or found["bad"].state == ("held",) or what == "verdicts of nothing"


def test_what_follows_or_holds_is_shown(project):
    """The state column, from the two small files."""
    (project.runs / "tiny/hold.json").write_text("{}")
    (project.runs / "tiny/follow.json").write_text(json.dumps({"course": "goes on"}))
    assert rows(project)["tiny"].state == ("held", "followed")


def test_after_a_while_the_rest_is_named_only(project, monkeypatch):
    """A slow disk or a thousand experiments: every name is listed, and what was not looked at is said."""
    for number in range(3):
        shutil.copytree(project.runs / "tiny", project.runs / f"copy{number}", symlinks=True)
    monkeypatch.setattr(hpc.standing.listed, "PATIENCE_S", -1.0)
    found = rows(project)
    assert len(found) == 4
    assert all(row.problem.startswith("not read") for row in found.values())


def test_files_beside_experiments_are_none(project):
    """Baselines, stray files and empty folders below the root are no experiments."""
    (project.runs / ".baselines").mkdir()
    (project.runs / "notes.txt").write_text("x")
    (project.runs / "empty").mkdir()
    assert set(rows(project)) == {"tiny"}


def test_an_empty_root_says_how_to_begin(tmp_path):
    """No traceback, exit 0, and a next step."""
    project = make_project(tmp_path / "project")
    assert "nothing was planned below" in project.hpc("ls")
    assert project.json("ls")["experiments"] == []
