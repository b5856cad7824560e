"""Puts the report together: the sections that apply, in order, as one document."""

from collections.abc import Sequence

from analysis.data.frame import ExperimentFrame
from analysis.figures.drawing import Drawing
from analysis.findings.findings import Findings
from analysis.findings.recommendations import recommend
from analysis.page.document import Document, Section
from analysis.page.record import (
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
)
from analysis.page.runs import every_run_section, failures_section, resources_section, runs_section
from analysis.words import plain, show_time


def build_document(
    frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing], files: Sequence[str]
) -> Document:
    """Build the report of one experiment; `files` are the names of all files beside it."""
    sections: list[Section | None] = [
        verdict_section(findings),
        question_section(frame, findings, findings.answer),
        registration_section(findings),
        recommendations_section(recommend(frame, findings)),
        runs_section(findings, drawings),
        results_section(findings, drawings),
        comparison_section(findings, drawings),
        parameters_section(findings, drawings),
        curves_section(drawings),
        failures_section(findings),
        resources_section(frame, findings, drawings),
        limitations_section(findings),
        setup_section(frame),
        every_run_section(frame, findings),
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
