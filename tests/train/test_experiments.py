"""The shipped experiments of our programs, planned: how many runs, by which names, with arguments the program takes."""

from importlib import import_module
from pathlib import Path

import pytest

from hpc.core.experiment.grid import expand
from hpc.core.experiment.spec import ExperimentSpec
from hpc.experiments.schema import load_experiment

EXPERIMENTS = Path(__file__).parents[2] / "manifests/experiments"
COUNTS = {
    "phase_diagram": 90,
    "phase_diagram_small": 12,
    "ablations": 4,
    "ablations_small": 15,
    "ablations_paper": 12,
    "inverse_task": 3,
    "inverse_task_small": 12,
    "inverse_task_paper": 15,
}


def load(name: str) -> ExperimentSpec:
    return load_experiment(EXPERIMENTS / f"{name}.yaml")


@pytest.mark.parametrize(("name", "runs"), COUNTS.items())
def test_every_experiment_plans_its_runs(name: str, runs: int) -> None:
    """As many runs as it says, no two of one name; the program takes every argument of each."""
    spec = load(name)
    tasks = expand(spec)
    assert len({task.run_name for task in tasks}) == len(tasks) == runs
    parser = import_module(spec.program.module or "").parser()
    for task in tasks:
        given = {**spec.program.args, **task.parameters, "seed": task.seed}
        if spec.batch:
            given[spec.batch.parameter] = spec.batch.micro
        args = parser.parse_args([word for key, value in given.items() for word in (f"--{key}", str(value))])
        assert {key: getattr(args, key) for key in given} == given


@pytest.mark.parametrize("name", COUNTS)
def test_every_experiment_says_what_would_answer_it(name: str) -> None:
    """Question, hypothesis, threshold and rule, and what happens otherwise; a baseline to compare with."""
    spec = load(name)
    assert all(spec.brief.get(key) for key in ("goal", "hypothesis", "success", "criterion", "if_wrong"))
    assert spec.baseline
    assert spec.metrics.primary.goal == "max"


def test_names_are_those_that_were_asked_for() -> None:
    """Folders of results are called as the people who asked call them."""
    names = {name: [task.run_name for task in expand(load(name))] for name in COUNTS}
    assert names["phase_diagram"][:3] == ["L2_G0.5_S42", "L2_G0.5_S123", "L2_G0.5_S456"]
    assert names["phase_diagram"][-1] == "L6_G1.0_S456"
    assert names["ablations"] == ["standard", "ones_conv", "pos_encoding", "transformer_with_conv"]
    assert names["inverse_task"] == ["mamba", "transformer", "mamba_residual"]


def test_the_phase_diagram_is_trained_as_it_was_asked_for() -> None:
    """210 epochs of batches of 32 at 1e-3, measured every 10 and saved every 50, and wandb always."""
    spec = load("phase_diagram")
    asked = {"epochs": 210, "learning_rate": 1e-3, "log_every_epochs": 10, "save_every_epochs": 50, "samples": 300_000}
    assert asked.items() <= spec.program.args.items()
    assert spec.batch
    assert spec.batch.global_size == 32
    assert all(load(name).wandb for name in COUNTS if not name.endswith("_small"))
