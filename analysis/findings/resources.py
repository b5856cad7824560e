"""What the experiment cost, by what came of each attempt, beside what was announced."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.lineage import Fate
from analysis.data.values import finite_or_none
from hpc.adapters.ledger import read_json_lines
from hpc.core.errors import InputError
from hpc.core.experiment.asking import asked_of_tasks
from hpc.core.forecast.budget import GPU
from hpc.core.forecast.forecast import counts_then, forecasts_of, say_against

HOUR = 3600.0


@dataclass(frozen=True)
class Spending:
    """Attempts of one kind and what they used.

    Attributes:
        category: Verdict; ``continued (preempted)`` where a later attempt took it up; ``open`` where it has not ended,
            or the one that took it up has not.
        fate: What came of them (see `lineage.Fate`).
        attempts: How many.
        gpu_hours: GPU hours used.
        cpu_hours: Core hours used: elapsed time × cores requested.
    """

    category: str
    fate: str
    attempts: int
    gpu_hours: float
    cpu_hours: float


@dataclass(frozen=True)
class ResourceUse:
    """What the experiment cost.

    Attributes:
        by_verdict: Use by verdict of the attempt; adds up to the totals.
        forecast_h: GPU hours, or core hours where no GPU was asked for, that `hpc.plan` announced at most: every task
            its whole time limit.
        gpu_hours_asked: GPUs × nodes × time limit, over all attempts; 0 when no GPU was asked for.
        has_gpu: Whether any attempt had one.
        mean_run_s: Mean wall time of a finished task in seconds, the attempts it continued included; None without any.
        runs_timed: Tasks behind `mean_run_s`.
        peak_memory_mib: Highest host memory of any attempt; None when it was never measured.
        peak_gpu_memory_mib: The same on the GPU.
        memory_asked_mib: Host memory asked for by that attempt.
        learned: What planning forecast from known runs, and what it came to; empty while something is left, or where
            nothing was forecast.
    """

    by_verdict: tuple[Spending, ...]
    forecast_h: float
    gpu_hours_asked: float
    has_gpu: bool
    mean_run_s: float | None
    runs_timed: int
    peak_memory_mib: float | None
    peak_gpu_memory_mib: float | None
    memory_asked_mib: float | None
    learned: str = ""

    @property
    def gpu_hours(self) -> float:
        return sum(one.gpu_hours for one in self.by_verdict)

    @property
    def cpu_hours(self) -> float:
        return sum(one.cpu_hours for one in self.by_verdict)

    @property
    def failed(self) -> tuple[Spending, ...]:
        """What went into attempts that gave no result."""
        return tuple(one for one in self.by_verdict if one.fate == Fate.FAILED)


def add_up_resources(frame: ExperimentFrame) -> ResourceUse:
    """Add up what all attempts used: for results, in attempts the results continued, in failed and in open ones."""
    resources = frame.spec.get("resources") or {}
    attempts = frame.attempts
    nodes = attempts["nodes"].fillna(float(resources.get("nodes") or 1))
    asked = asked_of_tasks(frame.spec, frame.manifest["tasks"])
    cores = attempts["task"].map(lambda row: float(asked[int(row)].cpus)) * nodes
    used = pd.DataFrame(
        {
            "category": [
                _spent_on(fate, name) for fate, name in zip(attempts["fate"], attempts["category"], strict=True)
            ],
            "fate": attempts["fate"],
            "gpu": attempts["gpu_seconds"].fillna(0.0) / HOUR,
            "cpu": attempts["elapsed_s"].fillna(0.0) * cores / HOUR,
        }
    )
    spent = [
        Spending(
            str(group["category"].iloc[0]), str(fate), len(group), float(group["gpu"].sum()), float(group["cpu"].sum())
        )
        for (fate, _), group in used.groupby(["fate", "category"])
    ]
    order = {fate.value: place for place, fate in enumerate(Fate)}
    run_s = _run_times(frame)
    memory = attempts["peak_memory_mib"]
    highest = int(memory.argmax()) if memory.notna().any() else None
    return ResourceUse(
        by_verdict=tuple(sorted(spent, key=lambda one: (order[one.fate], -one.attempts, one.category))),
        forecast_h=sum(one.nodes * (one.gpus or one.cpus) * one.time_s for one in asked) / HOUR,
        gpu_hours_asked=float((attempts["gpus"].fillna(0.0) * nodes * attempts["time_s"].fillna(0.0)).sum() / HOUR),
        has_gpu=bool((attempts["gpus"].fillna(0.0) > 0).any()),
        mean_run_s=float(run_s.mean()) if len(run_s) else None,
        runs_timed=len(run_s),
        peak_memory_mib=None if highest is None else float(memory.iloc[highest]),
        peak_gpu_memory_mib=_maximum(attempts["peak_gpu_memory_mib"]),
        learned=_learned(frame, float(used["gpu"].sum()), float(used["cpu"].sum())),
        memory_asked_mib=None if highest is None else finite_or_none(attempts["memory_mib"].iloc[highest]),
    )


def _learned(frame: ExperimentFrame, gpu_h: float, core_h: float) -> str:
    """Forecast and actual use, as `hpc status` says it."""
    started, ended = frame.attempts["started"].dropna(), frame.attempts["ended"].dropna()
    if started.empty or ended.empty or not frame.tasks["outcome"].isin(("finished", "failed")).all():
        return ""
    try:
        known = forecasts_of(read_json_lines(frame.layout.forecasts))
    except (InputError, OSError):
        return ""
    began = float(started.min())
    found = counts_then(known, began)
    if found is None or found.hours is None:
        return ""
    return say_against(found, gpu_h if found.unit == GPU else core_h, float(ended.max()) - began)


def _spent_on(fate: str, category: str) -> str:
    """Name what an attempt's hours went into."""
    return {Fate.OPEN: "open", Fate.CONTINUED: f"continued ({category})"}.get(Fate(fate), category)


def _run_times(frame: ExperimentFrame) -> Floats:
    """Wall time of each finished task in seconds: its last attempt and those it continued."""
    attempts = frame.attempts
    finished = (frame.tasks["outcome"] == "finished").to_numpy()[attempts["task"].to_numpy()]
    mine = attempts[finished & attempts["stands_behind"] & attempts["fate"].isin((Fate.SUCCESS, Fate.CONTINUED))]
    sums: Floats = mine.groupby("task")["elapsed_s"].sum(min_count=1).dropna().to_numpy(dtype=np.float64)
    return sums


def _maximum(column: "pd.Series[float]") -> float | None:
    return float(column.max()) if column.notna().any() else None
