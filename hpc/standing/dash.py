"""One static page of all experiments below a root: ``hpc dash`` writes it, the unattended loop keeps it fresh.

Everything in it was on disk: small files and what was collected last. Nothing is fetched and nothing is executed; what
came from outside is escaped by the template.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import write_text
from hpc.adapters.manifest_store import load_manifest
from hpc.console import spelled
from hpc.core.errors import HpcError
from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.picture import OUTCOME_STYLES, height, thin
from hpc.core.printable import one_line
from hpc.core.words import counted, rounded
from hpc.rounds.values_now import asked_of_entries, primary_of
from hpc.standing.listed import Row, age, list_rows
from hpc.workspace import Workspace

NAME = "dash.html"
REFRESH_S = 60
"""Seconds after which a browser reads the page again."""
POINTS = 60
WIDTH, HEIGHT, EDGE = 300, 48, 3
_TEMPLATES = Path(__file__).parents[1] / "templates"


@immutable
class Shown:
    """One experiment on the page.

    Attributes:
        row: As `hpc ls` lists it.
        age, collected: How long ago it was planned and collected, in words.
        counts: Outcome and tasks, in the order of the bar.
        classes: Failure class and tasks, the most frequent first.
        points: The primary metric of finished runs as they ended, as an SVG polyline; empty for fewer than two
            values that differ.
        told: The same in words.
        report: Address of the report, relative to the page; empty where there is none.
    """

    row: Row
    age: str
    collected: str
    counts: Sequence[tuple[str, int]]
    classes: Sequence[tuple[str, int]]
    points: str
    told: str
    report: str


def write_dash(workspace: Workspace, path: Path) -> int:
    """Write the page, readable by its owner as reports are; return how many experiments it shows.

    Raises:
        OSError: It cannot be written; the page before is untouched.
    """
    shown = [look(workspace, row, path.absolute().parent) for row in list_rows(workspace)]
    write_text(path, render(workspace.root, shown, time.time()), parents=False)
    return len(shown)


def refresh_dash(root: Path) -> str:
    """Write the page below a root anew where there is one; say why that failed, empty where it did not."""
    path = root / NAME
    if not path.is_file():
        return ""
    try:
        write_dash(Workspace(Path.cwd(), root), path)
    except Exception as error:  # whatever is wrong with a page for people, the loop goes on
        return f"{type(error).__name__}: {error}"
    return ""


def look(workspace: Workspace, row: Row, folder: Path) -> Shown:
    """Look at what a row does not tell; nothing of one that cannot be read.

    Args:
        folder: Where the page is.
    """
    layout, now = RunLayout(workspace.root, row.name), time.time()
    try:
        values, metric, failed = _collected(layout) if not row.problem else ([], "", {})
    except (HpcError, OSError, KeyError, TypeError, ValueError, AttributeError):  # the row stands
        values, metric, failed = [], "", {}
    report = layout.report / "report.html"
    told = ""
    if len(values) > 1:
        span = f"{rounded(values[0], 4)} to {rounded(values[-1], 4)}"
        told = f"{metric} of {counted(len(values), 'run')} as they ended: {span}"
    return Shown(
        row=row,
        age=age(now - row.planned),
        collected=age(now - row.collected) if row.collected is not None else "",
        counts=[(name, row.outcomes[name]) for name in OUTCOME_STYLES if row.outcomes.get(name)],
        classes=sorted(failed.items(), key=lambda each: (-each[1], each[0])),
        points=polyline(values) if len(set(values)) > 1 else "",
        told=told,
        report=quote(os.path.relpath(report, folder)) if report.is_file() and not row.problem else "",
    )


def _collected(layout: RunLayout) -> tuple[list[float], str, Mapping[str, int]]:
    """Values of the primary metric in the order their runs ended, its name, and failed tasks by class."""
    manifest, known = load_manifest(layout), read_entries(layout)
    entries = [known[task["task_id"]] for task in manifest["tasks"] if task["task_id"] in known]
    metric = primary_of(asked_of_entries(layout, manifest, entries))[0]
    failed = Counter(
        str(entry.get("failure_class") or "unknown") for entry in entries if entry["outcome"] == Outcome.FAILED
    )
    ended = [each for entry in entries if (each := _ended(entry, metric))]
    return [value for _, value in sorted(ended)], metric, failed


def _ended(entry: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """When a finished, unaltered run ended, and its value; None for any other."""
    value = entry["summary"].get(metric)
    told = entry["attempts"][-1].get("ended") if entry["attempts"] else None
    is_result = entry["outcome"] == Outcome.FINISHED and not entry.get("altered")
    if not is_result or not isinstance(value, int | float) or not isinstance(told, int | float):
        return None
    return float(told), float(value)


def polyline(values: Sequence[float]) -> str:
    """A curve as the points of an SVG polyline of `WIDTH` × `HEIGHT`; empty for fewer than two."""
    means = [value for value in thin(values, POINTS) if value is not None]
    if len(means) < 2:
        return ""
    low, high = min(means), max(means)
    step = (WIDTH - 2 * EDGE) / (len(means) - 1)
    inside = HEIGHT - 2 * EDGE
    return " ".join(
        f"{EDGE + each * step:.1f},{EDGE + inside * (1 - height(value, low, high)):.1f}"
        for each, value in enumerate(means)
    )


def render(root: Path, shown: Sequence[Shown], now: float) -> str:
    """Render the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["shown"] = lambda text: one_line(spelled(str(text)))
    environment.globals["counted"] = counted
    when = time.localtime(now)
    return environment.get_template("dash.html.j2").render(
        root=one_line(str(root)),
        shown=shown,
        refresh_s=REFRESH_S,
        iso=time.strftime("%Y-%m-%dT%H:%M:%S%z", when),
        clock=time.strftime("%Y-%m-%d %H:%M", when),
    )
