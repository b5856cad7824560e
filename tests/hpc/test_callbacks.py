"""`hpc.callbacks.loop`: a plain program that is stopped, checkpoints, goes on and ends, on this machine's queue."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc import metrics
from hpc.callbacks.loop import Attempt
from tests.local_projects import EXPERIMENT, make_project

PROGRAM = """
import os, signal
from hpc.callbacks.loop import Attempt

with Attempt() as attempt:
    first = int((attempt.resume_from / "step").read_text()) + 1 if attempt.resume_from else 1
    for step in range(first, 7):
        attempt.log(step, {"train/loss": 1 / step}, loss=1 / step)
        if step == 3 and first == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        if attempt.should_stop:
            with attempt.checkpoint(step) as folder:
                (folder / "step").write_text(str(step))
            attempt.leave(step)
"""


def test_a_plain_loop_is_stopped_and_goes_on(tmp_path):
    """Two attempts, each step once, the metrics of the second complete, the run finished with its last value."""
    text = EXPERIMENT.replace("[1, 2]", "[1]").replace("  source: {stdout: 'loss: (?P<loss>\\S+)'}\n", "")
    project = make_project(tmp_path / "project", text, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--backend", "local")
    project.hpc("collect", "tiny")
    (task,) = project.verdicts().values()
    assert [attempt["exit_code"] for attempt in task["attempts"]] == [85, 0]
    assert task["attempts"][0]["verdict"]["cause"] == "checkpointed"
    steps = [list(metrics.read(project.attempt("X1", n) / "metrics.h5")["train/loss"].step) for n in (1, 2)]
    assert steps == [[1, 2, 3], [4, 5, 6]]
    assert task["summary"]["loss"] == 1 / 6


def test_tracking_that_nobody_would_do_is_said_at_plan(tmp_path):
    """`tracking.wandb` of a program whose code never mentions it; silent once some file does."""
    project = make_project(tmp_path / "project", EXPERIMENT + "tracking: {wandb: {project: p}}\n")
    assert "hpc.sync tiny" in project.hpc("plan", "tiny", "--cluster", "local")
    (project.folder / "logger.py").write_text("import wandb\n")
    assert "mentions wandb" not in project.hpc("plan", "tiny", "--cluster", "local")


def test_by_hand_it_works_in_the_current_folder(tmp_path):
    """No toolkit around it: metrics and checkpoints lie here, and the exit code is the same."""
    project = make_project(tmp_path / "project", program=PROGRAM)
    assert project.call("program.py").returncode == 85
    assert (project.folder / "checkpoints/step-00000003/step").read_text() == "3"
    assert not metrics.is_complete(project.folder / "metrics.h5")
    done = project.call("program.py", HPC_RESUME_FROM=str(project.folder / "checkpoints/step-00000003"))
    assert (done.returncode, metrics.is_complete(project.folder / "metrics.h5")) == (0, True)


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    (tmp_path / "attempt-1").mkdir()
    yield Attempt(tmp_path / "attempt-1")
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_removed_attempt_is_not_made_anew(attempt: Attempt, tmp_path: Path) -> None:
    """Neither by a checkpoint, of its own or a trainer's, nor by a logged value, nor by the end."""
    attempt.folder.rmdir()
    for act in (
        lambda: attempt.checkpoint(1).__enter__(),
        lambda: attempt.take_checkpoint(1, tmp_path),
        lambda: attempt.log(1, loss=1.0),
        lambda: attempt.leave(1),
    ):
        with pytest.raises(FileNotFoundError):
            act()
    assert not attempt.folder.exists()
