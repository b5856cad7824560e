"""The pictures of ``docs/scale.md``: narrow enough that their text can be read on a telephone."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator, PercentFormatter

from analysis.figures.drawing import GRID, HUES, INK, drawing_style, finish
from benchmarks.simulation.policies import Blind, NoRetry, Ours

Row = Mapping[str, Any]
WIDTH_IN = 4.0
"""At 96 points an inch this is a telephone's width: nothing shrinks there."""
ASIDE = 0.004
"""How far the policies stand beside each other, so that no interval hides another."""
LOOKS = {NoRetry.name: (HUES[1], "^", ":"), Blind.name: (HUES[3], "s", "--"), Ours.name: (HUES[0], "o", "-")}
"""Policy → hue, mark and line: none hangs on colour alone."""


def draw(path: Path, name: str, panels: int, fill: Callable[[Sequence[Axes]], None], alt: str) -> str:
    """Draw one picture with its panels above each other; return the Markdown that shows it.

    Args:
        path: Folder of the pictures.
        fill: Draws into the panels.
    """
    with drawing_style(()), tempfile.TemporaryDirectory() as folder:
        figure = Figure(figsize=(WIDTH_IN, 0.35 + 2.35 * panels), layout="constrained")
        axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
        for each in axes:
            each.grid(color=GRID)
        fill(list(axes))
        finish(figure, Path(folder, name), "scale", name, "", alt)
        path.mkdir(exist_ok=True)
        text = Path(folder, f"{name}.svg").read_text(encoding="utf-8")
    (path / f"{name}.svg").write_text(text, encoding="utf-8")
    return f"![{alt}](scale/{name}.svg)"


def by_failures(axes: Sequence[Axes], rows: Sequence[Row], what: str, label: str) -> None:
    """A panel a trace: one value of the three policies over the share of attempts that fail, with intervals."""
    traces = list(dict.fromkeys(row["trace"] for row in rows))
    for panel, trace in zip(axes, traces, strict=True):
        for place, (name, look) in enumerate(LOOKS.items()):
            mine = [row for row in rows if row["trace"] == trace and row["policy"] == name]
            beside = [row["failing"] + ASIDE * (place - 1) for row in mine]
            _line(panel, beside, [row[what] for row in mine], name, look)
        panel.set_title(f"Failures as on {trace}")
        panel.set_ylabel(f"{label}\naxis does not start at 0")
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].legend(loc="lower left")
    axes[-1].set_xlabel("attempts that fail for what is in the task")


def by_width(axes: Sequence[Axes], rows: Sequence[Row]) -> None:
    """Goodput of the three policies over the GPUs of a task."""
    (panel,) = axes
    for name, look in LOOKS.items():
        mine = [row for row in rows if row["policy"] == name]
        _line(panel, [row["gpus"] for row in mine], [row["goodput"] for row in mine], name, look)
    _logarithmic(panel, [row["gpus"] for row in rows])
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.set_ylabel("goodput\naxis does not start at 0")
    panel.set_xlabel("GPUs of a task")
    panel.set_title("Only faults of nodes, 24 hours a task")
    panel.legend(loc="lower left")


def by_tasks(axes: Sequence[Axes], rows: Sequence[Row]) -> None:
    """Slurm clients a minute, metadata operations a second and the longest collection over the number of tasks."""
    looks = [(HUES[0], "o", "-"), (HUES[1], "^", ":"), (HUES[2], "s", "--")]
    panels = (
        ("calls_peak", "a minute", "Slurm clients, busiest minute"),
        ("metadata", "a second", "Metadata operations, mean"),
        ("longest_s", "seconds", "Longest collection"),
    )
    traces = list(dict.fromkeys(row["trace"] for row in rows))
    for panel, (what, unit, title) in zip(axes, panels, strict=True):
        for trace, (hue, mark, line) in zip(traces, looks, strict=True):
            mine = [row for row in rows if row["trace"] == trace]
            panel.plot(
                [row["tasks"] for row in mine], [row[what] for row in mine], line, color=hue, marker=mark, label=trace
            )
        _logarithmic(panel, [row["tasks"] for row in rows])
        if what != "calls_peak":
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            panel.yaxis.set_minor_formatter(NullFormatter())
        else:
            panel.set_ylim(0)
        panel.set_ylabel(unit)
        panel.set_title(title)
    axes[0].legend(loc="lower right")
    axes[-1].set_xlabel("tasks, on a hundredth as many GPUs")


def _line(panel: Axes, places: Sequence[float], values: Sequence[Row], name: str, look: tuple[str, str, str]) -> None:
    hue, mark, line = look
    means, halves = [value["mean"] for value in values], [value["half"] for value in values]
    panel.errorbar(
        places, means, yerr=halves, color=hue, marker=mark, linestyle=line, capsize=3, markersize=5, label=name
    )


def _logarithmic(panel: Axes, places: Sequence[float]) -> None:
    """A logarithmic axis whose ticks are the places that were taken."""
    panel.set_xscale("log")
    panel.xaxis.set_minor_locator(NullLocator())
    ticks = sorted(set(places))
    panel.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], color=INK)
