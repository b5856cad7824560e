"""What is tried again, how, and why the rest is not: failed tasks and a policy in, a plan out. Pure.

Every failed task comes back exactly once, as a `Retry` or as a `Declined`, each with its reason in words. The action
of each class stands in `ACTIONS`; `why` answers from the same table. Budgets are per class under one ceiling:
attempts that were taken away from the task (preempted, node or network lost, checkpointed on request) never count
against its memory and time budgets, and steps gained since the last attempt start the counts anew.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from hpc.core.experiment.spec import RetryPolicy, Value
from hpc.core.failures.breaker import EVERYBODYS, ONE_NODES, one_node
from hpc.core.failures.evidence import UNREADABLE, FailureClass, Verdict
from hpc.core.records.submitted import LOCAL
from hpc.core.resources import HOUR, render_memory, render_time
from hpc.core.retry.amounts import (
    Work,
    checkpoint_step,
    describe_work,
    doubt_of_peak,
    next_memory,
    next_time,
    smaller_micro_batch,
)
from hpc.core.retry.learned import LEARNING_RATE_NAMES, NOTHING_KNOWN, Observation, learn, starting_micro
from hpc.core.retry.records import (
    AttemptFacts,
    Decision,
    Declined,
    FailedTask,
    Retry,
    RetryPlan,
    Situation,
)
from hpc.core.words import counted

F = FailureClass

TAKEN_AWAY_BUDGET = {F.PREEMPTED: 10, F.NODE_FAILURE: 10, F.GPU_HARDWARE: 3, F.COMMUNICATION: 3}
"""Attempts in a row, without a step gained, after which even a blameless task is given up."""
_NODE_CLASSES = (F.NODE_FAILURE, F.GPU_HARDWARE)  # … of which the node is to blame, and left out
PREFLIGHT = "preflight"  # sub-cause: the gate before the run refused it
UNFIT_BUDGET = 3
"""Nodes in a row that are not fit, after which what is asked for is more likely wrong than the next one."""
CHECKPOINTED_BUDGET = 3  # times a task may checkpoint without having gained a step
CEILING_FACTOR = 5
"""Attempts that count, steps gained or not, end at this many times `max_attempts`."""


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
    "resume", "resumes from its last checkpoint; does not count against max_attempts", "the task was not at fault"
)
_MEND = Action("none", "", "a blind retry would fail the same way")
ACTIONS: dict[FailureClass, Action] = {
    F.OOM_GPU: Action(
        "lower_micro_batch",
        "micro-batch ÷2 and accumulation ×2, or the largest known to fit: same global batch, same optimiser steps",
        "less memory is needed at a time, and the result stays comparable",
    ),
    F.OOM_HOST: Action(
        "raise_memory",
        "host memory × oom_host.factor, or the measured peak and a margin, up to the profile's limit",
        "the job needs more",
    ),
    F.OOM_SHM: Action("raise_memory", "host memory × oom_host.factor: /dev/shm is a share of it", "the job needs more"),
    F.TIMEOUT: Action(
        "resume_with_more_time",
        "resumes from its checkpoint with the time the remaining steps need at the measured throughput, else "
        "time × timeout.factor, up to the profile's limit",
        "it was still working",
    ),
    F.PREEMPTED: _RESUME,
    F.NODE_FAILURE: replace(_RESUME, changes=_RESUME.changes + "; the node is excluded for a while"),
    F.GPU_HARDWARE: replace(_RESUME, changes=_RESUME.changes + "; the node is excluded for a while"),
    F.COMMUNICATION: _RESUME,
    F.DIVERGENCE: Action(
        "none", "", "a diverged run is a result; only what retry.divergence declares repeats it, once and altered"
    ),
    F.NOT_CONVERGED: Action("none", "", "a run that learned nothing is a result"),
    F.CHECKPOINT: Action("earlier_checkpoint", "goes back to the previous checkpoint, once", "that one may be intact"),
    F.UNKNOWN: Action("repeat_once", "repeated unchanged, once", "no known reason against it"),
    F.CANCELLED: Action("none", "", "somebody stopped it on purpose"),
    F.STORAGE: replace(_MEND, reason="other tasks would fail too: full or broken storage holds the experiment"),
    F.CONTAINER: _MEND,
    F.ENVIRONMENT: _MEND,
    F.DATA: _MEND,
    F.CONFIG: _MEND,
    F.CODE_BUG: _MEND,
}
PASSING: dict[tuple[FailureClass, str], Action] = {
    (F.ENVIRONMENT, "licence"): Action("repeat_once", "repeated unchanged, once", "a licence may have come free"),
    (F.ENVIRONMENT, "compile_cache"): Action(
        "repeat_once", "repeated unchanged, once", "two processes wrote one compile cache, which seldom happens twice"
    ),
}
"""Class and sub-cause of what passes by itself, in classes that are otherwise not repeated."""
MENDED_FIRST = frozenset(category for category, action in ACTIONS.items() if action is _MEND)
"""Classes of which nothing is repeated before somebody has mended the cause and says so."""


def default_action(category: FailureClass) -> Action | None:
    """What happens to a task of this class while its budget lasts; None for a success."""
    return ACTIONS.get(category)


def action_of(verdict: Verdict) -> Action | None:
    """What happens after this verdict while the task's budget lasts; None for a success."""
    return PASSING.get((verdict.category, verdict.cause)) or default_action(verdict.category)


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
    decision = _ceiling_reached(task, situation.policy) or _PLANS[task.last.category](task, situation)
    is_let_be = task.last.cancelled and F.CANCELLED not in situation.again
    return _cancelled(task, situation) if is_let_be and isinstance(decision, Retry) else decision


def is_asked_for(task: FailedTask, situation: Situation) -> bool:
    """Whether a person named this run, or the class it failed in."""
    return task.last.category in situation.again or task.run_name in situation.again


def blameless(verdict: Verdict) -> bool:
    """Whether an attempt was taken away from its task rather than failed: it never counts against `max_attempts`."""
    return verdict.category in TAKEN_AWAY_BUDGET or _checkpointed(verdict)


def _checkpointed(verdict: Verdict) -> bool:
    """Stopped on request, with a checkpoint to go on from."""
    return verdict.category is F.TIMEOUT and verdict.cause == "checkpointed"


def _ceiling_reached(task: FailedTask, policy: RetryPolicy) -> Declined | None:
    """Decline a task whose attempts are used up; None while it has some left, or its class has a better reason."""
    return None if blameless(task.last.verdict) or _has_no_action(task) else attempts_spent(task, policy)


def attempts_spent(task: FailedTask, policy: RetryPolicy) -> Declined | None:
    """Decline a task whose attempts are used up, whatever its class; None while it has some left."""
    all_of_them, idle = _count_failures(task)
    if idle >= policy.max_attempts:
        failed = f"{counted(idle, 'attempt')} failed without progress"
        reason = f"{failed}, retry.max_attempts is {policy.max_attempts}"
    elif all_of_them >= CEILING_FACTOR * policy.max_attempts:
        failed = f"{counted(all_of_them, 'attempt')} failed, each after a few more steps"
        reason = f"{failed}; retry.max_attempts is {policy.max_attempts}"
    else:
        return None
    return _decline(task, reason, "read the verdicts of its attempts; raise retry.max_attempts only if they differ")


def _count_failures(task: FailedTask) -> tuple[int, int]:
    """Count the attempts that count: all of them, and those since steps were last gained."""
    every = idle = best = 0
    for attempt in task.attempts:
        if (attempt.last_step or 0) > best:
            best, idle = attempt.last_step or 0, 0
        if not blameless(attempt.verdict):
            every, idle = every + 1, idle + 1
    return every, idle


def _has_no_action(task: FailedTask) -> bool:
    """Whether its class is never repeated: then the class is the better reason than the ceiling."""
    action = action_of(task.last.verdict)
    return action is None or action.action == "none"


# ── one function a class ─────────────────────────────────────────────────────────────────────────────────────────


def _smaller_batch(task: FailedTask, situation: Situation) -> Decision:
    if task.last.packed > 1:
        change = (
            f"alone: up to {counted(task.last.packed, 'task')} shared its device, and another task may have filled it"
        )
        return again(task, situation, f"out of memory on the training device: {change}", (change,))
    micro, whole = task.last.micro_batch, task.global_batch
    if micro is None or whole is None:
        return _decline(
            task,
            "out of memory on the training device, and the experiment declares no batch that could be halved",
            "declare batch: {global: …, micro: …, parameter: …} in the experiment file",
        )
    smaller = _lowered(task, micro, whole, situation)
    if smaller is None:
        return _decline(
            task,
            f"out of memory with micro-batch {micro}; retry.oom_gpu.min_micro is {situation.policy.min_micro}",
            "use a larger device, a smaller model, activation checkpointing or a higher ZeRO stage",
        )
    new_micro, accumulation, evidence = smaller
    reached = new_micro * accumulation * task.processes
    kept = f"global batch stays {whole}" if reached == whole else f"global batch {whole} → {reached}, the nearest"
    changes = (
        f"micro_batch {micro} → {new_micro}: {evidence}",
        f"accumulation {task.last.accumulation} → {accumulation}: {kept}",
    )
    return again(
        task,
        situation,
        "out of memory on the training device: " + ", ".join(change.split(":")[0] for change in changes) + f", {kept}",
        changes,
        micro_batch=new_micro,
        accumulation=accumulation,
        altered=task.altered or reached != whole,
    )


def _lowered(task: FailedTask, micro: int, whole: int, situation: Situation) -> tuple[int, int, str] | None:
    """The micro-batch, accumulation and evidence to go on with: what is known to fit its shape, else the half."""
    least = situation.policy.min_micro
    own = Observation(task.shape, {}, micro, fits=False, where=f"{task.run_name}/attempt-{task.last.number}")
    plain = starting_micro(learn(NOTHING_KNOWN, [own]), task.shape, micro, whole, task.processes, least)
    known = starting_micro(learn(situation.learned, [own]), task.shape, micro, whole, task.processes, least)
    if known is not None:
        same = plain is not None and plain[0] == known[0]
        return known[0], known[1], "out of memory" if same else f"out of memory; {known[2]}"
    nearest = smaller_micro_batch(micro, whole, task.processes, least)
    return (*nearest, "out of memory") if nearest else None


def _more_memory(task: FailedTask, situation: Situation) -> Decision:
    had, most = task.last.memory_mib, situation.limits.max_memory_mib
    if (task.planned_memory_mib or 0) > had:
        return again(task, situation, "out of host memory; the plan now gives it more", ())
    if most and had >= most:
        return _decline(
            task,
            f"out of host memory with {render_memory(had)}, the most the profile allows",
            "use fewer loader workers, stream the data, or choose a profile with larger nodes",
        )
    peak = task.last.peak_memory_mib if task.last.category is F.OOM_HOST else None  # /dev/shm is no part of it
    given = next_memory(had, peak, situation.policy.memory_factor, most)
    doubt = doubt_of_peak(had, peak)
    change = f"memory {render_memory(had)} → {render_memory(given)}: out of host memory{f'; {doubt}' if doubt else ''}"
    return again(task, situation, change, (change,), memory_mib=given)


def _more_time(task: FailedTask, situation: Situation) -> Decision:
    if _checkpointed(task.last.verdict):
        return _go_on(task, situation)
    if _no_progress(task, F.TIMEOUT):
        return _decline(
            task,
            f"two attempts {'hung' if task.last.verdict.cause == 'hang' else 'hit the time limit'} and the second "
            "got no further than the first",
            "find out where it stalls (py-spy dump, NCCL_DEBUG=INFO) before spending more time",
        )
    had, most = task.last.time_s, situation.limits.max_time_s
    if (task.planned_time_s or 0) > had:
        return again(task, situation, "time limit reached; the plan now gives it more", ())
    work = None if task.last.verdict.cause == "hang" else _work_left(task, situation)
    step = checkpoint_step(task.checkpoints[-1], work.last_step) if work and task.checkpoints else 0
    told = f"; {describe_work(work, step)}" if work else ""
    is_too_long = work is not None and work.seconds_from(0) > most > 0
    if not task.checkpoints and most and (had >= most or is_too_long):
        return _decline(
            task,
            f"{render_time(most)} is the longest time limit and there is no checkpoint to resume from{told}",
            "write checkpoints (SIGUSR1 announces the limit; exit with 85), or make the task smaller",
        )
    given = had
    if task.last.verdict.cause != "hang":  # more time would be waited away
        given = next_time(had, situation.policy.timeout_factor, most, work.seconds_from(step) if work else None)
    changed = f"time {render_time(had)} → {render_time(given)}: time limit reached{told}"
    changes = (changed,) if given != had else ()
    why = "it hung: more time does not help" if task.last.verdict.cause == "hang" else f"time limit reached{told}"
    return again(task, situation, changes[0] if changes else why, changes, time_s=given)


def _work_left(task: FailedTask, situation: Situation) -> Work | None:
    """What is left and how fast it goes; None where that is not known, as on another cluster."""
    last = task.last
    if not task.total_steps or last.last_step is None or not last.steps_per_second or situation.is_elsewhere(last):
        return None
    return Work(task.total_steps, last.last_step, last.steps_per_second, last.startup_s)


def _go_on(task: FailedTask, situation: Situation) -> Decision:
    """Resume after the program stopped on request; given up when it gains nothing."""
    idle = _idle_streak(task, _checkpointed)
    if idle >= CHECKPOINTED_BUDGET:
        return _decline(
            task,
            f"checkpointed {idle} times in a row without progress",
            "give it more time: start-up and checkpoint take the whole limit",
        )
    return again(task, situation, "checkpointed on request: it resumes", ())


def _resume(task: FailedTask, situation: Situation) -> Decision:
    category = task.last.category
    idle = _idle_streak(task, lambda verdict: verdict.category is category)
    if idle >= TAKEN_AWAY_BUDGET[category]:
        return _decline(
            task,
            f"{category} {idle} times in a row without progress",
            "look at the nodes named in its attempts; if they differ, the program or the network is at fault",
        )
    if task.last.verdict.cause == PREFLIGHT and idle >= UNFIT_BUDGET:
        return _decline(
            task,
            f"{idle} times in a row a node failed the preflight check",
            "if the words are the same each time, what the experiment asks of a node is wrong: see preflight and binds",
        )
    bad = () if situation.is_elsewhere(task.last) else bad_nodes(task.last)
    changes = tuple(f"excluded node {node}: {category}" for node in bad)
    return again(task, situation, f"{category}: the task was not at fault", changes)


def _diverged(task: FailedTask, situation: Situation) -> Decision:
    asked = situation.policy.divergence
    if asked is None:
        return _decline(
            task,
            "it diverged, which is a result of this configuration",
            "compare its gradient norm and learning rate with runs that did not diverge; retry.divergence can repeat "
            "it once",
        )
    if sum(attempt.category is F.DIVERGENCE for attempt in task.attempts) > 1:
        return _decline(
            task, "it diverged again with the changes of retry.divergence", "it is a result: choose other settings"
        )
    values = {**task.parameters, **task.overrides}
    wanted: dict[str, Value] = dict(asked.set)
    if asked.lower_learning_rate is not None:
        name = next((name for name in LEARNING_RATE_NAMES if _is_number(values.get(name))), None)
        if name is None:
            return _decline(
                task,
                "it diverged, and it has no parameter named learning_rate or lr that could be lowered",
                "name the learning rate learning_rate or lr in the experiment",
            )
        wanted.setdefault(name, float(cast("float", values[name])) * asked.lower_learning_rate)
    changes = tuple(f"{name} {_shown(values.get(name))} → {_shown(new)}: diverged" for name, new in wanted.items())
    if asked.mixed_precision:
        changes += (f"mixed_precision → {asked.mixed_precision}: diverged",)
    return again(
        task,
        situation,
        "diverged; " + ", ".join(change.removesuffix(": diverged") for change in changes),
        changes,
        parameter_overrides={**task.overrides, **wanted},
        mixed_precision=asked.mixed_precision or task.mixed_precision,
        altered=True,
        # From the beginning: what lies before the divergence was made with the old values.
        resume=False,
        resume_from="",
    )


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Value) -> str:
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _earlier_checkpoint(task: FailedTask, situation: Situation) -> Decision:
    if sum(attempt.category is F.CHECKPOINT for attempt in task.attempts) > 1:
        return _decline(
            task, "two checkpoints could not be loaded", "remove the task's checkpoints to start it from the beginning"
        )
    bad = task.last.resumed_from or (task.checkpoints[-1] if task.checkpoints else "")
    if not bad:
        return _decline(
            task,
            "the checkpoint that cannot be loaded is not from this task",
            "check the path and the model it was made with",
        )
    earlier = [name for name in task.checkpoints if name < bad]
    resume_from = earlier[-1] if earlier else ""
    change = f"resume from {bad} → {resume_from or 'the beginning'}: it cannot be loaded"
    return again(task, situation, change, (change,), resume=bool(earlier), resume_from=resume_from)


def _repeat_once(task: FailedTask, situation: Situation) -> Decision:
    verdict = task.last.verdict
    if verdict.cause == UNREADABLE:
        return _decline(task, "its files cannot be read, and may hold the result", "see what is said about its file")
    if sum(attempt.category is F.UNKNOWN for attempt in task.attempts) > 1:
        return _decline(task, "it failed twice for no known reason", "read the end of both attempts' logs")
    return again(task, situation, "no known reason for the failure: repeated once", ())


def _when_mended(task: FailedTask, situation: Situation) -> Decision:
    """Storage: nothing, until a person has mended it and released the experiment."""
    verdict = task.last.verdict
    is_first = _idle_streak(task, lambda each: each.category is F.STORAGE) < 2
    if is_first and _may_be_the_nodes(task.last) and not situation.is_elsewhere(task.last):
        change = f"excluded node {task.last.node}: an I/O error, which may be its own"
        return again(task, situation, f"storage: {change}", (change,))
    strikes_all = verdict.cause in EVERYBODYS and situation.policy.breaker is not None
    if not strikes_all or (task.last.ended or 0.0) >= situation.released:
        advice = verdict.suggestion or ACTIONS[F.STORAGE].reason
        release = f"python -m hpc.submit {situation.experiment or 'NAME'} --release"
        reason = f"storage: {ACTIONS[F.STORAGE].reason}"
        if strikes_all:
            return _decline(task, reason, f"{advice}; then release the experiment if it is held ({release})",
                            situation.collect_again(F.STORAGE))  # fmt: skip
        return _decline(task, reason, advice, situation.collect_again(F.STORAGE))
    if _idle_streak(task, lambda verdict: verdict.category is F.STORAGE) > 1:
        return _decline(
            task,
            "storage failed again after the experiment was released, without progress",
            "check that the file system named in the evidence is the one that was fixed",
        )
    return again(task, situation, "storage: fixed, since the experiment was released", ())


def _on_request(task: FailedTask, situation: Situation) -> Decision:
    """Whoever asks has mended the cause, which no budget knows of, or wants to see it once more: that is their word."""
    category = task.last.category
    if category is F.SUCCESS:
        words = "it has its result, and is run again on request"
        return again(task, situation, words, (words,), resume=False, resume_from="")
    same = category is F.CODE_BUG and not task.code_changed
    words = f"{category}: started again on request" + (", with the code that failed" if same else "")
    return again(task, situation, words, (words,))


def _once_if_passing(task: FailedTask, situation: Situation) -> Decision:
    """Surroundings: nothing, but for what passes by itself."""
    last = task.last.verdict
    passing = PASSING.get((last.category, last.cause))
    times = sum((each.category, each.verdict.cause) == (last.category, last.cause) for each in task.attempts)
    if passing is None or times > 1:
        return _never(task, situation)
    return again(task, situation, f"{passing.reason}: repeated once", ())


def _never(task: FailedTask, situation: Situation) -> Decision:
    action = ACTIONS[task.last.category]
    advice = task.last.verdict.suggestion or action.reason
    command = situation.collect_again(task.last.category)
    # What is mended in files has to reach the plan, which has a copy of them.
    by_files = task.last.category in (F.CODE_BUG, F.CONFIG)
    return _decline(
        task, f"{task.last.category}: {action.reason}", advice, f"{command} --replan" if by_files else command
    )


def _cancelled(task: FailedTask, situation: Situation) -> Decision:
    """A person's last word, whatever came before it: also of a run that would have been started again."""
    reason = f"somebody cancelled it ({task.last.category})"
    return _decline(task, reason, "if that was not intended, undo it", situation.collect_again("cancelled"))


def _finished(task: FailedTask, _: Situation) -> Decision:
    return _decline(task, "it has its result", "nothing to do")


_PLANS: dict[FailureClass, Callable[[FailedTask, Situation], Decision]] = {
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
    F.STORAGE: _when_mended,
    F.CONTAINER: _never,
    F.ENVIRONMENT: _once_if_passing,
    F.DATA: _never,
    F.CONFIG: _never,
    F.CODE_BUG: _never,
}


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def again(task: FailedTask, situation: Situation, reason: str, changes: tuple[str, ...], **different: object) -> Retry:
    """The last attempt once more, from its newest checkpoint, with what is different."""
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
    is_to_blame = attempt.category in _NODE_CLASSES or _may_be_the_nodes(attempt)
    return (attempt.node,) if is_to_blame and one_node(attempt.node) else ()


def _may_be_the_nodes(attempt: AttemptFacts) -> bool:
    """Whether storage failed in a way that a single node may have, and there are others."""
    is_io = attempt.category is F.STORAGE and attempt.verdict.cause in ONE_NODES
    return is_io and bool(one_node(attempt.node)) and attempt.cluster != LOCAL


def _decline(task: FailedTask, reason: str, next_step: str, command: str = "") -> Declined:
    return Declined(task.task_id, task.run_name, task.last.category, reason, next_step, command)


def _no_progress(task: FailedTask, category: FailureClass) -> bool:
    """Whether the last two attempts that count ended in this class and the second got no further."""
    counting = [attempt for attempt in task.attempts if not blameless(attempt.verdict)]
    if len(counting) < 2:
        return False
    before, last = counting[-2:]
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
