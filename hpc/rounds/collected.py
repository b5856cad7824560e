"""What a round writes into ``collected/``: verdicts, numbers, a table and the retry plan, from what was judged.

`tables`, `describe` and `results_h5` (numpy, h5py) are imported where something is written.
"""

from __future__ import annotations

import errno
import json
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpc.adapters.collected_file import describe_aside
from hpc.adapters.file_set import replacing
from hpc.adapters.files import open_new, read_json_or_none, write_json
from hpc.adapters.progress import through
from hpc.adapters.verdict_lines import line_of, write_verdicts
from hpc.core.errors import TemporaryError
from hpc.core.failures.outcomes import Outcome
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout
from hpc.core.retry.records import Declined, RetryPlan
from hpc.rounds.checked import answer_for
from hpc.rounds.judge import JudgedExperiment
from hpc.rounds.ledger import note_results
from hpc.rounds.settling import Settling
from hpc.snapshots.brief import is_finished
from hpc.snapshots.evidence import finite
from hpc.snapshots.outdated import describe_outdated

if TYPE_CHECKING:
    from hpc.rounds.tables import Table

SCHEMA = 1
SHOWN = 5
"""Runs that are named of those that are kept."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def write_collected(judged: JudgedExperiment, plan: RetryPlan, settling: Settling) -> tuple[str, ...]:
    """Replace the files of ``collected/`` together: verdicts, results, table and plan. All of it can be made again.

    Where nothing is new since the collection before, its files stand as they are.

    Args:
        settling: What was put down while the runs were judged.

    Returns:
        What a person should know about it, one sentence each.

    Raises:
        TemporaryError: The disk is full; all files are as they were.
    """
    layout = judged.layout
    standing = (*notes_on_kept(judged), *describe_outdated(layout, judged.snapshot.manifest))
    standing = (*standing, *filter(None, [describe_aside(layout)]))
    plan_digest = content_hash(plan_json(plan))
    if settling.stands(judged.tasks, standing, plan_digest):
        return standing
    from hpc.adapters.results_h5 import write_results
    from hpc.rounds.tables import columns_of, csv_columns, tabulate, write_csv

    settling.take_over()
    table = tabulate(judged, settling.curves)
    head = {
        "experiment": layout.experiment,
        "manifest_sha": judged.snapshot.manifest["sha256"],
        "collected": judged.snapshot.taken,
    }
    entries = _describe(judged, plan, table)
    newest, problems = note_results(judged, entries, settling)
    notes = (*table.problems, *standing, *problems)
    told = {**head, "notes": list(notes), "ledger": newest}
    with said_if_full(layout), replacing(layout.collected) as folder:
        lines, columns, sizes = _lines(judged, entries, table, settling), csv_columns(judged, table), array("q")
        with open_new(folder / layout.tasks_csv.name) as file:
            before = settling.rows_before(judged.tasks, columns.digest)
            lines = iter(through("writing results", lines, len(entries)))
            rows = write_csv(file, judged, columns, entries, lines, before, sizes)
            digest = write_verdicts(folder / layout.verdicts.name, SCHEMA, told, rows)
        write_results(
            folder / layout.results.name, {**head, "verdicts_sha256": digest}, columns_of(judged.tasks, entries),
            table.summary, table.series,
        )  # fmt: skip
        write_json(folder / layout.retry_plan.name, {"schema": SCHEMA, **head, **plan_json(plan)})
    written = notes, plan_digest, digest, columns.digest, sizes
    settling.keep(judged.tasks, entries, written, settles=not table.is_renamed)
    return notes


def _describe(judged: JudgedExperiment, plan: RetryPlan, table: Table) -> list[Mapping[str, Any]]:
    """Every task as ``verdicts.json`` has it; of those that are settled what is asked of them."""
    from hpc.rounds.describe import describe_task

    decisions, check = _decisions(plan), judged.frozen.spec.check
    entries: list[Mapping[str, Any]] = []
    pairs = zip(judged.tasks, table.values, strict=True)
    for task, values in through("describing runs", pairs, len(judged.tasks)):
        if task.settled:
            entries.append(task.settled.entry)
        else:
            entry = describe_task(judged.layout, task, values, decisions.get(task.state.task.task_id))
            entries.append(entry | answer_for(task, check, judged.snapshot.manifest))
    return entries


def _lines(
    judged: JudgedExperiment, entries: Sequence[Mapping[str, Any]], table: Table, settling: Settling
) -> Iterator[bytes]:
    """The lines of ``verdicts.json``: of settled tasks as they were put down, or stand in the file before."""
    before = settling.lines_before()
    for task, entry, values in zip(judged.tasks, entries, table.values, strict=True):
        earlier = next(before, b"")
        if task.settled is None:
            yield line_of(entry)
        else:
            line = settling.line(task.settled) or earlier
            yield line_of({**json.loads(line), "summary": finite(values)}) if table.is_renamed else line


@contextmanager
def said_if_full(layout: RunLayout) -> Iterator[None]:
    """Say of a full disk that nothing was replaced.

    Raises:
        TemporaryError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise TemporaryError(_not_written(layout, error)) from None


def _not_written(layout: RunLayout, error: OSError) -> str:
    """Say that nothing was replaced, and of when what stands there is."""
    before = read_json_or_none(layout.verdicts)
    stands = f"it stays as collected at {time.ctime(before['collected'])}" if before else "there was none yet"
    return (
        f"{layout.collected} was not written: {error.strerror}; {stands}. "
        f"Make room, then: python -m hpc.collect {layout.experiment}"
    )


def plan_json(plan: RetryPlan) -> dict[str, Any]:
    """A retry plan as JSON."""
    return asdict(plan)


def notes_on_kept(judged: JudgedExperiment) -> Iterator[str]:
    """Say which results stand although their folders are gone, and which stand no more."""
    kept = [task for task in judged.tasks if task.kept_result and task.kept]
    if kept:
        shown = [f"{task.state.task.run_name}: {task.kept.why}" for task in kept[:SHOWN] if task.kept]
        runs = "1 finished run is" if len(kept) == 1 else f"{len(kept)} finished runs are"
        yield (
            f"{runs} kept from an earlier collection ({', '.join(shown)}{', …' if len(kept) > SHOWN else ''}); "
            f"to forget: python -m hpc.collect {judged.layout.experiment} --forget-gone"
        )
    for task in judged.tasks:
        if task.outcome is not Outcome.FINISHED and is_finished(task.state.collected):
            yield f"{task.state.task.run_name} was finished when last collected, and is {task.outcome} now"


def _decisions(plan: RetryPlan) -> dict[str, dict[str, str]]:
    retried = {each.task_id: {"action": "retry", "reason": each.reason} for each in plan.retry}
    declined = {each.task_id: {"action": "declined", "reason": _why_not(each)} for each in plan.declined}
    return {**retried, **declined}


def _why_not(declined: Declined) -> str:
    return f"{declined.reason}; {declined.advice}" if declined.advice else declined.reason
