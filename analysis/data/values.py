"""The numbers of the runs by configuration: which rows belong together, and what may enter a mean."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.data.frame import ExperimentFrame, Floats
from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.spec import Value
from hpc.core.question.baseline import changed_beside, counterparts, uncompared

DIVERGED = ("divergence", "not_converged")
"""Failures that are a result: they count as a loss of their configuration."""


def metric_values(frame: ExperimentFrame, metric: str) -> Floats:
    """Values of a metric, array of shape (tasks,); all NaN when no run ever wrote it."""
    if metric in frame.values:
        return frame.values[metric].to_numpy(dtype=np.float64)
    return np.full(len(frame.tasks), np.nan)


def usable_values(frame: ExperimentFrame, metric: str) -> Floats:
    """Values that may enter means: array of shape (tasks,), NaN for failed, unfinished and altered runs."""
    return np.where(frame.usable, metric_values(frame, metric), np.nan)


def group_rows(frame: ExperimentFrame) -> list[npt.NDArray[np.int64]]:
    """Rows of each configuration, in the manifest's order."""
    groups = frame.tasks.groupby("configuration", sort=True).indices
    return [np.asarray(groups[number], dtype=np.int64) for number in range(len(frame.configurations))]


def combinations_of(frame: ExperimentFrame) -> list[Combination]:
    """Return the parameters of each configuration, its case among them, in the manifest's order."""
    asked = frame.manifest["tasks"]
    return [_combination(asked[int(rows[0])]) for rows in group_rows(frame)]


def _combination(task: Mapping[str, Any]) -> Combination:
    case = {CASE: task["case"]} if task.get("case") is not None else {}
    return {**case, **task["parameters"]}


def declared_baseline(frame: ExperimentFrame) -> dict[str, Value] | None:
    """Return what the experiment declares as its baseline, a case under ``case``; None where it declares none."""
    declared = frame.spec.get("baseline")
    return {(CASE if name == "id" else name): value for name, value in declared.items()} if declared else None


def find_baselines(frame: ExperimentFrame) -> dict[int, int]:
    """Find which configuration each one is compared with (itself, for a baseline); empty when none is declared."""
    declared = declared_baseline(frame)
    return counterparts(combinations_of(frame), declared) if declared else {}


def find_uncompared(frame: ExperimentFrame) -> dict[int, str]:
    """Say which configurations are compared with none although a baseline is declared, and why."""
    declared = declared_baseline(frame)
    return uncompared(combinations_of(frame), declared) if declared else {}


def find_changed_beside(frame: ExperimentFrame) -> dict[int, tuple[str, ...]]:
    """Name what sets a configuration apart from its baseline beside the parameters that the baseline declares."""
    declared = declared_baseline(frame)
    return changed_beside(combinations_of(frame), declared) if declared else {}


def finite_or_none(value: Any) -> float | None:
    """Return a number as it is; None for NaN, for an infinity and where there is none."""
    return float(value) if value is not None and np.isfinite(value) else None
