"""Chooses the one picture that is the result of an experiment of its type: what a report shows first."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.data.frame import ExperimentFrame
from analysis.figures.drawing import Drawing
from analysis.figures.heatmap import draw_front_map
from analysis.figures.intervals import draw_intervals
from analysis.figures.pairs import draw_pairs
from analysis.figures.strip import draw_strip
from analysis.findings.findings import Findings

FRONT = "front"
"""Topic of that picture."""


def with_front(
    frame: ExperimentFrame, findings: Findings, folder: Path, drawings: Sequence[Drawing]
) -> tuple[Drawing, ...]:
    """Put the picture that is the result before the others.

    A phase diagram has its map, whatever it is compared with; methods over systems have the first picture over the
    systems, the variance of a baseline every run, one configuration against another the runs of both; all else the
    intervals of configurations.
    """
    if diagram := _draw_diagram(frame, findings, folder):
        return (diagram, *drawings)
    over_systems = next((place for place, one in enumerate(drawings) if one.topic == "systems"), None)
    if over_systems is not None:
        first = replace(drawings[over_systems], topic=FRONT)
        return (first, *drawings[:over_systems], *drawings[over_systems + 1 :])
    front = _draw(frame, findings, folder)
    return tuple(drawings) if front is None else (front, *drawings)


def _draw_diagram(frame: ExperimentFrame, findings: Findings, folder: Path) -> Drawing | None:
    if frame.spec.get("type") != "phase_diagram" or findings.primary is None or not _has_values(findings):
        return None
    return draw_front_map(frame, findings.primary, folder)


def _has_values(findings: Findings) -> bool:
    return any(one.estimate.n for one in findings.results)


def _draw(frame: ExperimentFrame, findings: Findings, folder: Path) -> Drawing | None:
    primary = findings.primary
    if primary is None or not _has_values(findings):
        return None
    kind = frame.spec.get("type")
    if kind == "baseline_variance" and not findings.compared:
        return draw_strip(frame, findings, primary, folder)
    if len(findings.compared) == 1 and findings.compared[0].estimate.n and len(findings.results) <= 2:
        return draw_pairs(frame, findings, primary, findings.compared[0], folder)
    return draw_intervals(frame, findings, primary, folder, front=True)
