"""What a person asks to start again by name: classes of failure, or single runs, finished ones too.

Whoever asks for a bug or a result takes the consequence, so it is written down first, in ``again.jsonl``. What runs is
the planned code: where the working tree has moved on, that is said, and what only other code or settings can mend is
not started with the old ones.
"""

import getpass
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.ledger import append_json_line
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.experiment.spec import Task
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.retry.records import ON_REQUEST
from hpc.core.words import few
from hpc.experiments.freezing import Plan
from hpc.rounds.judge import JudgedExperiment, JudgedTask
from hpc.rounds.replanning import changed_since, put_in_place, request_of
from hpc.snapshots.kept import find_kept
from hpc.snapshots.other_code import OTHER_CODE, find_other_code
from hpc.snapshots.outdated import OUTDATED, find_outdated
from hpc.snapshots.states import Snapshot
from hpc.workspace import Workspace

BY_OTHER_CODE = (FailureClass.CODE_BUG, FailureClass.CONFIG)
"""Classes that the same plan would fail in again: they are mended in files that the plan has a copy of."""
RESULTS = (FailureClass.DIVERGENCE, FailureClass.NOT_CONVERGED)
NAMED = 8


@dataclass(frozen=True)
class Asked:
    """What is to be started again.

    Attributes:
        what: Classes of failure and names of runs.
        plan: The plan that the present files would make; None where they are not here, or not valid.
        changed: What that plan would change: files, and settings with both values.
        problem: Why the present files make no plan; empty where they do.
        making_way: Names of the runs that a new plan replaced, and that are to be started.
    """

    what: frozenset[str] = frozenset()
    plan: Plan | None = None
    changed: Sequence[str] = ()
    problem: str = ""
    making_way: Collection[str] = ()

    @property
    def changes(self) -> str:
        """What changed, shortly."""
        return few(self.changed, NAMED)


def read_request(names: Sequence[str], manifest: Mapping[str, Any]) -> frozenset[str]:
    """Check what was typed after ``--again``.

    Raises:
        InputError: Something is neither a class nor a run of the experiment; all of it at once.
    """
    classes = sorted(each.value for each in ON_REQUEST)
    runs = [task["run_name"] for task in manifest["tasks"]]
    wrong = [name for name in names if name not in {*classes, *runs}]
    if wrong:
        raise InputError([Problem(f"--again {name}: neither a failure class nor a run; {_near(name, classes, runs)}")
                          for name in wrong])  # fmt: skip
    return frozenset(names)


def _near(name: str, classes: Sequence[str], runs: Sequence[str]) -> str:
    shown = runs if len(runs) <= NAMED else runs[:NAMED]
    close = nearest(name, [*classes, *runs]).partition(" (valid")[0]
    hint = f"{close} " if close.startswith("did you mean") else ""
    return f"{hint}(classes: {', '.join(classes)}; runs: {', '.join(shown)}{', …' if len(runs) > len(shown) else ''})"


def _with_runs_of(layout: RunLayout, manifest: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Put the finished runs that are meant in the place of ``other_code`` and ``outdated``.

    Raises:
        InputError: There is none.
    """
    runs: list[str] = []
    for name in names:
        if name == OTHER_CODE:
            found, instead = list(find_other_code(layout, manifest).finished), "was made with the planned code"
        elif name == OUTDATED:
            found, instead = list(find_outdated(layout, manifest)), "started from what there is now"
        else:
            found, instead = [name], ""
        if not found:
            raise InputError(f"--again {name}: every finished run of {layout.experiment} {instead}")
        runs += found
    return runs


def prepare(
    workspace: Workspace, manifest: Mapping[str, Any], names: Sequence[str], *, replans: bool, dry_run: bool
) -> Asked:
    """Read what is asked for, hold the plan against the present files, and plan again where that is asked for, too.

    Raises:
        InputError: A name is wrong, or it is to be planned again and cannot be.
        TemporaryError: Slurm is needed and did not answer.
    """
    names = _with_runs_of(RunLayout(workspace.root, manifest["experiment"]), manifest, names)
    what = read_request(names, manifest)
    try:
        plan, changed = changed_since(workspace, manifest)
    except InputError as error:
        if replans:
            raise
        return Asked(what, problem=str(error))
    if not replans:
        return Asked(what, plan, changed)
    if plan is None:
        raise InputError(f"--replan: {manifest['experiment']} was not planned in this folder; go to its project first")
    done = put_in_place(plan, request_of(manifest).command, replaces=False, dry_run=dry_run)
    return Asked(what, plan, () if not dry_run else changed, making_way=[each.run_name for each in done.making_way])


def refuse_old_plan(asked: Asked, judged: JudgedExperiment, command: str) -> None:
    """Refuse to repeat with the old plan what only other code or settings mend, where there are some.

    Args:
        command: The command line that was typed.

    Raises:
        InputError: Plan again first; the message has both ways.
    """
    stale = [task.state.task.run_name for task in chosen(asked, judged) if task.failure_class in BY_OTHER_CODE]
    if stale and asked.changed:
        planning = request_of(judged.snapshot.manifest).command
        raise InputError(
            f"{few(stale, NAMED)} would run with the old plan, and the files here have changed since "
            f"({asked.changes}). Plan again first: {planning}    or in one step: {command} --replan"
        )


def chosen(asked: Asked, judged: JudgedExperiment) -> list[JudgedTask]:
    """The tasks that are meant: failed ones by class, failed and finished ones by name."""
    return [
        task
        for task in judged.of_outcome(Outcome.FAILED, Outcome.FINISHED)
        if task.failure_class in asked.what or task.state.task.run_name in asked.what
    ]


def problems_of(asked: Asked, judged: JudgedExperiment) -> Iterator[Problem]:
    """Say of each run that was named why it cannot be started again: it lives, never began, or its folder is gone."""
    name = judged.layout.experiment
    for task in judged.tasks:
        run = task.state.task.run_name
        if run not in asked.what or run in asked.making_way:
            continue
        if task.state.is_live:
            yield Problem(f"{run} runs or waits; to stop it first: python -m hpc.cancel {name} {run}")
        elif task.kept_result:
            yield Problem(f"the folder of {run} is gone; to run it again: python -m hpc.collect {name} --forget-gone")
        elif task.outcome is Outcome.PLANNED:
            yield Problem(f"{run} never ran; to start it: python -m hpc.submit {name}")


def say_consent(asked: Asked, judged: JudgedExperiment) -> list[str]:
    """What a person should know about what they asked for, one sentence each."""
    notes = []
    tasks = chosen(asked, judged)
    if results := [task.state.task.run_name for task in tasks if _has_result(task)]:
        notes.append(f"{few(results, NAMED)} had a result: the report will say that you asked for it again")
    if asked.changed and tasks:
        again = request_of(judged.snapshot.manifest).command
        notes.append(
            f"restarted tasks run with the old plan; the files here have changed since ({asked.changes}): {again}"
        )
    if asked.problem:
        notes.append(
            f"the files here no longer make a valid plan, so restarted tasks run with the old one: {asked.problem}"
        )
    return notes


def record_consent(layout: RunLayout, asked: Asked, judged: JudgedExperiment) -> None:
    """Write down who asked for what, before anything starts: ``again.jsonl``."""
    runs = [
        _named(
            task.state.task,
            "finished" if task.outcome is Outcome.FINISHED else str(task.failure_class),
            has_result=_has_result(task),
        )
        for task in chosen(asked, judged)
    ]
    _append(layout, sorted(asked.what), judged.snapshot.manifest["sha256"], runs)


def record_forgotten(snapshot: Snapshot) -> None:
    """Write down which kept results somebody lets go, so that they can run again: ``again.jsonl``."""
    entries = read_entries(snapshot.layout)
    kept = [(state.task, find_kept(entries.get(state.task.task_id), state.attempts)) for state in snapshot.tasks]
    runs = [_named(task, "finished", has_result=True) for task, one in kept if one and one.is_result]
    _append(snapshot.layout, ["--forget-gone"], snapshot.manifest["sha256"], runs)


def _named(task: Task, was: str, *, has_result: bool) -> dict[str, object]:
    return {"run_name": task.run_name, "task_id": task.task_id, "was": was, "has_result": has_result}


def _append(layout: RunLayout, asked: Sequence[str], manifest_sha: str, runs: Sequence[Mapping[str, object]]) -> None:
    if runs:
        line = {"time": time.time(), "user": _user(), "asked": asked, "manifest_sha": manifest_sha, "runs": runs}
        append_json_line(layout.again, line)


def _has_result(task: JudgedTask) -> bool:
    return task.outcome is Outcome.FINISHED or task.failure_class in RESULTS


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return ""
