"""Let an experiment go on that is held, or single tasks of it, whoever or whatever held it.

    python -m hpc.release lora_sweep
    python -m hpc.release lora_sweep R8_S42

What was held in Slurm is released, what waits in this machine's own queue is started. What was never submitted is
submitted by hpc.submit, whose --release does both; a cause that failures had in common is accepted from now on.
"""

import time

import click

from hpc.adapters.locks import lock
from hpc.adapters.manifest_store import load_manifest
from hpc.console import dry_run_option, json_option, name_argument, print_json, say, speaks_plainly, tasks_argument
from hpc.core.errors import EXIT_DONE, NothingToDo
from hpc.core.layout import RunLayout
from hpc.core.records.hold import HeldRun
from hpc.core.words import few
from hpc.rounds.cancelling import choose
from hpc.submissions.by_hand import Released, release_all, release_runs
from hpc.submissions.held_runs import held_runs
from hpc.submissions.holds import held
from hpc.unattended.lease import LOCK_S
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.release lora_sweep R8_S42")
@name_argument
@tasks_argument
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, runs: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Release experiment NAME (default: the one planned last) with all its held tasks, or single TASKs."""
    layout = Workspace.current().layout(name)
    with lock(layout.lock, timeout_s=LOCK_S):
        wanted = [task.run_name for task in choose(layout, runs)] if runs else []
        present = Released(None if runs else held(layout), _held_of(layout, wanted if runs else None))
        if not present:
            raise NothingToDo(f"{layout.experiment}: nothing {'of these tasks ' if runs else ''}is held")
        if not dry_run:
            present = Released(None, release_runs(layout, wanted)) if runs else release_all(layout)
    begun = 0 if dry_run else _start_here(layout)
    follows = present.hold is not None and "--follow" in _submit_command(layout)
    if as_json:
        print_json({"experiment": layout.experiment, "would_release" if dry_run else "released": present.to_json()})
        return EXIT_DONE
    _show(layout, present, dry_run=dry_run)
    if begun:
        say(f"{begun} in this machine's queue go on" if begun > 1 else "1 in this machine's queue goes on")
    if not dry_run and not held(layout):
        say(f"to submit what is left: {_submit_command(layout)}" + (" (the loop ended with the hold)" * follows))
    return EXIT_DONE


def _held_of(layout: RunLayout, names: list[str] | None) -> dict[str, HeldRun]:
    known = held_runs(layout).runs
    return {name: run for name, run in known.items() if names is None or name in names}


def _submit_command(layout: RunLayout) -> str:
    """What submits the rest, and takes up a loop that ended with the hold."""
    from hpc.core.slurm.successors import Course
    from hpc.unattended.state import read_state

    state = read_state(layout) if layout.follow_state.exists() else None
    is_followed = state is not None and state.course in (Course.GOES_ON, Course.HELD)
    return f"python -m hpc.submit {layout.experiment}{' --follow' if is_followed else ''}"


def _start_here(layout: RunLayout) -> int:
    """Start what waits in this machine's own queue; return how many."""
    from hpc.local.queue import default_parallel, list_open, start_detached

    if held(layout) or not (layout.home / ".local").is_dir():
        return 0
    waiting = [each for each in list_open(layout) if not each.attempt.home.exists()]
    if waiting:
        from hpc.experiments.freezing import frozen_of

        profile = frozen_of(load_manifest(layout)).profile
        start_detached(layout, profile.max_parallel or default_parallel())
    return len(waiting)


def _show(layout: RunLayout, present: Released, *, dry_run: bool) -> None:
    verb = "would release" if dry_run else "released"
    if present.hold is not None:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(present.hold.time))
        say(f"{verb} {layout.experiment}, held since {since}: {present.hold.reason}")
        if present.hold.evidence:
            say(f"the line that decided: {present.hold.evidence}")
        if present.hold.tasks:
            say(f"seen in {few(present.hold.tasks)}")
    for name, run in present.runs.items():
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.time))
        say(f"{verb} {name}, held since {since} by {run.by}" + (f": {run.reason}" if run.reason else ""))


if __name__ == "__main__":
    main()
