"""Runs that stand under the names of a changed plan: whether they may make way, and how they are set aside.

    aside/001/aside.json       which runs, when, of which plan; written first, with its folder
    aside/001/X1/              the folder of a run, moved as it is

Nothing is deleted. Who dies between two writes leaves the old plan, and the next plan moves what is left: first is
written what gives way, then its elements are withdrawn, so that no queue starts them again, then the folders are moved.
The caller holds the experiment's lock.
"""

import secrets
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import (
    make_folder,
    publish_folder,
    read_json_or_none,
    readable_record,
    sync_folder,
    write_json,
)
from hpc.adapters.manifest_store import readable_indices
from hpc.adapters.withdrawn import read_withdrawn, withdraw
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.spec import Task
from hpc.core.failures.evidence import FailureClass
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout, TaskLayout
from hpc.core.records.aside import RunAside, SetAside
from hpc.core.records.index import Element
from hpc.core.records.task import TaskRecord
from hpc.core.resources import HOUR
from hpc.core.words import amount, counted
from hpc.snapshots.snapshot import look_at
from hpc.snapshots.states import TaskState
from hpc.submissions.on_disk import is_used, list_attempts, list_runs

RESULTS = (FailureClass.DIVERGENCE, FailureClass.NOT_CONVERGED)
"""Failures that are results: to run them anew under other settings is to choose what is reported."""
NAMED = 5
"""Runs a message names."""


@immutable
class InTheWay:
    """A run of other settings under a name that the new plan gives to a task of its own.

    Attributes:
        run_name: The name.
        earlier: What is known of the tasks that had it, with what runs or waits of them.
        attempts: Attempts in its folder.
        result: What it had measured, in words; empty where it holds no result.
    """

    run_name: str
    earlier: tuple[TaskState, ...]
    attempts: int
    result: str

    @property
    def is_live(self) -> bool:
        """Whether something of it runs or waits in a queue."""
        return any(state.is_live for state in self.earlier)


def find_in_the_way(layout: RunLayout, tasks: Sequence[Task]) -> tuple[InTheWay, ...]:
    """Find the runs of other settings that stand under the names of these tasks, on disk or in a queue.

    Raises:
        TemporaryError: Slurm is needed and did not answer.
    """
    wanted = {task.run_name: task.task_id for task in tasks}
    earlier: dict[str, dict[str, Task]] = {}
    for other in (*_on_disk(layout, wanted), *_submitted(layout, wanted)):
        earlier.setdefault(other.run_name, {}).setdefault(other.task_id, other)
    if not earlier:
        return ()
    asked = [task for others in earlier.values() for task in others.values()]
    states: dict[str, list[TaskState]] = {}
    # What was planned and never submitted needs no answer of Slurm: planning works where there is none.
    was_submitted = any(is_used(each) for each, _ in readable_indices(layout))
    for state in look_at(layout, asked, require_slurm=was_submitted).tasks:
        states.setdefault(state.task.run_name, []).append(state)
    entries = {entry["run_name"]: entry for entry in read_entries(layout).values()}
    return tuple(_in_the_way(layout, name, found, entries.get(name)) for name, found in states.items())


def _on_disk(layout: RunLayout, wanted: Mapping[str, str]) -> Iterator[Task]:
    """The tasks whose attempts hold a wanted name; folders that cannot be read are named by `status`."""
    present = set(list_runs(layout))
    for name, task_id in wanted.items():
        numbers = list_attempts(layout, name) if name in present else []
        path = layout.task(name).attempt(numbers[-1]).task_json if numbers else None
        record = readable_record(path, TaskRecord) if path else None
        if record and record.task_id != task_id:
            yield Task(record.task_id, name, record.parameters, record.seed or 0, record.case)


def _submitted(layout: RunLayout, wanted: Mapping[str, str]) -> Iterator[Task]:
    """The tasks of other settings that somebody submitted under a wanted name, begun or not."""
    for submission, index in readable_indices(layout):
        foreign = [each for each in index.entries if wanted.get(each.run_name, each.task_id) != each.task_id]
        if foreign and (index.scheduler == "slurm" or is_used(submission)):
            aside = read_withdrawn(submission).set_aside
            yield from (_task_of(each) for each in foreign if each.run_name not in aside)


def _task_of(element: Element) -> Task:
    return Task(element.task_id, element.run_name, element.parameters, element.seed, element.case)


def _in_the_way(
    layout: RunLayout, run_name: str, states: Sequence[TaskState], entry: Mapping[str, Any] | None
) -> InTheWay:
    numbers = list_attempts(layout, run_name)
    return InTheWay(run_name, tuple(states), len(numbers), _result(layout.task(run_name), states, entry))


def _result(folder: TaskLayout, states: Sequence[TaskState], entry: Mapping[str, Any] | None) -> str:
    """Say what a run measured; empty where none of its attempts gave a result."""
    attempts = [attempt for state in states for attempt in state.attempts if attempt.is_claimed]
    has_ended_well = any(attempt.unreadable or (attempt.ended and attempt.ended.is_done) for attempt in attempts)
    of_entry = entry is not None and entry["task_id"] in {state.task.task_id for state in states}
    is_result = entry is not None and of_entry and _is_result(entry)
    if not has_ended_well and not is_result:
        return ""
    hours = sum(attempt.ended.elapsed_s for attempt in attempts if attempt.ended) / HOUR
    values = _values(folder, entry if is_result else None)
    return ", ".join([*values, *([amount(hours, "h")] if hours >= 0.05 else [])]) or "no value on record"


def _is_result(entry: Mapping[str, Any]) -> bool:
    return entry["outcome"] == "finished" or entry.get("failure_class") in RESULTS


def _values(folder: TaskLayout, entry: Mapping[str, Any] | None) -> list[str]:
    """The first two values of a run, as ``loss 0.5``."""
    try:
        told = dict(entry["summary"]) if entry else read_json_or_none(folder.metrics_json)
    except (InputError, OSError):
        told = None
    skipped = ("attempt", "wall_time", "seed", "schema")
    found = told.items() if isinstance(told, dict) else ()
    return [f"{name} {value:g}" for name, value in found if name not in skipped and _is_number(value)][:2]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def refuse_in_the_way(layout: RunLayout, found: Sequence[InTheWay], *, replace: bool, command: str) -> None:
    """Refuse what may not make way, all at once.

    Args:
        replace: Whether somebody asked for it: then results make way, too.
        command: The command that asks for it.

    Raises:
        InputError: Something still runs or waits, or holds results that nobody gave up.
    """
    problems = []
    if live := [each for each in found if each.is_live]:
        names = shlex.join(each.run_name for each in live)
        cancel = f"python -m hpc.cancel {layout.experiment} {names}"
        problems.append(
            f"{_shown(live)} {_holds(live)} runs of other settings (program, arguments or parameters were changed) "
            f"that still run or wait. Let them end, or cancel them: {cancel}"
        )
    if not replace and (results := [each for each in found if each.result and not each.is_live]):
        values = "; ".join(f"{each.run_name}: {each.result}" for each in results[:NAMED])
        more = f"; and {len(results) - NAMED} more" if len(results) > NAMED else ""
        problems.append(
            f"{_shown(results)} already {_holds(results)} results of other settings (program, arguments or parameters "
            f"were changed), which would no longer count ({values}{more}). To keep both: Rename the experiment (name:) "
            f"or change run_name. To set them aside in {shlex.quote(str(layout.aside))} and run again: {command}"
        )
    if problems:
        raise InputError([Problem(text) for text in problems])


def _holds(found: Sequence[InTheWay]) -> str:
    return "holds" if len(found) == 1 else "hold"


def _shown(found: Sequence[InTheWay]) -> str:
    names = ", ".join(each.run_name for each in found[:NAMED])
    return names + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")


def describe_in_the_way(layout: RunLayout, found: Sequence[InTheWay]) -> tuple[str, ...]:
    """Say what makes way, one note; nothing where nothing does."""
    moved = [each for each in found if each.attempts]
    if not moved:
        return ()
    with_result = sum(bool(each.result) for each in moved)
    what = f"{with_result} of them with results" if with_result else "none of them with a result"
    return (
        f"set aside, because program, arguments or parameters were changed: {_shown(moved)} "
        f"({counted(sum(each.attempts for each in moved), 'attempt')}, {what}); kept in "
        f"{shlex.quote(str(layout.aside))}, counted "
        "and named in the report",
    )


def set_aside(layout: RunLayout, found: Sequence[InTheWay], manifest_sha: str) -> None:
    """Put runs aside; see the head of this module for the order and why it may end anywhere.

    Args:
        manifest_sha: The plan they were of.
    """
    if not found:
        return
    folder = _write_record(layout, [each for each in found if each.attempts], manifest_sha)
    _withdraw(layout, found)
    for each in found:
        source = layout.task(each.run_name).home
        if folder and each.attempts and source.exists():
            source.rename(folder / each.run_name)
    if folder:
        sync_folder(folder)
        sync_folder(layout.tasks)


def _write_record(layout: RunLayout, found: Sequence[InTheWay], manifest_sha: str) -> Path | None:
    """Publish the next folder of ``aside/`` with its record; None where no folder has to be moved."""
    if not found:
        return None
    runs = tuple(RunAside(each.run_name, each.earlier[-1].task.task_id, each.attempts, each.result) for each in found)
    record = SetAside(time.time(), manifest_sha, runs)
    number = max((int(path.name) for path in layout.aside.glob("[0-9]*") if path.name.isdecimal()), default=0) + 1
    while True:
        final = layout.aside / f"{number:03d}"
        prepared = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
        try:
            make_folder(prepared)
            write_json(prepared / "aside.json", record.to_json())
            if publish_folder(prepared, final):
                return final
        finally:
            shutil.rmtree(prepared, ignore_errors=True)  # not there any more when it was published
        number += 1


def _withdraw(layout: RunLayout, found: Sequence[InTheWay]) -> None:
    """Let no queue start again what makes way, and no snapshot count it."""
    gone = {(each.run_name, state.task.task_id) for each in found for state in each.earlier}
    known = {attempt.submission for each in found for state in each.earlier for attempt in state.attempts}
    for submission, index in readable_indices(layout):
        names = [entry.run_name for entry in index.entries if (entry.run_name, entry.task_id) in gone]
        if names and (submission.number in known or is_used(submission)):
            withdraw(submission, set_aside=names)
