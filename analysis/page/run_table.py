"""The table of every run: for the page, as data where the runs are many, and as CSV with everything known."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.data.frame import ExperimentFrame
from analysis.data.lineage import Fate
from analysis.data.values import metric_values
from analysis.findings.findings import Findings
from analysis.page.cells import number_cell
from analysis.page.document import Cell, Table, cell
from analysis.words import cut_note, plain
from hpc.core.printable import guard_cell

MAX_ROWS = 400
"""Rows that stand in the page as text; where there are more, a script shows all of them from data."""
_OUTCOME_ORDER = {"failed": 0, "running": 1, "pending": 2, "planned": 3, "finished": 4}
_LOGS = ("stdout", "stderr")
_CHECK_MARKS = {"passed": "good", "failed": "bad", "not checked": "warn"}


def run_table(frame: ExperimentFrame, findings: Findings) -> Table:
    """Build the table; with more than `MAX_ROWS` runs those somebody has to look at first, and all of them as data."""
    metric = findings.primary.name if findings.primary else ""
    rows = _Rows(frame, findings, metric)
    has_notes = any(rows.notes)
    head = ["run", "configuration", "seed", "outcome", "class", "attempts", plain(metric or "value"), "logs"]
    head += ["check"] if frame.has_check else []
    head += ["notes"] if has_notes else []
    shown = tuple(rows.cells(int(row))[: len(head)] for row in _shown(frame, rows.notes))
    total = len(frame.tasks)
    return Table(
        name="runs",
        caption="Every run",
        head=tuple(head),
        rows=shown,
        wide=(1, len(head) - 1) if has_notes else (1,),
        note=cut_note(total, MAX_ROWS, "runs", "runs.csv", "runs that did not simply finish come first"),
        is_searchable=True,
        everything=rows.as_json(range(total)) if total > MAX_ROWS else "",
    )


class _Rows:
    """What the table says of each run, looked up once for all of them."""

    def __init__(self, frame: ExperimentFrame, findings: Findings, metric: str) -> None:
        tasks = frame.tasks
        self.names = [str(name) for name in tasks["run_name"]]
        self.labels = [str(label) for label in tasks["label"]]
        self.seeds = [int(seed) for seed in tasks["seed"]]
        self.classes = [str(name) or "–" for name in tasks["failure_class"]]
        self.values = [float(value) if np.isfinite(value) else None for value in metric_values(frame, metric)]
        self.notes = ["; ".join(findings.cautions.notes(row)) for row in range(len(tasks))]
        columns = (tasks[name] for name in ("outcome", "altered", "course", "warnings"))
        self.outcomes = [_outcome(*facts) for facts in zip(*columns, strict=True)]
        self.attempts = [int(count) for count in tasks["attempts"]]
        self.has_check = frame.has_check
        self.checks = [(str(answer) or "–", _CHECK_MARKS.get(str(answer), "")) for answer in tasks["check"]]

    def cells(self, row: int) -> tuple[Cell, ...]:
        """One row of the table."""
        words, mark = self.outcomes[row]
        folder = f"../tasks/{quote(self.names[row])}"
        attempt = f"{folder}/attempt-{self.attempts[row]}"
        has_run = self.attempts[row] > 0
        value = number_cell(self.values[row], mark="warn" if self.notes[row] else "")
        return (
            cell(self.names[row], link=f"{folder}/" if has_run else ""),
            cell(self.labels[row]),
            cell(self.seeds[row]),
            cell(words, mark=mark),
            cell(self.classes[row]),
            cell(self.attempts[row]),
            Cell(value.text, value.sort, f"{attempt}/" if value.sort else "", value.mark),
            cell(
                "" if has_run else "–", more=tuple((name, f"{attempt}/{name}.log") for name in _LOGS) if has_run else ()
            ),
            *([cell(self.checks[row][0], mark=self.checks[row][1])] if self.has_check else []),
            cell(self.notes[row] or "–"),
        )

    def as_json(self, rows: Iterable[int]) -> str:
        """All rows, repeated texts by number; ``templates/report.js.j2`` makes the same cells of it."""
        coded: dict[str, dict[Any, int]] = {"labels": {}, "outcomes": {}, "classes": {}, "notes": {}}
        coded |= {"checks": {}} if self.has_check else {}
        columns: dict[str, Sequence[Any]] = {
            "labels": self.labels,
            "outcomes": self.outcomes,
            "classes": self.classes,
            "notes": self.notes,
            **({"checks": self.checks} if self.has_check else {}),
        }
        lines = []
        for row in rows:
            label, outcome, failure, note, *check = (
                coded[name].setdefault(column[row], len(coded[name])) for name, column in columns.items()
            )
            lines.append([plain(self.names[row]), label, self.seeds[row], outcome, failure, self.attempts[row],
                          self.values[row], note, *check])  # fmt: skip
        texts = {name: [_plain_parts(one) for one in found] for name, found in coded.items()}
        return json.dumps({**texts, "rows": lines}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain_parts(one: Any) -> Any:
    return plain(one) if isinstance(one, str) else [plain(part) for part in one]


def _outcome(outcome: str, altered: bool, course: str, warnings: Sequence[str]) -> tuple[str, str]:
    """What came of a run in words, and how they are marked."""
    as_asked = outcome == "finished" and not altered and not warnings
    mark = "bad" if outcome == "failed" else ("good" if as_asked else "warn")
    shown = "never started" if outcome == "planned" else outcome
    shown += ", altered" if altered else (f", {course}" if outcome == "finished" and course else "")
    return shown + (", with warnings" if warnings else ""), mark


def _shown(frame: ExperimentFrame, notes: Sequence[str]) -> "npt.NDArray[np.int64]":
    """All runs in manifest order, or those somebody has to look at first when there are too many."""
    tasks = frame.tasks
    if len(tasks) <= MAX_ROWS:
        return np.arange(len(tasks))
    urgency = (
        tasks["outcome"].map(_OUTCOME_ORDER).to_numpy() * 2
        - tasks["altered"].to_numpy(dtype=np.int64)
        - (tasks["attempts"] > 1).to_numpy(dtype=np.int64)
        - np.array([bool(note) for note in notes], dtype=np.int64)
    )
    return np.argsort(urgency, kind="stable")[:MAX_ROWS]


def runs_csv(frame: ExperimentFrame, findings: Findings) -> str:
    """Write every run as CSV: parameters, outcome, every metric, every attempt's verdict, the last failure."""
    tasks = frame.tasks
    table = tasks[
        ["run_name", "task_id", "label", "case", "seed", "outcome", "failure_class", "altered", "attempts"]
    ].rename(columns={"label": "configuration"})
    parameters = frame.parameters.add_prefix("parameter.")
    values = frame.values.add_prefix("metric.")
    last = {failure.row: failure for failure in findings.failures}
    told = [last.get(row) for row in range(len(tasks))]
    healed = {one.row: one.how for one in findings.healed}
    ran = frame.ran.add_prefix("ran.")
    checks = frame.tasks[["check", "check_said"]] if frame.has_check else frame.tasks[[]]
    extra = pd.DataFrame(
        {
            "in_means": frame.usable,
            "with_care": ["; ".join(findings.cautions.notes(row)) for row in range(len(tasks))],
            "history": _histories(frame),
            "healed_by": [healed.get(row, "") for row in range(len(tasks))],
            "last_failure": [one.category if one else "" for one in told],
            "rule": [one.rule if one else "" for one in told],
            "evidence": [one.evidence if one else "" for one in told],
            "action": [one.action if one else "" for one in told],
            "folder": [f"tasks/{name}" for name in tasks["run_name"]],
        }
    )
    whole = pd.concat([table, parameters, values, checks, extra, ran], axis=1)
    texts = whole.select_dtypes(exclude="number").map(lambda cell: _safe(cell) if isinstance(cell, str) else cell)
    whole[texts.columns] = texts
    return str(whole.rename(columns=_safe).to_csv(index=False, lineterminator="\n"))


def _safe(text: str) -> str:
    return guard_cell(plain(text))


def _histories(frame: ExperimentFrame) -> list[str]:
    """What each attempt of each task came to: ``1 oom_gpu; 2 preempted, continued in 3; 3 success``."""
    joined: dict[int, list[str]] = {}
    columns = (frame.attempts[name] for name in ("task", "attempt", "category", "fate", "continued_in"))
    for task, number, category, fate, continued_in in zip(*columns, strict=True):
        is_continued = continued_in and fate in (Fate.CONTINUED, Fate.OPEN)
        text = f"{number} {category or 'not ended'}" + (f", continued in {continued_in}" if is_continued else "")
        joined.setdefault(int(task), []).append(text)
    return ["; ".join(joined.get(row, ())) for row in range(len(frame.tasks))]
