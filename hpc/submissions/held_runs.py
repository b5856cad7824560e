"""Which single runs a person holds (``held_runs.json``), as everything that would start one asks it."""

from collections.abc import Callable, Collection, Iterable, Sequence

from hpc.adapters.files import is_there, read_record_or_none
from hpc.adapters.manifest_store import readable_indices
from hpc.core.errors import InputError
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.records.hold import HeldRun, HeldRuns
from hpc.core.slurm.arrays import Assignment
from hpc.core.slurm.executions import JobRow
from hpc.core.words import few
from hpc.submissions.on_disk import comment_of, logged_jobs, received_job


def held_runs(layout: RunLayout) -> HeldRuns:
    """The runs that are held; none where there is no such file.

    Raises:
        InputError: It cannot be read.
    """
    return read_record_or_none(layout.held_runs, HeldRuns) or HeldRuns()


def why_held(layout: RunLayout) -> Callable[[str], str]:
    """Read which runs are held; what it gives says of a run why, empty where it is not.

    Where nobody can read it every run is: one that was to wait must not start.
    """
    try:
        runs = held_runs(layout).runs
    except InputError as error:
        unreadable = f"the list of held runs cannot be read ({error})"
        return lambda _: unreadable
    return lambda run: _describe(runs[run]) if run in runs else ""


def _describe(run: HeldRun) -> str:
    return f"held by {run.by}" + (f": {run.reason}" if run.reason else "")


@immutable
class Free:
    """Assignments of which some are held.

    Attributes:
        free: What may be submitted.
        kept: What is held.
        why: Which, and how to go on; empty where nothing is.
    """

    free: tuple[Assignment, ...]
    kept: tuple[Assignment, ...] = ()
    why: str = ""


def split_held(layout: RunLayout, assignments: Sequence[Assignment]) -> Free:
    """Tell what may be submitted from what a person holds."""
    if not is_there(layout.held_runs):
        return Free(tuple(assignments))
    why = why_held(layout)
    kept = tuple(each for each in assignments if why(each.task.run_name))
    free = tuple(each for each in assignments if not why(each.task.run_name))
    names = few([each.task.run_name for each in kept])
    return Free(free, kept, f"{names} held; to go on: python -m hpc.release {layout.experiment}" if kept else "")


def elements_of(
    layout: RunLayout, runs: Collection[str], rows: Iterable[JobRow], *, of_others_too: bool = False
) -> list[JobRow]:
    """Those of Slurm's rows that are elements of these runs.

    Args:
        of_others_too: Also packs (`hpc.core.resources.Pack`) that have other runs besides.
    """
    marks: dict[str, str] = {}
    has = any if of_others_too else all
    for submission, index in readable_indices(layout):
        if not any(entry.run_name in runs for entry in index.entries):
            continue
        named = ([entry.run_name in runs for entry in index.entries_of(element)] for element in range(index.elements))
        wanted = [element for element, each in enumerate(named) if has(each)]
        jobs = {received_job(submission), *logged_jobs(submission)}
        mark = comment_of(index.manifest_sha, index.submission)
        for position in wanted:
            marks |= {f"{job}_{position}": mark for job in jobs} | {f"{mark} {position}": mark}
    return [row for row in rows if row.job in marks or f"{row.comment} {row.job.rpartition('_')[2]}" in marks]
