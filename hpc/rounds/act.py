"""What submit, collect and follow share: how an experiment stands, which tasks are left, and handing them over.

Whoever acts holds the experiment's lock. `judge`, `decide` and `collected` beside this one (numpy, h5py, the rule
tables) are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.adapters.code_snapshot import check_code
from hpc.adapters.progress import working
from hpc.core.errors import InputError
from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout
from hpc.core.slurm.arrays import Assignment, first_assignment
from hpc.core.slurm.executions import is_job
from hpc.rounds.refused import refused_launches, relaunch
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import Progress, Snapshot, TaskState
from hpc.submissions.by_hand import keep_runs_held
from hpc.submissions.held_runs import split_held
from hpc.submissions.holds import held, hold, keep_held
from hpc.submissions.on_disk import received_job
from hpc.submissions.portions import Fed, feed
from hpc.submissions.prepare import AT_ONCE, Frozen, Terms, prepare_submissions, submit_to_local_queue
from hpc.submissions.sources import look_at_jobs, split_ready

if TYPE_CHECKING:
    from hpc.core.failures.breaker import Trip
    from hpc.core.failures.siblings import Siblings
    from hpc.core.retry.records import RetryPlan
    from hpc.rounds.judge import JudgedExperiment


@immutable
class Assessment:
    """An experiment with everything that is known, concluded and planned about it.

    Attributes:
        trip: Why it is to be held; None when there is no reason, or it is held already.
        notes: What a person should know about what was collected, one sentence each.
        siblings: What its runs printed, to tell which failed alike.
    """

    judged: JudgedExperiment
    plan: RetryPlan
    trip: Trip | None
    notes: tuple[str, ...]
    siblings: Siblings


def assess(
    layout: RunLayout,
    *,
    include_running: bool = False,
    again: Collection[str] = (),
    forget_gone: bool = False,
    writes: bool = True,
) -> Assessment:
    """Gather, classify, learn and plan; write ``collected/``.

    Args:
        include_running: Read the metrics of what runs, too.
        again: Classes of failure and names of runs to start again on request.
        forget_gone: Let results stand no more whose folders are gone.
        writes: Without, nothing is written and no hook of the experiment is asked: the runs are somebody else's.

    Raises:
        InputError: A file was damaged.
        TemporaryError: Slurm is needed and did not answer, or the disk is full.
    """
    from hpc.rounds.collected import said_if_full, write_collected
    from hpc.rounds.decide import learn_from, plan_for, trip_of
    from hpc.rounds.judge import judge_experiment
    from hpc.rounds.settling import Settling
    from hpc.rounds.siblings_now import judge_beside_siblings

    memory = Memory(layout, lists=True)
    with working("looking at every run"):
        snapshot = take_snapshot(layout, keep=not forget_gone, memory=memory)
    if forget_gone and writes:
        from hpc.rounds.on_request import record_forgotten

        record_forgotten(snapshot)
    settles = writes and not again
    settling = Settling(snapshot, memory, include_running=include_running, settles=settles, writes=writes)
    with working(f"collecting {layout.experiment}"), closing(settling):
        with said_if_full(layout):
            judged = judge_experiment(
                snapshot, again=again, writes=writes, judge=settling.judge, frozen=settling.frozen
            )
        judged, siblings = judge_beside_siblings(judged, writes=writes)
        if writes:
            learn_from(judged, settling.observed)
        plan = plan_for(judged, asks=writes)
        notes = write_collected(judged, plan, settling) if writes else ()
    if writes:
        memory.save()
    return Assessment(judged, plan, None if held(layout) else trip_of(judged, plan), notes, siblings)


def act_on(present: Assessment, *, also: Sequence[Assignment] = ()) -> Fed:
    """Start again what can be healed, and `also` something else; or hold the experiment, and start nothing.

    Raises:
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    from hpc.rounds.decide import assignments_of

    judged, layout = present.judged, present.judged.layout
    if present.trip:
        hold(layout, present.trip)
    elif held(layout):
        keep_held(layout)
    else:
        relaunch(layout, refused_launches(judged.snapshot))
        asked = [*assignments_of(judged, present.plan), *also]
        known = {each.task.task_id for each in asked}
        left = [each for each in left_over(judged.snapshot, judged.frozen.spec) if each.task.task_id not in known]
        return hand_over(layout, judged.frozen, [*asked, *left])
    return Fed()


def not_submitted(snapshot: Snapshot, spec: ExperimentSpec, *, also_ended: bool = True) -> list[Assignment]:
    """What has to be submitted: tasks that never began and that nothing waits for. Failed ones are the collector's.

    Args:
        also_ended: Those too whose element ended before it began, cancelled or lost: who types `submit` asks for them
            anew. To the unattended loop they are failed tasks like others.
    """
    return [
        _assignment(spec, state)
        for state in snapshot.tasks
        if not state.is_live
        and not state.has_kept_result
        and not any(attempt.is_claimed or not also_ended for attempt in state.attempts)
    ]


def left_over(snapshot: Snapshot, spec: ExperimentSpec) -> list[Assignment]:
    """What was submitted and not begun: tasks of packs whose array element was over before it came to them."""
    left = {state.task.task_id for state in snapshot.tasks if state.is_left}
    # What failed to start, or was cancelled, since then is not left, but a failed task like others.
    begun_by_nobody = not_submitted(snapshot, spec, also_ended=False) if left else []
    return [each for each in begun_by_nobody if each.task.task_id in left]


def _assignment(spec: ExperimentSpec, state: TaskState) -> Assignment:
    """What its next attempt may use; mostly that is its first."""
    assignment, number = first_assignment(spec, state.task), _next_attempt(state)
    return assignment if number == 1 else replace(assignment, attempt=number)


def _next_attempt(state: TaskState) -> int:
    """The number no claimed attempt has yet: an element that ended before it began claimed none."""
    return 1 + max((attempt.number for attempt in state.attempts if attempt.is_claimed), default=0)


def hand_over(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment], terms: Terms = AT_ONCE) -> Fed:
    """Write the arrays these assignments need and submit what Slurm takes now, or all to this machine (job ``local``).

    What has to come after runs that have not finished, or jobs that did not end well, is left for later, and so is what
    a person holds, and what the budget has no room for; the experiment is held once that is spent.

    Args:
        terms: What they wait for.

    Raises:
        InputError: A script cannot be rendered, or it or the code was changed since; nothing was written.
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    keep_runs_held(layout)
    by_hand = split_held(layout, assignments)
    if by_hand.kept:
        return _joined(hand_over(layout, frozen, by_hand.free, terms), Fed(waiting=by_hand.kept, why=by_hand.why))
    if frozen.spec.budget:
        from hpc.rounds.budget import keep_to_budget

        kept = keep_to_budget(layout, frozen, assignments)
        return _joined(_hand_over(layout, frozen, kept.now, terms), Fed(waiting=tuple(kept.later), why=kept.why))
    return _hand_over(layout, frozen, assignments, terms)


def _hand_over(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment], terms: Terms) -> Fed:
    split = split_ready(layout, frozen.spec, assignments)
    begun = tuple(each for each in split.ready if each.attempt > 1 or not frozen.spec.after_jobs)
    fed = _joined(_submit(layout, frozen, begun, terms), Fed(waiting=split.waiting, why=split.why))
    if len(begun) == len(split.ready):
        return fed
    new = tuple(each for each in split.ready if each.attempt == 1)
    return _joined(fed, _submit_after_jobs(layout, frozen, new, terms))


def _submit_after_jobs(layout: RunLayout, frozen: Frozen, new: Sequence[Assignment], terms: Terms) -> Fed:
    """Submit first attempts behind the Slurm jobs of `after`; what begins once they ended well needs them no more."""
    if frozen.profile.scheduler != "slurm":
        named = ", ".join(map(str, frozen.spec.after_jobs))
        raise InputError(
            f"after: {named} names Slurm jobs, and this machine's own queue has no Slurm jobs; leave them out"
        )
    jobs = look_at_jobs(frozen.spec)
    if jobs.lost:
        return Fed(waiting=tuple(new), why=jobs.lost)
    return _submit(layout, frozen, new, replace(terms, only_after=jobs.live))


def _joined(one: Fed, other: Fed) -> Fed:
    why = "; ".join(filter(None, (one.why, other.why)))
    return Fed({**one.jobs, **other.jobs}, one.submitted + other.submitted, (*one.waiting, *other.waiting), why)


def _submit(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment], terms: Terms) -> Fed:
    if not assignments:
        return Fed()
    for code in frozen.copies:
        check_code(Path(code.path), code.sha256)
    if frozen.profile.scheduler == "slurm":
        return feed(layout, frozen, assignments, terms)
    submissions = prepare_submissions(layout, frozen, assignments)
    submit_to_local_queue(submissions, terms)
    return Fed({submission.number: "local" for submission in submissions}, len(assignments))


def live_arrays(snapshot: Snapshot, jobs: Mapping[int, str]) -> frozenset[str]:
    """Name the Slurm jobs of everything that runs or waits: array job ids.

    Args:
        snapshot: The experiment before `jobs` were submitted.
        jobs: Submission number → job of what was submitted since.
    """
    live = [each for task in snapshot.tasks for each in task.attempts if each.progress is not Progress.OVER]
    names = {
        *(each.job.split("_")[0] for each in live),
        *(received_job(snapshot.layout.submission(number)) for number in {each.submission for each in live}),
        *jobs.values(),
    }
    return frozenset(name for name in names if is_job(name))  # not those of this machine's own queue
