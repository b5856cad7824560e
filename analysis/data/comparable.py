"""Values that compare between systems: scores within a declared range, ratios to the system's own mean, or deviations.

Where nothing is a system, values stay as they are.
"""

from dataclasses import dataclass

import numpy as np

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.values import combinations_of, declared_baseline, usable_values
from hpc.core.experiment.spec import Metric
from hpc.core.question.systems import system_of, system_parameters


@dataclass(frozen=True, eq=False)
class Comparable:
    """One metric with the levels and units of systems taken out.

    Attributes:
        values: Array of shape (tasks,); NaN where a run has no comparable value.
        unit: What they are; empty where they are as measured.
        systems: Parameters whose values are systems.
        is_centred: Whether they lie around 0, so that percentages of them mean nothing.
    """

    values: Floats
    unit: str
    systems: tuple[str, ...]
    is_centred: bool = False


def system_names(frame: ExperimentFrame) -> tuple[str, ...]:
    """Name the parameters whose values are systems, between which raw values do not compare; none where all do."""
    ranged = [system for metric in frame.metric_goals[:1] for system, _, _ in metric.ranges]
    return system_parameters(
        combinations_of(frame), declared_baseline(frame), str(frame.spec.get("type") or ""), ranged
    )


def systems_of(frame: ExperimentFrame) -> list[str]:
    """Name the system of each configuration, in the manifest's order; empty texts where nothing is a system."""
    names = system_names(frame)
    return [system_of(one, names) if names else "" for one in combinations_of(frame)]


def comparable_values(frame: ExperimentFrame, metric: Metric) -> Comparable:
    """Make the values of a metric comparable between systems."""
    values = usable_values(frame, metric.name)
    names = system_names(frame)
    if not names:
        return Comparable(values, "", ())
    systems = np.array(systems_of(frame))[frame.tasks["configuration"].to_numpy()]
    if metric.ranges:
        limits = {system: (low, high) for system, low, high in metric.ranges}
        low, high = (np.array([limits.get(one, (np.nan, np.nan))[end] for one in systems]) for end in (0, 1))
        return Comparable((values - low) / (high - low), "score within the declared range", names)
    made = np.full(len(values), np.nan)
    is_ratio = bool((values[np.isfinite(values)] > 0).all())
    for system in dict.fromkeys(systems.tolist()):
        mine = (systems == system) & np.isfinite(values)
        if not mine.any():
            continue
        if is_ratio:
            logarithms = np.log(values[mine])
            made[mine] = np.exp(logarithms - logarithms.mean())
        else:
            spread = float(values[mine].std())
            made[mine] = (values[mine] - values[mine].mean()) / (spread or 1.0)
    unit = "ratio to its system's geometric mean" if is_ratio else "standard deviations from its system's mean"
    return Comparable(made, unit, names, is_centred=not is_ratio)
