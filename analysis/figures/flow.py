"""Draws the way of the runs from planned to analysed, the numbers at each arrow."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import BAD, BAND, HUES, INK, MUTED, NARROW_IN, Drawing, finish, is_narrow, short
from analysis.findings.findings import Findings
from analysis.findings.flow import Stage, find_flow, say_flow
from analysis.words import plain

_BOX = {"boxstyle": "round,pad=0.45", "facecolor": BAND, "edgecolor": MUTED, "linewidth": 1.0}
_SIDE = 0.46
"""Where what leaves the way begins, as a share of the width."""


def draw_flow(findings: Findings, folder: Path) -> Drawing:
    """Draw one box per step; to the right of each arrow what left the way there."""
    stages = find_flow(findings)
    heights = [0.4, *(max(0.85, 0.32 * len(stage.left) + 0.5) for stage in stages[1:])]
    figure = Figure(figsize=(NARROW_IN if is_narrow() else 6.4, 0.3 + sum(heights)))
    axes = figure.subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(sum(heights), 0)
    axes.axis("off")
    place = 0.0
    for stage, height in zip(stages, heights, strict=True):
        if place:
            _arrow(axes, place, place + height)
            _leaving(axes, stage, place + height / 2)
        place += height
        last = stage is stages[-1]
        box = {**_BOX, "edgecolor": HUES[0], "linewidth": 1.8} if last else _BOX
        axes.text(0.19, place - 0.02, f"{stage.count} {stage.name}", ha="center", va="center", color=INK, bbox=box,
                  fontsize=8 if is_narrow() else 10.5, fontweight="bold" if last else "normal", zorder=3)  # fmt: skip
    figure.tight_layout()
    caption = "Every run appears once: how many are left at each step and, to the right, how many dropped out and why."
    alt = "; ".join(say_flow(stages)) + "."
    return finish(figure, folder / "flow", "flow", "From planned to analysed", caption, alt)


def _arrow(axes: Axes, start: float, end: float) -> None:
    axes.annotate("", (0.19, end - 0.22), (0.19, start + 0.18),
                  arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2})  # fmt: skip


def _leaving(axes: Axes, stage: Stage, middle: float) -> None:
    """Name what left the way before a step; nothing where nothing did."""
    if not stage.left:
        return
    axes.annotate("", (_SIDE, middle), (0.19, middle),
                  arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.0, "shrinkA": 0})  # fmt: skip
    first = middle - 0.32 * (len(stage.left) - 1) / 2
    for number, (words, count) in enumerate(stage.left):
        colour = BAD if words.startswith("failed") else INK
        narrow = is_narrow()
        text = ("× " if colour == BAD else "") + f"{count} {short(plain(words), 27 if narrow else 46)}"
        axes.text(_SIDE + 0.02, first + 0.32 * number, text, va="center", fontsize=8 if narrow else 9.5, color=colour)
