"""A repository whose numbers go to wandb alone: init finds them, a run's metrics are what was logged."""

from pathlib import Path

import pytest

from tests.local_projects import make_project

TRAINER = """
import wandb

class Trainer:
    def fit(self, lr):
        run = wandb.init(project="thesis")
        for step in range(3):
            run.log({"train/loss": 9.0, "val/acc": lr * step}, step=10 * step)
        run.finish()
"""
PROGRAM = """
import argparse
from trainer import Trainer
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.5)
parser.add_argument("--seed", type=int, default=0)
if __name__ == "__main__":
    Trainer().fit(parser.parse_args().lr)
"""
EXPERIMENT = """
name: tiny
type: comparison
program: {command: "python3 program.py --lr {lr} --seed {seed}"}
sweep: {grid: {lr: [0.25]}, seeds: [1]}
metrics: {primary: {name: val/acc, goal: max}, source: {wandb: wandb}}
resources: {cpus: 1, mem: 1GB, time: "0:10:00"}
"""


def test_a_run_has_the_numbers_that_went_to_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the module beside the program to the collected value, with a real wandb, offline."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    project = make_project(tmp_path, EXPERIMENT, PROGRAM)
    (tmp_path / "trainer.py").write_text(TRAINER)
    project.hpc("init", "program.py", "--yes")
    written = (tmp_path / "manifests/experiments/first_sweep.yaml").read_text()
    assert "primary: {name: 'val/acc', goal: max}\n  source: {wandb: 'wandb'}" in written

    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")
    ((name, told),) = project.verdicts().items()
    assert (name, told["outcome"], told["summary"]["val/acc"]) == ("lr0.25_S1", "finished", 0.5)


def test_without_wandb_there_is_nothing_to_read(tmp_path: Path) -> None:
    """`tracking: {wandb: off}` beside it is refused, at its line."""
    project = make_project(tmp_path, EXPERIMENT + "tracking: {wandb: off}\n", PROGRAM)
    done = project.hpc("plan", "tiny", "--cluster", "local", expect=2)
    assert "metrics.source.wandb: finds nothing, as tracking.wandb is off" in done
