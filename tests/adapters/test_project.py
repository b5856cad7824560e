"""Which folder is the project, from wherever in it a command is started."""

import os
from pathlib import Path

import pytest

from hpc.adapters import project
from hpc.adapters.project import find_project, runs_root


def make(folder: Path) -> Path:
    """Make a folder a project."""
    (folder / "manifests/experiments").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("below", [".", "src", "src/models/deep", "runs/x/tasks", "manifests", "manifests/experiments"])
def test_a_project_is_found_from_each_of_its_subfolders(tmp_path: Path, below: str) -> None:
    """The nearest folder above that has `manifests/experiments`."""
    home = make(tmp_path / "home")
    start = home / below
    start.mkdir(parents=True, exist_ok=True)

    assert find_project(start.resolve()) == home


def test_the_nearest_project_is_taken(tmp_path: Path) -> None:
    """A project inside another one is its own."""
    inner = make(make(tmp_path) / "inner")

    assert find_project(inner / "deep") == inner


def test_without_a_project_it_is_the_current_folder(tmp_path: Path) -> None:
    """So that `hpc init` can begin there; other folders named manifests make none."""
    (tmp_path / "manifests").mkdir()

    assert find_project(tmp_path / "here") == tmp_path / "here"


def test_a_project_of_somebody_else_above_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its profile would run as us; who trusts it, or goes there, has it."""
    theirs = make(tmp_path / "theirs")
    monkeypatch.setattr(project.os, "geteuid", lambda: os.getuid() + 1)

    assert find_project(theirs / "deep") == theirs / "deep"
    assert find_project(theirs) == theirs
    assert find_project(theirs / "deep", ("*",)) == theirs
    assert find_project(theirs / "deep", (str(theirs),)) == theirs


def test_runs_lie_in_the_project_unless_said_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HPC_ROOT is taken from where the command was started."""
    monkeypatch.chdir(tmp_path)

    assert runs_root(tmp_path / "home", {}) == tmp_path / "home/runs"
    assert runs_root(tmp_path / "home", {"HPC_ROOT": "x"}) == tmp_path / "x"
    assert runs_root(tmp_path / "home", {"HPC_ROOT": "~/x"}) == Path.home() / "x"  # quoted in a script of theirs
