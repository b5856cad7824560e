"""Fewer files for runs whose results are recorded: what is small of each attempt goes into one archive beside the rest.

Nothing is judged here, and nothing is lost: the rule is that of `hpc.housekeeping.freeing` (the newest collection says
that the task has finished, and its files say so still), and each archive is whole before a file goes
(`hpc.adapters.packing`). The caller holds the experiment's lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpc.adapters.packing import is_loose, pack
from hpc.adapters.removal import why_not_ours
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.words import counted
from hpc.housekeeping.freeing import Protected, why_kept
from hpc.snapshots.snapshot import Progress, TaskState, take_snapshot

RECORDED = "when_recorded"
"""``compact`` in an experiment: the small files of a run are packed as soon as its result is recorded."""


@dataclass(frozen=True)
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
    for state in take_snapshot(layout).tasks:
        loose = [each for each in _over(layout, state) if is_loose(each.home)]
        if not loose or why_kept(state, Protected()):
            continue
        before = files
        try:
            for each in loose:
                files += pack(each.home)
        except (InputError, OSError) as error:
            problems.append(f"{state.task.run_name} was not packed: {error}")
        runs += files > before
    return Compacted(runs, files, tuple(problems))


def _over(layout: RunLayout, state: TaskState) -> list[AttemptLayout]:
    """The attempts of a task of which nothing is written any more."""
    ended = (each for each in state.attempts if each.progress is Progress.OVER and each.is_claimed and each.end)
    return [each.layout for each in ended if not why_not_ours(layout.root, each.layout.task_json)]


def say_compacted(done: Compacted) -> list[str]:
    """Say what was packed, one sentence each; nothing where nothing was."""
    said = f"packed: {counted(done.runs, 'recorded run')}, {counted(done.files, 'file')} fewer"
    return [*([said] if done.runs else []), *done.problems]
