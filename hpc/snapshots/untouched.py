"""Tasks to which nothing has happened are counted and not looked at: a hundred thousand that wait are one number.

Such a task has no folder, no collection names it, and if it was submitted, then to this machine's own queue as one of
many like it. What is not as simple as that (Slurm has its own word on each element, packs, canaries, elements that were
withdrawn, other experiments that come first) is looked at as always.
"""

import contextlib
from dataclasses import replace
from typing import NamedTuple

from hpc.adapters.collected_file import Entry
from hpc.adapters.files import is_there
from hpc.adapters.manifest_store import check_manifest, list_submissions, task_from_json
from hpc.adapters.task_lines import LazyManifest, TaskLines, index_lines, manifest_lines
from hpc.core.errors import InputError
from hpc.core.failures.outcomes import Outcome
from hpc.core.launch.program import experiments_before
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.record import RecordError
from hpc.core.records.submitted import LOCAL
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import Snapshot, look_at, snapshot_of, take_snapshot
from hpc.submissions.on_disk import asked_of, list_runs, logged_jobs


class _Array(NamedTuple):
    """An array of this machine's queue.

    Attributes:
        is_used: Whether it was submitted.
        is_special: Whether its tasks have to be looked at one by one.
        waits_for: Number of the submission that has to succeed first; 0: none.
    """

    files: SubmissionLayout
    lines: TaskLines
    is_used: bool
    is_special: bool
    waits_for: int


def take_brief_snapshot(layout: RunLayout, memory: Memory) -> Snapshot:
    """Read the state of an experiment as `take_snapshot` with `memory`; Slurm need not answer.

    Returns:
        A snapshot whose `tasks` may be those alone to which something has happened; the others are `untouched`.

    Raises:
        InputError: As `take_snapshot`.
    """
    with contextlib.suppress(InputError, OSError, ValueError):  # whatever it is, who reads all of it says what
        if found := _in_brief(layout, memory):
            return found
    return take_snapshot(layout, require_slurm=False, memory=memory)


def _in_brief(layout: RunLayout, memory: Memory) -> Snapshot | None:
    lines = manifest_lines(layout.manifest)
    if lines is None or layout.restored.exists() or layout.held_runs.exists():
        return None
    manifest = LazyManifest(lines)
    if not memory.is_whole(lines.digest):
        check_manifest({**manifest}, layout.manifest)
        memory.note_whole(lines.digest, len(lines.ids))
    if experiments_before(manifest["spec"]):
        return None
    arrays = _read_arrays(layout, memory)
    if arrays is None:
        return None
    collected, begun = memory.read_entries(), set(list_runs(layout))
    touched = {own for own, name in zip(lines.ids, lines.run_names, strict=True) if name in begun}
    touched.update(own for own, entry in collected.items() if _has_begun(entry))
    submitted = set[str]()
    for each in arrays:
        if each.is_special:
            touched.update(each.lines.ids)
        elif each.is_used:
            touched.update(submitted.intersection(each.lines.ids))  # it waits twice
            submitted.update(each.lines.ids)
    prepared = [(each.files, _cut(each.lines, touched)) for each in arrays]
    tasks = [task_from_json(each) for each in lines.read(touched)]
    seen = look_at(layout, tasks, require_slurm=False, memory=memory, prepared=prepared)
    return replace(snapshot_of(layout, manifest, seen, collected), untouched=_count(lines, touched, submitted))


def _read_arrays(layout: RunLayout, memory: Memory) -> list[_Array] | None:
    """Read the heads of all submissions; None where one of them is not of this machine's queue, or not laid out so."""
    found = []
    for files in list_submissions(layout):
        lines = index_lines(files.index)
        if lines is None or lines.rest.get("scheduler") != LOCAL or lines.rest.get("pack"):
            return None
        if not memory.is_whole(lines.digest):
            _cut(lines, {*lines.ids})
            memory.note_whole(lines.digest, len(lines.ids))
        asked = asked_of(files)
        waits_for = asked.waits_for if asked else 0
        is_odd = bool(waits_for) or is_there(files.withdrawn) or is_there(files.cancelled)
        found.append(_Array(files, lines, asked is not None or bool(logged_jobs(files)), is_odd, waits_for))
    awaited = {each.waits_for for each in found}
    return [each._replace(is_special=each.is_special or each.files.number in awaited) for each in found]


def _cut(lines: TaskLines, wanted: set[str]) -> SubmissionIndex:
    """Cut an index to some of its tasks.

    Raises:
        InputError: It was edited.
    """
    try:
        return SubmissionIndex.from_json({**lines.rest, "entries": lines.read(wanted)})
    except RecordError as error:
        raise InputError(str(error)) from None


def _has_begun(entry: Entry) -> bool:
    """Whether a collected task has what may stand of it though its folder be gone (`hpc.snapshots.kept.find_kept`)."""
    return bool(entry.get("kept")) or any(told.get("manifest_sha") for told in entry["attempts"])


def _count(lines: TaskLines, touched: set[str], submitted: set[str]) -> dict[str, int]:
    left = set(lines.ids) - touched
    waiting = left & submitted
    return {Outcome.PENDING.value: len(waiting), Outcome.PLANNED.value: len(left) - len(waiting)}
