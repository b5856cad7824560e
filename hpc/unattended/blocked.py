"""Tasks that are left and that nobody's waiting will ever begin: what they come after is over, and did not finish."""

from collections.abc import Sequence

from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from hpc.core.records.index import Source
from hpc.core.slurm.arrays import Assignment
from hpc.core.slurm.successors import Course
from hpc.snapshots.snapshot import take_snapshot
from hpc.submissions.holds import held
from hpc.submissions.prepare import Frozen
from hpc.submissions.sources import describe_missing, find_sources, finished, look_at_jobs
from hpc.unattended.state import read_state


def why_blocked(layout: RunLayout, frozen: Frozen, waiting: Sequence[Assignment]) -> str:
    """Say why none of the tasks that are left can begin before a person does something; empty while one may.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    lost_jobs = look_at_jobs(frozen.spec).lost if frozen.profile.scheduler == "slurm" else ""
    found = find_sources(layout, frozen.spec, [each.task for each in waiting])
    lost = _lost_runs(layout, list(dict.fromkeys(each for sources in found.values() for each in sources)))
    for each in waiting:
        is_behind_job = bool(lost_jobs) and each.attempt == 1
        if not is_behind_job and not any(source in lost for source in found.get(each.task.task_id, ())):
            return ""
    return "; ".join(filter(None, (lost_jobs, describe_missing(lost))))


def _lost_runs(layout: RunLayout, sources: Sequence[Source]) -> dict[Source, str]:
    """Which runs of other experiments ended without a result, with nobody at work who might try them again."""
    lost: dict[Source, str] = {}
    for name in dict.fromkeys(source.experiment for source in sources):
        over = _over(RunLayout(layout.root, name))
        for source in (each for each in sources if each.experiment == name and each.task_id in over):
            if isinstance(why := finished(layout.root, source), str):
                lost[source] = why
    return lost


def _over(other: RunLayout) -> frozenset[str]:
    """Tasks of an experiment that were submitted and are over; none where it goes on, or may once it is released."""
    try:
        state, is_held = read_state(other), held(other) is not None
        if is_held or (state is not None and state.course is Course.GOES_ON):
            return frozenset()
        tasks = take_snapshot(other).tasks
    except InputError:  # damaged: a person has to look, and may mend it
        return frozenset()
    if any(each.is_live for each in tasks):
        return frozenset()
    return frozenset(each.task.task_id for each in tasks if each.attempts)
