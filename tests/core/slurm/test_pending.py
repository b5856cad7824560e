"""Why Slurm lets a job wait, in words: every reason of its manual, in the spellings squeue prints."""

import pytest

from hpc.core.slurm.pending import Kind, explain_pending, is_held
from hpc.core.slurm.states import SlurmState

PENDING = SlurmState.PENDING


@pytest.mark.parametrize(
    ("reason", "kind", "word"),
    [
        ("Priority", Kind.QUEUED, "priority"),
        ("None", Kind.QUEUED, "priority"),
        ("(Resources)", Kind.QUEUED, "busy"),
        ("BeginTime", Kind.QUEUED, "start time"),
        ("Dependency", Kind.QUEUED, "depends"),
        ("DependencyNeverSatisfied", Kind.NEVER, "never start"),
        ("JobArrayTaskLimit", Kind.LIMITED, "at once"),
        ("JobHeldUser", Kind.HELD, "hold"),
        ("JobHeldAdmin", Kind.HELD, "administrator"),
        ("JobHoldMaxRequeue", Kind.HELD, "too often"),
        ("launch failed requeued held", Kind.HELD, "could not start"),
        ("launch_failed_requeued_held", Kind.HELD, "could not start"),
        ("user env retrieval failed requeued held", Kind.HELD, "could not start"),
        ("job requeued in held state", Kind.HELD, "requeue"),
        ("job_requeued_in_held_state", Kind.HELD, "requeue"),
        ("JobHeldAdminRequeue", Kind.HELD, "requeue"),
        ("JobHoldRequeue", Kind.HELD, "requeue"),
        ("AssocGrpGRES", Kind.LIMITED, "group"),
        ("AssocGrpGRESMinutes", Kind.LIMITED, "budget"),
        ("AssocGrpCPUMinutesLimit", Kind.LIMITED, "budget"),
        ("AssocMaxJobsLimit", Kind.LIMITED, "jobs at once"),
        ("QOSMaxJobsPerUserLimit", Kind.LIMITED, "jobs at once"),
        ("QOSMaxGRESPerUser", Kind.LIMITED, "at once"),
        ("QOSMaxCpuPerUserLimit", Kind.LIMITED, "at once"),
        ("QOSMaxMemoryPerJob", Kind.NEVER, "per job"),
        ("QOSGrpNodeLimit", Kind.LIMITED, "group"),
        ("QOSMaxWallDurationPerJobLimit", Kind.NEVER, "more time"),
        ("PartitionTimeLimit", Kind.NEVER, "more time"),
        ("PartitionNodeLimit", Kind.NEVER, "no node"),
        ("BadConstraints", Kind.NEVER, "no node"),
        ("PartitionDown", Kind.QUEUED, "closed"),
        ("ReqNodeNotAvail, UnavailableNodes:gpu[01-04]", Kind.QUEUED, "down"),
        ("ReqNodeNotAvail, Reserved for maintenance", Kind.QUEUED, "maintenance"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
         Kind.QUEUED, "drained"),
        ("InvalidQOS", Kind.NEVER, "do not match"),
        ("Licenses", Kind.QUEUED, "licence"),
        ("SomethingSlurm26Says", Kind.QUEUED, "SomethingSlurm26Says"),
    ],
)  # fmt: skip
def test_reasons_in_words(reason: str, kind: Kind, word: str) -> None:
    """Each reason has its kind and a clause; one nobody knows is quoted."""
    found = explain_pending(PENDING, reason)
    assert (found.kind, word in found.meaning) == (kind, True)


@pytest.mark.parametrize("state", [SlurmState.REQUEUE_HOLD, SlurmState.SPECIAL_EXIT, SlurmState.RESV_DEL_HOLD])
def test_states_that_are_holds(state: SlurmState) -> None:
    """An element in a state of hold is held, whatever reason stands beside it."""
    assert explain_pending(state, "Priority").kind is Kind.HELD


def test_what_slurm_calls_running_is_starting() -> None:
    """An element that has its nodes and has not claimed its attempt yet does not wait for its turn."""
    assert "starting" in explain_pending(SlurmState.CONFIGURING, "None").meaning


def test_what_needs_help_says_what_to_do() -> None:
    """Every hold and every request that can never start names a step."""
    reasons = ("JobHeldUser", "JobHeldAdmin", "DependencyNeverSatisfied", "PartitionTimeLimit", "BadConstraints")
    assert all(explain_pending(PENDING, reason).advice for reason in reasons)


def test_held_is_held_whoever_holds_it() -> None:
    """A person's hold, an administrator's and Slurm's own are told from waiting for a turn, and from running."""
    assert all(is_held(PENDING, reason) for reason in ("JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue"))
    assert is_held(PENDING, "launch failed requeued held")
    assert is_held(SlurmState.REQUEUE_HOLD, "None")
    assert not any(is_held(PENDING, reason) for reason in ("Priority", "BeginTime", "DependencyNeverSatisfied"))
    assert not is_held(SlurmState.RUNNING, "JobHeldUser")
