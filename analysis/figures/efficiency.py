"""Draws sample efficiency over systems: the interquartile mean score of each method over the steps it took.

That of single configurations, in the metric's own unit, is the learning curve of the primary metric (`curves`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.data.frame import ExperimentFrame, Floats, Series, load_series
from analysis.data.values import find_baselines
from analysis.figures.curves import MAX_CURVES, mean_curve, scale_values
from analysis.figures.drawing import HUES, INK, NARROW_IN, Drawing, finish, is_narrow, place_legend, short
from analysis.findings.findings import Findings
from analysis.findings.inference import find_methods
from analysis.statistics.jackknife import Aggregate, score_curve
from analysis.statistics.system_runs import RANGE
from analysis.statistics.systems import OverSystems
from analysis.words import coverage, plain
from hpc.core.experiment.spec import Metric

_POINTS = 60
"""Steps at which a curve is computed."""
Curve = tuple[Floats, tuple[Aggregate, ...]]


def draw_efficiency(frame: ExperimentFrame, findings: Findings, folder: Path) -> list[Drawing]:
    """Draw the baseline and the methods of the best ranks; nothing without a declared range and the metric's curves."""
    found, primary = findings.over_systems, findings.primary
    if found is None or primary is None or found.scale != RANGE or not found.methods:
        return []
    every = score_curves(frame, found, primary)
    ranked = [found.baseline, *(one.method for one in sorted(found.compared, key=lambda one: one.rank))]
    shown = [name for name in ranked if name in every][:MAX_CURVES]
    return [_draw(found, primary, {name: every[name] for name in shown}, folder)] if shown else []


def score_curves(frame: ExperimentFrame, found: OverSystems, metric: Metric) -> dict[str, Curve]:
    """Steps and scores of each method with curves of the metric on every system, from runs that count alone.

    A method's steps are those that all of its runs reached.
    """
    places = find_methods(frame, find_baselines(frame), metric)
    number = frame.tasks["configuration"].to_numpy()
    rows = [int(row) for row in np.flatnonzero(frame.usable) if number[row] in places]
    by_method: dict[str, dict[str, list[Series]]] = {}
    for one in load_series(frame, metric.name, rows):
        if np.isfinite(one.value).sum() > 1:
            place = places[number[one.task]]
            by_method.setdefault(place.method, {}).setdefault(place.system, []).append(one)
    limits = {one.system: one.limits for one in places.values() if one.limits is not None}
    made: dict[str, Curve] = {}
    for method, by_system in by_method.items():
        if all(system in by_system for system in found.systems):
            curve = _curve(
                [by_system[one] for one in found.systems], [limits[one] for one in found.systems], found.level
            )
            made |= {method: curve} if curve else {}
    return made


def _curve(runs: Sequence[Sequence[Series]], limits: Sequence[tuple[float, float]], level: float) -> Curve | None:
    """Interquartile mean score of runs on several systems; None where they have not two steps in common."""
    steps, values = mean_curve([one for on_system in runs for one in on_system])
    if len(steps) < 2:
        return None
    kept = np.unique(np.linspace(0, len(steps) - 1, _POINTS).astype(np.int64))
    parts = np.split(values[:, kept], np.cumsum([len(one) for one in runs])[:-1])
    scores = [(part - low) / (high - low) for part, (low, high) in zip(parts, limits, strict=True)]
    return steps[kept], score_curve(scores, level)


def _draw(found: OverSystems, metric: Metric, curves: Mapping[str, Curve], folder: Path) -> Drawing:
    size = (NARROW_IN, 3.2 + 0.2 * len(curves)) if is_narrow() else (8.0, 4.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for place, (name, (steps, scores)) in enumerate(curves.items()):
        colour = INK if name == found.baseline else HUES[place % len(HUES)]
        label = short(plain(name), 40) + (" (baseline)" if name == found.baseline else "")
        axes.plot(steps, [one.value for one in scores], color=colour, linewidth=1.8, label=label)
        low, high = (np.array([np.nan if end is None else end for end in ends], dtype=np.float64)
                     for ends in zip(*((one.low, one.high) for one in scores), strict=True))  # fmt: skip
        axes.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)
    better = "lower" if found.goal == "min" else "higher"
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    note = scale_values(axes, [np.array([one.value for one in scores]) for _, scores in curves.values()])
    axes.set_ylabel(f"interquartile mean score ({better} is better){note}")
    axes.grid()
    place_legend(figure, axes)
    caption = (
        f"Sample efficiency: interquartile mean over {len(found.systems)} systems "
        f"({', '.join(map(plain, found.systems))}) of the score of {plain(metric.name)} within the declared range, "
        "over the steps that all runs of a method reached; every system has the same weight. "
        f"Bands: {coverage(found.level)} intervals for each step separately; none where a system has only one run. "
        "Runs that failed, were altered or logged no curve are in no line."
    )
    if len(curves) < len(found.methods):
        caption += f" {len(curves)} of {len(found.methods)} methods are shown."
    ends = [f"{name}: {scores[-1].value:.3g} at step {steps[-1]:g}" for name, (steps, scores) in curves.items()]
    alt = f"Interquartile mean scores over systems by step; at the last step {short('; '.join(ends), 700)}."
    return finish(figure, folder / "sample-efficiency", "curves", "Sample efficiency over the systems", caption, alt)
