"""Draws one configuration against its baseline: every run, a line per shared seed, and the mean difference."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.frame import ExperimentFrame
from analysis.data.values import usable_values
from analysis.figures.drawing import (
    BAD,
    HUES,
    INK,
    MUTED,
    NARROW_IN,
    Drawing,
    axis_label,
    finish,
    is_narrow,
    short,
)
from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings
from analysis.statistics.comparisons import Comparison, is_better
from analysis.statistics.estimates import estimate
from analysis.statistics.samples import Sample
from analysis.words import coverage, plain, say_p, show_number
from hpc.core.experiment.spec import Metric
from hpc.core.words import in_percent

Values = dict[int, float]


def draw_pairs(
    frame: ExperimentFrame, findings: Findings, primary: Metric, one: ConfigurationResult, folder: Path
) -> Drawing:
    """Draw the runs of both sides and what lies between them; a run without a value is an × at the foot."""
    if one.comparison is None:
        raise ValueError(f"{one.label} was not compared")
    sides = (_baseline_values(frame, findings, primary, one), _values(frame, primary.name, one.number))
    base = "stored baseline" if one.baseline is None else findings.results[one.baseline].label
    names = (short(plain(base), 26), short(plain(one.label), 26))
    figure = Figure(figsize=(NARROW_IN, 2.75) if is_narrow() else (7.4, 4.3), layout="constrained")
    runs, between = figure.subplots(1, 2, width_ratios=[1.5, 1])
    hints = _fill_runs(runs, sides, one.comparison, primary, findings.plan.confidence)
    runs.set_xticks((0, 1), [_folded(name) for name in names] if is_narrow() else names)
    runs.set_ylabel(axis_label(primary.name, primary.goal))
    _fill_difference(between, one.comparison, primary, findings.plan.confidence)
    return finish(figure, folder / "front", "front", f"{primary.name}: {names[1]} against {names[0]}",
                  _caption(one.comparison, findings.plan.confidence), _alt(one.comparison, names, primary),
                  hints)  # fmt: skip


def _folded(name: str) -> str:
    return name if len(name) < 14 else name.replace(", ", ",\n", 1)


def _values(frame: ExperimentFrame, metric: str, number: int) -> Values:
    rows = np.flatnonzero((frame.tasks["configuration"] == number).to_numpy())
    values = usable_values(frame, metric)[rows]
    return dict(zip(frame.tasks["seed"].to_numpy()[rows].tolist(), values.tolist(), strict=True))


def _baseline_values(frame: ExperimentFrame, findings: Findings, primary: Metric, one: ConfigurationResult) -> Values:
    if one.baseline is not None:
        return _values(frame, primary.name, one.baseline)
    stored: Sample = findings.stored[primary.name]
    seeds = range(len(stored.values)) if stored.seeds is None else stored.seeds.tolist()
    return dict(zip(seeds, stored.values.tolist(), strict=True))


def _fill_runs(
    axes: Axes, sides: tuple[Values, Values], found: Comparison, primary: Metric, level: float
) -> dict[str, str]:
    """Both sides as columns; return what each line says under a pointer."""
    hints = {}
    base, ours = sides
    shared = sorted(seed for seed in base.keys() & ours.keys() if np.isfinite(base[seed]) and np.isfinite(ours[seed]))
    for seed in shared if found.pairs else ():
        better = is_better(ours[seed] - base[seed], primary.goal)
        (line,) = axes.plot((0, 1), (base[seed], ours[seed]), color=HUES[0] if better else HUES[1], linewidth=1.3,
                            linestyle="-" if better else "--", alpha=0.7, zorder=2)  # fmt: skip
        line.set_gid(f"seed-{seed}")
        hints[f"seed-{seed}"] = f"seed {seed}: {show_number(base[seed])} → {show_number(ours[seed])}"
    for place, (side, colour) in enumerate(zip(sides, (INK, HUES[0]), strict=True)):
        finite = np.array([value for value in side.values() if np.isfinite(value)])
        axes.scatter(np.full(len(finite), place), finite, s=26, color=colour, zorder=4, linewidths=0)
        mean = estimate(finite, level)
        beside = place + (-0.16 if place == 0 else 0.16)
        if mean.low is not None and mean.high is not None:
            axes.plot([beside] * 2, [mean.low, mean.high], color=colour, linewidth=2.2, zorder=3)
        if mean.mean is not None:
            axes.plot([beside], [mean.mean], marker="D", color=colour, markersize=7, markeredgecolor="white", zorder=5)
        lost = len(side) - len(finite)
        if lost:
            axes.annotate(f"× {lost} without a value", (place, 0), xycoords=("data", "axes fraction"), xytext=(0, 3),
                          textcoords="offset points", ha="center", va="bottom", fontsize=8, color=BAD)  # fmt: skip
    axes.set_xlim(-0.45, 1.45)
    if any(len(side) > sum(map(np.isfinite, side.values())) for side in sides):
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.1 * (high - low), high)
    axes.grid(axis="y")
    return hints


def _fill_difference(axes: Axes, found: Comparison, primary: Metric, level: float) -> None:
    axes.axhline(0, color=INK, linewidth=1, linestyle="--")
    axes.set_xticks([])
    axes.set_xlim(-1, 1)
    axes.grid(axis="y")
    axes.set_ylabel("difference")
    if found.difference is None:
        axes.set_xlabel("not computable")
        return
    better = is_better(found.difference, primary.goal)
    colour = (HUES[2] if better else HUES[1]) if found.tested_verdict in ("better", "worse") else MUTED
    if found.low is not None and found.high is not None:
        axes.plot([0, 0], [found.low, found.high], color=colour, linewidth=3, zorder=3)
    axes.plot([0], [found.difference], marker="D", color=colour, markersize=9, markeredgecolor="white", zorder=4)
    told = [show_number(found.difference, 3)]
    if found.relative_percent is not None and found.relative_low is not None and found.relative_high is not None:
        interval = f"{found.relative_low:+.3g} to {found.relative_high:+.3g} %"
        told = [
            f"{in_percent(found.relative_percent)} %",
            interval if is_narrow() else f"({coverage(level)}: {interval})",
        ]
    if found.p_adjusted is not None:
        told.append(f"{'adj.' if is_narrow() else 'adjusted'} {say_p(found.p_adjusted)}")
    axes.set_xlabel("\n".join(told), fontsize=8.5 if is_narrow() else 9.5)


def _caption(found: Comparison, level: float) -> str:
    lines = "Lines: runs with the same seed, solid where better, dashed where worse. " if found.pairs else ""
    percent = coverage(level)
    return (
        f"Dots: single runs. {lines}Diamond and bar: mean with its {percent} interval (Student's t). Right: mean "
        f"difference {found.basis} with its {percent} interval; dashed: no difference. ×: runs without a value, not in "
        "any number here."
    )


def _alt(found: Comparison, names: tuple[str, str], primary: Metric) -> str:
    between = "not computable" if found.difference is None else f"{found.difference:+.4g}"
    percent = "" if found.relative_percent is None else f" ({in_percent(found.relative_percent)} %)"
    return (
        f"{primary.name} of {names[1]} (n={found.n}) against {names[0]} (n={found.n_baseline}): mean difference "
        f"{between}{percent} {found.basis}."
    )
