"""What a collection and the processes that read for it say to each other: JSON, and behind it the bytes of curves.

A process is told which runs there are and what Slurm says of them, and reads their records itself. Its answer is data
and nothing that would be run: a process that a damaged file led astray can say something false of that run only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpc.adapters.curves import ROW_BYTES, Packed
from hpc.adapters.files import read_record
from hpc.adapters.manifest_store import task_from_json, task_to_json
from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.failures.evidence import Verdict
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.record import as_json, record_from
from hpc.core.records.task import TaskRecord
from hpc.core.retry.learned import Observation
from hpc.core.slurm.executions import JobRow
from hpc.rounds.judge import JudgedAttempt, JudgedTask
from hpc.rounds.numbers import numbers_of, results_from
from hpc.rounds.reading import Read, Reader, Said
from hpc.snapshots.states import AttemptState, Progress, TaskState

_END = b"\n"
"""Of the JSON; what follows is bytes."""

# ── what reads ───────────────────────────────────────────────────────────────────────────────────────────────────


def tell_reader(reader: Reader) -> bytes:
    """What reads the runs.

    Raises:
        TypeError: Another experiment would be read of what is told here.
    """
    message = json.dumps({
        "root": str(reader.layout.root),
        "experiment": reader.layout.experiment,
        "spec": as_json(reader.spec),
        "told": reader.told,
        "settles": reader.settles,
        "include_running": reader.include_running,
        "wants_curves": reader.wants_curves,
    }).encode()  # fmt: skip
    if reader_from(message).spec != reader.spec:
        raise TypeError("this experiment cannot be told")
    return message


def reader_from(message: bytes) -> Reader:
    """What reads the runs, as `tell_reader` told it.

    Raises:
        RecordError: The experiment is none.
    """
    told = json.loads(message)
    layout = RunLayout(Path(told["root"]), told["experiment"])
    return Reader(
        layout, record_from(ExperimentSpec, told["spec"]), told["told"], told["settles"], told["include_running"],
        told["wants_curves"],
    )  # fmt: skip


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────


def can_be_asked(state: TaskState) -> bool:
    """Whether records say all there is of a run: each attempt has one, and nothing is kept of any that are gone."""
    if state.late:
        return state.kept is None
    return state.kept is None and all(each.began is not None and not each.unreadable for each in state.attempts)


def tell_runs(states: Sequence[TaskState]) -> bytes:
    """Some runs that are to be read."""
    return json.dumps([_tell_run(state) for state in states]).encode()


def _tell_run(state: TaskState) -> list[Any]:
    attempts = [
        [each.number, each.submission, each.job, each.progress, each.end is not None,
         asdict(each.row) if each.row else None, each.is_packed]
        for each in state.attempts
    ]  # fmt: skip
    return [task_to_json(state.task), attempts, state.collected is not None]


def answer(reader: Reader, told: Sequence[Any]) -> bytes:
    """Read a run that was told; empty where it has to be read with more care."""
    task, attempts, is_collected = told
    run = reader.layout.task(task["run_name"])
    states = tuple(_read_attempt(run.attempt(each[0]), each) for each in attempts)
    read = reader.read(TaskState(task_from_json(task), states))
    judged = read.found.attempts if isinstance(read.found, JudgedTask) else ()
    if is_collected and judged and judged[-1].lacks_metrics:
        return b""  # what was collected may stand for them
    return _tell_read(read)


def _read_attempt(layout: AttemptLayout, told: Sequence[Any]) -> AttemptState:
    """An attempt with its records as they are now.

    Raises:
        FileNotFoundError: One is there no more.
        InputError: One cannot be read.
    """
    number, submission, job, progress, has_ended, row, is_packed = told
    began = read_record(layout.task_json, TaskRecord)
    end = read_record(layout.exit_json, ExitRecord) if has_ended else None
    known = record_from(JobRow, row) if row else None
    return AttemptState(number, submission, job, Progress(progress), layout, began, end, known, is_packed=is_packed)


# ── what is answered ─────────────────────────────────────────────────────────────────────────────────────────────


def _tell_read(read: Read) -> bytes:
    columns: dict[int, tuple[int, bytes]] = {}  # what curves share is told once
    curves = []
    for number, of_attempt in read.curves.items():
        for name, (rows, *parts) in of_attempt.items():
            places = [columns.setdefault(id(each), (len(columns), each))[0] for each in parts]
            curves.append((number, name, rows, places))
    line = read.found.line if isinstance(read.found, Said) else b""
    told = {
        "stands": read.stands,
        "observed": as_json(read.observed),
        "curves": curves,
        "columns": [len(each) for _, each in columns.values()],
        "rest": len(line),
        **(_tell_said(read.found) if isinstance(read.found, Said) else _tell_judged(read.found)),
    }
    return b"".join([json.dumps(told).encode(), _END, *(each for _, each in columns.values()), line])


def _tell_said(said: Said) -> Mapping[str, Any]:
    return {"said": [said.entry, said.last_step, said.source]}


def _tell_judged(task: JudgedTask) -> Mapping[str, Any]:
    attempts = [[as_json(each.verdict), each.is_whole, *numbers_of(each.results)] for each in task.attempts]
    return {"outcome": task.outcome, "attempts": attempts}


def read_from(message: bytes, state: TaskState) -> Read | None:
    """What was answered about a run; None where it has to be read with more care.

    Args:
        state: The run.

    Raises:
        ValueError: It is no answer; LookupError, TypeError and RecordError likewise.
    """
    if not message:
        return None
    begin = message.index(_END)
    told, place = json.loads(message[:begin]), begin + len(_END)
    curves: dict[int, dict[str, Packed]] = {}
    columns: list[bytes] = []
    for size in told["columns"]:
        columns.append(message[place : place + size])
        place += size
    for number, name, rows, places in told["curves"]:
        parts = [columns[each] for each in places]
        if {len(each) for each in parts} != {rows * ROW_BYTES}:
            raise ValueError("a curve is not whole")
        curves.setdefault(number, {})[name] = Packed(rows, *parts)
    if place + told["rest"] != len(message):
        raise ValueError("it is not whole")
    found: JudgedTask | Said
    if "said" in told:
        entry, last_step, source = told["said"]
        found = Said(entry, message[place:], last_step, tuple(source))
    else:
        judged = zip(state.attempts, told["attempts"], strict=True)
        found = JudgedTask(state, tuple(_attempt_from(*each) for each in judged), Outcome(told["outcome"]))
    observed = tuple(record_from(Observation, each) for each in told["observed"])
    return Read(found, bool(told["stands"]), curves, observed)


def _attempt_from(state: AttemptState, told: Sequence[Any]) -> JudgedAttempt:
    verdict, is_whole, *numbers = told
    given = record_from(Verdict, verdict) if verdict else None
    return JudgedAttempt(state, results_from(numbers, state.layout), given, is_whole=is_whole)
