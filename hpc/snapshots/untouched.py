"""Tasks to which nothing has happened are counted and not looked at: a hundred thousand that wait are one number.

Such a task has no folder, no collection names it, and if it was submitted, then as one of many like it: its element
waits. What is not as simple as that (canaries, elements that were withdrawn or that Slurm says something else of, other
experiments that come first) is looked at as always.
"""

import contextlib

from hpc.adapters.collected_file import Entry
from hpc.adapters.manifest_store import check_manifest, list_submissions, task_from_json
from hpc.adapters.task_lines import LazyManifest, index_lines, manifest_lines
from hpc.core.errors import InputError
from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import replace
from hpc.core.launch.program import experiments_before
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import JobRow
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import Found, ask_for, see, snapshot_of, take_snapshot
from hpc.snapshots.states import Snapshot
from hpc.snapshots.submitted import Prepared, read_array
from hpc.submissions.on_disk import list_runs


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
    prepared = _read_arrays(layout, memory)
    if prepared is None:
        return None
    found = ask_for(layout, require_slurm=False, prepared=prepared)
    if found.unreadable:
        return None
    collected, begun = memory.read_entries(), set(list_runs(layout))
    touched = {own for own, name in zip(lines.ids, lines.run_names, strict=True) if name in begun}
    touched.update([own for own in collected if own not in touched and _has_begun(collected[own])])
    waiting = _waiting(found, touched)
    tasks = [task_from_json(each) for each in lines.read(touched)]
    snapshot = snapshot_of(layout, manifest, see(layout, tasks, found, memory), collected)
    left = set(lines.ids) - touched
    rows = tuple(row for own, row in waiting.items() if row is not None and own in left)
    pending = len(left & waiting.keys())
    counts = {Outcome.PENDING.value: pending, Outcome.PLANNED.value: len(left) - pending}
    return replace(snapshot, untouched=counts, waiting_rows=rows)


def _waiting(found: Found, touched: set[str]) -> dict[str, JobRow | None]:
    """Find the tasks that wait and are no more than that: task → Slurm's row on its element.

    Args:
        touched: Tasks to which something has happened; the others of which that is so are added.
    """
    awaited = {each.asked.waits_for for each in found.submitted if each.asked}
    waiting = dict[str, JobRow | None]()
    for each in found.submitted:
        is_odd = bool(each.asked and each.asked.waits_for) or each.index.submission in awaited
        ended = each.never_to_start
        for position, (own, run_name) in enumerate(each.named()):
            if own in touched:
                continue
            is_more = is_odd or own in waiting or run_name in ended
            waits, row = (False, None) if is_more else found.waiting_row(each, position)
            if waits:
                waiting[own] = row
            else:
                touched.add(own)
    return waiting


def _read_arrays(layout: RunLayout, memory: Memory) -> list[Prepared] | None:
    """Read the submissions, their entries on demand; None where one of them is not laid out so."""
    found = []
    for files in list_submissions(layout):
        if (index := read_array(index_lines(files.index), memory)) is None:
            return None
        found.append((files, index))
    return found


def _has_begun(entry: Entry) -> bool:
    """Whether a collected task has what may stand of it though its folder be gone (`hpc.snapshots.kept.find_kept`)."""
    return bool(entry.get("kept")) or any(told.get("manifest_sha") for told in entry["attempts"])
