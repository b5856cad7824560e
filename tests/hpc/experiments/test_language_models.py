"""The experiments of `train.lm` that are shipped: how many runs each is, and that they read what the program prints."""

import shutil

import pytest

from hpc.core.experiment.metric_source import match_line, parse_source
from hpc.experiments.schema import load_experiment
from tests.local_projects import REPO, LocalProject, make_project

EXPERIMENTS = REPO / "manifests/experiments"
RUNS = {
    "baseline_variance_1M": 5,
    "comparison_1M": 3,
    "depth_d12_d24": 6,
}
BOTH = [(f"{name}{size}", runs) for name, runs in RUNS.items() for size in ("", "_small")] + [
    ("weight_decay_1M_small", 3)
]
PRINTED = (
    "Step 489 | val_loss: 0.7659 | train_loss: 0.8147 | lr: 1.1e-07 | grad_norm: 0.9 | tokens_per_second: 5.2e+04"
    " | tokens: 1000000 | peak_memory_mib: 339.6"
)
"""As the program says it of a text whose source nobody knows; tests/train/test_lm.py holds it against the patterns."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project with these experiments."""
    project = make_project(tmp_path_factory.mktemp("lm") / "project")
    for path in EXPERIMENTS.glob("*_1M*.yaml"):
        shutil.copy(path, project.folder / "manifests/experiments")
    for path in EXPERIMENTS.glob("depth_*.yaml"):
        shutil.copy(path, project.folder / "manifests/experiments")
    return project


@pytest.mark.parametrize(("name", "runs"), BOTH)
def test_it_is_planned_as_so_many_runs(project: LocalProject, name: str, runs: int) -> None:
    """One task a configuration and seed, each with a command line whose placeholders are filled."""
    little = ("--set", "resources.disk=1MB", "--set", "resources.for=[]")  # where the tests run there may be no more
    planned = project.json("plan", name, "--cluster", "local", *little)
    assert (planned["tasks"], planned["objections"]) == (runs, [])


@pytest.mark.parametrize("name", [name for name, _ in BOTH])
def test_it_reads_what_the_program_prints(name: str) -> None:
    """Every declared metric, from the last line as from the first; of others' lines nothing."""
    spec = load_experiment(EXPERIMENTS / f"{name}.yaml")
    source = parse_source(spec.raw["metrics"]["source"])
    reading = match_line(source, PRINTED)
    assert reading is not None
    assert (reading.step, reading.ignored) == (489, ())
    measured_by_us = {"wall_time"}
    declared = {spec.metrics.primary.name, *(each.name for each in spec.metrics.secondary)}
    assert declared - measured_by_us <= reading.values.keys()
    first = match_line(source, "Step 0 | val_loss: 5.5311 | tokens: 0 | peak_memory_mib: 312.7 | floor: 0.3591")
    assert first is not None
    assert first.values == {"val_loss": 5.5311, "tokens": 0, "peak_memory_mib": 312.7, "floor": 0.3591}
    assert match_line(source, "sample: 'Step 9 | val_loss: 1'") is None


@pytest.mark.parametrize("size", ["", "_small"])
def test_the_candidate_differs_from_its_baseline_in_what_it_sweeps(size: str) -> None:
    """The command is the same text, and the arguments are without the schedule, which the baseline has as cosine."""
    base, candidate = (
        load_experiment(EXPERIMENTS / f"{name}_1M{size}.yaml") for name in ("baseline_variance", "comparison")
    )
    assert candidate.raw["analysis"]["baseline_from"] == base.name
    assert candidate.program.command == base.program.command
    assert {**candidate.program.args, "schedule": "cosine"} == base.program.args
    sweep = candidate.sweep
    assert (sweep.grid, sweep.seeds, sweep.further_seeds) == ({"schedule": ("trapezoid",)}, (42, 137, 256), (512, 1024))
    assert base.sweep.seeds == (*sweep.seeds, *sweep.further_seeds)
