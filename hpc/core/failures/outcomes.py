"""What a task came to, from the states of its attempts: one small table, and the counts that have to add up."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.words import counted


class Outcome(StrEnum):
    """Whether we have a task's result. Not Slurm's state, and not why there is none."""

    PLANNED = "planned"
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


LEFT = (Outcome.RUNNING, Outcome.PENDING, Outcome.PLANNED)
"""What something is still to come of."""


def outcome_of(verdicts: Sequence[Verdict | None], *, is_running: bool, is_waiting: bool) -> Outcome:
    """Decide a task's outcome.

    Args:
        verdicts: One per attempt, oldest first; None for an attempt that is not over.
        is_running: An attempt runs now.
        is_waiting: An element is submitted and has not begun.
    """
    if is_running:
        return Outcome.RUNNING
    if is_waiting:
        return Outcome.PENDING
    if not verdicts:
        return Outcome.PLANNED
    last = verdicts[-1]
    return Outcome.FINISHED if last and last.category is FailureClass.SUCCESS else Outcome.FAILED


def count_outcomes(outcomes: Iterable[str]) -> dict[str, int]:
    """Count tasks by outcome, every outcome named, in the order of the road."""
    counts = Counter(outcomes)
    return {outcome.value: counts[outcome.value] for outcome in Outcome}


def render_counts(counts: Mapping[str, int]) -> str:
    """Render counts as a sum a reader can check: ``6 tasks = 4 finished + 2 failed``."""
    return f"{counted(sum(counts.values()), 'task')} = " + " + ".join(
        f"{number} {name}" for name, number in counts.items() if number
    )
