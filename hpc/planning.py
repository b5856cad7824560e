"""Freezing an experiment: what is asked, on which code, in which image, for which site. Shared by plan and submit.

`hpc.schema` (pydantic, a quarter of a second) is imported where an experiment is read, not where a command starts.
"""

import platform
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hpc.adapters.code_snapshot import code_digest, find_source_files, freeze_code
from hpc.adapters.files import read_json_or_none, write_text
from hpc.adapters.git import GitState, list_code_files, read_git_state
from hpc.adapters.images import find_image
from hpc.adapters.manifest_store import (
    SCHEMA,
    check_manifest,
    manifest_sha,
    save_manifest,
    task_from_json,
    task_to_json,
)
from hpc.adapters.yaml_file import YamlDocument
from hpc.core.arrays import first_assignment
from hpc.core.errors import InputError, Problem
from hpc.core.grid import expand
from hpc.core.identity import canonical_json
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.resources import ClusterProfile, Following, render_memory, render_time
from hpc.core.seal import content_digest
from hpc.core.spec import ExperimentSpec, Task
from hpc.overrides import Overrides
from hpc.sealing import seal_notes, seal_plan
from hpc.submission import Frozen, list_attempts, prepare_submissions
from hpc.workspace import Workspace

_OWN_PACKAGES = ("hpc", "train")
_RECORDED_PACKAGES = (
    "hpc-batch",
    "torch",
    "accelerate",
    "deepspeed",
    "transformers",
    "peft",
    "h5py",
    "numpy",
    "submitit",
)


@dataclass(frozen=True)
class Change:
    """How a plan differs from the one before it: run names."""

    added: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """An experiment that is ready to be written down.

    Attributes:
        frozen: What every submission of it shares.
        tasks: All tasks, in order.
        change: Against the manifest before.
        notes: What the user should know (no container here, code is dirty, …).
        code: Name inside the snapshot → file of the project.
        diff: What differs from the last commit, as a patch.
    """

    layout: RunLayout
    frozen: Frozen
    tasks: tuple[Task, ...]
    change: Change
    notes: tuple[str, ...]
    code: Mapping[str, Path]
    diff: str

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.frozen.manifest


def make_plan(workspace: Workspace, file: Path, overrides: Overrides, profile: ClusterProfile) -> Plan:
    """Validate, expand and freeze an experiment; nothing is written (see `write_plan`).

    Raises:
        InputError: Everything that is wrong with it, at once.
    """
    from hpc.schema import load_experiment

    spec = load_experiment(file, overrides, code=workspace.project)
    _check_against_site(spec, profile)
    profile = _absolute(profile, workspace.project)
    tasks = expand(spec)
    layout = RunLayout(workspace.root, spec.name)
    before = read_json_or_none(layout.manifest)
    if before is not None:
        check_manifest(before, layout.manifest)
    follow_ups = (before or {}).get("follow_ups") or []
    tasks = (*tasks, *kept_follow_ups(before or {}, tasks))
    _check_names_are_free(layout, tasks)
    container, notes = _container(spec, profile)
    git = read_git_state(workspace.project)
    if git and git.dirty:
        notes = (*notes, "the code differs from its last commit; the difference is kept beside the manifest")
    notes = (*notes, *_disk_notes(workspace.root, spec, len(tasks)), *seal_notes(layout, spec.raw))
    notes = (*notes, *_baseline_notes(layout, spec.analysis.baseline_from))
    code = _code_files(workspace.project)
    manifest = _manifest(layout, spec, tasks, profile, _provenance(layout, code, container, git), follow_ups)
    frozen = Frozen(spec, profile, manifest, _python(profile))
    return Plan(layout, frozen, tasks, _compare(before, tasks), notes, code, git.diff if git else "")


def kept_follow_ups(before: Mapping[str, Any], tasks: Sequence[Task]) -> list[Task]:
    """Give the tasks that follow-ups added and whose configuration is still asked for: planning again keeps them.

    Args:
        before: The manifest before; may be empty.
        tasks: What the sweep itself asks for now.
    """
    added = {name for each in before.get("follow_ups") or () for name in each["tasks"]}
    asked = {canonical_json([task.case, task.parameters]) for task in tasks}
    present = {task.task_id for task in tasks}
    found = [task_from_json(each) for each in before.get("tasks", ()) if each["task_id"] in added - present]
    return [task for task in found if canonical_json([task.case, task.parameters]) in asked]


def _check_against_site(spec: ExperimentSpec, profile: ClusterProfile) -> None:
    """Refuse what the site never grants: Slurm would take the job and let it wait for ever."""
    asked, problems = spec.resources, []
    if profile.max_time_s and asked.time_s > profile.max_time_s:
        most = render_time(profile.max_time_s)
        problems.append(Problem(f"{render_time(asked.time_s)}; {profile.name} grants at most {most}", "resources.time"))
    if profile.max_memory_mib and asked.memory_mib > profile.max_memory_mib:
        most = render_memory(profile.max_memory_mib)
        problems.append(
            Problem(f"{render_memory(asked.memory_mib)}; {profile.name} has at most {most}", "resources.mem")
        )
    if profile.scheduler == "local" and asked.nodes > 1:
        problems.append(Problem(f"{asked.nodes}; this machine is one node", "resources.nodes"))
    if problems:
        raise InputError(problems, spec.name)


def _absolute(profile: ClusterProfile, project: Path) -> ClusterProfile:
    """Make the profile's paths hold wherever a job starts; plain command names stay what PATH finds."""

    def absolute(value: str) -> str:
        return str((project / value).absolute()) if "/" in value else value

    return replace(
        profile,
        apptainer=absolute(profile.apptainer),
        python=absolute(profile.python),
        template=absolute(profile.template),
        image_dir=str((project / (profile.image_dir or "images")).absolute()),
    )


def _check_names_are_free(layout: RunLayout, tasks: Sequence[Task]) -> None:
    """Refuse to put a new question's results into the folder of an old one."""
    problems = []
    for task in tasks:
        numbers = list_attempts(layout, task.run_name)
        attempt = layout.task(task.run_name).attempt(numbers[-1]) if numbers else None
        record = read_json_or_none(attempt.task_json) if attempt else None
        if attempt and record and record["task_id"] != task.task_id:
            problems.append(
                Problem(
                    f"{task.run_name} already holds runs of other settings (program, arguments or parameters were "
                    f"changed). Rename the experiment (name:), change run_name, or move {attempt.home.parent} away"
                )
            )
    if problems:
        raise InputError(problems[:10])


def _container(spec: ExperimentSpec, profile: ClusterProfile) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """Decide which image is used; on this machine one does without Apptainer, and says so."""
    if spec.container.image is None:
        return None, ()
    is_local = profile.scheduler == "local"
    if not profile.apptainer or (is_local and not shutil.which(profile.apptainer)):
        if is_local:
            return None, (f"no Apptainer here: the host's own Python ({sys.executable}) runs the tasks",)
        raise InputError(f"profile {profile.name} names no apptainer, and the experiment asks for an image")
    image = find_image(spec.container.image, Path(profile.image_dir))
    return {"name": image.name, "path": str(image.path), "sha256": image.sha256}, ()


def _disk_notes(root: Path, spec: ExperimentSpec, tasks: int) -> tuple[str, ...]:
    """Say so when the runs may not fit on the disk; a quota can be smaller still."""
    needed_mib = spec.resources.disk_mib * tasks
    folder = next(each for each in (root, *root.parents) if each.exists())
    free_mib = shutil.disk_usage(folder).free >> 20
    if needed_mib <= free_mib:
        return ()
    return (
        f"{tasks} runs of {render_memory(spec.resources.disk_mib)} need more than the {free_mib} MiB free at {folder}",
    )


def _baseline_notes(layout: RunLayout, name: str) -> tuple[str, ...]:
    """Say so when the stored baseline has not been measured: its variance comes first."""
    source = RunLayout(layout.root, name)
    if not name or layout.stored_baseline(name).exists() or source.verdicts.exists():
        return ()
    return (f"analysis.baseline_from: {name} is not measured yet; run and collect it first: python -m hpc.plan {name}",)


def _manifest(
    layout: RunLayout,
    spec: ExperimentSpec,
    tasks: Sequence[Task],
    profile: ClusterProfile,
    provenance: Mapping[str, Any],
    follow_ups: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "kind": "manifest",
        "schema": SCHEMA,
        "experiment": layout.experiment,
        "spec": dict(spec.raw),
        "tasks": [task_to_json(task) for task in tasks],
        "provenance": dict(provenance),
        "cluster": asdict(profile),
        "seal": content_digest(spec.raw),
        **({"follow_ups": list(follow_ups)} if follow_ups else {}),
    }
    return {**manifest, "sha256": manifest_sha(manifest)}


def _provenance(
    layout: RunLayout, code: Mapping[str, Path], image: Mapping[str, str] | None, git: GitState | None
) -> dict[str, Any]:
    sha256 = code_digest(code)
    return {
        "created": time.time(),
        "git": {"commit": git.commit, "dirty": git.dirty, "diff_sha256": git.diff_sha256} if git else None,
        "code": {"path": str(layout.code / sha256[:16]), "sha256": sha256},
        "image": dict(image) if image else None,
        "packages": _packages(),
        "python": platform.python_version(),
    }


def write_plan(plan: Plan, new: Sequence[Task]) -> list[SubmissionLayout]:
    """Write code, seal, scripts and manifest, in this order: a manifest never promises what is not there.

    Args:
        new: The tasks to prepare submissions for.
    """
    target = Path(plan.manifest["provenance"]["code"]["path"])
    freeze_code(plan.code, target)
    if plan.diff:
        digest = plan.manifest["provenance"]["git"]["diff_sha256"]
        write_text(target.parent / f"{digest[:16]}.diff", plan.diff)
    seal_plan(plan.layout, plan.manifest)
    assignments = [first_assignment(plan.frozen.spec, task) for task in new]
    submissions = prepare_submissions(plan.layout, plan.frozen, assignments)
    save_manifest(plan.layout, plan.manifest)
    return submissions


def _code_files(project: Path) -> dict[str, Path]:
    """The project's own files, and our packages where the project does not contain them."""
    listed = list_code_files(project)
    names = find_source_files(project) if listed is None else listed
    files = {str(name): project / name for name in names}
    home = Path(__file__).parents[1]
    for package in _OWN_PACKAGES:
        if not any(name.startswith(f"{package}/") for name in files):
            files |= {str(path.relative_to(home)): path for path in sorted((home / package).rglob("*.py"))}
            files |= {str(path.relative_to(home)): path for path in sorted((home / package).rglob("*.j2"))}
    return files


def _packages() -> dict[str, str]:
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


def frozen_of(manifest: Mapping[str, Any]) -> Frozen:
    """Read back what a manifest froze, for submissions that come later."""
    from hpc.schema import experiment_from

    spec = experiment_from(YamlDocument(manifest["spec"], source=f"manifest of {manifest['experiment']}"))
    cluster = dict(manifest["cluster"])
    follow = Following(**cluster.get("follow", {}))
    profile = ClusterProfile(
        **{**cluster, "binds": tuple(cluster["binds"]), "setup": tuple(cluster["setup"]), "follow": follow}
    )
    return Frozen(spec, profile, manifest, _python(profile))


def tasks_of(manifest: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks a manifest lists, in order."""
    return tuple(task_from_json(each) for each in manifest["tasks"])
