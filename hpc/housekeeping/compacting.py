"""Fewer files for runs whose results are recorded: what is small of each attempt goes into one archive beside the rest.

Nothing is judged here, and nothing is lost: the rule is that of `hpc.housekeeping.freeing` (the newest collection says
that the task has finished, and its files say so still), and each archive is whole before a file goes
(`hpc.adapters.packing`). The caller holds the experiment's lock.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hpc.adapters.packing import is_loose, pack
from hpc.adapters.removal import why_not_ours
from hpc.core.errors import InputError
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import is_job
from hpc.core.words import counted
from hpc.housekeeping.freeing import Protected, why_kept
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import AttemptState, Progress, TaskState
from hpc.submissions.on_disk import received_job

RECORDED = "when_recorded"
"""``compact`` in an experiment: the small files of a run are packed as soon as its result is recorded."""


@immutable
class Compacted:
    """What was done.

    Attributes:
        runs: Runs of which something was packed.
        files: Files and folders there are less.
        problems: What could not be packed, one sentence each.
    """

    runs: int = 0
    files: int = 0
    problems: tuple[str, ...] = ()


def is_asked_for(manifest: Mapping[str, Any]) -> bool:
    """Whether an experiment wants its small files packed once its results are recorded (``compact``)."""
    return bool(manifest["spec"].get("compact") == RECORDED)


def compact_recorded(layout: RunLayout) -> Compacted:
    """Pack the small files of every attempt of the runs that have finished and are recorded so. Under the lock.

    Raises:
        InputError: There is no manifest, or a file was damaged.
        TemporaryError: Slurm is needed and did not answer; nothing was packed.
    """
    runs = files = 0
    problems: list[str] = []
    logs = ElementLogs(layout)
    for state in take_snapshot(layout).tasks:
        found = [(each.layout.home, logs.own_of(each, state)) for each in _over(layout, state)]
        loose = [(folder, others) for folder, others in found if others or is_loose(folder)]
        if not loose or why_kept(state, Protected()):
            continue
        before = files
        try:
            for folder, others in loose:
                files += pack(folder, others)
        except (InputError, OSError) as error:
            problems.append(f"{state.task.run_name} was not packed: {error}")
        runs += files > before
    return Compacted(runs, files, tuple(problems))


def _over(layout: RunLayout, state: TaskState) -> list[AttemptState]:
    """The attempts of a task of which nothing is written any more."""
    ended = (each for each in state.attempts if each.progress is Progress.OVER and each.is_claimed and each.end)
    return [each for each in ended if not why_not_ours(layout.root, each.layout.task_json)]


class ElementLogs:
    """Finds the logs of array elements that may be packed with an attempt."""

    def __init__(self, layout: RunLayout) -> None:
        self._submission = cache(layout.submission)
        self._received = cache(lambda number: received_job(layout.submission(number)))

    def own_of(self, attempt: AttemptState, task: TaskState) -> dict[str, Path]:
        """Name in the archive → the log of an attempt's element; empty where it tells of anything else.

        Others may share it: the tasks of a pack, or attempts that Slurm put back into the queue. And of a job that no
        receipt names, submitted by a plain ``sbatch``, the logs are all that is known (`logged_jobs`).
        """
        is_alone = sum(each.job == attempt.job for each in task.attempts) == 1 and not attempt.is_packed
        if not is_alone or not is_job(attempt.job):
            return {}
        log = self._submission(attempt.submission).element_log(attempt.job)
        is_known = self._received(attempt.submission) == attempt.job.partition("_")[0]
        return {attempt.layout.element_log.name: log} if is_known and os.path.lexists(log) else {}


def say_compacted(done: Compacted) -> list[str]:
    """Say what was packed, one sentence each; nothing where nothing was."""
    said = f"packed: {counted(done.runs, 'recorded run')}, {counted(done.files, 'file')} fewer"
    return [*([said] if done.runs else []), *done.problems]
