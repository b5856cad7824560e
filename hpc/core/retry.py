"""What is tried again, how, and why the rest is not: failed tasks and a policy in, a plan out. Pure.

Every failed task comes back exactly once, as a `Retry` or as a `Declined`, each with its reason in words. The action
of each class stands in `ACTIONS`; `why` answers from the same table. Budgets are per class under one ceiling:
attempts that were taken away from the task (preempted, node or network lost, checkpointed on request) never count
against its memory and time budgets, and steps gained since the last attempt start their own count anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from hpc.core.evidence import FailureClass, Verdict
from hpc.core.learned import LEARNING_RATE_NAMES
from hpc.core.resources import render_memory, render_time
from hpc.core.spec import RetryPolicy, Value

F = FailureClass

LEARNING_RATE_FACTOR = 0.5
TAKEN_AWAY_BUDGET = {F.PREEMPTED: 10, F.NODE_FAILURE: 10, F.GPU_HARDWARE: 3, F.COMMUNICATION: 3}
"""Attempts in a row, without a step gained, after which even a blameless task is given up."""
_NODE_CLASSES = (F.NODE_FAILURE, F.GPU_HARDWARE)  # … of which the node is to blame, and left out
MAX_EXCLUDED = 3
"""Nodes a task avoids at most, the latest ones: nodes are mended, and a small partition must not run out of them."""
CHECKPOINTED_BUDGET = 3  # times a task may checkpoint without having gained a step


@dataclass(frozen=True)
class Action:
    """What a class leads to unless a budget is spent.

    Attributes:
        action: ``lower_micro_batch``, ``raise_memory``, ``resume``, ``resume_with_more_time``, ``earlier_checkpoint``,
            ``repeat_once`` or ``none``.
        changes: What the next attempt has that this one had not, one sentence.
        reason: Why that, or why nothing, one sentence.
    """

    action: str
    changes: str
    reason: str


_RESUME = Action(
    "resume", "goes on from its last checkpoint; does not count against max_attempts", "the task was not at fault"
)
_MEND = Action("none", "", "a blind retry would fail the same way; mend the cause, then submit again")
ACTIONS: dict[FailureClass, Action] = {
    F.OOM_GPU: Action(
        "lower_micro_batch",
        "micro-batch ÷2 and accumulation ×2: same global batch, same number of optimiser steps",
        "less memory is needed at a time, and the result stays comparable",
    ),
    F.OOM_HOST: Action("raise_memory", "host memory × memory_factor, up to the profile's limit", "the job needs more"),
    F.OOM_SHM: Action("raise_memory", "host memory × memory_factor: /dev/shm is a share of it", "the job needs more"),
    F.TIMEOUT: Action(
        "resume_with_more_time",
        "resumes from its checkpoint with time × timeout_factor, up to the profile's limit",
        "it was still working",
    ),
    F.PREEMPTED: _RESUME,
    F.NODE_FAILURE: replace(_RESUME, changes=_RESUME.changes + "; the node is excluded"),
    F.GPU_HARDWARE: replace(_RESUME, changes=_RESUME.changes + "; the node is excluded"),
    F.COMMUNICATION: _RESUME,
    F.DIVERGENCE: Action(
        "none", "", "a diverged run is a result; only retry.divergence: lower_learning_rate repeats it, altered"
    ),
    F.NOT_CONVERGED: Action("none", "", "a run that learned nothing is a result"),
    F.CHECKPOINT: Action("earlier_checkpoint", "goes back to the checkpoint before, once", "that one may be whole"),
    F.UNKNOWN: Action("repeat_once", "repeated as it was, once", "nothing known speaks against it"),
    F.CANCELLED: Action("none", "", "somebody did not want it to run"),
    F.STORAGE: _MEND,
    F.CONTAINER: _MEND,
    F.ENVIRONMENT: _MEND,
    F.DATA: _MEND,
    F.CONFIG: _MEND,
    F.CODE_BUG: _MEND,
}


def default_action(category: FailureClass) -> Action | None:
    """What happens to a task of this class while its budget lasts; None for a success."""
    return ACTIONS.get(category)


@dataclass(frozen=True)
class AttemptFacts:
    """What the plan needs to know of one attempt.

    Attributes:
        number: Attempt number, from 1.
        verdict: What it came to.
        memory_mib, time_s: What it was given.
        micro_batch, accumulation: As it ran; None when the experiment declares no batch.
        last_step: Highest step it reached; None when not known.
        resumed_from: Name of the checkpoint it started from; empty for none.
        node: Where it ran; empty when not known.
        elapsed_s: How long it ran.
        peak_memory_mib: Most host memory seen.
    """

    number: int
    verdict: Verdict
    memory_mib: int
    time_s: int
    micro_batch: int | None = None
    accumulation: int | None = None
    last_step: int | None = None
    resumed_from: str = ""
    node: str = ""
    elapsed_s: float | None = None
    peak_memory_mib: float | None = None

    @property
    def category(self) -> FailureClass:
        """Class of the verdict."""
        return self.verdict.category


@dataclass(frozen=True)
class FailedTask:
    """A task whose last attempt did not give its result.

    Attributes:
        task_id, run_name: As in the manifest.
        attempts: All of them, oldest first; at least one.
        global_batch: Samples per optimiser step, which nothing here may change silently; None when not declared.
        processes: Processes over all nodes.
        checkpoints: Names of complete checkpoints of any attempt, oldest first.
        parameters: Values given to the program, the learning rate among them where there is one.
        overrides: Parameters that earlier retries changed, with the values in use; later ones keep them.
        altered: Whether an earlier retry already changed what is being measured.
    """

    task_id: str
    run_name: str
    attempts: tuple[AttemptFacts, ...]
    global_batch: int | None = None
    processes: int = 1
    checkpoints: tuple[str, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict)
    overrides: Mapping[str, Value] = field(default_factory=dict)
    altered: bool = False

    @property
    def last(self) -> AttemptFacts:
        """The attempt the decision is about."""
        return self.attempts[-1]


@dataclass(frozen=True)
class Limits:
    """What the site grants at most; 0 means not known.

    Attributes:
        max_memory_mib: Host memory of a node.
        max_time_s: Longest time limit.
    """

    max_memory_mib: int = 0
    max_time_s: int = 0


@dataclass(frozen=True)
class Retry:
    """One attempt more, and what is different about it.

    Attributes:
        task_id, run_name: As in the manifest.
        attempt: Its number.
        memory_mib, time_s: What it is given.
        micro_batch, accumulation: What it runs with; None when the experiment declares no batch.
        resume: Whether it goes on from a checkpoint.
        resume_from: Name of that checkpoint; empty for none.
        exclude_nodes: Nodes it must not run on.
        parameter_overrides: Parameters with new values (only where the policy asks for it).
        altered: It no longer measures what the manifest asked; kept out of confirmatory comparisons.
        reason: Why, in words.
        changes: Each difference with old value, new value and cause.
    """

    task_id: str
    run_name: str
    attempt: int
    memory_mib: int
    time_s: int
    micro_batch: int | None = None
    accumulation: int | None = None
    resume: bool = False
    resume_from: str = ""
    exclude_nodes: tuple[str, ...] = ()
    parameter_overrides: Mapping[str, Value] = field(default_factory=dict)
    altered: bool = False
    reason: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declined:
    """A failed task that is left as it is.

    Attributes:
        task_id, run_name: As in the manifest.
        category: Class of its last attempt.
        reason: Why it is not tried again.
        next_step: What a person can do.
    """

    task_id: str
    run_name: str
    category: FailureClass
    reason: str
    next_step: str


@dataclass(frozen=True)
class RetryPlan:
    """Every failed task, once."""

    retry: tuple[Retry, ...] = ()
    declined: tuple[Declined, ...] = ()


Decision = Retry | Declined


def plan_retries(tasks: Sequence[FailedTask], policy: RetryPolicy, limits: Limits) -> RetryPlan:
    """Decide for every failed task, in order.

    Args:
        tasks: Failed tasks with all their attempts.
        policy: What the experiment allows.
        limits: What the site grants.

    Returns:
        A plan in which each task stands exactly once.
    """
    decisions = [_decide(task, policy, limits) for task in tasks]
    return RetryPlan(
        retry=tuple(decision for decision in decisions if isinstance(decision, Retry)),
        declined=tuple(decision for decision in decisions if isinstance(decision, Declined)),
    )


def _decide(task: FailedTask, policy: RetryPolicy, limits: Limits) -> Decision:
    spent = _ceiling_reached(task, policy)
    return spent or _PLANS[task.last.category](task, policy, limits)


def blameless(verdict: Verdict) -> bool:
    """Whether an attempt was taken away from its task rather than failed: it never counts against `max_attempts`."""
    return verdict.category in TAKEN_AWAY_BUDGET or _checkpointed(verdict)


def _checkpointed(verdict: Verdict) -> bool:
    """Stopped on request, with a checkpoint to go on from."""
    return verdict.category is F.TIMEOUT and verdict.cause == "checkpointed"


def _ceiling_reached(task: FailedTask, policy: RetryPolicy) -> Declined | None:
    counted = sum(not blameless(attempt.verdict) for attempt in task.attempts)
    if blameless(task.last.verdict) or counted < policy.max_attempts or _has_no_action(task):
        return None
    return _decline(
        task,
        f"{counted} attempts failed, retry.max_attempts is {policy.max_attempts}",
        "read the verdicts of its attempts; raise retry.max_attempts only if they differ",
    )


def _has_no_action(task: FailedTask) -> bool:
    """Whether its class is never repeated: then the class is the better reason than the ceiling."""
    action = ACTIONS.get(task.last.category)
    return action is None or action.action == "none"


# ── one function a class ─────────────────────────────────────────────────────────────────────────────────────────


def _smaller_batch(task: FailedTask, policy: RetryPolicy, _: Limits) -> Decision:
    micro, whole = task.last.micro_batch, task.global_batch
    if micro is None or whole is None:
        return _decline(
            task,
            "out of memory on the training device, and the experiment declares no batch that may be halved",
            "declare batch: {global: …, micro: …, parameter: …} in the experiment file",
        )
    smaller = smaller_micro_batch(micro, whole, task.processes, policy.min_micro)
    if smaller is None:
        return _decline(
            task,
            f"out of memory with micro-batch {micro}; retry.oom_gpu.min_micro is {policy.min_micro}",
            "use a larger device, a smaller model, activation checkpointing or a higher ZeRO stage",
        )
    new_micro, accumulation = smaller
    reached = new_micro * accumulation * task.processes
    kept = f"global batch stays {whole}" if reached == whole else f"global batch {whole} → {reached}, the nearest"
    changes = (
        f"micro_batch {micro} → {new_micro}: out of memory",
        f"accumulation {task.last.accumulation} → {accumulation}: {kept}",
    )
    return _again(
        task,
        "out of memory on the training device: " + ", ".join(change.split(":")[0] for change in changes) + f", {kept}",
        changes,
        micro_batch=new_micro,
        accumulation=accumulation,
        altered=task.altered or reached != whole,
    )


def smaller_micro_batch(micro: int, whole: int, processes: int, min_micro: int) -> tuple[int, int] | None:
    """The next smaller micro-batch with its accumulation; None when the smallest allowed one is in use.

    The largest one up to half of `micro` that divides the global batch `whole` over `processes`; where none does, half
    of `micro` with the accumulation that comes nearest to the global batch.
    """
    least = max(1, min_micro)
    if micro <= least:
        return None
    half = max(least, micro // 2)
    fitting = (size for size in range(half, least - 1, -1) if whole % (size * processes) == 0)
    size = next(fitting, half)
    return size, max(1, round(whole / (size * processes)))


def _more_memory(task: FailedTask, policy: RetryPolicy, limits: Limits) -> Decision:
    had, most = task.last.memory_mib, limits.max_memory_mib
    if most and had >= most:
        return _decline(
            task,
            f"out of host memory with {render_memory(had)}, which is all the profile grants",
            "use fewer loader workers, stream the data, or choose a profile with larger nodes",
        )
    wanted = max(had + 1, ceil(had * policy.memory_factor))
    given = min(wanted, most) if most else wanted
    change = f"memory {render_memory(had)} → {render_memory(given)}: out of host memory"
    return _again(task, change, (change,), memory_mib=given)


def _more_time(task: FailedTask, policy: RetryPolicy, limits: Limits) -> Decision:
    if _checkpointed(task.last.verdict):
        return _go_on(task)
    if _no_progress(task, F.TIMEOUT):
        return _decline(
            task,
            "two attempts ran into the time limit and the second got no further than the first",
            "find out where it stands still (py-spy dump, NCCL_DEBUG=INFO) before more time is spent",
        )
    had, most = task.last.time_s, limits.max_time_s
    at_limit = bool(most) and had >= most
    if at_limit and not task.checkpoints:
        return _decline(
            task,
            f"{render_time(had)} is the longest time limit and there is no checkpoint to go on from",
            "write checkpoints (SIGUSR1 announces the limit; exit with 85), or make the task smaller",
        )
    hung = task.last.verdict.cause == "hang"
    wanted = had if hung else max(had + 1, ceil(had * policy.timeout_factor))
    given = min(wanted, most) if most else wanted
    changed = f"time {render_time(had)} → {render_time(given)}: time limit reached"
    changes = (changed,) if given != had else ()
    return _again(task, changes[0] if changes else "time limit reached", changes, time_s=given)


def _go_on(task: FailedTask) -> Decision:
    """Resume after the program stopped on request; given up when it gains nothing."""
    idle = _idle_streak(task, _checkpointed)
    if idle >= CHECKPOINTED_BUDGET:
        return _decline(
            task,
            f"checkpointed {idle} times in a row without a step gained",
            "give it more time: start-up and checkpoint fill the whole limit",
        )
    return _again(task, "checkpointed on request: goes on where it was", ())


def _resume(task: FailedTask, _: RetryPolicy, __: Limits) -> Decision:
    category = task.last.category
    idle = _idle_streak(task, lambda verdict: verdict.category is category)
    if idle >= TAKEN_AWAY_BUDGET[category]:
        return _decline(
            task,
            f"{category} {idle} times in a row without a step gained",
            "look at the nodes named in its attempts; if they differ, the program or the network is at fault",
        )
    bad = task.last.node if _is_bad_node(task.last) else ""
    changes = (f"excluded node {bad}: {category}",) if bad else ()
    return _again(task, f"{category}: the task was not at fault", changes)


def _diverged(task: FailedTask, policy: RetryPolicy, _: Limits) -> Decision:
    if policy.divergence is None:
        return _decline(
            task,
            "it diverged, which is a result of this configuration",
            "compare its gradient norm and learning rate with runs that held; retry.divergence can repeat it once",
        )
    name = next((n for n in LEARNING_RATE_NAMES if isinstance(task.parameters.get(n), int | float)), None)
    value = task.parameters.get(name) if name else None
    if name is None or not isinstance(value, int | float):
        return _decline(
            task,
            "it diverged, and it has no parameter named learning_rate or lr that could be lowered",
            "name the learning rate learning_rate or lr in the experiment",
        )
    if sum(attempt.category is F.DIVERGENCE for attempt in task.attempts) > 1:
        return _decline(task, "it diverged again with the lower learning rate", "it is a result: choose another region")
    lower = value * LEARNING_RATE_FACTOR
    change = f"{name} {value:g} → {lower:g}: diverged"
    return replace(
        _again(task, change, (change,), parameter_overrides={**task.overrides, name: lower}, altered=True),
        resume=False,
        resume_from="",
    )


def _earlier_checkpoint(task: FailedTask, _: RetryPolicy, __: Limits) -> Decision:
    if sum(attempt.category is F.CHECKPOINT for attempt in task.attempts) > 1:
        return _decline(
            task, "two checkpoints could not be loaded", "remove the task's checkpoints to start it from the beginning"
        )
    bad = task.last.resumed_from or (task.checkpoints[-1] if task.checkpoints else "")
    if not bad:
        return _decline(
            task,
            "the checkpoint that cannot be loaded is not one of this task",
            "check the path and the model it was made with",
        )
    earlier = [name for name in task.checkpoints if name < bad]
    resume_from = earlier[-1] if earlier else ""
    change = f"resume from {bad} → {resume_from or 'the beginning'}: it cannot be loaded"
    return replace(_again(task, change, (change,)), resume=bool(earlier), resume_from=resume_from)


def _repeat_once(task: FailedTask, _: RetryPolicy, __: Limits) -> Decision:
    if sum(attempt.category is F.UNKNOWN for attempt in task.attempts) > 1:
        return _decline(task, "it failed twice and nothing known explains it", "read the end of both attempts' logs")
    return _again(task, "nothing known explains the failure: repeated once", ())


def _never(task: FailedTask, _: RetryPolicy, __: Limits) -> Decision:
    action = ACTIONS[task.last.category]
    return _decline(task, f"{task.last.category}: {action.reason}", task.last.verdict.suggestion or action.reason)


def _finished(task: FailedTask, _: RetryPolicy, __: Limits) -> Decision:
    return _decline(task, "it has its result", "nothing to do")


_PLANS: dict[FailureClass, Callable[[FailedTask, RetryPolicy, Limits], Decision]] = {
    F.SUCCESS: _finished,
    F.OOM_GPU: _smaller_batch,
    F.OOM_HOST: _more_memory,
    F.OOM_SHM: _more_memory,
    F.DIVERGENCE: _diverged,
    F.TIMEOUT: _more_time,
    F.PREEMPTED: _resume,
    F.NODE_FAILURE: _resume,
    F.GPU_HARDWARE: _resume,
    F.COMMUNICATION: _resume,
    F.CHECKPOINT: _earlier_checkpoint,
    F.UNKNOWN: _repeat_once,
    F.CANCELLED: _never,
    F.NOT_CONVERGED: _never,
    F.STORAGE: _never,
    F.CONTAINER: _never,
    F.ENVIRONMENT: _never,
    F.DATA: _never,
    F.CONFIG: _never,
    F.CODE_BUG: _never,
}


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _again(task: FailedTask, reason: str, changes: tuple[str, ...], **different: object) -> Retry:
    """The last attempt once more, from its newest checkpoint, with what is different."""
    last = task.last
    excluded = tuple(dict.fromkeys(a.node for a in task.attempts if _is_bad_node(a)))[-MAX_EXCLUDED:]
    same = Retry(
        task_id=task.task_id,
        run_name=task.run_name,
        attempt=last.number + 1,
        memory_mib=last.memory_mib,
        time_s=last.time_s,
        micro_batch=last.micro_batch,
        accumulation=last.accumulation,
        resume=bool(task.checkpoints),
        resume_from=task.checkpoints[-1] if task.checkpoints else "",
        exclude_nodes=excluded,
        parameter_overrides=task.overrides,
        altered=task.altered,
        reason=reason,
        changes=changes,
    )
    return replace(same, **different)  # type: ignore[arg-type]  # the names are Retry's own, all calls are in this file


def _is_bad_node(attempt: AttemptFacts) -> bool:
    """Whether an attempt tells which node to avoid; of several nodes (``n[1-4]``) nobody knows which one it was."""
    return attempt.category in _NODE_CLASSES and bool(attempt.node) and not set("[,") & set(attempt.node)


def _decline(task: FailedTask, reason: str, next_step: str) -> Declined:
    return Declined(task.task_id, task.run_name, task.last.category, reason, next_step)


def _no_progress(task: FailedTask, category: FailureClass) -> bool:
    """Whether the last two attempts ended in this class and the second got no further."""
    if len(task.attempts) < 2:
        return False
    before, last = task.attempts[-2:]
    if before.category is not category or last.category is not category:
        return False
    return before.last_step is not None and last.last_step is not None and last.last_step <= before.last_step


def _idle_streak(task: FailedTask, same: Callable[[Verdict], bool]) -> int:
    """How many of the last attempts in a row ended alike without a step gained over all before them."""
    streak = 0
    for i in range(len(task.attempts) - 1, -1, -1):
        attempt = task.attempts[i]
        if not same(attempt.verdict):
            break
        streak += 1
        best_before = max((a.last_step for a in task.attempts[:i] if a.last_step is not None), default=0)
        if (attempt.last_step or 0) > best_before:
            break
    return streak
