"""What came of single attempts: what was healed and how, what was taken away and taken up, what failed and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.frame import ExperimentFrame
from analysis.data.lineage import Course, Fate
from analysis.data.values import finite_or_none


@dataclass(frozen=True)
class Healed:
    """A task that finished after a failed attempt.

    Attributes:
        row: Row of the task.
        run_name: Its name.
        classes: Failure class of each failed attempt, in order.
        how: What was changed: ``micro-batch 16 → 8, accumulation 4 → 8, global batch stays 64``.
        altered: Whether it is no longer the run that was asked for.
    """

    row: int
    run_name: str
    classes: tuple[str, ...]
    how: str
    altered: bool


@dataclass(frozen=True)
class ContinuedAttempt:
    """An attempt that was taken away and that a later one took up: part of the result, not a failure.

    Attributes:
        row: Row of the task.
        run_name: Name of the task.
        attempt: Attempt number, from 1.
        ended_as: Why it ended: ``timeout (checkpointed)``, ``preempted``.
        continued_in: Number of the attempt that started from its checkpoint.
        has_result: Whether the task has finished since; until then its hours are open.
        elapsed_s: Seconds it ran; None when not recorded.
        directory: Folder below the experiment's.
    """

    row: int
    run_name: str
    attempt: int
    ended_as: str
    continued_in: int
    has_result: bool
    elapsed_s: float | None
    directory: str


@dataclass(frozen=True)
class FailedAttempt:
    """One attempt that gave no result, why we say so, and what was done.

    Attributes:
        row: Row of the task.
        run_name: Name of the task.
        attempt: Attempt number, from 1.
        category: Failure class; `cause` is the sub-cause, may be empty.
        cause: Sub-cause.
        rule: Rule that decided.
        evidence: The most telling line.
        where: Where it stands: ``stderr:41``.
        summary: One sentence.
        action: What was done, and why.
        directory: Folder below the experiment's.
    """

    row: int
    run_name: str
    attempt: int
    category: str
    cause: str
    rule: str
    evidence: str
    where: str
    summary: str
    action: str
    directory: str


def find_healed(frame: ExperimentFrame) -> tuple[Healed, ...]:
    """Name each task that finished after a failed attempt, and what was changed."""
    rows = np.flatnonzero(frame.tasks["course"] == Course.HEALED)
    grouped = frame.attempts[frame.attempts["task"].isin(rows)].groupby("task", sort=True)
    return tuple(_healed(frame, int(str(row)), group) for row, group in grouped)


def find_continued(frame: ExperimentFrame) -> tuple[ContinuedAttempt, ...]:
    """List every attempt that was taken away and taken up by a later one, on the way to a result."""
    attempts = frame.attempts
    rows = attempts[(attempts["continued_in"] > 0) & attempts["fate"].isin((Fate.CONTINUED, Fate.OPEN))]
    return tuple(
        ContinuedAttempt(
            row=int(one["task"]),
            run_name=str(frame.tasks["run_name"].iloc[int(one["task"])]),
            attempt=int(one["attempt"]),
            ended_as=_class_text(one),
            continued_in=int(one["continued_in"]),
            has_result=one["fate"] == Fate.CONTINUED,
            elapsed_s=finite_or_none(one["elapsed_s"]),
            directory=str(one["directory"] or ""),
        )
        for one in rows.to_dict("records")
    )


def find_failures(frame: ExperimentFrame) -> tuple[FailedAttempt, ...]:
    """List every attempt that gave no result, with its evidence and what was done about it."""
    attempts = frame.attempts
    rows = attempts[attempts["fate"] == Fate.FAILED]
    following = {(one["task"], one["attempt"]): one for one in attempts.to_dict("records")} if len(rows) else {}
    return tuple(_failed_attempt(frame, one, following) for one in rows.to_dict("records"))


def _healed(frame: ExperimentFrame, row: int, attempts: pd.DataFrame) -> Healed:
    records = attempts.to_dict("records")
    steps = [
        f"attempt {after['attempt']} continued" if before["fate"] == Fate.CONTINUED else _change_text(before, after)
        for before, after in pairwise(records)
    ]
    task = frame.tasks.iloc[row]
    return Healed(
        row=row,
        run_name=str(task["run_name"]),
        classes=tuple(str(one["category"]) for one in records if one["fate"] == Fate.FAILED),
        how="; then ".join(steps),
        altered=bool(task["altered"]),
    )


def _change_text(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> str:
    """Say what the next attempt did differently, from the numbers; else in the retry plan's own words."""
    parts = []
    if _differ(before["micro_batch"], after["micro_batch"]):
        parts.append(f"micro-batch {before['micro_batch']} → {after['micro_batch']}")
        if _differ(before["accumulation"], after["accumulation"]):
            parts.append(f"accumulation {before['accumulation']} → {after['accumulation']}")
        same = before["global_batch"] == after["global_batch"]
        parts.append(
            f"global batch stays {after['global_batch']}" if same
            else f"global batch {before['global_batch']} → {after['global_batch']}"
        )  # fmt: skip
    if _differ(finite_or_none(before["memory_mib"]), finite_or_none(after["memory_mib"])):
        parts.append(f"memory {before['memory_mib']:.0f} → {after['memory_mib']:.0f} MiB")
    if _differ(finite_or_none(before["time_s"]), finite_or_none(after["time_s"])):
        parts.append(f"time limit {before['time_s'] / 60:.0f} → {after['time_s'] / 60:.0f} min")
    return ", ".join(parts) or str(after["changes"]) or _repeated_text(before, after)


def _repeated_text(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> str:
    """Say that nothing was changed, and where the next attempt began."""
    if before["continued_in"] == after["attempt"]:
        return f"resumed from attempt {before['attempt']}, nothing changed"
    return "started again, nothing changed"


def _differ(before: Any, after: Any) -> bool:
    return before is not None and after is not None and before != after


def _failed_attempt(
    frame: ExperimentFrame, one: Mapping[Any, Any], all_attempts: Mapping[tuple[int, int], Mapping[Any, Any]]
) -> FailedAttempt:
    row = int(one["task"])
    task = frame.tasks.iloc[row]
    later = all_attempts.get((row, int(one["attempt"]) + 1))
    if later is not None:
        action = f"attempt {later['attempt']}: {_change_text(one, later)}"
    else:
        said = {"retry": "to be retried", "declined": "not retried"}.get(str(task["action"]), "none yet")
        action = ": ".join(text for text in (said, str(task["reason"])) if text)
    where = ":".join(str(part) for part in (one["source"], one["line"]) if part)
    return FailedAttempt(
        row=row,
        run_name=str(task["run_name"]),
        attempt=int(one["attempt"]),
        category=str(one["category"]),
        cause=str(one["cause"]),
        rule=str(one["rule"]),
        evidence=str(one["text"]),
        where=where,
        summary=str(one["summary"]),
        action=action,
        directory=str(one["directory"] or ""),
    )


def _class_text(attempt: Mapping[Any, Any]) -> str:
    """Write ``timeout (checkpointed)`` or ``preempted``."""
    return str(attempt["category"]) + (f" ({attempt['cause']})" if attempt["cause"] else "")
