"""Several tasks in one array element of a real Slurm: each has its own end, and a killed element loses what it ran."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cluster.conftest import Project

PROGRAM = """
import os, sys, time
x, again = int(sys.argv[1]), int(os.environ["HPC_ATTEMPT"]) > 1
if x == 2:
    raise ValueError("a fault of its own")
if x == 3 and not again:
    os.kill(os.getpid(), 9)
if x == 4 and not again:
    sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 8.00 MiB free.")
if x in (5, 6) and not again:
    time.sleep(300)
print(f"loss: {x}")
"""
EXPERIMENT = """
name: packed
type: comparison
program: {command: "python3 program.py {x}"}
sweep: {grid: {x: [1, 2, 3, 4, 5, 6, 7, 8]}, seeds: [1]}
metrics: {primary: {name: loss, goal: min}, source: {stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "X{x}"
pack: {tasks: 4, at_once: 2}
resources: {cpus: 1, mem: 100MB, time: "0:02:00"}
"""


def attempt(project: Project, x: int, number: int = 1) -> Path:
    return project.runs / f"packed/tasks/X{x}/attempt-{number}"


@pytest.mark.cluster
def test_each_task_of_a_pack_has_its_own_end(project: Project) -> None:
    """One fails, one is killed, one is out of memory, an element dies: each is judged, and tried again, by itself."""
    (project.folder / "program.py").write_text(PROGRAM)
    project.write_experiment("packed", EXPERIMENT)
    assert "8 tasks in 2 elements of 4, 2 at once" in project.hpc("plan", "packed")
    project.hpc("submit", "packed")
    project.lab.wait_until(lambda: all((attempt(project, x) / "stdout.log").exists() for x in (5, 6)), 60, "X5 and X6")
    project.lab.wait_until(lambda: all((attempt(project, x) / "exit.json").exists() for x in (1, 2, 3, 4)), 60, "ends")

    standing = project.json("status", "packed", expect=0)
    assert standing["outcomes"]["running"] == 2
    assert (standing["outcomes"]["pending"], [each["count"] for each in standing["waiting"]]) == (2, [2])
    task = json.loads((attempt(project, 5) / "task.json").read_text())
    wrapper = int(task["pid"].split("/")[1])
    os.kill(int(Path(f"/proc/{wrapper}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    project.lab.wait_idle(60, "packed")

    assert not attempt(project, 7).exists()
    answer = project.json("collect", "packed", expect=1)
    assert (answer["outcomes"]["planned"], answer["outcomes"]["finished"]) == (2, 1)
    verdicts = project.verdicts("packed")
    assert verdicts["X2"]["failure_class"] == "code_bug"
    assert verdicts["X4"]["failure_class"] == "oom_gpu"
    assert verdicts["X7"]["attempts"] == []

    again = project.json("collect", "packed", "--retry-failed")
    assert {each["run_name"] for each in again["retry"]} == {"X3", "X4", "X5", "X6"}
    assert {each["run_name"] for each in again["retry"] if each["alone"]} == {"X4"}
    answer = project.collect_until_done("packed")
    assert (answer["outcomes"]["finished"], answer["failures"]) == (7, {"code_bug": 1})
    tasks = project.verdicts("packed")
    assert {run: len(task["attempts"]) for run, task in tasks.items()} == {
        "X1": 1, "X2": 1, "X3": 2, "X4": 2, "X5": 2, "X6": 2, "X7": 1, "X8": 1,
    }  # fmt: skip
    assert {run: task["summary"].get("loss") for run, task in tasks.items() if run != "X2"} == {
        f"X{x}": x for x in (1, 3, 4, 5, 6, 7, 8)
    }


AGAIN = """
import os, sys, time
from pathlib import Path
x, number = int(sys.argv[1]), int(os.environ["HPC_ATTEMPT"])
if x == 2:
    raise ValueError("a fault of its own")
if x == 3 and number == 1:
    left = Path(os.environ["HPC_ATTEMPT_DIR"]) / "checkpoints/step-1"
    left.mkdir()
    sys.exit(85)
if x == 4 and number == 1:
    time.sleep(300)
print(f"loss: {x}", Path(os.environ["HPC_RESUME_FROM"]).name)
"""


@pytest.mark.cluster
def test_a_pack_that_is_put_back_runs_what_was_taken_away(project: Project) -> None:
    """Exit 85 goes on at once in its element; requeued, it runs the task that ran and the one not begun, no other."""
    (project.folder / "program.py").write_text(AGAIN)
    one_by_one = EXPERIMENT.replace("[1, 2, 3, 4, 5, 6, 7, 8]", "[1, 2, 3, 4, 5]").replace(
        "tasks: 4, at_once: 2", "tasks: 5"
    )
    project.write_experiment("packed", one_by_one)
    project.hpc("plan", "packed")
    (job,) = project.json("submit", "packed", expect=0)["jobs"].values()
    project.lab.wait_until((attempt(project, 4) / "stdout.log").exists, 60, "X4")
    assert (attempt(project, 3, 2) / "stdout.log").read_text() == "loss: 3 step-1\n"
    project.lab.run(["scontrol", "requeue", f"{job}_0"])
    project.lab.wait_until((attempt(project, 4) / "exit.json").exists, 60, "its end")
    project.lab.wait_until(lambda: " PD " in project.lab.run(["squeue", "-r"]), 60, "the element in the queue")
    outcomes = project.json("status", "packed", expect=0)["outcomes"]
    assert (outcomes["pending"], outcomes["finished"], outcomes["failed"]) == (2, 2, 1)
    project.lab.run(["scontrol", "update", f"JobId={job}_0", "StartTime=now"])
    project.lab.wait_idle(60, "packed")
    project.json("collect", "packed", expect=1)
    ends = {
        run: [each["verdict"]["category"] for each in task["attempts"]]
        for run, task in project.verdicts("packed").items()
    }
    assert ends == {
        "X1": ["success"], "X2": ["code_bug"], "X3": ["timeout", "success"], "X4": ["preempted", "success"],
        "X5": ["success"],
    }  # fmt: skip
