"""A canary: one task first, the rest only after it succeeded.

The canary is a submission of its own, and the others wait for it: on Slurm by ``afterok``, on this machine by its exit
record. When it fails, Slurm cancels them before they begin. That is no attempt of theirs (`hpc.snapshots.snapshot`
leaves it out): they are not submitted yet, and `submit` submits them again. The caller holds the experiment's lock.

Where the experiment has ``program.sanity``, the index of the canary's submission says so, and its wrapper climbs that
ladder first (`hpc.node.sanity`). No other submission's does, that of a retry neither.
"""

from collections.abc import Sequence
from dataclasses import replace

from hpc.adapters.manifest_store import readable_indices
from hpc.core.layout import RunLayout
from hpc.core.slurm.arrays import Assignment
from hpc.rounds.act import hand_over
from hpc.snapshots.states import Progress, Snapshot, TaskState
from hpc.submissions.held_runs import split_held
from hpc.submissions.on_disk import asked_of, received_job
from hpc.submissions.portions import Fed
from hpc.submissions.prepare import AT_ONCE, Frozen, Terms
from hpc.submissions.receipts import LOCAL


def submit_behind_canary(
    snapshot: Snapshot,
    layout: RunLayout,
    frozen: Frozen,
    assignments: Sequence[Assignment],
    terms: Terms = AT_ONCE,
) -> Fed:
    """Submit one task, and the others to start after it succeeded.

    A canary that runs or waits is waited for; after one that succeeded the rest needs none; after one that failed
    another is chosen.

    Raises:
        InputError: A script cannot be rendered.
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    by_hand = split_held(layout, assignments)  # no canary is one that is not to start
    if by_hand.kept:
        fed = submit_behind_canary(snapshot, layout, frozen, by_hand.free, terms)
        why = "; ".join(filter(None, (fed.why, by_hand.why)))
        return replace(fed, waiting=(*fed.waiting, *by_hand.kept), why=why)
    if not assignments:
        return Fed()
    canary = newest_canary(snapshot)
    if canary and canary.succeeded:
        return hand_over(layout, frozen, assignments, terms)
    if canary and canary.is_live:
        live = next(each for each in canary.attempts if each.progress is not Progress.OVER)
        first, number = Fed(), live.submission
        job = received_job(layout.submission(number)) or live.job.partition("_")[0]
    else:
        first = hand_over(layout, replace(frozen, is_canary=True), assignments[:1], replace(terms, is_canary=True))
        if first.waiting:
            return replace(first, waiting=tuple(assignments))
        ((number, job),) = first.jobs.items()
        assignments = assignments[1:]
    behind = replace(terms, waits_for=number, canary_job="" if job == LOCAL else job)
    rest = hand_over(layout, frozen, assignments, behind)
    return replace(rest, jobs={**first.jobs, **rest.jobs}, submitted=first.submitted + rest.submitted)


def newest_canary(snapshot: Snapshot) -> TaskState | None:
    """The task of this manifest the others were to wait for; None when somebody has submitted without one since."""
    told = [(asked_of(each), index) for each, index in readable_indices(snapshot.layout)]
    asked_for = [(asked, index) for asked, index in told if asked and not asked.waits_for]
    # By time: what was planned first may be submitted last.
    for asked, index in sorted(asked_for, key=lambda pair: pair[0].time, reverse=True):
        if asked.is_canary and index.manifest_sha == snapshot.manifest["sha256"]:
            wanted = index.entries[0].task_id
            return next((state for state in snapshot.tasks if state.task.task_id == wanted), None)
        if any(entry.attempt == 1 for entry in index.entries):  # else retries
            return None
    return None


def awaits_canary(snapshot: Snapshot) -> bool:
    """Whether nobody should submit further tasks unasked: the canary has not succeeded (yet)."""
    canary = newest_canary(snapshot)
    return canary is not None and not canary.succeeded
