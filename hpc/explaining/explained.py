"""A verdict explained: what it excludes and leaves open, likely causes, steps, and what a retry changes."""

import re
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpc.core.failures.calibration import calibrated
from hpc.core.failures.classify import classify_with_reasons, find_rule
from hpc.core.failures.diagnosis import BY_SIGN, Diagnosis, diagnose
from hpc.core.failures.evidence import Evidence, FailureClass, Verdict
from hpc.core.failures.health import examine
from hpc.core.failures.siblings import Comparison, Siblings, compare, judge_among, usual_events
from hpc.core.immutable import immutable, replace
from hpc.core.retry.actions import action_of
from hpc.explaining.raised_at import RaisedAt, raised_at

if TYPE_CHECKING:
    from hpc.rounds.consequence import Consequence  # loaded only for targets that are attempts

F = FailureClass
WIDTH = 80
Answer = dict[str, Any]


@immutable
class Explained:
    """Everything `why` says of one target.

    Attributes:
        excluded: What was looked for before the rule that decided, and not found.
        notes: What there was to read, where that says something: an empty log.
        diagnosis: Likely causes and debugging steps; of the first warning sign where the run is a success.
        consequence: What follows for this task; None for a bare log file.
        beside: How the line that decided stands among other runs and ranks; None where no line decided or nobody asks.
        raised_at: Where in the user's own code the error was raised that decided; None where no traceback says so.
    """

    target: str
    verdict: Verdict
    excluded: tuple[str, ...]
    diagnosis: Diagnosis
    consequence: "Consequence | None" = None
    notes: tuple[str, ...] = ()
    beside: Comparison | None = None
    raised_at: RaisedAt | None = None


FOUND = {
    "metrics that end non-finite": (F.DIVERGENCE,),
    "a loss that stays NaN": (F.DIVERGENCE,),
    "a proof of success": (F.SUCCESS, F.NOT_CONVERGED),
    "a kill by the kernel for memory": (F.OOM_HOST,),
    "preemption or a lost node": (F.PREEMPTED, F.NODE_FAILURE),
    "a checkpoint on request": (F.PREEMPTED,),
    "a node that failed preflight": (F.NODE_FAILURE, F.GPU_HARDWARE),
    "a hang that the watch ended": (F.TIMEOUT,),
    "a damaged checkpoint": (F.CHECKPOINT,),
    "an error of the program itself": (F.CODE_BUG,),
    "time limit, cancellation, signals": (F.TIMEOUT, F.CANCELLED),
    "what ranks and launchers report of each other": (F.COMMUNICATION,),
}
"""What is looked for → classes that are this very thing: found in another place, it is not excluded."""


def explain(
    target: str,
    evidence: Evidence,
    consequence: "Consequence | None" = None,
    *,
    has_log: bool = True,
    siblings: Siblings | None = None,
    note: Callable[[Verdict], tuple[str, ...]] = lambda _: (),
) -> Explained:
    """Judge the evidence and say what is usual for such a verdict.

    Args:
        has_log: A log was to be read.
        siblings: What the experiment's other runs printed; None: the line that decided is not compared with anything.
        note: What else is known of a verdict.
    """
    verdict, without = _judged(evidence, siblings)
    excluded = tuple(each for each in without if verdict.category not in FOUND.get(each, ()))
    warnings = examine(evidence.series) if verdict.category is FailureClass.SUCCESS else ()
    diagnosis = BY_SIGN[warnings[0].sign] if warnings else diagnose(verdict.category, verdict.cause)
    if not any(_TRACEBACK.search(line.text) for line in evidence.log):
        diagnosis = replace(diagnosis, steps=tuple(step for step in diagnosis.steps if "traceback" not in step))
        if "traceback" in verdict.suggestion:
            verdict = replace(verdict, suggestion=_START_AT_LINE)
    verdict = replace(verdict, confidence=calibrated(verdict.confidence))
    notes = () if evidence.log or not has_log else ("the log is empty: judged by what else is known",)
    beside = compare(verdict, evidence, siblings) if siblings else None
    place = raised_at(verdict.evidence[0], evidence.log) if verdict.evidence else None
    return Explained(target, verdict, excluded, diagnosis, consequence, (*notes, *note(verdict)), beside, place)


def _judged(evidence: Evidence, siblings: Siblings | None) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict, beside the siblings where there are any, and what it excludes."""
    verdict, without = classify_with_reasons(evidence)
    if siblings is None:
        return verdict, without
    among = judge_among(evidence, siblings)
    if among.rule != verdict.rule:
        without = classify_with_reasons(replace(evidence, usual=usual_events(evidence, siblings)))[1]
    return among, without


_TRACEBACK = re.compile(
    r"Traceback|stack ?trace|^\s*File \".{1,400}\", line \d|^\s*at \S+\(|^thread '.{1,80}' panicked", re.IGNORECASE
)
_START_AT_LINE = "find what printed this line, and repeat that step alone"


def answer(explained: Explained) -> Answer:
    """An explanation as JSON with fixed keys: target, category, rule, evidence, confidence, summary, suggestion …"""
    verdict, row = explained.verdict, find_rule(explained.verdict.rule)
    action = action_of(verdict)
    return {
        "target": explained.target,
        "category": verdict.category.value,
        "cause": verdict.cause,
        "rule": verdict.rule,
        "evidence": [asdict(line) for line in verdict.evidence],
        "raised_at": asdict(explained.raised_at) if explained.raised_at else None,
        "confidence": verdict.confidence,
        "summary": verdict.summary,
        "suggestion": verdict.suggestion,
        "retry": asdict(action) if action else None,
        "excludes": list(explained.excluded),
        "leaves_open": row.leaves_open if row else "",
        "notes": list(explained.notes),
        "causes": list(explained.diagnosis.causes),
        "steps": list(explained.diagnosis.steps),
        "decision": asdict(explained.consequence) if explained.consequence else None,
        "beside": {**asdict(explained.beside), "text": explained.beside.text} if explained.beside else None,
    }


def describe_explanation(explained: Explained) -> str:
    """An explanation for people, in 80 columns."""
    verdict, row = explained.verdict, find_rule(explained.verdict.rule)
    cause = f" ({verdict.cause})" if verdict.cause else ""
    parts = [
        ("why", verdict.summary),
        *(("note", each) for each in explained.notes),
        *((f"{line.source}:{line.line}" if line.line else line.source, line.text) for line in verdict.evidence),
        *([("at", str(explained.raised_at))] if explained.raised_at else []),
        *_beside_parts(explained.beside),
        ("rule", f"{verdict.rule}, confidence {verdict.confidence:.2f}"),
        *([("excludes", ", ".join(explained.excluded))] if explained.excluded else []),
        *([("leaves open", row.leaves_open)] if row else []),
        *_listed("causes", explained.diagnosis.causes),
        *_listed("look at", explained.diagnosis.steps),
        ("next", verdict.suggestion),
        *_retry_parts(verdict, explained.consequence),
    ]
    head = f"{explained.target}: {verdict.category}{cause}"
    return "\n".join((head, *(_paragraph(*part) for part in parts)))


def _beside_parts(beside: Comparison | None) -> list[tuple[str, str]]:
    """How the line stands among other runs and ranks, and when it came."""
    if beside is None:
        return []
    odd = f"rank {beside.odd} alone of {beside.ranks} says it" if beside.odd else ""
    parts = [("siblings", beside.text), ("when", beside.phase), ("odd one", odd)]
    if beside.demoted:
        parts.append(("not this", f"{beside.demoted.text} (finished runs say it too)"))
    return [part for part in parts if part[1]]


def _listed(label: str, items: tuple[str, ...]) -> list[tuple[str, str]]:
    """One paragraph an item, the label at the first."""
    return [("" if i else label, f"· {item}") for i, item in enumerate(items)]


def _retry_parts(verdict: Verdict, consequence: "Consequence | None") -> list[tuple[str, str]]:
    """What a retry changes: for this task where there is one, else for the class."""
    action = action_of(verdict)
    if consequence is None:
        return [("retry", describe_action(action.action, action.changes, action.reason) if action else _NO_RETRY)]
    if consequence.kind == "finished":
        return [("retry", _NO_RETRY)]
    if consequence.attempt is None:
        return [("retry", f"none: {'; '.join(filter(None, (consequence.reason, consequence.next_step)))}")]
    planned = consequence.kind == "retry"
    lead = f"attempt {consequence.attempt}" + (", planned" if planned else ", already there")
    details = (*consequence.changes, *filter(None, (consequence.next_step,)))
    return [("retry", lead if details else f"{lead}: as it was"), *(("", f"· {each}") for each in details)]


_NO_RETRY = "none: it succeeded"


def describe_action(action: str, changes: str, reason: str) -> str:
    """Write what a retry does in one sentence, or why there is none."""
    return f"none: {reason}" if action == "none" else f"{action}: {changes}"


def _paragraph(label: str, text: str) -> str:
    lead = f"  {label:<11} "
    words, command, rest = text.partition("python -m hpc.")
    short = words if len(words) <= 3 * WIDTH else words[: 3 * WIDTH] + " …"
    hang = " " * (16 if text.startswith("· ") else 14)
    # A path stays whole, however long: it is copied from here.
    filled = textwrap.fill(
        short, WIDTH, initial_indent=lead, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False
    )
    return f"{filled}\n{hang}{command}{rest}" if command else filled  # a command is pasted as it stands: in one line
