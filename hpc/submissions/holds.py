"""Holding an experiment: nothing more of it starts until somebody has looked and released it.

``hold.json`` is the hold. Every command that would start something looks for it, this machine's own queue too; what
Slurm has already is held there. The file is written first: who dies between it and scontrol leaves a hold that the next
command completes. Jobs that somebody else held are not in it, and so are not released.

The caller holds the experiment's lock.
"""

import contextlib
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from hpc.adapters import slurm
from hpc.adapters.files import read_json_or_none, read_record_or_none, write_json
from hpc.adapters.manifest_store import readable_indices
from hpc.adapters.spare import replace_json
from hpc.core.errors import HpcError, InputError
from hpc.core.failures.breaker import Trip
from hpc.core.layout import RunLayout
from hpc.core.records.hold import Accepted, Hold
from hpc.core.slurm.executions import JobRow, expand_elements, fold_elements
from hpc.core.slurm.pending import is_held
from hpc.core.slurm.successors import Course
from hpc.submissions.held_runs import elements_of, held_runs
from hpc.submissions.on_disk import comment_of, logged_jobs, received_job


class ExperimentIsHeld(HpcError):  # noqa: N818  an answer, not an error
    """Something was to be started of an experiment that is held."""


def held(layout: RunLayout) -> Hold | None:
    """Read why an experiment is held; None when it is not. A hold that cannot be read is one."""
    try:
        return read_record_or_none(layout.hold, Hold)
    except InputError as error:
        return Hold(0.0, f"the reason cannot be read ({error})", _release_command(layout))


def accepted(layout: RunLayout) -> frozenset[str]:
    """Fingerprints somebody released: they do not hold the experiment again."""
    return frozenset(_accepted(layout).fingerprints)


def released_at(layout: RunLayout) -> float:
    """Unix time of the last release; 0 when there was none. Storage that failed before it has been mended."""
    return _accepted(layout).time


def _accepted(layout: RunLayout) -> Accepted:
    """What was released. Nothing where that cannot be read: the experiment may then be held once more."""
    with contextlib.suppress(InputError):
        return read_record_or_none(layout.accepted, Accepted) or Accepted()
    return Accepted()


def describe_hold(layout: RunLayout) -> str:
    """Say in one sentence that, why and how to go on; empty when nothing is held."""
    present = held(layout)
    return f"{layout.experiment} is held: {present.reason}. To go on: {present.command}" if present else ""


def stop_if_held(layout: RunLayout, *, dry_run: bool = False) -> None:
    """Submit nothing of a held experiment, and hold what has come into Slurm's queue since.

    Raises:
        ExperimentIsHeld: It is held; the text names the command that goes on.
        TemporaryError: It is held, and Slurm did not answer.
    """
    if said := describe_hold(layout):
        if not dry_run:
            keep_held(layout)
        raise ExperimentIsHeld(said)


def hold(layout: RunLayout, trip: Trip) -> Hold:
    """Start nothing more, and hold what waits in Slurm's queue; return what is written in ``hold.json``.

    An experiment that is held already keeps its first reason.

    Raises:
        TemporaryError: Slurm did not answer. The hold stands; the next command holds what waits.
    """
    found = Hold(
        time=time.time(),
        reason=trip.reason,
        command=_release_command(layout),
        fingerprint=trip.fingerprint,
        evidence=trip.evidence,
        tasks=tuple(trip.tasks),
    )
    return put_on_hold(layout, found)


def put_on_hold(layout: RunLayout, found: Hold) -> Hold:
    """Hold an experiment as it is said, unless it is already held; return what is written in ``hold.json``.

    Raises:
        TemporaryError: Slurm did not answer. The hold stands; the next command holds what waits.
    """
    if held(layout) is None:
        replace_json(layout.hold, found.to_json())
    keep_held(layout)
    present = held(layout)
    if present is None:
        raise AssertionError("the caller has the experiment's lock: nobody released it meanwhile")
    return present


def _release_command(layout: RunLayout) -> str:
    return f"python -m hpc.submit {layout.experiment} --release" + _follow(layout)


def _follow(layout: RunLayout) -> str:
    """What has the release take up the unattended loop again, which ends with the hold; empty where none goes on."""
    state: object = None
    with contextlib.suppress(InputError):
        state = read_json_or_none(layout.follow_state)
    course = state.get("course") if isinstance(state, dict) else None
    return " --follow" if course in (Course.GOES_ON, Course.HELD) else ""


def keep_held(layout: RunLayout) -> None:
    """Hold what waits in Slurm's queue of a held experiment and is not held yet; nothing where nothing is held.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    present = held(layout)
    if present is None or not _is_known_to_slurm(layout):
        return
    ours = set(present.jobs)
    new = jobs_to_hold(rows_of(layout), ours)
    if not new:
        return
    # Noted before it is done: what is held and not noted would never be released.
    replace_json(layout.hold, replace(present, jobs=tuple(sorted(ours | set(new)))).to_json())
    slurm.hold_jobs(new)


def release(layout: RunLayout) -> Hold | None:
    """Let a held experiment go on, and remember what it was held for; None when nothing is held.

    Raises:
        TemporaryError: Slurm did not answer; the experiment is still held, the same call may be repeated.
    """
    present = held(layout)
    if present is None:
        return None
    if present.fingerprint:
        known = sorted(accepted(layout) | {present.fingerprint})
        write_json(layout.accepted, Accepted(tuple(known), time.time()).to_json())
    if present.jobs:
        rows = rows_of(layout)
        slurm.release_jobs(jobs_to_release(rows, present.jobs, _stay_held(layout, rows, present)))
    layout.hold.unlink()
    return present


def _stay_held(layout: RunLayout, rows: Sequence[JobRow], present: Hold) -> set[str]:
    """Elements of single runs that a person holds: they stay held, and are noted as held for that."""
    known = held_runs(layout)
    if not known.runs:
        return set()
    stay = {row.job for row in elements_of(layout, known.runs, rows) if not row.state.is_finished}
    taken_over = stay & {row.job for row in rows if is_held(row.state, row.reason) and row.job in _Jobs(present.jobs)}
    replace_json(layout.held_runs, replace(known, jobs=tuple(sorted({*known.jobs, *taken_over}))).to_json())
    return stay


def _is_known_to_slurm(layout: RunLayout) -> bool:
    """Whether anything was prepared for Slurm: somebody may have typed ``sbatch`` without us."""
    return any(index.scheduler == "slurm" for _, index in readable_indices(layout))


def rows_of(layout: RunLayout) -> list[JobRow]:
    """What squeue says of this experiment's own jobs; others may bear its name."""
    comments, jobs = set(), set()
    for submission, index in readable_indices(layout):
        comments.add(comment_of(index.manifest_sha, index.submission))
        jobs |= {received_job(submission), *logged_jobs(submission)}
    return [
        row
        for row in slurm.query_queue(layout.experiment)
        if row.comment in comments or (not row.comment and row.job.split("_")[0] in jobs)
    ]


def jobs_to_hold(rows: Iterable[JobRow], ours: Iterable[str]) -> list[str]:
    """Name what waits unheld: whole arrays, so that what Slurm requeues later is held too.

    An array of which somebody else holds elements is named by its other waiting elements, so that ours can be told
    from theirs.
    """
    by_array: dict[str, list[JobRow]] = {}
    for row in rows:
        by_array.setdefault(row.job.split("_")[0], []).append(row)
    mine = _Jobs(ours)
    jobs: list[str] = []
    for array, elements in by_array.items():
        waiting = [row for row in elements if row.state.is_waiting]
        unheld = [row.job for row in waiting if not is_held(row.state, row.reason)]
        by_others = any(is_held(row.state, row.reason) and row.job not in mine for row in waiting)
        if unheld:
            jobs += fold_elements(unheld) if by_others else [array]
    return jobs


def jobs_to_release(rows: Iterable[JobRow], held_jobs: Iterable[str], stay: Collection[str] = ()) -> list[str]:
    """Name what of the held jobs Slurm still has; running elements of a held array too, lest their requeue waits.

    Args:
        stay: Elements that are not to be released.
    """
    mine = _Jobs(held_jobs)
    left = [row.job for row in rows if not row.state.is_finished and row.job in mine and row.job not in stay]
    in_parts = {job.split("_")[0] for job in stay}
    whole = {array for job in left if (array := job.split("_")[0]) in mine.whole and array not in in_parts}
    return [*sorted(whole), *fold_elements(job for job in left if job.split("_")[0] not in whole)]


class _Jobs:
    """A set of jobs given by arrays and elements."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self.whole = {name for name in names if "_" not in name}
        self._elements = {element for name in names for element in expand_elements(name)}

    def __contains__(self, job: str) -> bool:
        return job in self._elements or job.partition("_")[0] in self.whole
