"""Cancel what waits or runs: in Slurm, in this machine's own queue, and the unattended loop.

    python -m hpc.cancel lora_sweep
    python -m hpc.cancel lora_sweep R8_S42 R8_S137

What is cancelled stays cancelled: no retry starts it. To take it back: hpc.collect --retry-failed --again cancelled,
or hpc.submit for what had not begun.
"""

from collections.abc import Sequence

import click

from hpc.adapters import slurm
from hpc.adapters.locks import lock
from hpc.console import (
    dry_run_option,
    json_option,
    name_argument,
    note,
    print_json,
    say,
    speaks_plainly,
    tasks_argument,
)
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, NothingToDo
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.words import counted, few
from hpc.local.probes import cancel_probes, open_probes
from hpc.local.queue import QueuedElement
from hpc.rounds.cancelling import Live, cancel, choose, find_live, probe_jobs
from hpc.unattended.lease import LOCK_S
from hpc.unattended.stopping import goes_on, stop_following, waiting_relays
from hpc.workspace import Workspace


@immutable
class Found:
    """What there is to cancel.

    Attributes:
        live: Tasks that wait or run.
        probes: Slurm jobs of probes.
        local_probes: Probes of this machine's own queue.
        relays: Slurm jobs of relays that wait.
        is_followed: Whether the unattended loop goes on.
    """

    live: Sequence[Live]
    probes: Sequence[str] = ()
    local_probes: Sequence[QueuedElement] = ()
    relays: Sequence[str] = ()
    is_followed: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.live or self.probes or self.local_probes or self.relays or self.is_followed)

    @property
    def runs(self) -> list[str]:
        """Names of the runs, each once."""
        return list(dict.fromkeys(each.run_name for each in self.live))


@click.command(epilog="Example: python -m hpc.cancel lora_sweep R8_S42 --dry-run")
@name_argument
@tasks_argument
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, runs: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Cancel the waiting and running tasks of experiment NAME (default: the one planned last), or single TASKs."""
    layout = Workspace.current().layout(name)
    with lock(layout.lock, timeout_s=LOCK_S):
        tasks = choose(layout, runs)
        live = find_live(layout, tasks)
        found = Found(live) if runs else find_all(layout, live)
        if not found:
            raise NothingToDo(f"{layout.experiment}: nothing {'of these tasks ' if runs else ''}waits or runs")
        left: Sequence[Live] = []
        left_probes: Sequence[QueuedElement] = []
        if not dry_run:
            if not runs:
                stop_following(layout)
                slurm.cancel_jobs(found.probes)
            left = cancel(layout, tasks, live)
            left_probes = cancel_probes(layout, found.local_probes)  # after the tasks, which would begin once it ended
    if as_json:
        print_json(describe(layout, found, left, dry_run=dry_run))
    else:
        show(layout, found, left, dry_run=dry_run)
    for each in left_probes:
        note(f"could not end the {each.label}: it runs on another machine")
    return EXIT_FAILED if left or left_probes else EXIT_DONE


def find_all(layout: RunLayout, live: Sequence[Live]) -> Found:
    """What there is beside the tasks, too.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    return Found(live, probe_jobs(layout), open_probes(layout), waiting_relays(layout), goes_on(layout))


def describe(layout: RunLayout, found: Found, left: Sequence[Live], *, dry_run: bool) -> dict[str, object]:
    """What was cancelled, or would be, as one JSON value."""
    kept = {each.run_name for each in left}
    return {
        "experiment": layout.experiment,
        "would_cancel" if dry_run else "cancelled": [run for run in found.runs if run not in kept],
        "jobs": sorted({each.attempt.job for each in found.live if each.is_on_slurm}),
        "probes": list(found.probes),
        "local_probes": [each.run_name for each in found.local_probes],
        "relays": list(found.relays),
        "was_followed": found.is_followed,
        "left": sorted(kept),
    }


def show(layout: RunLayout, found: Found, left: Sequence[Live], *, dry_run: bool) -> None:
    """Say what was cancelled, or would be, and how to take it back."""
    verb = "would cancel" if dry_run else "cancelled"
    kept = {each.run_name for each in left}
    ended = [run for run in found.runs if run not in kept]
    waiting = len({each.run_name for each in found.live if each.is_waiting and each.run_name not in kept})
    if ended:
        say(f"{verb} {counted(len(ended), 'task')}, {waiting} of them before they began: {few(ended, 10)}")
    if found.probes:
        say(f"{verb} the probe: job {', '.join(found.probes)}")
    if found.local_probes:
        say(f"{verb} the {', '.join(each.label for each in found.local_probes)}")
    if found.is_followed or found.relays:
        jobs = f": job {', '.join(found.relays)}" if found.relays else ""
        say(f"{verb} the unattended loop{jobs}")
    for each in left:
        record = each.attempt.record
        note(f"could not end {each.run_name}: it runs on {record.host if record else 'another machine'}")
    if ended and not dry_run:
        say(f"they stay cancelled; to start them again: "
            f"python -m hpc.collect {layout.experiment} --retry-failed --again cancelled")  # fmt: skip


if __name__ == "__main__":
    main()
