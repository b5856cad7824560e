"""``watch.json``: when an attempt seemed to hang or to be slow, where its processes stood, and what was done."""

from dataclasses import dataclass
from typing import ClassVar

from hpc.core.records.record import Record


@dataclass(frozen=True)
class Frame(Record):
    """One call of a stack.

    Attributes:
        function: Its name.
        file: Name of its file; for the kernel's own functions ``kernel``.
        line: Line in it; 0 where there is none.
    """

    function: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Rank(Record):
    """Where one process stands.

    Attributes:
        rank: Its rank over all nodes; empty where its launcher gave it none.
        pid: Its number on its node.
        node: Its machine; empty where there is one only.
        source: Who tells: ``py-spy``, ``faulthandler`` or ``kernel``.
        state: State of its main thread in the kernel's words: ``S (sleeping)``.
        frames: The call at work first.
        cpu_s: Processor seconds that it and its children had taken by then.
    """

    rank: str
    pid: int
    node: str = ""
    source: str = "kernel"
    state: str = ""
    frames: tuple[Frame, ...] = ()
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Alarm(Record):
    """One time at which a run seemed to hang or to be slow.

    Attributes:
        found: ``idle``: nothing is said and nothing is done. ``spinning``: nothing is said, and what works only waits.
            ``slow``: steps take far longer than before.
        time: Unix time.
        silent_s: Seconds since the last step or output.
        says: In a sentence, with the process that stands elsewhere.
        odd: Names of those processes.
        ended: Whether the run was ended for it; else it was only watched.
        would: What it would do where it was switched on: ``end`` or ``resume``.
        over: Unix time at which the run went on all the same; null while it has not.
    """

    found: str
    time: float
    silent_s: float
    says: str
    odd: tuple[str, ...] = ()
    ended: bool = False
    would: str = "end"
    over: float | None = None


@dataclass(frozen=True)
class WatchRecord(Record):
    """What the watch over one attempt saw.

    Attributes:
        alarms: Oldest first; the last few.
        seconds_per_step: Median over the steps so far, for its siblings; null where nobody counts.
    """

    kind: ClassVar[str] = "watch"

    alarms: tuple[Alarm, ...] = ()
    seconds_per_step: float | None = None

    @property
    def standing(self) -> Alarm | None:
        """The newest alarm that the run has not outlived."""
        return self.alarms[-1] if self.alarms and self.alarms[-1].over is None else None


@dataclass(frozen=True)
class NodeWatch(Record):
    """What a node's wrapper sees of its share, ``watch.nodeN.json``: read by that of the whole attempt.

    Attributes:
        found: As `Alarm`; empty: its share works, or has gone on.
        time: Unix time.
        silent_s: Seconds since the last step or output of the whole attempt.
        ranks: Where its processes stand.
    """

    kind: ClassVar[str] = "node watch"

    found: str
    time: float
    silent_s: float
    ranks: tuple[Rank, ...] = ()
