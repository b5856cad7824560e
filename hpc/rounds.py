"""What submit, collect and follow share: which tasks are left, and handing them to Slurm or to this machine.

The caller holds the experiment's lock.
"""

from collections.abc import Sequence
from dataclasses import replace

from hpc.core.arrays import Assignment, first_assignment
from hpc.core.layout import RunLayout
from hpc.core.spec import ExperimentSpec
from hpc.inspection import Snapshot, TaskState
from hpc.submission import Frozen, prepare_submissions, submit_to_local_queue, submit_to_slurm


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


def hand_over(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> dict[int, str]:
    """Write the arrays these assignments need and submit them; give submission number → job (``local`` here).

    Raises:
        InputError: A script cannot be rendered; nothing was written.
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    submissions = prepare_submissions(layout, frozen, assignments)
    if frozen.profile.scheduler == "slurm":
        return submit_to_slurm(layout, submissions)
    submit_to_local_queue(submissions)
    return {submission.number: "local" for submission in submissions}
