"""A command in a fork is what a started one is, or the other tests would test something else."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.local_projects import command_environment, make_project
from tests.zygote import KILLED, run_python, runs_here


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["-m", "hpc.status"], 2),
        (["-m", "hpc.status", "--help"], 0),
        (["-m", "hpc.plan", "missing", "--cluster", "local"], 2),
        (["-m", "hpc.no_such_command"], 1),
        (["-m", "hpc.local.runner"], 2),
        ([KILLED, "1", "hpc.status"], 2),
    ],
)
def test_prints_and_ends_as_a_started_one(tmp_path: Path, command: list[str], code: int) -> None:
    """Exit code, stdout and stderr to the letter."""
    forked, started = (
        run_python(command, tmp_path, command_environment(COLUMNS="100", **more), 60)
        for more in ({}, {"PYTHONUTF8": "1"})
    )
    assert (forked.returncode, forked.stdout) == (code, started.stdout)
    if code != 1:  # a traceback names the files that led there
        assert forked.stderr == started.stderr


def test_a_fork_has_its_own_folder_variables_and_end(tmp_path: Path) -> None:
    """Neither leaks into the next; what takes too long is killed."""
    environment = command_environment(HPC_ROOT=str(tmp_path / "elsewhere"))
    told = run_python(["-m", "hpc.status"], tmp_path, environment, 60)
    assert "elsewhere" in told.stderr
    told = run_python(["-m", "hpc.status"], tmp_path, command_environment(), 60)
    assert "elsewhere" not in told.stdout + told.stderr
    with pytest.raises(subprocess.TimeoutExpired):
        run_python(["-m", "hpc.status"], tmp_path, command_environment(), 0.001)


@pytest.mark.parametrize("moment", [1, 4])
def test_a_fork_is_killed_where_a_started_one_is(tmp_path: Path, moment: int) -> None:
    """By the same signal, before the same act."""
    left = []
    for name, more in (("forked", {}), ("started", {"PYTHONUTF8": "1"})):
        project = make_project(tmp_path / name)
        done = project.call(KILLED, str(moment), "hpc.plan", "tiny", "--cluster", "local", **more)
        assert done.returncode == -signal.SIGKILL, done.stderr
        left.append(sum(path.is_file() for path in project.folder.rglob("*")))
    assert left[0] == left[1]


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["-c", "1"], {}),
        (["-m", "pip"], {}),
        (["-m", "hpc.run_task"], {}),
        ([KILLED, "3", "hpc.run_task"], {}),
        ([KILLED], {}),
        (["-m", "hpc.plan"], {"PYTHONPATH": "/elsewhere"}),
        (["-m", "hpc.plan"], {"PYTHONHASHSEED": "7"}),
        (["-m", "hpc.plan"], {"LC_ALL": "xx"}),
    ],
)
def test_what_starts_differently_is_started(command: list[str], more: dict[str, str]) -> None:
    """The wrapper, which is timed, programs of others, and whatever shapes Python."""
    assert runs_here(["-m", "hpc.plan"], command_environment())
    assert not runs_here(command, command_environment(**more))
