"""The answers of a declared acceptance check, run by run: for what a round writes, and for `status` without a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpc.adapters.files import read_json_or_none, readable_record
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Check, Task
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import AttemptLayout
from hpc.core.question.acceptance import NOT_FINISHED, Accepted, CheckAnswer, by_command, by_expression
from hpc.core.records.check import CheckRecord
from hpc.core.resources import parse_time
from hpc.rounds.values_now import MOST_READ, is_collected
from hpc.snapshots.states import Snapshot, TaskState

if TYPE_CHECKING:
    from hpc.rounds.judge import JudgedExperiment, JudgedTask

NAMED = 5


def check_of(manifest: Mapping[str, Any]) -> Check | None:
    """The check an experiment declares; None for none."""
    told = manifest["spec"].get("check")
    if not told:
        return None
    return Check(told.get("expression") or "", told.get("command") or "", parse_time(told.get("time") or 600))


def answers_judged(judged: JudgedExperiment) -> dict[str, CheckAnswer]:
    """Run name → answer for every task of a round; empty where no check is declared."""
    check = judged.frozen.spec.check
    if check is None:
        return {}
    return {task.state.task.run_name: _judged(judged.snapshot.manifest, check, task) for task in judged.tasks}


def answer_for(task: JudgedTask, check: Check | None, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The answer for a task as ``verdicts.json`` has it; nothing where no check is declared."""
    if check is None:
        return {}
    answer = _judged(manifest, check, task)
    return {"check": answer.state, "check_said": answer.said, "check_text": check.text}


def _judged(manifest: Mapping[str, Any], check: Check, task: JudgedTask) -> CheckAnswer:
    from hpc.rounds.judge import final_values

    if task.outcome is not Outcome.FINISHED:
        return NOT_FINISHED
    if check.expression:
        return by_expression(check, final_values(task), _arguments(manifest, task.state.task))
    if told := task.settled.entry if task.settled else task.kept_result:
        return _kept(check, told)
    return by_command(check, _ran(task.attempts[-1].state.layout))


def _arguments(manifest: Mapping[str, Any], task: Task) -> dict[str, Any]:
    return {**(manifest["spec"]["program"].get("args") or {}), **task.parameters, "seed": task.seed}


def _ran(attempt: AttemptLayout) -> CheckRecord | None:
    return readable_record(attempt.check_json, CheckRecord)


def _kept(check: Check, entry: Mapping[str, Any]) -> CheckAnswer:
    """What was collected of a run that is gone, where it was the same check."""
    if entry.get("check") not in tuple(Accepted) or entry.get("check_text") != check.text:
        return by_command(check, None)
    return CheckAnswer(Accepted(entry["check"]), str(entry.get("check_said") or ""))


def answers_now(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> dict[str, CheckAnswer]:
    """The answers for the finished runs of a snapshot, read where it costs little; of the uncollected `MOST_READ`."""
    check = check_of(snapshot.manifest)
    if check is None:
        return {}
    finished = [task for task, outcome in zip(snapshot.tasks, outcomes, strict=True) if outcome is Outcome.FINISHED]
    return dict(_now(snapshot, check, finished))


def _now(snapshot: Snapshot, check: Check, finished: Sequence[TaskState]) -> Iterator[tuple[str, CheckAnswer]]:
    read = 0
    for state in finished:
        entry = state.collected if is_collected(state) else None
        if entry is None:
            read += 1
        if read > MOST_READ and entry is None:
            yield state.task.run_name, CheckAnswer(Accepted.UNCHECKED, "it is not collected yet")
        elif check.expression:
            values = entry["summary"] if entry else _left(snapshot, state)
            yield state.task.run_name, by_expression(check, values, _arguments(snapshot.manifest, state.task))
        elif state.last is not None:
            yield state.task.run_name, by_command(check, _ran(state.last.layout))
        else:
            yield state.task.run_name, _kept(check, state.collected or {})


def _left(snapshot: Snapshot, state: TaskState) -> dict[str, float | None]:
    """The final values in the run's own small file."""
    try:
        told = read_json_or_none(snapshot.layout.task(state.task.run_name).metrics_json)
    except (InputError, OSError):
        return {}
    found = told.items() if isinstance(told, dict) else ()
    return {name: value for name, value in found if value is None or type(value) in (int, float)}


def describe_checks(check: Check | None, answers: Mapping[str, CheckAnswer]) -> str:
    """Say in one line how many passed and which did not; empty without finished runs."""
    asked = {name: answer for name, answer in answers.items() if answer.state is not None}
    if check is None or not asked:
        return ""
    parts = [f"{_count(asked, Accepted.PASSED)} passed"]
    for state in (Accepted.FAILED, Accepted.UNCHECKED):
        found = [f"{name} ({answer.said})" for name, answer in asked.items() if answer.state is state]
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        parts += [f"{len(found)} {state}: {', '.join(found[:NAMED])}{more}"] if found else []
    return f"check {check.text}: {'; '.join(parts)}"


def count_answers(answers: Mapping[str, CheckAnswer]) -> dict[str, int]:
    """Answer → finished runs; nothing without a check."""
    return {state.value: _count(answers, state) for state in Accepted} if answers else {}


def _count(answers: Mapping[str, CheckAnswer], state: Accepted) -> int:
    return sum(answer.state is state for answer in answers.values())
