"""Why Slurm does not start a job yet, in words: squeue's reason → what it means and what to do. A table. Pure.

Names as in squeue's manual, section JOB REASON CODES, of Slurm 20 to 25; limits come in families (``QOSMax…PerUser``,
``AssocGrp…``), so rows are patterns and the first that fits decides.
"""

import re
from enum import StrEnum

from hpc.core.immutable import immutable
from hpc.core.slurm.states import SlurmState


class Kind(StrEnum):
    """What has to happen before it starts."""

    QUEUED = "queued"  # nothing: its turn comes
    LIMITED = "limited"  # something of the same user or group has to end first
    HELD = "held"  # somebody has to release it
    NEVER = "never"  # the request or the site has to change


@immutable
class Pending:
    """One reason in words.

    Attributes:
        kind: What has to happen.
        meaning: One clause: why it does not start.
        advice: What a person can do; empty where waiting is all.
    """

    kind: Kind
    meaning: str
    advice: str = ""


_K = Kind
_HOLD = "look at the reason with scontrol show job, then: scontrol release JOB"
_ROWS: tuple[tuple[str, Pending], ...] = (
    ("Priority|None|", Pending(_K.QUEUED, "jobs of higher priority go first")),
    ("Resources|NodeAvailable", Pending(_K.QUEUED, "it is next; the nodes it needs are still busy")),
    ("BeginTime", Pending(_K.QUEUED, "its start time has not come (also for two minutes after a requeue)")),
    ("Dependency", Pending(_K.QUEUED, "a job it depends on has not ended")),
    ("JobArrayTaskLimit", Pending(_K.LIMITED, "the array's own limit of elements at once (%N) is reached")),
    ("Cleaning|Prolog|Power\\w*|Configuring", Pending(_K.QUEUED, "its nodes are being prepared")),
    ("Licenses", Pending(_K.QUEUED, "a licence it needs is in use")),
    ("Reservation", Pending(_K.QUEUED, "it waits for its reservation to begin")),
    (
        "DependencyNeverSatisfied",
        Pending(_K.NEVER, "the job it depends on failed, so it can never start", "cancel it and submit what is left"),
    ),
    ("JobHeldUser", Pending(_K.HELD, "you (or this toolkit) hold it", "scontrol release JOB")),
    ("JobHeldAdmin", Pending(_K.HELD, "by an administrator, or by Slurm after a failed launch", _HOLD)),
    (
        "JobHoldMaxRequeue",
        Pending(_K.HELD, "Slurm requeued it too often (max_requeue) and holds it", "see why it fails, then release it"),
    ),
    (
        "launch.failed.requeued.held|.*requeued.held",
        Pending(_K.HELD, "its node could not start it; Slurm requeued it and holds it", _HOLD),
    ),
    (
        "JobH[eo]ld\\w*|Requeue.?Hold|.*requeued.in.held.state",
        Pending(_K.HELD, "it was requeued, and is held", _HOLD),
    ),
    ("ReservationDeleted", Pending(_K.HELD, "its reservation is gone", "submit it without the reservation")),
    (
        "ReqNodeNotAvail.*reserved.*",
        Pending(_K.QUEUED, "nodes it needs are reserved, often for maintenance", "a shorter time limit may fit before"),
    ),
    (
        "ReqNodeNotAvail.*|Nodes.required.*|NodeDown|ReqNodes.*",
        Pending(_K.QUEUED, "nodes it needs are down, drained or reserved", "sinfo -R says why"),
    ),
    (
        "PartitionDown|PartitionInactive",
        Pending(_K.QUEUED, "the partition is closed at present", "wait, or name another partition in the profile"),
    ),
    (
        "PartitionTimeLimit|QOSMaxWallDurationPerJobLimit|AssocMaxWallDurationPerJobLimit",
        Pending(_K.NEVER, "it asks for more time than the partition or QOS allows", "lower resources.time"),
    ),
    (
        "PartitionNodeLimit|PartitionConfig|BadConstraints|.*MinGRES.*|.*MinCpu.*",
        Pending(_K.NEVER, "no node of the partition fits the request", "see: sinfo -o '%P %c %m %G'"),
    ),
    ("MaxMemPerLimit", Pending(_K.NEVER, "it asks for more memory than is allowed", "lower resources.mem")),
    (
        "(?:QOS|Assoc)Max\\w*Per(?:Job|Node)\\w*",
        Pending(_K.NEVER, "one job may not have that much (limit per job)", "lower GPUs, CPUs, nodes or memory"),
    ),
    (
        "InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|AccountingPolicy|.*NotAllowed",
        Pending(_K.NEVER, "account, QOS and partition do not match", "correct them in the cluster profile"),
    ),
    (
        "QOSMaxJobsPerUserLimit|AssocMaxJobsLimit|QOSMaxSubmitJobPerUserLimit|\\w*Jobs?PerUser\\w*|MaxJobsPerAccount",
        Pending(_K.LIMITED, "you already run as many jobs at once as the site allows"),
    ),
    (
        "(?:QOS|Assoc)Max\\w*(?:PerUser|PerAccount)\\w*|AssocMax\\w*",
        Pending(_K.LIMITED, "your running jobs use all you may use at once (GPUs, CPUs, nodes or memory)"),
    ),
    (
        "(?:Assoc|QOS)Grp\\w*(?:Minutes|RunMinutes|Billing\\w*)\\w*|QOSUsageThreshold|AssocGrpBilling\\w*",
        Pending(_K.LIMITED, "the budget (hours) of your account is used up", "ask for more, or use another account"),
    ),
    (
        "(?:Assoc|QOS)Grp\\w*",
        Pending(_K.LIMITED, "your group uses its full limit; yours start when others of the group end"),
    ),
    ("OutOfMemory|SystemFailure|RaisedSignal\\S*", Pending(_K.QUEUED, "it failed and was requeued")),
    (
        "DeadLine|Deadline",
        Pending(_K.NEVER, "it cannot finish before its deadline", "submit it again without --deadline"),
    ),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern, re.IGNORECASE), row) for pattern, row in _ROWS)
_HELD_STATES = {
    SlurmState.REQUEUE_HOLD: Pending(_K.HELD, "it asked to be put back and held (requeue hold)", _HOLD),
    SlurmState.SPECIAL_EXIT: Pending(_K.HELD, "it ended in a way that the site treats specially, and is held", _HOLD),
    SlurmState.RESV_DEL_HOLD: Pending(_K.HELD, "its reservation is gone", "submit it without the reservation"),
}


INSIDE = Pending(Kind.QUEUED, "in a running array element, until the previous tasks end")
"""Of tasks that share an element with others."""
_STARTING = Pending(_K.QUEUED, "it has its nodes and is starting")


def explain_pending(state: SlurmState, reason: str) -> Pending:
    """Say in words why an element waits; a state that is a hold goes before any reason. Never fails."""
    if state in _HELD_STATES:
        return _HELD_STATES[state]
    if state.is_running:
        return _STARTING
    text = reason.strip("() ")
    found = next((row for pattern, row in _TABLE if pattern.fullmatch(text)), None)
    return found or Pending(_K.QUEUED, f"Slurm says {text}", "man squeue, section JOB REASON CODES")


def is_held(state: SlurmState, reason: str) -> bool:
    """Whether an element waits for somebody to release it, whoever holds it: a person, an administrator, Slurm."""
    return state.is_waiting and explain_pending(state, reason).kind is Kind.HELD
