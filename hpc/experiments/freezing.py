"""Freezing an experiment: what is asked, on which code, in which image, for which site. Shared by plan and submit.

`hpc.experiments.schema` (pydantic, a quarter of a second) is imported where an experiment is read, not where a command
starts.
"""

import importlib.util
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
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
from hpc.adapters.sbatch import program_path, render_relay
from hpc.adapters.yaml_file import YamlDocument
from hpc.core.credentials import names_secret
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.asking import every_resources
from hpc.core.experiment.grid import expand
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.extras import MissingPackage, install_line
from hpc.core.identity import canonical_json
from hpc.core.immutable import immutable, replace
from hpc.core.launch.expansion import expansion_problem, references
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.profile import ClusterProfile, Following
from hpc.core.question.seal import content_digest
from hpc.core.records.index import Code
from hpc.core.records.project import Project
from hpc.core.resources import Resources, render_memory, render_time
from hpc.core.slurm.arrays import first_assignment
from hpc.core.words import counted
from hpc.experiments.code_files import CodeFiles, check_program, find_code, is_no_code, mentions, notes_of
from hpc.experiments.on_nodes import ON_NODES, find_needed, module_of
from hpc.experiments.overrides import Overrides
from hpc.experiments.sealing import refuse_unasked, seal_notes, seal_plan
from hpc.submissions.prepare import Frozen, prepare_submissions
from hpc.submissions.sources import split_ready
from hpc.workspace import BUILT_IN, OWN_CODE, Workspace

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
    from hpc.experiments.schema import load_experiment

    spec = load_experiment(file, overrides, code=workspace.project)
    tasks = expand(spec)
    _check_against_site(spec, tasks, profile)
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
    code = find_code(workspace.project, workspace.root, spec.program.inputs.values(), canonical_json(spec.raw))
    toolkit = own_code()
    _check_programs(spec, code, toolkit)
    inputs = find_inputs(workspace.project, spec.program.inputs)
    notes = (
        *notes,
        *_code_notes(git),
        *_experiment_notes(layout, spec, tasks, profile, code),
        *_interpreter_notes(workspace, profile, container),
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


def _experiment_notes(
    layout: RunLayout, spec: ExperimentSpec, tasks: Sequence[Task], profile: ClusterProfile, code: CodeFiles
) -> tuple[str, ...]:
    """What is to be said of what the experiment asks for."""
    return (
        *seal_notes(layout, spec.raw),
        *_baseline_notes(layout, spec.analysis.baseline_from),
        *_waiting_notes(layout, spec, tasks),
        *notes_of(code, spec.program.inputs),
        *_unset_notes(spec, profile),
        *_relay_notes(layout, profile),
        *_wandb_notes(spec, code),
    )


def _code_notes(git: GitState | None) -> tuple[str, ...]:
    """Say so where tracked code was changed since its last commit; what git does not track is in the copy of it."""
    if git and any(not is_no_code(name) for name in git.changed):
        return ("the code differs from its last commit; the difference is saved beside the manifest",)
    return ()


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


def _check_against_site(spec: ExperimentSpec, tasks: Sequence[Task], profile: ClusterProfile) -> None:
    """Refuse what the site never grants: Slurm would take the job and let it wait for ever."""
    problems = [problem for asked in every_resources(spec, tasks) for problem in _never_granted(asked, profile)]
    problems += _settings_problems(spec, profile)
    if problems:
        raise InputError(list(dict.fromkeys(problems)), spec.name)


def _never_granted(asked: Resources, profile: ClusterProfile) -> Iterator[Problem]:
    if profile.max_time_s and asked.time_s > profile.max_time_s:
        most = render_time(profile.max_time_s)
        yield Problem(f"{render_time(asked.time_s)}; {profile.name} grants at most {most}", "resources.time")
    if profile.max_memory_mib and asked.memory_mib > profile.max_memory_mib:
        most = render_memory(profile.max_memory_mib)
        yield Problem(f"{render_memory(asked.memory_mib)}; {profile.name} has at most {most}", "resources.mem")
    if 0 < profile.max_gpus < asked.nodes * asked.gpus:
        most = f"{profile.name} lets an experiment use {profile.max_gpus} at once (max_gpus)"
        yield Problem(f"{asked.gpus} on each of {counted(asked.nodes, 'node')}; {most}", "resources.gpus")
    if profile.scheduler == "local" and asked.nodes > 1:
        yield Problem(f"{asked.nodes}; this machine is one node", "resources.nodes")


def _settings_problems(spec: ExperimentSpec, profile: ClusterProfile) -> Iterator[Problem]:
    """Find what no node would expand, and secrets that ``task.json`` would show."""
    for text, where in _site_texts(spec, profile):
        if problem := expansion_problem(text):
            yield Problem(problem, where)
        for name in references(text):
            if names_secret(name):
                yield Problem(
                    f"names ${name}, whose value would appear in every task.json; export it in your shell", where
                )


def _site_texts(spec: ExperimentSpec, profile: ClusterProfile) -> Iterator[tuple[str, str]]:
    """Return what the node expands, each with its place."""
    for whose, variables in ((f"profile {profile.name}, ", profile.environment), ("", spec.environment)):
        yield from ((text, f"{whose}environment.{name}") for name, text in variables.items())
    yield from ((bind, f"profile {profile.name}, binds") for bind in profile.binds)
    yield from ((bind, "container.binds") for bind in spec.container.binds)


def _unset_notes(spec: ExperimentSpec, profile: ClusterProfile) -> tuple[str, ...]:
    """Name the variables that are not set here: the node may set them, and a misspelt one is found now."""
    known = {**os.environ, **profile.environment, **spec.environment}
    texts = list(_site_texts(spec, profile))
    places = {name: where for text, where in reversed(texts) for name in references(text) if name not in known}
    return tuple(
        f"${name} ({where}) is not set on this machine; each task takes it from its node, and fails if it is not set "
        "there"
        for name, where in places.items()
    )


def _relay_notes(layout: RunLayout, profile: ClusterProfile) -> tuple[str, ...]:
    """Say so where a site's template takes arrays only: `submit --follow` would find out at night."""
    if not profile.template or profile.scheduler != "slurm":
        return ()
    try:
        render_relay(profile, job_name=layout.experiment, comment="follow", logs=layout.follow_jobs, command=":")
    except InputError as error:
        return (f"no submit --follow here: {error}",)
    return ()


def _interpreter_notes(workspace: Workspace, profile: ClusterProfile, image: object) -> tuple[str, ...]:
    """Say so where programs run by another Python than the one that is active here: other packages, other numbers."""
    environment = os.environ
    active = environment.get("VIRTUAL_ENV", "")
    line = f"source {shlex.quote(active)}/bin/activate"
    if not active and (name := environment.get("CONDA_DEFAULT_ENV", "base")) != "base":
        active, line = environment.get("CONDA_PREFIX", ""), f"conda activate {shlex.quote(name)}"
    if image or not active or os.path.realpath(active) == os.path.realpath(sys.prefix):
        return ()
    if not program_path(profile, _python(profile)):
        return ()
    own = workspace.project / "manifests/clusters"
    copy = f"mkdir -p {shlex.quote(str(own))} && cp {shlex.quote(str(BUILT_IN / profile.name))}.yaml $_ && "
    line = f"echo {shlex.quote(f'setup: [{line}]')} >> {shlex.quote(str(own / profile.name))}.yaml"
    return (
        f"`python` in tasks is {sys.executable}, where hpc-batch is installed, and not that of {active}, which is "
        f"active here. To take that one: {'' if (own / f'{profile.name}.yaml').exists() else copy}{line}",
    )


def _wandb_notes(spec: ExperimentSpec, code: CodeFiles) -> tuple[str, ...]:
    """Say where tracking is asked for and nothing of the program's code would do it: we set the variables only."""
    if not spec.wandb or spec.wandb.get("mode") == "disabled":
        return ()
    if (spec.program.module or "").startswith("train."):
        if spec.container.image or find_spec("wandb"):
            return ()
        line = install_line("wandb")
        return (
            f"tracking.wandb: wandb is not installed here; runs train without it, and are recorded as usual: {line}",
        )
    if mentions(code, b"wandb"):
        return ()
    return (
        "tracking.wandb: no Python file of the code mentions wandb; tasks get WANDB_PROJECT, WANDB_RUN_ID and so on, "
        f"but log nothing themselves. To send what is collected: python -m hpc.sync {spec.name}",
    )


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


def _baseline_notes(layout: RunLayout, name: str) -> tuple[str, ...]:
    """Say so when the stored baseline has not been measured: its variance comes first."""
    source = RunLayout(layout.root, name)
    if not name or layout.stored_baseline(name).exists() or source.verdicts.exists():
        return ()
    return (f"analysis.baseline_from: {name} is not measured yet; run and collect it first: python -m hpc.plan {name}",)


def _waiting_notes(layout: RunLayout, spec: ExperimentSpec, tasks: Sequence[Task]) -> tuple[str, ...]:
    """Say which runs of other experiments the tasks wait for.

    Raises:
        InputError: One of these experiments is not planned, or its runs do not match.
    """
    split = split_ready(layout, spec, [first_assignment(spec, task) for task in tasks])
    jobs = ", ".join(map(str, spec.after_jobs))
    after = (f"each task starts once Slurm job {jobs} ended with COMPLETED, if hpc.submit submits it",) if jobs else ()
    if not split.waiting:
        return after
    return (
        *after,
        f"{len(split.waiting)} of {counted(len(tasks), 'task waits', 'tasks wait')} for other experiments "
        f"({split.why}). Each is submitted once "
        f"what it needs has finished: python -m hpc.submit {spec.name} --follow",
    )


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
