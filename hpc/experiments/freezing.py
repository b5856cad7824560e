"""Freezing an experiment: what is asked, on which code, in which image, for which site. Shared by plan and submit.

`hpc.experiments.schema` (pydantic, a quarter of a second) and what a plan alone needs are imported where an experiment
is read, not where a command starts.
"""

import importlib.util
import platform
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from hpc.adapters.code_snapshot import code_digest, freeze_code
from hpc.adapters.files import GROUP_READS, follow_access, make_folder, read_json_or_none, share, write_text
from hpc.adapters.git import GitState, identify_project, read_git_state
from hpc.adapters.images import find_image, find_squashfs, is_reference, verify_image
from hpc.adapters.manifest_store import (
    SCHEMA,
    check_manifest,
    manifest_sha,
    save_manifest,
    task_from_json,
    task_to_json,
)
from hpc.adapters.progress import working
from hpc.adapters.yaml_file import YamlDocument
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.grid import expand
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.extras import MissingPackage
from hpc.core.identity import canonical_json
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.profile import ClusterProfile, Following
from hpc.core.question.seal import content_digest
from hpc.core.records.index import Code
from hpc.core.records.project import Project
from hpc.core.slurm.arrays import first_assignment
from hpc.experiments.code_files import CodeFiles, check_program, find_code
from hpc.experiments.on_nodes import ON_NODES, find_needed, module_of
from hpc.experiments.overrides import Overrides
from hpc.experiments.sealing import refuse_unasked, seal_plan
from hpc.submissions.prepare import Frozen, prepare_submissions
from hpc.workspace import OWN_CODE, Workspace

_OWN_PACKAGES = ("hpc", "train")
_NEEDED = {"train.control": ("torch", "accelerate"), "train.imitate": ("torch",)}
"""Our own training modules → packages of the optional part ``train`` without which they do nothing."""
_RECORDED_PACKAGES = (
    "hpc-batch",
    "torch",
    "accelerate",
    "deepspeed",
    "transformers",
    "peft",
    "h5py",
    "numpy",
)


@immutable
class Change:
    """How a plan differs from the one before it: run names."""

    added: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


@immutable
class Plan:
    """An experiment that is ready to be written down.

    Attributes:
        frozen: What every submission of it shares.
        tasks: All tasks, in order.
        change: Against the manifest before.
        notes: What the user should know (no container here, code is dirty, …).
        code: The user's own code.
        toolkit: Ours.
        diff: What differs from the last commit, as a patch.
    """

    layout: RunLayout
    frozen: Frozen
    tasks: tuple[Task, ...]
    change: Change
    notes: tuple[str, ...]
    code: CodeFiles
    toolkit: CodeFiles
    diff: str

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.frozen.manifest


def make_plan(
    workspace: Workspace,
    file: Path,
    overrides: Overrides,
    profile: ClusterProfile,
    asked: Mapping[str, Any] | None = None,
    *,
    command: str = "python -m hpc.plan",
    moved: bool = False,
) -> Plan:
    """Validate, expand and freeze an experiment; nothing is written (see `write_plan`).

    Args:
        asked: The options of the command line, to be remembered.
        command: The command line that asks for this plan, for messages.
        moved: Runs that were planned elsewhere are this project's all the same.

    Raises:
        InputError: Everything that is wrong with it, at once.
    """
    from hpc.experiments.plan_notes import code_notes, experiment_notes, interpreter_notes
    from hpc.experiments.schema import load_experiment
    from hpc.experiments.site_limits import check_against_site

    spec = load_experiment(file, overrides, code=workspace.project)
    with working("naming tasks"):
        tasks = expand(spec)
        check_against_site(spec, tasks, profile)
    profile = with_absolute_paths(profile, workspace.project)
    layout = RunLayout(workspace.root, spec.name)
    workspace.refuse_foreign(layout)
    if not moved and (others := workspace.other_project(layout, command)):
        raise InputError(others)
    refuse_unasked(layout, spec, file)
    before = _read_before(layout)
    looks = (before or {}).get("follow_ups") or []
    tasks = (*tasks, *kept_second_looks(before or {}, tasks))
    container, notes = _container(spec, profile)
    _check_packages(spec, profile, container)
    git = read_git_state(workspace.project)
    with working("reading the project's code"):
        code = find_code(workspace.project, workspace.root, spec.program.inputs.values(), canonical_json(spec.raw))
    toolkit = own_code()
    _check_programs(spec, code, toolkit)
    inputs = find_inputs(workspace.project, spec.program.inputs)
    notes = (
        *notes,
        *code_notes(git),
        *experiment_notes(layout, spec, tasks, profile, code),
        *interpreter_notes(workspace, profile, container, _python(profile)),
    )
    project = identify_project(workspace.project)
    provenance = {**_provenance(layout, code, toolkit, container, git, project), "inputs": inputs}
    provenance["asked"] = dict(asked or {})
    manifest = _manifest(layout, spec, tasks, profile, provenance, looks)
    frozen = Frozen(spec, profile, manifest, _python(profile))
    return Plan(layout, frozen, tasks, _compare(before, tasks), notes, code, toolkit, git.diff if git else "")


def _read_before(layout: RunLayout) -> dict[str, Any] | None:
    """Read the manifest of the plan before; None where there was none. Raises InputError where it is no manifest."""
    before: dict[str, Any] | None = read_json_or_none(layout.manifest)
    if before is not None:
        check_manifest(before, layout.manifest)
    return before


def _check_programs(spec: ExperimentSpec, code: CodeFiles, toolkit: CodeFiles) -> None:
    """Raises InputError where what runs, or what checks a node before it, is in no code."""
    check_program(spec.program, code, toolkit)
    if spec.check and spec.check.command:
        check_program(replace(spec.program, module=None, command=spec.check.command), code, toolkit, "check.command")


def kept_second_looks(before: Mapping[str, Any], tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that second looks added and whose configuration is still asked for: planning again keeps them.

    Args:
        before: The manifest before; may be empty.
        tasks: What the sweep itself asks for now.
    """
    added = {name for each in before.get("follow_ups") or () for name in each["tasks"]}
    if not added:
        return []
    asked = {canonical_json([task.case, task.parameters]) for task in tasks}
    present = {task.task_id for task in tasks}
    found = [task_from_json(each) for each in before.get("tasks", ()) if each["task_id"] in added - present]
    return [task for task in found if canonical_json([task.case, task.parameters]) in asked]


def with_absolute_paths(profile: ClusterProfile, project: Path) -> ClusterProfile:
    """Make the profile's paths hold wherever a job starts; plain command names stay what PATH finds."""

    def absolute(value: str) -> str:
        return str((project / value).absolute()) if "/" in value else value

    return replace(
        profile,
        apptainer=absolute(profile.apptainer),
        python=absolute(profile.python),
        template=absolute(profile.template),
        image_dir=str((project / (profile.image_dir or "images")).absolute()),
        images_signed_by=absolute(profile.images_signed_by),
    )


def _container(spec: ExperimentSpec, profile: ClusterProfile) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """Decide which image is used; on this machine one does without Apptainer, and says so."""
    if spec.container.image is None:
        return None, ()
    is_local = profile.scheduler == "local"
    if spec.container.runtime == "pyxis":
        if profile.images_signed_by:
            raise InputError("images_signed_by: an image of pyxis cannot be signed; use `runtime: apptainer`")
        return _squashfs(spec.container.image, profile)
    if not profile.apptainer or (is_local and not shutil.which(profile.apptainer)):
        if is_local:
            return None, (f"no Apptainer here: the host's own Python ({sys.executable}) runs the tasks",)
        raise InputError(f"profile {profile.name} names no apptainer, and the experiment asks for an image")
    try:
        image = find_image(spec.container.image, Path(profile.image_dir), OWN_CODE, profile.apptainer)
    except InputError as error:
        raise InputError(f"{error}; to see what else it needs: python -m hpc.doctor {spec.name}") from None
    if profile.images_signed_by:
        verify_image(image.path, profile.images_signed_by, profile.apptainer)
    return {"name": image.name, "path": str(image.path), "sha256": image.sha256}, ()


def _squashfs(name: str, profile: ClusterProfile) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """The image of pyxis: a part of Slurm, so that there is none on this machine's own queue."""
    if profile.scheduler == "local":
        return None, (f"pyxis is a part of Slurm: here the host's own Python ({sys.executable}) runs the tasks",)
    image = find_squashfs(name, Path(profile.image_dir))
    fetched = (
        f"image {name}: every task fetches it, and may get a different one; to fetch it once, as a file: enroot import"
    )
    notes = (fetched,) if is_reference(image) and "@sha256:" not in name else ()
    return {"name": image.name, "path": str(image.path), "sha256": image.sha256}, notes


def _check_packages(spec: ExperimentSpec, profile: ClusterProfile, image: object) -> None:
    """Refuse our own training modules on this machine's Python where that has not what they import."""
    if image or profile.scheduler != "local" or profile.python:
        return
    needed = _NEEDED.get(spec.program.module or "", ())
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackage(missing[0], f"program.module: {spec.program.module}")


def _manifest(
    layout: RunLayout,
    spec: ExperimentSpec,
    tasks: Sequence[Task],
    profile: ClusterProfile,
    provenance: Mapping[str, Any],
    looks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "kind": "manifest",
        "schema": SCHEMA,
        "experiment": layout.experiment,
        "spec": dict(spec.raw),
        "tasks": [task_to_json(task) for task in tasks],
        "provenance": dict(provenance),
        "cluster": {name: value for name, value in asdict(profile).items() if name != "carbon" or value},
        "seal": content_digest(spec.raw),
        **({"follow_ups": list(looks)} if looks else {}),
    }
    return {**manifest, "sha256": manifest_sha(manifest)}


def _provenance(
    layout: RunLayout,
    code: CodeFiles,
    toolkit: CodeFiles,
    image: Mapping[str, str] | None,
    git: GitState | None,
    project: Project,
) -> dict[str, Any]:
    return {
        "created": time.time(),
        "project": project.to_json(),
        "git": {"commit": git.commit, "dirty": git.dirty, "diff_sha256": git.diff_sha256} if git else None,
        "code": _copy_of(code, layout.code).to_json(),
        "toolkit": _copy_of(toolkit, layout.toolkit).to_json(),
        "image": dict(image) if image else None,
        "packages": dict(recorded_packages()),
        "python": platform.python_version(),
    }


def _copy_of(code: CodeFiles, folder: Path) -> Code:
    sha256 = code_digest(code.files)
    return Code(str(folder / sha256[:16]), sha256, code.roots)


def open_home(layout: RunLayout, profile: ClusterProfile) -> None:
    """Make the run's folder for those the profile lets in; what is there already is opened, or closed, to match."""
    mode = GROUP_READS if profile.group_access == "read" else 0o700
    make_folder(layout.home, mode)
    share(layout.home, mode)
    follow_access(layout.home)


def write_plan(plan: Plan, new: Sequence[Task]) -> list[SubmissionLayout]:
    """Write code, seal, scripts and manifest, in this order: a manifest never promises what is not there.

    Args:
        new: The tasks to prepare submissions for.
    """
    open_home(plan.layout, plan.frozen.profile)
    code, toolkit = plan.frozen.copies
    freeze_code(plan.code.files, Path(code.path))
    freeze_code(plan.toolkit.files, Path(toolkit.path), _on_nodes(plan.toolkit))
    if plan.diff:
        write_text(plan.layout.diff(plan.manifest["provenance"]["git"]["diff_sha256"]), plan.diff)
    seal_plan(plan.layout, plan.manifest)
    assignments = [first_assignment(plan.frozen.spec, task) for task in new]
    submissions = prepare_submissions(plan.layout, plan.frozen, assignments)
    save_manifest(plan.layout, plan.manifest)
    return submissions


@cache
def own_code() -> CodeFiles:
    """Our packages, as far as a program or the wrapper needs them."""
    found = (path for package in _OWN_PACKAGES for path in sorted((OWN_CODE / package).rglob("*.py")))
    modules = {module_of(str(path.relative_to(OWN_CODE))): path for path in found}
    needed = find_needed(modules)
    return CodeFiles({str(path.relative_to(OWN_CODE)): path for name, path in modules.items() if name in needed})


def _on_nodes(toolkit: CodeFiles) -> list[str]:
    """Names of the modules that every task loads: thousands of starts would each compile them."""
    return [name for name in toolkit.files if module_of(name) in ON_NODES]


def find_inputs(project: Path, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the absolute paths of what is linked into working folders; what is relative has to be there.

    Raises:
        InputError: Some are not; all are named.
    """
    found = {name: str((project / path).absolute()) for name, path in inputs.items()}
    missing = [name for name, path in inputs.items() if not Path(path).is_absolute() and not Path(found[name]).exists()]
    if missing:
        raise InputError([Problem(f"{found[name]} is not there", "program.inputs") for name in missing])
    return found


@cache
def recorded_packages() -> Mapping[str, str]:
    """Versions of the packages that decide results, as installed where the plan was made."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _python(profile: ClusterProfile) -> str:
    """The interpreter of the wrapper: the profile's, else the one that plans (a venv on the shared file system)."""
    return profile.python or sys.executable


def _compare(before: Mapping[str, Any] | None, tasks: Sequence[Task]) -> Change:
    old = {each["task_id"]: each["run_name"] for each in (before or {}).get("tasks", ())}
    new = {task.task_id: task.run_name for task in tasks}
    return Change(
        added=tuple(name for key, name in new.items() if key not in old),
        kept=tuple(name for key, name in new.items() if key in old),
        removed=tuple(name for key, name in old.items() if key not in new),
    )


def frozen_of(manifest: Mapping[str, Any], spec: ExperimentSpec | None = None) -> Frozen:
    """Read back what a manifest froze, for submissions that come later.

    Args:
        spec: The experiment in it, where that is known.
    """
    cluster = dict(manifest["cluster"])
    follow = Following(**cluster.get("follow", {}))
    profile = ClusterProfile(
        **{
            **cluster,
            "binds": tuple(cluster["binds"]),
            "setup": tuple(cluster["setup"]),
            "follow": follow,
            "gres": tuple(cluster.get("gres", ())),
        }
    )
    return Frozen(spec or _spec_of(manifest), profile, manifest, _python(profile))


def _spec_of(manifest: Mapping[str, Any]) -> ExperimentSpec:
    from hpc.experiments.schema import experiment_from

    document = YamlDocument(manifest["spec"], source=f"manifest of {manifest['experiment']}")
    return experiment_from(document, is_named=True)


def tasks_of(manifest: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks a manifest lists, in order."""
    return tuple(task_from_json(each) for each in manifest["tasks"])
