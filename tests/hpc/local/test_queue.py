"""This machine's own queue outlives its terminal, its runner and its wrappers; nothing is lost, nothing runs twice."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.adapters import proc
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.local import queue
from hpc.local.queue import QueuedElement
from tests.local_projects import EXPERIMENT, LocalProject, command_environment, family, make_project, wait_until
from tests.made_records import exit_record, task_record

SLOW = """
import os, signal, sys, time
from pathlib import Path
attempt, resumed = Path(os.environ["HPC_ATTEMPT_DIR"]), os.environ["HPC_RESUME_FROM"]
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
start = int(Path(resumed).name.removeprefix("step-")) if resumed else 0
for step in range(start + 1, 16):
    print(f"step {step} loss: {1 / step}", flush=True)
    time.sleep(0.1)
    if asked:
        (attempt / f"checkpoints/step-{step:08d}").mkdir()
        sys.exit(85)
"""
FOUR = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4]")
RUNS = ("X1", "X2", "X3", "X4")


def test_an_element_has_ended_when_its_check_has(tmp_path: Path) -> None:
    """Who waits for the queue and then collects finds the answer; a wrapper that died over the check ends it, too."""
    attempt = AttemptLayout(tmp_path / "attempt-1")
    attempt.home.mkdir()
    alive = task_record(host=proc.this_host(), pid=proc.identity(os.getpid()), pid_namespace=proc.pid_namespace())
    element = QueuedElement(tmp_path, 0, tmp_path, "X1", attempt, 0, submission=1, has_check=True)
    attempt.task_json.write_text(json.dumps(alive.to_json()))
    attempt.exit_json.write_text(json.dumps(exit_record().to_json()))
    assert not queue.has_ended(element)
    assert queue.has_ended(replace(element, has_check=False))
    attempt.check_json.write_text("{}")
    assert queue.has_ended(element)
    attempt.check_json.unlink()
    dead = replace(alive, pid=alive.pid.rpartition("/")[0] + "/1")
    attempt.task_json.write_text(json.dumps(dead.to_json()))
    assert queue.has_ended(element)


@pytest.fixture
def slow(tmp_path: Path) -> LocalProject:
    """Four tasks of two seconds, planned, two at once."""
    project = make_project(tmp_path / "project", FOUR, SLOW)
    project.hpc("plan", "tiny", "--cluster", "local")
    return project


def start_submit(project: LocalProject) -> "subprocess.Popen[bytes]":
    """Run submit as a shell does: in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hpc.submit", "tiny"],
        cwd=project.folder,
        env=command_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def pid_of_wrapper(project: LocalProject, run: str) -> int:
    return int(json.loads((project.attempt(run) / "task.json").read_text())["pid"].split("/")[1])


def pid_of_runner(project: LocalProject) -> int:
    """The process that holds the queue: started with this project's run folder as its argument."""
    wanted = str(project.runs / "tiny")
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "hpc.local.runner" in words and wanted in words:
                return int(entry.name)
    raise AssertionError("no runner")


def trains(project: LocalProject, run: str) -> bool:
    log = project.attempt(run) / "stdout.log"
    return log.exists() and "step 2 " in log.read_text()


def ended(project: LocalProject) -> list[Path]:
    return sorted(project.runs.glob("tiny/tasks/*/attempt-*/exit.json"))


def check_all_ran_once(project: LocalProject) -> None:
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 4
    assert {run: len(task["attempts"]) for run, task in project.verdicts().items()} == dict.fromkeys(RUNS, 1)


def check_never_more_than(project: LocalProject, most: int) -> None:
    """At no moment did more tasks run than were allowed."""
    spans = []
    for path in ended(project):
        record = json.loads(path.read_text())
        spans += [(record["started"], 1), (record["ended"], -1)]
    running = peak = 0
    for _, change in sorted(spans):
        running += change
        peak = max(peak, running)
    assert peak <= most


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_closing_the_terminal_loses_nothing(slow, number):
    """SIGHUP or SIGKILL to submit and its whole process group: every task ends as if nothing had happened."""
    submit = start_submit(slow)
    wait_until(lambda: trains(slow, "X1"), 30, "the first task")
    os.killpg(submit.pid, number)
    submit.wait()
    wait_until(lambda: len(ended(slow)) == 4, 60, "all tasks to end without a terminal")
    check_all_ran_once(slow)
    check_never_more_than(slow, 2)
    assert "everything is queued, running or done" in slow.hpc("submit", "tiny", expect=3)


def test_a_queue_whose_runner_takes_long_to_start_is_not_abandoned(tmp_path, monkeypatch):
    """However busy the machine is, status and submit do not call what waits abandoned as long as its process lives."""
    monkeypatch.setattr(queue, "START_UP_S", 0.0)
    project = make_project(tmp_path)
    project.hpc("plan", "tiny", "--cluster", "local")
    monkeypatch.setattr(queue, "own_command", lambda *_: ["sleep", "60"])
    layout = RunLayout(project.runs, "tiny")
    runner = queue.start_detached(layout, 1)
    waiting = [QueuedElement(tmp_path / "s", 0, tmp_path / "l", "X1", layout.task("X1").attempt(1), 0)]
    monkeypatch.setattr(queue, "list_open", lambda _: waiting)
    assert queue.list_abandoned(layout) == []
    os.kill(int(runner.split("/")[1]), signal.SIGKILL)
    wait_until(lambda: queue.list_abandoned(layout) == waiting, 10, "it to be abandoned")


def test_a_killed_runner_is_followed_by_the_next(slow):
    """SIGKILL of the runner: what runs goes on, submit starts the rest, and never more at once than allowed."""
    submit = start_submit(slow)
    wait_until(lambda: trains(slow, "X1") and trains(slow, "X2"), 30, "the first two tasks")
    os.kill(pid_of_runner(slow), signal.SIGKILL)
    submit.kill()
    submit.wait()
    wait_until(lambda: slow.json("status", "tiny")["abandoned"], 15, "status to see it")
    told = slow.hpc("status", "tiny")
    assert "2 wait in this machine's queue and nothing processes it" in told
    assert "python -m hpc.submit tiny" in told
    assert slow.json("status", "tiny")["abandoned"] == 2
    assert "2 left in this machine's queue by a runner that is gone: they continue" in slow.hpc("submit", "tiny")
    assert "nothing processes it" not in slow.hpc("status", "tiny")
    assert len(ended(slow)) == 4
    check_all_ran_once(slow)
    check_never_more_than(slow, 2)


def test_a_killed_wrapper_is_an_unknown_failure_and_tried_once_more(slow):
    """SIGKILL of one wrapper: its program dies with it, the others go on; the collector repeats it once."""
    submit = start_submit(slow)
    wait_until(lambda: trains(slow, "X2"), 30, "the second task")
    os.kill(pid_of_wrapper(slow, "X2"), signal.SIGKILL)
    wait_until(lambda: not family(slow.attempt("X2")), 5, "its program to be gone")
    assert submit.wait(timeout=60) == 1
    assert not (slow.attempt("X2") / "exit.json").exists()

    told = slow.hpc("collect", "tiny", "--retry-failed", expect=0)
    assert "X2" in told
    answer = slow.json("collect", "tiny")
    assert answer["outcomes"]["finished"] == 4
    tasks = slow.verdicts()
    assert {run: len(task["attempts"]) for run, task in tasks.items()} == {"X1": 1, "X2": 2, "X3": 1, "X4": 1}
    assert tasks["X2"]["attempts"][0]["verdict"]["category"] == "unknown"
    assert "everything is queued, running or done" in slow.hpc("submit", "tiny", expect=3)


def test_exit_85_starts_the_element_again_here_too(slow):
    """SIGUSR1 → checkpoint → 85: the next attempt resumes, submit waits for it and is content at its end."""
    # Long enough for the signal to find it at work on a busy machine.
    slow.write_program(
        SLOW.replace("start + 1, 16", "start + 1, start + 6 if resumed else 16 + 60 // int(sys.argv[1])")
    )
    slow.hpc("plan", "tiny", "--cluster", "local")
    submit = start_submit(slow)
    wait_until(lambda: trains(slow, "X1"), 30, "the first task")
    os.kill(pid_of_wrapper(slow, "X1"), signal.SIGUSR1)
    assert submit.wait(timeout=60) == 0
    assert slow.json("collect", "tiny")["outcomes"]["finished"] == 4
    tasks = slow.verdicts()
    assert {run: len(task["attempts"]) for run, task in tasks.items()} == {"X1": 2, "X2": 1, "X3": 1, "X4": 1}
    first = (slow.attempt("X1", 2) / "stdout.log").read_text().splitlines()[0]
    resumed = json.loads((slow.attempt("X1", 2) / "task.json").read_text())["resume_from"]
    assert first.startswith(f"step {int(Path(resumed).name.removeprefix('step-')) + 1} ")
    assert "everything is queued, running or done" in slow.hpc("submit", "tiny", expect=3)


def test_two_submits_at_once_start_each_task_once(slow):
    """Two terminals type submit in the same moment: one array, four attempts."""
    both = [start_submit(slow) for _ in range(2)]
    assert {each.wait(timeout=90) for each in both} <= {0, 3}
    check_all_ran_once(slow)
    assert [path.name for path in sorted(slow.runs.glob("tiny/submissions/[0-9]*"))] == ["001"]
