"""Draws the spread of runs that differ in nothing but their seed: every run by name, the mean, one and two sigma."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.values import usable_values
from analysis.figures.drawing import (
    BAD,
    BAND,
    GRID,
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
from analysis.findings.selection import choose_shown
from analysis.words import coverage, plain, show_number
from hpc.core.experiment.spec import Metric

MAX_RUNS = 16
"""Runs of one configuration that get a line and a name of their own."""
MAX_NAMED = 60
"""Runs of one configuration that are named under the pointer."""
MAX_ROWS = 8
_FAINT_OUTCOMES = {"running": "running", "pending": "pending", "planned": "never started"}


def draw_strip(frame: ExperimentFrame, findings: Findings, primary: Metric, folder: Path) -> Drawing:
    """Draw each run of the one configuration as a line, or each of several configurations with all its runs."""
    shown = choose_shown(findings, MAX_ROWS)
    values = usable_values(frame, primary.name)
    number = frame.tasks["configuration"].to_numpy()
    rows_of = [np.flatnonzero(number == one.number) for one in shown]
    is_single = len(findings.results) == 1 and len(rows_of[0]) <= MAX_RUNS
    count = len(rows_of[0]) if is_single else len(shown)
    height = 0.9 + (0.18 if is_single else 0.42) * count if is_narrow() else 1.3 + (0.27 if is_single else 0.5) * count
    figure = Figure(figsize=(NARROW_IN if is_narrow() else 7.4, height), layout="constrained")
    axes = figure.subplots()
    names, hints = [], {}
    for place, (one, rows) in enumerate(zip(shown, rows_of, strict=True)):
        _fill_spread(axes, one, (-0.7, count - 0.3) if is_single else (place - 0.35, place + 0.35))
        if len(rows) > MAX_NAMED:
            axes.scatter(values[rows], np.full(len(rows), place), s=12, color=HUES[0], alpha=0.4, linewidths=0)
        for line, row in enumerate(rows.tolist() if len(rows) <= MAX_NAMED else ()):
            names += [f"seed {frame.tasks['seed'].iloc[row]}"] if is_single else []
            gid = f"run-{row}"
            hints[gid] = _fill_run(axes, frame, row, float(values[row]), line if is_single else place, gid)
        names += [] if is_single else [short(plain(one.label), 18 if is_narrow() else 34)]
        if not is_single:
            _mark_lost(axes, one, place)
    axes.set_yticks(range(count), names, fontsize=8.5)
    axes.set_ylim(count - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.margins(x=0.06)
    note = "" if axes.get_xlim()[0] <= 0 <= axes.get_xlim()[1] else "\nthe axis does not start at 0"
    axes.set_xlabel(axis_label(primary.name, primary.goal) + note)
    total = len(findings.results)
    caption = (
        "Dots: single runs, which differ only in their seed. Line: their mean; dark and light band: one and two "
        "sample standard deviations to either side. ×: a run without a value, not in any number here."
        + (f" {len(shown)} of {total} configurations are shown." if len(shown) < total else "")
    )
    return finish(figure, folder / "front", "front", f"{primary.name}: every run", caption,
                  _alt(shown, primary, findings.plan.confidence), hints)  # fmt: skip


def _fill_spread(axes: Axes, one: ConfigurationResult, ends: tuple[float, float]) -> None:
    mean, std = one.estimate.mean, one.estimate.std
    if mean is None:
        return
    for sigmas, colour in ((2, BAND), (1, GRID)):
        if std:
            band: Floats = np.array([mean - sigmas * std, mean + sigmas * std])
            axes.fill_between(band, ends[0], ends[1], color=colour, linewidth=0, zorder=0)
    axes.plot([mean, mean], ends, color=INK, linewidth=1.6, zorder=1)


def _fill_run(axes: Axes, frame: ExperimentFrame, row: int, value: float, place: float, gid: str) -> str:
    """Draw one run, or say on its line why it has no value; return its words."""
    name = str(frame.tasks["run_name"].iloc[row])
    if np.isfinite(value):
        axes.plot([value], [place], marker="o", color=HUES[0], markersize=6.5, linewidth=0, gid=gid, zorder=3)
        return f"{name}: {show_number(value, 6)}"
    outcome = str(frame.tasks["outcome"].iloc[row])
    why = str(frame.tasks["failure_class"].iloc[row]) or _FAINT_OUTCOMES.get(outcome, "no comparable value")
    has_own_line = float(place).is_integer() and len(frame.configurations) == 1
    if has_own_line:
        mark, colour = ("… ", MUTED) if outcome in _FAINT_OUTCOMES else ("× ", BAD)
        axes.annotate(mark + why, (0.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                      color=colour)  # fmt: skip
    return f"{name}: {why}"


def _mark_lost(axes: Axes, one: ConfigurationResult, place: int) -> None:
    lost = one.planned - one.estimate.n
    if lost:
        axes.annotate(f"× {lost} of {one.planned} without a value", (1.0, place - 0.42), ha="right", va="center",
                      xycoords=("axes fraction", "data"), fontsize=8, color=BAD)  # fmt: skip


def _alt(shown: Sequence[ConfigurationResult], primary: Metric, level: float) -> str:
    told = "; ".join(
        f"{one.label}: mean {show_number(one.estimate.mean)}, standard deviation {show_number(one.estimate.std)}, "
        f"{coverage(level)} interval of the mean {show_number(one.estimate.low)} to {show_number(one.estimate.high)} "
        f"(n={one.estimate.n} of {one.planned})"
        for one in shown
    )
    return f"Every run of {primary.name}. {short(told, 700)}."
