"""Draws where the hours went."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis.data.lineage import Fate
from analysis.figures.drawing import HUES, MUTED, NARROW_IN, Drawing, finish, is_narrow, name_rows
from analysis.findings.resources import ResourceUse
from analysis.words import split_hours
from hpc.core.words import counted


def draw_spending(use: ResourceUse, folder: Path) -> Drawing:
    """Hours by verdict of the attempt, from zero; minutes or seconds where all of them are few."""
    kind = "GPU" if use.has_gpu else "core"
    split = split_hours([one.gpu_hours if use.has_gpu else one.cpu_hours for one in use.by_verdict])
    hours, unit = split.parts, split.unit
    narrow = is_narrow()
    figure = Figure(figsize=(NARROW_IN if narrow else 8.0, 0.9 + (0.5 if narrow else 0.42) * len(hours)))
    axes = figure.subplots()
    colours = [
        {Fate.SUCCESS: HUES[0], Fate.CONTINUED: HUES[4], Fate.OPEN: MUTED}.get(Fate(one.fate), HUES[1])
        for one in use.by_verdict
    ]
    axes.barh(range(len(hours)), hours, color=colours, height=0.4 if narrow else 0.62)
    for place, (one, value) in enumerate(zip(use.by_verdict, hours, strict=True)):
        axes.annotate(
            f"{split.write(value)}, {counted(one.attempts, 'attempt')}",
            (value, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_ylim(len(hours) - 0.5, -0.7 if narrow else -0.5)
    name_rows(axes, [one.category for one in use.by_verdict], lift=0.38)
    axes.set_xlim(0, (max(hours) or 1.0) * (1.75 if narrow else 1.3))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel(f"{kind} hours used [h]" if unit == "h" else f"{kind} time used [min]")
    figure.tight_layout()
    told = "; ".join(f"{one.category} {split.write(value)}" for one, value in zip(use.by_verdict, hours, strict=True))
    caption = (
        "By outcome of the attempt. Continued: interrupted, then resumed by the attempt that gave the result, so these "
        "hours belong to the result. Where a later attempt resumed from the checkpoint of a failed one, not all of the "
        "failed attempt's time is lost."
    )
    return finish(figure, folder / "resources", "resources", f"Where the {kind} hours went", caption,
                  f"{kind} hours: {told}.")  # fmt: skip
