"""Where the time of runs went: productive, start-up, checkpoints, rolled back, queue; and ETTR, the share that counted.

ETTR is the effective training time ratio of arXiv 2410.21680: productive run time over all the time from when a run was
eligible to its end, waiting in the queue and every restart included. What nobody measured is None, never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpc.core.immutable import immutable

PARTS = ("productive_s", "startup_s", "checkpoint_s", "rolled_back_s", "queue_s")


@immutable
class TimeSplit:
    """Where time went, in seconds; of one run or of a study.

    Attributes:
        runs: Runs it is about; those that are not over are left out.
        elapsed_s: All attempts, from their starts to their ends.
        startup_s: From the start of an attempt to its first metric, of attempts whose work counted.
        checkpoint_s: Writing checkpoints, where the program logs ``checkpoint_s``.
        rolled_back_s: What was lost: after the last checkpoint that a later attempt went on from, attempts nothing went
            on from, and all of a run that failed for good.
        queue_s: From submission to start.
        productive_s: The rest of the elapsed time.
        ettr: Productive time over elapsed and queued time; None where one of them was not measured.
    """

    runs: int
    elapsed_s: float | None
    startup_s: float | None
    checkpoint_s: float | None
    rolled_back_s: float | None
    queue_s: float | None
    productive_s: float | None
    ettr: float | None


def split_run(task: Mapping[str, Any]) -> TimeSplit | None:
    """Split the time of a task as ``verdicts.json`` has it; None where it is not over, or never ran."""
    attempts = [each for each in task["attempts"] if not each.get("adopted")]
    if task["outcome"] not in ("finished", "failed") or not attempts:
        return None
    elapsed = _sum(each.get("elapsed_s") for each in attempts)
    rolled_back = _sum(each.get("rolled_back_s") for each in attempts)
    counted = [each for each in attempts if not _is_lost(each)]
    startup = _sum(each.get("startup_s") for each in counted)
    checkpoints = [each.get("checkpoint_s") for each in counted]
    checkpoint = _sum(checkpoints) if any(each is not None for each in checkpoints) else None
    queue = _sum(each.get("queue_s") for each in attempts)
    productive = None
    if elapsed is not None and rolled_back is not None and startup is not None:
        productive = max(0.0, elapsed - rolled_back - startup - (checkpoint or 0.0))
    return _with_ettr(1, elapsed, startup, checkpoint, rolled_back, queue, productive)


def _is_lost(attempt: Mapping[str, Any]) -> bool:
    """Whether all of an attempt was lost: its start-up is in that already."""
    lost, elapsed = attempt.get("rolled_back_s"), attempt.get("elapsed_s")
    return lost is not None and elapsed is not None and lost >= elapsed


def add_up(splits: Sequence[TimeSplit]) -> TimeSplit | None:
    """The same over many runs: each part over those runs alone that have all parts; None where there is none.

    A part that no run has (checkpoints, mostly) stays out.
    """
    whole = [each for each in splits if each.ettr is not None]
    if not whole:
        return None
    sums = {name: _sum(getattr(each, name) for each in whole) for name in ("elapsed_s", "startup_s", "rolled_back_s",
                                                                           "queue_s", "productive_s")}  # fmt: skip
    checkpoints = [each.checkpoint_s for each in whole if each.checkpoint_s is not None]
    return _with_ettr(
        len(whole), sums["elapsed_s"], sums["startup_s"], sum(checkpoints) if checkpoints else None,
        sums["rolled_back_s"], sums["queue_s"], sums["productive_s"],
    )  # fmt: skip


def _with_ettr(
    runs: int,
    elapsed: float | None,
    startup: float | None,
    checkpoint: float | None,
    rolled_back: float | None,
    queue: float | None,
    productive: float | None,
) -> TimeSplit:
    ettr = None
    if productive is not None and elapsed is not None and queue is not None and elapsed + queue > 0:
        ettr = productive / (elapsed + queue)
    return TimeSplit(runs, elapsed, startup, checkpoint, rolled_back, queue, productive, ettr)


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None where one is not known."""
    found = list(values)
    return None if not found or any(each is None for each in found) else float(sum(each or 0.0 for each in found))
