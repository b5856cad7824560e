"""What is exported of a run, the same for every tool: its settings, its final values, its curves, what became of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.data.frame import ExperimentFrame, load_series
from hpc.core.identity import content_hash

ENDED = ("finished", "failed")


@dataclass(frozen=True)
class Point:
    """One value of one metric.

    Attributes:
        step: The program's own count.
        value: May be no finite number.
        time: When it was logged, Unix seconds.
    """

    step: int
    value: float
    time: float


@dataclass(frozen=True)
class ExportedRun:
    """One task that ended.

    Attributes:
        experiment: Its name.
        task_id: The task's identity, 12 hexadecimal digits.
        name: Its run name.
        config: Parameters, seed and case.
        summary: Final metrics; empty where the run did not finish.
        series: Metric → its points by step, attempts joined to one line.
        facts: Outcome, failure class, attempts, manifest hash.
        origin: What it came from, no part of its content: `code`, `git_commit`, `goal`.
    """

    experiment: str
    task_id: str
    name: str
    config: Mapping[str, Any]
    summary: Mapping[str, float]
    series: Mapping[str, Sequence[Point]]
    facts: Mapping[str, Any]
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hash of all of it: the same run exported again has the same."""
        points = {name: [[each.step, repr(each.value), repr(each.time)] for each in points]
                  for name, points in self.series.items()}  # fmt: skip
        summary = {name: repr(value) for name, value in self.summary.items()}
        return content_hash([self.task_id, self.name, self.config, summary, points, self.facts])

    @property
    def times(self) -> tuple[float, float]:
        """When its first and its last value were logged, Unix seconds; zeros without any."""
        times = [each.time for points in self.series.values() for each in points]
        return (min(times), max(times)) if times else (0.0, 0.0)


def list_runs(frame: ExperimentFrame) -> list[ExportedRun]:
    """The tasks that ended, in the manifest's order."""
    rows = [row for row, outcome in enumerate(frame.tasks["outcome"]) if outcome in ENDED]
    series: dict[int, dict[str, list[Point]]] = {row: {} for row in rows}
    for name in frame.series_names:
        for one in load_series(frame, name, rows):
            times = one.time if one.time is not None else [0.0] * len(one.step)
            series[one.task][name] = [
                Point(int(step), float(value), float(time))
                for step, value, time in zip(one.step, one.value, times, strict=True)
            ]
    return [_run(frame, row, series[row]) for row in rows]


def _run(frame: ExperimentFrame, row: int, series: Mapping[str, Sequence[Point]]) -> ExportedRun:
    asked, told = frame.manifest["tasks"][row], frame.tasks.iloc[row]
    case = {"case": asked["case"]} if asked.get("case") else {}
    values = {str(name): float(value) for name, value in frame.values.iloc[row].items() if math.isfinite(value)}
    facts = {
        "outcome": str(told["outcome"]),
        "failure_class": str(told["failure_class"]),
        "attempts": int(told["attempts"]),
        "altered": bool(told["altered"]),
        "manifest_sha": frame.manifest_sha,
    }
    config = {**asked["parameters"], "seed": asked["seed"], **case}
    return ExportedRun(
        frame.layout.experiment, asked["task_id"], asked["run_name"], config, values, series, facts, _origin(frame)
    )


def _origin(frame: ExperimentFrame) -> Mapping[str, str]:
    """Which code the plan froze, of which commit, and what it is to find out."""
    provenance = frame.manifest.get("provenance") or {}
    told = {
        "code": (provenance.get("code") or {}).get("sha256"),
        "git_commit": (provenance.get("git") or {}).get("commit"),
        "goal": (frame.manifest["spec"].get("brief") or {}).get("goal"),
    }
    return {name: str(value) for name, value in told.items() if value}
