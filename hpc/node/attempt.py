"""One execution of a task: which attempt it may start, the claim, the folder, and whether it still holds them.

Standard library only: the wrapper on the compute node imports it.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import (
    Lasting,
    make_folder,
    publish_folder,
    read_json_or_none,
    read_record_or_none,
    sync_folder,
    temporary_name,
    write_json,
    write_text,
)
from hpc.core.errors import EXIT_DONE, HpcError
from hpc.core.immutable import immutable
from hpc.core.layout import AttemptLayout, TaskLayout, attempt_number, complete_checkpoints
from hpc.core.records.index import Element
from hpc.core.records.task import TaskRecord
from hpc.node.supervision import Loss
from hpc.node.workdir import lay_out, tidy, write_files


@immutable
class Job:
    """Which execution this is, by the scheduler's numbers.

    Attributes:
        name: ``12_3``, ``12``, or ``local-…`` without Slurm.
        restart_count: How often the scheduler has put the same element back into the queue.
        slurm: Every SLURM_ id worth keeping.
        place: Which of the tasks that run at once in a pack it is, from 0.
    """

    name: str
    restart_count: int
    slurm: Mapping[str, str]
    place: int = 0

    @property
    def cluster(self) -> str:
        """Slurm's name of the cluster; empty without Slurm."""
        return self.slurm.get("SLURM_CLUSTER_NAME", "")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Job":
        """Read Slurm's variables, or those of the local backend."""
        kept = {
            key: environment[key]
            for key in (
                "SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
                "SLURM_RESTART_COUNT", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURMD_NODENAME",
            )
            if key in environment
        }  # fmt: skip
        if "SLURM_JOB_ID" not in environment:
            name = environment.get("HPC_LOCAL_JOB") or f"local-{os.urandom(4).hex()}"
            return cls(name, int(environment.get("HPC_LOCAL_RESTART", "0")), {})
        array = environment.get("SLURM_ARRAY_JOB_ID")
        name = f"{array}_{environment['SLURM_ARRAY_TASK_ID']}" if array else environment["SLURM_JOB_ID"]
        return cls(name, int(environment.get("SLURM_RESTART_COUNT", "0")), kept)


def next_attempt(task: TaskLayout, entry: Element, submission: int, job: Job, *, again: bool = False) -> int | None:
    """Decide which attempt this execution may start; None when the task is somebody else's or done.

    The submission authorises one attempt number, so a script that is submitted twice runs nothing twice. Only the same
    array element, put back into the queue by Slurm (preemption, lost node, exit 85), may go on with the next number.
    Of a pack that Slurm put back only those do that were taken away: a task that failed in it is the collector's.

    Args:
        again: Whether this element itself starts it again, after exit 85 in a pack or after a hang.
    """
    last = last_attempt(task)
    if last < entry.attempt:
        return entry.attempt
    record = read_record_or_none(task.attempt(last).task_json, TaskRecord)
    if record is None or (record.job, record.submission) != (job.name, submission):
        return None
    is_later = again or record.restart_count < job.restart_count
    is_settled = _has_settled if record.packed else _has_finished
    return last + 1 if is_later and not is_settled(task.attempt(last)) else None


def last_attempt(task: TaskLayout) -> int:
    """Number of the newest attempt; 0 before the first."""
    numbers = (attempt_number(path.name) or 0 for path in task.home.iterdir()) if task.home.is_dir() else ()
    return max(numbers, default=0)


def _has_finished(attempt: AttemptLayout) -> bool:
    return object_or_empty(attempt.exit_json).get("exit_code") == EXIT_DONE


def _has_settled(attempt: AttemptLayout) -> bool:
    """Whether an attempt ended by itself, and not to be started again by its own element."""
    ended = object_or_empty(attempt.exit_json)
    return bool(ended) and not (ended.get("starts_again") or "TERM" in ended.get("signals_received", ()))


def object_or_empty(path: Path) -> dict[str, Any]:
    """Read a JSON object of ours or of the program; empty where there is none, or something else, which is said."""
    try:
        content = read_json_or_none(path)
    except (HpcError, OSError) as error:
        print(f"hpc: {path} is not used: {error}", flush=True)
        return {}
    return content if isinstance(content, dict) else {}


def find_checkpoint(task: TaskLayout, first: int, before: int, name: str = "") -> Path | None:
    """Find the newest complete checkpoint, or the one of that name, that attempts `first` to `before` - 1 left."""
    for number in range(before - 1, first - 1, -1):
        folder = task.attempt(number).checkpoints
        complete = complete_checkpoints(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if name in complete or (complete and not name):
            return folder / (name or complete[-1])
    return None


def resume_point(entry: Element, task: TaskLayout, number: int) -> Path | None:
    """Where an attempt goes on: after a restart by Slurm from what this element left, else as the submission says."""
    own = find_checkpoint(task, entry.attempt, number)
    if own or not entry.resume:
        return own
    return find_checkpoint(task, 1, entry.attempt, entry.resume_from)


def claim(task: TaskLayout, number: int, record: TaskRecord) -> bool:
    """Take an attempt for this execution: a folder that is complete before it has its name; False when it is taken.

    Raises:
        InputError: The code is not what was planned; nothing was taken.
        OSError: The disk is full or not writable; nothing was taken.
    """
    make_folder(task.home)
    prepared = AttemptLayout(temporary_name(task.attempt(number).home))
    try:
        make_folder(prepared.checkpoints)
        write_json(prepared.task_json, record.to_json(), lasting=Lasting.CONTENT)
        if record.deepspeed:
            write_json(prepared.deepspeed, dict(record.deepspeed), lasting=Lasting.NOTHING)
        if has_own_folder(record):
            lay_out(record.code, prepared.work, record.inputs)
            write_files(prepared.work, record.files)
        sync_folder(prepared.home)  # a claimed folder without its record would be somebody's that nobody can name
        return publish_folder(prepared.home, task.attempt(number).home)
    finally:
        if prepared.home.exists():  # it was not published
            import shutil  # here: hardly ever needed

            shutil.rmtree(prepared.home, ignore_errors=True)


def has_own_folder(record: TaskRecord) -> bool:
    """Whether the attempt works in a folder of its own; what earlier versions planned works in the copy of the code."""
    return record.workdir not in ("", record.code.path)


def tidy_up(record: TaskRecord, attempt: AttemptLayout) -> None:
    """Leave of the working folder what the program wrote, and no folder for checkpoints that it did not write."""
    if has_own_folder(record):
        tidy(record.code, attempt.work, record.inputs)
    with contextlib.suppress(OSError):  # there are some
        attempt.checkpoints.rmdir()
        link = TaskLayout(attempt.home.parent).checkpoints
        if link.readlink() == _link_to(attempt):  # a newer attempt's is left
            link.unlink()


def _link_to(attempt: AttemptLayout) -> Path:
    return Path(attempt.home.name) / "checkpoints"


def prepare_task_folder(task: TaskLayout, attempt: AttemptLayout, record: TaskRecord) -> None:
    """Write what a person looks for beside the attempts: the configuration, and a link to the newest checkpoints.

    Both are made anew with the next attempt, should the machine stop before they are on its disk.
    """
    described = {"experiment": record.experiment, "task_id": record.task_id, **record.arguments}
    # Each value in JSON, which YAML 1.2 contains: no YAML library on the compute node.
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in described.items())
    write_text(task.config, text, lasting=Lasting.NOTHING)
    link = temporary_name(task.checkpoints)
    link.symlink_to(_link_to(attempt))
    with contextlib.suppress(IsADirectoryError):  # a program that made the folder itself keeps it
        os.replace(link, task.checkpoints)
    link.unlink(missing_ok=True)


class Watch:
    """Looks whether an attempt may go on: no newer one exists, and its folder is still the one that was claimed."""

    def __init__(self, task: TaskLayout, attempt: AttemptLayout) -> None:
        self._task = task
        self._attempt = attempt
        self._inode = _inode(attempt.home)
        self._missed = False

    def __call__(self) -> Loss | None:
        """Say why it has to go; a folder counts as removed when two looks miss it, because a file system may hiccup."""
        if last_attempt(self._task) > self._attempt.number:
            return Loss.FENCED
        missed_before, self._missed = self._missed, not self.is_ours()
        return Loss.REMOVED if self._missed and missed_before else None

    def is_ours(self) -> bool:
        """Whether the folder is the one that was claimed; another execution's, or one made anew, is not."""
        return _inode(self._attempt.home) == self._inode


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None
