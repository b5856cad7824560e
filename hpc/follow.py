"""Follow an experiment until nothing is left: collect, retry what can be healed, submit what is left, chain, report.

    python -m hpc.follow lora_sweep

On Slurm this is what each follow-up job of `hpc.submit --follow` runs: one round, which leaves the next follow-up jobs
behind, or the report. Typed by hand it does the same, and so revives a chain that broke. On this machine's own queue it
stays until the end.

Safe at any moment: one follower acts (a lease says who), each act can be repeated, and what a killed round left half
done the next one finishes.
"""

from __future__ import annotations

import contextlib
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
from hpc.canary import awaits_canary
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.arrays import Assignment
from hpc.core.chain import Course, FollowUp, decide, next_interval
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, NothingToDo, TemporaryError
from hpc.core.layout import RunLayout
from hpc.core.outcomes import Outcome, count_outcomes, render_counts
from hpc.core.resources import DAY
from hpc.feeding import Fed, resume
from hpc.following import (
    State,
    leave_one_behind,
    list_waiting,
    note_down,
    python_path,
    read_state,
    settle_successors,
    write_state,
)
from hpc.holding import describe_hold, held
from hpc.leasing import LOCK_S, Guard, LeaseIsHeld, hold_lease
from hpc.notices import notify, tell_held
from hpc.planning import frozen_of
from hpc.rounds import Assessment, act_on, assess, live_arrays, not_submitted
from hpc.submission import Frozen, backend_of, half_submitted
from hpc.workspace import Workspace

PATIENCE_S = 300.0
"""How long a follow-up job tries again when Slurm does not answer or takes no more jobs; then its script does."""
LONGEST_PAUSE_S = 60.0
POLL_S = 1.0
ENDINGS = {Course.ENDED: "ended", Course.GAVE_UP: "is not followed any more"}


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
        jobs = {str(number): job for number, job in self.jobs.items()}
        return {**asdict(self), "jobs": jobs, "next": [each.to_json() for each in self.next]}


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
    frozen = _frozen(layout)
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
        TemporaryError: For `PATIENCE_S` seconds Slurm did not answer or refused, or nothing could be written; the job's
            script tries again, because nobody else may be left who would.
    """
    since, pause_s = time.monotonic(), 2.0
    forget_this_job()
    while True:
        if is_over(layout):
            raise NothingToDo(f"{layout.experiment}: not followed any more; see python -m hpc.status")
        try:
            with hold_lease(layout) as guard:
                return play_and_end(layout, guard, number)
        except LeaseIsHeld:
            if may_leave(layout, number):
                raise
        except NothingToDo:
            raise
        except (TemporaryError, SlurmError, OSError) as error:
            note(f"waiting: {error}")
            with contextlib.suppress(OSError):
                note_down(layout, "waited", why=str(error))
            if time.monotonic() - since > PATIENCE_S:
                raise TemporaryError(str(error)) from error
        except Exception as error:  # a bug or a damaged file: said where people look, and tried again at the next look
            note_down(layout, "crashed", why=f"{type(error).__name__}: {error}")
            raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def forget_this_job() -> None:
    """Take what Slurm and submitit set for this job out of the environment: sbatch hands it on to the arrays."""
    kept = ("SLURM_CONF", "SLURM_JOB_ID")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_")) and name not in kept]:
        del os.environ[name]


def is_over(layout: RunLayout) -> bool:
    """Whether the last round was played to its end, the report and the notices included."""
    state = read_state(layout)
    return state is not None and state.course is not Course.GOES_ON and state.told == state.course


def may_leave(layout: RunLayout, number: int) -> bool:
    """Whether the chain holds without this job: it is over, or another follow-up job waits."""
    if is_over(layout):
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
    state, frozen = read_state(layout), _frozen(layout)
    # Half of the follow-up job's time: a report that takes longer must not end the job before the chain has ended.
    report = build_report(layout, frozen.profile.follow.time_s / 2) if done.course is Course.ENDED else ""
    for told in tell(layout, frozen, done, f"{state.started if state else 0}", report):
        note(told)
    if done.course is Course.GOES_ON:
        return done
    with lock(layout.lock, timeout_s=LOCK_S):
        guard()
        if state is None or read_state(layout) != state:
            return done  # somebody has submitted more, and follows it
        if state.told != done.course:
            note_down(layout, done.course.value, round=done.round, outcomes=done.outcomes, report=report)
            write_state(layout, replace(state, told=done.course.value))
        if frozen.profile.scheduler == "slurm":
            settle_successors(layout, frozen, (), done.course, 0.0, guard)
    return done


def tell(layout: RunLayout, frozen: Frozen, done: Round, since: str, report: str) -> list[str]:
    """Send the notices the experiment asks for, each once however often this round is played; say what became of them.

    Args:
        since: Tells this following of the experiment from others.
        report: Where the report is, or why there is none.
    """
    if done.course in (Course.GOES_ON, Course.HELD):
        return tell_held(frozen.spec, layout)  # also sends again what did not leave
    counts = render_counts(done.outcomes)
    lines = [
        report,
        *(f"left alone: {name}" for name in done.declined[:10]),
        f"python -m hpc.status {layout.experiment}",
    ]
    title = f"{layout.experiment} {ENDINGS[done.course]}: {counts}"
    return notify(frozen.spec, layout, done.course.value, title, "\n".join(lines), occurrence=f"{since} {counts}")


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
    with lock(layout.lock, timeout_s=LOCK_S):
        guard()
        frozen = _frozen(layout)
        state = present_state(layout, frozen, by_hand=number is None)
        if frozen.profile.scheduler == "slurm" and time.time() - state.started < frozen.profile.follow.max_days * DAY:
            leave_one_behind(layout, frozen, number)
        jobs = {} if held(layout) else resume(layout, half_submitted(layout))
        guard()
        present = assess(layout)
        new = never_submitted(present)
        guard()
        fed = act_on(layout, present, also=new)
        return conclude(layout, state, present, replace(fed, jobs={**jobs, **fed.jobs}), new, guard)


def conclude(
    layout: RunLayout, state: State, present: Assessment, fed: Fed, new: Sequence[Assignment], guard: Guard
) -> Round:
    """Decide how it goes on after a round's acts, settle the next follow-up jobs, and write it down. Under the lock.

    Args:
        state: As it was before.
        present: The experiment before anything was submitted.
        fed: What was submitted, what an earlier round began included.
        new: What was to be submitted for the first time.
    """
    profile, is_held = present.frozen.profile, held(layout) is not None
    course = decide(
        live=bool(fed.jobs) or any(task.state.is_live for task in present.tasks),
        left=bool(fed.waiting),
        held=is_held,
        followed_s=time.time() - state.started,
        max_days=profile.follow.max_days,
    )
    acted = bool(fed.jobs) or state.round == 0
    interval_s = next_interval(profile.follow.every_s, state.interval_s, acted=acted)
    waiting: tuple[FollowUp, ...] = ()
    if profile.scheduler == "slurm" and course is Course.GOES_ON:
        live = live_arrays(present.snapshot, fed.jobs)
        waiting = settle_successors(layout, present.frozen, live, course, interval_s, guard)
    not_now = {each.task.run_name for each in fed.waiting}
    again, first = [each.run_name for each in present.plan.retry], [each.task.run_name for each in new]
    done = Round(
        round=state.round + 1,
        course=course,
        outcomes=count_outcomes(task.outcome.value for task in present.tasks),
        retried=() if is_held else tuple(name for name in again if name not in not_now),
        submitted=() if is_held else tuple(name for name in first if name not in not_now),
        declined=tuple(each.run_name for each in present.plan.declined),
        later=len(fed.waiting),
        jobs=fed.jobs,
        next=waiting,
    )
    guard()
    note_down(layout, "round", **done.to_json())
    if problems := present.plan.hook_problems:  # at night nobody sees what collect would print
        note_down(layout, "not heeded", why=problems[0], more=len(problems) - 1)
    told = state.told if course is state.course else ""
    write_state(layout, replace(state, course=course, round=done.round, interval_s=interval_s, next=waiting, told=told))
    return done


def _frozen(layout: RunLayout) -> Frozen:
    return backend_of(layout, frozen_of(load_manifest(layout)))


def never_submitted(present: Assessment) -> list[Assignment]:
    """What nobody ever asked Slurm for; what ended before it began is among the failed tasks.

    While a canary has not succeeded nothing is: its retry may yet, else a person decides.
    """
    if awaits_canary(present.snapshot):
        return []
    unknown = {task.state.task.task_id for task in present.tasks if not task.attempts}
    return [each for each in not_submitted(present.snapshot, present.frozen.spec) if each.task.task_id in unknown]


def present_state(layout: RunLayout, frozen: Frozen, *, by_hand: bool) -> State:
    """Read how the loop stands; who takes it up by hand again after it was over has `follow.max_days` anew."""
    now = time.time()
    state = read_state(layout) or State(Course.GOES_ON, "", now)
    is_too_old = now - state.started > frozen.profile.follow.max_days * DAY
    anew = by_hand and state.course is not Course.GOES_ON and is_too_old
    return replace(state, backend=frozen.profile.scheduler, started=now if anew else state.started)


def build_report(layout: RunLayout, limit_s: float) -> str:
    """Build the report as a command line of its own; give where it is, or say why there is none."""
    if importlib.util.find_spec("analysis") is None:
        return "not built: the package analysis is not installed"
    command = [sys.executable, "-m", "analysis.report", layout.experiment, "--root", str(layout.root)]
    environment = {**os.environ, "PYTHONPATH": python_path()}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return f"not built: it took more than {limit_s:g} s"
    if done.returncode != EXIT_DONE:
        return f"not built: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    return str(layout.report)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────


def rehearse(layout: RunLayout, as_json: bool) -> int:
    """Say what a round would do, and do nothing."""
    with lock(layout.lock, timeout_s=LOCK_S):
        present = assess(layout)
    would = {
        "would_retry": [each.run_name for each in present.plan.retry],
        "would_submit": [each.task.run_name for each in never_submitted(present)],
        "would_decline": [each.run_name for each in present.plan.declined],
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
