"""What happened while a program ran: the record that its supervision fills in and the exit record is made of."""

from collections.abc import Mapping
from enum import StrEnum

from hpc.core.immutable import field, mutable


class Loss(StrEnum):
    """Why an attempt may not go on."""

    FENCED = "a newer attempt of the task exists"
    REMOVED = "its folder was removed"


@mutable
class Supervision:
    """What happened while the program ran.

    Attributes:
        exit_code: Of the launch line; None when a signal ended it.
        signal: The signal that ended it; None when it exited.
        received: Names of signals this wrapper was sent, in order.
        timed_out: Whether the wrapper's own clock ended it (without Slurm, and in a pack).
        loss: Why it was ended although it was still at work; None when it was not.
        output_lost: Why the program's output or its metrics could not be kept; empty when they were.
        unread: How many printed values could not be read as metrics.
        unread_example: What was wrong with the first of them.
        sanity: Why the ladder of checks before the program ended the attempt; empty where it did not.
        hang: Why the watch over it ended it; empty where it did not.
        watched: What it seemed to hang or be slow in at its end, where the watch only looked on; else empty.
        unfit: What the gate before it found a node to lack; empty where it found none.
        unfit_nodes: Those nodes.
        cpu_seconds: Processor time of its processes on all nodes; None when not known.
        sampled: What the samples come to: ``gpu_busy``, ``gpu_peak_mib``, ``gpu_energy_j``, those that are known.
    """

    exit_code: int | None = None
    signal: int | None = None
    received: list[str] = field(default_factory=list)
    timed_out: bool = False
    loss: Loss | None = None
    output_lost: str = ""
    unread: int = 0
    unread_example: str = ""
    sanity: str = ""
    hang: str = ""
    watched: str = ""
    unfit: str = ""
    unfit_nodes: tuple[str, ...] = ()
    cpu_seconds: float | None = None
    sampled: Mapping[str, float] = field(default_factory=dict)
