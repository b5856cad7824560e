"""Runs of somebody else: looked at where they are open to the group, and never acted upon without being told to."""

import contextlib
import os
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hpc.adapters.manifest_store import newest_experiment
from hpc.adapters.owner import foreign_part, refuse_foreign, refuse_foreign_file
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from tests.local_projects import LocalProject, command_environment, make_project
from tests.parts import need

GROUP, SUPERVISOR, OTHER = 4711, 4712, 4713
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two people")


@pytest.fixture(scope="module")
def project() -> Iterator[LocalProject]:
    """A project of ours whose runs have the group 4711 and are open to it; one run failed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, -1, GROUP)
        folder.chmod(0o2755)
        project = make_project(folder, program="import sys\nprint('loss: 1')\nsys.exit(int(sys.argv[1]) - 1)\n")
        with (folder / "manifests/clusters/local.yaml").open("a") as file:
            file.write("group_access: read\n")
        project.hpc("plan", "tiny", "--cluster", "local")
        project.hpc("submit", "tiny", expect=1)
        project.hpc("collect", "tiny", expect=1)
        yield project


@cache
def python_of_others() -> str:
    """An interpreter of our version that another user may start: ours, unless it lies in root's own folder."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([path, "-c", ""], check=True, user=OTHER, group=OTHER, extra_groups=[], capture_output=True)
            return path
    return need(None, f"a {version} that other users may start") or ""


def as_user(
    user: int, group: int, project: LocalProject, *command: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m COMMAND`` as another user, in a folder of their own that is current."""
    with tempfile.TemporaryDirectory(dir="/tmp") as own:
        os.chown(own, user, group)
        environment = command_environment(HPC_ROOT=str(project.runs), HOME=own, MPLCONFIGDIR=own, **more)
        environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], *site.getsitepackages()])
        done = subprocess.run(
            [python_of_others(), "-m", *command],
            cwd=own, env=environment, capture_output=True, text=True, timeout=300, check=False,
            user=user, group=group, extra_groups=[],
        )  # fmt: skip
        made = sorted(path.name for path in Path(own).iterdir() if path.name.startswith("report-"))
        return subprocess.CompletedProcess(made, done.returncode, done.stdout, done.stderr)


def state_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything in a folder with mode, size and time of change."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (each.st_mode, each.st_size, each.st_mtime_ns) for name, each in found.items()}


def test_a_supervisor_looks_collects_and_reports_and_changes_nothing(project: LocalProject) -> None:
    """A member of the group gets the numbers with the usual exit codes, a report of their own, and touches no file."""
    before = state_of(project.runs)
    status = as_user(SUPERVISOR, GROUP, project, "hpc.status", "tiny")
    collect = as_user(SUPERVISOR, GROUP, project, "hpc.collect", "tiny")
    report = as_user(SUPERVISOR, GROUP, project, "analysis.report", "tiny", "--format", "md")
    logs = as_user(SUPERVISOR, GROUP, project, "hpc.logs", "tiny", "X1", "--stdout")
    archive = as_user(SUPERVISOR, GROUP, project, "hpc.archive", "tiny", "--output", "a.tar.gz")

    assert (logs.returncode, logs.stdout) == (0, "loss: 1\n")
    assert archive.returncode == 0, archive.stderr
    assert status.returncode == 0, status.stderr
    assert "1 finished" in status.stdout
    assert collect.returncode == 1, collect.stderr
    assert "why they failed" in collect.stdout
    assert "nothing was written" in collect.stdout
    assert report.returncode == 0, report.stdout + report.stderr
    assert report.args == ["report-tiny"]
    assert state_of(project.runs) == before


@pytest.mark.parametrize(
    "command",
    [
        ("hpc.submit", "tiny"),
        ("hpc.collect", "tiny", "--retry-failed"),
        ("hpc.collect", "tiny", "--forget-gone"),
        ("hpc.follow", "tiny"),
        ("hpc.plan", "tiny", "--second-look"),
        ("hpc.hold", "tiny"),
        ("hpc.hold", "tiny", "X1"),
        ("hpc.release", "tiny"),
        ("hpc.clean", "tiny", "--yes"),
    ],
)
def test_what_acts_is_refused_to_the_group(project: LocalProject, command: tuple[str, ...]) -> None:
    """Submitting, retrying and following runs of somebody else end with 2, the owner's name and what to do."""
    before = state_of(project.runs)
    done = as_user(SUPERVISOR, GROUP, project, *command)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{project.runs}/tiny belongs to root (uid 0), and you are uid {SUPERVISOR}" in done.stderr
    assert "you may look" in done.stderr
    assert f"export HPC_SAFE_DIRECTORY={project.runs}/tiny" in done.stderr
    assert state_of(project.runs) == before


def test_who_is_not_in_the_group_sees_nothing(project: LocalProject) -> None:
    """Another user gets a sentence, not a traceback, and no number."""
    done = as_user(OTHER, OTHER, project, "hpc.status", "tiny")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "finished" not in done.stdout


def test_the_newest_experiment_is_the_newest_of_mine(project: LocalProject, tmp_path: Path) -> None:
    """Without a name somebody else's later experiment is not taken, by root neither."""
    done = as_user(SUPERVISOR, GROUP, project, "hpc.status")
    assert done.returncode == 2
    assert "nothing of yours was planned" in done.stderr
    for age, (name, owner) in enumerate((("mine", 0), ("theirs", OTHER))):
        layout = RunLayout(tmp_path, name)
        layout.home.mkdir()
        layout.manifest.write_text("{}")
        os.utime(layout.manifest, (age, age))
        os.chown(layout.manifest, owner, -1)
    assert newest_experiment(tmp_path) == "mine"


@pytest.mark.parametrize("part", ["", "manifest.json", "manifests", "code", "submissions", "tasks"])
def test_root_acts_on_runs_of_others_only_when_told_to(tmp_path: Path, part: str) -> None:
    """A folder or manifest of another owner is refused, by its name, to root too, until its run is trusted."""
    layout = RunLayout(tmp_path, "theirs")
    for folder in (layout.manifests, layout.code, layout.submissions, layout.tasks):
        folder.mkdir(parents=True)
    layout.manifest.write_text("{}")
    assert foreign_part(layout) is None
    os.chown(layout.home / part, OTHER, -1)
    for acts in (True, False):
        with pytest.raises(InputError, match=rf"{layout.home / part} belongs to uid {OTHER}, and you are root"):
            refuse_foreign(layout, (str(tmp_path / "another"),), acts=acts)
        refuse_foreign(layout, (str(layout.home),), acts=acts)
        refuse_foreign(layout, ("*",), acts=acts)


def test_planning_over_runs_of_another_owner_is_refused(tmp_path: Path) -> None:
    """A plan of the same name below the same root does not mix with what somebody else planned there."""
    project = make_project(tmp_path)
    project.hpc("plan", "tiny", "--cluster", "local")
    os.chown(project.runs / "tiny/manifest.json", OTHER, -1)
    assert f"belongs to uid {OTHER}" in project.hpc("plan", "tiny", "--cluster", "local", expect=2)
    project.hpc("plan", "tiny", "--cluster", "local", HPC_SAFE_DIRECTORY=str(project.runs / "tiny"))


def test_a_hook_of_another_owner_does_not_run(tmp_path: Path) -> None:
    """A hook's file that belongs to somebody else is refused; ours, root's and an absent one are not."""
    hook = tmp_path / "hook.py"
    refuse_foreign_file(hook)
    hook.touch()
    refuse_foreign_file(hook)
    os.chown(hook, OTHER, -1)
    with pytest.raises(InputError, match=f"hook.py belongs to uid {OTHER}"):
        refuse_foreign_file(hook)
