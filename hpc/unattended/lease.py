"""Being the one who follows an experiment: take the lease, keep it alive, see before each act that it is still ours.

Works across hosts that share the run folder: silence is measured by the clock of the file server, a holder on this
machine is known by its process, one in a Slurm job by what Slurm says of the job.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpc.adapters import proc, slurm
from hpc.adapters.lease import Heartbeat, give_back, last_sign, read_generation, read_lease, silent_s, write_lease
from hpc.adapters.locks import lock
from hpc.core.errors import HpcError, NothingToDo
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.lease import BEAT_S, Lease, Standing, judge_lease

LOCK_S = 600.0
"""How long to wait for whoever submits or collects."""
LOOK_S = 2.0

Guard = Callable[[], None]
"""Raises `LeaseIsLost` unless the lease is still ours; called before each act."""


class LeaseIsHeld(NothingToDo):
    """Somebody else follows the experiment, and is alive."""


class LeaseIsLost(NothingToDo):
    """Somebody else took the lease, because we gave no sign of life for too long."""


def jobs_name(layout: RunLayout) -> str:
    """Name the relays of an experiment: no experiment can be called so, and its own queries find none."""
    return f"follow:{layout.experiment}"


@contextlib.contextmanager
def hold_lease(layout: RunLayout) -> Iterator[Guard]:
    """Follow an experiment alone.

    Raises:
        LeaseIsHeld: Somebody else does.
        TemporaryError: The experiment's lock is held for minutes.
    """
    mine = _take(layout)

    def guard() -> None:
        present = read_lease(layout.follow_lease)
        if present != mine:
            raise LeaseIsLost(f"{layout.experiment} is followed by {present or 'nobody'} now; this one stands down")

    with Heartbeat(layout.home / mine.heartbeat, mine.beat_s):
        try:
            yield guard
        finally:
            with contextlib.suppress(HpcError, OSError), lock(layout.lock, timeout_s=LOCK_S):
                give_back(layout.follow_lease, mine)


def _take(layout: RunLayout) -> Lease:
    """Take the lease once it is free or its holder is known to be dead.

    Raises:
        LeaseIsHeld: Its holder lives.
    """
    first: tuple[Lease, float] | None = None
    while True:
        lease = read_lease(layout.follow_lease)
        sign = (lease, last_sign(layout.follow_lease, lease)) if lease else None
        beat_seen = bool(first and sign and sign[0] == first[0] and sign[1] != first[1])
        first = first if first and sign and sign[0] == first[0] else sign
        match _standing(layout, lease, beat_seen=beat_seen):
            case Standing.ALIVE:
                raise LeaseIsHeld(f"{layout.experiment} is already followed, by {lease}; this one stands down")
            case Standing.UNSURE:
                time.sleep(LOOK_S)
            case _:
                with lock(layout.lock, timeout_s=LOCK_S):
                    if read_lease(layout.follow_lease) == lease:
                        return _write(layout, lease)


def _write(layout: RunLayout, before: Lease | None) -> Lease:
    holder = secrets.token_hex(8)
    lease = Lease(
        holder=holder,
        host=proc.this_host(),
        pid=os.getpid(),
        process=process_name(os.getpid()),
        job=own_job(),
        generation=read_generation(layout.follow_lease) + 1,
        heartbeat=str((layout.follow_jobs / f"heartbeat.{holder}").relative_to(layout.home)),
        beat_s=BEAT_S,
    )
    write_lease(layout.follow_lease, lease)
    if before:
        (layout.home / before.heartbeat).unlink(missing_ok=True)
    return lease


def _standing(layout: RunLayout, lease: Lease | None, *, beat_seen: bool) -> Standing:
    if lease is None:
        return Standing.FREE
    silent = silent_s(layout.follow_lease, lease)
    return judge_lease(lease, silent, lives=lives(layout, lease), beat_seen=beat_seen)


def lives(layout: RunLayout, lease: Lease) -> bool | None:
    """Say whether a lease's holder is there; None when nobody can tell from here."""
    if _name_space(lease.process) == _name_space(process_name(os.getpid())):
        return process_name(lease.pid) == lease.process
    if not lease.job:
        return None
    if lease.job == own_job():
        return False  # an earlier execution of this very job
    with contextlib.suppress(HpcError):
        row = next((row for row in slurm.query_queue(jobs_name(layout)) if row.job == lease.job), None)
        return None if row is None else _runs(row)
    return None


def _runs(row: JobRow) -> bool | None:
    """Whether a job can still hold a lease: a job that runs may have lost the process that took it."""
    return None if row.state.is_running else False


def own_job() -> str:
    """The Slurm job we run in; empty outside of one."""
    return os.environ.get("SLURM_JOB_ID", "")


def process_name(pid: int) -> str:
    """Name a process as `proc.identity` does, and the name space its number is of; empty when it is gone."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    identity = proc.identity(pid)
    return f"{space}/{identity}" if identity else ""


def _name_space(process: str) -> str:
    """Name space and boot of a process: where both are ours, its number says whether it lives."""
    return "/".join(process.split("/")[:2])
