"""Draws phase diagrams: two swept numbers as a grid, a metric as colour, what gave no value hatched and named."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as MatplotlibPath

from analysis.data.frame import ExperimentFrame
from analysis.data.swept import Swept, find_swept
from analysis.data.values import metric_values
from analysis.figures.drawing import (
    BAD,
    BAND,
    GRADIENT,
    MUTED,
    NARROW_IN,
    Drawing,
    axis_label,
    colour_steps,
    finish,
    is_narrow,
    short,
)
from analysis.findings.findings import Findings
from analysis.statistics.estimates import estimate
from analysis.words import list_counts, plain
from hpc.core.experiment.spec import Metric

MAX_PANELS = 4
_FRONT_IN = (7.4, 4.9)
"""Most that a map on the report's first screen may take, in inches."""
MAX_VALUES = 60
"""Values of a parameter beyond which a grid is no picture any more."""
_TEXT_LIMIT = 14
"""Columns beyond which numbers no longer fit into the cells."""
_HINT_LIMIT = 600
"""Cells beyond which they are drawn as one thing, without words under the pointer: the page stays light."""
_LOOKS: dict[str, dict[str, Any]] = {
    "value": {"linewidth": 0},
    "failed": {"edgecolor": BAD, "hatch": "////", "linewidth": 0.6},
    "open": {"edgecolor": MUTED, "hatch": "..", "linewidth": 0.6},
    "without": {"edgecolor": MUTED, "hatch": "xx", "linewidth": 0.6},
}
_MAPS = 2
"""Metrics that get a map: the primary one, and the first of the others."""


@dataclass(frozen=True)
class GridCell:
    """All runs of one combination of the two parameters.

    Attributes:
        column: Place of the first parameter's value.
        row: Place of the second one's.
        mean: Mean over the usable runs; None when there is none.
        std: Their standard deviation; None for fewer than two.
        n: Runs in the mean.
        planned: Runs asked for.
        failed: Failure class → runs.
        unfinished: Runs not ended.
    """

    column: int
    row: int
    mean: float | None
    std: float | None
    n: int
    planned: int
    failed: dict[str, int]
    unfinished: int

    @property
    def state(self) -> str:
        """``value``, ``failed``, ``open`` or ``without`` (finished, and no value to show)."""
        if self.mean is not None:
            return "value"
        return "failed" if self.failed else ("open" if self.unfinished else "without")


def choose_axes(swept: Sequence[Swept]) -> tuple[Swept, Swept] | None:
    """Choose the two numeric parameters with the most values, in the manifest's order; None without two."""
    numeric = [one for one in swept if one.is_numeric and len(one.values) <= MAX_VALUES]
    most = sorted(numeric, key=lambda one: -len(one.values))[:2]
    chosen = [one for one in numeric if any(one is other for other in most)]
    return (chosen[0], chosen[1]) if len(chosen) == 2 else None


def grid_cells(
    frame: ExperimentFrame, metric: str, axes: tuple[Swept, Swept], rows: npt.NDArray[np.int64]
) -> tuple[GridCell, ...]:
    """Summarise some tasks (`rows`: their rows) cell by cell."""
    values = np.where(frame.usable, metric_values(frame, metric), np.nan)
    outcome, failure = frame.tasks["outcome"].to_numpy(), frame.tasks["failure_class"].to_numpy()
    members: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        members.setdefault((int(axes[0].codes[row]), int(axes[1].codes[row])), []).append(int(row))
    cells = []
    for (column, line), mine in sorted(members.items()):
        found = estimate(values[mine])
        failed = Counter(str(failure[one]) for one in mine if outcome[one] == "failed")
        unfinished = sum(outcome[one] in ("running", "pending", "planned") for one in mine)
        cells.append(
            GridCell(column, line, found.mean, found.std, found.n, len(mine), dict(sorted(failed.items())), unfinished)
        )
    return tuple(cells)


def draw_heatmaps(frame: ExperimentFrame, findings: Findings, folder: Path) -> list[Drawing]:
    """Draw a map per metric, where two numeric parameters were swept."""
    swept = find_swept(frame)
    axes = choose_axes(swept)
    if axes is None or findings.primary is None:
        return []
    metrics = [findings.primary, *findings.secondary][:_MAPS]
    others = [one for one in swept if all(one is not axis for axis in axes)]
    return [
        _draw_map(frame, metric, axes, others, folder / f"heatmap-{number}")
        for number, metric in enumerate(metrics, start=1) if metric is metrics[0] or metric.name in frame.values
    ]  # fmt: skip


def draw_front_map(frame: ExperimentFrame, primary: Metric, folder: Path) -> Drawing | None:
    """Draw the map of the primary metric for the report's first screen; None where no two numbers were swept."""
    swept = find_swept(frame)
    axes = choose_axes(swept)
    if axes is None:
        return None
    others = [one for one in swept if all(one is not axis for axis in axes)]
    return _draw_map(frame, primary, axes, others, folder / "front", front=True)


def _size(wide: int, high: int, columns: int, lines: int, *, front: bool) -> tuple[float, float]:
    """Choose the size of a map: by its cells, up to what fits; on the first screen and on a phone that is little."""
    if is_narrow():
        return NARROW_IN, lines * min(3.2, max(1.7, 0.36 * high + 0.5)) + 0.8
    if front:
        return _FRONT_IN[0], min(_FRONT_IN[1], lines * max(2.4, 0.52 * high + 1.1))
    return min(13.0, columns * max(4.2, 0.78 * wide + 1.2) + 1.2), lines * min(11.0, max(2.6, 0.52 * high + 1.3))


def _draw_map(
    frame: ExperimentFrame,
    metric: Metric,
    axes: tuple[Swept, Swept],
    others: Sequence[Swept],
    path: Path,
    *,
    front: bool = False,
) -> Drawing:
    panels, pooled = _panels(frame, others)
    if front and is_narrow() and len(panels) > 2:
        panels, pooled = [("", np.arange(len(frame.tasks)))], tuple(one.name for one in others)
    grids = [grid_cells(frame, metric.name, axes, rows) for _, rows in panels]
    norm = _scale([cell.mean for cells in grids for cell in cells if cell.mean is not None])
    columns = 1 if is_narrow() else min(2, len(panels))
    lines = -(-len(panels) // columns)
    wide, high = len(axes[0].values), len(axes[1].values)
    size = _size(wide, high, columns, lines, front=front)
    room = size[0] / columns / (wide + 1.5) / 0.6, size[1] / lines / (high + 1.2) / 0.36
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    hints: dict[str, str] = {}
    for number, (panel, (title, _), cells) in enumerate(zip(grid.flat, panels, grids, strict=False)):
        _fill(panel, cells, axes, norm, hints, number, has_room=min(room) > 1 or not (front or is_narrow()))
        panel.set_title(short(plain(title), 60), fontsize=9)
    for panel in grid.flat[len(panels) :]:
        panel.set_visible(False)
    where = "bottom" if is_narrow() else "right"
    bar = figure.colorbar(ScalarMappable(norm, colour_steps()), ax=grid, location=where, fraction=0.05, pad=0.03)
    bar.set_label(axis_label(metric.name, metric.goal))
    bar.outline.set_visible(False)
    everything = [cell for one in grids for cell in one]
    drawn = finish(figure, path, "front" if front else "parameters",
                   f"{metric.name} over {axes[0].name} and {axes[1].name}", _caption(everything, pooled, wide),
                   _alt(metric.name, everything, axes), hints)  # fmt: skip
    return replace(drawn, covers="heatmap-1") if front and len(panels) == 1 and min(room) > 1 else drawn


def _panels(
    frame: ExperimentFrame, others: Sequence[Swept]
) -> tuple[list[tuple[str, npt.NDArray[np.int64]]], tuple[str, ...]]:
    """Draw a panel for each combination of the other parameters, or pool them where they are too many."""
    everything = np.arange(len(frame.tasks))
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in everything:
        groups.setdefault(tuple(int(one.codes[row]) for one in others), []).append(int(row))
    if len(groups) > MAX_PANELS:
        return [("", everything)], tuple(one.name for one in others)
    named = [
        (", ".join(f"{one.name}={one.labels[code]}" for one, code in zip(others, key, strict=True)), np.array(rows))
        for key, rows in sorted(groups.items())
    ]
    return named, ()


def _scale(means: Sequence[float]) -> Normalize:
    """One scale for all panels: logarithmic over more than two decades."""
    low, high = (min(means), max(means)) if means else (0.0, 1.0)
    if low > 0 and high > 100 * low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + (abs(low) or 1.0) * 1e-6)


def _fill(
    panel: Axes,
    cells: Sequence[GridCell],
    axes: tuple[Swept, Swept],
    norm: Normalize,
    hints: dict[str, str],
    number: int,
    *,
    has_room: bool,
) -> None:
    colours = mpl.colormaps[GRADIENT]
    small = not has_room or len(axes[0].values) > _TEXT_LIMIT or len(axes[1].values) > 2 * _TEXT_LIMIT
    many: dict[tuple[str, Any], list[Rectangle]] = {}
    if len(cells) > _HINT_LIMIT:
        colours = colour_steps()
    for cell in cells:
        face: Any = colours(norm(cell.mean)) if cell.mean is not None else BAND
        gid = f"cell-{number}-{cell.column}-{cell.row}"
        patch = Rectangle((cell.column - 0.5, cell.row - 0.5), 1, 1, facecolor=face, gid=gid, **_LOOKS[cell.state])
        if len(cells) > _HINT_LIMIT:
            many.setdefault((cell.state, face), []).append(patch)
        else:
            panel.add_patch(patch)
            hints[gid] = _told(cell, axes)
        if not small:
            _write(panel, cell, face)
    for (state, face), patches in many.items():
        # Cells of one colour are one path: of thousands each by itself the page would be heavy.
        outline = MatplotlibPath.make_compound_path(
            *(one.get_transform().transform_path(one.get_path()) for one in patches)
        )
        panel.add_patch(PathPatch(outline, facecolor=face, **_LOOKS[state]))
    panel.set_xlim(-0.5, len(axes[0].values) - 0.5)
    panel.set_ylim(-0.5, len(axes[1].values) - 0.5)
    for axis, swept in ((panel.xaxis, axes[0]), (panel.yaxis, axes[1])):
        every = max(1, len(swept.values) // 15)
        axis.set_ticks(range(0, len(swept.values), every), [plain(text) for text in swept.labels[::every]])
        axis.set_tick_params(length=0)
    panel.set_xlabel(axis_label(axes[0].name))
    panel.set_ylabel(axis_label(axes[1].name))
    for side in panel.spines.values():
        side.set_visible(False)


def _write(panel: Axes, cell: GridCell, face: object) -> None:
    """Write into a cell its mean and n, or what became of its runs; dark ink on light cells and the other way round."""
    red, green, blue, _ = mpl.colors.to_rgba(face)  # type: ignore[arg-type]  # a colour, by its construction
    # Not plain white and black: those of the page follow its theme, a cell's colour does not.
    ink = "#fefefe" if cell.mean is not None and 0.299 * red + 0.587 * green + 0.114 * blue < 0.52 else "#010101"
    lost = sum(cell.failed.values())
    if cell.mean is not None:
        text = f"{cell.mean:.3g}\nn={cell.n}" + (f" ×{lost}" if lost else "") + (
            f" …{cell.unfinished}" if cell.unfinished else ""
        )  # fmt: skip
        panel.text(cell.column, cell.row, text, ha="center", va="center", fontsize=7.5, color=ink, linespacing=1.25)
        return
    words = {"failed": f"× {lost} of {cell.planned}", "open": f"… {cell.unfinished}", "without": "no value"}[cell.state]
    panel.text(cell.column, cell.row, f"{words}\nn=0", ha="center", va="center", fontsize=7.5,
               bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.2})  # fmt: skip


def _told(cell: GridCell, axes: tuple[Swept, Swept]) -> str:
    where = f"{axes[0].name}={axes[0].labels[cell.column]}, {axes[1].name}={axes[1].labels[cell.row]}: "
    parts = (
        [] if cell.mean is None else [f"mean {cell.mean:.4g}" + (f" ± {cell.std:.2g}" if cell.std is not None else "")]
    )
    parts += [f"n={cell.n} of {cell.planned}"]
    parts += [f"failed: {list_counts(cell.failed)}"] if cell.failed else []
    parts += [f"{cell.unfinished} not finished"] if cell.unfinished else []
    return where + "; ".join(parts)


def _caption(cells: Sequence[GridCell], pooled: Sequence[str], wide: int) -> str:
    said = [
        "Each cell: mean over its n runs that finished as asked" + ("." if wide <= _TEXT_LIMIT else " (colour only).")
    ]
    if any(cell.failed for cell in cells):
        said.append(
            "Hatched in red: every run of the cell failed, so there is no value (× how many). ×k beside n: k more runs "
            "failed and are in no mean."
        )
    if any(cell.unfinished for cell in cells):
        said.append("…k: k runs not finished; dotted: no run of the cell has finished.")
    if pooled:
        said.append(f"Each cell pools all values of {', '.join(pooled)}.")
    return " ".join(said)


def _alt(metric: str, cells: Sequence[GridCell], axes: tuple[Swept, Swept]) -> str:
    valued = [cell for cell in cells if cell.mean is not None]
    text = f"{metric} over {len(axes[0].values)} values of {axes[0].name} and {len(axes[1].values)} of {axes[1].name}: "
    text += f"{len(valued)} of {len(cells)} cells have a value"
    if valued:
        ends = (min(valued, key=_mean), max(valued, key=_mean))
        text += "; " + "; ".join(
            f"{word} at {_told(cell, axes)}" for word, cell in zip(("lowest", "highest"), ends, strict=True)
        )
    lost = sum(cell.state == "failed" for cell in cells)
    return text + (f"; {lost} cells where every run failed." if lost else ".")


def _mean(cell: GridCell) -> float:
    return cell.mean if cell.mean is not None else float("nan")
