"""Submit what is not done yet: to Slurm, or to this machine's own queue.

    python -m hpc.submit lora_sweep
    python -m hpc.submit demo --backend local --max-parallel 2

Safe to repeat: what is queued, running or done is left alone; what a crash left half submitted is found and adopted.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import click

from hpc.adapters.files import lock
from hpc.canary import submit_behind_canary
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.arrays import Assignment
from hpc.core.chain import FollowUp
from hpc.core.errors import EXIT_DONE, NothingToDo, TemporaryError
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.resources import MINUTE
from hpc.feeding import Fed, resume
from hpc.following import begin, begin_here, leave_one_behind
from hpc.holding import release, stop_if_held
from hpc.inspection import take_snapshot
from hpc.local_queue import check_gpus, default_parallel, follow, list_open, start_detached
from hpc.planning import frozen_of
from hpc.probing import LIMIT_S, ToProbe, plan_probe, submit_probe, waiting_for
from hpc.rounds import hand_over, live_arrays, not_submitted
from hpc.submission import Frozen, Terms, half_submitted
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.submit demo --backend local --max-parallel 2")
@name_argument
@click.option("--backend", type=click.Choice(["slurm", "local"]), help="Default: what the experiment was planned for.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), help="Local: tasks that run at once. Default: half the cores."
)
@click.option("--detach", is_flag=True, help="Local: do not wait for the end.")
@click.option("--release", "releases", is_flag=True, help="Let an experiment that is held go on, and submit the rest.")
@click.option("--canary", is_flag=True, help="One task first; the rest starts only after it succeeded.")
@click.option("--follow", "follows", is_flag=True, help="Collect, retry and report unattended until nothing is left.")
@click.option(
    "--probe", "probes", is_flag=True, help="First measure which micro-batch fits; the tasks wait for that job."
)
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
    """Submit what is not done yet of experiment NAME (default: the one planned last)."""
    layout = Workspace.current().layout(name)
    with lock(layout.lock):
        released = release(layout) if releases and not dry_run else None
        if not releases:
            stop_if_held(layout, dry_run=dry_run)
        # First what somebody began and died over: later it would look like a lost job, and be submitted besides.
        unfinished = half_submitted(layout)
        jobs = {} if dry_run else resume(layout, unfinished)
        snapshot = take_snapshot(layout)
        frozen = for_backend(frozen_of(snapshot.manifest), backend)
        assignments = not_submitted(snapshot, frozen.spec)
        is_local = frozen.profile.scheduler == "local"
        probe = plan_probe(layout, frozen, assignments) if probes and assignments else None
        if dry_run:
            return show_dry_run(layout, assignments, unfinished, probe, as_json)
        if is_local:
            check_gpus(frozen.spec.resources.gpus)
        measuring = submit_probe(layout, frozen, probe) if probe else {}
        if probe:
            frozen = replace(frozen, terms=Terms(after=waiting_for(probe, measuring)))
        if follows and not is_local:
            leave_one_behind(layout, frozen)
        hand = partial(submit_behind_canary, snapshot) if canary else hand_over
        fed = hand(layout, frozen, assignments)
        jobs |= fed.jobs
        follow_ups = begin(layout, frozen, live_arrays(snapshot, jobs)) if follows and not is_local else ()
    waiting = is_local and not detach and not follows
    if released:
        note(f"released: {released['reason']}")
    if fed.waiting and not jobs and not follows:
        raise TemporaryError(f"{layout.experiment}: {fed}")
    if not jobs and not released and not follows and not (is_local and list_open(layout)):
        name = layout.experiment
        raise NothingToDo(f"{name}: everything is queued, running or done; see python -m hpc.status {name}")
    if probe and not as_json:
        say(f"probe: {probe}" + "".join(f"; {_place(job)}" for job in measuring.values()))
    show(layout, jobs, measuring, fed, follow_ups, as_json)
    if is_local:
        parallel = max_parallel or frozen.profile.max_parallel or default_parallel()
        start_detached(layout, parallel)
        if follows:
            begin_here(layout, parallel)
            note(f"followed to the end in the background; see python -m hpc.status {layout.experiment}")
    return follow(layout) if waiting else EXIT_DONE


def for_backend(frozen: Frozen, backend: str | None) -> Frozen:
    """Turn a plan for a Slurm site into one for this machine when asked; say so when there is no container here."""
    if backend is None or backend == frozen.profile.scheduler:
        return frozen
    profile = replace(frozen.profile, scheduler=backend, setup=() if backend == "local" else frozen.profile.setup)
    use_container = backend == "slurm" or bool(shutil.which(profile.apptainer))
    if frozen.manifest["provenance"]["image"] and not use_container:
        note(f"note: no Apptainer here: the host's own Python ({frozen.python}) runs the tasks")
    return replace(frozen, profile=profile, use_container=use_container, python=frozen.python or sys.executable)


def _place(job: str) -> str:
    return "this machine" if job == "local" else f"job {job}"


def show(
    layout: RunLayout,
    jobs: Mapping[int, str],
    probes: Mapping[int, str],
    fed: Fed,
    follow_ups: Sequence[FollowUp],
    as_json: bool,
) -> None:
    """Say what was submitted, and what the site leaves for later."""
    if as_json:
        print_json(
            {
                "experiment": layout.experiment,
                "tasks": fed.submitted,
                "jobs": jobs,
                "probes": probes,
                "waiting": len(fed.waiting),
                "limit": fed.why,
                "follow_up_jobs": [each.job for each in follow_ups],
            }
        )
        return
    for number, job in jobs.items():
        say(f"submission {number:03d}: {_place(job)}")
    if fed.waiting:
        say(str(fed))
    for each in follow_ups:
        say(f"follow-up job {each.job}")


def show_dry_run(
    layout: RunLayout,
    assignments: Sequence[Assignment],
    unfinished: Sequence[SubmissionLayout],
    probe: ToProbe | None,
    as_json: bool,
) -> int:
    """Say what would be submitted."""
    names = [assignment.task.run_name for assignment in assignments]
    if as_json:
        print_json(
            {
                "experiment": layout.experiment,
                "would_submit": names,
                "would_adopt": [each.number for each in unfinished],
                "would_probe": [each.task.run_name for each in probe.tasks] if probe else [],
            }
        )
        return EXIT_DONE
    if probe:
        say(f"would first probe: {probe}, each for {LIMIT_S // MINUTE} minutes at most")
    say(f"{layout.experiment}: would submit {len(names)} tasks" + (f": {', '.join(names[:10])}" if names else ""))
    for submission in unfinished:
        say(f"would look for the job of submission {submission.number:03d}, which has no receipt, and adopt it")
    return EXIT_DONE


if __name__ == "__main__":
    main()
