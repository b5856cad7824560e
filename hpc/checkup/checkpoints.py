"""Look whether the newest checkpoint of each run can be loaded: the one that its next attempt would resume from."""

from collections.abc import Iterator
from pathlib import Path

from hpc.adapters.checkpoint_files import damages
from hpc.adapters.files import move_away
from hpc.checkup.bounded import Begin
from hpc.core.checkup.check import Check
from hpc.core.checkup.experiment import judge_checkpoints
from hpc.core.layout import RunLayout, complete_checkpoints
from hpc.submissions.on_disk import list_attempts, list_runs

LIMIT_S = 1800.0
"""Headers and directories of thousands of files on a busy file system."""


def look_at_checkpoints(layout: RunLayout) -> Iterator[Begin | Check]:
    """Make the checks of an experiment's checkpoints."""
    yield Begin("checkpoints", LIMIT_S)
    newest = list(filter(None, (newest_of(layout, run) for run in list_runs(layout))))
    wrong = {}
    for checkpoint in newest:
        if found := next(damages(checkpoint), None):
            path, problem = found
            within = "" if path == checkpoint else f"{path.relative_to(checkpoint)} "
            place = checkpoint.relative_to(layout.tasks)
            wrong[f"{place}: {within}{problem}"] = move_away(checkpoint)
    yield from judge_checkpoints(len(newest), wrong)


def newest_of(layout: RunLayout, run: str) -> Path | None:
    """The newest complete checkpoint of a run's attempts; None where there is none."""
    for number in reversed(list_attempts(layout, run)):
        folder = layout.task(run).attempt(number).checkpoints
        if folder.is_dir() and (complete := complete_checkpoints(path.name for path in folder.iterdir())):
            return folder / complete[-1]
    return None
