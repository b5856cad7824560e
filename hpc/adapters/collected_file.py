"""What the newest collection says of each task: ``collected/verdicts.json``, read by whoever needs to know it again."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json, readable_record
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from hpc.core.records.aside import SetAside
from hpc.core.words import counted

Entry = Mapping[str, Any]


def read_entries(layout: RunLayout) -> Mapping[str, Entry]:
    """Return the tasks of the newest collection by id; none where there is none, or it cannot be read.

    It is derived, so a damaged one is no error: the next collection replaces it. What was set aside since counts no
    more.
    """
    try:
        status = layout.verdicts.stat()
    except OSError:
        return {}
    entries = _read(layout.verdicts, status.st_mtime_ns, status.st_size, status.st_ino)
    return that_count(layout, entries, status.st_mtime)


def that_count(layout: RunLayout, entries: Mapping[str, Entry], written: float) -> Mapping[str, Entry]:
    """Leave out what was set aside since a collection was written (Unix seconds)."""
    aside = {run.task_id for _, each in read_aside(layout) if each.time > written for run in each.runs}
    return {key: entry for key, entry in entries.items() if key not in aside} if aside else entries


def read_aside(layout: RunLayout) -> list[tuple[Path, SetAside]]:
    """Read what was set aside when plans were changed: each folder with its record, oldest first.

    A record that cannot be read is left out.
    """
    paths = sorted(layout.aside.glob("[0-9]*/aside.json"))
    return [(path.parent, record) for path in paths if (record := readable_record(path, SetAside))]


def describe_aside(layout: RunLayout) -> str:
    """Say in one sentence how many runs were set aside; empty when none was."""
    moved = [run for path, each in read_aside(layout) for run in each.runs if (path / run.run_name).is_dir()]
    if not moved:
        return ""
    with_results = sum(bool(run.result) for run in moved)
    return (
        f"set aside when the plan was changed, and not counted here: {counted(len(moved), 'run')}, "
        f"{with_results or 'none'} with results ({layout.aside})"
    )


@lru_cache(maxsize=1)
def _read(path: Path, *_version: int) -> Mapping[str, Entry]:
    try:
        content = read_json(path)
    except (InputError, OSError):
        return {}
    tasks = content.get("tasks") if isinstance(content, dict) else None
    return {each["task_id"]: each for each in tasks if is_entry(each)} if isinstance(tasks, list) else {}


def is_entry(value: Any) -> bool:
    """Whether this is a task with attempts, as we write them."""
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(key), str) for key in ("task_id", "run_name", "outcome"))
        and isinstance(value.get("summary"), dict)
        and isinstance(value.get("attempts"), list)
        and all(_is_attempt(each) for each in value["attempts"])
    )


def _is_attempt(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("attempt"), int) and _is_verdict(value.get("verdict"))


def _is_verdict(value: Any) -> bool:
    """Whether this is a verdict as we write them, or none yet."""
    if value is None:
        return True
    lines = value.get("evidence") if isinstance(value, dict) else None
    return isinstance(lines, list) and all(isinstance(each, dict) and "text" in each for each in lines)


def finished_runs(layout: RunLayout) -> dict[str, int]:
    """Name the runs that have their results: run name → attempt that gave it."""
    return _runs_that(layout, "finished")


def failed_runs(layout: RunLayout) -> dict[str, int]:
    """Name the runs that were judged to have failed: run name → newest attempt that was judged."""
    return _runs_that(layout, "failed")


def _runs_that(layout: RunLayout, outcome: str) -> dict[str, int]:
    entries = read_entries(layout).values()
    return {
        each["run_name"]: each["attempts"][-1]["attempt"]
        for each in entries
        if each["outcome"] == outcome and each["attempts"]
    }
