"""On this machine: one cause in many tasks holds the rest, with one message and one command to go on."""

import json
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, make_project

BUGGY = """
import sys
from pathlib import Path
x = int(sys.argv[1])
if x < 4 and not Path("../mended").exists():
    raise TypeError(f"row {x} is no number")
print(f"loss: {x / 2}")
"""
FULL = """
import sys
from pathlib import Path
x = int(sys.argv[1])
if x == 1 and not Path({mended!r}).exists():
    raise OSError(28, "No space left on device", f"/scratch/run-{{x}}/model.pt")
print(f"loss: {{x / 2}}")
"""


def project_of(folder: Path, program: str, values: list[int]) -> LocalProject:
    project = make_project(folder, EXPERIMENT.replace("[1, 2]", str(values)), program)
    project.hpc("plan", "tiny", "--cluster", "local")
    return project


@pytest.fixture
def buggy(tmp_path: Path) -> LocalProject:
    """Three of five failed alike; the fifth was lost with its process and could be tried again."""
    project = project_of(tmp_path / "project", BUGGY, [1, 2, 3, 4, 5])
    project.hpc("submit", "tiny", expect=1)
    (project.attempt("X5") / "exit.json").unlink()
    return project


def test_one_bug_in_three_tasks_holds_and_a_release_goes_on(buggy: LocalProject) -> None:
    """A plain collect says what it would hold, --retry-failed holds and starts nothing; released, it goes on."""
    told = buggy.hpc("collect", "tiny", expect=1)
    assert "would be held: 3 of the first 5 tasks that ended (of 5) failed in the same way: code_bug" in told
    assert buggy.json("collect", "tiny", "--retry-failed", "--dry-run", expect=1)["would_hold"]
    assert not (buggy.runs / "tiny/hold.json").exists()

    told = buggy.hpc("collect", "tiny", "--retry-failed", expect=1)
    assert "To go on: python -m hpc.submit tiny --release" in " ".join(told.split())
    held = json.loads((buggy.runs / "tiny/hold.json").read_text())
    assert sorted(held["tasks"]) == ["X1", "X2", "X3"]
    assert "is no number" in held["evidence"]
    assert not buggy.attempt("X5", 2).exists()
    assert buggy.json("collect", "tiny", "--retry-failed", expect=1)["jobs"] == {}

    buggy.hpc("submit", "tiny", "--release")
    assert "submitted 1 retry" in buggy.hpc("collect", "tiny", "--retry-failed")
    assert not (buggy.runs / "tiny/hold.json").exists()
    assert buggy.attempt("X5", 2).exists()
    assert not buggy.attempt("X1", 2).exists()


def test_a_full_disk_holds_at_once_and_its_tasks_go_on_after_the_release(tmp_path: Path) -> None:
    """One task found no space: held; mended and released, that task is started again by the next collect."""
    mended = tmp_path / "mended"
    project = project_of(tmp_path / "project", FULL.format(mended=str(mended)), [1, 2])
    project.hpc("submit", "tiny", expect=1)
    told = project.hpc("collect", "tiny", "--retry-failed", expect=1)
    assert "storage is full or broken" in " ".join(told.split())
    assert project.verdicts()["X1"]["failure_class"] == "storage"

    mended.touch()
    project.hpc("submit", "tiny", "--release")
    project.hpc("collect", "tiny", "--retry-failed")
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2
