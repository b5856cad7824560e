"""Draws every run and every mean with its interval, and beside them the differences from the baseline."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.values import metric_values
from analysis.figures.drawing import (
    BAD,
    BAND,
    HUES,
    INK,
    MUTED,
    NARROW_IN,
    Drawing,
    axis_label,
    finish,
    is_narrow,
    short,
    squeeze,
)
from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.selection import choose_shown
from analysis.words import coverage, plain
from hpc.core.experiment.spec import Metric

MAX_ROWS = 24
FRONT_ROWS = 7
"""Rows of the picture on a report's first screen."""
_FRONT_WIDTH_IN = 7.6


def draw_intervals(
    frame: ExperimentFrame, findings: Findings, primary: Metric, folder: Path, *, front: bool = False
) -> Drawing:
    """Every run and every interval; beside it the difference from the baseline, whose zero means 'no difference'.

    Args:
        front: Draw the few that fit on the report's first screen.
    """
    shown = choose_shown(findings, (FRONT_ROWS - 2 * is_narrow()) if front else MAX_ROWS)
    compared = any(one.comparison is not None for one in shown)
    figure, left, right = _panels(len(shown), front=front, compared=compared)
    _fill_interval_panel(left, frame, findings, primary, shown)
    if right is not None:
        _fill_difference_panel(right, shown)
    left.set_ylim(len(shown) - 0.4, -0.7)
    figure.tight_layout(w_pad=2.5)
    total = len(findings.results)
    left_out = f" {len(shown)} of {total} configurations are shown." if len(shown) < total else ""
    means = "; ".join(
        f"{one.label} {one.estimate.mean:.4g} (n={one.estimate.n})" for one in shown if one.estimate.mean is not None
    )
    level = coverage(findings.plan.confidence)
    caption = (
        f"Best mean first. Small dots: single runs. Diamond and bar: mean with its {level} interval (Student's t; an "
        "arrow: it continues beyond the axis). "
        + ("Shaded: baseline mean ± 2σ. " if _band(findings) else "")
        + (
            f"{'Below' if is_narrow() else 'Right'}: difference from the baseline with its "
            f"{level} interval, not adjusted, and the tested verdict; {_bases(shown)}. "
            if right is not None
            else ""
        )
        + ("Hollow squares: altered runs, not in any mean. " if findings.counts.altered else "")
        + "Beside each row: n, and what is missing from it."
        + (" n !: this mean needs care, see the table." if any(one.cautions for one in shown) else "")
        + left_out
    )
    drawn = finish(
        figure,
        folder / ("front" if front else "intervals"),
        "front" if front else "results",
        f"{primary.name} per configuration",
        caption,
        f"Means of {primary.name}: {short(means, 600)}.",
    )
    return replace(drawn, covers="intervals") if front and len(shown) == total else drawn


def _panels(rows: int, *, front: bool, compared: bool) -> tuple[Figure, Axes, Axes | None]:
    """Make the panels: side by side, on a narrow screen one below the other; the front has one there."""
    if is_narrow():
        below = compared and not front
        panel = 0.75 + 0.42 * rows
        figure = Figure(figsize=(NARROW_IN, (2 if below else 1) * panel))
        axes = figure.subplots(2 if below else 1, 1, squeeze=False)
        return figure, axes[0, 0], axes[1, 0] if below else None
    # The first screen is bounded downwards: its picture is as wide as it gets there, not as high as it could be.
    width = (_FRONT_WIDTH_IN if front else 10.5) if compared else (_FRONT_WIDTH_IN if front else 8.0)
    figure = Figure(figsize=(width, 1.5 + 0.46 * rows))
    axes = figure.subplots(
        1, 2 if compared else 1, sharey=True, squeeze=False, width_ratios=[1.45, 1] if compared else [1]
    )
    return figure, axes[0, 0], axes[0, 1] if compared else None


def _band(findings: Findings) -> tuple[float, float] | None:
    """Mean and standard deviation of the one baseline of the sweep; None where there is none, or several."""
    baselines = [one.estimate for one in findings.results if one.is_baseline]
    if len(baselines) != 1 or not baselines[0].std or baselines[0].mean is None:
        return None
    return baselines[0].mean, baselines[0].std


def _bases(shown: Sequence[ConfigurationResult]) -> str:
    """What the differences are over, in words: one thing for all rows, or several."""
    return " or ".join(sorted({one.comparison.basis for one in shown if one.comparison}))


def _fill_interval_panel(
    axes: Axes, frame: ExperimentFrame, findings: Findings, primary: Metric, shown: Sequence[ConfigurationResult]
) -> None:
    raw = metric_values(frame, primary.name)
    usable, number = frame.usable, frame.tasks["configuration"].to_numpy()
    if band := _band(findings):
        mean, std = band
        axes.axvspan(mean - 2 * std, mean + 2 * std, color=BAND, zorder=0, linewidth=0)
        axes.axvline(mean, color=MUTED, linewidth=1, linestyle="--", zorder=1)
    rows = [np.flatnonzero((number == one.number) & np.isfinite(raw)) for one in shown]
    low, high = _value_range(
        [raw[row] for row in rows], [one.estimate.low for one in shown], [one.estimate.high for one in shown]
    )
    for place, (one, row) in enumerate(zip(shown, rows, strict=True)):
        colour = INK if one.is_baseline else HUES[0]
        clean, altered = row[usable[row]], row[~usable[row]]
        axes.scatter(
            raw[clean], np.full(len(clean), place + 0.24), s=13, color=colour, alpha=0.75, linewidths=0, zorder=3
        )
        axes.scatter(
            raw[altered],
            np.full(len(altered), place + 0.24),
            s=16,
            marker="s",
            facecolors="none",
            edgecolors=MUTED,
            zorder=3,
        )
        _interval(axes, place, (one.estimate.mean, one.estimate.low, one.estimate.high), colour, (low, high))
        (_name_row if is_narrow() else _margin_note)(axes, place, one)
    axes.set_xlim(low, high)
    axes.set_yticks(range(len(shown)), [""] * len(shown) if is_narrow() else [row_label(one) for one in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    note = "" if low <= 0 <= high else "\nthe axis does not start at 0"
    axes.set_xlabel(axis_label(primary.name, primary.goal) + note)


def _fill_difference_panel(axes: Axes, shown: Sequence[ConfigurationResult]) -> None:
    """Relative differences in percent, where a baseline mean allows them."""
    axes.axvline(0, color=INK, linewidth=1)
    found = [
        (place, one.comparison)
        for place, one in enumerate(shown)
        if one.comparison and one.comparison.relative_percent is not None
    ]
    points = [np.array([one.relative_percent or 0.0, 0.0]) for _, one in found]
    ends = [one.relative_low for _, one in found], [one.relative_high for _, one in found]
    bounds = _value_range(points, *ends, with_zero=True)
    colours = {"WINNER": HUES[2], "LOSER": HUES[1], "EQUIVALENT": INK}
    for place, one in found:
        estimate = (one.relative_percent, one.relative_low, one.relative_high)
        _interval(axes, place, estimate, colours.get(_verdict_word(shown[place]), MUTED), bounds)
    for place, row in enumerate(shown):
        word = _row_word(row)
        colour = colours.get(word, MUTED)
        if is_narrow():
            _name_row(axes, place, row)
            continue
        axes.annotate(word, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=colour)
    if is_narrow():
        axes.set_ylim(len(shown) - 0.4, -0.7)
    axes.set_xlim(*bounds)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.grid(axis="x")
    axes.set_xlabel("difference from the baseline [%]")


def _row_word(one: ConfigurationResult) -> str:
    """What stands beside a row: its verdict, and where nothing is drawn why."""
    if one.comparison is None:
        return "baseline" if one.is_baseline else "no baseline"
    if one.comparison.relative_percent is None and one.comparison.difference is not None:
        return f"{_verdict_word(one)}, no percentage of 0"
    return _verdict_word(one)


def _verdict_word(one: ConfigurationResult) -> str:
    """The tested verdict, as it stands in the table."""
    word = one.judgement.tested.word if one.judgement else "not computable"
    return "not tested" if word == "not computable" else word


def _interval(
    axes: Axes,
    place: float,
    estimate: tuple[float | None, float | None, float | None],
    colour: str,
    bounds: tuple[float, float],
) -> None:
    """Draw a mean with its bar; where the bar leaves the axis an arrow says so."""
    mean, low, high = estimate
    if mean is None:
        return
    if low is not None and high is not None:
        axes.plot(
            [max(low, bounds[0]), min(high, bounds[1])],
            [place, place],
            color=colour,
            linewidth=2.2,
            solid_capstyle="butt",
            zorder=4,
        )
        for end, bound, marker in ((low, bounds[0], "<"), (high, bounds[1], ">")):
            if (end < bound) if marker == "<" else (end > bound):
                axes.plot([bound], [place], marker=marker, color=colour, markersize=6, clip_on=False, zorder=5)
    axes.plot(
        [mean], [place], marker="D", color=colour, markersize=6, markeredgecolor="white", markeredgewidth=0.7, zorder=6
    )


def _lost_marks(one: ConfigurationResult) -> list[str]:
    """What is missing from a row, or not what was asked: ``× 2 oom_gpu``."""
    lost = [f"× {count} {name}" for name, count in one.failed.items()]
    lost += [f"… {one.unfinished} not finished"] if one.unfinished else []
    return lost + ([f"□ {one.altered} altered"] if one.altered else [])


def _name_row(axes: Axes, place: int, one: ConfigurationResult) -> None:
    """Above a row: its name and n; at its right end the verdict, or what is missing."""
    where = ("axes fraction", "data")
    said, lost = _row_word(one), _lost_marks(one)
    colour = {"WINNER": HUES[2], "LOSER": HUES[1], "EQUIVALENT": INK, "baseline": MUTED}.get(said, "")
    told = short(", ".join(lost), 22) if lost else (said if colour else "")
    name = squeeze(plain(one.label), 41 - len(told)) + f"  n={one.estimate.n}" + (" !" if one.cautions else "")
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4}
    axes.annotate(name, (0.0, place - 0.3), xycoords=where, va="center", fontsize=8, color=INK, bbox=behind,
                  fontweight="bold" if said == "WINNER" else "normal")  # fmt: skip
    if told:
        axes.annotate(told, (1.0, place - 0.3), xycoords=where, va="center", ha="right", fontsize=8, bbox=behind,
                      color=BAD if lost else colour)  # fmt: skip


def _margin_note(axes: Axes, place: int, one: ConfigurationResult) -> None:
    """Beside each row: n, and what is missing from it."""
    lost = _lost_marks(one)
    where = ("axes fraction", "data")
    axes.annotate(
        f"n={one.estimate.n}" + (" !" if one.cautions else ""),
        (1.01, place - (0.16 if lost else 0)),
        xycoords=where,
        va="center",
        fontsize=8,
        color=INK,
    )
    if lost:
        axes.annotate(", ".join(lost), (1.01, place + 0.22), xycoords=where, va="center", fontsize=7.5, color=BAD)


def row_label(one: ConfigurationResult) -> str:
    """Name a row in at most two lines."""
    text = plain(one.label)
    head, _, tail = text.partition(", ") if len(text) > 26 else (text, "", "")
    lines = [short(head, 34), short(tail, 40)]
    return "\n".join(line for line in lines if line) or text[:34]


def _value_range(
    points: Sequence[Floats], lows: Sequence[float | None], highs: Sequence[float | None], with_zero: bool = False
) -> tuple[float, float]:
    """Choose an axis: all points, intervals as far as points stay legible, and 0 unless it dwarfs the spread."""
    values = np.concatenate([np.asarray(one, dtype=np.float64) for one in points]) if points else np.zeros(1)
    values = values if len(values) else np.zeros(1)
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    ends = [end for end in (*lows, *highs) if end is not None]
    reach = (25 if with_zero else 4) * span
    low, high = max(low - reach, min([low, *ends])), min(high + reach, max([high, *ends]))
    if with_zero or high - low >= 0.25 * max(abs(low), abs(high)):
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - 1.0, high + 1.0
    pad = 0.04 * (high - low)
    return (low if low == 0 else low - pad), (high if high == 0 else high + pad)
