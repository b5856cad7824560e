"""``follow_shadow.jsonl``: what the unattended loop decided and did not do, a line each."""

from hpc.core.immutable import immutable
from hpc.core.records.record import Record

RETRY, LEAVE, START, HOLD = "retry", "leave", "start", "hold"


@immutable
class Kept(Record):
    """One decision that was kept and not carried out.

    Attributes:
        time: Unix time.
        action: ``retry``, ``leave`` (a failed task as it is), ``start`` (for the first time) or ``hold`` (all of it).
        run_name: The run it is about; empty where it is about all of them.
        attempt: Number of the attempt that would begin, or that failed and is left.
        category: Class of that failure; empty where there is none.
        memory_mib, time_s, micro_batch: What it would be given; null where that is not the point.
        reason: Why, in words.
    """

    time: float
    action: str
    run_name: str
    attempt: int = 0
    category: str = ""
    memory_mib: int | None = None
    time_s: int | None = None
    micro_batch: int | None = None
    reason: str = ""

    @property
    def subject(self) -> tuple[str, str, int]:
        """What the decision is about: a later one about the same replaces it until somebody has acted."""
        return ("hold" if self.action == HOLD else "task", self.run_name, self.attempt if self.action != LEAVE else -1)
