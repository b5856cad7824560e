"""Builds collected experiments the way `hpc.collect` leaves them, so that the report is tested on whole folders."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpc.adapters.manifest_store import manifest_sha
from hpc.core.identity import task_id
from hpc.core.layout import RunLayout

CREATED = 1_790_000_000.0
COLLECTED = CREATED + 7200.0
PROGRAM = {"module": "train.control", "args": {"system": "double_integrator", "epochs": 3}}
BRIEF = {
    "goal": "Which LoRA rank controls the double integrator best?",
    "hypothesis": "Rank 16 lowers final_error against rank 8.",
    "success": "final_error at rank 16 at least 5 % below rank 8, adjusted p < 0.05",
    "if_wrong": "Keep rank 8, it is the cheapest.",
    "stage": "confirmatory",
}


class Experiment:
    """An experiment's folder in memory: change what you like, then `write` it."""

    def __init__(self, root: Path, tasks: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]) -> None:
        self.layout = RunLayout(root, str(spec["name"]))
        self.spec = dict(spec)
        self.asked = [dict(task) for task in tasks]
        self.judged: list[dict[str, Any]] = []
        self.series: dict[str, list[tuple[int, int, int, float, float]]] = {}
        self.row_order: list[int] | None = None
        self.records_what_ran = True
        self.provenance: dict[str, Any] = {
            "created": CREATED,
            "git": {"commit": "0f5e1a7c2b" * 4, "dirty": True, "diff_sha256": "d" * 64},
            "code": {"path": "code/ab12", "sha256": "ab12" * 16},
            "image": {"name": "train", "path": "/images/train.sif", "sha256": "c0ffee00" * 8},
            "packages": {"torch": "2.13.0", "accelerate": "1.15.0", "h5py": "3.16.0"},
            "python": "3.11.7",
        }

    def manifest(self) -> dict[str, Any]:
        """The manifest's content; its hash is that of everything else in it."""
        content = {
            "kind": "manifest",
            "schema": 1,
            "experiment": self.layout.experiment,
            "spec": self.spec,
            "tasks": self.asked,
            "provenance": self.provenance,
            "cluster": {"name": "lab", "scheduler": "slurm", "partition": "main"},
        }
        return {**content, "sha256": manifest_sha(content)}

    def write(self) -> RunLayout:
        """Write manifest.json, verdicts.json and results.h5."""
        manifest = self.manifest()
        self.layout.collected.mkdir(parents=True, exist_ok=True)
        self.layout.manifest.write_text(json.dumps(manifest), encoding="utf-8")
        judged = [
            {**task, "attempts": [{**self._ran(manifest["sha256"]), **one} for one in task["attempts"]]}
            for task in self.judged
        ]
        verdicts = {
            "schema": 1,
            "experiment": self.layout.experiment,
            "manifest_sha": manifest["sha256"],
            "collected": COLLECTED,
            "tasks": judged,
        }
        self.layout.verdicts.write_text(json.dumps(verdicts), encoding="utf-8")
        self._write_results(manifest["sha256"])
        return self.layout

    def _ran(self, manifest_sha: str) -> dict[str, Any]:
        """What an attempt ran where nothing else is said: what the manifest names."""
        if not self.records_what_ran:
            return {}
        return {
            "manifest_sha": manifest_sha,
            "code_sha256": self.provenance["code"]["sha256"],
            "image_sha256": self.provenance["image"]["sha256"],
            "launch": {"kind": "accelerate", "processes": 2, "mixed_precision": "no", "zero_stage": None},
        }

    def _write_results(self, manifest_sha: str) -> None:
        rows = [self.judged[row] for row in (self.row_order or range(len(self.judged)))]
        text = h5py.string_dtype("utf-8")
        with h5py.File(self.layout.results, "w") as file:
            file.attrs.update(
                {
                    "schema": 1,
                    "experiment": self.layout.experiment,
                    "manifest_sha": manifest_sha,
                    "collected": COLLECTED,
                }
            )
            for name in ("task_id", "run_name", "outcome", "failure_class"):
                file.create_dataset(f"tasks/{name}", data=[row[name] or "" for row in rows], dtype=text)
            file["tasks/attempts"] = np.array([len(row["attempts"]) for row in rows], dtype=np.int64)
            file["tasks/altered"] = np.array([row["altered"] for row in rows], dtype=bool)
            for metric in sorted({name for row in rows for name in row["summary"]}):
                values = [row["summary"].get(metric) for row in rows]
                data = np.array([np.nan if value is None else value for value in values])
                file.create_dataset(f"summary/{metric.replace('/', '.')}", data=data).attrs["name"] = metric
            for metric, points in self.series.items():
                group = file.create_group(f"series/{metric.replace('/', '.')}")
                group.attrs["name"] = metric
                columns = list(zip(*sorted(points), strict=True))
                for name, column in zip(("task", "attempt", "step", "value", "time"), columns, strict=True):
                    group[name] = np.array(column, dtype=np.float64 if name in ("value", "time") else np.int64)


def make_task(parameters: Mapping[str, Any], seed: int, run_name: str, case: str | None = None) -> dict[str, Any]:
    """One task as the manifest names it."""
    identity = task_id(PROGRAM, {**parameters, "seed": seed})
    return {"task_id": identity, "run_name": run_name, "parameters": dict(parameters), "seed": seed, "case": case}


def make_verdict(
    category: str, text: str = "", rule: str = "", cause: str = "", source: str = "stderr"
) -> dict[str, Any]:
    """A verdict with one evidence line."""
    return {
        "category": category,
        "cause": cause,
        "rule": rule or f"{category}_rule",
        "confidence": 0.95,
        "summary": f"the attempt ended as {category}",
        "suggestion": "",
        "evidence": [{"source": source, "line": 41, "text": text}] if text else [],
    }


def make_attempt(
    task: Mapping[str, Any], number: int, verdict: Mapping[str, Any] | None, micro: int = 16, **changed: Any
) -> dict[str, Any]:
    """One attempt as verdicts.json holds it; `micro` sets the accumulation so that the global batch stays 64."""
    start = CREATED + 600.0 * number
    elapsed = 300.0 + 40.0 * number
    return {
        "attempt": number,
        "submission": number,
        "job": f"12_{task['seed']}",
        "state": None if verdict is None else ("COMPLETED" if verdict["category"] == "success" else "FAILED"),
        "exit_code": None if verdict is None else int(verdict["category"] != "success"),
        "signal": None,
        "started": start,
        "ended": None if verdict is None else start + elapsed,
        "elapsed_s": elapsed,
        "gpus": 1,
        "gpu_seconds": elapsed,
        "micro_batch": micro,
        "accumulation": 64 // micro,
        "global_batch": 64,
        "memory_mib": 4096,
        "time_s": 3600,
        "peak_memory_mib": 700.0 + 10 * number,
        "node": "n1",
        "directory": f"tasks/{task['run_name']}/attempt-{number}",
        "changes": [],
        "verdict": verdict,
        **changed,
    }


def make_judged(
    task: Mapping[str, Any], outcome: str, attempts: Sequence[Mapping[str, Any]], **changed: Any
) -> dict[str, Any]:
    """One task as verdicts.json holds it."""
    last = attempts[-1]["verdict"] if attempts else None
    return {
        **task,
        "outcome": outcome,
        "failure_class": last["category"] if outcome == "failed" and last else None,
        "altered": False,
        "changes": [],
        "summary": {},
        "attempts": list(attempts),
        "decision": {"action": "none", "reason": ""},
        **changed,
    }


def make_spec(name: str = "lora_sweep", **changed: Any) -> dict[str, Any]:
    """The usual example of an experiment, as the manifest keeps it."""
    return {
        "name": name,
        "type": "hyperparameter_sweep",
        "brief": BRIEF,
        "program": PROGRAM,
        "sweep": {"grid": {"lora_rank": [4, 8, 16], "learning_rate": [1e-4, 2e-4]}, "seeds": [42, 137, 256]},
        "baseline": {"lora_rank": 8, "learning_rate": 2e-4},
        "metrics": {
            "primary": {"name": "final_error", "goal": "min", "meaningful": "5%"},
            "secondary": [{"name": "control_cost", "goal": "min"}, {"name": "training_time", "goal": "min"}],
        },
        "run_name": "R{lora_rank}_LR{learning_rate}_S{seed}",
        "resources": {"gpus": 1, "cpus": 4, "mem": "32GB", "time": "24:00:00", "nodes": 1},
        "launch": {"kind": "accelerate", "processes": 2},
        "batch": {"global": 64, "micro": 16, "parameter": "micro_batch_size"},
        **changed,
    }


def make_finished(experiment: Experiment, task: Mapping[str, Any], summary: Mapping[str, float]) -> dict[str, Any]:
    """A task that finished at its first attempt."""
    return make_judged(task, "finished", [make_attempt(task, 1, make_verdict("success"))], summary=dict(summary))


def make_arms(
    root: Path, arms: Sequence[Mapping[int, float]], goal: str = "min", criterion: str = "all(relative_change <= 0)"
) -> Experiment:
    """Arm 0 is the baseline; a value that is NaN is a run that diverged."""
    spec = make_spec(
        brief={**BRIEF, "criterion": criterion},
        sweep={"grid": {"arm": list(range(len(arms)))}, "seeds": sorted({seed for one in arms for seed in one})},
        baseline={"arm": 0},
        metrics={"primary": {"name": "error", "goal": goal, "meaningful": "5%"}},
    )
    tasks = [make_task({"arm": arm}, seed, f"A{arm}_S{seed}") for arm, runs in enumerate(arms) for seed in runs]
    experiment = Experiment(root, tasks, spec)
    for task in tasks:
        value = arms[task["parameters"]["arm"]][task["seed"]]
        lost = make_judged(task, "failed", [make_attempt(task, 1, make_verdict("divergence", "loss is nan"))])
        experiment.judged.append(make_finished(experiment, task, {"error": value}) if math.isfinite(value) else lost)
    return experiment


def add_curve(
    experiment: Experiment, row: int, level: float, last: int = 120, attempt: int = 1, first: int = 10
) -> None:
    """Write a task's training loss, which falls towards `level` with a little noise of its own."""
    rng = np.random.default_rng(1000 * row + attempt)
    points = experiment.series.setdefault("train/loss", [])
    for step in range(first, last + 1, 10):
        value = level + 2.0 * np.exp(-step / 30) + 0.03 * rng.standard_normal()
        points.append((row, attempt, step, float(value), CREATED + step))


def make_realistic(root: Path, name: str = "lora_sweep") -> Experiment:
    """2×3 configurations × 3 seeds: finished, failed in several classes, healed, altered, running and planned runs."""
    spec = make_spec(name)
    grid = product((4, 8, 16), (1e-4, 2e-4), (42, 137, 256))
    tasks = [make_task({"lora_rank": r, "learning_rate": lr}, s, f"R{r}_LR{lr:g}_S{s}") for r, lr, s in grid]
    experiment = Experiment(root, tasks, spec)
    rng = np.random.default_rng(7)
    for row, task in enumerate(tasks):
        rank, rate = task["parameters"]["lora_rank"], task["parameters"]["learning_rate"]
        level = 0.060 - 0.012 * (rank == 8) - 0.021 * (rank == 16) - 0.004 * (rate == 2e-4)
        summary = {
            "final_error": float(level + 0.0018 * rng.standard_normal()),
            "control_cost": float(3.2 + 0.1 * rng.standard_normal()),
            "training_time": float(310 + 12 * rng.standard_normal()),
        }
        experiment.judged.append(make_finished(experiment, task, summary))
        add_curve(experiment, row, 10 * level)
    _add_troubles(experiment)
    return experiment


def _add_troubles(experiment: Experiment) -> None:
    judged = experiment.judged
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB"
    failed_oom = make_verdict("oom_gpu", oom, "cuda_out_of_memory", "cuda")

    healed = judged[13]
    healed["attempts"] = [
        make_attempt(healed, 1, failed_oom),
        make_attempt(healed, 2, make_verdict("success"), micro=8, changes=["micro_batch 16 → 8: out of memory"]),
    ]
    _replace_curve(experiment, 13, [(1, 10, 50), (2, 10, 120)])

    resumed = judged[3]
    resumed["attempts"] = [
        make_attempt(resumed, 1, make_verdict("timeout", "DUE TO TIME LIMIT", "slurm_timeout", source="scheduler")),
        make_attempt(resumed, 2, make_verdict("success"), time_s=7200),
    ]
    _replace_curve(experiment, 3, [(1, 10, 80), (2, 70, 120)])

    altered = judged[4]
    altered.update(altered=True, changes=["learning_rate 0.0001 → 5e-05: divergence"])
    altered["attempts"] = [
        make_attempt(altered, 1, make_verdict("divergence", "loss is nan at step 40", "nonfinite_loss")),
        make_attempt(altered, 2, make_verdict("success"), changes=["learning_rate 0.0001 → 5e-05"]),
    ]

    diverged = make_verdict(
        "divergence", "FloatingPointError: loss is nan at step 60", "nonfinite_loss", source="stdout"
    )
    _fail(judged[5], [make_attempt(judged[5], 1, diverged)], "declined", "a diverged run is a result")
    _replace_curve(experiment, 5, [(1, 10, 60)])
    experiment.series["train/loss"].append((5, 1, 70, float("nan"), CREATED))

    smaller = [make_attempt(judged[16], number, failed_oom, micro=16 // 2 ** (number - 1)) for number in (1, 2, 3, 4)]
    _fail(judged[16], smaller, "declined", "4 of 4 attempts are used")
    _replace_curve(experiment, 16, [(1, 10, 30)])

    bug = make_verdict("code_bug", "KeyError: 'theta'", "python_traceback")
    _fail(judged[0], [make_attempt(judged[0], 1, bug)], "declined", "a bug does not go away by itself")
    _replace_curve(experiment, 0, [])

    judged[11].update(outcome="running", attempts=[make_attempt(judged[11], 1, None)], summary={})
    _replace_curve(experiment, 11, [(1, 10, 70)])
    judged[2].update(outcome="planned", attempts=[], summary={})
    _replace_curve(experiment, 2, [])


def _fail(task: dict[str, Any], attempts: list[dict[str, Any]], action: str, reason: str) -> None:
    task.update(
        outcome="failed",
        failure_class=attempts[-1]["verdict"]["category"],
        attempts=attempts,
        decision={"action": action, "reason": reason},
    )


def _replace_curve(experiment: Experiment, row: int, parts: Sequence[tuple[int, int, int]]) -> None:
    points = experiment.series["train/loss"]
    level = min((value for one, _, _, value, _ in points if one == row), default=0.5)
    experiment.series["train/loss"] = [point for point in points if point[0] != row]
    for attempt, first, last in parts:
        add_curve(experiment, row, level, last=last, attempt=attempt, first=first)
