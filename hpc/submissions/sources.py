"""Chains of experiments: which runs of others a task needs, and whether they have finished (`after`, ``{run:train}``).

A task is handed to a scheduler when its runs have finished, and not before: a run that is tried again has another
Slurm job, so no dependency between jobs would hold (docs/decisions/0025-chains.md). What waits is written nowhere; it
is what has no submission yet, and every command finds it again.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.adapters import slurm
from hpc.adapters.collected_file import read_entries
from hpc.adapters.finished_run import NotFinishedError, find_finished
from hpc.adapters.manifest_store import load_manifest, planned_below, task_from_json
from hpc.adapters.owner import TRUSTED, refuse_foreign
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.immutable import immutable, replace
from hpc.core.launch.program import experiments_before, named_experiments
from hpc.core.layout import RunLayout
from hpc.core.records.index import Source, SubmissionIndex, Used
from hpc.core.slurm.arrays import Assignment
from hpc.core.slurm.states import SlurmState
from hpc.core.words import few

NAMED = 5


@immutable
class Other:
    """An experiment that comes before another.

    Attributes:
        tasks: Its tasks, as it is planned now.
        args: Its fixed arguments.
        after: What it comes after itself.
        is_named: Whether commands name its runs: then exactly one may match.
    """

    layout: RunLayout
    tasks: tuple[Task, ...]
    args: Mapping[str, Any]
    after: tuple[str, ...]
    is_named: bool


def read_others(layout: RunLayout, spec: ExperimentSpec) -> tuple[Other, ...]:
    """Read the experiments that come before one.

    Raises:
        InputError: One is not planned, is this one, or comes after it.
    """
    config = spec.program.config
    named = named_experiments(spec.program.command, config.content if config else None)
    others, problems = list[Other](), list[Problem]()
    for name in spec.after:
        other = RunLayout(layout.root, name)
        try:
            refuse_foreign(other, os.environ.get(TRUSTED, "").split(os.pathsep), acts=False)
            others.append(_read(other, is_named=name in named))
        except InputError as error:
            is_there = other.manifest.exists()
            problems += (
                [Problem(each.message, "after") for each in error.problems] if is_there else [_unknown(layout, name)]
            )
    problems += [Problem(text, "after") for text in _circles(layout, others)]
    if problems:
        raise InputError(problems, spec.name)
    return tuple(others)


def _unknown(layout: RunLayout, name: str) -> Problem:
    if name == layout.experiment:
        return Problem(f"'{name}' comes after '{name}' itself: it would wait forever", "after")
    known = planned_below(layout.root)
    hint = f"{nearest(name, known)}. " if known else ""
    return Problem(f"no runs of '{name}' below {layout.root}; {hint}Plan it first: python -m hpc.plan {name}", "after")


def _read(layout: RunLayout, *, is_named: bool) -> Other:
    manifest = load_manifest(layout)
    tasks = tuple(task_from_json(each) for each in manifest["tasks"])
    args = manifest["spec"]["program"].get("args") or {}
    return Other(layout, tasks, args, experiments_before(manifest["spec"]), is_named)


def _circles(layout: RunLayout, others: Sequence[Other]) -> list[str]:
    """Name the experiments that wait for this one, in however many steps."""
    found = []
    for other in others:
        seen, left = {other.layout.experiment}, [*other.after]
        while left and layout.experiment not in seen:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                try:
                    left += _read(RunLayout(layout.root, name), is_named=False).after
                except InputError:
                    continue
        if layout.experiment in seen:
            found.append(
                f"'{other.layout.experiment}' comes after '{layout.experiment}' itself: both would wait forever"
            )
    return found


def match(spec: ExperimentSpec, other: Other, task: Task) -> tuple[Task, ...]:
    """The runs of another experiment that belong to a task: same seed, same case and same values of what both set."""
    ours = {**spec.program.args, **task.parameters}

    def agrees(theirs: Task) -> bool:
        has_other_case = task.case is not None and theirs.case is not None and task.case != theirs.case
        if theirs.seed != task.seed or has_other_case:
            return False
        return all(_is_same(ours[name], value) for name, value in theirs.parameters.items() if name in ours)

    return tuple(each for each in other.tasks if agrees(each))


def _is_same(one: object, other: object) -> bool:
    """Whether two values are one: 1 and 1.0 are, 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def find_sources(layout: RunLayout, spec: ExperimentSpec, tasks: Sequence[Task]) -> dict[str, tuple[Source, ...]]:
    """Task id → the runs it needs; empty where the experiment comes after none.

    Raises:
        InputError: An experiment is not planned; or for some task no run matches, or several where one is named.
    """
    if not spec.after:
        return {}
    others, problems = read_others(layout, spec), list[Problem]()
    found: dict[str, tuple[Source, ...]] = {}
    for task in tasks:
        for other in others:
            matching = match(spec, other, task)
            if problem := _mismatch(other, task, matching):
                problems.append(Problem(problem, "after"))
            name = other.layout.experiment
            sources = tuple(Source(name, each.run_name, each.task_id, other.is_named) for each in matching)
            found[task.task_id] = (*found.get(task.task_id, ()), *sources)
    if problems:
        more = [Problem(f"and {len(problems) - NAMED} more like these", "after")] if len(problems) > NAMED else []
        raise InputError([*problems[:NAMED], *more], spec.name)
    return found


def _mismatch(other: Other, task: Task, matching: Sequence[Task]) -> str:
    name = other.layout.experiment
    if not matching:
        return (
            f"no run of '{name}' matches {task.run_name}: none has its seed {task.seed} and its values of the shared "
            "parameters"
        )
    if other.is_named and len(matching) > 1:
        shown = ", ".join(each.run_name for each in matching[:3])
        differs = [
            key for key in matching[0].parameters if len({str(each.parameters.get(key)) for each in matching}) > 1
        ]
        return (
            f"{len(matching)} runs of '{name}' match {task.run_name} ({shown}{', …' if len(matching) > 3 else ''}); "
            f"say which: set {' and '.join(differs) or 'case'} in program.args or in the sweep"
        )
    return ""


def with_sources(layout: RunLayout, spec: ExperimentSpec, index: SubmissionIndex) -> SubmissionIndex:
    """Write into an index which runs its tasks need, and the digests of those that have finished."""
    if not spec.after:
        return index
    tasks = [Task(each.task_id, each.run_name, each.parameters, each.seed, each.case) for each in index.entries]
    found, known = find_sources(layout, spec, tasks), dict[Source, Source]()
    for source in (each for sources in found.values() for each in sources):
        if source not in known:
            used = finished(layout.root, source)
            known[source] = replace(source, digest=used.digest) if isinstance(used, Used) else source
    entries = (replace(each, sources=tuple(known[source] for source in found[each.task_id])) for each in index.entries)
    return replace(index, entries=tuple(entries))


def finished(root: Path, source: Source) -> Used | str:
    """The finished run, or why there is none."""
    try:
        used = find_finished(root, source)
    except (NotFinishedError, OSError) as error:
        return str(error)
    entry = read_entries(RunLayout(root, source.experiment)).get(source.task_id)
    told = entry["attempts"][-1] if entry and entry["attempts"] else {}
    if entry and told.get("attempt") == used.attempt and entry["outcome"] == "failed":
        return f"was judged failed ({entry['failure_class']})"
    return used


@immutable
class Split:
    """Tasks by whether what they need has finished.

    Attributes:
        ready: They can be handed over.
        waiting: They cannot yet.
        why: What they wait for, in words; empty where none waits.
    """

    ready: tuple[Assignment, ...]
    waiting: tuple[Assignment, ...] = ()
    why: str = ""


def split_ready(layout: RunLayout, spec: ExperimentSpec, assignments: Sequence[Assignment]) -> Split:
    """Tell the tasks whose runs have finished from those that have to wait.

    Raises:
        InputError: As `find_sources`.
    """
    if not spec.after or not assignments:
        return Split(tuple(assignments))
    found = find_sources(layout, spec, [each.task for each in assignments])
    reasons: dict[Source, str] = {}
    for source in dict.fromkeys(each for sources in found.values() for each in sources):
        if isinstance(used := finished(layout.root, source), str):
            reasons[source] = used
    waits = [any(source in reasons for source in found[each.task.task_id]) for each in assignments]
    ready = tuple(each for each, waiting in zip(assignments, waits, strict=True) if not waiting)
    waiting = tuple(each for each, waiting in zip(assignments, waits, strict=True) if waiting)
    return Split(ready, waiting, describe_missing(reasons))


@immutable
class JobsBefore:
    """The Slurm jobs an experiment comes after.

    Attributes:
        live: Those that wait or run, as ``sbatch --dependency`` takes them; empty where all ended well.
        lost: Which did not end well, or are not known, in words; empty for none.
    """

    live: str = ""
    lost: str = ""


def look_at_jobs(spec: ExperimentSpec) -> JobsBefore:
    """Ask Slurm for the jobs an experiment comes after.

    A dependency on a job that Slurm has forgotten is none: sbatch takes it, and starts the array at once.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    live, lost = list[str](), list[str]()
    for job in spec.after_jobs:
        states = slurm.query_states(job)
        ended_badly = [each for each in states if each.is_finished and each is not SlurmState.COMPLETED]
        if not states:
            lost.append(f"Slurm does not know job {job}, or no longer")
        elif ended_badly:
            lost.append(f"job {job} ended with {ended_badly[0]}")
        elif any(not each.is_finished for each in states):
            live.append(str(job))
    return JobsBefore(":".join(live), "; ".join(lost))


def describe_missing(reasons: Mapping[Source, str]) -> str:
    """Name the runs that are waited for; empty for none."""
    if not reasons:
        return ""
    named = [f"{each.experiment}/{each.run_name} {why}" for each, why in reasons.items()]
    return f"not finished: {few(named, NAMED, '; ')}"
