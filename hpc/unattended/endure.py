"""Going on although something fails: Slurm that does not answer is waited for; a full disk holds the experiment.

A relay that gives up may be the last one of its chain, and a full disk takes its log, too: nobody would learn
of it. So what cannot be written for `PATIENCE_S` seconds becomes a hold, which is told and which a person releases.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from hpc.adapters import slurm
from hpc.adapters.locks import lock
from hpc.adapters.slurm_client import SlurmError
from hpc.console import note
from hpc.core.errors import HpcError, NothingToDo, TemporaryError
from hpc.core.failures.breaker import Trip
from hpc.core.failures.evidence import FailureClass
from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.submissions.holds import ExperimentIsHeld, describe_hold, held, hold
from hpc.submissions.prepare import Frozen
from hpc.unattended.jobs import list_waiting
from hpc.unattended.lease import LOCK_S, LeaseIsHeld, hold_lease
from hpc.unattended.notices import tell_held
from hpc.unattended.play import Round, frozen_now, play_and_end
from hpc.unattended.state import State, is_over, note_down, read_state, write_state

PATIENCE_S = 300.0
"""How long something is tried again where Slurm does not answer, takes no more jobs, or nothing can be written."""
LONGEST_PAUSE_S = 60.0
FIRST_PAUSE_S = 2.0
POLL_S = 1.0
LATER_S = 15.0
"""Between two looks on this machine while something is left for later."""
STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""What a file system says that takes nothing any more, whoever writes."""


def follow_as_relay(layout: RunLayout, number: int) -> Round:
    """Play one round in a relay, patiently: a job that gives up may be the last one of its chain.

    Raises:
        LeaseIsHeld: Somebody else follows, and another relay waits should that one die.
        ExperimentIsHeld: For `PATIENCE_S` seconds nothing could be written: it is held now, and told.
        TemporaryError: For as long Slurm did not answer or refused; the job's script tries again, because nobody else
            may be left who would.
    """
    forget_this_job()

    def play() -> Round:
        if is_over(layout):
            raise NothingToDo(f"{layout.experiment}: over; see python -m hpc.status {layout.experiment}")
        with hold_lease(layout) as guard:
            return play_and_end(layout, guard, number)

    return endure(layout, play, lambda: may_leave(layout, number), for_ever=False)


def follow_here(layout: RunLayout, frozen: Frozen, max_parallel: int | None) -> Round:
    """Play rounds until nothing is left, on this machine's own queue.

    Raises:
        LeaseIsHeld: Somebody else follows.
        ExperimentIsHeld: For `PATIENCE_S` seconds nothing could be written: it is held now, and told.
    """
    from hpc.local.queue import default_parallel, list_open, start_detached

    parallel = max_parallel or frozen.profile.max_parallel or default_parallel()

    def play() -> Round:
        with hold_lease(layout) as guard:
            while True:
                done = play_and_end(layout, guard)
                if done.course is not Course.GOES_ON:
                    return done
                start_detached(layout, parallel)
                state = read_state(layout)
                look = time.monotonic() + (state.interval_s if state else 0.0)
                if done.later:  # for runs of another experiment, mostly: nothing of ours tells when they end
                    look = min(look, time.monotonic() + LATER_S)
                while (list_open(layout) or done.later) and time.monotonic() < look:
                    time.sleep(POLL_S)

    return endure(layout, play, lambda: True, for_ever=True)


def endure(layout: RunLayout, play: Callable[[], Round], may_leave: Callable[[], bool], *, for_ever: bool) -> Round:
    """Play until it succeeds; after `PATIENCE_S` seconds without success, hold over storage, else give up.

    Args:
        may_leave: Whether one that meets another follower may stand down.
        for_ever: Whether nobody would try again after us, so that we do not give up.

    Raises:
        LeaseIsHeld: Somebody else follows, and we may leave.
        ExperimentIsHeld: Nothing could be written: it is held now, and told.
        TemporaryError: It never succeeded.
    """
    pauses, since = _pauses(), time.monotonic()
    while True:
        begun = time.monotonic()
        try:
            return play()
        except LeaseIsHeld:
            if may_leave():
                raise
        except NothingToDo:
            raise
        except (TemporaryError, SlurmError, OSError) as error:
            if for_ever and time.monotonic() - begun > PATIENCE_S:
                pauses, since = _pauses(), time.monotonic()  # it went well for a while
            _wait_or_leave(layout, error, is_late=time.monotonic() - since > PATIENCE_S, for_ever=for_ever)
        except Exception as error:  # a bug or a damaged file: said where people look, and tried again at the next look
            note_down(layout, "crashed", why=f"{type(error).__name__}: {error}")
            raise
        time.sleep(next(pauses))


def _wait_or_leave(layout: RunLayout, error: Exception, *, is_late: bool, for_ever: bool) -> None:
    """Say what is waited for; leave where it is late.

    Raises:
        ExperimentIsHeld: Nothing could be written.
        TemporaryError: Something else fails, and somebody would try again.
    """
    note(f"waiting: {error}")
    note_down(layout, "waited", why=str(error))
    if is_late and (storage := find_storage_error(error)):
        hold_over_storage(layout, storage)
    if is_late and not for_ever:
        raise TemporaryError(str(error)) from error


def _pauses() -> Iterator[float]:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def find_storage_error(error: BaseException | None) -> OSError | None:
    """Find what a file system said among an error's causes; None where it was something else."""
    while error is not None and not (isinstance(error, OSError) and error.errno in STORAGE):
        error = error.__cause__ or error.__context__
    return error


# ── nothing can be written ───────────────────────────────────────────────────────────────────────────────────────


def hold_over_storage(layout: RunLayout, error: OSError) -> None:
    """Hold the experiment, tell, and take its relays out of the queue; nothing where the hold is not written.

    Raises:
        ExperimentIsHeld: It is held.
    """
    place = f" ({error.filename})" if error.filename else ""
    trip = Trip(
        reason=f"the run folder can no longer be written: {error.strerror}{place}",
        fingerprint=f"{FailureClass.STORAGE}/follower: {error.strerror}",
        evidence=str(error),
        tasks=(),
    )
    if said := _hold(layout, trip):
        note_down(layout, Course.HELD.value, why=said)
        with contextlib.suppress(OSError, HpcError):
            for told in tell_held(frozen_now(layout).spec, layout):
                note(told)
        with contextlib.suppress(OSError, HpcError), lock(layout.lock, timeout_s=LOCK_S):
            _leave_nobody_behind(layout)
        raise ExperimentIsHeld(said)


def _hold(layout: RunLayout, trip: Trip) -> str:
    """Hold as far as that is possible; say that it is held, nothing where it is not."""
    with contextlib.suppress(OSError, HpcError), lock(layout.lock, timeout_s=LOCK_S):
        with contextlib.suppress(OSError, HpcError):  # the hold stands before Slurm is asked to hold what waits
            hold(layout, trip)
        return describe_hold(layout)
    return ""


def _leave_nobody_behind(layout: RunLayout) -> None:
    """Write down that the loop ended with the hold, and cancel the jobs that wait. Under the lock.

    Raises:
        OSError: It cannot be written down; nothing was cancelled, and who begins next finds the hold.
        TemporaryError: Slurm did not answer; who begins next stands down.
    """
    if held(layout) is None:
        return  # somebody has released it meanwhile, and may follow it
    scheduler = frozen_now(layout).profile.scheduler
    state = read_state(layout) or State(Course.HELD, scheduler, time.time())
    write_state(layout, replace(state, course=Course.HELD, next=(), told=Course.HELD.value))
    if scheduler == "slurm":
        slurm.cancel_waiting([each.job for each in list_waiting(layout)])


# ── a relay ──────────────────────────────────────────────────────────────────────────────────────────────


def forget_this_job() -> None:
    """Take what Slurm and submitit set for this job out of the environment: sbatch hands it on to the arrays."""
    kept = ("SLURM_CONF", "SLURM_JOB_ID")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_")) and name not in kept]:
        del os.environ[name]


def may_leave(layout: RunLayout, number: int) -> bool:
    """Whether the chain holds without this job: it is over, or another relay waits."""
    try:
        return is_over(layout) or any(each.number != number for each in list_waiting(layout))
    except (TemporaryError, OSError):
        return False
