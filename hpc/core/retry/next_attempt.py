"""The last attempt once more, with what is different, away from nodes that were to blame; or no, with the reason."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from hpc.core.failures.breaker import ONE_NODES, one_node
from hpc.core.failures.evidence import FailureClass
from hpc.core.records.submitted import LOCAL
from hpc.core.resources import HOUR, render_memory, render_time
from hpc.core.retry.records import AttemptFacts, Declined, FailedTask, Retry, Situation

F = FailureClass
_NODE_CLASSES = (F.NODE_FAILURE, F.GPU_HARDWARE)  # … of which the node is to blame, and left out


def again(task: FailedTask, situation: Situation, reason: str, changes: tuple[str, ...], **different: object) -> Retry:
    """The last attempt once more, from its newest checkpoint, with what is different.

    Args:
        task: The failed task.
        situation: What is known beside it.
        reason: Why it is tried again, one sentence.
        changes: What the next attempt has that the last one had not, each in words.
        different: Fields of `Retry` with other values than the last attempt or the plan gives them.
    """
    last = task.last
    micro, accumulation = task.planned_batch or (last.micro_batch, last.accumulation)
    same = Retry(
        task_id=task.task_id,
        run_name=task.run_name,
        attempt=last.number + 1,
        memory_mib=task.planned_memory_mib or last.memory_mib,
        time_s=task.planned_time_s or last.time_s,
        micro_batch=micro,
        accumulation=accumulation,
        resume=bool(task.checkpoints),
        resume_from=task.checkpoints[-1] if task.checkpoints else "",
        exclude_nodes=_excluded_nodes(task, situation),
        parameter_overrides=task.overrides,
        mixed_precision=task.mixed_precision,
        altered=task.altered,
        reason=reason,
        changes=(*changes, *_planned_anew(task, different)),
        alone=any(each.packed > 1 and each.category is F.OOM_GPU for each in task.attempts),
        category=last.category.value,
    )
    return replace(same, **different)  # type: ignore[arg-type]  # the names are Retry's own


def _planned_anew(task: FailedTask, different: Collection[str]) -> Iterator[str]:
    """What the plan asks for since the last attempt, unless its cause asks for something else."""
    last, why = task.last, "the plan was changed"
    if task.planned_memory_mib and "memory_mib" not in different:
        yield f"memory {render_memory(last.memory_mib)} → {render_memory(task.planned_memory_mib)}: {why}"
    if task.planned_time_s and "time_s" not in different:
        yield f"time {render_time(last.time_s)} → {render_time(task.planned_time_s)}: {why}"
    if task.planned_batch and "micro_batch" not in different:
        yield f"micro_batch {last.micro_batch} → {task.planned_batch[0]}: {why}"


def _excluded_nodes(task: FailedTask, situation: Situation) -> tuple[str, ...]:
    """Nodes to avoid: the latest bad ones that may not have been mended yet."""
    policy, now = situation.policy, situation.now
    bad = [
        node
        for attempt in task.attempts
        for node in bad_nodes(attempt)
        if not situation.is_elsewhere(attempt)
        and (now is None or attempt.ended is None or now - attempt.ended < policy.exclude_hours * HOUR)
    ]
    latest = list(dict.fromkeys(reversed(bad)))[: policy.exclude_at_most]
    return tuple(reversed(latest))


def bad_nodes(attempt: AttemptFacts) -> tuple[str, ...]:
    """The nodes to avoid that an attempt tells of; of several nodes (``n[1-4]``) mostly nobody knows which one it was.

    An I/O error may be one node's mount or disk. On this machine there is no other to go to.
    """
    if attempt.unfit_nodes:
        return attempt.unfit_nodes
    is_to_blame = attempt.category in _NODE_CLASSES or may_be_the_nodes(attempt)
    return (attempt.node,) if is_to_blame and one_node(attempt.node) else ()


def may_be_the_nodes(attempt: AttemptFacts) -> bool:
    """Whether storage failed in a way that a single node may have, and there are others."""
    is_io = attempt.category is F.STORAGE and attempt.verdict.cause in ONE_NODES
    return is_io and bool(one_node(attempt.node)) and attempt.cluster != LOCAL


def decline(task: FailedTask, reason: str, next_step: str, command: str = "") -> Declined:
    """Say that a task is not tried again.

    Args:
        task: The failed task.
        reason: Why not.
        next_step: What a person can do about it.
        command: Which command does it; empty without one.
    """
    return Declined(task.task_id, task.run_name, task.last.category, reason, next_step, command)
