"""What submit, collect and follow share: which tasks are left, and handing them to Slurm or to this machine.

The caller holds the experiment's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hpc.adapters.files import read_json_or_none
from hpc.core.arrays import Assignment, first_assignment
from hpc.core.layout import RunLayout
from hpc.core.spec import ExperimentSpec
from hpc.feeding import Fed, feed
from hpc.inspection import Progress, Snapshot, TaskState
from hpc.submission import Frozen, prepare_submissions, submit_to_local_queue


def not_submitted(snapshot: Snapshot, spec: ExperimentSpec) -> list[Assignment]:
    """What has to be submitted: tasks that never began and that nothing waits for. Failed ones are the collector's."""
    return [
        replace(first_assignment(spec, state.task), attempt=_next_attempt(state))
        for state in snapshot.tasks
        if not state.is_live and all(attempt.record is None for attempt in state.attempts)
    ]


def _next_attempt(state: TaskState) -> int:
    """The number no claimed attempt has yet: an element that ended before it began claimed none."""
    return 1 + max((attempt.number for attempt in state.attempts if attempt.record), default=0)


def hand_over(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> Fed:
    """Write the arrays these assignments need and submit what Slurm takes now, or all to this machine (job ``local``).

    Raises:
        InputError: A script cannot be rendered; nothing was written.
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    if frozen.profile.scheduler == "slurm":
        return feed(layout, frozen, assignments)
    submissions = prepare_submissions(layout, frozen, assignments)
    submit_to_local_queue(submissions)
    return Fed({submission.number: "local" for submission in submissions}, len(assignments))


def live_arrays(snapshot: Snapshot, jobs: Mapping[int, str]) -> frozenset[str]:
    """Name the Slurm jobs of everything that runs or waits: array job ids.

    Args:
        snapshot: The experiment before `jobs` were submitted.
        jobs: Submission number → job of what was submitted since.
    """
    live = [each for task in snapshot.tasks for each in task.attempts if each.progress is not Progress.OVER]
    receipts = [
        read_json_or_none(snapshot.layout.submission(number).receipt) for number in {each.submission for each in live}
    ]
    names = {
        *(each.job.split("_")[0] for each in live),
        *(str(receipt["job"]) for receipt in receipts if receipt),
        *jobs.values(),
    }
    return frozenset(name for name in names if name.isdecimal())  # not those of this machine's own queue
