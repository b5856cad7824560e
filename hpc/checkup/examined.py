"""Whom a check-up is about: the site, the folder of the runs, and the experiment as its surroundings see it."""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json_or_none
from hpc.core.checkup.needs import Needs
from hpc.core.errors import InputError
from hpc.core.experiment.asking import every_resources
from hpc.core.experiment.grid import expand
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.layout import RunLayout
from hpc.core.profile import ClusterProfile
from hpc.experiments.code_files import program_file
from hpc.experiments.freezing import with_absolute_paths
from hpc.workspace import Workspace

_OF_LAUNCHERS = {"torchrun": ("torch",), "accelerate": ("torch", "accelerate"), "deepspeed": ("torch", "deepspeed")}
OF_OURS = {
    "train.control": ("torch", "accelerate"),
    "train.imitate": ("torch",),
    "train.symmetry": ("torch", "accelerate"),
    "train.lm": ("torch",),
}
"""Programs that come with us → what they import."""


@dataclass(frozen=True)
class Examined:
    """Whom a check-up is about.

    Attributes:
        workspace: Project and folder of the runs.
        profile: The site, paths absolute.
        profile_path: Where its file is.
        spec: The experiment; None where none was named.
        needs: What it asks of its surroundings.
        is_named: Whether a cluster was named on the command line: then a tiny job looks from its nodes.
        root_hangs: Whether the folder of the runs did not answer.
    """

    workspace: Workspace
    profile: ClusterProfile
    profile_path: Path
    spec: ExperimentSpec | None = None
    needs: Needs | None = None
    is_named: bool = False
    root_hangs: bool = False

    @property
    def is_local(self) -> bool:
        return self.profile.scheduler == "local"


def read_examined(workspace: Workspace, name: str | None, cluster: str | None, *, root_hangs: bool = False) -> Examined:
    """Read the profile, and the experiment where one is named.

    Raises:
        InputError: A file is missing or not valid; everything that is wrong with it.
    """
    from hpc.experiments.schema import load_experiment, load_profile

    path = workspace.profile_file(cluster)
    profile = with_absolute_paths(load_profile(path), workspace.project)
    spec = load_experiment(workspace.experiment_file(name), code=workspace.project) if name else None
    manifest = {} if root_hangs or not spec else _manifest(RunLayout(workspace.root, spec.name))
    needs = needs_of(spec, profile, workspace.project, manifest) if spec else None
    return Examined(workspace, profile, path, spec, needs, cluster is not None, root_hangs)


def _manifest(layout: RunLayout) -> Mapping[str, Any]:
    try:
        found = read_json_or_none(layout.manifest)
    except (InputError, OSError):  # whatever is wrong with it is told by those who use it
        return {}
    return found if isinstance(found, dict) else {}


def needs_of(spec: ExperimentSpec, profile: ClusterProfile, project: Path, manifest: Mapping[str, Any]) -> Needs:
    """Tell what an experiment asks of its surroundings.

    Args:
        manifest: As it was planned last; may be empty.
    """
    tasks = expand(spec)
    image = (manifest.get("provenance") or {}).get("image") or {}
    return Needs(
        name=spec.name,
        tasks=len(tasks),
        resources=every_resources(spec, tasks),
        modules=tuple(dict.fromkeys([*_OF_LAUNCHERS.get(spec.launch.kind, ()), *_imports(spec, project)])),
        image=spec.container.image,
        runtime=spec.container.runtime,
        inputs={name: str((project / path).absolute()) for name, path in spec.program.inputs.items()},
        binds=(*profile.binds, *spec.container.binds),
        paths=dict(_paths(spec, tasks)),
        wandb_mode=str((spec.wandb or {}).get("mode") or "offline"),
        recorded_image=(str(image.get("path") or ""), str(image.get("sha256") or "")),
    )


def _imports(spec: ExperimentSpec, project: Path) -> Iterator[str]:
    """What the file a program starts from imports at its top, without Python's own and the project's."""
    module = spec.program.module or ""
    yield from OF_OURS.get(module, ())
    name = program_file(spec.program)
    path = project / spec.program.workdir / (name or "")
    if module in OF_OURS or name is None or path.suffix != ".py" or not path.is_file():
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    roots = (path.parent, project, project / "src")
    for found in _top_level(tree):
        is_own = any((root / found).is_dir() or (root / f"{found}.py").exists() for root in roots)
        if found not in sys.stdlib_module_names and not is_own and found not in ("hpc", "train"):
            yield found


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _paths(spec: ExperimentSpec, tasks: tuple[Task, ...]) -> Iterator[tuple[str, str]]:
    """Arguments and parameters whose value is an absolute path."""
    sets: list[Mapping[str, Any]] = [spec.program.args, *(task.parameters for task in tasks)]
    for values in sets:
        for name, value in values.items():
            if isinstance(value, str) and value.startswith("/") and len(value) > 1:
                yield (name, value)
