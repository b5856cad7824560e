"""A run of another experiment that a task starts from: whether it has finished, and the digest of what it left.

Only files are asked: the wrapper on the node does, and the commands that submit. Standard library only.
"""

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from hpc.adapters.files import read_json_or_none, read_record_or_none, readable_record
from hpc.core.errors import HpcError
from hpc.core.layout import RunLayout, TaskLayout, attempt_number
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Source, Used
from hpc.core.records.task import TaskRecord

_REWRITTEN = ("config.yaml", "metrics.json", "checkpoints")
"""What a later attempt writes anew in the task's folder."""


class NotFinishedError(HpcError):
    """A run cannot be started from."""


def find_finished(root: Path, source: Source) -> Used:
    """Find the finished attempt of a run: the newest, by the record of its end.

    Raises:
        NotFinishedError: It is not there, has not finished, or is a run of other settings.
        OSError: Its folder cannot be read.
    """
    task = RunLayout(root, source.experiment).task(source.run_name)
    number = _newest(task)
    if not number:
        raise NotFinishedError("has not begun")
    attempt = task.attempt(number)
    try:
        record, ended = (
            read_record_or_none(attempt.task_json, TaskRecord),
            read_record_or_none(attempt.exit_json, ExitRecord),
        )
        summary = read_json_or_none(attempt.home / "summary.json")
    except HpcError as error:
        raise NotFinishedError(f"cannot be read: {error}") from None
    if record is None or record.task_id != source.task_id:
        raise NotFinishedError("is a run of other settings")
    if ended is None:
        raise NotFinishedError(f"has not ended (attempt {number})")
    if not ended.is_done:
        how = f"signal {ended.signal}" if ended.exit_code is None else f"exit code {ended.exit_code}"
        raise NotFinishedError(f"ended with {how} (attempt {number})")
    if isinstance(summary, dict) and summary.get("complete") is False:
        raise NotFinishedError(f"left no complete metrics (attempt {number})")
    digest = _digest(task, number)
    return Used(source.experiment, source.run_name, source.task_id, number, str(attempt.home), digest, source.is_named)


def _newest(task: TaskLayout) -> int:
    """Number of the newest attempt; 0 where there is none."""
    names = (path.name for path in task.home.iterdir()) if task.home.is_dir() else iter(())
    return max((attempt_number(name) or 0 for name in names), default=0)


def repeated_since(root: Path, uses: Iterable[Used]) -> tuple[str, ...]:
    """Name the runs among those an attempt started from that were begun anew since, each with both attempts.

    A run whose folder is gone, or whose files were touched, was not repeated.
    """
    return tuple(told for used in uses if (told := _repeated(root, used)))


def _repeated(root: Path, used: Used) -> str:
    task = RunLayout(root, used.experiment).task(used.run_name)
    try:
        number = _newest(task)
    except OSError:
        return ""
    old = f"attempt {used.attempt} of {used.experiment}/{used.run_name}"
    if number > used.attempt:
        return f"{old}, which has an attempt {number} since"
    record = readable_record(task.attempt(number).task_json, TaskRecord) if number else None
    return f"{old}, which is a run of other settings now" if record and record.task_id != used.task_id else ""


def _digest(task: TaskLayout, number: int) -> str:
    """Name what a run left: records and small files beside by content, the rest by name, size and time."""
    attempt, digest = task.attempt(number), sha256()
    for path in (attempt.task_json, attempt.exit_json):
        digest.update(path.read_bytes())
    for line in sorted(_lines(task, attempt.home)):
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _lines(task: TaskLayout, attempt: Path) -> Iterator[str]:
    own = [attempt / "checkpoints", attempt / "work"]
    beside = [path for path in task.home.iterdir() if not _is_ours(path.name)]
    for top in (*own, *beside):
        for path in [top] if top.is_file() else _files(top):
            found = path.lstat()
            yield f"{path.relative_to(task.home)}\0{found.st_size}\0{found.st_mtime_ns}\n"


def _is_ours(name: str) -> bool:
    return name in _REWRITTEN or name.startswith(".") or attempt_number(name) is not None


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
