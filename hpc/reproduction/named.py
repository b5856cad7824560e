"""Which run is meant by ``reproduce RUN``, and which attempt of it is made again."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hpc.adapters.files import read_json, readable_record
from hpc.adapters.manifest_store import REPRODUCED, REPRODUCES, check_manifest, load_manifest, planned_below
from hpc.core.errors import HpcError, InputError, NothingToDo
from hpc.core.experiment.spec import Task
from hpc.core.immutable import immutable
from hpc.core.layout import MAX_NAME_LENGTH, AttemptLayout, RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.task import TaskRecord
from hpc.core.words import few
from hpc.housekeeping.inside import read_attempt
from hpc.housekeeping.named import find_run
from hpc.rounds.cancelling import all_tasks
from hpc.submissions.on_disk import list_attempts
from hpc.workspace import Workspace


@immutable
class Original:
    """A run that is to be made again.

    Attributes:
        layout: Its experiment.
        task: What it was.
        attempt: The attempt that is made again: the newest that ended well, else the newest.
        record: How that was started.
        ended: How it ended; None where nobody recorded it.
        manifest: The plan it was started by.
    """

    layout: RunLayout
    task: Task
    attempt: AttemptLayout
    record: TaskRecord
    ended: ExitRecord | None
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``EXPERIMENT/RUN``."""
        return f"{self.layout.experiment}/{self.task.run_name}"

    @property
    def copy_name(self) -> str:
        """Name of the experiment that makes it again."""
        name = f"{self.layout.experiment}{REPRODUCED}{self.task.run_name}"
        is_short = len(name) <= MAX_NAME_LENGTH
        return name if is_short else f"{self.layout.experiment[:80]}{REPRODUCED}{self.task.task_id}"


def split_name(run: str, experiment: str | None) -> tuple[str | None, str]:
    """Experiment and run of what was typed: ``RUN``, ``EXPERIMENT/RUN``, or the path of its folder."""
    parts = PurePath(run).parts
    if experiment is None and "tasks" in parts[1:-1]:
        return parts[parts.index("tasks") - 1], run
    if experiment is None and len(parts) == 2:
        return parts[0], parts[1]
    return experiment, run


def find_experiment(workspace: Workspace, run: str) -> RunLayout | None:
    """The experiment that has a run of this name, where no one was named; None where none has.

    Those that make a run of another one again do not count.

    Raises:
        InputError: Several have.
    """
    found = [name for name in planned_below(workspace.root) if _has_run(RunLayout(workspace.root, name), run)]
    if len(found) > 1:
        raise InputError(f"{len(found)} experiments have a run {run}: {few(found)}; say which: --experiment {found[0]}")
    return workspace.layout(found[0], acts=False) if found else None


def _has_run(layout: RunLayout, run: str) -> bool:
    try:
        is_copy = REPRODUCES in load_manifest(layout)["provenance"]
        return not is_copy and any(task.run_name == run for task in all_tasks(layout).values())
    except (HpcError, OSError, KeyError, TypeError):  # another's, or damaged: `ls` says so
        return False


def find_original(layout: RunLayout, run: str) -> Original:
    """Read what is on record of a run.

    Raises:
        InputError: There is no such run, or its records are gone.
        NothingToDo: It has not begun.
    """
    task = find_run(layout, run)
    numbers = list_attempts(layout, task.run_name)
    if not numbers:
        raise NothingToDo(f"{task.run_name} has not begun; see python -m hpc.status {layout.experiment}")
    folder = layout.task(task.run_name)
    ends = {number: readable_record(folder.attempt(number).exit_json, ExitRecord) for number in numbers}
    well = [number for number, ended in ends.items() if ended and ended.is_done]
    number = max(well or numbers)
    record = read_attempt(folder.attempt(number))
    return Original(
        layout, task, folder.attempt(number), record, ends[number], _manifest_of(layout, record.manifest_sha)
    )


def _manifest_of(layout: RunLayout, sha256: str) -> Mapping[str, Any]:
    """The plan an attempt was started by; the newest where that is gone."""
    path = layout.manifests / f"{sha256[:16]}.json"
    if not sha256 or not path.is_file():
        return load_manifest(layout)
    manifest: Mapping[str, Any] = read_json(path)
    check_manifest(manifest, path)
    return manifest
