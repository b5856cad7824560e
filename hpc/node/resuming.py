"""After a hang: whether the wrapper itself goes on with the task, in the allocation that it still holds.

Standard library only: the wrapper on the compute node imports it.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from hpc.adapters.files import readable_record
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE
from hpc.core.layout import AttemptLayout, RunLayout, TaskLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.task import TaskRecord
from hpc.node.attempt import Job, find_checkpoint
from hpc.node.supervision import Supervision

MOST_HANGS = 3
"""Hangs of one task in one allocation after which the next attempt waits in the queue, on another node perhaps."""
_END_TIME, _START_TIME = "SLURM_JOB_END_TIME", "SLURM_JOB_START_TIME"


def obstacle_to_resuming(
    layout: RunLayout,
    task: TaskLayout,
    attempt: AttemptLayout,
    record: TaskRecord,
    result: Supervision,
    job: Job,
    environment: Mapping[str, str],
) -> str:
    """Say why a run that hung does not go on where it is; empty when it does."""
    if record.watch is None or record.watch.act != "resume":
        return "watch.act is not resume"
    if result.exit_code in (EXIT_DONE, EXIT_CHECKPOINTED):
        return "it ended by itself"
    if set(result.received) - {"USR1"} or result.timed_out or result.loss:
        return "it was told to end"
    if "USR1" in result.received:
        return "its time is nearly over"
    if layout.hold.exists():
        return "the experiment is held"
    left = find_checkpoint(task, attempt.number, attempt.number + 1)
    if left is None or left.name <= Path(record.resume_from).name:
        return "it left no new checkpoint"
    if hangs_here(task, attempt, job) + 1 >= MOST_HANGS:
        return f"it hung {MOST_HANGS} times in it"
    least_s = 2 * record.watch.silent_s + record.signal_lead_s
    left_s = seconds_left(record, environment, time.time())
    return f"only {left_s:.0f} s of its time are left" if left_s < least_s else ""


def hangs_here(task: TaskLayout, attempt: AttemptLayout, job: Job) -> int:
    """Count the attempts before this one that the watch ended in the same job."""
    count = 0
    for number in range(attempt.number - 1, 0, -1):
        earlier = task.attempt(number)
        told, ended = readable_record(earlier.task_json, TaskRecord), readable_record(earlier.exit_json, ExitRecord)
        if told is None or ended is None or told.job != job.name or told.restart_count != job.restart_count:
            break
        count += bool(ended.hang)
    return count


def seconds_left(record: TaskRecord, environment: Mapping[str, str], now: float) -> float:
    """Seconds until the scheduler ends the allocation. Without one each attempt has its own whole limit."""
    limit_s = float(record.resources.time_s)
    if record.scheduler == "local":
        return limit_s
    ends, starts = environment.get(_END_TIME, ""), environment.get(_START_TIME, "")
    if ends.isdecimal():
        return float(ends) - now
    return (float(starts) if starts.isdecimal() else record.started) + limit_s - now
