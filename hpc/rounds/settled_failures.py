"""Failed runs whose files are as they were: their verdicts stand, and nothing is read of their logs and curves.

What is decided about them is decided at every collection, for it depends on others: on what was learned, what a person
released, which siblings finished since. So a failed run is held as one that was judged just now. Its verdicts stand in
its line of ``verdicts.json``; kept beside them is what else is asked of the numbers of its attempts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hpc.core.failures.evidence import Verdict
from hpc.core.failures.outcomes import Outcome
from hpc.core.records.record import RecordError, record_from
from hpc.rounds.judge import JudgedAttempt, JudgedTask
from hpc.rounds.numbers import numbers_of, results_from
from hpc.snapshots.states import AttemptState, TaskState

Told = Sequence[Any]
"""What is kept of an attempt: verdict of its files alone (None: the one that stands), siblings, numbers."""


def keep_failure(task: JudgedTask) -> list[Told] | None:
    """What is kept of a failed run, as JSON; None for one that has to be judged anew.

    That is one some of whose files could not be read (the file system may have been the cause), one of which something
    is gone, and one that was adopted, whose verdicts are written otherwise than they are given.
    """
    if task.outcome is not Outcome.FAILED or task.kept is not None or not task.attempts:
        return None
    if not all(each.verdict is not None and each.is_whole and not _is_adopted(each) for each in task.attempts):
        return None
    return [_keep_attempt(each) for each in task.attempts]


def _is_adopted(attempt: JudgedAttempt) -> bool:
    record = attempt.state.record
    return record is not None and bool(record.adopted)


def _keep_attempt(attempt: JudgedAttempt) -> Told:
    alone = attempt.alone if attempt.alone != attempt.verdict else None
    return [attempt.state.number, asdict(alone) if alone else None, attempt.beside, *numbers_of(attempt.results)]


def recall_failure(state: TaskState, told: Sequence[Told], line: bytes) -> JudgedTask | None:
    """A failed run as it was judged before; None where what is left of that does not fit together.

    Args:
        told: What was kept, as `keep_failure`.
        line: Its line of ``verdicts.json``.
    """
    try:
        entry = json.loads(line)
        verdicts = [record_from(Verdict, each["verdict"]) for each in entry["attempts"]]
        attempts = [_recall_attempt(*each) for each in zip(state.attempts, told, verdicts, strict=True)]
    except (RecordError, ValueError, LookupError, TypeError):
        return None
    is_it = entry.get("task_id") == state.task.task_id and entry.get("outcome") == Outcome.FAILED
    return JudgedTask(state, tuple(attempts), Outcome.FAILED) if is_it else None


def _recall_attempt(state: AttemptState, told: Told, verdict: Verdict) -> JudgedAttempt:
    number, alone, beside, *numbers = told
    if number != state.number:
        raise ValueError(number)
    before = record_from(Verdict, alone) if alone else None
    return JudgedAttempt(state, results_from(numbers, state.layout), verdict, before, beside)
