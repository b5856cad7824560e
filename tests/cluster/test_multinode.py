"""Several nodes: the same mathematics under every launch in a real image, and each node's own end is the task's."""

import json

import numpy as np
import pytest

from hpc.metrics import read
from tests.cluster.conftest import Project

TOLERANCE = 2e-5
"""Largest difference of any step's loss, relative; fp32 sums in another order differ by about 1e-6 after 30 steps."""

EXPERIMENT = """
name: {name}
type: comparison
program:
  module: train.control
  args: {{system: double_integrator, training_type: sft, epochs: 1, demonstrations: 512}}
sweep:
  grid: {{lora_rank: [4]}}
  seeds: [42]
metrics:
  primary: {{name: final_error, goal: min}}
run_name: "R{{lora_rank}}_S{{seed}}"
resources: {{cpus: 2, mem: 3GB, time: "0:05:00", nodes: {nodes}}}
launch: {launch}
batch: {{global: 32, micro: {micro}, parameter: micro_batch_size}}
container: {{image: train-cpu}}
"""

LAUNCHES = {
    "one": (1, "{kind: plain}", 32),
    "accumulated": (1, "{kind: accelerate}", 8),
    "two_by_two": (2, "{kind: accelerate, processes: 2}", 8),
    "torchrun": (2, "{kind: torchrun, processes: 1}", 16),
    "zero2": (1, "{kind: accelerate, processes: 2, deepspeed: {zero_stage: 2}}", 16),
    "deepspeed": (1, "{kind: deepspeed, processes: 2, deepspeed: {zero_stage: 1}}", 16),
}


@pytest.mark.cluster
@pytest.mark.train
def test_every_launch_trains_the_same_model(project: Project) -> None:
    """Loss curves over nodes, processes, accumulation and ZeRO equal those of one process with that global batch."""
    for name, (nodes, launch, micro) in LAUNCHES.items():
        project.write_experiment(name, EXPERIMENT.format(name=name, nodes=nodes, launch=launch, micro=micro))
        project.hpc("plan", name)
        project.hpc("submit", name)
    project.lab.wait_idle(420)

    curves = {}
    for name, (nodes, _, _) in LAUNCHES.items():
        attempt = project.runs / name / "tasks/R4_S42/attempt-1"
        told = "\n".join(path.read_text()[-2000:] for path in attempt.glob("std*.log"))
        ended = json.loads((attempt / "exit.json").read_text())
        assert ended["exit_code"] == 0, f"{name}: {ended['exit_code']}\n{told}"
        assert (attempt / "node-1.json").exists() == (nodes == 2), name
        curves[name] = read(attempt / "metrics.h5")["loss"].value
    reference = curves["one"]
    assert len(reference) >= 10
    assert reference[-1] < reference[0]
    for name, curve in curves.items():
        assert len(curve) == len(reference), name
        worst = float(np.max(np.abs(curve - reference) / np.abs(reference)))
        assert worst < TOLERANCE, f"{name}: {worst:.2e}"


APART = """
import os, signal, sys, time
from pathlib import Path
attempt, node = Path(os.environ["HPC_ATTEMPT_DIR"]), os.environ["SLURM_NODEID"]
print("loss 0.5", flush=True)
if sys.argv[1] == "saves" and os.environ["HPC_ATTEMPT"] == "1":
    if node == "1":  # the last to write its part of a checkpoint
        time.sleep(3)
        (attempt / "checkpoints/step-00000005").mkdir()
    sys.exit(85)
if sys.argv[1] == "fails":
    sys.exit(7) if node == "1" else time.sleep(100)
if sys.argv[1] == "crashes":
    os.kill(os.getpid(), signal.SIGSEGV) if node == "1" else time.sleep(100)
"""
ENDS = """
name: apart
type: comparison
program: {command: "python3 apart.py {what}"}
sweep: {grid: {what: [saves, fails, crashes]}, seeds: [1]}
metrics: {primary: {name: loss}, source: {stdout: 'loss (?P<loss>\\S+)'}}
run_name: "{what}"
resources: {cpus: 2, nodes: 2, mem: 300MB, time: "0:02:00"}
launch: {processes: 1}
retry: {max_attempts: 1}
"""


@pytest.mark.cluster
def test_one_node_ends_before_the_other(project: Project) -> None:
    """The first node with its checkpoint does not end the other's writing; a failing one is not hidden by 143."""
    (project.folder / "apart.py").write_text(APART)
    project.write_experiment("apart", ENDS)
    project.hpc("plan", "apart")
    project.hpc("submit", "apart")
    tasks = project.runs / "apart/tasks"
    project.lab.wait_until((tasks / "saves/attempt-2/exit.json").exists, 120, "the attempt after the checkpoint")
    project.lab.wait_idle(job_name="apart")
    ended = {path.parts[-3] + path.parts[-2][-2:]: json.loads(path.read_text()) for path in tasks.glob("*/*/exit.json")}
    assert {name: (end["exit_code"], end["signal"]) for name, end in ended.items()} == {
        "saves-1": (85, None), "saves-2": (0, None), "fails-1": (7, None), "crashes-1": (None, 11),
    }  # fmt: skip
    assert (tasks / "saves/attempt-1/checkpoints/step-00000005").is_dir()
