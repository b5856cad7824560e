"""Where things are when a command starts somewhere in somebody's project."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpc.plan
from hpc.adapters import slurm
from hpc.core.errors import InputError, TemporaryError
from hpc.core.layout import RunLayout
from hpc.experiments.schema import load_profile
from hpc.snapshots.snapshot import take_snapshot
from hpc.workspace import BUILT_IN, Workspace
from tests.local_projects import make_project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without profiles of its own, started in a subfolder, on a machine without Slurm."""
    make_project(tmp_path)
    shutil.rmtree(tmp_path / "manifests/clusters")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    monkeypatch.setattr("hpc.workspace.shutil.which", lambda _: None)
    return tmp_path


def test_everything_is_found_from_a_subfolder(home: Path) -> None:
    """Project, runs and experiment are those of the folder above."""
    workspace = Workspace.current({})

    assert (workspace.project, workspace.root) == (home, home / "runs")
    assert workspace.experiment_file("tiny") == home / "manifests/experiments/tiny.yaml"


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.yaml")))
def test_a_built_in_profile_needs_no_file(home: Path, name: str) -> None:
    """`local` and `slurm` are there in every project, and are called as they are asked for."""
    assert load_profile(Workspace.current({}).profile_file(name)).name == name


def test_an_own_profile_goes_before_the_built_in_one(home: Path) -> None:
    """A file of that name in the project replaces it as a whole."""
    own = home / "manifests/clusters/slurm.yaml"
    own.parent.mkdir()
    own.write_text("scheduler: slurm\npartition: short\n")

    assert load_profile(Workspace.current({}).profile_file("slurm")).partition == "short"
    assert load_profile(Workspace.current({}).profile_file("local")).scheduler == "local"


NO_CONFIGURATION = "echo 'fatal: Could not establish a configuration source' >&2; exit 1"
"""What the clients say on a machine that has them installed and belongs to no cluster."""


def put_client(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a client of Slurm's on PATH, in front of what is there."""
    path = folder / "clients" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def test_the_default_is_what_this_machine_has(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm where there is one, be it down, else this machine; HPC_CLUSTER goes before both."""
    assert Workspace.current({}).profile_file(None).stem == "local"
    assert Workspace.current({"HPC_CLUSTER": "slurm"}).profile_file(None).stem == "slurm"
    monkeypatch.setattr("hpc.workspace.shutil.which", lambda _: "/usr/bin/sbatch")
    for says, expected in (("echo Slurmctld is DOWN; exit 1", "slurm"), (NO_CONFIGURATION, "local")):
        put_client(tmp_path, monkeypatch, "scontrol", says)
        assert Workspace.current({}).profile_file(None).stem == expected


def test_an_unknown_profile_is_answered_with_all_there_are(home: Path) -> None:
    """Own ones and built-in ones."""
    own = home / "manifests/clusters/site.yaml"
    own.parent.mkdir()
    own.touch()

    with pytest.raises(InputError, match=r"--cluster names no profile: .*; did you mean 'site'\? .*local, site, slurm"):
        Workspace.current({}).profile_file("sitte")


def test_a_plan_for_slurm_is_left_behind_where_there_is_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned for Slurm by mistake, on a machine that only has its clients: planned again for this one, it runs."""
    for client in ("squeue", "sacct", "sbatch", "scontrol"):
        put_client(tmp_path, monkeypatch, client, NO_CONFIGURATION)
    monkeypatch.delenv("HPC_ROOT", raising=False)
    runner, layout = CliRunner(), RunLayout(home / "runs", "tiny")
    assert runner.invoke(hpc.plan.main, ["tiny", "--cluster", "slurm"]).exit_code == 0
    with pytest.raises(TemporaryError, match="plan with --cluster local"):
        slurm.query_queue("tiny")
    assert take_snapshot(layout, require_slurm=False).slurm_problem

    assert runner.invoke(hpc.plan.main, ["tiny", "--cluster", "local"]).exit_code == 0
    assert take_snapshot(layout).slurm_problem == ""
    layout.submission(1).intent.write_text("{}")  # from here on it may be in some Slurm's queue
    with pytest.raises(TemporaryError, match=r"slurm\.conf"):
        take_snapshot(layout)
