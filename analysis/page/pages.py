"""Puts the report together: the sections that apply, in order, as one document."""

from collections.abc import Sequence

from analysis.data.frame import ExperimentFrame
from analysis.figures.drawing import Drawing
from analysis.figures.front import FRONT
from analysis.findings.findings import Findings
from analysis.findings.recommendations import recommend
from analysis.findings.trajectories import find_trajectories
from analysis.page.document import Document, Section
from analysis.page.front import front_section
from analysis.page.record import (
    checklist_section,
    files_section,
    limitations_section,
    question_section,
    registration_section,
    setup_section,
    verdict_section,
)
from analysis.page.results import (
    comparison_section,
    curves_section,
    parameters_section,
    recommendations_section,
    results_section,
    trajectories_section,
)
from analysis.page.runs import every_run_section, failures_section, resources_section, runs_section
from analysis.words import plain, show_time


def build_document(
    frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing], files: Sequence[str], runs: str
) -> Document:
    """Build the report of one experiment: `files` are the names of those beside it, `runs` is the CSV of all runs."""
    shown = {one.covers for one in drawings if one.topic == FRONT}
    below = [one for one in drawings if one.name not in shown]
    sections: list[Section | None] = [
        front_section(frame, findings, drawings),
        verdict_section(findings),
        question_section(frame, findings, findings.answer),
        results_section(findings, below),
        comparison_section(findings, below),
        parameters_section(findings, below),
        curves_section(below),
        trajectories_section(find_trajectories(frame, findings), below),
        failures_section(findings),
        runs_section(findings, below),
        recommendations_section(recommend(frame, findings)),
        limitations_section(findings),
        registration_section(findings),
        resources_section(frame, findings, below),
        checklist_section(findings),
        setup_section(frame),
        every_run_section(frame, findings, runs),
        files_section(files),
    ]
    return Document(
        title=plain(f"{frame.layout.experiment}: report"),
        heading=plain(frame.layout.experiment),
        subtitle=plain(
            f"{frame.spec.get('type') or 'experiment'} · manifest {frame.manifest_sha[:12]} · collected "
            f"{show_time(frame.collected)}"
        ),
        sections=tuple(one for one in sections if one is not None),
    )
