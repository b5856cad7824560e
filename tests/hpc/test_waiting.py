"""No long command is silent at a terminal, and none says how far it is anywhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conversation import drawn, stood, watch
from tests.local_projects import LocalProject, command_environment, make_project

SLOWED = """
import runpy, sys, time
from hpc.adapters import progress
progress.DELAY_S = progress._SHORT_S = 0.0
progress.EVERY_S, leave = 0.005, progress._Board.leave
def leave_late(board, step):
    time.sleep(0.06)
    leave(board, step)
progress._Board.leave = leave_late
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module as a command each piece of whose work takes a while."""
SAYS = {
    "hpc.plan tiny --cluster local": ["planning tiny", "naming tasks", "reading the project's code", "writing arrays",
                                      "checking scripts"],
    "hpc.plan tiny --cluster local --dry-run": ["planning tiny", "writing arrays"],
    "hpc.submit tiny": ["looking at every run", "submitting tiny", "running tiny"],
    "hpc.collect tiny": ["looking at every run", "collecting tiny", "judging runs", "counting how runs ended",
                         "describing runs", "writing results"],
    "analysis.report tiny --format html": ["reporting tiny", "reading results", "judging", "drawing figures"],
    "analysis.export tiny --to csv": ["reading results", "reading curves", "writing runs for csv"],
    "hpc.why logs": ["reading logs"],
    "hpc.why logs/slurm-1.out": ["reading slurm-1.out"],
    "hpc.clean tiny --dry-run": ["looking through tiny", "looking for caches"],
    "hpc.archive tiny --output tiny.tar.gz": ["looking for secrets", "writing tiny.tar.gz"],
    "hpc.archive --restore tiny.tar.gz --root other": ["unpacking tiny.tar.gz"],
    "hpc.adopt old --pattern X{x} --metric loss": ["reading runs", "writing runs"],
    "hpc.doctor tiny": ["looking: "],
}  # fmt: skip
"""Command → what it says it is doing, in the order of the road."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project in which the commands below are typed one after the other."""
    project = make_project(tmp_path_factory.mktemp("waiting") / "project")
    (project.folder / "logs").mkdir()
    (project.folder / "logs/slurm-1.out").write_text("NameError: name 'x' is not defined\n")
    for x in (1, 2):
        run = project.folder / f"old/X{x}"
        run.mkdir(parents=True)
        (run / "metrics.csv").write_text(f"step,loss\n1,0.{x}\n2,0.{x}\n")
    return project


@pytest.mark.parametrize("command", SAYS)
def test_long_commands_say_what_they_do(command: str, project: LocalProject) -> None:
    """Each piece of work is named while it lasts, and in the end only what the command prints stands there."""
    environment = command_environment(TERM="xterm", NO_COLOR="1")
    code, text = watch(["-c", SLOWED, *command.split()], project.folder, environment, columns=100)
    told = drawn(text)

    assert code in (0, 1, 3), stood(text)
    assert [each for each in SAYS[command] if each not in told] == [], stood(text)
    assert "Traceback" not in text
    assert "\r" not in stood(text)
    assert "\x1b[K" not in stood(text)


@pytest.mark.parametrize("command", [each for each in SAYS if "adopt" not in each and "restore" not in each])
def test_in_a_pipe_they_say_nothing_of_it(command: str, project: LocalProject, tmp_path: Path) -> None:
    """A batch log holds lines, and none of them is drawn over."""
    command = command.replace("tiny.tar.gz", str(tmp_path / "tiny.tar.gz"))
    done = subprocess.run(
        [sys.executable, "-c", SLOWED, *command.split()], cwd=project.folder, check=False, capture_output=True,
        env=command_environment(TERM="xterm"),
    )  # fmt: skip
    text = (done.stdout + done.stderr).decode()

    assert done.returncode in (0, 1, 3), text
    assert not {"\r", "\x1b"} & set(text)
    assert [each for each in SAYS.get(command, []) if f"{each}  " in text] == []
