"""What is tried again, how, and why the rest is not: failed tasks and a policy in, a plan out. Pure.

Every failed task comes back exactly once, as a `Retry` or as a `Declined`, each with its reason in words. The action
of each class stands in `actions`; `why` answers from the same table. Budgets are per class under one ceiling:
attempts that were taken away from the task (preempted, node or network lost, checkpointed on request) never count
against its memory and time budgets, and steps gained since the last attempt start the counts anew.
"""

from collections.abc import Sequence

from hpc.core.experiment.spec import RetryPolicy
from hpc.core.failures.evidence import FailureClass
from hpc.core.retry.actions import action_of
from hpc.core.retry.by_class import PLANS
from hpc.core.retry.counting import attempts_spent, blameless
from hpc.core.retry.next_attempt import again, decline
from hpc.core.retry.records import Decision, Declined, FailedTask, Retry, RetryPlan, Situation

F = FailureClass


def plan_retries(tasks: Sequence[FailedTask], situation: Situation) -> RetryPlan:
    """Decide for every failed task, in order, what is done about it: a plan in which each task stands exactly once."""
    decisions = [_decide(task, situation) for task in tasks]
    return RetryPlan(
        retry=tuple(decision for decision in decisions if isinstance(decision, Retry)),
        declined=tuple(decision for decision in decisions if isinstance(decision, Declined)),
    )


def _decide(task: FailedTask, situation: Situation) -> Decision:
    if is_asked_for(task, situation):
        return _on_request(task, situation)
    decision = _ceiling_reached(task, situation.policy) or PLANS[task.last.category](task, situation)
    is_let_be = task.last.cancelled and F.CANCELLED not in situation.again
    return _cancelled(task, situation) if is_let_be and isinstance(decision, Retry) else decision


def is_asked_for(task: FailedTask, situation: Situation) -> bool:
    """Whether a person named this run, or the class it failed in."""
    return task.last.category in situation.again or task.run_name in situation.again


def _ceiling_reached(task: FailedTask, policy: RetryPolicy) -> Declined | None:
    """Decline a task whose attempts are used up; None while it has some left, or its class has a better reason."""
    return None if blameless(task.last.verdict) or _has_no_action(task) else attempts_spent(task, policy)


def _has_no_action(task: FailedTask) -> bool:
    """Whether its class is never repeated: then the class is the better reason than the ceiling."""
    action = action_of(task.last.verdict)
    return action is None or action.action == "none"


def _on_request(task: FailedTask, situation: Situation) -> Decision:
    """Whoever asks has mended the cause, which no budget knows of, or wants to see it once more: that is their word."""
    category = task.last.category
    if category is F.SUCCESS:
        words = "it has its result, and is run again on request"
        return again(task, situation, words, (words,), resume=False, resume_from="")
    same = category is F.CODE_BUG and not task.code_changed
    words = f"{category}: started again on request" + (", with the code that failed" if same else "")
    return again(task, situation, words, (words,))


def _cancelled(task: FailedTask, situation: Situation) -> Decision:
    """A person's last word, whatever came before it: also of a run that would have been started again."""
    reason = f"somebody cancelled it ({task.last.category})"
    return decline(task, reason, "if that was not intended, undo it", situation.collect_again("cancelled"))
