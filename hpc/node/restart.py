"""After exit code 85 (checkpointed, start me again): whether another attempt follows, and how it is asked for.

Standard library only: the wrapper on the compute node imports it.
"""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.adapters.files import readable_record
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_FAILED, HpcError
from hpc.core.layout import AttemptLayout, TaskLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.task import TaskRecord
from hpc.node.attempt import Job, find_checkpoint
from hpc.node.exit_record import summary_of

REQUEUE_WAIT_S = 60.0
MOST_IDLE = 3
"""So many starts in a row that got nothing done are enough: the next would get as far."""
WORKED_S = 600.0
"""Who worked for so long, or for half of its time limit, got something done, whatever it logged."""


@dataclass(frozen=True)
class Stint:
    """What one attempt got done before it ended.

    Attributes:
        wants_more: It exited with 85.
        told_to_end: It was sent SIGTERM, so it could not show what it can do.
        seconds: How long it ran.
        time_limit_s: How long it was allowed to.
        last_step: Highest step it logged; None when it logged none.
    """

    wants_more: bool
    told_to_end: bool
    seconds: float
    time_limit_s: float
    last_step: int | None

    def is_idle(self, reached: int) -> bool:
        """Whether it got nothing done: no step beyond those `reached` before, and hardly any time."""
        worked = self.seconds >= min(WORKED_S, self.time_limit_s / 2)
        stepped = self.last_step is not None and self.last_step > reached
        return self.wants_more and not (self.told_to_end or worked or stepped)


def idle_streak(stints: Sequence[Stint]) -> int:
    """Count the attempts in a row, up to the newest, that got nothing done; oldest first."""
    streak, reached = 0, -1
    for stint in stints:
        streak = streak + 1 if stint.is_idle(reached) else 0
        reached = max(reached, -1 if stint.last_step is None else stint.last_step)
    return streak


def describe_stall(stints: Sequence[Stint]) -> str:
    """Say that nothing comes of starting a task again; empty while something may."""
    streak = idle_streak(stints)
    if streak < MOST_IDLE:
        return ""
    longest = max(stint.seconds for stint in stints[-streak:])
    return (
        f"{streak} starts in a row exited with {EXIT_CHECKPOINTED} (start me again) after at most {longest:.0f} s "
        "without logging a new step"
    )


def find_stall(task: TaskLayout, attempt: AttemptLayout, record: TaskRecord, ended: ExitRecord) -> str:
    """Say that nothing comes of starting this task again, by its newest attempts; empty while something may."""
    earlier = (task.attempt(number) for number in range(max(1, attempt.number - MOST_IDLE), attempt.number))
    stints = [
        _stint(each, readable_record(each.task_json, TaskRecord), readable_record(each.exit_json, ExitRecord))
        for each in earlier
    ]
    return describe_stall([*stints, _stint(attempt, record, ended)])


def _stint(attempt: AttemptLayout, record: TaskRecord | None, ended: ExitRecord | None) -> Stint:
    if record is None or ended is None:  # its node died, or somebody removed it
        return Stint(False, False, 0.0, 0.0, None)
    return Stint(
        ended.exit_code == EXIT_CHECKPOINTED,
        "TERM" in ended.signals_received,
        ended.elapsed_s,
        record.resources.time_s,
        summary_of(attempt)[2],
    )


def obstacle_to_restart(task: TaskLayout, attempt: AttemptLayout, record: TaskRecord, ended: ExitRecord) -> str:
    """Say why an attempt that exited with 85 is not started again by its own wrapper; empty when it is."""
    if "TERM" in ended.signals_received or ended.timed_out:
        # Cancelled: it stays so. Preempted: Slurm requeues it by itself. Out of time: the collector may give it more.
        return "it was told to end"
    left = find_checkpoint(task, attempt.number, attempt.number + 1)
    if left is None or left.name <= Path(record.resume_from).name:
        # A program that checkpoints where it began would be started for ever.
        return "it left no new checkpoint"
    return ""


def start_again(attempt: AttemptLayout, job: Job, obstacle: str, *, is_packed: bool) -> int:
    """After exit 85: put this element back into the queue (or let the local backend do so); return our exit code.

    Args:
        is_packed: Whether its element starts it again itself, or is put back once nothing of it runs (`hpc.node.pack`).
    """
    if obstacle:
        print(f"hpc: attempt {attempt.number} is not started again: {obstacle}", flush=True)
        return EXIT_FAILED
    if not is_packed:
        put_back(job)
    return EXIT_CHECKPOINTED


def put_back(job: Job) -> None:
    """Put this element back into Slurm's queue; nothing without Slurm, where the local backend does so."""
    if not job.slurm:
        return
    from hpc.adapters import slurm  # here: most attempts end without, and it brings a dozen modules

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Slurm's answer to a requeue is to end us
    try:
        slurm.requeue(job.name)
        time.sleep(REQUEUE_WAIT_S)
    except HpcError as error:
        print(f"hpc: cannot requeue: {error}; the collector will restart it", flush=True)
