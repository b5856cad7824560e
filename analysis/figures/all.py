"""Draws the report's figures: every one there are results for, in the order of the report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.data.frame import ExperimentFrame
from analysis.figures.curves import draw_curves
from analysis.figures.drawing import FURTHER, Drawing, drawing_style
from analysis.figures.efficiency import draw_efficiency
from analysis.figures.flow import draw_flow
from analysis.figures.front import with_front
from analysis.figures.heatmap import draw_heatmaps
from analysis.figures.intervals import draw_intervals
from analysis.figures.parameters import draw_importance, draw_parameters
from analysis.figures.resources import draw_spending
from analysis.figures.systems import draw_systems
from analysis.figures.timeline import draw_timeline
from analysis.figures.trajectories import draw_trajectories
from analysis.findings.findings import Findings
from analysis.findings.trajectories import find_trajectories
from hpc.adapters.progress import working

FIGURES = (
    "front",
    "flow",
    "intervals",
    "ranks",
    "profiles",
    "importance",
    "effects",
    "parallel",
    "heatmap-*",
    "sample-efficiency",
    "curve-*",
    "trajectories-*",
    "timeline",
    "resources",
)
"""Names of all figures there can be: what of them a new report does not draw is removed."""


def draw_all(
    frame: ExperimentFrame,
    findings: Findings,
    folder: Path,
    further: Sequence[str] = FURTHER,
    *,
    for_page: bool = False,
) -> tuple[Drawing, ...]:
    """Draw every figure there are results for, into `folder`: as SVG, and with the `further` endings.

    Args:
        for_page: Draw each for a narrow screen, too.
    """
    with working("drawing figures") as step:
        with drawing_style(further):
            drawings = _draw(frame, findings, folder)
        if not for_page:
            return drawings
        step.at(step.done, 2 * step.done)  # each was drawn once, and is drawn once more
        with drawing_style(narrow=True):
            narrow = {one.name: one.svg for one in _draw(frame, findings, folder)}
    return tuple(replace(one, narrow=narrow[one.name]) for one in drawings)


def _draw(frame: ExperimentFrame, findings: Findings, folder: Path) -> tuple[Drawing, ...]:
    drawings = [draw_flow(findings, folder)]
    if findings.primary is not None and any(one.estimate.n for one in findings.results):
        drawings.append(draw_intervals(frame, findings, findings.primary, folder))
    if findings.over_systems is not None:
        drawings += draw_systems(findings.over_systems, folder)
    found = findings.importance
    if found is not None and len(found.parameters) > 1:
        drawings.append(draw_importance(found, folder))
    drawings += draw_heatmaps(frame, findings, folder)
    drawings += draw_parameters(frame, findings, folder)
    drawings += draw_efficiency(frame, findings, folder)
    drawings += draw_curves(frame, findings, folder)
    drawings += draw_trajectories(find_trajectories(frame, findings), folder)
    drawings += draw_timeline(frame, folder)
    if findings.resources.by_verdict:
        drawings.append(draw_spending(findings.resources, folder))
    return with_front(frame, findings, folder, drawings)
