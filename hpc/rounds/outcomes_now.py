"""Every task's outcome as `collect` would give it now, without collecting: what `status` counts.

The rule is one (`hpc.core.failures.outcomes`). Decided here is only where the verdict on a last attempt comes from: the
newest collection where it has seen that end, the exit record where it alone is enough, else logs and metrics.
"""

from collections.abc import Sequence

from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.failures.outcomes import Outcome, outcome_of
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.snapshots.kept import is_same
from hpc.snapshots.remembered import Memory
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState

MOST_JUDGED = 200
"""Ends that are looked at; logs and metrics of each are read, which takes some 10 ms."""


@immutable
class OutcomesNow:
    """The outcomes of all tasks.

    Attributes:
        outcomes: One a task, in the manifest's order.
        judged: Ends that were looked at, because no collection has seen them.
        by_exit_code: Tasks that ended with exit code 0 beyond those that were looked at: they count as finished.
    """

    outcomes: Sequence[Outcome]
    by_exit_code: int
    judged: int = 0


def find_outcomes(snapshot: Snapshot, memory: Memory | None = None) -> OutcomesNow:
    """Tell every task's outcome. Writes nothing.

    Args:
        memory: What is remembered of ends that were looked at, and takes in those that are.
    """
    outcomes: list[Outcome] = []
    judged = by_exit_code = 0
    for state in snapshot.tasks:
        if state.late and state.late.brief:
            outcomes.append(Outcome.FINISHED)
            continue
        verdict, is_known = _known_verdict(state)
        if not is_known and judged < MOST_JUDGED:
            judged += 1
            verdict = _judge(snapshot.layout, state, memory)
        elif not is_known:
            by_exit_code += 1
            verdict = _SUCCESS
        outcomes.append(_outcome(state, verdict))
    return OutcomesNow(outcomes, by_exit_code, judged)


_SUCCESS = Verdict(FailureClass.SUCCESS, "seen-elsewhere")
_FAILED = Verdict(FailureClass.UNKNOWN, "seen-elsewhere")


def _outcome(state: TaskState, verdict: Verdict | None) -> Outcome:
    if state.has_kept_result:
        return Outcome.FINISHED
    return outcome_of(
        [verdict] if state.last else [],
        is_running=any(each.progress is Progress.RUNNING for each in state.attempts),
        is_waiting=any(each.progress is Progress.WAITING for each in state.attempts),
    )


def _known_verdict(state: TaskState) -> tuple[Verdict | None, bool]:
    """The verdict on the last attempt, and whether it is known without a look at logs and metrics."""
    last = state.last
    if last is None or state.is_live or state.has_kept_result:
        return None, True
    if last.unreadable is not None or (last.end is not None and not last.end.is_done):
        return _FAILED, True  # an exit code that is not 0 is never a success
    collected = _collected(state, last)
    return collected, collected is not None


def _collected(state: TaskState, last: AttemptState) -> Verdict | None:
    """What the newest collection concluded of this very end; None when it has not seen it."""
    if state.collected is None or not state.collected["attempts"]:
        return None
    told = state.collected["attempts"][-1]
    has_seen = told["attempt"] == last.number and is_same(told, last) and told.get("verdict")
    if not has_seen or (last.end is not None and told.get("ended") != last.end.ended):
        return None
    is_success = told["verdict"].get("category") == FailureClass.SUCCESS
    return _SUCCESS if is_success else _FAILED


def class_collected(state: TaskState) -> str | None:
    """The failure class that the newest collection named for this very end; None where it has not seen it."""
    last = state.last
    if last is None or _collected(state, last) is None or state.collected is None:
        return None
    return str(state.collected["attempts"][-1]["verdict"].get("category") or "")


def _judge(layout: RunLayout, state: TaskState, memory: Memory | None) -> Verdict | None:
    """Look at logs and metrics, unless it is known what they come to."""
    last, evidence = state.last, ""
    if memory and last and last.began and state.collected is None:  # what was collected may stand for what is gone
        evidence = memory.evidence(last.layout, submission=last.submission, job=last.job, row=last.row)
        is_success = memory.is_success(state.task.run_name, evidence)
        if is_success is not None:
            return _SUCCESS if is_success else _FAILED
    from hpc.rounds.judge import judge_task

    task = judge_task(layout, state, include_running=False)
    if not task.attempts:
        return None
    is_success = task.outcome is Outcome.FINISHED
    if memory:
        memory.note_judged(state.task.run_name, evidence, is_success=is_success)
    return _SUCCESS if is_success else _FAILED
