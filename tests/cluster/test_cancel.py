"""`hpc.cancel` on real Slurm: what waits, what runs and the unattended loop end, and nothing comes back."""

import pytest

from hpc.adapters.ledger import read_json_lines
from tests.cluster.conftest import Project
from tests.cluster.test_following import LAB

SLEEPS = """
name: nap
type: comparison
program: {command: "sleep {seconds}"}
sweep: {grid: {seconds: [300, 301, 302, 303]}, seeds: [1]}
metrics: {primary: {name: wall_time}}
run_name: "S{seconds}"
resources: {cpus: 1, mem: 200MB, time: "0:05:00"}
"""


@pytest.mark.cluster
def test_cancelled_elements_and_relays_are_gone_for_good(project: Project) -> None:
    """One task that runs, then all: Slurm's queue is empty, every task is cancelled, and no retry is planned."""
    (project.folder / "manifests/clusters/lab.yaml").write_text(LAB + "max_parallel: 2\n")
    project.write_experiment("nap", SLEEPS)
    project.hpc("plan", "nap")
    project.hpc("submit", "nap", "--follow")
    project.lab.wait_until((project.runs / "nap/tasks/S300/attempt-1/task.json").exists, 60, "the first task")
    assert project.json("cancel", "nap", "S300", expect=0)["cancelled"] == ["S300"]
    exit_json = project.runs / "nap/tasks/S300/attempt-1/exit.json"
    project.lab.wait_until(exit_json.exists, 60, "its end")
    answer = project.json("cancel", "nap", expect=0)
    assert answer["was_followed"]
    assert set(answer["cancelled"]) >= {"S302", "S303"}
    project.lab.wait_until(lambda: not project.lab.run(["squeue", "-h"]).strip(), 90, "an empty queue")
    answer = project.json("collect", "nap", "--retry-failed", expect=1)
    assert (answer["failures"], answer["jobs"], answer["retry"]) == ({"cancelled": 4}, {}, [])
    assert "cancelled" in [line["event"] for line in read_json_lines(project.runs / "nap/follow.jsonl")]
    assert "somebody cancelled it" in project.hpc("status", "nap")
    project.hpc("cancel", "nap", expect=3)
