"""Results that stand although what they were made from was made anew: evaluations of an earlier attempt of a run.

A run of another experiment (``{run:train}``, `after`) may be repeated after a task that started from it has finished.
The result stands, since nothing of it is wrong, but it is no more what the reader takes it for.
"""

from collections.abc import Mapping
from typing import Any

from hpc.adapters.finished_run import repeated_since
from hpc.core.launch.program import experiments_before
from hpc.core.layout import RunLayout
from hpc.core.words import counted, few
from hpc.snapshots.other_code import Newest, newest_records

OUTDATED = "outdated"
"""What `collect --again` calls these runs."""


def find_outdated(
    layout: RunLayout, manifest: Mapping[str, Any], newest: Newest | None = None
) -> dict[str, tuple[str, ...]]:
    """Finished run → what of that it started from was repeated since; empty for an experiment that comes after none.

    Args:
        newest: What is read of its runs already; the records of others are read.
    """
    if not experiments_before(manifest["spec"]):
        return {}
    found, known = {}, newest() if newest else {}
    for task in manifest["tasks"]:
        record, ended = known.get(task["run_name"]) or newest_records(layout, task["run_name"])
        if record and ended and ended.is_done and record.task_id == task["task_id"]:
            found[task["run_name"]] = repeated_since(layout.root, record.uses)
    return {name: repeated for name, repeated in found.items() if repeated}


def describe_outdated(layout: RunLayout, manifest: Mapping[str, Any], newest: Newest | None = None) -> list[str]:
    """Say which results are outdated and how to make them anew, in one sentence; none where none is.

    Args:
        newest: As `find_outdated`.
    """
    found = find_outdated(layout, manifest, newest)
    if not found:
        return []
    sources = list(dict.fromkeys(each for repeated in found.values() for each in repeated))
    them = "them" if len(found) > 1 else "it"
    runs = counted(len(found), "finished run is", "finished runs are")
    return [
        f"{runs} outdated: made from {few(sources, between='; ')}: {few(list(found))}. To run {them} again: "
        f"python -m hpc.collect {layout.experiment} --retry-failed --again {OUTDATED}"
    ]
