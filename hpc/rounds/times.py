"""Where the time of attempts went, from records that exist: queue, start-up, checkpoints, what was rolled back."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hpc.core.errors import InputError
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout, attempt_number
from hpc.rounds.judge import JudgedAttempt, JudgedTask
from hpc.snapshots.evidence import CHECKPOINT, Results
from hpc.snapshots.measured import throughput
from hpc.submissions.on_disk import asked_of

RESULTS = (FailureClass.DIVERGENCE, FailureClass.NOT_CONVERGED)
"""Ends of failed tasks that are results: their time was not in vain."""


def queue_s(layout: RunLayout, attempt: JudgedAttempt, before: JudgedAttempt | None) -> float | None:
    """Seconds from the submission of an attempt to its start; None when not known.

    By Slurm's own times where it has them, of a restart those of the restart; else by the receipt, and of a restart by
    the end of the attempt before it.

    Args:
        before: The attempt before it; None for the first.
    """
    record, row = attempt.state.record, attempt.state.row
    started = record.started if record else None
    if row and row.submitted and (row.started or started):
        return max(0.0, (row.started or started or 0.0) - row.submitted)
    if record is None or record.adopted or not attempt.state.submission:
        return None
    if record.restart_count:
        return max(0.0, record.started - before.ended) if before and before.ended else None
    asked = _asked_at(layout.submission(attempt.state.submission))
    return max(0.0, record.started - asked) if asked else None


@lru_cache(maxsize=64)
def _asked_at(submission: SubmissionLayout) -> float | None:
    """When a submission was made; one file for all of its elements."""
    try:
        asked = asked_of(submission)
    except InputError:
        return None
    return asked.time if asked else None


def startup_s(attempt: JudgedAttempt) -> float | None:
    """Seconds from its start to its first metric; None where none was logged while it ran."""
    record = attempt.state.record
    if record is None or record.adopted:
        return None
    rate, seconds = throughput(attempt.results, record.started)
    return seconds if rate is not None else None


def checkpoint_s(results: Results) -> float | None:
    """Seconds of writing checkpoints, where the program tells them."""
    told = results.measures.checkpoint_s
    return results.summary.get(CHECKPOINT) if told is None else told


def rolled_back(task: JudgedTask) -> dict[int, float | None]:
    """Seconds of each attempt whose work was lost, by its number; None where nobody knows (yet)."""
    attempts = [each for each in task.attempts if each.state.record and _length(each) is not None]
    if not attempts or task.outcome not in (Outcome.FINISHED, Outcome.FAILED):
        return {}
    if task.outcome is Outcome.FAILED and task.failure_class not in RESULTS:
        return {each.state.number: _length(each) for each in attempts}
    kept = _went_on_from(attempts)
    return {each.state.number: _lost(each, kept) for each in attempts}


def _went_on_from(attempts: Sequence[JudgedAttempt]) -> dict[int, str]:
    """Attempt → path of its checkpoint that the line to the last attempt went on from; empty text for the last."""
    by_number = {each.state.number: each for each in attempts}
    found: dict[int, str] = {}
    number: int | None = attempts[-1].state.number
    checkpoint = ""
    while number in by_number and number not in found:
        found[number] = checkpoint
        checkpoint = by_number[number].resumed_from
        number = attempt_number(Path(checkpoint).parts[-3]) if len(Path(checkpoint).parts) > 2 else None
    return found


def _lost(attempt: JudgedAttempt, kept: dict[int, str]) -> float | None:
    length, number = _length(attempt) or 0.0, attempt.state.number
    if number not in kept:
        return length
    if not kept[number]:
        return 0.0
    try:
        saved = _written(attempt.state.layout, Path(kept[number]).name)
    except OSError:
        return None
    return min(length, max(0.0, (attempt.ended or 0.0) - saved))


def _written(attempt: AttemptLayout, checkpoint: str) -> float:
    """When a checkpoint was whole: a folder's files are newer than what copies keep of the folder itself.

    Raises:
        OSError: It is gone.
    """
    path = attempt.checkpoints / checkpoint
    inside = [each.stat().st_mtime for each in path.iterdir()] if path.is_dir() else []
    return max(inside, default=0.0) or path.stat().st_mtime


def _length(attempt: JudgedAttempt) -> float | None:
    record = attempt.state.record
    return attempt.ended - record.started if record and attempt.ended else None
