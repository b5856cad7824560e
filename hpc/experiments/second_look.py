"""The second look: `plan --second-look` adds the further seeds of what the first ones did not settle, and nothing else.

Who gets them is decided by ``python -m analysis.second_look``, started as a command line because no command imports the
statistics. The experiment stays as it was planned: its manifest, code, image and site are taken over, tasks that are
there keep their ids, folders and results, and the manifest before stays under its hash.
"""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hpc.adapters.files import read_json
from hpc.adapters.manifest_store import load_manifest, manifest_sha, save_manifest, task_to_json
from hpc.core.errors import EXIT_TEMPORARY, EXIT_USAGE, HpcError, InputError, NothingToDo, TemporaryError
from hpc.core.experiment.grid import CASE, make_task
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.slurm.arrays import first_assignment
from hpc.experiments.code_files import CodeFiles
from hpc.experiments.freezing import Change, Plan, frozen_of, tasks_of
from hpc.experiments.sealing import record_look
from hpc.submissions.prepare import prepare_submissions
from hpc.workspace import own_command, own_environment


def decide_second_look(layout: RunLayout) -> dict[str, Any]:
    """Ask the statistics which configurations get which seeds: the JSON of ``python -m analysis.second_look``.

    Raises:
        InputError: The experiment is not collected, or declares nothing to decide by; in the command's own words.
        HpcError: The command failed.
    """
    command = own_command("analysis.second_look", layout.experiment, "--root", str(layout.root))
    done = subprocess.run(command, env=own_environment(), capture_output=True, text=True, check=False)
    said = done.stderr.strip().removeprefix("error: ")
    if done.returncode == EXIT_USAGE:
        raise InputError(said)
    if done.returncode == EXIT_TEMPORARY:
        raise TemporaryError(said)
    if done.returncode:
        raise HpcError(f"{' '.join(command[1:])} failed: {said.splitlines()[-1] if said else done.returncode}")
    decided: dict[str, Any] = json.loads(done.stdout)
    return decided


def make_second_look(layout: RunLayout, decided: Mapping[str, Any]) -> Plan:
    """Return the experiment with the tasks that a second look adds; nothing is written (see `write_second_look`).

    Raises:
        InputError: The experiment was planned again since the decision.
        NothingToDo: No configuration gets further seeds.
    """
    manifest = load_manifest(layout)
    if decided["manifest_sha"] != manifest["sha256"]:
        raise InputError(f"{layout.experiment} was planned again meanwhile; collect and try again")
    frozen = frozen_of(manifest)
    present = tasks_of(manifest)
    taken = {task.task_id for task in present}
    added = [task for task in further_tasks(frozen.spec, decided["extensions"]) if task.task_id not in taken]
    if not added:
        reasons = "; ".join(f"{each['label']}: {each['reason']}" for each in decided["extensions"][:10])
        raise NothingToDo(f"{layout.experiment}: no configuration gets further seeds. {reasons}")
    look = {
        "time": time.time(),
        "manifest_sha": manifest["sha256"],
        "tasks": [task.task_id for task in added],
        "extensions": [each for each in decided["extensions"] if each["seeds"]],
    }
    extended = {
        **manifest,
        "tasks": [*manifest["tasks"], *map(task_to_json, added)],
        "follow_ups": [*manifest.get("follow_ups", ()), look],
    }
    extended["sha256"] = manifest_sha(extended)
    change = Change(tuple(task.run_name for task in added), tuple(task.run_name for task in present), ())
    frozen = frozen_of(extended)
    return Plan(layout, frozen, (*present, *added), change, (), CodeFiles({}), CodeFiles({}), "")


def further_tasks(spec: ExperimentSpec, extensions: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Return the task of each configuration and seed that was decided."""
    return [
        make_task(spec, {**({CASE: each["case"]} if each["case"] is not None else {}), **each["parameters"]}, seed)
        for each in extensions
        for seed in each["seeds"]
    ]


def write_second_look(plan: Plan, new: Sequence[Task]) -> list[SubmissionLayout]:
    """Write scripts and manifest, and record that the results were looked at to decide this.

    Args:
        new: The tasks to prepare submissions for.
    """
    verdicts = read_json(plan.layout.verdicts)
    ended = sum(task["outcome"] in ("finished", "failed") for task in verdicts["tasks"])
    record_look(plan.layout, "follow_up", verdicts["collected"], ended, len(verdicts["tasks"]))
    submissions = prepare_submissions(
        plan.layout, plan.frozen, [first_assignment(plan.frozen.spec, task) for task in new]
    )
    save_manifest(plan.layout, plan.manifest)
    return submissions
