"""Draws the report's figures: SVG and PNG files, the same bytes every time for the same results.

Rules they keep: every run is visible (failed ones as × or as a count, never silently left out), axes are labelled, an
axis that does not start at 0 says so, spread is always shown, and no meaning hangs on colour alone.
"""

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.findings import ConfigurationResult, Findings, ResourceUse, metric_values
from analysis.frame import ExperimentFrame, Series, load_series
from analysis.lineage import Fate
from hpc.adapters.files import write_text
from hpc.core.spec import Metric

Floats = npt.NDArray[np.float64]

# Okabe and Ito's palette, which all common kinds of colour vision tell apart; yellow last, it is weak on white.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
INK, MUTED, GRID, BAND, BAD = "#1d2733", "#5b6675", "#d9dee5", "#e9edf3", "#b3261e"
COLOURS = {"card": "#ffffff", "ink": INK, "muted": MUTED, "grid": GRID, "band": BAND, "bad": BAD} | {
    f"hue{place}": hue for place, hue in enumerate(HUES)
}
MAX_ROWS = 24
READABLE = 0o644  # a report is there to be read by others; the umask still applies
MAX_CURVES = 6
MAX_PANELS = 4
_GRID_POINTS = 400
_STYLE: Any = {
    "svg.hashsalt": "report",  # else SVG ids are random and no two reports are alike
    "svg.fonttype": "none",
    "text.parse_math": False,  # a '$' in a name is a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_UNITS = (
    (re.compile(r"(^|_)(time|seconds|s)$"), "s"),
    (re.compile(r"_mib$"), "MiB"),
    (re.compile(r"_percent$"), "%"),
)


@dataclass(frozen=True)
class Drawing:
    """One finished figure.

    Attributes:
        name: File name without ending.
        title: What it shows, as a heading.
        caption: What the marks mean and what was left out.
        alt: What a reader who cannot see it should know.
        svg: The picture for the page, colours as CSS variables, without prolog.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str


def draw_all(frame: ExperimentFrame, findings: Findings, folder: Path) -> tuple[Drawing, ...]:
    """Draw every figure there are results for, into `folder`."""
    with _drawing_style():
        drawings = []
        if findings.primary is not None and any(one.estimate.n for one in findings.results):
            drawings.append(_draw_intervals(frame, findings, findings.primary, folder))
        drawings += _draw_curves(frame, findings, folder)
        if findings.resources.by_verdict:
            drawings.append(_draw_spending(findings.resources, folder))
    return tuple(drawings)


def choose_shown(findings: Findings, limit: int) -> tuple[ConfigurationResult, ...]:
    """Choose which configurations fit: all, or baselines, then the best ones and the worst one; in manifest order."""
    results = findings.results
    if len(results) <= limit:
        return results
    sign = -1 if findings.primary and findings.primary.goal == "max" else 1
    valued = sorted(
        (one for one in results if one.estimate.mean is not None), key=lambda one: sign * (one.estimate.mean or 0.0)
    )
    ranked = [one for one in results if one.is_baseline][: limit // 3 or 1] + valued[-1:] + valued + list(results)
    chosen = list(dict.fromkeys(one.number for one in ranked))[:limit]
    return tuple(results[number] for number in sorted(chosen))


def axis_label(metric: str, goal: str = "") -> str:
    """Label an axis: name, unit where the name tells it, and which way is better."""
    unit = next((unit for pattern, unit in _UNITS if pattern.search(metric)), "")
    better = {"min": "lower is better", "max": "higher is better"}.get(goal, "")
    return plain(metric) + (f" [{unit}]" if unit else "") + (f" ({better})" if better else "")


def plain(text: str) -> str:
    """Make any text safe to show: control characters become their pictures, what reorders or hides text a '�'."""
    return text if text.isprintable() else "".join(_plain_character(one) for one in text)


def _plain_character(one: str) -> str:
    if ord(one) < 0x20:
        return chr(0x2400 + ord(one))
    if one == "\x7f":
        return "␡"
    # U+2028/2029 end lines, Cf (but not the joiners emoji need) reorders or hides text, Cs cannot be encoded.
    hidden = unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or (
        unicodedata.category(one) == "Cf" and one != "\u200d"
    )
    return "�" if hidden else one


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


@contextmanager
def _drawing_style() -> Iterator[None]:
    """Set our style and nothing of the user's own, so that a figure looks the same on every machine."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # Names may hold any script; a PNG without that glyph shows a box, the SVG leaves it to the browser.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        yield


def _finish(figure: Figure, path: Path, title: str, caption: str, alt: str) -> Drawing:
    """Write both files (`path` has no ending) and prepare the picture for the page."""
    folder, name = path.parent, path.name
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        bbox_inches="tight",
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    write_text(folder / f"{name}.svg", buffer.getvalue(), READABLE)
    figure.savefig(folder / f"{name}.png", dpi=160, bbox_inches="tight", metadata={"Software": None})
    return Drawing(name, title, caption, alt, themed_svg(buffer.getvalue(), name))


def themed_svg(svg: str, prefix: str) -> str:
    """Cut an SVG file down to what belongs into a page: no prolog, own ids, colours that follow the page's theme."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r"\bid=\"", f'id="{prefix}-', body)
    body = re.sub(r"(xlink:href=\"#|url\(#)", rf"\g<1>{prefix}-", body)
    for name, colour in COLOURS.items():
        body = re.sub(rf"(?<=(?:ill|oke): ){colour}\b", f"var(--{name})", body)
    return body.strip()


def _draw_intervals(frame: ExperimentFrame, findings: Findings, primary: Metric, folder: Path) -> Drawing:
    """Every run and every interval; beside it the difference from the baseline, whose zero means 'no difference'."""
    shown = choose_shown(findings, MAX_ROWS)
    compared = any(one.comparison is not None for one in shown)
    height = 1.5 + 0.46 * len(shown)
    figure = Figure(figsize=(10.5 if compared else 8.0, height))
    axes = figure.subplots(
        1, 2 if compared else 1, sharey=True, squeeze=False, width_ratios=[1.45, 1] if compared else [1]
    )
    left: Axes = axes[0, 0]
    _fill_interval_panel(left, frame, findings, primary, shown)
    if compared:
        _fill_difference_panel(axes[0, 1], shown)
    left.set_ylim(len(shown) - 0.4, -0.7)
    figure.tight_layout(w_pad=2.5)
    total = len(findings.results)
    left_out = f" {len(shown)} of {total} configurations are shown." if len(shown) < total else ""
    means = "; ".join(
        f"{one.label} {one.estimate.mean:.4g} (n={one.estimate.n})" for one in shown if one.estimate.mean is not None
    )
    caption = (
        "Small dots: single runs. Diamond and bar: mean with its 95 % interval (Student's t; arrow: it goes on). "
        + (
            "Shaded: baseline mean ± 2σ. Right: difference of the means with Welch's 95 % interval, not adjusted. "
            if compared
            else ""
        )
        + ("Hollow squares: altered runs, not in any mean. " if findings.counts.altered else "")
        + "Beside each row: n, and what is missing from it."
        + (" n !: what is in this mean needs care, see the table." if any(one.cautions for one in shown) else "")
        + left_out
    )
    return _finish(
        figure,
        folder / "intervals",
        f"{primary.name} per configuration",
        caption,
        f"Means of {primary.name}: {shorten(means, 600, placeholder=' …')}.",
    )


def _fill_interval_panel(
    axes: Axes, frame: ExperimentFrame, findings: Findings, primary: Metric, shown: Sequence[ConfigurationResult]
) -> None:
    raw = metric_values(frame, primary.name)
    usable, number = frame.usable, frame.tasks["configuration"].to_numpy()
    baselines = [one for one in findings.results if one.is_baseline]
    if len(baselines) == 1 and baselines[0].estimate.std and baselines[0].estimate.mean is not None:
        mean, std = baselines[0].estimate.mean, baselines[0].estimate.std
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
        _margin_note(axes, place, one)
    axes.set_xlim(low, high)
    axes.set_yticks(range(len(shown)), [_row_label(one) for one in shown])
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
    points, lows, highs = [], [], []
    for _, comparison in found:
        scale = _percent_scale(comparison.difference, comparison.relative_percent)
        points.append(np.array([comparison.relative_percent or 0.0, 0.0]))
        lows.append(None if comparison.low is None else comparison.low * scale)
        highs.append(None if comparison.high is None else comparison.high * scale)
    bounds = _value_range(points, lows, highs, with_zero=True)
    for (place, comparison), low, high in zip(found, lows, highs, strict=True):
        colour = {"better": HUES[2], "worse": HUES[1]}.get(comparison.tested_verdict, MUTED)
        _interval(axes, place, (comparison.relative_percent, low, high), colour, bounds)
        word = {"better": "better", "worse": "worse", "inconclusive": "inconclusive"}.get(
            comparison.tested_verdict, "not tested"
        )
        axes.annotate(word, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=colour)
    for place, one in enumerate(shown):
        if one.comparison is None:
            word = "baseline" if one.is_baseline else "no baseline"
            axes.annotate(word, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=MUTED)
    axes.set_xlim(*bounds)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.grid(axis="x")
    axes.set_xlabel("difference from the baseline [%]")


def _percent_scale(difference: float | None, relative: float | None) -> float:
    """Percent of the baseline's mean per unit of the metric; 0 where the difference is 0 and any scale would do."""
    return (relative or 0.0) / difference if difference else 0.0


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


def _margin_note(axes: Axes, place: int, one: ConfigurationResult) -> None:
    """Beside each row: n, and what is missing from it."""
    lost = [f"× {count} {name}" for name, count in one.failed.items()]
    lost += [f"… {one.unfinished} not finished"] if one.unfinished else []
    lost += [f"□ {one.altered} altered"] if one.altered else []
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


def _row_label(one: ConfigurationResult) -> str:
    """Name a row in at most two lines."""
    text = plain(one.label)
    head, _, tail = text.partition(", ") if len(text) > 26 else (text, "", "")
    lines = [shorten(head, 34, placeholder="…") or head[:34], shorten(tail, 40, placeholder="…") or tail[:40]]
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


def _draw_curves(frame: ExperimentFrame, findings: Findings, folder: Path) -> list[Drawing]:
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
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(max(8.0, 3.3 * columns), 0.7 + 2.5 * lines))
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    number, outcome = frame.tasks["configuration"].to_numpy(), frame.tasks["outcome"].to_numpy()
    by_configuration = {one.number: [curve for curve in curves if number[curve.task] == one.number] for one in shown}
    means = {
        place: mean_curve([curve for curve in mine if frame.usable[curve.task]])
        for place, mine in by_configuration.items()
    }
    for panel, one in zip(axes.flat, shown, strict=False):
        for curve in by_configuration[one.number]:
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
    note = _scale_values(axes[0, 0], curves)
    for panel in axes.flat[max(0, len(shown) - columns) : len(shown)]:
        panel.set_xlabel("step")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        panel.tick_params(axis="x", labelbottom=True)
    figure.supylabel(axis_label(*metric) + note, fontsize=9.5, color=INK)
    figure.tight_layout(h_pad=1.4)
    caption = _curve_caption(frame, findings, shown, curves)
    alt = f"Learning curves of {metric[0]} for {len(shown)} configurations and {len(curves)} runs."
    return _finish(figure, path, f"{metric[0]} while training", caption, alt)


def _curve_caption(
    frame: ExperimentFrame, findings: Findings, shown: Sequence[ConfigurationResult], curves: Sequence[Series]
) -> str:
    told = [str(frame.tasks["outcome"].iloc[curve.task]) for curve in curves]
    failed, running = told.count("failed"), len(told) - told.count("failed") - told.count("finished")
    text = (
        "Bold line and band: mean ± std of the finished, unaltered runs over the steps all of them reached. "
        "Thin lines: single runs, attempts joined where they resumed. All panels have one scale."
    )
    if any(one.is_baseline for one in findings.results):
        text += " Dashed: the baseline's mean."
    if failed:
        text += f" Red, ending in ×: failed runs ({failed}), in no mean."
    if running:
        text += f" Dotted: runs not finished ({running})."
    if len(shown) < len(findings.results):
        text += f" Shown are baseline, best and worst: {len(shown)} of {len(findings.results)} configurations."
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
    axes.set_title(_row_label(one), fontsize=8.5, linespacing=1.15, pad=16)
    axes.text(0, 1.02, counts, transform=axes.transAxes, fontsize=8, color=BAD if one.failed else MUTED, va="bottom")


def _scale_values(axes: Axes, curves: Sequence[Series]) -> str:
    """Choose the value axis: logarithmic over two decades, else from 0, else cut; give the words for the label."""
    values = [curve.value[np.isfinite(curve.value)] for curve in curves]
    finite = np.concatenate(values)
    if not len(finite):
        return ""
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > 100 * low:
        axes.set_yscale("log")
        return ", log scale"
    if low >= 0 and high - low >= 0.25 * high:
        axes.set_ylim(bottom=0)
    return "" if axes.get_ylim()[0] <= 0 <= axes.get_ylim()[1] else ", axis does not start at 0"


def _draw_spending(use: ResourceUse, folder: Path) -> Drawing:
    """Hours by verdict of the attempt, from zero."""
    unit = "GPU hours" if use.has_gpu else "core hours"
    hours = [one.gpu_hours if use.has_gpu else one.cpu_hours for one in use.by_verdict]
    figure = Figure(figsize=(8.0, 0.9 + 0.42 * len(hours)))
    axes = figure.subplots()
    colours = [
        {Fate.SUCCESS: HUES[0], Fate.CONTINUED: HUES[4], Fate.OPEN: MUTED}.get(Fate(one.fate), HUES[1])
        for one in use.by_verdict
    ]
    axes.barh(range(len(hours)), hours, color=colours, height=0.62)
    for place, (one, value) in enumerate(zip(use.by_verdict, hours, strict=True)):
        attempts = f"{one.attempts} attempt" + ("s" if one.attempts != 1 else "")
        axes.annotate(
            f"{value:.3g} h, {attempts}",
            (value, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(hours)), [one.category for one in use.by_verdict])
    axes.set_ylim(len(hours) - 0.5, -0.5)
    axes.set_xlim(0, (max(hours) or 1.0) * 1.3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel(f"{unit} used [h]")
    figure.tight_layout()
    told = "; ".join(f"{one.category} {value:.3g}" for one, value in zip(use.by_verdict, hours, strict=True))
    caption = (
        "By what came of the attempt. Continued: taken away, and taken up by the attempt that gave the result, so the "
        "result has used these hours too. Not all is lost of a failed attempt where the next one resumed from its "
        "checkpoint."
    )
    return _finish(figure, folder / "resources", f"Where the {unit} went", caption, f"{unit}: {told}.")
