"""Where the unattended loop stands: ``follow.json`` says how it goes on, ``follow.jsonl`` what was done so far."""

import contextlib
import os
import time
from dataclasses import asdict
from typing import Any

from hpc.adapters import proc
from hpc.adapters.files import move_away, read_json_or_none
from hpc.adapters.ledger import append_json_line
from hpc.adapters.spare import replace_json, set_aside
from hpc.core.errors import InputError, TemporaryError
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course, Relay
from hpc.unattended.lease import own_job

SCHEMA = 1


@immutable
class State:
    """Where the loop stands, ``follow.json``.

    Attributes:
        course: How it goes on.
        backend: ``slurm`` or ``local``.
        started: Unix time since when the experiment is followed.
        round: Rounds so far.
        interval_s: Seconds from the last round to the next look.
        next: Relays that wait.
        told: What the last notice was about, so that nobody is told twice.
        blocked: Why what is left can never begin; empty where it may.
    """

    course: Course
    backend: str
    started: float
    round: int = 0
    interval_s: float = 0.0
    next: tuple[Relay, ...] = ()
    told: str = ""
    blocked: str = ""


def read_state(layout: RunLayout) -> State | None:
    """Read ``follow.json``; None when the experiment was never followed.

    Raises:
        InputError: It is damaged; the message says how to go on without it.
        OSError: The file system has an error.
    """
    content = read_json_or_none(layout.follow_state)
    if content is None:
        return None
    try:
        return State(
            Course(content["course"]),
            str(content["backend"]),
            float(content["started"]),
            int(content["round"]),
            float(content["interval_s"]),
            tuple(Relay.from_json(each) for each in content["next"]),
            str(content["told"]),
            str(content.get("blocked", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"was not written by the unattended loop ({type(error).__name__}: {error})"
        raise InputError(
            f"{problem}; move it away: {move_away(layout.follow_state)}", str(layout.follow_state)
        ) from None


def write_state(layout: RunLayout, state: State) -> None:
    """Write ``follow.json``, and set room aside for the day on which the disk is full.

    Raises:
        OSError: It cannot be written, not even into the room that was set aside.
    """
    content = {**asdict(state), "next": [each.to_json() for each in state.next]}
    replace_json(layout.follow_state, {"schema": SCHEMA, "kind": "follow", "time": time.time(), **content})
    for path in (layout.follow_state, layout.hold):
        set_aside(path)


def is_over(layout: RunLayout) -> bool:
    """Whether the last round was played to its end, the report and the notices included.

    Raises:
        OSError: The file system has an error.
    """
    try:
        state = read_state(layout)
    except InputError:
        return False
    return state is not None and state.course is not Course.GOES_ON and state.told == state.course


def note_down(layout: RunLayout, event: str, **more: Any) -> None:
    """Add a line to the ledger. One that cannot be written is lost: the ledger tells, and nothing is decided by it."""
    by = {"host": proc.this_host(), "pid": os.getpid(), "job": own_job()}
    with contextlib.suppress(OSError, TemporaryError):
        append_json_line(layout.follow_ledger, {"time": time.time(), "event": event, "by": by, **more})
