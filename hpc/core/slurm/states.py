"""Slurm's job states as one total table, in every spelling sacct and squeue use."""

from enum import StrEnum
from functools import lru_cache


class SlurmState(StrEnum):
    """What Slurm says of a job; names as in the sacct manual, section JOB STATE CODES, and squeue's."""

    BOOT_FAIL = "BOOT_FAIL"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    COMPLETING = "COMPLETING"
    CONFIGURING = "CONFIGURING"
    DEADLINE = "DEADLINE"
    EXPEDITING = "EXPEDITING"
    FAILED = "FAILED"
    LAUNCH_FAILED = "LAUNCH_FAILED"
    NODE_FAIL = "NODE_FAIL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PENDING = "PENDING"
    POWER_UP_NODE = "POWER_UP_NODE"
    PREEMPTED = "PREEMPTED"
    RECONFIG_FAIL = "RECONFIG_FAIL"
    REQUEUED = "REQUEUED"
    REQUEUE_FED = "REQUEUE_FED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    RESIZING = "RESIZING"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    REVOKED = "REVOKED"
    RUNNING = "RUNNING"
    SIGNALING = "SIGNALING"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    STAGE_OUT = "STAGE_OUT"
    STOPPED = "STOPPED"
    SUSPENDED = "SUSPENDED"
    TIMEOUT = "TIMEOUT"
    UPDATE_DB = "UPDATE_DB"
    UNKNOWN = "UNKNOWN"

    @property
    def is_waiting(self) -> bool:
        """The job will run (again) without anybody's help."""
        return self in _WAITING

    @property
    def is_running(self) -> bool:
        """The job holds nodes now."""
        return self in _RUNNING

    @property
    def is_finished(self) -> bool:
        """Nothing will happen to this execution any more. An unknown state is not finished."""
        return not (self.is_waiting or self.is_running or self is SlurmState.UNKNOWN)


_S = SlurmState
_WAITING = frozenset({_S.PENDING, _S.REQUEUE_FED, _S.REQUEUE_HOLD, _S.RESV_DEL_HOLD, _S.SPECIAL_EXIT, _S.POWER_UP_NODE})
_RUNNING = frozenset(
    {
        _S.RUNNING, _S.COMPLETING, _S.CONFIGURING, _S.EXPEDITING, _S.RESIZING, _S.SIGNALING, _S.STAGE_OUT,
        _S.STOPPED, _S.SUSPENDED, _S.UPDATE_DB,
    }
)  # fmt: skip
_SHORT = {
    "BF": _S.BOOT_FAIL, "CA": _S.CANCELLED, "CD": _S.COMPLETED, "CF": _S.CONFIGURING, "CG": _S.COMPLETING,
    "DL": _S.DEADLINE, "F": _S.FAILED, "NF": _S.NODE_FAIL, "OOM": _S.OUT_OF_MEMORY, "PD": _S.PENDING,
    "PR": _S.PREEMPTED, "R": _S.RUNNING, "RD": _S.RESV_DEL_HOLD, "RF": _S.REQUEUE_FED, "RH": _S.REQUEUE_HOLD,
    "RQ": _S.REQUEUED, "RS": _S.RESIZING, "RV": _S.REVOKED, "S": _S.SUSPENDED, "SE": _S.SPECIAL_EXIT,
    "SI": _S.SIGNALING, "SO": _S.STAGE_OUT, "ST": _S.STOPPED, "TO": _S.TIMEOUT,
}  # fmt: skip


@lru_cache(maxsize=256)
def parse_state(text: str) -> SlurmState:
    """Read a state as sacct or squeue print it: ``FAILED``, ``CANCELLED by 1000``, ``CANCELLED+``, ``TO``.

    A word that a narrow column cut (``OUT_OF_ME+``) is read when it is the beginning of one state only.
    Text that names no known state gives `SlurmState.UNKNOWN`, which is neither finished nor a success.
    """
    shown = (text.split() or [""])[0].upper()
    word = shown.rstrip("+")
    if word in SlurmState.__members__:
        return SlurmState[word]
    if shown.endswith("+"):
        longer = [state for state in SlurmState if word and state.value.startswith(word)]
        return longer[0] if len(longer) == 1 else SlurmState.UNKNOWN
    return _SHORT.get(word, SlurmState.UNKNOWN)
