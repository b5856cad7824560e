"""Foreign runs as an experiment of ours: a plan, so that what is missing shows, and each run as an adopted attempt.

Nothing is invented. A run that is whole has its numbers and the time its files were written; one that is not has its
numbers and no end; what the names leave out of the grid was never started.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from hpc.adapters.files import make_folder, write_json
from hpc.adapters.manifest_store import SCHEMA, manifest_sha, save_manifest, task_to_json
from hpc.adapters.progress import through
from hpc.adapters.yaml_file import YamlDocument
from hpc.core.checks.draft import RESERVED
from hpc.core.errors import InputError, nearest
from hpc.core.experiment.grid import expand
from hpc.core.experiment.slug import is_plain
from hpc.core.experiment.spec import ExperimentSpec, Task, Value
from hpc.core.layout import RunLayout
from hpc.core.profile import ClusterProfile
from hpc.core.program.naming import goal_of
from hpc.core.question.seal import content_digest
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Code
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Resources
from hpc.experiments.schema import experiment_from
from hpc.experiments.sealing import seal_plan
from hpc.metrics import MetricsWriter
from hpc.newcomer.foreign_runs import ForeignRun

SPARSE = 2
"""A grid of so many times the configurations that are there is no grid: what is there is listed instead."""


@dataclass(frozen=True)
class Adoption:
    """Foreign runs and the experiment they become.

    Attributes:
        spec: The experiment.
        tasks: All that the grid asks, also those that nobody ran.
        runs: Task id → the run that is its result.
    """

    spec: ExperimentSpec
    tasks: tuple[Task, ...]
    runs: Mapping[str, ForeignRun]

    @property
    def unfinished(self) -> dict[str, str]:
        """Run name → why it is not whole."""
        return {
            task.run_name: self.runs[task.task_id].unfinished
            for task in self.tasks
            if task.task_id in self.runs and self.runs[task.task_id].unfinished
        }

    @property
    def missing(self) -> list[str]:
        """Run names that the grid asks for and nobody ran."""
        return [task.run_name for task in self.tasks if task.task_id not in self.runs]


def make_adoption(
    name: str, pattern: str, runs: Sequence[ForeignRun], metric: str | None, goal: str | None
) -> Adoption:
    """Make an experiment of foreign runs.

    Raises:
        InputError: The metric is not among their numbers, or several could be meant; a name or value cannot be one.
    """
    chosen = choose_metric(runs, metric)
    names = list(runs[0].parameters)
    command = " ".join(["adopted", *(f"--{each} {{{each}}}" for each in names), "--seed {seed}", "{task_json}"])
    document: dict[str, Any] = {
        "name": name,
        "type": "hyperparameter_sweep",
        "brief": {"goal": "What runs say that were made without a plan.", "stage": "exploratory"},
        "program": {"command": command, "args": _constants(runs)},
        "sweep": {**_space(runs, names), "seeds": sorted({run.seed for run in runs})},
        "metrics": {"primary": {"name": chosen, "goal": goal or goal_of(chosen)}, "source": {"json_file": "adopted"}},
        "retry": {"max_attempts": 1},
        "run_name": _run_name(pattern, runs),
    }
    spec = experiment_from(YamlDocument(document, source=f"the runs called {pattern}"))
    tasks = expand(spec)
    by_key = {_key(task.parameters, task.seed): task.task_id for task in tasks}
    return Adoption(spec, tasks, {by_key[_key(run.parameters, run.seed)]: run for run in runs})


def _run_name(pattern: str, runs: Sequence[ForeignRun]) -> str:
    """Their own names, but for what no folder of ours can be called."""
    name = pattern.replace("/", "_") if "{seed}" in pattern else f"{pattern.replace('/', '_')}_S{{seed}}"
    for each in runs[0].parameters:
        if any(isinstance(value := run.parameters[each], str) and not is_plain(value) for run in runs):
            name = name.replace(f"{{{each}}}", f"{{{each}:slug}}")
    return name


def choose_metric(runs: Sequence[ForeignRun], metric: str | None) -> str:
    """The metric that is asked for, or the only one there is.

    Raises:
        InputError: There is none of that name, or several could be meant.
    """
    found = sorted({name for run in runs for each in run.readings for name in each.values})
    if not found:
        raise InputError("no numbers were found in any run; say where they are with --metrics (see --help)")
    if metric is None and len(found) > 1:
        raise InputError(f"which number decides? Add --metric, one of: {', '.join(found)}")
    if metric is not None and metric not in found:
        raise InputError(f"--metric {metric!r} is not among their numbers; {nearest(metric, found)}")
    return metric or found[0]


def _space(runs: Sequence[ForeignRun], names: Sequence[str]) -> dict[str, Any]:
    """The sweep that these runs are part of: a grid where they fill most of one, else what is there."""
    if not names:
        return {}
    rows = list(dict.fromkeys(tuple(run.parameters[name] for name in names) for run in runs))
    values = {name: list(dict.fromkeys(row[place] for row in rows)) for place, name in enumerate(names)}
    if prod(map(len, values.values())) <= SPARSE * len(rows):
        return {"grid": {name: _ordered(found) for name, found in values.items()}}
    return {"zip": {name: [row[place] for row in rows] for place, name in enumerate(names)}}


def _ordered(values: Sequence[Value]) -> list[Value]:
    numbers = [each for each in values if isinstance(each, int | float)]
    return [*sorted(numbers)] if len(numbers) == len(values) else list(values)


def _constants(runs: Sequence[ForeignRun]) -> dict[str, Any]:
    """Settings that every run's configuration has with the same value, and that can be arguments."""
    configs = [run.config for run in runs if run.config]
    taken = {*runs[0].parameters, *RESERVED}  # a setting may be called as we call something else: it stays theirs
    first = configs[0] if configs else {}
    return {
        name: value
        for name, value in first.items()
        if name.isidentifier() and name not in taken and all(each.get(name) == value for each in configs)
        and len(str(value)) < 200 and str(value).isprintable()
    }  # fmt: skip


def _key(parameters: Mapping[str, Value], seed: int) -> tuple[object, ...]:
    return (*sorted((name, repr(value)) for name, value in parameters.items()), seed)


def write_adoption(layout: RunLayout, adoption: Adoption, origin: Path) -> None:
    """Write the experiment: seal, attempts, and the manifest last.

    Raises:
        InputError: There is an experiment of that name already.
    """
    if layout.home.exists() and any(layout.home.iterdir()):
        raise InputError(f"{layout.home} already exists; choose another --name, or move it away")
    make_folder(layout.home, 0o700)
    manifest = _manifest(layout, adoption, origin)
    seal_plan(layout, manifest)
    for task in through("writing runs", adoption.tasks):
        if task.task_id in adoption.runs:
            _write_run(layout, task, adoption.runs[task.task_id], manifest, adoption.spec.metrics.primary.name)
    save_manifest(layout, manifest)


def _manifest(layout: RunLayout, adoption: Adoption, origin: Path) -> dict[str, Any]:
    spec = adoption.spec
    manifest: dict[str, Any] = {
        "kind": "manifest",
        "schema": SCHEMA,
        "experiment": layout.experiment,
        "spec": dict(spec.raw),
        "tasks": [task_to_json(task) for task in adoption.tasks],
        "provenance": {
            "created": time.time(),
            "adopted": str(origin),
            "git": None,
            "code": {"path": str(layout.code / "none"), "sha256": ""},
            "image": None,
            "packages": {},
            "python": "",
        },
        "cluster": asdict(ClusterProfile(name="adopted", scheduler="local", apptainer="", python=sys.executable)),
        "seal": content_digest(spec.raw),
    }
    return {**manifest, "sha256": manifest_sha(manifest)}


def _write_run(layout: RunLayout, task: Task, run: ForeignRun, manifest: Mapping[str, Any], metric: str) -> None:
    """One run as the first attempt of its task."""
    attempt = layout.task(task.run_name).attempt(1)
    make_folder(attempt.home)
    record = TaskRecord(
        task_id=task.task_id,
        run_name=task.run_name,
        attempt=1,
        submission=0,
        job="adopted",
        restart_count=0,
        scheduler="local",
        started=run.ended,
        resources=Resources(),
        code=Code(path=str(layout.code / "none"), sha256=""),
        experiment=layout.experiment,
        parameters=dict(task.parameters),
        seed=task.seed,
        case=task.case,
        primary_metric=metric,
        manifest_sha=manifest["sha256"],
        seal=manifest["seal"],
        adopted=str(run.folder),
    )
    write_json(attempt.task_json, record.to_json())
    _write_numbers(attempt.metrics, run, record)
    if not run.unfinished:
        write_json(attempt.exit_json, ExitRecord(exit_code=0, started=run.ended, ended=run.ended).to_json())


def _write_numbers(path: Path, run: ForeignRun, record: TaskRecord) -> None:
    """What was read, as ``metrics.h5``; complete only where the run is."""
    if not run.readings:
        return
    told: dict[str, Any] = {
        "experiment": record.experiment, "task_id": record.task_id, "run_name": record.run_name, "attempt": 1,
        "manifest_sha": record.manifest_sha, "image_sha256": "", "git_commit": "",
    }  # fmt: skip
    writer = MetricsWriter(path, **told)
    for count, reading in enumerate(run.readings, start=1):
        writer.log(count if reading.step is None else reading.step, reading.values)
    if not run.unfinished:
        names = dict.fromkeys(name for reading in run.readings for name in reading.values)
        writer.summary({name: value for name in names if (value := run.final(name)) is not None})
    writer.close(complete=not run.unfinished)
