"""Every experiment below a root as a row: from small files and what was collected last, in bounded time.

One that cannot be read is a row that says so. After `PATIENCE_S` seconds the rest is listed by name and age alone.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import read_json_or_none, readable_record
from hpc.adapters.manifest_store import load_manifest
from hpc.core.errors import HpcError
from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import field, immutable
from hpc.core.layout import RunLayout
from hpc.core.records.hold import Hold
from hpc.core.slurm.successors import Course
from hpc.rounds.values_now import asked_of_entries, best_of, measured_in, primary_of
from hpc.workspace import Workspace

PATIENCE_S = 3.0
UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))


@immutable
class Row:
    """One experiment.

    Attributes:
        name: Its name.
        planned: Unix time of its newest plan.
        tasks: How many; None where that is not known.
        outcomes: Tasks by outcome as they were collected last; empty before the first collection.
        collected: Unix time of that; None before.
        best: The best configuration so far, in words; empty where nothing is measured.
        state: ``held``, ``followed``, both or neither.
        problem: Why it cannot be told more; empty where it can.
        hold: Why it is held; empty where it is not.
    """

    name: str
    planned: float
    tasks: int | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    collected: float | None = None
    best: str = ""
    state: tuple[str, ...] = ()
    problem: str = ""
    hold: str = ""


def list_rows(workspace: Workspace) -> Iterator[Row]:
    """Look at each experiment, the newest first, for as long as the patience lasts."""
    end = time.monotonic() + PATIENCE_S
    for path in sorted(_homes(workspace.root), key=lambda each: -_planned(each)):
        layout = RunLayout(workspace.root, path.name)
        if time.monotonic() > end:
            yield Row(layout.experiment, _planned(path), problem="not read: there are many, or the disk is slow")
        else:
            yield look(workspace, layout)


def _homes(root: Path) -> Iterator[Path]:
    """The folders that hold a plan."""
    try:
        found = sorted(root.iterdir())
    except OSError:
        return
    yield from (path for path in found if not path.name.startswith(".") and _planned(path))


def _planned(home: Path) -> float:
    """When the newest plan was written; 0 where there is none to be seen."""
    for place in (home / "manifest.json", home / "manifests"):
        try:
            return place.stat().st_mtime
        except OSError:
            continue
    return 0.0


def look(workspace: Workspace, layout: RunLayout) -> Row:
    """Look at one experiment; whatever is wrong with it is said in its row."""
    row = Row(layout.experiment, _planned(layout.home))
    try:
        workspace.refuse_foreign(layout, acts=False)
        return _read(layout, row)
    except (HpcError, OSError) as error:
        return Row(row.name, row.planned, problem=str(error).splitlines()[0])
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # a file of another kind, or of a later version
        return Row(row.name, row.planned, problem=f"holds what this version cannot read ({type(error).__name__})")


def _read(layout: RunLayout, row: Row) -> Row:
    manifest = load_manifest(layout)
    tasks = [task["task_id"] for task in manifest["tasks"]]
    known = read_entries(layout)
    entries = [known[task] for task in tasks if task in known]
    counts = Counter(entry["outcome"] for entry in entries)
    if entries and len(entries) < len(tasks):
        counts[Outcome.PLANNED.value] += len(tasks) - len(entries)
    spec = asked_of_entries(layout, manifest, entries)
    best = best_of(spec, measured_in(entries, primary_of(spec)[0]))
    return Row(
        row.name, row.planned, len(tasks), dict(counts), _collected(layout) if entries else None,
        str(best) if best else "", tuple(_state(layout)), hold=_hold(layout),
    )  # fmt: skip


def _collected(layout: RunLayout) -> float | None:
    try:
        return layout.verdicts.stat().st_mtime
    except OSError:
        return None


def _hold(layout: RunLayout) -> str:
    present = readable_record(layout.hold, Hold)
    return present.reason if present else ""


def _state(layout: RunLayout) -> Iterator[str]:
    if layout.hold.exists():
        yield "held"
    state: Any = read_json_or_none(layout.follow_state)
    if isinstance(state, dict) and state.get("course") == Course.GOES_ON.value:
        yield "followed"


def age(seconds: float) -> str:
    """How long, in the largest whole unit."""
    for unit, length in UNITS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
