"""The shipped experiments of our programs, planned: how many runs, by which names, with arguments the program takes."""

from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hpc.core.experiment.grid import expand
from hpc.core.experiment.placeholders import RUN
from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.launch.program import command_argv, command_experiments
from hpc.experiments.schema import load_experiment
from tests.hpc.experiments.test_language_models import BOTH as OF_LANGUAGE_MODELS

EXPERIMENTS = Path(__file__).parents[2] / "manifests/experiments"
SYMMETRY = {
    "phase_diagram": 90,
    "phase_diagram_small": 12,
    "ablations": 4,
    "ablations_small": 15,
    "ablations_paper": 12,
    "inverse_task": 3,
    "inverse_task_small": 12,
    "inverse_task_paper": 15,
}
CONTROL = {
    "lora_sweep": 36,
    "lora_sweep_small": 12,
    "cross_system": 30,
    "cross_system_small": 18,
    "training_ablation": 9,
    "training_ablation_small": 9,
    "transfer_source": 5,
    "transfer_source_small": 3,
    "transfer": 30,
    "transfer_small": 18,
}
COUNTS = {**SYMMETRY, **CONTROL}


def load(name: str) -> ExperimentSpec:
    return load_experiment(EXPERIMENTS / f"{name}.yaml")


@pytest.mark.parametrize(("name", "runs"), COUNTS.items())
def test_every_experiment_plans_its_runs(name: str, runs: int) -> None:
    """As many runs as it says, no two of one name; the program takes every argument of each."""
    spec = load(name)
    tasks = expand(spec)
    assert len({task.run_name for task in tasks}) == len(tasks) == runs
    for task in tasks:
        given = {**spec.program.args, **task.parameters, "seed": task.seed}
        if spec.batch:
            given[spec.batch.parameter] = spec.batch.micro
        args = read(spec, given)
        assert {key: getattr(args, key) for key in given} == given


def test_no_shipped_experiment_is_without_its_count() -> None:
    """Of every file it is asserted how many runs it plans, here or with the language models."""
    assert len(expand(load("demo"))) == 6
    shipped = {path.stem for path in EXPERIMENTS.glob("*.yaml")}
    assert shipped == {"demo", *COUNTS, *dict(OF_LANGUAGE_MODELS)}


WITHOUT_LADDER = {"transfer", "transfer_small"}
"""docs/site-limits.md says why."""


@pytest.mark.parametrize("name", COUNTS)
def test_the_words_of_the_ladder_are_the_programs(name: str) -> None:
    """What the canary is given besides its arguments, the program knows."""
    spec = load(name)
    assert (spec.sanity is None) == (name in WITHOUT_LADDER)
    if spec.sanity:
        parser: ArgumentParser = import_module(spec.program.module or "").parser()
        assert parser.parse_args(spec.sanity.words.split()).sanity


def read(spec: ExperimentSpec, given: dict[str, Any]) -> Namespace:
    """The arguments, as the program reads them from its command line."""
    if spec.program.command is None:
        program, words = spec.program.module, [word for key in given for word in (f"--{key}", str(given[key]))]
    else:
        sources = {name: f"/runs/{name}" for name in command_experiments(spec.program.command)}
        _, _, program, *words = command_argv(spec.program.command, {**given, RUN: sources})
    parser: ArgumentParser = import_module(program or "").parser()
    return parser.parse_args(words)


@pytest.mark.parametrize("name", [name for name in COUNTS if not name.startswith("transfer_source")])
def test_every_experiment_says_what_would_answer_it(name: str) -> None:
    """Question, hypothesis, threshold and rule, and what happens otherwise; a baseline to compare with."""
    spec = load(name)
    assert all(spec.brief.get(key) for key in ("goal", "hypothesis", "success", "criterion", "if_wrong"))
    assert spec.baseline
    assert spec.metrics.primary.goal == ("max" if name in SYMMETRY else "min")


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
