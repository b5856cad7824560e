"""Where things are when a command starts somewhere in somebody's project."""

import importlib
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpc.plan
from analysis import export, report
from analysis.command import run
from analysis.report import find_experiment
from hpc.adapters import slurm
from hpc.cli import COMMANDS
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


@pytest.fixture
def planned(home: Path) -> Path:
    """The project, with two planned experiments; started at its top."""
    os.chdir(home)
    for name in ("tiny", "other"):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "manifest.json").write_text("{}")
    return home


FINDERS = {
    "hpc": lambda root, name: Workspace(Path.cwd(), root).layout(name, acts=False).home,
    "analysis": lambda root, name: find_experiment(root, name).home,
}


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(
    "name",
    ["tiny", "tiny/", "runs/tiny", "runs/tiny/", "./runs/tiny", "{home}/runs/tiny", "runs/other/../tiny/",
     "manifests/experiments/tiny.yaml"],
)  # fmt: skip
def test_runs_are_named_as_a_shell_completes_them(planned: Path, finder: str, name: str) -> None:
    """By name, by their YAML, by their folder; the same runs whichever wing is asked."""
    assert FINDERS[finder](planned / "runs", name.format(home=planned)) == planned / "runs/tiny"
    os.chdir(planned / "runs/tiny")
    assert FINDERS[finder](planned / "runs", ".") == planned / "runs/tiny"


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize("name", ["", " ", "..", ".", "a/b", "runs/..", "/", "runs", "ti ny", "$(x)", "-x"])
def test_a_name_that_is_none_is_answered_with_what_is_one(planned: Path, finder: str, name: str) -> None:
    """An empty one is no newest experiment, and a path is none of another folder."""
    with pytest.raises(InputError) as caught:
        FINDERS[finder](planned / "runs", name)
    assert "other" in str(caught.value)
    assert "tiny" in str(caught.value)


def test_runs_of_another_root_are_looked_at_and_not_acted_upon(planned: Path, tmp_path: Path) -> None:
    """What acts is told which root to name."""
    workspace = Workspace(planned, tmp_path / "elsewhere")
    assert workspace.layout("runs/tiny", acts=False).home == planned / "runs/tiny"
    with pytest.raises(InputError, match=f"export HPC_ROOT={planned}/runs"):
        workspace.layout("runs/tiny")


@pytest.mark.parametrize("root", ["/dev/null", "/dev/null/x", "{home}/file", "{home}/dangling"])
@pytest.mark.parametrize("verb", sorted({*COMMANDS} - {"completion", "mcp"}))  # which look at no run themselves
def test_a_root_that_can_be_none_is_said_by_every_verb(
    home: Path, monkeypatch: pytest.MonkeyPatch, verb: str, root: str
) -> None:
    """A file, a device, what would lie in one: exit 2 in a sentence, never an error number."""
    (home / "file").write_text("")
    (home / "dangling").symlink_to(home / "gone")
    root = root.format(home=home)
    monkeypatch.setenv("HPC_ROOT", root)
    words = {
        "export": ["--to", "csv"], "adopt": [".", "--pattern", "{x}_S{seed}"], "why": ["X1"], "history": ["list"],
        "init": ["--dry-run"], "ls": [], "dash": [],
    }  # fmt: skip
    if verb in ("report", "export"):
        command = {"report": report.report, "export": export.export}[verb]
        done_code = run(command, verb, ["tiny", *words.get(verb, [])], verb)
    else:
        named = words.get(
            verb, ["tiny"] if verb not in ("init", "ls", "dash") else ["--dry-run"] if verb == "init" else []
        )
        done = CliRunner().invoke(importlib.import_module(f"hpc.{verb}").main, named)
        assert f"HPC_ROOT is {root}" in done.output, done.output
        done_code = done.exit_code
    assert done_code == 2
