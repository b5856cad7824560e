"""One round of the unattended loop: collect, retry what can be healed, submit what is left, leave the next jobs behind.

Safe at any moment: one follower acts (a lease says who), each act can be repeated, and what a killed round left half
done the next one finishes.
"""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hpc.adapters.locks import lock
from hpc.adapters.manifest_store import load_manifest
from hpc.console import note, spelled
from hpc.core.errors import EXIT_DONE, HpcError, InputError, NothingToDo
from hpc.core.failures.outcomes import count_outcomes, render_counts
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout
from hpc.core.resources import DAY
from hpc.core.retry.shadow import name_of
from hpc.core.slurm.arrays import Assignment
from hpc.core.slurm.successors import Course, Relay, decide, next_interval
from hpc.experiments.freezing import frozen_of
from hpc.housekeeping.compacting import Compacted, compact_recorded, is_asked_for
from hpc.rounds.act import Assessment, act_on, assess, live_arrays, not_submitted
from hpc.rounds.canary import awaits_canary
from hpc.submissions.holds import held
from hpc.submissions.portions import Fed, resume
from hpc.submissions.prepare import Frozen, backend_of, half_submitted
from hpc.unattended.blocked import why_blocked
from hpc.unattended.jobs import jobs_before, leave_one_behind, settle_successors
from hpc.unattended.lease import LOCK_S, Guard
from hpc.unattended.notices import notify, tell_held
from hpc.unattended.shadow import keep_decisions
from hpc.unattended.state import State, note_down, read_state, write_state
from hpc.workspace import own_command, own_environment

NAMED = 10
"""Tasks that a notice or a line of the ledger names with their reason."""
ENDINGS = {Course.ENDED: "ended", Course.GAVE_UP: "is no longer followed"}


@immutable
class Round:
    """What one round did, and how it goes on.

    Attributes:
        round: Its number, from 1.
        course: How it goes on.
        outcomes: Tasks by outcome, before anything was submitted.
        retried, submitted, declined: Run names: started again, started for the first time, failed and left alone.
        later: Tasks that the site's limits leave for later.
        jobs: Submission number → job.
        next: Relays that wait now.
        why: Run name → why it is left alone, of the first `NAMED` that are.
        blocked: Why what is left can never begin; empty where it may.
    """

    round: int
    course: Course
    outcomes: Mapping[str, int]
    retried: tuple[str, ...]
    submitted: tuple[str, ...]
    declined: tuple[str, ...]
    later: int
    jobs: Mapping[int, str]
    next: tuple[Relay, ...]
    why: Mapping[str, str]
    blocked: str = ""

    def to_json(self) -> dict[str, Any]:
        """The round as a line of the ledger."""
        jobs = {str(number): job for number, job in self.jobs.items()}
        return {**asdict(self), "jobs": jobs, "next": [each.to_json() for each in self.next]}


def play_and_end(layout: RunLayout, guard: Guard, number: int | None = None) -> Round:
    """Play a round; when it was the last, report and tell before the last relay is cancelled."""
    done = play_round(layout, guard, number)
    state, frozen = read_state(layout), frozen_now(layout)
    # Half of the relay's time: a report that takes longer must not end the job before the chain has ended.
    report = build_report(layout, frozen.profile.follow.time_s / 2) if done.course is Course.ENDED else ""
    from hpc.standing.dash import NAME, refresh_dash  # here: once a round, and nothing before its end needs it

    if said := refresh_dash(layout.root):
        note(f"{NAME} was not renewed: {said}")
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
        *([f"the rest can never start: {done.blocked}"] if done.blocked else []),
        *(f"left alone: {name}: {reason}" for name, reason in done.why.items()),
        f"python -m hpc.status {layout.experiment}",
    ]
    title = f"{layout.experiment} {ENDINGS[done.course]}: {counts}"
    text = spelled("\n".join(lines))
    return notify(frozen.spec, layout, done.course.value, title, text, occurrence=f"{since} {counts}")


def play_round(layout: RunLayout, guard: Guard, number: int | None = None) -> Round:
    """Collect, retry, submit what is left, and leave the next relays behind.

    Args:
        number: The relay this runs in.

    Raises:
        LeaseIsLost: Somebody else follows now; nothing more was done.
        TemporaryError: Slurm did not answer; the same call goes on.
        SlurmError: Slurm refused.
    """
    with lock(layout.lock, timeout_s=LOCK_S):
        guard()
        frozen = frozen_now(layout)
        state = present_state(layout, frozen, by_hand=number is None)
        if state.course is Course.CANCELLED:
            raise NothingToDo(
                f"{layout.experiment}: somebody cancelled it; see python -m hpc.status {layout.experiment}"
            )
        if frozen.profile.scheduler == "slurm" and time.time() - state.started < frozen.profile.follow.max_days * DAY:
            leave_one_behind(layout, frozen, number)
        is_shadow = frozen.profile.follow.shadow
        jobs = {} if held(layout) or is_shadow else resume(layout, half_submitted(layout))
        guard()
        present = assess(layout)
        new = never_submitted(present)
        guard()
        if is_shadow:
            return conclude(layout, state, present, look_on(layout, present, new), new, guard)
        fed = act_on(present, also=new)
        done = conclude(layout, state, present, replace(fed, jobs={**jobs, **fed.jobs}), new, guard)
        clean_up(layout)
        return done


def look_on(layout: RunLayout, present: Assessment, new: Sequence[Assignment]) -> Fed:
    """Keep what this round would do, and do nothing: all of it is left for people. Under the lock."""
    from hpc.rounds.decide import assignments_of

    kept = keep_decisions(layout, present, new)
    if kept:
        note_down(layout, "looked on", decisions=[name_of(each) for each in kept[:NAMED]], more=len(kept[NAMED:]))
    return Fed(waiting=(*assignments_of(present.judged, present.plan), *new))


def clean_up(layout: RunLayout) -> None:
    """Remove checkpoints and pack small files of what is recorded now, where the experiment asks. Under the lock.

    What hinders it is noted down, and hinders no round.
    """
    try:
        from hpc.housekeeping.freeing import clean_recorded

        freed = clean_recorded(layout)
        packed = compact_recorded(layout) if is_asked_for(load_manifest(layout)) else Compacted()
    except (HpcError, OSError) as error:
        note_down(layout, "not cleaned up", why=str(error))
        return
    if freed.items or freed.problems:
        size = freed.size()
        note_down(layout, "cleaned up", bytes=size.bytes, files=size.files, problems=list(freed.problems))
    if packed.runs or packed.problems:
        note_down(layout, "packed", runs=packed.runs, files=packed.files, problems=list(packed.problems))


def conclude(
    layout: RunLayout, state: State, present: Assessment, fed: Fed, new: Sequence[Assignment], guard: Guard
) -> Round:
    """Decide how it goes on after a round's acts, settle the next relays, and write it down. Under the lock.

    Args:
        state: As it was before.
        present: The experiment before anything was submitted.
        fed: What was submitted, what an earlier round began included.
        new: What was to be submitted for the first time.
    """
    profile, is_held = present.judged.frozen.profile, held(layout) is not None
    live = bool(fed.jobs) or any(task.state.is_live for task in present.judged.tasks)
    is_idle = bool(fed.waiting) and not live and not is_held
    blocked = why_blocked(layout, present.judged.frozen, fed.waiting) if is_idle else ""
    course = decide(
        live=live,
        left=bool(fed.waiting),
        blocked=bool(blocked),
        held=is_held,
        followed_s=time.time() - state.started,
        max_days=profile.follow.max_days,
    )
    acted = bool(fed.jobs) or state.round == 0
    interval_s = next_interval(profile.follow.every_s, state.interval_s, acted=acted)
    waiting: tuple[Relay, ...] = ()
    if profile.scheduler == "slurm" and course is Course.GOES_ON:
        arrays = live_arrays(present.judged.snapshot, fed.jobs)
        arrays |= jobs_before(present.judged.frozen) if fed.waiting else frozenset()
        waiting = settle_successors(layout, present.judged.frozen, arrays, course, interval_s, guard)
    not_now = {each.task.run_name for each in fed.waiting}
    again, first = [each.run_name for each in present.plan.retry], [each.task.run_name for each in new]
    done = Round(
        round=state.round + 1,
        course=course,
        outcomes=count_outcomes(task.outcome.value for task in present.judged.tasks),
        retried=() if is_held else tuple(name for name in again if name not in not_now),
        submitted=() if is_held else tuple(name for name in first if name not in not_now),
        declined=tuple(each.run_name for each in present.plan.declined),
        later=len(fed.waiting),
        jobs=fed.jobs,
        next=waiting,
        why={each.run_name: each.reason for each in present.plan.declined[:NAMED]},
        blocked=blocked,
    )
    guard()
    note_down(layout, "round", **done.to_json())
    if problems := present.plan.hook_problems:  # at night nobody sees what collect would print
        note_down(layout, "not heeded", why=problems[0], more=len(problems) - 1)
    told = state.told if course is state.course else ""
    how = State(course, state.backend, state.started, done.round, interval_s, waiting, told, blocked)
    write_state(layout, how)
    return done


def frozen_now(layout: RunLayout) -> Frozen:
    """What submissions share, for the scheduler the newest of them went to."""
    return backend_of(layout, frozen_of(load_manifest(layout)))


def never_submitted(present: Assessment) -> list[Assignment]:
    """What nobody ever asked Slurm for; what ended before it began is among the failed tasks.

    While a canary has not succeeded nothing is: its retry may yet, else a person decides.
    """
    judged = present.judged
    if awaits_canary(judged.snapshot):
        return []
    return not_submitted(judged.snapshot, judged.frozen.spec, also_ended=False)


def present_state(layout: RunLayout, frozen: Frozen, *, by_hand: bool) -> State:
    """Read how the loop stands; who takes it up by hand again after it was over has `follow.max_days` anew."""
    now = time.time()
    state = _state_or_none(layout) or State(Course.GOES_ON, "", now)
    is_too_old = now - state.started > frozen.profile.follow.max_days * DAY
    anew = by_hand and state.course is not Course.GOES_ON and is_too_old
    return replace(state, backend=frozen.profile.scheduler, started=now if anew else state.started)


def _state_or_none(layout: RunLayout) -> State | None:
    """Read how the loop stands; one that is damaged is noted down, and begins anew: Slurm's queue has its jobs."""
    try:
        return read_state(layout)
    except InputError as error:
        note_down(layout, "damaged", why=str(error))
        return None


def build_report(layout: RunLayout, limit_s: float) -> str:
    """Build the report as a command line of its own; return where it is, or say why there is none."""
    if importlib.util.find_spec("analysis") is None:
        return "not built: the package analysis is not installed"
    command = own_command("analysis.report", layout.experiment, "--root", str(layout.root))
    try:
        done = subprocess.run(
            command, env=own_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=limit_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not built: it took more than {limit_s:g} s"
    except OSError as error:
        return f"not built: {error}"
    if done.returncode != EXIT_DONE:
        return f"not built: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    return str(layout.report)
