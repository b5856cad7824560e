"""Follow an experiment until nothing is left: collect, retry what can be healed, submit what is left, chain, report.

    python -m hpc.follow lora_sweep

On Slurm this is what each follow-up job of `hpc.submit --follow` runs: one round, which leaves the next follow-up jobs
behind, or the report. Typed by hand it does the same, and so revives a chain that broke. On this machine's own queue it
stays until the end.

Safe at any moment: one follower acts (a lease says who), each act can be repeated, and what a killed round left half
done the next one finishes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import click

from hpc.adapters.files import lock
from hpc.adapters.manifest_store import load_manifest
from hpc.adapters.slurm import SlurmError
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.arrays import Assignment
from hpc.core.chain import Course, FollowUp, Kind, decide, next_interval
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, TemporaryError
from hpc.core.layout import RunLayout
from hpc.core.outcomes import Outcome, count_outcomes, render_counts
from hpc.feeding import Fed, resume
from hpc.following import (
    State,
    list_waiting,
    note_down,
    python_path,
    read_state,
    settle_successors,
    submit_follow_up,
    write_state,
)
from hpc.holding import describe_hold, held, keep_held
from hpc.inspection import take_snapshot
from hpc.leasing import LOCK_S, Guard, LeaseIsHeld, hold_lease
from hpc.planning import frozen_of
from hpc.rounds import hand_over, live_arrays, not_submitted
from hpc.submission import Frozen, backend_of, half_submitted
from hpc.workspace import Workspace

PATIENCE_S = 300.0
"""How long a follow-up job tries again when Slurm does not answer or takes no more jobs; then its script does."""
LONGEST_PAUSE_S = 60.0
POLL_S = 1.0
REPORT_S = 1800.0


@dataclass(frozen=True)
class Round:
    """What one round did, and how it goes on.

    Attributes:
        round: Its number, from 1.
        course: How it goes on.
        outcomes: Tasks by outcome, before anything was submitted.
        retried, submitted, declined: Run names: started again, started for the first time, failed and left alone.
        later: Tasks that the site's limits leave for later.
        jobs: Submission number → job.
        next: Follow-up jobs that wait now.
    """

    round: int
    course: Course
    outcomes: Mapping[str, int]
    retried: tuple[str, ...]
    submitted: tuple[str, ...]
    declined: tuple[str, ...]
    later: int
    jobs: Mapping[int, str]
    next: tuple[FollowUp, ...]

    def to_json(self) -> dict[str, Any]:
        """The round as a line of the ledger."""
        next_jobs = [{**asdict(each), "after": sorted(each.after)} for each in self.next]
        return {**asdict(self), "jobs": {str(number): job for number, job in self.jobs.items()}, "next": next_jobs}


@click.command(epilog="Example: python -m hpc.follow lora_sweep")
@name_argument
@click.option("--max-parallel", type=click.IntRange(min=1), help="On this machine: tasks that run at once.")
@click.option("--number", type=click.IntRange(min=1), help="Which follow-up job this is; its script says so.")
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, max_parallel: int | None, number: int | None, dry_run: bool, as_json: bool) -> int:
    """Follow experiment NAME (default: the one planned last): collect, retry, chain, report."""
    layout = Workspace.current().layout(name)
    if dry_run:
        return rehearse(layout, as_json)
    frozen = backend_of(layout, frozen_of(load_manifest(layout)))
    if frozen.profile.scheduler == "local":
        done = follow_here(layout, frozen, max_parallel)
    elif number is None:
        with hold_lease(layout) as guard:
            done = play_and_end(layout, guard)
    else:
        done = follow_as_job(layout, number)
    if as_json:
        print_json({"experiment": layout.experiment, **done.to_json()})
    else:
        show(layout, done)
    if done.course is Course.GOES_ON:
        return EXIT_DONE
    return EXIT_FAILED if done.course is not Course.ENDED or done.outcomes.get(Outcome.FAILED) else EXIT_DONE


# ── who plays rounds, and for how long ───────────────────────────────────────────────────────────────────────────


def follow_as_job(layout: RunLayout, number: int) -> Round:
    """Play one round in a follow-up job, patiently: a job that gives up may be the last one of its chain.

    Raises:
        LeaseIsHeld: Somebody else follows, and another follow-up job waits should that one die.
        TemporaryError: Slurm did not answer for `PATIENCE_S` seconds.
        SlurmError: It refused for as long.
    """
    since, pause_s = time.monotonic(), 2.0
    while True:
        try:
            with hold_lease(layout) as guard:
                return play_and_end(layout, guard, number)
        except LeaseIsHeld:
            if may_leave(layout, number):
                raise
        except (TemporaryError, SlurmError) as error:
            note(f"waiting: {error}")
            note_down(layout, "waited", why=str(error))
            if time.monotonic() - since > PATIENCE_S:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def may_leave(layout: RunLayout, number: int) -> bool:
    """Whether the chain holds without this job: it is over, or another follow-up job waits."""
    state = read_state(layout)
    if state is not None and state.course is not Course.GOES_ON:
        return True
    try:
        return any(each.number != number for each in list_waiting(layout))
    except TemporaryError:
        return False


def follow_here(layout: RunLayout, frozen: Frozen, max_parallel: int | None) -> Round:
    """Play rounds until nothing is left, on this machine's own queue."""
    from hpc.local_queue import default_parallel, list_open, start_detached

    parallel = max_parallel or frozen.profile.max_parallel or default_parallel()
    with hold_lease(layout) as guard:
        while True:
            done = play_and_end(layout, guard)
            if done.course is not Course.GOES_ON:
                return done
            start_detached(layout, parallel)
            state = read_state(layout)
            look = time.monotonic() + (state.interval_s if state else 0.0)
            while list_open(layout) and time.monotonic() < look:
                time.sleep(POLL_S)


def play_and_end(layout: RunLayout, guard: Guard, number: int | None = None) -> Round:
    """Play a round; when it was the last, report and tell before the last follow-up job is cancelled."""
    done = play_round(layout, guard, number)
    if done.course is Course.GOES_ON:
        return done
    state = read_state(layout)
    report = build_report(layout) if done.course is Course.ENDED else ""
    with lock(layout.lock, timeout_s=LOCK_S):
        guard()
        if state is None or read_state(layout) != state:
            return done  # somebody has submitted more, and follows it
        note_down(layout, done.course.value, round=done.round, outcomes=done.outcomes, report=report)
        if state.backend == "slurm":
            settle_successors(layout, _frozen(layout), (), done.course, 0.0, guard)
    return done


# ── one round ────────────────────────────────────────────────────────────────────────────────────────────────────


def play_round(layout: RunLayout, guard: Guard, number: int | None = None) -> Round:
    """Collect, retry, submit what is left, and leave the next follow-up jobs behind.

    Args:
        number: The follow-up job this runs in.

    Raises:
        LeaseIsLost: Somebody else follows now; nothing more was done.
        TemporaryError: Slurm did not answer; the same call goes on.
        SlurmError: Slurm refused.
    """
    from hpc.collection import assignments_of, judge, plan_for, write_collected

    with lock(layout.lock, timeout_s=LOCK_S):
        guard()
        frozen = _frozen(layout)
        state = read_state(layout) or State(Course.GOES_ON, frozen.profile.scheduler, time.time())
        is_slurm = frozen.profile.scheduler == "slurm"
        if is_slurm:
            leave_one_behind(layout, frozen, state, guard, number)
        is_held = held(layout) is not None
        if is_held:
            keep_held(layout)
        jobs = {} if is_held else resume(layout, half_submitted(layout))
        snapshot = take_snapshot(layout)
        tasks = judge(snapshot)
        plan = plan_for(tasks, frozen)
        guard()
        write_collected(snapshot, tasks, plan)
        new = [each for each in not_submitted(snapshot, frozen.spec) if _is_new(tasks, each.task.task_id)]
        again = assignments_of(plan, tasks, frozen)
        guard()
        fed = Fed() if is_held else hand_over(layout, frozen, [*again, *new])
        jobs = {**jobs, **fed.jobs}
        live = live_arrays(snapshot, jobs)
        course = decide(
            live=bool(jobs) or any(task.state.is_live for task in tasks),
            left=bool(fed.waiting),
            held=is_held,
            followed_s=time.time() - state.started,
            max_days=frozen.profile.follow.max_days,
        )
        every_s = frozen.profile.follow.every_s
        interval_s = next_interval(every_s, state.interval_s, acted=bool(jobs) or state.round == 0)
        waiting: tuple[FollowUp, ...] = ()
        if is_slurm and course is Course.GOES_ON:
            waiting = settle_successors(layout, frozen, live, course, interval_s, guard)
        done = Round(
            round=state.round + 1,
            course=course,
            outcomes=count_outcomes(task.outcome.value for task in tasks),
            retried=_without(again, fed.waiting),
            submitted=_without(new, fed.waiting),
            declined=tuple(each.run_name for each in plan.declined),
            later=len(fed.waiting),
            jobs=jobs,
            next=waiting,
        )
        guard()
        note_down(layout, "round", **done.to_json())
        write_state(layout, replace(state, course=course, round=done.round, interval_s=interval_s, next=waiting))
    return done


def _frozen(layout: RunLayout) -> Frozen:
    return backend_of(layout, frozen_of(load_manifest(layout)))


def _without(assignments: Sequence[Assignment], waiting: Sequence[Assignment]) -> tuple[str, ...]:
    """Name the tasks of what was submitted."""
    later = {each.task.run_name for each in waiting}
    return tuple(each.task.run_name for each in assignments if each.task.run_name not in later)


def _is_new(tasks: Any, task_id: str) -> bool:
    """Whether nobody ever asked for a task: what ended before it began is among the failed ones."""
    return next(not task.attempts for task in tasks if task.state.task.task_id == task_id)


def leave_one_behind(layout: RunLayout, frozen: Frozen, state: State, guard: Guard, number: int | None) -> None:
    """Make sure that a follow-up job waits before anything is done: should this round die, that one goes on."""
    if any(each.number != number for each in list_waiting(layout)):
        return
    guard()
    every_s = max(state.interval_s, frozen.profile.follow.every_s)
    submit_follow_up(layout, frozen, FollowUp(Kind.LOOK, begin=time.time() + every_s))


def build_report(layout: RunLayout) -> str:
    """Build the report as a command line of its own; say what became of it."""
    if importlib.util.find_spec("analysis") is None:
        return "not built: the package analysis is not installed"
    command = [sys.executable, "-m", "analysis.report", layout.experiment, "--root", str(layout.root)]
    environment = {**os.environ, "PYTHONPATH": python_path()}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=REPORT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"not built: it took more than {REPORT_S:g} s"
    if done.returncode not in (EXIT_DONE, EXIT_FAILED):
        return f"not built: {done.stderr.strip()}"
    return str(layout.report)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────


def rehearse(layout: RunLayout, as_json: bool) -> int:
    """Say what a round would do, and do nothing."""
    from hpc.collection import judge, plan_for

    snapshot = take_snapshot(layout)
    tasks = judge(snapshot)
    frozen = _frozen(layout)
    plan = plan_for(tasks, frozen)
    new = [each.task.run_name for each in not_submitted(snapshot, frozen.spec) if _is_new(tasks, each.task.task_id)]
    would = {
        "would_retry": [each.run_name for each in plan.retry],
        "would_submit": new,
        "would_decline": [each.run_name for each in plan.declined],
    }
    if as_json:
        print_json({"experiment": layout.experiment, **would})
        return EXIT_DONE
    for words, names in would.items():
        say(f"{words.replace('_', ' ')} {len(names)} tasks" + (f": {', '.join(names[:10])}" if names else ""))
    return EXIT_DONE


def show(layout: RunLayout, done: Round) -> None:
    """Print what a round did, and how it goes on."""
    say(f"{layout.experiment}: {render_counts(done.outcomes)}")
    for words, names in (("started again", done.retried), ("started", done.submitted), ("left alone", done.declined)):
        if names:
            say(f"{words}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}")
    if done.course is Course.GOES_ON:
        say("goes on with " + ", ".join(f"job {each.job} ({each.kind})" for each in done.next))
    elif said := describe_hold(layout):
        say(said)
    else:
        say(f"{done.course}; see {layout.report}")


if __name__ == "__main__":
    main()
