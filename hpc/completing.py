"""What a shell offers after TAB: names of experiments, tasks, clusters and logged runs. Fast, silent whatever is wrong.

Imported where a shell asks, by the functions that the options name; a shell that gets nothing offers nothing.
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

Completer = Callable[[click.Context, click.Parameter, str], list[str]]
BUILT_IN = Path(__file__).parent / "profiles"
MOST = 500
"""So many names are offered; who has more types another letter."""


def silently(find: Callable[[click.Context, str], Iterable[str]]) -> Completer:
    """Offer what begins with what was typed, and nothing where anything fails: a prompt is no place for a message."""

    @functools.wraps(find)
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        try:
            found = sorted(set(find(ctx, incomplete)))
        except Exception:  # whatever it is, the next command says it
            return []
        return [name for name in found if name.startswith(incomplete) and name.isprintable()][:MOST]

    return complete


@silently
def experiments(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Experiments that were planned, and those that have a file in the project."""
    from hpc.adapters.project import EXPERIMENTS

    project, _ = _places()
    return [*_planned(), *(path.stem for path in (project / EXPERIMENTS).glob("*.yaml"))]


@silently
def tasks(ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Tasks of the experiment that was named before, but those that were named as well."""
    given = ctx.params.get("runs") or ()
    return [each for each in _tasks_of(ctx.params.get("name")) if each not in given]


@silently
def targets(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """What `hpc why` explains: experiments, and the tasks of the one that was named or of the one planned last."""
    given = ctx.params.get("targets") or ()
    return _tasks_of(given[0]) if given else [*_planned(), *_tasks_of(None), *_paths(incomplete)]


@silently
def runs(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Tasks by their names, and as EXPERIMENT/RUN those of the experiment that was typed."""
    name = ctx.params.get("experiment")
    experiment, is_whole, _ = incomplete.partition("/")
    if is_whole and not name:
        return [f"{experiment}/{each}" for each in _tasks_of(experiment)]
    return [*_tasks_of(name), *(() if name else (f"{each}/" for each in _planned()))]


@silently
def retried(ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """What `--again` takes: classes of failures, and tasks."""
    from hpc.core.failures.evidence import FailureClass

    classes = [each.value for each in FailureClass if each is not FailureClass.SUCCESS]
    return [*classes, "other_code", "outdated", *_tasks_of(ctx.params.get("name"))]


@silently
def logged(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Runs in the experiment log."""
    return (str(each["id"]) for each in _events() if each.get("event") == "start")


@silently
def logged_parameters(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Parameters of the runs in the log, and of the planned experiments' tasks."""
    from hpc.adapters.files import read_json

    root = _places()[1]
    logs = [each.get("parameters") for each in _events()]
    manifests = [read_json(root / name / "manifest.json") for name in _planned()]
    first = [told["tasks"][0].get("parameters") for told in manifests if isinstance(told, dict) and told.get("tasks")]
    return {str(name) for each in (*logs, *first) if isinstance(each, dict) for name in each}


@silently
def clusters(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Profiles of the project, and those that are there in every project."""
    project, _ = _places()
    return [path.stem for folder in (project / "manifests" / "clusters", BUILT_IN) for path in folder.glob("*.yaml")]


def _planned() -> list[str]:
    from hpc.adapters.manifest_store import planned_below

    return list(planned_below(_places()[1]))


def _tasks_of(experiment: str | None) -> list[str]:
    """The tasks of an experiment; without a name, of the one planned last."""
    from hpc.adapters.files import read_json
    from hpc.adapters.manifest_store import newest_experiment

    _, root = _places()
    told = read_json(root / str(experiment or newest_experiment(root)) / "manifest.json")
    return [str(task["run_name"]) for task in told["tasks"]] if isinstance(told, dict) else []


def _events() -> list[Mapping[str, Any]]:
    """What stands in the experiment log."""
    from hpc.adapters.history_file import HistoryFiles

    return HistoryFiles(_places()[1]).read()[1]


def _paths(incomplete: str) -> list[str]:
    """Files and folders that begin so: a log can be explained, too."""
    return [f"{path}/" if path.is_dir() else str(path) for path in Path().glob(f"{incomplete}*")] if incomplete else []


def _places() -> tuple[Path, Path]:
    """The project, and the root of its runs."""
    from hpc.adapters.project import find_project, runs_root

    project = find_project(Path.cwd())
    return project, runs_root(project, os.environ)
