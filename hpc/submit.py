"""Submit what is not done yet: to Slurm, or to this machine's own queue.

    python -m hpc.submit lora_sweep
    python -m hpc.submit demo --backend local --max-parallel 2

Safe to repeat: what is queued, running or done is left alone; what a crash left half submitted is found and adopted.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import click

from hpc.adapters.locks import lock
from hpc.adapters.progress import working
from hpc.adapters.slurm_client import SlurmError
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError, NothingToDo, TemporaryError
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.hold import Hold
from hpc.core.resources import ALONE, MINUTE
from hpc.core.slurm.arrays import Assignment
from hpc.core.slurm.successors import Relay
from hpc.core.words import counted, few
from hpc.experiments.freezing import frozen_of
from hpc.local.following import follow
from hpc.local.queue import check_gpus, default_parallel, list_abandoned, list_open, start_detached
from hpc.rounds.act import hand_over, live_arrays, not_submitted
from hpc.rounds.canary import newest_canary, submit_behind_canary
from hpc.rounds.replanning import describe_edits
from hpc.snapshots.other_code import describe_other_code
from hpc.snapshots.outdated import describe_outdated
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import Snapshot, name_unreadable
from hpc.submissions.held_runs import split_held
from hpc.submissions.holds import ExperimentIsHeld, describe_hold, release, stop_if_held
from hpc.submissions.on_disk import asked_of
from hpc.submissions.portions import Fed, resume
from hpc.submissions.prepare import Frozen, Terms, half_submitted
from hpc.submissions.probes import LIMIT_S, ToProbe, plan_probe, submit_probe, waiting_for
from hpc.submissions.receipts import LOCAL
from hpc.submissions.sources import split_ready
from hpc.unattended.jobs import begin, begin_here, jobs_before, leave_one_behind
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.submit demo --backend local --max-parallel 2")
@name_argument
@click.option(
    "--backend",
    type=click.Choice(["slurm", "local"]),
    help="Where to run. Default: what the experiment was planned for.",
)
@click.option(
    "--max-parallel",
    type=click.IntRange(min=1),
    help="Tasks that run at once (Slurm: elements of each array). Default: the profile's, or locally half the cores.",
)
@click.option("--detach", is_flag=True, help="Local: do not wait until the tasks have ended.")
@click.option("--release", "releases", is_flag=True, help="Release a held experiment, and submit the rest.")
@click.option("--canary", is_flag=True, help="Send one task first; the rest starts only if it succeeds.")
@click.option("--follow", "follows", is_flag=True, help="Collect, retry and report unattended until nothing is left.")
@click.option("--probe", "probes", is_flag=True, help="First measure which micro-batch fits; the tasks wait for it.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str | None,
    backend: str | None,
    max_parallel: int | None,
    detach: bool,
    releases: bool,
    canary: bool,
    follows: bool,
    probes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Submit the tasks of experiment NAME (default: the one planned last) that are not done yet."""
    workspace = Workspace.current()
    request = Request(
        layout=workspace.layout(name),
        backend=backend,
        max_parallel=max_parallel,
        detach=detach,
        releases=releases,
        canary=canary,
        follows=follows,
        probes=probes,
        dry_run=dry_run,
        as_json=as_json,
    )
    with lock(request.layout.lock):
        with working("looking at every run"):
            present = read_present(request)
        for line in name_unreadable(present.snapshot):
            note(line)
        about = request.layout, present.snapshot.manifest
        for line in (*describe_other_code(*about), *describe_outdated(*about)):
            note(f"warning: {line}")
        decided = decide(request, present)
        for line in describe_edits(workspace, present.snapshot.manifest) if decided.assignments else ():
            note(f"warning: {line}")
        if dry_run:
            return show_dry_run(request, present, decided)
        try:
            with working(f"submitting {request.layout.experiment}"):
                done = act(request, present, decided)
        except SlurmError as error:
            raise SlurmError(f"{error}\n{seek_reason(request, decided)}") from error
    check_done(request, decided, done)
    show(request, decided, done)
    return run_here(request, decided, done) if decided.is_local else EXIT_DONE


@immutable
class Request:
    """What somebody typed; `main`'s options say what each means."""

    layout: RunLayout
    backend: str | None = None
    max_parallel: int | None = None
    detach: bool = False
    releases: bool = False
    canary: bool = False
    follows: bool = False
    probes: bool = False
    dry_run: bool = False
    as_json: bool = False


@immutable
class Present:
    """How the experiment stands.

    Attributes:
        released: The hold that this call has ended; None where nothing was held.
        unfinished: Submissions somebody began and died over.
        resumed: Submission number → job of those that were found or submitted now.
        snapshot: Tasks and attempts after that.
    """

    released: Hold | None
    unfinished: Sequence[SubmissionLayout]
    resumed: Mapping[int, str]
    snapshot: Snapshot


@immutable
class Decided:
    """What is to be submitted, and where.

    Attributes:
        frozen: What the submissions share.
        assignments: Tasks that have to be submitted.
        probe: What is to be measured before; None where nothing is.
    """

    frozen: Frozen
    assignments: Sequence[Assignment]
    probe: ToProbe | None

    @property
    def is_local(self) -> bool:
        """Whether this machine runs the tasks."""
        return self.frozen.profile.scheduler == "local"


@immutable
class Done:
    """What this call did.

    Attributes:
        jobs: Submission number → job, the resumed ones included.
        probes: Number of a probe → its job.
        fed: What became of the tasks that had to be submitted.
        relays: Relays that wait now.
        released: The hold that was ended; None where nothing was held.
    """

    jobs: Mapping[int, str]
    probes: Mapping[int, str]
    fed: Fed
    relays: Sequence[Relay]
    released: Hold | None


def read_present(request: Request) -> Present:
    """Release or respect a hold, go on with what was begun, and look. Under the lock.

    Raises:
        ExperimentIsHeld: It is held, and nobody asked to release it.
        TemporaryError: Slurm did not answer.
    """
    layout, dry_run = request.layout, request.dry_run
    released = release(layout) if request.releases and not dry_run else None
    if not request.releases:
        stop_if_held(layout, dry_run=dry_run)
    # First what somebody began and died over: later it would look like a lost job, and be submitted besides.
    unfinished = half_submitted(layout)
    resumed = {} if dry_run else resume(layout, unfinished)
    return Present(released, unfinished, resumed, take_snapshot(layout))


def decide(request: Request, present: Present) -> Decided:
    """Choose the tasks, and what to measure before them.

    Raises:
        InputError: A probe is asked for, and the experiment declares nothing to measure.
        TemporaryError: Slurm did not say which probes are at work.
    """
    if origin := present.snapshot.manifest["provenance"].get("adopted"):
        raise InputError(
            f"the runs of {request.layout.experiment} were adopted from {origin}: how they were started is not known. "
            "Write an experiment that runs your program: python -m hpc.init"
        )
    frozen = for_backend(frozen_of(present.snapshot.manifest), request.backend)
    assignments = not_submitted(present.snapshot, frozen.spec)
    if request.probes and (frozen.spec.after or frozen.spec.after_jobs):
        raise InputError("--probe starts tasks on trial, and these come after something else; leave it out")
    probe = plan_probe(request.layout, frozen, assignments) if request.probes and assignments else None
    return Decided(frozen, assignments, probe)


def act(request: Request, present: Present, decided: Decided) -> Done:
    """Submit: the probe, a relay should we die, the tasks, the other relays. Under the lock.

    Raises:
        InputError: This machine has not the GPUs, or a script cannot be rendered.
        ExperimentIsHeld: Its budget is spent.
        TemporaryError: Slurm did not answer; the same call goes on with the rest.
        SlurmError: Slurm refused a script.
    """
    layout, frozen = request.layout, decided.frozen
    follows = request.follows and not decided.is_local
    if decided.is_local:
        check_gpus(max((each.resources.gpus for each in decided.assignments), default=0))
    probes = submit_probe(layout, frozen, decided.probe) if decided.probe else {}
    after = waiting_for(decided.probe, probes) if decided.probe else ""
    terms = Terms(after=after, at_once=0 if decided.is_local else request.max_parallel or 0)
    if follows:
        leave_one_behind(layout, frozen)
    hand = partial(submit_behind_canary, present.snapshot) if request.canary else hand_over
    fed = hand(layout, frozen, decided.assignments, terms)
    if not fed.jobs and fed.waiting and (said := describe_hold(layout)):
        raise ExperimentIsHeld(said)  # the budget is spent
    jobs = {**present.resumed, **fed.jobs}
    before = jobs_before(frozen) if follows and fed.waiting else frozenset()
    relays = begin(layout, frozen, live_arrays(present.snapshot, jobs) | before) if follows else ()
    return Done(jobs, probes, fed, relays, present.released)


def seek_reason(request: Request, decided: Decided) -> str:
    """Name the command that finds what Slurm does not take."""
    where = f"python -m hpc.doctor {request.layout.experiment} --cluster {decided.frozen.profile.name}"
    return f"to see which request exceeds the limits: {where}"


def check_done(request: Request, decided: Decided, done: Done) -> None:
    """Say what was released, and end otherwise where nothing came of the call.

    Raises:
        TemporaryError: The site takes nothing now.
        NothingToDo: Nothing had to be done.
    """
    name = request.layout.experiment
    if done.released:
        note(f"released: {done.released.reason}")
    if done.jobs or request.follows:
        return
    if done.fed.waiting:
        raise TemporaryError(f"{name}: {done.fed}")
    if not done.released and not (decided.is_local and list_open(request.layout)):
        raise NothingToDo(f"{name}: everything is queued, running or done; see python -m hpc.status {name}")


def run_here(request: Request, decided: Decided, done: Done) -> int:
    """Let this machine's own queue begin; return the exit code, that of the tasks where they are waited for."""
    layout = request.layout
    if left := [] if done.jobs or request.as_json else list_abandoned(layout):
        note(f"{len(left)} left in this machine's queue by a runner that is gone: they continue")
    parallel = request.max_parallel or decided.frozen.profile.max_parallel or default_parallel()
    runner = start_detached(layout, parallel)
    if request.follows:
        begin_here(layout, parallel)
        note(f"followed to the end in the background; see python -m hpc.status {layout.experiment}")
    if request.detach or request.follows:
        return EXIT_DONE
    return follow(layout, runner, note if request.as_json else say)


def for_backend(frozen: Frozen, backend: str | None) -> Frozen:
    """Turn a plan for a Slurm site into one for this machine when asked; say so when there is no container here."""
    if backend is None or backend == frozen.profile.scheduler:
        return frozen
    profile = replace(frozen.profile, scheduler=backend, setup=() if backend == "local" else frozen.profile.setup)
    by_pyxis = frozen.spec.container.runtime == "pyxis"  # a part of Slurm
    if backend == "local" and frozen.spec.pack != ALONE:
        note("note: pack is for Slurm: this machine starts each task by itself, --max-parallel at a time")
    use_container = backend == "slurm" or (not by_pyxis and bool(shutil.which(profile.apptainer)))
    if frozen.manifest["provenance"]["image"] and not use_container:
        missing = "pyxis" if by_pyxis else "Apptainer"
        note(f"note: no {missing} here: the host's own Python ({frozen.python}) runs the tasks")
    return replace(frozen, profile=profile, use_container=use_container, python=frozen.python or sys.executable)


def _place(job: str) -> str:
    return "this machine" if job == LOCAL else f"job {job}"


def show(request: Request, decided: Decided, done: Done) -> None:
    """Say what was submitted, and what the site leaves for later."""
    if request.as_json:
        print_json(
            {
                "experiment": request.layout.experiment,
                "tasks": done.fed.submitted,
                "jobs": done.jobs,
                "probes": done.probes,
                "waiting": len(done.fed.waiting),
                "limit": done.fed.why,
                "relays": [each.job for each in done.relays],
                "follow_up_jobs": [each.job for each in done.relays],  # their name before
            }
        )
        return
    if decided.probe:
        say(f"probe: {decided.probe}" + "".join(f"; {_place(job)}" for job in done.probes.values()))
    for number, job in done.jobs.items():
        say(f"submission {number:03d}: {_place(job)}{_part(request.layout.submission(number))}")
    if done.fed.waiting:
        say(str(done.fed))
    for each in done.relays:
        say(f"relay: job {each.job}")
    if done.jobs and not decided.is_local:
        say(f"next: python -m hpc.status {request.layout.experiment}")


def _part(submission: SubmissionLayout) -> str:
    """What a submission has to do with a canary; empty where it has nothing."""
    asked = asked_of(submission)
    if asked and asked.is_canary:
        return ", the canary: one task"
    return ", the others: they start when the canary has succeeded" if asked and asked.waits_for else ""


def show_dry_run(request: Request, present: Present, decided: Decided) -> int:
    """Say what would be submitted."""
    by_hand = split_held(request.layout, decided.assignments)
    split = split_ready(request.layout, decided.frozen.spec, by_hand.free)
    names = [assignment.task.run_name for assignment in split.ready]
    experiment, probe = request.layout.experiment, decided.probe
    if request.as_json:
        print_json(
            {
                "experiment": experiment,
                "would_submit": names,
                **({"would_wait": len(split.waiting), "limit": split.why} if split.waiting else {}),
                **({"held": [each.task.run_name for each in by_hand.kept]} if by_hand.kept else {}),
                "would_adopt": [each.number for each in present.unfinished],
                "would_probe": [each.task.run_name for each in probe.tasks] if probe else [],
            }
        )
        return EXIT_DONE
    if probe:
        say(f"would first probe: {probe}, each for {LIMIT_S // MINUTE} minutes at most")
    say(f"{experiment}: would submit {counted(len(names), 'task')}" + (f": {few(names, 10)}" if names else ""))
    if request.canary and len(names) > 1 and newest_canary(present.snapshot) is None:
        say(f"first the canary, {names[0]}; the others start when it has succeeded")
    if split.waiting:
        say(f"{len(split.waiting)} more would wait for other experiments ({split.why})")
    if by_hand.kept:
        say(f"{len(by_hand.kept)} more would be left for later: {by_hand.why}")
    for submission in present.unfinished:
        say(f"would look for the job of submission {submission.number:03d}, which has no receipt, and adopt it")
    return EXIT_DONE


if __name__ == "__main__":
    main()
