"""Runs that stand although other code made them than the plan names now: which, what changed, and the way to run them.

Planning again keeps what was run. That is meant, and must not go without a word: the numbers are those of the code
before. Only the user's own code counts; an upgrade of ours is no change of it.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from hpc.adapters.code_snapshot import Files, LinkTo
from hpc.adapters.files import readable_record
from hpc.adapters.manifest_store import readable_indices
from hpc.core.errors import HpcError
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.prose import SUFFIXES as PROSE
from hpc.core.prose import is_manifest
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Code
from hpc.core.records.task import TaskRecord
from hpc.core.words import FEW, counted, few
from hpc.snapshots.remembered import Began, Ended
from hpc.submissions.on_disk import is_used, list_attempts, list_runs

OTHER_CODE = "other_code"
"""What `collect --again` calls the finished ones of these runs."""


@immutable
class Made:
    """A run that counts, or will: finished, or at work, or waiting in a queue.

    Attributes:
        code: The copy of the code it was, or will be, made with.
        is_finished: Whether its result is there.
    """

    run_name: str
    code: Code
    is_finished: bool


@immutable
class OtherCode:
    """The runs of other code.

    Attributes:
        finished: Those with a result.
        unfinished: Those that run or wait with the earlier code.
        files: What changed since, by name; none where a copy to compare with is gone.
    """

    finished: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


Newest = Callable[[], Mapping[str, tuple[Began | None, Ended | None]]]
"""Tells run → its newest attempt and how that ended, where somebody has read them already."""


def find_other_code(
    layout: RunLayout, manifest: Mapping[str, Any], files: Files | None = None, newest: Newest | None = None
) -> OtherCode:
    """Find the runs of a plan that other code made, by the run folder alone.

    Args:
        files: The planned code where no copy of it is made yet.
        newest: What is read of it already; the records of other runs are read.
    """
    planned = manifest["provenance"]["code"]
    if not _has_copies(layout, planned["path"]):
        return OtherCode()
    by_copy: dict[str, list[Made]] = defaultdict(list)
    for made in _made(layout, manifest, newest):
        if made.code.sha256 != planned["sha256"]:
            by_copy[made.code.path].append(made)
    now = Path(planned["path"]) if files is None else files
    named: dict[str, None] = {}
    found: list[Made] = []
    for copy, runs in by_copy.items():
        changed = changed_files(Path(copy), now, _project(manifest))
        if changed is None or changed:
            found += runs
            named |= dict.fromkeys(changed or ())
    finished = tuple(each.run_name for each in found if each.is_finished)
    return OtherCode(finished, tuple(each.run_name for each in found if not each.is_finished), tuple(named))


def _has_copies(layout: RunLayout, planned: str) -> bool:
    """Whether there is any copy of the code but the planned one: without, nothing can have been made by another."""
    if not layout.code.is_dir():
        return layout.tasks.is_dir()  # removed: what the records say is all there is
    return any(each.is_dir() and str(each) != planned for each in layout.code.iterdir())


def _made(layout: RunLayout, manifest: Mapping[str, Any], newest: Newest | None) -> Iterator[Made]:
    submitted: Mapping[str, Code] | None = None  # a thousand entries are read where a task of them has not begun
    begun, known = set(list_runs(layout)), newest() if newest else {}
    for task in manifest["tasks"]:
        name = task["run_name"]
        record, ended = (known.get(name) or newest_records(layout, name)) if name in begun else (None, None)
        if record is None:
            submitted = _submitted(layout) if submitted is None else submitted
            if code := submitted.get(task["task_id"]):
                yield Made(name, code, is_finished=False)
        elif record.task_id == task["task_id"] and (ended is None or ended.is_done):
            yield Made(name, record.code, is_finished=ended is not None)


def _submitted(layout: RunLayout) -> Mapping[str, Code]:
    """Task → the copy of the code that its newest submission names."""
    used = (index for each, index in readable_indices(layout) if is_used(each))
    return {entry.task_id: index.code for index in used for entry in index.entries}


def newest_records(layout: RunLayout, run_name: str) -> tuple[TaskRecord | None, ExitRecord | None]:
    """The newest attempt of a run and how it ended; what cannot be read is named by `status`."""
    numbers = list_attempts(layout, run_name)
    if not numbers:
        return None, None
    attempt = layout.task(run_name).attempt(numbers[-1])
    return readable_record(attempt.task_json, TaskRecord), readable_record(attempt.exit_json, ExitRecord)


def has_failed(layout: RunLayout, run_names: Iterable[str]) -> bool:
    """Whether the newest attempt of any of these runs ended without a result, by its own record."""
    ends = (newest_records(layout, name)[1] for name in run_names)
    return any(ended is not None and not ended.is_done for ended in ends)


def _project(manifest: Mapping[str, Any]) -> Path | None:
    recorded = manifest["provenance"].get("project")
    return Path(recorded["folder"]) if isinstance(recorded, dict) and isinstance(recorded.get("folder"), str) else None


def changed_files(before: Path, now: Path | Files, project: Path | None = None) -> list[str] | None:
    """Name the files of the user's code in which two copies differ; None where one of them is gone.

    Args:
        now: A copy, or what will be one.
        project: Where the code is from: what lies in there is the user's, though it be called as ours.
    """
    if not before.is_dir() or (isinstance(now, Path) and not now.is_dir()):
        return None
    then, later = _files(before), _files(now) if isinstance(now, Path) else now
    ours = _own_packages(then, later, project)
    return [
        name for name in sorted({*then, *later})
        if not name.startswith((*ours, "docs/")) and not is_manifest(PurePath(name))
        and not _is_same(then.get(name), later.get(name))
        and not (PurePath(name).suffix in PROSE and not (name in then and name in later))  # once all of it was copied
    ]  # fmt: skip


def _own_packages(before: Files, now: Files, project: Path | None) -> tuple[str, ...]:
    """Folders of a copy that hold our packages: earlier versions put them beside the user's files."""
    if "hpc/run_task.py" not in {*before, *now}:
        return ()
    has_training = project is not None and (project / "train").is_dir()
    return ("hpc/",) if has_training else ("hpc/", "train/")


def _files(copy: Path) -> Files:
    """What a copy holds, whoever put it there."""
    found: dict[str, Path | LinkTo] = {}
    for parent, folders, files in os.walk(copy):
        folders[:] = [name for name in folders if name != "__pycache__"]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for path in (Path(parent, name) for name in (*files, *links)):
            found[str(path.relative_to(copy))] = LinkTo(str(path.readlink())) if path.is_symlink() else path
    return found


def _is_same(one: Path | LinkTo | None, other: Path | LinkTo | None) -> bool:
    if not isinstance(one, Path) or not isinstance(other, Path):
        return one == other
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def describe_other_code(
    layout: RunLayout, manifest: Mapping[str, Any], files: Files | None = None, newest: Newest | None = None
) -> list[str]:
    """Say which runs other code made, what changed, and how to run them with what is planned; one sentence each.

    Args:
        files: The planned code where no copy of it is made yet.
        newest: As `find_other_code`.
    """
    try:
        found = find_other_code(layout, manifest, files, newest)
    except (HpcError, OSError):  # a warning is no reason to end a command
        return []
    name, since = layout.experiment, f"changed since: {few(found.files)}" if found.files else "its copy is gone"
    lines = []
    if found.finished:
        have = counted(len(found.finished), "run has", "runs have")
        lines.append(
            f"{have} a result made by other code ({since}): {few(found.finished)}. "
            f"To run {'them' if len(found.finished) > 1 else 'it'} again with the planned code: "
            f"python -m hpc.collect {name} --retry-failed --again {OTHER_CODE}"
        )
    if found.unfinished:
        are = counted(len(found.unfinished), "run is", "runs are")
        lines.append(
            f"{are} running or waiting with other code ({since}): {few(found.unfinished)}. "
            f"To stop: python -m hpc.cancel {name} {' '.join(found.unfinished[:FEW])}"
        )
    return lines
