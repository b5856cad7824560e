"""Ending the unattended loop because a person says so: written down first, then its waiting jobs are cancelled.

A relay that is at work ends its round, finds this and leaves nobody behind. Under the experiment's lock.
"""

import time
from dataclasses import replace

from hpc.adapters import slurm
from hpc.adapters.files import is_there
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.unattended.jobs import list_waiting
from hpc.unattended.state import State, note_down, read_state, write_state


def goes_on(layout: RunLayout) -> bool:
    """Whether somebody follows the experiment, or would begin to."""
    return is_there(layout.follow_state) and _read(layout).course is Course.GOES_ON


def waiting_relays(layout: RunLayout) -> list[str]:
    """Jobs of the relays that wait in Slurm's queue.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    if not is_there(layout.follow_state) or _read(layout).backend == "local":
        return []
    return [each.job for each in list_waiting(layout)]


def stop_following(layout: RunLayout) -> list[str]:
    """End the loop; return the jobs of the relays that were cancelled.

    Raises:
        TemporaryError: Slurm did not answer; no relay does anything any more, and the same call goes on.
    """
    if not is_there(layout.follow_state):
        return []
    if goes_on(layout):
        course = Course.CANCELLED
        write_state(layout, replace(_read(layout), course=course, next=(), told=course.value))
        note_down(layout, course.value)
    waiting = waiting_relays(layout)
    slurm.cancel_waiting(waiting)
    return waiting


def take_up_again(layout: RunLayout) -> None:
    """Let a loop go on that was cancelled: whoever types ``follow`` says so."""
    if is_there(layout.follow_state) and (state := _read(layout)).course is Course.CANCELLED:
        write_state(layout, replace(state, course=Course.GOES_ON, told=""))


def _read(layout: RunLayout) -> State:
    """How the loop stands; one that cannot be read counts as going on, so that it is ended."""
    try:
        return read_state(layout) or State(Course.ENDED, "", time.time())
    except InputError:
        return State(Course.GOES_ON, "slurm", time.time())
