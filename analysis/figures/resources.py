"""Draws where the hours went."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis.data.lineage import Fate
from analysis.figures.drawing import HUES, MUTED, Drawing, finish
from analysis.findings.resources import ResourceUse


def draw_spending(use: ResourceUse, folder: Path) -> Drawing:
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
    return finish(figure, folder / "resources", "resources", f"Where the {unit} went", caption, f"{unit}: {told}.")
