"""Draws when the attempts ran: each as a bar beside its run, or where there are too many, how many ran at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.lineage import Fate
from analysis.figures.drawing import BAD, HUES, INK, MUTED, NARROW_IN, Drawing, finish, is_narrow, short
from analysis.words import plain
from hpc.core.words import counted

MAX_BARS = 60
"""Runs that get a line of their own."""
_BINS = 240
_LOOKS = {
    Fate.SUCCESS: (HUES[0], "", "gave the result"),
    Fate.CONTINUED: (HUES[4], "", "continued by a later attempt"),
    Fate.FAILED: (HUES[1], "////", "failed"),
    Fate.OPEN: (MUTED, "..", "not ended"),
}
_UNITS = ((60.0, "s", 1.0), (7200.0, "min", 60.0), (172_800.0, "h", 3600.0), (float("inf"), "d", 86_400.0))


def draw_timeline(frame: ExperimentFrame, folder: Path) -> list[Drawing]:
    """Draw the attempts over the time since the first began; nothing where no start is recorded."""
    attempts = frame.attempts.dropna(subset=["started"])
    if attempts.empty:
        return []
    start = attempts["started"].to_numpy(dtype=np.float64)
    ended = attempts["ended"].fillna(frame.collected).to_numpy(dtype=np.float64)
    origin = float(start.min())
    span = max(float((ended - origin).max()), 1e-3)
    unit, seconds = next((unit, seconds) for limit, unit, seconds in _UNITS if span <= limit)
    bars = (start - origin) / seconds, np.maximum(ended - start, 0.0) / seconds
    fates = [Fate(one) for one in attempts["fate"]]
    task = attempts["task"].to_numpy(dtype=np.int64)
    number = attempts["attempt"].to_numpy(dtype=np.int64)
    category = attempts["category"].astype(str).tolist()
    if len(set(task.tolist())) <= MAX_BARS:
        return [_draw_bars(frame, bars, fates, (task, number, category), (unit, folder / "timeline"))]
    return [_draw_crowd(bars, fates, (unit, folder / "timeline"))]


def _draw_bars(
    frame: ExperimentFrame,
    bars: tuple[Floats, Floats],
    fates: Sequence[Fate],
    whose: tuple[np.ndarray, np.ndarray, Sequence[str]],
    out: tuple[str, Path],
) -> Drawing:
    task, number, category = whose
    begins, lengths = bars
    order = sorted(set(task.tolist()), key=lambda row: (float(begins[task == row].min()), row))
    place = {row: line for line, row in enumerate(order)}
    narrow = is_narrow()
    figure = Figure(figsize=(NARROW_IN if narrow else 9.0, 1.3 + 0.21 * len(order)), layout="constrained")
    axes = figure.subplots()
    hints = {}
    for one in range(len(task)):
        colour, hatch, words = _LOOKS[fates[one]]
        gid = f"bar-{one}"
        axes.barh(place[int(task[one])], lengths[one], left=begins[one], height=0.66, color=colour, hatch=hatch,
                  edgecolor="white", linewidth=0.6, gid=gid)[0].set_gid(gid)  # fmt: skip
        name = frame.tasks["run_name"].iloc[int(task[one])]
        hints[gid] = f"{name}, attempt {number[one]}: {category[one] or words}, {lengths[one]:.3g} {out[0]}"
        if fates[one] is Fate.FAILED:
            axes.plot(begins[one] + lengths[one], place[int(task[one])], marker="x", color=BAD, markersize=5, zorder=4)
    names = [short(plain(str(frame.tasks["run_name"].iloc[row])), 20 if narrow else 32) for row in order]
    axes.set_yticks(range(len(order)), names, fontsize=6.5 if narrow else 8 if len(order) < 40 else 7)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.01)
    axes.grid(axis="x")
    _finish_axes(axes, out[0], fates)
    never = len(frame.tasks) - len(order)
    caption = "Each bar is an attempt; attempts of one run share a line." + _failed_words(fates)
    caption += f" {counted(never, 'run')} without an attempt." if never else ""
    return finish(figure, out[1], "resources", "When the attempts ran", caption, _alt(fates, bars, out[0]), hints)


def _draw_crowd(bars: tuple[Floats, Floats], fates: Sequence[Fate], out: tuple[str, Path]) -> Drawing:
    """Attempts running at once, by outcome."""
    begins, lengths = bars
    edges = np.linspace(0, float((begins + lengths).max()), _BINS + 1)
    figure = Figure(figsize=(NARROW_IN, 2.8) if is_narrow() else (9.0, 3.4), layout="constrained")
    axes = figure.subplots()
    below = np.zeros(_BINS)
    for fate, (colour, hatch, _) in _LOOKS.items():
        mine = np.array([one is fate for one in fates])
        if mine.any():
            heights = below + running_at_once(begins[mine], lengths[mine], edges)
            axes.fill_between(edges[:-1], below, heights, color=colour, step="post", linewidth=0, hatch=hatch,
                              edgecolor="white")  # fmt: skip
            below = heights
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_ylabel("attempts running at once (mean)")
    _finish_axes(axes, out[0], fates)
    caption = f"{counted(len(fates), 'attempt')} by outcome, stacked; the mean over each of {_BINS} equal intervals."
    return finish(figure, out[1], "resources", "When the attempts ran", caption, _alt(fates, bars, out[0]))


def running_at_once(begins: Floats, lengths: Floats, edges: Floats) -> Floats:
    """Mean number of attempts running between each two edges: array of shape (edges − 1,)."""
    ends = begins + lengths

    def busy_until(moment: Floats) -> Floats:
        started = np.searchsorted(np.sort(begins), moment, side="right")
        over = np.searchsorted(np.sort(ends), moment, side="right")
        begun = np.concatenate([[0.0], np.cumsum(np.sort(begins))])[started]
        done = np.concatenate([[0.0], np.cumsum(np.sort(ends))])[over]
        total: Floats = (started - over) * moment - begun + done
        return total

    busy = busy_until(edges)
    return np.diff(busy) / np.diff(edges)


def _finish_axes(axes: Axes, unit: str, fates: Sequence[Fate]) -> None:
    axes.set_xlabel(f"time since the first attempt began [{unit}]")
    there = [Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=words)
             for fate, (colour, hatch, words) in _LOOKS.items() if fate in fates]  # fmt: skip
    axes.legend(handles=there, loc="lower left", bbox_to_anchor=(0, 1.0), labelcolor=INK,
                ncols=2 if is_narrow() else 4, borderaxespad=0.2, fontsize=7 if is_narrow() else 8.5)  # fmt: skip


def _failed_words(fates: Sequence[Fate]) -> str:
    return " Hatched and ending in ×: failed." if Fate.FAILED in fates else ""


def _alt(fates: Sequence[Fate], bars: tuple[Floats, Floats], unit: str) -> str:
    counts = "; ".join(
        f"{count} {words}" for fate, (_, _, words) in _LOOKS.items() if (count := sum(one is fate for one in fates))
    )
    return f"{counted(len(fates), 'attempt')} within {float((bars[0] + bars[1]).max()):.3g} {unit}: {counts}."
