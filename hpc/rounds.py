"""What submit, collect and follow share: how an experiment stands, which tasks are left, and handing them over.

Whoever acts holds the experiment's lock. `hpc.collection` (numpy, h5py, the rule tables) is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpc.adapters.files import read_json_or_none
from hpc.core.arrays import Assignment, first_assignment
from hpc.core.evidence import FailureClass
from hpc.core.layout import RunLayout
from hpc.core.spec import ExperimentSpec
from hpc.feeding import Fed, feed
from hpc.holding import held, hold, keep_held
from hpc.inspection import Progress, Snapshot, TaskState, take_snapshot
from hpc.planning import frozen_of
from hpc.relaunching import refused_launches, relaunch
from hpc.submission import Frozen, backend_of, prepare_submissions, submit_to_local_queue

if TYPE_CHECKING:
    from hpc.collection import JudgedTask
    from hpc.core.breaker import Trip
    from hpc.core.retry_plan import RetryPlan


@dataclass(frozen=True)
class Assessment:
    """An experiment with everything that is known, concluded and planned about it.

    Attributes:
        trip: Why it is to be held; None when there is no reason, or it is held already.
    """

    snapshot: Snapshot
    frozen: Frozen
    tasks: Sequence[JudgedTask]
    plan: RetryPlan
    trip: Trip | None


def assess(layout: RunLayout, *, include_running: bool = False, again: Collection[FailureClass] = ()) -> Assessment:
    """Gather, classify, learn and plan; write ``collected/``.

    Args:
        include_running: Read the metrics of what runs, too.
        again: Classes to start again on request.

    Raises:
        InputError: A file was damaged.
        TemporaryError: Slurm is needed and did not answer.
    """
    from hpc.collection import judge, learn_from, plan_for, trip_of, write_collected

    snapshot = take_snapshot(layout)
    tasks = judge(snapshot, include_running=include_running)
    frozen = backend_of(layout, frozen_of(snapshot.manifest))
    learn_from(tasks, frozen, layout)
    plan = plan_for(tasks, frozen, layout, again)
    write_collected(snapshot, tasks, plan)
    trip = None if held(layout) else trip_of(tasks, plan, frozen, layout, again)
    return Assessment(snapshot, frozen, tasks, plan, trip)


def act_on(layout: RunLayout, present: Assessment, *, also: Sequence[Assignment] = ()) -> Fed:
    """Start again what can be healed, and `also` something else; or hold the experiment, and start nothing.

    Raises:
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    from hpc.collection import assignments_of

    if present.trip:
        hold(layout, present.trip)
    elif held(layout):
        keep_held(layout)
    else:
        relaunch(layout, refused_launches(present.snapshot))
        again = assignments_of(present.plan, present.tasks, present.frozen)
        return hand_over(layout, present.frozen, [*again, *also])
    return Fed()


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
    submit_to_local_queue(submissions, frozen.terms)
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
