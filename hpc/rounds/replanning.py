"""Planning again what is there: as `plan` does it, or for `collect --again --replan`; and what a new plan would change.

The caller holds the experiment's lock where something is written.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpc.adapters.code_snapshot import code_digest, differing
from hpc.adapters.files import read_json_or_none
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Task
from hpc.core.identity import canonical_json
from hpc.core.immutable import field, immutable
from hpc.core.layout import SubmissionLayout
from hpc.core.question.seal import content_changes
from hpc.core.words import few
from hpc.experiments.code_files import CodeFiles, find_code
from hpc.experiments.freezing import Plan, make_plan, write_plan
from hpc.experiments.overrides import Overrides
from hpc.rounds.making_way import InTheWay, find_in_the_way, refuse_in_the_way, set_aside
from hpc.submissions.prepare import never_asked
from hpc.workspace import Workspace

CLOCKS_S = 60.0
"""So far apart may the clocks of a file server and of this machine be."""


@immutable
class PlanRequest:
    """What somebody typed to plan an experiment.

    Attributes:
        name: Name, or path of its YAML.
        cluster: The profile, as it was asked for; None where it was not.
        overrides: Changes from the command line.
        moved: Whether runs that were planned elsewhere are this project's all the same.
    """

    name: str
    cluster: str | None = None
    overrides: Overrides = field(default_factory=Overrides)
    moved: bool = False

    @property
    def command(self) -> str:
        """The command line that asks for the same."""
        asked = self.overrides
        options = [("--cluster", self.cluster or ""), *(("--set", each) for each in asked.assignments)]
        options += [("--seeds", asked.seeds), ("--resource-limits", asked.resource_limits)]
        words = [word for option in options if option[1] for word in option]
        return shlex.join(["python", "-m", "hpc.plan", self.name, *words])


def request_of(manifest: Mapping[str, Any]) -> PlanRequest:
    """Tell how a plan was asked for; plans of earlier versions do not say, and had no options as far as we know."""
    asked = manifest["provenance"].get("asked") or {}
    overrides = Overrides(tuple(asked.get("assignments", ())), asked.get("seeds", ""), asked.get("resource_limits", ""))
    cluster = asked.get("cluster") or manifest["cluster"]["name"]
    return PlanRequest(asked.get("name") or manifest["experiment"], cluster, overrides)


def draft(workspace: Workspace, request: PlanRequest) -> Plan:
    """Plan by the files as they are now; nothing is written.

    Raises:
        InputError: Everything that is wrong, at once.
    """
    from hpc.experiments.schema import load_profile

    profile = load_profile(workspace.profile_file(request.cluster))
    file = workspace.experiment_file(request.name)
    asked = {"name": request.name, "cluster": request.cluster, **asdict(request.overrides)}
    return make_plan(workspace, file, request.overrides, profile, asked, command=request.command, moved=request.moved)


@immutable
class Replacement:
    """A plan with what has to make way for it.

    Attributes:
        making_way: Runs of other settings under the names of its tasks.
        new: Tasks that nobody asked any scheduler for.
        submissions: What was prepared for these; none in a rehearsal.
    """

    plan: Plan
    making_way: tuple[InTheWay, ...]
    new: tuple[Task, ...]
    submissions: Sequence[SubmissionLayout]


def put_in_place(plan: Plan, command: str, *, replaces: bool, dry_run: bool) -> Replacement:
    """Set aside what makes way for a plan, and write it; a rehearsal only says what would be.

    Args:
        command: The command line that asked for it.
        replaces: Whether results may make way.

    Raises:
        InputError: Something may not make way.
        TemporaryError: Slurm is needed and did not answer.
    """
    layout = plan.layout
    found = find_in_the_way(layout, plan.tasks)
    refuse_in_the_way(layout, found, replace=replaces, command=f"{command} --replace")
    new = never_asked(layout, plan.tasks, [each.run_name for each in found])
    if dry_run:
        return Replacement(plan, found, tuple(new), ())
    before = read_json_or_none(layout.manifest)
    set_aside(layout, found, before.get("sha256", "") if isinstance(before, dict) else "")
    return Replacement(plan, found, tuple(new), write_plan(plan, new))


def differences(settings: Mapping[str, Any], code: CodeFiles, manifest: Mapping[str, Any]) -> list[str]:
    """Name what a plan by the present files would change: files of the code, then settings with both values.

    Args:
        settings: The experiment as it is now, as the manifest would keep it.
        code: What would be frozen now.
    """
    frozen = manifest["provenance"]["code"]
    is_same = code_digest(code.files) == frozen["sha256"]
    files = [] if is_same else differing(code.files, Path(frozen["path"])) or ["the code"]
    return [*files, *content_changes(manifest["spec"], settings)]


def changed_since(workspace: Workspace, manifest: Mapping[str, Any]) -> tuple[Plan | None, list[str]]:
    """Return the plan that the present files would make, and what it would change.

    None and nothing where the command is not typed in the experiment's project.

    Raises:
        InputError: The files are not valid now.
    """
    request = request_of(manifest)
    try:
        workspace.experiment_file(request.name)
    except InputError:
        return None, []
    plan = draft(workspace, request)
    return plan, differences(plan.manifest["spec"], plan.code, manifest)


def _edits(workspace: Workspace, manifest: Mapping[str, Any]) -> list[str]:
    """Name what was edited, as `changed_since` does, without naming a hundred thousand tasks again.

    Raises:
        InputError: The experiment is not valid now.
    """
    from hpc.experiments.schema import load_experiment

    request = request_of(manifest)
    file = workspace.experiment_file(request.name)
    spec = load_experiment(file, request.overrides, code=workspace.project, is_named=True)
    inputs = spec.program.inputs.values()
    code = find_code(workspace.project, workspace.root, inputs, canonical_json(spec.raw))
    return differences(spec.raw, code, manifest)


def describe_edits(workspace: Workspace, manifest: Mapping[str, Any]) -> list[str]:
    """Say what was edited since an experiment was planned, and so is not in its runs; nothing where nothing was."""
    if not _is_touched(workspace, manifest):
        return []
    try:
        changed = _edits(workspace, manifest)
    except InputError:
        changed = ["files that cannot be planned as they are now"]
    if not changed:
        return []
    return [f"changed since it was planned, and not in these runs: {few(changed, between='; ')}. "
            f"To plan again: {request_of(manifest).command}"]  # fmt: skip


def _is_touched(workspace: Workspace, manifest: Mapping[str, Any]) -> bool:
    """Whether a file that a plan is made from was written since, or is gone; spares making the plan again."""
    try:
        files = [workspace.experiment_file(request_of(manifest).name)]
    except InputError:
        return False
    copy = Path(manifest["provenance"]["code"]["path"])
    files += [
        workspace.project / Path(parent, name).relative_to(copy) for parent, _, names in os.walk(copy) for name in names
    ]
    try:
        written = max(file.lstat().st_ctime for file in files if "__pycache__" not in file.parts)
    except OSError:
        return True
    return written > float(manifest["provenance"]["created"]) - CLOCKS_S
