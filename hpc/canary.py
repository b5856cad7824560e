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
        first, number = Fed(), next(each.submission for each in canary.attempts if each.progress is not Progress.OVER)
        job = str((read_json_or_none(layout.submission(number).receipt) or {}).get("job", ""))
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
    """The task that was the canary last; None when there was none."""
    for submission in reversed(list_submissions(snapshot.layout)):
        asked = read_json_or_none(submission.receipt) or read_json_or_none(submission.intent) or {}
        if asked.get("is_canary"):
            wanted = load_index(submission)["entries"][0]["task_id"]
            return next((state for state in snapshot.tasks if state.task.task_id == wanted), None)
    return None
