"""Two nodes with two processes each, and DeepSpeed ZeRO-2, as array tasks in a real image: the same mathematics."""

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
