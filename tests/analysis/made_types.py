"""One collected experiment of each type, with the troubles real ones have: runs that failed or are missing."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.analysis.made_experiments import (
    BRIEF,
    Experiment,
    add_curve,
    make_attempt,
    make_finished,
    make_judged,
    make_realistic,
    make_spec,
    make_task,
    make_verdict,
)

SEEDS = (42, 137, 256, 512, 1024)
Cells = Sequence[tuple[Mapping[str, Any], str | None]]


def make_cells(
    root: Path,
    spec: Mapping[str, Any],
    cells: Cells,
    seeds: Sequence[int],
    metric: str,
    level: Callable[[Mapping[str, Any], str | None], float],
    *,
    spread: float = 0.02,
    troubles: Mapping[int, str] | None = None,
) -> Experiment:
    """Make tasks of every cell and seed around its level; some rows fail with a class, or were never started ('')."""
    tasks = [
        make_task(parameters, seed, "_".join([case or "", *(f"{key}{value}" for key, value in parameters.items()),
                                              f"S{seed}"]).strip("_"), case)
        for parameters, case in cells for seed in seeds
    ]  # fmt: skip
    experiment = Experiment(root, tasks, spec)
    rng = np.random.default_rng(11)
    by_seed = {seed: rng.normal() for seed in seeds}
    for row, task in enumerate(tasks):
        mean = level(task["parameters"], task["case"])
        value = mean * (1 + spread * (0.6 * by_seed[task["seed"]] + 0.8 * rng.normal()))
        failed = (troubles or {}).get(row)
        if failed is None:
            experiment.judged.append(make_finished(experiment, task, {metric: float(value)}))
            add_curve(experiment, row, float(value))
        elif failed:
            verdict = make_verdict(failed, f"{failed}: line of the log that says so")
            experiment.judged.append(make_judged(task, "failed", [make_attempt(task, 1, verdict)]))
        else:
            experiment.judged.append(make_judged(task, "planned", []))
    return experiment


def _spec(name: str, kind: str, metric: str, **changed: Any) -> dict[str, Any]:
    metrics = {"primary": {"name": metric, "goal": "min", "meaningful": "5%"}, "secondary": []}
    spec = make_spec(name, type=kind, metrics=metrics, run_name="{seed}", **changed)
    return {key: value for key, value in spec.items() if value is not None}


def make_phase(root: Path) -> Experiment:
    """Depth × initialisation: where weights start large, deep networks diverge."""
    cells = [({"layers": layers, "gamma": gamma}, None)
             for layers, gamma in product((2, 3, 4, 5, 6), (0.2, 0.35, 0.5, 0.65, 0.8))]  # fmt: skip
    lost = {3 * place + seed: "divergence" for place, (cell, _) in enumerate(cells) for seed in range(3)
            if cell["layers"] * (0.5 - cell["gamma"]) > 0.55 + 0.1 * seed}  # fmt: skip
    spec = _spec(
        "phase", "phase_diagram", "val_loss", baseline=None,
        brief={"goal": "From which initialisation on does a network of a given depth learn?", "stage": "exploratory"},
        sweep={"grid": {"layers": [2, 3, 4, 5, 6], "gamma": [0.2, 0.35, 0.5, 0.65, 0.8]}, "seeds": [42, 123, 456]},
    )  # fmt: skip
    return make_cells(root, spec, cells, (42, 123, 456), "val_loss", troubles={**lost, 74: ""},
                 level=lambda one, _: 0.1 + abs(one["gamma"] - 0.5) + 0.02 * one["layers"])  # fmt: skip


def make_comparison(root: Path) -> Experiment:
    """One change against a baseline over shared seeds, with a criterion; one run of the change ran out of memory."""
    spec = _spec(
        "rotary", "comparison", "val_loss", baseline={"id": "baseline"},
        brief={**BRIEF, "hypothesis": "Rotary embeddings lower val_loss by at least a twentieth.",
               "criterion": "relative_change(val_loss, case=rotary versus case=baseline) <= -5% and adjusted_p < 0.05"},
        sweep={"cases": [{"id": "baseline"}, {"id": "rotary"}], "seeds": list(SEEDS)},
    )  # fmt: skip
    cells = [({"rotary": False}, "baseline"), ({"rotary": True}, "rotary")]
    return make_cells(root, spec, cells, SEEDS, "val_loss", lambda _, case: 2.7 if case == "rotary" else 3.1,
                 troubles={9: "oom_gpu"})  # fmt: skip


def make_ablation(root: Path) -> Experiment:
    """Five parts left out one at a time; one of them loses every run."""
    names = ("full", "no_momentum", "no_normalisation", "no_dropout", "no_warmup", "no_clipping")
    levels = dict(zip(names, (1.0, 1.45, 1.22, 1.01, 1.05, 1.9), strict=True))
    spec = _spec(
        "ablation", "training_ablation", "val_loss", baseline={"id": "full"},
        sweep={"cases": [{"id": name} for name in names], "seeds": list(SEEDS)},
        brief={**BRIEF, "hypothesis": "Every part of the training is needed.", "criterion": None},
    )  # fmt: skip
    spec["brief"] = {key: value for key, value in spec["brief"].items() if value}
    cells = [({"part": name}, name) for name in names]
    troubles = {**dict.fromkeys(range(25, 30), "divergence"), 12: "node_failure", 21: ""}
    return make_cells(root, spec, cells, SEEDS, "val_loss", lambda one, _: levels[one["part"]], troubles=troubles)


def make_systems(root: Path) -> Experiment:
    """Four methods on five systems of unlike scales, compared with one of them on each."""
    systems = {"pendulum": 1.0, "cartpole": 30.0, "quadrotor": 0.02, "vanderpol": 400.0, "acrobot": 7.0}
    methods = {"lqr": 1.0, "mlp": 0.93, "lora": 0.8, "full": 0.84}
    cells = [({"system": system, "method": method}, None) for system, method in product(systems, methods)]
    spec = _spec(
        "systems", "cross_system", "final_error", baseline={"method": "lqr"},
        brief={"goal": "Which method controls all systems best?", "stage": "exploratory"},
        sweep={"grid": {"system": list(systems), "method": list(methods)}, "seeds": list(SEEDS)},
    )  # fmt: skip
    return make_cells(root, spec, cells, SEEDS, "final_error",
                 lambda one, _: systems[one["system"]] * methods[one["method"]], spread=0.06,
                 troubles={13: "divergence", 37: "oom_gpu", 38: "oom_gpu", 99: ""})  # fmt: skip


def make_transfer(root: Path) -> Experiment:
    """A model pretrained on one system and tuned on another, against training from scratch."""
    sources = ("scratch", "pendulum", "cartpole")
    levels = dict(zip(sources, (1.0, 0.99, 0.7), strict=True))
    spec = _spec(
        "transfer", "transfer_learning", "final_error", baseline={"source": "scratch"},
        sweep={"grid": {"source": list(sources)}, "seeds": list(SEEDS)},
        brief={"goal": "Does pretraining carry over?", "stage": "exploratory"},
    )  # fmt: skip
    return make_cells(root, spec, [({"source": source}, None) for source in sources], SEEDS, "final_error",
                 lambda one, _: levels[one["source"]], spread=0.08, troubles={14: "timeout"})  # fmt: skip


def make_variance(root: Path) -> Experiment:
    """Ten seeds of one configuration, one of which diverged."""
    seeds = (*SEEDS, 2048, 4096, 8192, 31, 77)
    spec = _spec(
        "baseline_1M", "baseline_variance", "val_loss", baseline=None,
        brief={"goal": "How far do runs lie apart that differ in the seed alone?", "stage": "exploratory"},
        sweep={"seeds": list(seeds)},
    )  # fmt: skip
    return make_cells(root, spec, [({}, None)], seeds, "val_loss", lambda *_: 3.28, spread=0.01,
                 troubles={6: "divergence"})  # fmt: skip


TYPES: Mapping[str, Callable[[Path], Experiment]] = {
    "hyperparameter_sweep": make_realistic,
    "phase_diagram": make_phase,
    "comparison": make_comparison,
    "training_ablation": make_ablation,
    "cross_system": make_systems,
    "transfer_learning": make_transfer,
    "baseline_variance": make_variance,
}
"""Type of experiment → one of it."""
