"""A canary: one task first, the rest only after it succeeded.

The canary is a submission of its own, and the others wait for it: on Slurm by ``afterok``, on this machine by its exit
record. When it fails, Slurm cancels them before they begin. That is no attempt of theirs (`hpc.inspection` leaves it
out): they are not submitted yet, and `submit` submits them again. The caller holds the experiment's lock.
"""

from collections.abc import Sequence
from dataclasses import replace

from hpc.adapters.files import read_json_or_none
from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.core.arrays import Assignment
from hpc.core.layout import RunLayout
from hpc.feeding import Fed
from hpc.inspection import Progress, Snapshot, TaskState
from hpc.rounds import hand_over
from hpc.submission import Frozen, Terms


def submit_behind_canary(
    snapshot: Snapshot, layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]
) -> Fed:
    """Submit one task, and the others to start after it succeeded.

    A canary that runs or waits is waited for; after one that succeeded the rest needs none; after one that failed
    another is chosen.

    Raises:
        InputError: A script cannot be rendered.
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    if not assignments:
        return Fed()
    canary = newest_canary(snapshot)
    if canary and canary.succeeded:
        return hand_over(layout, frozen, assignments)
    terms = frozen.terms
    if canary and canary.is_live:
        live = next(each for each in canary.attempts if each.progress is not Progress.OVER)
        first, number = Fed(), live.submission
        receipt = read_json_or_none(layout.submission(number).receipt) or {}
        job = str(receipt.get("job") or live.job.partition("_")[0])
    else:
        first = hand_over(layout, replace(frozen, terms=replace(terms, is_canary=True)), assignments[:1])
        if first.waiting:
            return replace(first, waiting=tuple(assignments))
        ((number, job),) = first.jobs.items()
        assignments = assignments[1:]
    behind = Terms(after=terms.after, waits_for=number, canary_job="" if job == "local" else job)
    rest = hand_over(layout, replace(frozen, terms=behind), assignments)
    return replace(rest, jobs={**first.jobs, **rest.jobs}, submitted=first.submitted + rest.submitted)


def newest_canary(snapshot: Snapshot) -> TaskState | None:
    """The task of this manifest the others were to wait for; None when somebody has submitted without one since."""
    submissions = list_submissions(snapshot.layout)
    told = [(read_json_or_none(each.receipt) or read_json_or_none(each.intent), each) for each in submissions]
    asked_for = [(asked, each) for asked, each in told if asked and not asked.get("waits_for")]
    # By time: what was planned first may be submitted last.
    for asked, submission in sorted(asked_for, key=lambda pair: pair[0]["time"], reverse=True):
        index = load_index(submission)
        if asked.get("is_canary") and index["manifest_sha"] == snapshot.manifest["sha256"]:
            wanted = index["entries"][0]["task_id"]
            return next((state for state in snapshot.tasks if state.task.task_id == wanted), None)
        if any(entry["attempt"] == 1 for entry in index["entries"]):  # else retries
            return None
    return None


def awaits_canary(snapshot: Snapshot) -> bool:
    """Whether nobody should submit further tasks unasked: the canary has not succeeded (yet)."""
    canary = newest_canary(snapshot)
    return canary is not None and not canary.succeeded
