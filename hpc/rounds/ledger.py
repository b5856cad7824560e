"""Every result a round collects is noted in ``ledger.jsonl``, once: what it was, when, and of which execution."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.adapters.files import open_regular
from hpc.adapters.printed import last_printed
from hpc.adapters.result_ledger import Line, append_results
from hpc.adapters.verdict_lines import read_head
from hpc.core.errors import InputError, TemporaryError
from hpc.core.layout import RunLayout
from hpc.rounds.judge import JudgedExperiment, JudgedTask
from hpc.snapshots.brief import whole_of

if TYPE_CHECKING:
    from hpc.rounds.settling import Settling

MOST_DIGESTED = 64 << 20
"""A larger metrics file is not read a second time."""
_SAME = ("attempt", "started", "outcome", "failure_class", "values")
_ENDED = ("finished", "failed")


def note_results(
    judged: JudgedExperiment, entries: Sequence[Mapping[str, Any]], settling: Settling
) -> tuple[str, tuple[str, ...]]:
    """Note the results that are new, or not what they were.

    Args:
        judged: The experiment.
        entries: Its tasks as ``verdicts.json`` has them.
        settling: Knows which of them the collection before has noted.

    Returns:
        Hash of the newest line, and what a person should know. A folder that takes no note hinders no collection.
    """
    layout, all_noted = judged.layout, settling.has_noted
    pairs = zip(judged.tasks, entries, strict=True)
    new = [(task, entry) for task, entry in pairs if not (all_noted and settling.was_settled(task))]
    try:
        added = append_results(
            layout,
            lambda known: _new_lines(judged, new, known),
            lambda: _newest_told(layout),
            {task.state.task.task_id for task, _ in new},
        )
    except (InputError, TemporaryError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return "", (f"{layout.ledger} cannot be written ({said}): these results are not in it",)
    return added, ()


def _newest_told(layout: RunLayout) -> str:
    """The newest line when ``verdicts.json`` was written; empty where it says none, as before there were ledgers."""
    try:
        told = read_head(layout.verdicts).get("ledger")
    except FileNotFoundError:
        return ""
    return told if isinstance(told, str) else ""


def _new_lines(
    judged: JudgedExperiment, new: Sequence[tuple[JudgedTask, Mapping[str, Any]]], known: Mapping[str, Line]
) -> Iterator[dict[str, Any]]:
    declared = judged.frozen.spec.metrics
    names = [metric.name for metric in (declared.primary, *declared.secondary)]
    for task, told in new:
        entry = whole_of(told)  # one after the other: of ten thousand, parsed ones fill memory
        if entry["outcome"] not in _ENDED or not entry["attempts"]:
            continue
        last, before = entry["attempts"][-1], known.get(entry["task_id"])
        line = {
            "time": judged.snapshot.taken,
            "task_id": entry["task_id"],
            "run_name": entry["run_name"],
            "attempt": last["attempt"],
            "started": last.get("started"),
            "outcome": entry["outcome"],
            "failure_class": entry.get("failure_class") or "",
            "values": {name: entry["summary"][name] for name in names if name in entry["summary"]},
        }
        if before is None or any(before.get(name) != line[name] for name in _SAME):
            yield {**line, **_left(judged.layout, task, entry, names[0])}


def _left(layout: RunLayout, task: JudgedTask, entry: Mapping[str, Any], primary: str) -> dict[str, Any]:
    """What the run's own files say of it; nothing where they are gone."""
    source = _source_of(task)
    if source is None:
        return {"metrics_sha256": "", "printed": None}
    attempt = layout.task(entry["run_name"]).attempt(entry["attempts"][-1]["attempt"])
    printed = last_printed(attempt.stdout, (source[0], source[1]), primary) if len(source) == 2 else None
    return {
        "metrics_sha256": _digest(attempt.metrics),
        "printed": printed if printed is not None and math.isfinite(printed) else None,
    }


def _source_of(task: JudgedTask) -> tuple[str, ...] | None:
    """Where the metrics of its last attempt were read; None where its files are gone, or it never began."""
    if task.settled and task.settled.line:
        return task.settled.source
    last = task.state.attempts[-1] if task.settled else task.attempts[-1].state if task.attempts else None
    record = None if last is None or task.kept_result else last.record
    return None if record is None else tuple(record.metrics_source)


def _digest(path: Path) -> str:
    """The digest of a file; empty where there is none, or it is too large."""
    try:
        with open_regular(path) as file:
            if path.stat().st_size > MOST_DIGESTED:
                return ""
            return hashlib.sha256(file.read()).hexdigest()
    except (InputError, OSError):
        return ""
