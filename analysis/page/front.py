"""The report's first screen: the answer, a plain sentence, the picture that is the result, what became of the runs."""

from collections.abc import Sequence

from analysis.data.frame import ExperimentFrame
from analysis.figures.drawing import Drawing
from analysis.figures.front import FRONT
from analysis.findings.findings import Findings
from analysis.findings.lead import find_lead
from analysis.page.document import Front, Picture, Section
from analysis.words import list_counts, plain

_CLASSES = 3
"""Failure classes named on the first screen."""


def front_section(frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing]) -> Section:
    """Answer the reader's first questions: which won, by how much, how sure is it, what failed."""
    lead = find_lead(frame, findings)
    counts = findings.counts
    missing = counts.running + counts.pending + counts.never_started
    shown = next((Picture(one) for one in drawings if one.topic == FRONT), None)
    front = Front(
        word=plain(lead.word),
        look=lead.look,
        claim=plain(lead.claim),
        texts=tuple(map(plain, lead.sentences)),
        standing=plain(findings.registration.headline),
        counts=(
            (counts.planned, "planned", "idle"),
            (counts.finished, "finished", "good"),
            (counts.failed_total, "failed", "bad" if counts.failed_total else "idle"),
            (missing, "missing", "open" if missing else "idle"),
        ),
        lost=plain(_say_lost(findings)),
        picture=shown,
    )
    return Section("answer", "The answer", (front,), "Answer")


def _say_lost(findings: Findings) -> str:
    """What failed, by class, and what is still to come."""
    counts = findings.counts
    named = dict(list(counts.failed.items())[:_CLASSES])
    more = sum(counts.failed.values()) - sum(named.values())
    failed = f"Failed: {list_counts(named)}" + (f" and {more} of other classes" if more else "") if named else ""
    open_parts = ((counts.running, "running"), (counts.pending, "pending"), (counts.never_started, "never started"))
    missing = ", ".join(f"{count} {word}" for count, word in open_parts if count)
    return ". ".join([*([failed] if failed else []), *([f"Missing: {missing}"] if missing else [])]) + (
        "." if failed or missing else ""
    )
