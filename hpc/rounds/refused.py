"""Elements Slurm itself holds because they could not be launched: released a few times, then left to a person.

After a preemption or on a node that is just coming back slurmd may refuse a job ("launch failed requeued held"); Slurm
then holds the element until somebody says ``scontrol release``. At night nobody does. No task was at fault and none has
begun, so no attempt is counted; but a node that refuses every launch must not be tried for ever.
"""

import contextlib
from collections.abc import Iterable, Mapping

from hpc.adapters import slurm
from hpc.adapters.files import read_record_or_none, write_json
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from hpc.core.records.hold import Relaunched
from hpc.core.slurm.executions import is_refused_launch
from hpc.snapshots.states import AttemptState, Progress, Snapshot

MAX_RELEASES = 5
"""Times one element is let go; each time Slurm may choose another node."""


def refused_launches(snapshot: Snapshot) -> list[str]:
    """Jobs (``12_3``) that Slurm holds because their launch failed."""
    attempts = (attempt for task in snapshot.tasks for attempt in task.attempts)
    return sorted({attempt.job for attempt in attempts if _is_refused(attempt)})


def _is_refused(attempt: AttemptState) -> bool:
    return attempt.progress is Progress.WAITING and attempt.row is not None and is_refused_launch(attempt.row.reason)


def relaunch(layout: RunLayout, jobs: Iterable[str]) -> list[str]:
    """Release what was not released too often yet; return those jobs. The caller holds the experiment's lock.

    Raises:
        TemporaryError: Slurm did not answer; the count was written first, so that a death in between costs a try.
    """
    counts = _released_before(layout)
    chosen = [job for job in jobs if counts.get(job, 0) < MAX_RELEASES]
    if chosen:
        again = {job: counts.get(job, 0) + 1 for job in chosen}
        write_json(layout.relaunched, Relaunched({**counts, **again}).to_json())
        slurm.release_jobs(chosen)
    return chosen


def _released_before(layout: RunLayout) -> Mapping[str, int]:
    """Job → how often it was released. Where that cannot be read the count starts anew: it bounds tries, no more."""
    with contextlib.suppress(InputError):
        return (read_record_or_none(layout.relaunched, Relaunched) or Relaunched()).jobs
    return {}
