"""The loop that only looks on (``follow: {shadow: true}``): every decision is kept, none carried out, later scored."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hpc.adapters.files import readable_record
from hpc.adapters.ledger import append_json_lines, read_json_lines
from hpc.core.layout import RunLayout
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.record import RecordError
from hpc.core.records.shadow import HOLD, LEAVE, RETRY, START, Kept
from hpc.core.retry.shadow import Act, score
from hpc.core.slurm.arrays import Assignment
from hpc.submissions.holds import held
from hpc.submissions.on_disk import asked_of, is_used

if TYPE_CHECKING:
    from hpc.rounds.act import Assessment

MOST_BYTES = 16 << 20
"""Of the decisions kept, from the end."""


def keep_decisions(layout: RunLayout, present: "Assessment", new: Sequence[Assignment]) -> list[Kept]:
    """Keep what a round would have done; return what was not kept before.

    Raises:
        OSError: It cannot be written.
    """
    known = {_without_time(each) for each in read_kept(layout)}
    fresh = [each for each in _decided(present, new, time.time()) if _without_time(each) not in known]
    if fresh:
        append_json_lines(layout.follow_shadow, (each.to_json() for each in fresh))
    return fresh


def _without_time(kept: Kept) -> tuple[object, ...]:
    return (*kept.subject, kept.action, kept.memory_mib, kept.time_s, kept.micro_batch)


def _decided(present: "Assessment", new: Sequence[Assignment], now: float) -> Iterator[Kept]:
    if present.trip:
        yield Kept(now, HOLD, "", reason=present.trip.reason)
        return
    for each in present.plan.retry:
        given = (each.memory_mib, each.time_s, each.micro_batch)
        yield Kept(now, RETRY, each.run_name, each.attempt, each.category, *given, reason=each.reason)
    failed = {task.state.task.run_name: task for task in present.judged.tasks}
    for left in present.plan.declined:
        last = failed[left.run_name].attempts
        number = last[-1].state.number if last else 0
        yield Kept(now, LEAVE, left.run_name, number, left.category.value, reason=left.reason)
    for begun in new:
        yield Kept(now, START, begun.task.run_name, begun.attempt, reason="it was never submitted")


def read_kept(layout: RunLayout) -> list[Kept]:
    """Read the decisions that were kept; lines that are none are passed over."""
    found = []
    for line in read_json_lines(layout.follow_shadow, MOST_BYTES) if layout.follow_shadow.exists() else ():
        try:
            found.append(Kept.from_json(line))
        except RecordError:
            continue
    return found


def acts_of(layout: RunLayout) -> list[Act]:
    """Everything that was submitted, in order; in shadow all of it was people's."""
    acts = []
    for folder in sorted(layout.submissions.glob("[0-9]*")):
        index = readable_record(folder / "index.json", SubmissionIndex)
        files = layout.submission(int(folder.name))
        if index is None or not is_used(files):
            continue  # planned, and never submitted
        asked, given = asked_of(files), index.resources
        when = asked.time if asked else index.created
        acts += [
            Act(when, each.run_name, each.attempt, given.memory_mib, given.time_s, each.micro_batch)
            for each in index.entries
        ]
    return acts


def describe_shadow(layout: RunLayout) -> list[str]:
    """Say how often it decided as people did; nothing where it never looked on."""
    kept = read_kept(layout)
    if not kept:
        return []
    on_hold = held(layout)
    return [score(kept, acts_of(layout), held_at=on_hold.time if on_hold else None).text]
