"""What is done about a failed task, by the class it failed in: one function a class. Pure."""

from collections.abc import Callable
from typing import cast

from hpc.core.experiment.spec import Value
from hpc.core.failures.breaker import EVERYBODYS
from hpc.core.failures.evidence import UNREADABLE, FailureClass
from hpc.core.resources import render_memory, render_time
from hpc.core.retry.actions import ACTIONS, PASSING
from hpc.core.retry.amounts import (
    Work,
    checkpoint_step,
    describe_work,
    doubt_of_peak,
    next_memory,
    next_time,
    smaller_micro_batch,
)
from hpc.core.retry.counting import TAKEN_AWAY_BUDGET, idle_streak, no_progress, was_checkpointed
from hpc.core.retry.learned import LEARNING_RATE_NAMES, NOTHING_KNOWN, Observation, learn, starting_micro
from hpc.core.retry.next_attempt import again, bad_nodes, decline, may_be_the_nodes
from hpc.core.retry.records import Decision, FailedTask, Situation
from hpc.core.words import counted

F = FailureClass
PREFLIGHT = "preflight"  # sub-cause: the gate before the run refused it
UNFIT_BUDGET = 3
"""Nodes in a row that are not fit, after which what is asked for is more likely wrong than the next one."""
CHECKPOINTED_BUDGET = 3  # times a task may checkpoint without having gained a step


def _smaller_batch(task: FailedTask, situation: Situation) -> Decision:
    if task.last.packed > 1:
        change = (
            f"alone: up to {counted(task.last.packed, 'task')} shared its device, and another task may have filled it"
        )
        return again(task, situation, f"out of memory on the training device: {change}", (change,))
    micro, whole = task.last.micro_batch, task.global_batch
    if micro is None or whole is None:
        return decline(
            task,
            "out of memory on the training device, and the experiment declares no batch that could be halved",
            "declare batch: {global: …, micro: …, parameter: …} in the experiment file",
        )
    smaller = _lowered(task, micro, whole, situation)
    if smaller is None:
        return decline(
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
        return decline(
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
    if was_checkpointed(task.last.verdict):
        return _go_on(task, situation)
    if no_progress(task, F.TIMEOUT):
        return decline(
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
        return decline(
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
    idle = idle_streak(task, was_checkpointed)
    if idle >= CHECKPOINTED_BUDGET:
        return decline(
            task,
            f"checkpointed {idle} times in a row without progress",
            "give it more time: start-up and checkpoint take the whole limit",
        )
    return again(task, situation, "checkpointed on request: it resumes", ())


def _resume(task: FailedTask, situation: Situation) -> Decision:
    category = task.last.category
    idle = idle_streak(task, lambda verdict: verdict.category is category)
    if idle >= TAKEN_AWAY_BUDGET[category]:
        return decline(
            task,
            f"{category} {idle} times in a row without progress",
            "look at the nodes named in its attempts; if they differ, the program or the network is at fault",
        )
    if task.last.verdict.cause == PREFLIGHT and idle >= UNFIT_BUDGET:
        return decline(
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
        return decline(
            task,
            "it diverged, which is a result of this configuration",
            "compare its gradient norm and learning rate with runs that did not diverge; retry.divergence can repeat "
            "it once",
        )
    if sum(attempt.category is F.DIVERGENCE for attempt in task.attempts) > 1:
        return decline(
            task, "it diverged again with the changes of retry.divergence", "it is a result: choose other settings"
        )
    values = {**task.parameters, **task.overrides}
    wanted: dict[str, Value] = dict(asked.set)
    if asked.lower_learning_rate is not None:
        name = next((name for name in LEARNING_RATE_NAMES if _is_number(values.get(name))), None)
        if name is None:
            return decline(
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
        return decline(
            task, "two checkpoints could not be loaded", "remove the task's checkpoints to start it from the beginning"
        )
    bad = task.last.resumed_from or (task.checkpoints[-1] if task.checkpoints else "")
    if not bad:
        return decline(
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
        return decline(task, "its files cannot be read, and may hold the result", "see what is said about its file")
    if sum(attempt.category is F.UNKNOWN for attempt in task.attempts) > 1:
        return decline(task, "it failed twice for no known reason", "read the end of both attempts' logs")
    return again(task, situation, "no known reason for the failure: repeated once", ())


def _when_mended(task: FailedTask, situation: Situation) -> Decision:
    """Storage: nothing, until a person has mended it and released the experiment."""
    verdict = task.last.verdict
    is_first = idle_streak(task, lambda each: each.category is F.STORAGE) < 2
    if is_first and may_be_the_nodes(task.last) and not situation.is_elsewhere(task.last):
        change = f"excluded node {task.last.node}: an I/O error, which may be its own"
        return again(task, situation, f"storage: {change}", (change,))
    strikes_all = verdict.cause in EVERYBODYS and situation.policy.breaker is not None
    if not strikes_all or (task.last.ended or 0.0) >= situation.released:
        advice = verdict.suggestion or ACTIONS[F.STORAGE].reason
        release = f"python -m hpc.submit {situation.experiment or 'NAME'} --release"
        reason = f"storage: {ACTIONS[F.STORAGE].reason}"
        if strikes_all:
            return decline(task, reason, f"{advice}; then release the experiment if it is held ({release})",
                            situation.collect_again(F.STORAGE))  # fmt: skip
        return decline(task, reason, advice, situation.collect_again(F.STORAGE))
    if idle_streak(task, lambda verdict: verdict.category is F.STORAGE) > 1:
        return decline(
            task,
            "storage failed again after the experiment was released, without progress",
            "check that the file system named in the evidence is the one that was fixed",
        )
    return again(task, situation, "storage: fixed, since the experiment was released", ())


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
    return decline(
        task, f"{task.last.category}: {action.reason}", advice, f"{command} --replan" if by_files else command
    )


def _finished(task: FailedTask, _: Situation) -> Decision:
    return decline(task, "it has its result", "nothing to do")


PLANS: dict[FailureClass, Callable[[FailedTask, Situation], Decision]] = {
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
"""Class → what is done about a task that failed in it."""
