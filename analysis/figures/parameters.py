"""Draws what the swept parameters do: the runs at each value of each parameter, and all configurations as lines."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.data.comparable import Comparable, comparable_values
from analysis.data.frame import ExperimentFrame
from analysis.data.swept import Swept, find_swept
from analysis.data.values import usable_values
from analysis.figures.drawing import (
    BAD,
    GRADIENT,
    HUES,
    INK,
    MUTED,
    NARROW_IN,
    Drawing,
    axis_label,
    colour_steps,
    finish,
    is_narrow,
    name_rows,
    short,
)
from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.selection import choose_shown
from analysis.statistics.estimates import estimate
from analysis.statistics.importance import Importance
from analysis.words import coverage, plain
from hpc.core.experiment.spec import Metric

MAX_EFFECTS = 6
MAX_LINES = 300
_MAX_TICKS = 12


def draw_parameters(frame: ExperimentFrame, findings: Findings, folder: Path) -> list[Drawing]:
    """Draw the effect of each parameter where several vary, and parallel coordinates from three on."""
    swept = find_swept(frame)
    if findings.primary is None or not np.isfinite(usable_values(frame, findings.primary.name)).any():
        return []
    drawn = []
    found = comparable_values(frame, findings.primary)
    # What a system does by itself was taken out of the values: only other parameters can have an effect.
    shown = [one for one in swept if one.name not in found.systems][:MAX_EFFECTS]
    if len(swept) > 1 and shown:
        level = findings.plan.confidence
        drawn.append(_draw_effects(frame, findings.primary, shown, found, level, folder / "effects"))
    if len(swept) >= 3 and not found.systems:
        drawn.append(_draw_parallel(frame, findings, findings.primary, swept, folder / "parallel"))
    return drawn


def draw_importance(found: Importance, folder: Path) -> Drawing:
    """Draw each parameter's share of the variance with its interval, and the strongest interactions below."""
    pairs = found.interactions[:MAX_EFFECTS]
    bars = [(one.name, one.share, one.low, one.high, HUES[0]) for one in found.parameters[: 2 * MAX_EFFECTS]]
    bars += [(" × ".join(one.names), one.share, one.low, one.high, HUES[4]) for one in pairs]
    narrow = is_narrow()
    figure = Figure(figsize=(NARROW_IN if narrow else 8.0, 1.1 + (0.46 if narrow else 0.36) * len(bars)),
                    layout="constrained")  # fmt: skip
    axes = figure.subplots()
    for place, (_, share, low, high, colour) in enumerate(bars):
        axes.barh(place, 100 * share, color=colour, height=0.36 if narrow else 0.6, zorder=2)
        axes.plot([100 * low, 100 * high], [place, place], color=INK, linewidth=1.6, marker="|", markersize=7, zorder=3)
    name_rows(axes, [name for name, *_ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.75 if narrow else -0.6)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    what = f"share of the variance of {plain(found.metric)}"
    axes.set_xlabel(what + ("\n" if narrow else " ") + f"between {found.runs} runs [%]")
    caption = (
        f"Bars: share of the variance beyond chance (ω²), lines: {coverage(found.level)} interval. "
        + ("Lighter bars with ×: the interaction of two parameters, beyond the effect of each. " if pairs else "")
        + (f"Read with care: {plain(found.warning)}." if found.warning else "")
    )
    alt = "; ".join(
        f"{name} {100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})" for name, share, low, high, _ in bars
    )
    return finish(figure, folder / "importance", "parameters", "Importance of the parameters", caption, short(alt, 900))


def _draw_effects(
    frame: ExperimentFrame, primary: Metric, swept: Sequence[Swept], found: Comparable, level: float, path: Path
) -> Drawing:
    """A panel per parameter on one scale: every usable run, and the mean with its interval at each value."""
    values = found.values
    failed = (frame.tasks["outcome"] == "failed").to_numpy()
    columns = 1 if is_narrow() else min(3, len(swept))
    lines = -(-len(swept) // columns)
    size = (NARROW_IN, 2.1 * lines + 0.4) if is_narrow() else (max(6.5, 3.4 * columns), 2.9 * lines + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for panel, one in zip(grid.flat, swept, strict=False):
        _fill_effect(panel, one, values, failed, level)
    for panel in grid.flat[len(swept) :]:
        panel.set_visible(False)
    first: Axes = grid[0, 0]
    low, high = first.get_ylim()
    if low > 0 and high - low >= 0.25 * high:
        first.set_ylim(bottom=0)
    note = "" if first.get_ylim()[0] <= 0 <= first.get_ylim()[1] else "\naxis does not start at 0"
    unit = f"\n{found.unit}" if found.unit else ""
    figure.supylabel(axis_label(primary.name, primary.goal) + unit + note, fontsize=9.5)
    caption = (
        "Dots: single runs, over all values of the other parameters. Diamond and bar: their mean with its "
        f"{coverage(level)} interval (Student's t; it covers runs of different configurations, so it is wide). × k: k "
        "runs failed at this value and are not in the mean. All panels share one scale."
    )
    if any(np.bincount(one.codes).max() > _most_dots(one) for one in swept):
        caption += " Where a value has many runs, only some are drawn, evenly over their range; the means are over all."
    told = "; ".join(_told_effect(one, values) for one in swept)
    return finish(figure, path, "parameters", f"{primary.name} by parameter", caption, short(told, 900))


def _fill_effect(panel: Axes, one: Swept, values: np.ndarray, failed: np.ndarray, level: float) -> None:
    rng = np.random.default_rng(0)
    means = []
    most = _most_dots(one)
    for code in range(len(one.values)):
        mine = values[one.codes == code]
        mine = mine[np.isfinite(mine)]
        shown = mine if len(mine) <= most else np.sort(mine)[np.linspace(0, len(mine) - 1, most).astype(np.int64)]
        shift = rng.uniform(-0.13, 0.13, len(shown))
        panel.scatter(code + 0.18 + shift * 0.5, shown, s=9, color=MUTED, alpha=0.5, linewidths=0, zorder=2)
        found = estimate(mine, level)
        means.append(np.nan if found.mean is None else found.mean)
        if found.low is not None and found.high is not None:
            panel.plot([code - 0.12] * 2, [found.low, found.high], color=HUES[0], linewidth=2.2, zorder=3)
        lost = int(failed[one.codes == code].sum())
        if lost:
            panel.annotate(f"× {lost}", (code, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom",
                           fontsize=8, color=BAD)  # fmt: skip
    places = np.arange(len(one.values)) - 0.12
    panel.plot(places, means, color=HUES[0], linewidth=1.0 if one.is_numeric else 0, marker="D", markersize=5.5,
               markeredgecolor="white", zorder=4)  # fmt: skip
    every = max(1, -(-len(one.values) // _MAX_TICKS))
    panel.set_xticks(range(0, len(one.values), every), [short(plain(text), 18) for text in one.labels[::every]])
    panel.set_xlim(-0.6, len(one.values) - 0.4)
    panel.set_xlabel(axis_label(one.name))
    panel.grid(axis="y")


def _most_dots(one: Swept) -> int:
    """Dots at one value beyond which a panel would be a blot, and the page heavy."""
    return max(5, (200 if is_narrow() else 400) // len(one.values))


def _told_effect(one: Swept, values: np.ndarray) -> str:
    found = [estimate(values[one.codes == code]) for code in range(len(one.values))]
    return f"{one.name}: " + ", ".join(
        f"{label} {each.mean:.4g} (n={each.n})" for label, each in zip(one.labels, found, strict=True)
        if each.mean is not None
    )  # fmt: skip


def _draw_parallel(
    frame: ExperimentFrame, findings: Findings, primary: Metric, swept: Sequence[Swept], path: Path
) -> Drawing:
    """An axis per parameter, the metric as the last; a line per configuration, without a value it ends apart."""
    shown = choose_shown(findings, MAX_LINES)
    first = frame.tasks.drop_duplicates("configuration").set_index("configuration").index
    row_of = dict(zip(first, frame.tasks.drop_duplicates("configuration").index, strict=True))
    means = [one.estimate.mean for one in shown if one.estimate.mean is not None]
    norm = Normalize(min(means), max(means) if max(means) > min(means) else min(means) + 1e-12)
    narrow = is_narrow()
    size = (NARROW_IN, 3.6) if narrow else (max(8.0, 1.55 * len(swept) + 3), 4.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    order = sorted(shown, key=lambda one: one.estimate.mean is None)
    hints: dict[str, str] = {}
    lost = 0
    for place, one in enumerate(order):
        aside = 0.05 * (place / max(1, len(order) - 1) - 0.5)  # lines through the same values stay apart
        heights = [_height(each, int(each.codes[row_of[one.number]])) + aside for each in swept]
        lost += one.estimate.mean is None
        hints[f"line-{one.number}"] = f"{one.label}: {_mean_text(one)}"
        _line(axes, heights, one, norm)
    last = len(swept)
    for place, each in enumerate(swept):
        axes.axvline(place, color=INK, linewidth=1, zorder=1)
        every = max(1, -(-len(each.values) // _MAX_TICKS))
        for code in range(0, len(each.values), every):
            axes.annotate(short(plain(each.labels[code]), 16), (place, _height(each, code)), xytext=(5, 0),
                          textcoords="offset points", va="center", fontsize=8, color=INK, zorder=6,
                          bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8})  # fmt: skip
    axes.axvline(last, color=INK, linewidth=1, zorder=1)
    for share in (0.0, 0.5, 1.0):
        value = norm.vmin + share * (norm.vmax - norm.vmin) if norm.vmin is not None and norm.vmax is not None else 0.0
        axes.annotate(f"{value:.4g}", (last, share), xytext=(5, -3), textcoords="offset points", fontsize=8)
    if lost:
        axes.annotate(
            f"× no value ({lost})", (last, -0.12), xytext=(5, -3), textcoords="offset points", fontsize=8, color=BAD
        )
    axes.set_xticks(range(last + 1), [short(plain(one.name), 18) for one in swept] + [plain(primary.name)],
                    rotation=40 if narrow else 0, ha="right" if narrow else "center")  # fmt: skip
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.1, last + 0.25)
    axes.set_ylim(-0.17 if lost else -0.05, 1.06)
    if not narrow:
        bar = figure.colorbar(ScalarMappable(norm, colour_steps()), ax=axes, fraction=0.03, pad=0.06)
        bar.set_label(axis_label(primary.name, primary.goal))
    total = len(findings.results)
    caption = (
        "One line per configuration, through the values of its parameters (equally spaced) to its mean."
        + (f" Dashed red, ending at ×: configurations without a value ({lost})." if lost else "")
        + (f" {len(shown)} of {total} configurations are shown." if len(shown) < total else "")
    )
    names = ", ".join(one.name for one in swept)
    alt = f"{len(shown)} configurations over {names}; {primary.name} from {min(means):.4g} to {max(means):.4g}."
    return finish(figure, path, "parameters", f"All configurations and their {primary.name}", caption, alt, hints)


def _mean_text(one: ConfigurationResult) -> str:
    return "no value" if one.estimate.mean is None else f"{one.estimate.mean:.4g} (n={one.estimate.n})"


def _height(one: Swept, code: int) -> float:
    return code / (len(one.values) - 1)


def _line(axes: Axes, heights: Sequence[float], one: ConfigurationResult, norm: Normalize) -> None:
    mean = one.estimate.mean
    places = range(len(heights) + 1)
    if mean is None:
        ends = [*heights, -0.12]
        axes.plot(places, ends, color=BAD, linewidth=1.1, zorder=4, linestyle="--", gid=f"line-{one.number}")
        axes.plot(places[-1], ends[-1], color=BAD, marker="x", zorder=4)
    else:
        colour = mpl.colormaps[GRADIENT](float(norm(mean)))
        axes.plot(places, [*heights, float(norm(mean))], color=colour, linewidth=1.4, alpha=0.85, zorder=3,
                  gid=f"line-{one.number}")  # fmt: skip
