"""A run over two nodes that hangs, under a real Slurm: both nodes are asked, and it goes on in its allocation."""

import json

import pytest

from tests.cluster.conftest import REPO, Project

PROGRAM = """
import os, socket, sys, time
from pathlib import Path
sys.path.insert(0, "{repo}")
from hpc.callbacks.stacks import answer_where_it_stands
answer_where_it_stands()
home = Path(os.environ["HPC_ATTEMPT_DIR"])

def barrier():
    one, _other = socket.socketpair()
    one.recv(1)

def load_shard():
    time.sleep(300)

if os.environ["HPC_RESUME_FROM"]:
    print("loss: 0.5", flush=True)
    sys.exit(0)
Path(home, "checkpoints/step-00000001").mkdir(parents=True, exist_ok=True)
load_shard() if os.environ["RANK"] == "3" else barrier()
"""
EXPERIMENT = """
name: hanging
type: comparison
program: {command: "python3 program.py {x}"}
sweep: {grid: {x: [1]}, seeds: [1]}
metrics: {primary: {name: loss, goal: min}, source: {stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "X{x}"
watch: {silent: 20s, act: resume}
launch: {kind: torchrun, processes: 2}
resources: {nodes: 2, cpus: 2, mem: 500MB, time: "0:08:00"}
"""


@pytest.mark.cluster
def test_a_run_over_two_nodes_that_hangs_goes_on_in_its_allocation(project: Project) -> None:
    """Rank 3 stands elsewhere, on the second node; the next attempt has the same job, and finishes."""
    (project.folder / "program.py").write_text(PROGRAM.replace("{repo}", str(REPO)))
    project.write_experiment("hanging", EXPERIMENT)
    project.hpc("plan", "hanging")
    project.hpc("submit", "hanging")
    project.lab.wait_idle(240, "hanging")

    first, second = (project.runs / f"hanging/tasks/X1/attempt-{number}" for number in (1, 2))
    [alarm] = json.loads((first / "watch.json").read_text())["alarms"]
    assert alarm["odd"][0].startswith("rank 3 on ")
    assert "rank 3 on " in alarm["says"]
    assert "is in load_shard (program.py:" in alarm["says"]
    assert "3 others wait in barrier (program.py:" in alarm["says"]
    jobs = {json.loads((each / "task.json").read_text())["job"] for each in (first, second)}
    assert len(jobs) == 1
    assert json.loads((second / "exit.json").read_text())["exit_code"] == 0

    project.hpc("collect", "hanging")
    verdicts = [each["verdict"] for each in project.verdicts("hanging")["X1"]["attempts"]]
    assert [(each["category"], each["cause"]) for each in verdicts] == [("timeout", "hang"), ("success", "")]
