"""How attempts are counted: which count against a task, and how many in a row ended alike without a step gained."""

from collections.abc import Callable

from hpc.core.experiment.spec import RetryPolicy
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.retry.next_attempt import decline
from hpc.core.retry.records import Declined, FailedTask
from hpc.core.words import counted

F = FailureClass
TAKEN_AWAY_BUDGET = {F.PREEMPTED: 10, F.NODE_FAILURE: 10, F.GPU_HARDWARE: 3, F.COMMUNICATION: 3}
"""Attempts in a row, without a step gained, after which even a blameless task is given up."""
CEILING_FACTOR = 5
"""Attempts that count, steps gained or not, end at this many times `max_attempts`."""


def blameless(verdict: Verdict) -> bool:
    """Whether an attempt was taken away from its task rather than failed: it never counts against `max_attempts`."""
    return verdict.category in TAKEN_AWAY_BUDGET or was_checkpointed(verdict)


def was_checkpointed(verdict: Verdict) -> bool:
    """Stopped on request, with a checkpoint to go on from."""
    return verdict.category is F.TIMEOUT and verdict.cause == "checkpointed"


def attempts_spent(task: FailedTask, policy: RetryPolicy) -> Declined | None:
    """Decline a task whose attempts are used up, whatever its class; None while it has some left."""
    all_of_them, idle = count_failures(task)
    if idle >= policy.max_attempts:
        failed = f"{counted(idle, 'attempt')} failed without progress"
        reason = f"{failed}, retry.max_attempts is {policy.max_attempts}"
    elif all_of_them >= CEILING_FACTOR * policy.max_attempts:
        failed = f"{counted(all_of_them, 'attempt')} failed, each after a few more steps"
        reason = f"{failed}; retry.max_attempts is {policy.max_attempts}"
    else:
        return None
    return decline(task, reason, "read the verdicts of its attempts; raise retry.max_attempts only if they differ")


def count_failures(task: FailedTask) -> tuple[int, int]:
    """Count the attempts that count: all of them, and those since steps were last gained."""
    every = idle = best = 0
    for attempt in task.attempts:
        if (attempt.last_step or 0) > best:
            best, idle = attempt.last_step or 0, 0
        if not blameless(attempt.verdict):
            every, idle = every + 1, idle + 1
    return every, idle


def no_progress(task: FailedTask, category: FailureClass) -> bool:
    """Whether the last two attempts that count ended in this class and the second got no further."""
    counting = [attempt for attempt in task.attempts if not blameless(attempt.verdict)]
    if len(counting) < 2:
        return False
    before, last = counting[-2:]
    if before.category is not category or last.category is not category:
        return False
    return before.last_step is not None and last.last_step is not None and last.last_step <= before.last_step


def idle_streak(task: FailedTask, same: Callable[[Verdict], bool]) -> int:
    """How many of the last attempts in a row ended alike without a step gained over all before them."""
    streak = 0
    for i in range(len(task.attempts) - 1, -1, -1):
        attempt = task.attempts[i]
        if not same(attempt.verdict):
            break
        streak += 1
        best_before = max((a.last_step for a in task.attempts[:i] if a.last_step is not None), default=0)
        if (attempt.last_step or 0) > best_before:
            break
    return streak
