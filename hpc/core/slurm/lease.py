"""Who follows an experiment: one holder at a time, known by a lease with a heartbeat and a generation. Pure.

The lease itself is written once, by whoever takes it; signs of life go to a file of the holder's own, so that one who
was stopped and wakes up late overwrites nothing. The generation grows with every holder: before each act a holder
looks whether the generation is still its own (fencing), and leaves when it is not.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from hpc.core.immutable import immutable

BEAT_S = 10.0
"""Seconds between two signs of life."""
LOST_BEATS = 6
"""So many beats in a row without a sign of life, by the file server's clock, and the lease may be taken."""


@immutable
class Lease:
    """Attributes:
    holder: Random name of this holding.
    host: Machine it runs on, as people know it.
    pid: Its process there.
    process: The same so that no other process is ever called so: name space, boot, number, start time.
    job: Its Slurm job; empty outside of one.
    generation: Grows by one with every holder.
    heartbeat: File it touches every `beat_s` seconds, relative to the run folder.
    beat_s: Seconds between two touches.
    """

    holder: str
    host: str
    pid: int
    process: str
    job: str
    generation: int
    heartbeat: str
    beat_s: float = BEAT_S

    def to_json(self) -> dict[str, Any]:
        """The lease as it stands in ``follow.lease``."""
        return {"schema": 1, "kind": "lease", **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Lease":
        """Read what `to_json` wrote; keys of later versions are passed over."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        """Name the holder in a sentence."""
        return f"job {self.job} on {self.host}" if self.job else f"process {self.pid} on {self.host}"


class Standing(StrEnum):
    """What a lease means for one who wants it."""

    FREE = "free"
    DEAD = "dead"  # its holder is gone, or was silent for too long: it may be taken
    ALIVE = "alive"
    UNSURE = "unsure"  # silent so far, and not for long enough: look again


def judge_lease(lease: Lease | None, silent_s: float, *, lives: bool | None, beat_seen: bool = False) -> Standing:
    """Say whether a lease may be taken.

    Args:
        lease: What ``follow.lease`` holds; None when there is none.
        silent_s: Age of its last sign of life, by the clock of the file server.
        lives: What is known of its holder: its process or job is there, is over, or (None) nobody can tell.
        beat_seen: Whether a sign of life was seen since one began to look.

    A holder that lives and is silent was stopped, or its file system is gone: it may be superseded, because it will
    see that before it acts again.
    """
    if lease is None:
        return Standing.FREE
    if lives is False or silent_s > LOST_BEATS * lease.beat_s:
        return Standing.DEAD
    return Standing.ALIVE if lives or beat_seen else Standing.UNSURE
