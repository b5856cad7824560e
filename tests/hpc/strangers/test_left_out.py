"""A program whose data git ignores: plan says so, the failure names the line that brings it, and the line works."""

import subprocess
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, make_project

PROGRAM = """
print(f"loss: {len(open('data/set/train.bin').read())}")
"""
LEFT_OUT = "data/set/train.bin lies in the project and not in the copy of the code that runs"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A repository with data that git does not see, after its first failure."""
    project = make_project(tmp_path_factory.mktemp("left_out") / "project", EXPERIMENT, PROGRAM)
    (project.folder / "data/set").mkdir(parents=True)
    (project.folder / "data/set/train.bin").write_text("12345")
    (project.folder / ".gitignore").write_text("*.bin\nruns/\n")
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    return project


def test_the_failure_names_the_line_and_the_line_works(project: LocalProject) -> None:
    """Every command on the way is the one that was printed before."""
    told = " ".join(project.hpc("why", "tiny").split())
    assert LEFT_OUT in told
    assert "program: {inputs: [data/set/train.bin]}, then:" in told
    assert LEFT_OUT in project.json("why", "tiny")[0]["notes"][0]

    project.json("collect", "tiny", expect=1)
    project.write_experiment(EXPERIMENT.replace("program:", "program:\n  inputs: [data/set/train.bin]"))
    planned = project.hpc("plan", "tiny", "--cluster", "local")
    assert "python -m hpc.collect tiny --retry-failed --again data\n" in planned
    project.hpc("collect", "tiny", "--retry-failed", "--again", "data")
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2


@pytest.mark.parametrize("text", ["print(open('data/other.bin').read())", "print(open('program.py').read()); 1 / 0"])
def test_other_failures_have_no_such_note(tmp_path: Path, text: str) -> None:
    """A file that is nowhere, or in the copy."""
    project = make_project(tmp_path / "project", EXPERIMENT, text)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    assert "lies in the project" not in project.hpc("why", "tiny")
