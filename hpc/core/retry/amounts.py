"""How much more: the next micro-batch, memory and time, from what was measured where something was. Pure."""

import re
from math import ceil

from hpc.core.immutable import immutable
from hpc.core.resources import HOUR, MINUTE, render_memory, render_time
from hpc.core.retry.learned import largest_exact
from hpc.core.words import rounded

MEMORY_MARGIN = 1.2
"""Memory asked for relative to the peak that was measured."""
MEMORY_UNIT = 64
"""MiB to which what was measured is rounded up."""
FAR_BELOW = 0.5
"""A measured peak below this share of the limit does not explain an out-of-memory by itself."""
TIME_MARGIN = 1.2
"""Time asked for relative to what the remaining steps take at the measured throughput."""

_LAST_NUMBER = re.compile(r"(\d{1,15})\D*$")


@immutable
class Work:
    """What an attempt showed of the work that is left.

    Attributes:
        total_steps: Optimiser steps of the whole task.
        last_step: Highest step reached.
        steps_per_second: Measured throughput, above 0.
        startup_s: Seconds from the start of the attempt to its first step.
    """

    total_steps: int
    last_step: int
    steps_per_second: float
    startup_s: float = 0.0

    def seconds_from(self, step: int) -> float:
        """Seconds an attempt needs that goes on from `step`, start-up and margin included."""
        return self.startup_s + max(0, self.total_steps - step) / self.steps_per_second * TIME_MARGIN


def smaller_micro_batch(micro: int, whole: int, processes: int, min_micro: int) -> tuple[int, int] | None:
    """The next smaller micro-batch with its accumulation; None when the smallest allowed one is in use.

    The largest one up to half of `micro` that divides the global batch `whole` over `processes`; where none does, half
    of `micro` with the accumulation that comes nearest to the global batch.
    """
    least = max(1, min_micro)
    if micro <= least:
        return None
    half = max(least, micro // 2)
    size = largest_exact(half, whole, processes, least) or half
    return size, max(1, round(whole / (size * processes)))


def next_memory(had_mib: int, peak_mib: float | None, factor: float, most_mib: int) -> int:
    """Memory after the host's ran out: the limit × factor, or what was measured and a margin where that is more.

    Returns:
        MiB, more than there was and at most `most_mib` (0: no bound known).
    """
    measured = ceil((peak_mib or 0) * MEMORY_MARGIN / MEMORY_UNIT) * MEMORY_UNIT
    wanted = max(had_mib + 1, ceil(had_mib * factor), measured)
    return min(wanted, most_mib) if most_mib else wanted


def doubt_of_peak(had_mib: int, peak_mib: float | None) -> str:
    """Say that the measured peak does not explain the failure; empty where it does, or nothing was measured."""
    if not peak_mib or peak_mib >= FAR_BELOW * had_mib:
        return ""
    peak = render_memory(ceil(peak_mib))
    return f"the measured peak of {peak} lies far below the limit: one large allocation, or a rise between two samples"


def checkpoint_step(name: str, last_step: int) -> int:
    """Step a checkpoint was written at, by the last number in its name (``step-00000390``); else the last step."""
    found = _LAST_NUMBER.search(name)
    return int(found[1]) if found and int(found[1]) <= last_step else last_step


def next_time(had_s: int, factor: float, most_s: int, needed_s: float | None) -> int:
    """Time after the limit was reached: what the remaining steps need where that is known, else the limit × factor.

    Returns:
        Seconds, at least what there was and at most `most_s` (0: no bound known).
    """
    guessed = max(had_s + 1, ceil(had_s * factor))
    wanted = guessed if needed_s is None else max(had_s, _in_steps(needed_s))
    return min(wanted, most_s) if most_s else wanted


def _in_steps(seconds: float) -> int:
    """Round up to a minute, above two hours to a quarter of an hour, above twelve to an hour.

    Each different limit is an array of its own: thousands of tasks must not become thousands of sbatch calls.
    """
    step = MINUTE if seconds <= 2 * HOUR else HOUR // 4 if seconds <= 12 * HOUR else HOUR
    return ceil(seconds / step) * step


def describe_work(work: Work, step: int) -> str:
    """Say how much is left and how fast it went."""
    left, needed = max(0, work.total_steps - step), render_time(ceil(work.seconds_from(step)))
    return f"{left} of {work.total_steps} steps left at {rounded(work.steps_per_second)} steps/s need {needed}"
