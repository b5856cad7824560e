"""The siblings of a round: attempts that are newly over are counted, failures are judged beside those that finished."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from hpc.adapters.logs import read_program_logs
from hpc.adapters.progress import through
from hpc.adapters.siblings_file import read_siblings, write_siblings
from hpc.core.failures.siblings import Kind, Siblings, add, group_by_cause, judge_among, kind_of
from hpc.core.failures.templates import keys_of
from hpc.core.layout import RunLayout
from hpc.rounds.judge import JudgedAttempt, JudgedExperiment, JudgedTask
from hpc.snapshots.evidence import gather, read_results, was_read

Counted = tuple[str, Kind, str, int]
"""An attempt's name, how it ended, its run and its number."""


def judge_beside_siblings(judged: JudgedExperiment, *, writes: bool) -> tuple[JudgedExperiment, Siblings]:
    """Count what is over and not counted yet, and judge every failure again beside the finished runs.

    Only reasons change: a failed run stays failed.

    Args:
        writes: Keep the index; without, what it holds now is used with what is newly over.
    """
    before = read_siblings(judged.layout)
    over = list(_over(judged))
    siblings = _updated(judged.layout, before, over)
    if writes and siblings is not before:
        with suppress(OSError):  # it is derived: the next round makes it again
            write_siblings(judged.layout, siblings)
    tasks = through("comparing failed runs with finished ones", judged.tasks)
    return replace(judged, tasks=tuple(_again(judged, task, siblings) for task in tasks)), siblings


def name_of(task: JudgedTask, attempt: JudgedAttempt) -> str:
    """What an attempt is called in the index."""
    return f"{task.state.task.run_name}/attempt-{attempt.state.number}"


def causes_of(failed: Sequence[JudgedTask], siblings: Siblings) -> list[int]:
    """Number the causes behind failed tasks, by their last attempts; those without a verdict have one together."""
    last = [(task, task.attempts[-1]) for task in failed if task.attempts]
    named = {id(task): (name_of(task, attempt), attempt.verdict) for task, attempt in last if attempt.verdict}
    numbers = group_by_cause([(name, verdict) for name, verdict in named.values() if verdict], siblings)
    known = dict(zip(named, numbers, strict=True))
    return [known.get(id(task), -1) for task in failed]


def _over(judged: JudgedExperiment) -> Iterator[Counted]:
    """Every attempt that is over; of a run that is settled, the one that gave its result."""
    for task in judged.tasks:
        run = task.state.task.run_name
        if task.settled and task.state.attempts:
            number = task.state.late.number if task.state.late else task.state.attempts[-1].number
            yield f"{run}/attempt-{number}", Kind.FINISHED, run, number
        for attempt in task.attempts:
            kind = kind_of(attempt.verdict) if attempt.verdict and not attempt.state.unreadable else None
            if kind is not None:
                yield name_of(task, attempt), kind, run, attempt.state.number


def _updated(layout: RunLayout, siblings: Siblings, over: list[Counted]) -> Siblings:
    """The index with every attempt; made anew where one is judged otherwise than when it was counted."""
    known = {name: kind for name, kind, *_ in over}
    if any(known.get(name, kind) is not kind for name, kind in siblings.runs.items()):
        siblings = Siblings()
    for name, kind, run, number in through("counting how runs ended", over):
        if name not in siblings.runs and not siblings.is_full(kind):
            siblings = add(siblings, name, kind, keys_of(read_program_logs(layout.attempt(run, number))))
    return siblings


def _again(judged: JudgedExperiment, task: JudgedTask, siblings: Siblings) -> JudgedTask:
    """A task whose failed attempts were judged beside the siblings; a finished one as it was."""
    if not task.attempts:
        return task
    attempts = tuple(_judged_again(judged, each, siblings) for each in task.attempts)
    is_same = all(one is other for one, other in zip(attempts, task.attempts, strict=True))
    return task if is_same else replace(task, attempts=attempts)


def _judged_again(judged: JudgedExperiment, attempt: JudgedAttempt, siblings: Siblings) -> JudgedAttempt:
    alone = attempt.alone or attempt.verdict
    if alone is None or attempt.state.unreadable or kind_of(alone) is not Kind.FAILED:
        return attempt
    if attempt.beside == siblings.digest:
        return attempt
    if not siblings.may_change(alone):
        return replace(attempt, verdict=alone, alone=None, beside=siblings.digest)
    results = read_results(attempt.state.layout)
    evidence = gather(judged.layout, attempt.state, results)
    verdict, is_whole = judge_among(evidence, siblings), attempt.is_whole and was_read(evidence, results)
    return replace(attempt, verdict=verdict, alone=alone, beside=siblings.digest, is_whole=is_whole)
