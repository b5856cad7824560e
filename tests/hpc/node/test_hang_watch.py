"""The watch over a run, with real processes that hang: who is odd, what is kept, and how it goes on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord
from hpc.core.watching.judge import IDLE, SPINNING
from hpc.node.hang_watch import siblings_of
from tests.local_projects import EXPERIMENT, LocalProject, command_environment, make_project

PROGRAM = """
import os, socket, subprocess, sys, time
from pathlib import Path
home = Path(os.environ["HPC_ATTEMPT_DIR"])
HOW = Path("{folder}/how").read_text()

def barrier(me, others):
    me.sendall(b"x")
    return me.recv(1)

def spin_barrier():
    while True:
        pass

def read_shard():
    time.sleep(60)

def fetch(me):
    return me.recv(1)

def work(rank):
    from hpc.callbacks.stacks import answer_where_it_stands
    answer_where_it_stands()
    me, other = socket.socketpair()
    Path(home, f"ready-{rank}.txt").touch()
    if HOW == "sleep" and rank == 2:
        read_shard()
    elif HOW == "recv" and rank == 1:
        fetch(me)
    elif HOW == "spin" and rank != 3:
        all_reduce()
    elif HOW == "spin":
        read_shard()
    barrier(me, other)

def all_reduce():
    while True:
        pass

if len(sys.argv) > 3:
    work(int(sys.argv[3]))
elif os.environ["HPC_RESUME_FROM"] and HOW != "again":
    print(f"loss: {float(sys.argv[1]) / 2}")
else:
    number = len(list(Path(home.parent).glob("attempt-*")))
    Path(home, f"checkpoints/step-0000000{number}").mkdir(parents=True)
    ranks = [
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:3], str(rank)],
                         env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(4)
    ]
    if HOW == "goes on":
        while not all(Path(home, f"ready-{rank}.txt").exists() for rank in range(4)):
            time.sleep(0.1)
        time.sleep(4)
        for each in ranks:
            each.kill()
        print(f"loss: {float(sys.argv[1]) / 2}", flush=True)
        time.sleep(2)  # the watch sees that it goes on
    for each in ranks:
        each.wait()
"""


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    made = make_project(tmp_path / "project", EXPERIMENT, PROGRAM.replace("{folder}", str(tmp_path)))
    made.hpc("plan", "tiny", "--cluster", "local")
    return made


def watched(project: LocalProject, how: str, *, act: str = "end", silent_s: int = 2, **more: str) -> str:
    """Run the first element under a watch that loses its patience soon; return what the wrapper printed."""
    (project.folder.parent / "how").write_text(how)
    index = project.runs / "tiny/submissions/001/index.json"
    content = json.loads(index.read_text())
    assert content["watch"] == {"silent_s": 1200, "slower_than": 0.0, "act": ""}  # what is not asked for, is watched
    index.write_text(json.dumps({**content, "watch": {"silent_s": silent_s, "slower_than": 0.0, "act": act}}))
    done = subprocess.run(
        [sys.executable, "-m", "hpc.run_task", str(index), "0"],
        cwd=project.folder, env=command_environment(**more), capture_output=True, text=True, timeout=45, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def load(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize(("how", "odd", "place"), [("sleep", "rank 2", "read_shard"), ("recv", "rank 1", "fetch")])
def test_the_process_that_stands_elsewhere_is_named(project: LocalProject, how: str, odd: str, place: str) -> None:
    """Three wait in a barrier, one does not: the run is ended, and the record names that one and its place."""
    told = watched(project, how)

    attempt = project.attempt("X1")
    ended, [alarm] = load(attempt / "exit.json"), load(attempt / "watch.json")["alarms"]
    assert (alarm["found"], alarm["odd"], alarm["ended"], alarm["over"]) == (IDLE, [odd], True, None)
    assert ended["hang"] == alarm["says"]
    assert f"{odd} is in {place} (program.py:" in ended["hang"]
    assert "3 others wait in barrier (program.py:" in ended["hang"]
    assert ended["signal"] == 15  # although the program that started them ends with 0
    assert "ending the program: no step, no output and no work" in told
    assert (attempt / "stacks.txt").read_text().count("\n  barrier (program.py:") == 1  # who stands alike is said once


def test_who_polls_while_it_waits_hangs_too(project: LocalProject) -> None:
    """Busy in silence: only the stacks tell, twice the same, that all the work is waiting."""
    watched(project, "spin")

    [alarm] = load(project.attempt("X1") / "watch.json")["alarms"]
    assert (alarm["found"], alarm["odd"]) == (SPINNING, ["rank 3"])
    assert "although it is busy; rank 3 is in read_shard" in alarm["says"]


def test_a_run_that_is_only_watched_is_left_alone(project: LocalProject) -> None:
    """A false alarm costs nothing: it is kept with what would have been done, and that the run went on."""
    told = watched(project, "goes on", act="")

    attempt = project.attempt("X1")
    ended, [alarm] = load(attempt / "exit.json"), load(attempt / "watch.json")["alarms"]
    assert (ended["exit_code"], ended["hang"], ended["watched"]) == (0, "", "")
    assert (alarm["ended"], alarm["would"]) == (False, "resume")
    assert "possible hang, watched only: no step, no output and no work" in told


def test_a_run_that_hangs_goes_on_in_the_same_allocation(project: LocalProject) -> None:
    """It left a checkpoint and there is time: the next attempt starts at once, under the same job."""
    watched(project, "sleep", act="resume")

    first, second = project.attempt("X1"), project.attempt("X1", 2)
    assert load(first / "exit.json")["starts_again"] is True
    assert load(second / "exit.json")["exit_code"] == 0
    tasks = [load(each / "task.json") for each in (first, second)]
    assert tasks[0]["job"] == tasks[1]["job"]
    assert tasks[1]["resume_from"] == str(first / "checkpoints/step-00000001")


def test_why_shows_who_stood_where(project: LocalProject) -> None:
    """The verdict is a hang, the odd process is its evidence, and a retry gives no more time."""
    watched(project, "recv")
    project.hpc("collect", "tiny", expect=1)

    why = " ".join(project.hpc("why", "tiny/X1").split())
    assert why.startswith("tiny/X1: timeout (hang)")
    assert "rank 1 is in fetch (program.py:" in why
    assert "goes on from step-00000001" in why
    assert project.verdicts()["X1"]["decision"]["reason"] == "it hung: more time does not help"


def test_it_goes_on_so_often_and_no_more(project: LocalProject) -> None:
    """Every attempt leaves a checkpoint and hangs again: at the third one the queue has it."""
    told = watched(project, "again", act="resume", silent_s=1)

    assert "does not go on in this allocation: it hung 3 times in it" in told
    assert not project.attempt("X1", 4).exists()
    assert load(project.attempt("X1", 3) / "exit.json")["starts_again"] is False


def test_siblings_are_runs_that_differ_in_their_seed_alone(tmp_path: Path) -> None:
    """Their pace is known from what their wrappers tell."""
    made = make_project(tmp_path / "project", EXPERIMENT.replace("seeds: [1]", "seeds: [1, 2, 3]").replace(
        'run_name: "X{x}"', 'run_name: "X{x}_S{seed}"'))  # fmt: skip
    made.hpc("plan", "tiny", "--cluster", "local")
    index = made.runs / "tiny/submissions/001/index.json"
    done = made.call("-m", "hpc.run_task", str(index), "0")
    assert done.returncode == 0, done.stdout + done.stderr
    attempt = AttemptLayout(made.attempt("X1_S1"))
    task = TaskRecord.from_json(load(attempt.task_json))

    assert siblings_of(task, attempt) == ("X1_S2", "X1_S3")
