"""Draws what runs did while they were tested: each quantity over time, beside what it is held against."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.data.trajectories import Curve, Trajectories
from analysis.figures.drawing import HUES, INK, MUTED, NARROW_IN, Drawing, finish, is_narrow, short
from analysis.findings.trajectories import ShownConfiguration, ShownRun
from analysis.words import plain
from hpc.core.words import counted

_STYLES: tuple[tuple[str, Literal["-", "--", ":", "-."], float], ...] = (
    (HUES[0], "-", 2.0),
    (HUES[1], "--", 1.2),
    (MUTED, ":", 1.2),
    (INK, "-.", 1.0),
)
"""Colour, dashes and width of each curve, by its place in the file: the run's own first."""
_ORDER = (5, 6, 3, 2)
"""How far in front each curve lies: the second thin and above the first, or it would not be seen where they agree."""
Limits = dict[tuple[str, ...], list[tuple[float, float]]]
"""Ends of each quantity's axis, by the names of all quantities."""


def draw_trajectories(shown: Sequence[ShownConfiguration], folder: Path) -> list[Drawing]:
    """One figure per configuration; those of the same quantities have the same scales."""
    limits = _common_limits([run.trajectories for one in shown for run in one.runs if run.trajectories])
    drawings: list[Drawing] = []
    for one in shown:
        runs = [run for run in one.runs if run.trajectories]
        if runs:
            drawings.append(_draw(one, runs, limits, folder / f"trajectories-{len(drawings) + 1}"))
    return drawings


def _common_limits(found: Sequence[Trajectories]) -> Limits:
    """The span of what runs are held against, with half of it on either side; of the runs' own where there is none."""
    limits: Limits = {}
    for key in dict.fromkeys(one.quantities for one in found):
        mine = [one.curves[min(1, len(one.curves) - 1)] for one in found if one.quantities == key]
        limits[key] = [_limits(mine, place) for place in range(len(key))]
    return limits


def _limits(curves: Sequence[Curve], place: int) -> tuple[float, float]:
    every = np.concatenate([line[place] for one in curves for line in one.lines])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (-1.0, 1.0)
    margin = (high - low) / 2 or 1.0
    return low - margin, high + margin


def _draw(one: ShownConfiguration, runs: Sequence[ShownRun], limits: Limits, path: Path) -> Drawing:
    """A column per run, a row per quantity."""
    lead = runs[0].trajectories
    assert lead is not None  # noqa: S101 chosen so
    rows = max(len(run.trajectories.quantities) for run in runs if run.trajectories)
    size = (NARROW_IN, 0.9 + 1.35 * rows) if is_narrow() else (7.6, 0.8 + 1.55 * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, len(runs), sharex="col", sharey="row", squeeze=False)
    cut: dict[str, None] = {}
    for column, run in enumerate(runs):
        drawn = run.trajectories
        assert drawn is not None  # noqa: S101 chosen so
        for row, name in enumerate(drawn.quantities):
            cut |= dict.fromkeys(_fill(axes[row, column], drawn, row, limits[drawn.quantities][row]))
            if column == 0 or drawn.quantities != lead.quantities:
                axes[row, column].set_ylabel(short(name, 24), fontsize=8.5)
        for panel in axes[len(drawn.quantities) :, column]:
            panel.set_visible(False)
        axes[0, column].set_title(f"{run.words}: seed {short(run.seed, 12)}", fontsize=8.5)
        axes[len(drawn.quantities) - 1, column].set_xlabel(short(drawn.axis, 40))
    figure.legend(
        handles=[_handle(place, curve.name) for place, curve in enumerate(lead.curves)],
        loc="outside upper left",
        ncols=2 if is_narrow() else 4,
        fontsize=8 if is_narrow() else 8.5,
        handlelength=2.6,
    )
    title = plain(f"{one.result.label}: {lead.title or 'trajectories'}")
    return finish(figure, path, "trajectories", title, _caption(one, lead, list(cut)), _alt(one, runs, lead))


def _fill(axes: Axes, drawn: Trajectories, place: int, limits: tuple[float, float]) -> list[str]:
    """Draw one quantity of every curve; return the names of those that leave the panel."""
    leaving = []
    for order, curve in enumerate(drawn.curves):
        colour, dashes, width = _STYLES[order]
        for line in curve.lines:
            values = line[place]
            is_held = len(values) < len(drawn.at)  # held from its time to the next one
            values = np.append(values, values[-1:]) if is_held else values
            axes.plot(drawn.at, values, color=colour, linestyle=dashes, linewidth=width, zorder=_ORDER[order],
                      drawstyle="steps-post" if is_held else "default")  # fmt: skip
            finite = values[np.isfinite(values)]
            if len(finite) < len(values) or finite.min() < limits[0] or finite.max() > limits[1]:
                leaving.append(curve.name)
    axes.set_ylim(*limits)
    axes.set_xlim(float(drawn.at[0]), float(drawn.at[-1]))
    axes.axhline(0, color=MUTED, linewidth=0.6, zorder=1)
    axes.grid(axis="y")
    axes.tick_params(labelsize=8)
    return leaving


def _handle(place: int, name: str) -> Line2D:
    colour, dashes, width = _STYLES[place]
    return Line2D([], [], color=colour, linestyle=dashes, linewidth=width, label=short(name, 24))


def _caption(one: ShownConfiguration, lead: Trajectories, cut: Sequence[str]) -> str:
    starts = counted(len(lead.curves[0].lines), "line")
    mine = counted(one.result.estimate.n, "run")
    text = (
        f"{starts} of each kind per panel, from the same starts in each run. Best and median by the primary metric, "
        f"of the {mine} in the mean (n={one.result.estimate.n}); of two median runs, the worse. Each row has one "
        "scale, also in the figures of other configurations"
    )
    held = f", that of {lead.curves[1].name} with half its span on either side" if len(lead.curves) > 1 else ""
    leaves = f" Cut off where they leave it: {', '.join(cut)}." if cut else ""
    return plain(f"{text}{held}.{leaves} A selection for viewing; no number depends on it.")


def _alt(one: ShownConfiguration, runs: Sequence[ShownRun], lead: Trajectories) -> str:
    told = ", ".join(f"{run.words} (seed {run.seed})" for run in runs)
    curves = ", ".join(curve.name for curve in lead.curves)
    return plain(f"{', '.join(lead.quantities)} over {lead.axis} of {one.result.label}: {told}; {curves}.")
