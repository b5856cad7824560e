"""What a shell offers after TAB: names of experiments, tasks and clusters. Fast, and silent whatever is wrong.

Imported where a shell asks, by the functions that the options name; a shell that gets nothing offers nothing.
"""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

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
    from hpc.adapters.manifest_store import planned_below
    from hpc.adapters.project import EXPERIMENTS

    project, root = _places()
    return [*planned_below(root), *(path.stem for path in (project / EXPERIMENTS).glob("*.yaml"))]


@silently
def tasks(ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Tasks of the experiment that was named before, but those that were named as well."""
    from hpc.adapters.files import read_json
    from hpc.adapters.manifest_store import newest_experiment

    _, root = _places()
    name = ctx.params.get("name") or newest_experiment(root)
    given = ctx.params.get("runs") or ()
    told = read_json(root / str(name) / "manifest.json")
    found = [str(task["run_name"]) for task in told["tasks"]] if isinstance(told, dict) else []
    return [each for each in found if each not in given]


@silently
def clusters(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Profiles of the project, and those that are there in every project."""
    project, _ = _places()
    return [path.stem for folder in (project / "manifests" / "clusters", BUILT_IN) for path in folder.glob("*.yaml")]


def _places() -> tuple[Path, Path]:
    """The project, and the root of its runs."""
    from hpc.adapters.project import find_project, runs_root

    project = find_project(Path.cwd())
    return project, runs_root(project, os.environ)
