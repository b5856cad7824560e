"""Look at what an experiment needs beside machines: its files, its data, its key, its own folder."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpc.adapters.shared_disk import folder_in, said
from hpc.adapters.this_machine import find_wandb_key
from hpc.adapters.wandb_cloud import key_file
from hpc.checkup.bounded import Begin
from hpc.checkup.examined import Examined
from hpc.core.checkup.check import Check
from hpc.core.checkup.experiment import judge_binds, judge_data, judge_program, judge_run_folder, judge_wandb
from hpc.core.checkup.needs import Needs
from hpc.core.errors import InputError
from hpc.core.identity import canonical_json
from hpc.core.launch.expansion import UnsetError, expand
from hpc.core.layout import RunLayout
from hpc.experiments.code_files import check_program, find_code
from hpc.experiments.freezing import own_code
from hpc.workspace import Workspace

CODE_S = 30.0
"""A project's files are sorted as `plan` does it; a large one takes some seconds."""


def look_at_experiment(examined: Examined) -> Iterator[Begin | Check]:
    """Make the checks of the experiment."""
    spec, needs, workspace = examined.spec, examined.needs, examined.workspace
    if spec is None or needs is None:
        return
    yield Begin("program", CODE_S)
    try:
        inputs, text = spec.program.inputs.values(), canonical_json(spec.raw)
        check_program(spec.program, find_code(workspace.project, workspace.root, inputs, text), own_code())
        problem = ""
    except InputError as error:
        problem = "; ".join(each.message for each in error.problems)
    yield judge_program(needs, problem)
    yield Begin("data")
    missing = [path for path in needs.inputs.values() if not Path(path).exists()]
    yield judge_data(needs, missing, {name: path for name, path in needs.paths.items() if not Path(path).exists()})
    yield Begin("binds")
    variables = {**os.environ, **examined.profile.environment, **spec.environment}
    yield judge_binds(*_look_at_binds(needs, variables), examined.is_local)
    yield Begin("wandb")
    own = None if needs.wandb_mode == "online" else key_file(os.environ)
    yield judge_wandb(needs.wandb_mode, *find_wandb_key(os.environ, own), _offline_problem())
    yield Begin("run folder")
    layout = RunLayout(workspace.root, needs.name)
    yield judge_run_folder(_folder_problem(workspace, layout), str(layout.home))


def _look_at_binds(needs: Needs, variables: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Sources that are not here, and binds that name variables that are not set here."""
    missing, unset = [], []
    for bind in needs.binds:
        try:
            source = expand(bind, variables).partition(":")[0]
        except UnsetError:
            unset.append(bind)
            continue
        if not Path(source).exists():
            missing.append(source)
    return missing, unset


def _offline_problem() -> str:
    """Why wandb's own folder cannot be written, where somebody named one; a run's folder is looked at by others."""
    named = os.environ.get("WANDB_DIR", "")
    if not named or os.access(named, os.W_OK | os.X_OK):
        return ""
    return f"WANDB_DIR is {named}, which cannot be written"


def _folder_problem(workspace: Workspace, layout: RunLayout) -> str:
    """Why the experiment's folder is not ours to write; where it is not there yet nothing speaks against it."""
    if not layout.home.exists():
        return ""
    try:
        workspace.refuse_foreign(layout)
        for folder in (layout.home, layout.submissions, layout.tasks):
            if folder.exists():
                with folder_in(folder):
                    pass
    except InputError as error:
        return str(error).partition(":")[0]
    except OSError as error:
        return f"{error.filename or layout.home}: {said(error)}"
    return ""
