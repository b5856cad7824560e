"""Draws learning curves: the mean of each configuration with its band, and every single run behind it."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.data.frame import ExperimentFrame, Floats, Series, load_series
from analysis.figures.drawing import BAD, HUES, INK, MUTED, NARROW_IN, Drawing, axis_label, finish, is_narrow
from analysis.figures.intervals import row_label
from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.selection import choose_shown
from analysis.words import show_number
from hpc.core.words import counted

MAX_CURVES = 6
MAX_PANELS = 4
_GRID_POINTS = 400


def mean_curve(curves: Sequence[Series]) -> tuple[Floats, Floats]:
    """Average runs step by step, over the steps all of them reached.

    Runs that logged at other steps are interpolated linearly between theirs; nothing is extrapolated.

    Returns:
        Steps, array of shape (points,), and values, array of shape (runs, points); both empty without common steps.
    """
    finite = [(one.step[np.isfinite(one.value)], one.value[np.isfinite(one.value)]) for one in curves]
    finite = [(step, value) for step, value in finite if len(step)]
    if not finite:
        return np.empty(0), np.empty((0, 0))
    first, last = max(step[0] for step, _ in finite), min(step[-1] for step, _ in finite)
    steps = np.unique(np.concatenate([step for step, _ in finite]))
    steps = steps[(steps >= first) & (steps <= last)]
    if len(steps) > _GRID_POINTS:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, _GRID_POINTS).astype(np.int64))]
    return steps.astype(np.float64), np.array([np.interp(steps, step, value) for step, value in finite])


def draw_curves(frame: ExperimentFrame, findings: Findings, folder: Path) -> list[Drawing]:
    """One figure per metric of interest that has a curve."""
    shown = choose_shown(findings, MAX_CURVES)
    goals = {goal.name: goal.goal for goal in frame.metric_goals}
    drawings: list[Drawing] = []
    for metric in interesting_series(frame):
        rows = np.flatnonzero(frame.tasks["configuration"].isin([one.number for one in shown]))
        curves = [one for one in load_series(frame, metric, rows.tolist()) if len(one.step) > 1]
        if curves:
            name = f"curve-{len(drawings) + 1}-{re.sub(r'[^A-Za-z0-9_]+', '-', metric)[:40].strip('-')}".strip("-")
            drawings.append(
                _draw_curve(frame, findings, (metric, goals.get(metric, "")), (shown, curves), folder / name)
            )
    return drawings


def interesting_series(frame: ExperimentFrame) -> tuple[str, ...]:
    """Choose the curves worth showing: declared metrics first, then everything called a loss; at most four."""
    declared = [goal.name for goal in frame.metric_goals if goal.name in frame.series_names]
    losses = [name for name in frame.series_names if "loss" in name.lower()]
    return tuple(dict.fromkeys(declared[:1] + losses + declared))[:MAX_PANELS]


def _draw_curve(
    frame: ExperimentFrame,
    findings: Findings,
    metric: tuple[str, str],
    drawn: tuple[Sequence[ConfigurationResult], Sequence[Series]],
    path: Path,
) -> Drawing:
    """Small multiples on one scale: a panel per configuration, the baseline's mean in each."""
    shown, curves = drawn
    columns = 1 if is_narrow() else min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(
        figsize=(NARROW_IN, 0.7 + 1.7 * lines) if is_narrow() else (max(8.0, 3.3 * columns), 0.7 + 2.5 * lines)
    )
    hints: dict[str, str] = {}
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    number, outcome = frame.tasks["configuration"].to_numpy(), frame.tasks["outcome"].to_numpy()
    by_configuration = {one.number: [curve for curve in curves if number[curve.task] == one.number] for one in shown}
    means = {
        place: mean_curve([curve for curve in mine if frame.usable[curve.task]])
        for place, mine in by_configuration.items()
    }
    for panel, one in zip(axes.flat, shown, strict=False):
        for curve in by_configuration[one.number]:
            hints[f"run-{curve.task}"] = _told_run(frame, curve)
            _single_run(panel, curve, str(outcome[curve.task]))
        reference = findings.results[one.baseline].number if one.baseline is not None else None
        if reference in means and len(means[reference][0]):
            panel.plot(
                means[reference][0],
                means[reference][1].mean(axis=0),
                color=INK,
                linewidth=1.3,
                linestyle="--",
                zorder=3,
            )
        _mean_and_band(panel, *means[one.number], INK if one.is_baseline else HUES[0])
        _panel_title(panel, one, len(means[one.number][1]))
        panel.grid(axis="y")
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    note = scale_values(axes[0, 0], [curve.value for curve in curves])
    for panel in axes.flat[max(0, len(shown) - columns) : len(shown)]:
        panel.set_xlabel("step")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        panel.tick_params(axis="x", labelbottom=True)
    figure.supylabel(axis_label(*metric) + note, fontsize=9.5, color=INK)
    figure.tight_layout(h_pad=1.4)
    caption = _curve_caption(frame, findings, shown, curves)
    if findings.primary is not None and metric[0] == findings.primary.name:
        caption = f"Sample efficiency: the primary metric over the steps spent. {caption}"
    having = sum(map(bool, by_configuration.values()))
    of = f"{having} of " if having < len(shown) else ""
    configurations, runs = counted(len(shown), "configuration"), counted(len(curves), "run")
    alt = f"Learning curves of {metric[0]} for {of}{configurations} and {runs}."
    return finish(figure, path, "curves", f"{metric[0]} while training", caption, alt, hints)


def _told_run(frame: ExperimentFrame, curve: Series) -> str:
    """Name a run, its last value, and what became of it where it did not finish."""
    task = frame.tasks.iloc[curve.task]
    finite = np.flatnonzero(np.isfinite(curve.value))
    last = f": {show_number(float(curve.value[finite[-1]]))} at step {curve.step[finite[-1]]}" if len(finite) else ""
    ended = "" if task["outcome"] == "finished" else f", {task['failure_class'] or task['outcome']}"
    return f"{task['run_name']}{last}{ended}"


def _curve_caption(
    frame: ExperimentFrame, findings: Findings, shown: Sequence[ConfigurationResult], curves: Sequence[Series]
) -> str:
    told = [str(frame.tasks["outcome"].iloc[curve.task]) for curve in curves]
    failed, running = told.count("failed"), len(told) - told.count("failed") - told.count("finished")
    text = (
        "Bold line and band: mean ± std of the finished, unaltered runs over the steps all of them reached. "
        "Thin lines: single runs, attempts joined where they resumed. All panels share one scale."
    )
    if any(one.is_baseline for one in findings.results):
        text += " Dashed: the baseline's mean."
    if failed:
        text += f" Red, ending in ×: failed runs ({failed}), not in any mean."
    if running:
        text += f" Dotted: runs not finished ({running})."
    if len(shown) < len(findings.results):
        text += f" Shown: baseline, best and worst, {len(shown)} of {counted(len(findings.results), 'configuration')}."
    return text


def _single_run(axes: Axes, curve: Series, outcome: str) -> None:
    style = {"finished": "-", "failed": "-"}.get(outcome, ":")
    colour = {"finished": MUTED, "failed": BAD}.get(outcome, INK)
    every = max(1, len(curve.step) // 1000)
    axes.plot(
        curve.step[::every],
        curve.value[::every],
        color=colour,
        linewidth=0.9,
        alpha=0.55 if outcome == "finished" else 1,
        linestyle=style,
        zorder=2,
        gid=f"run-{curve.task}",
    )
    finite = np.flatnonzero(np.isfinite(curve.value))
    if outcome == "failed" and len(finite):
        axes.plot(
            curve.step[finite[-1]],
            curve.value[finite[-1]],
            marker="x",
            color=BAD,
            markersize=7,
            markeredgewidth=1.8,
            zorder=6,
        )


def _mean_and_band(axes: Axes, steps: Floats, values: Floats, colour: str) -> None:
    """Draw the mean of the finished runs with its spread; one run has a line and no band."""
    if not len(values) or not len(steps):
        return
    mean = values.mean(axis=0)
    axes.plot(steps, mean, color=colour, linewidth=2.1, zorder=4)
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        axes.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0, zorder=1)


def _panel_title(axes: Axes, one: ConfigurationResult, n: int) -> None:
    counts = (
        f"n={n}" + (f", × {one.failed_total} failed" if one.failed else "") + (", baseline" if one.is_baseline else "")
    )
    axes.set_title(row_label(one), fontsize=8.5, linespacing=1.15, pad=16)
    axes.text(0, 1.02, counts, transform=axes.transAxes, fontsize=8, color=BAD if one.failed else MUTED, va="bottom")


def scale_values(axes: Axes, curves: Sequence[Floats]) -> str:
    """Choose the value axis: logarithmic over two decades, else from 0, else cut; return the words for the label."""
    every = np.concatenate(curves)
    finite = every[np.isfinite(every)]
    if not len(finite):
        return ""
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > 100 * low:
        axes.set_yscale("log")
        return ", log scale"
    if low >= 0 and high - low >= 0.25 * high:
        axes.set_ylim(bottom=0)
    return "" if axes.get_ylim()[0] <= 0 <= axes.get_ylim()[1] else ", axis does not start at 0"
