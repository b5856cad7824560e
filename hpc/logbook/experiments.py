"""The toolkit's own experiments in the log: read from what was planned and collected, and never written."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import read_json_or_none
from hpc.core.errors import HpcError
from hpc.core.experiment.values import render_value
from hpc.core.history.command import parse_command
from hpc.core.history.entries import Entry, State, Worked
from hpc.core.history.page import escape
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout
from hpc.core.words import counted
from hpc.workspace import Workspace


@immutable
class Planned:
    """What the toolkit knows.

    Attributes:
        experiments: One entry each: the settings and results of its best run, and how many are done.
        runs: Every run that was collected, named ``EXPERIMENT/RUN``.
    """

    experiments: tuple[Entry, ...] = ()
    runs: tuple[Entry, ...] = ()


def find_planned(workspace: Workspace) -> Planned:
    """Look at each experiment below the root; one that cannot be read is left out, `hpc ls` says why."""
    experiments: list[Entry] = []
    runs: list[Entry] = []
    for path in sorted(workspace.root.glob("*/manifest.json")):
        layout = RunLayout(workspace.root, path.parent.name)
        try:
            workspace.refuse_foreign(layout, acts=False)
            manifest: Any = read_json_or_none(layout.manifest)
            own = list(_runs(layout, manifest["spec"]))
            experiments.append(_experiment(layout, manifest, own))
        except (HpcError, OSError, KeyError, TypeError, ValueError, AttributeError):
            continue
        runs += own
    return Planned(tuple(experiments), tuple(runs))


def _experiment(layout: RunLayout, manifest: Mapping[str, Any], runs: list[Entry]) -> Entry:
    spec = manifest["spec"]
    name, goal = _primary(spec)
    measured = [run for run in runs if name in run.results and run.state is State.FINISHED]
    best = (min if goal == "min" else max)(measured, key=lambda run: run.results[name], default=None)
    counts = Counter(run.state for run in runs)
    tasks = counted(len(manifest["tasks"]), "task")
    told = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    return Entry(
        layout.experiment,
        _when(layout.manifest),
        f"hpc plan {layout.experiment}",
        _program(spec),
        best.parameters if best else {},
        goal=escape(str((spec.get("brief") or {}).get("goal") or "")),
        state=State.FINISHED if runs and counts[State.FINISHED] == len(manifest["tasks"]) else State.RUNNING,
        results={name: best.results[name]} if best else {},
        goals={name: goal},
        experiment=layout.experiment,
        told=f"{told} of {tasks}" if told else f"planned, {tasks}",
    )


def _primary(spec: Mapping[str, Any]) -> tuple[str, str]:
    """The metric that decides, and whether lower or higher is better."""
    primary = spec["metrics"]["primary"]
    return str(primary["name"]), str(primary.get("goal") or "min")


def _runs(layout: RunLayout, spec: Mapping[str, Any]) -> Iterator[Entry]:
    program, planned, goals = _program(spec), _when(layout.manifest), dict([_primary(spec)])
    for entry in read_entries(layout).values():
        if entry.get("altered"):
            continue
        parameters = {str(name): render_value(value) for name, value in (entry.get("parameters") or {}).items()}
        if entry.get("seed") is not None:
            parameters["seed"] = render_value(entry["seed"])
        if entry.get("case") is not None:
            parameters["case"] = str(entry["case"])
        found = Entry(
            f"{layout.experiment}/{entry['run_name']}", planned, program=program, parameters=parameters,
            experiment=layout.experiment, state=_state(entry), told=_failure(entry), goals=goals,
            worked=tuple(_worked(entry)),
        )  # fmt: skip
        yield replace(found, results=_numbers(entry["summary"])) if found.state is State.FINISHED else found


def _state(entry: Mapping[str, Any]) -> State:
    if entry["outcome"] == "finished":
        return State.FINISHED
    verdict = entry["attempts"][-1].get("verdict") if entry["attempts"] else None
    if verdict and verdict.get("category") == "divergence":
        return State.DIVERGED
    return State.FAILED if entry["outcome"] == "failed" else State.RUNNING


def _worked(entry: Mapping[str, Any]) -> Iterator[Worked]:
    """Each attempt that is over; of those that were adopted nobody knows when they ran and on what."""
    for told in entry["attempts"]:
        times = [told.get(name) for name in ("started", "ended")]
        if told.get("adopted") or not all(isinstance(each, int | float) for each in times):
            continue
        began, ended = map(float, times)
        gpu_seconds, cpus = told.get("gpu_seconds"), told.get("cpus")
        gpus = gpu_seconds / (ended - began) if isinstance(gpu_seconds, int | float) and ended > began else None
        yield Worked(began, ended, gpus, cpus * (told.get("nodes") or 1) if isinstance(cpus, int) else None)


def _failure(entry: Mapping[str, Any]) -> str:
    return f"failed: {entry['failure_class']}" if entry["outcome"] == "failed" and entry.get("failure_class") else ""


def _numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _program(spec: Mapping[str, Any]) -> str:
    program = spec.get("program") or {}
    if program.get("module"):
        return str(program["module"])
    return parse_command([str(program.get("command") or "")]).program


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(timespec="seconds")
