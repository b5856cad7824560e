"""From verdicts to decisions: what is learned, which failed tasks start again and how, whether to hold the rest."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json_or_none, readable_record
from hpc.adapters.learned_file import adjustments, read_known, remember
from hpc.adapters.owner import refuse_foreign_file
from hpc.core.errors import InputError
from hpc.core.experiment.asking import resources_of
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.failures.breaker import Ended, Trip, check_breaker, fingerprint, one_node
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.task import TaskRecord
from hpc.core.resources import ALONE, Resources
from hpc.core.retry.answer import MARK
from hpc.core.retry.learned import Observation, learn
from hpc.core.retry.plan import plan_retries
from hpc.core.retry.records import AttemptFacts, FailedTask, Limits, Retry, RetryPlan, Situation
from hpc.core.slurm.arrays import Assignment, first_assignment, world_size_of
from hpc.core.slurm.states import SlurmState
from hpc.experiments.freezing import frozen_of
from hpc.rounds.hooks import ask_hook
from hpc.rounds.judge import JudgedAttempt, JudgedExperiment, JudgedTask
from hpc.snapshots.evidence import checkpoint_names, gather, last_step
from hpc.snapshots.measured import declared_steps, throughput
from hpc.snapshots.states import AttemptState
from hpc.submissions.holds import accepted, released_at
from hpc.submissions.on_disk import asked_of
from hpc.submissions.prepare import Frozen, cluster_of
from hpc.submissions.receipts import LOCAL

MAX_EVIDENCE = 500
"""Characters of a line that are kept as the reason of a hold."""


def learn_from(judged: JudgedExperiment, seen: Sequence[Observation]) -> None:
    """Add to ``learned.json`` what the attempts showed of micro-batches.

    Raises:
        InputError: The file was cut or edited.
    """
    if judged.frozen.spec.batch is None:
        return
    known = read_known(judged.layout)
    if learn(known, seen) is not known:  # mostly there is nothing new, and no need of the file's lock
        remember(judged.layout, seen)


def plan_for(judged: JudgedExperiment, *, asks: bool = True) -> RetryPlan:
    """Decide about every failed task, with what was learned, what somebody released, and (`asks`) the user's own hook.

    Raises:
        InputError: ``learned.json`` was cut or edited.
    """
    frozen, layout, usual_steps = judged.frozen, judged.layout, _usual_steps(judged)
    then = PlannedThen(judged)
    failed = [(task, _failed_task(task, then, usual_steps)) for task in judged.of_outcome(Outcome.FAILED)]
    once_more = [_failed_task(task, then, usual_steps) for task in _finished_and_named(judged)]
    cluster = _cluster_now(frozen, [*(facts for _, facts in failed), *once_more])
    once_more = [_shaped_here(facts, cluster) for facts in once_more]
    failed = [(task, _shaped_here(facts, cluster)) for task, facts in failed]
    policy, limits = frozen.spec.retry, Limits(frozen.profile.max_memory_mib, frozen.profile.max_time_s)
    situation = Situation(
        policy, limits, read_known(layout), released_at(layout), time.time(), judged.again, layout.experiment, cluster
    )
    plan = plan_retries([facts for _, facts in failed], situation)
    if policy.hook and asks:
        plan = _ask_hook(judged, plan, situation, failed)
    return replace(plan, retry=(*plan_retries(once_more, situation).retry, *plan.retry))


def _cluster_now(frozen: Frozen, tasks: Sequence[FailedTask]) -> str:
    """Name the cluster that tasks go to now, where that matters: Slurm is asked for it."""
    ran_on = {attempt.cluster for task in tasks for attempt in task.attempts} - {""}
    if frozen.profile.scheduler == LOCAL or not ran_on:
        return LOCAL
    return cluster_of(frozen)


def _shaped_here(task: FailedTask, cluster: str) -> FailedTask:
    """Forget the shape of a task that ran elsewhere: what fitted there tells nothing of the devices here."""
    elsewhere = cluster and task.last.cluster and task.last.cluster != cluster
    return replace(task, shape="") if elsewhere else task


def _finished_and_named(judged: JudgedExperiment) -> list[JudgedTask]:
    """Finished tasks that a person asks for once more by their names."""
    finished = judged.of_outcome(Outcome.FINISHED)
    return [task for task in finished if task.state.task.run_name in judged.again and not task.kept_result]


def _ask_hook(
    judged: JudgedExperiment,
    plan: RetryPlan,
    situation: Situation,
    failed: Sequence[tuple[JudgedTask, FailedTask]],
) -> RetryPlan:
    policy, layout, frozen = situation.policy, judged.layout, judged.frozen
    folders = (Path.cwd(), Path(frozen.manifest["provenance"]["code"]["path"]))
    refuse_foreign_file(Path.cwd() / f"{policy.hook.partition(':')[0].replace('.', '/')}.py")
    lasts = ((facts, task.attempts[-1]) for task, facts in failed)
    asked = [(facts, partial(gather, layout, last.state, last.results)) for facts, last in lasts]
    return ask_hook(policy.hook, folders, plan, situation, asked)


def _usual_steps(judged: JudgedExperiment) -> int | None:
    """Steps after which the finished tasks ended, where that was after the same number for all; else None."""
    finished = [task for task in judged.of_outcome(Outcome.FINISHED) if not task.kept_result]
    ends = {task.settled.last_step if task.settled else last_step(task.attempts[-1].results) for task in finished}
    return ends.pop() if len(ends) == 1 else None


def trip_of(judged: JudgedExperiment, plan: RetryPlan) -> Trip | None:
    """Find a cause for which the experiment is to be held; None where there is none, or nothing left to hold."""
    if not judged.of_outcome(Outcome.FAILED):
        return None
    healed = {each.task_id for each in plan.retry if each.reason.startswith(MARK)}  # the user's function has a cure
    over = judged.of_outcome(Outcome.FINISHED, Outcome.FAILED)
    healed |= {
        task.state.task.task_id
        for task in over
        if task.failure_class in judged.again or task.state.task.run_name in judged.again
    }
    trip = check_breaker(
        [_ended(task, judged.layout) for task in _once_an_element(over) if task.state.task.task_id not in healed],
        len(judged.tasks),
        judged.frozen.spec.retry.breaker,
        accepted(judged.layout),
        released_at(judged.layout),
    )
    is_over = not plan.retry and len(over) == len(judged.tasks)
    # Tasks that found the storage full are started again once somebody has mended and released it.
    return None if trip and is_over and not trip.fingerprint.startswith(FailureClass.STORAGE) else trip


def _once_an_element(tasks: Sequence[JudgedTask]) -> list[JudgedTask]:
    """Tasks without those that died of an array element's death with another: it is one failure, and theirs alike."""
    found: dict[object, JudgedTask] = {}
    for task in tasks:
        last = task.attempts[-1].state if task.attempts else None
        died_with_it = last is not None and last.is_packed and last.is_claimed and last.end is None
        found.setdefault((last.submission, last.job) if last and died_with_it else task.state.task.task_id, task)
    return list(found.values())


def _ended(task: JudgedTask, layout: RunLayout) -> Ended:
    if task.settled and task.state.late:
        return Ended(task.state.task.run_name, FailureClass.SUCCESS, "", task.state.late.times.ended)
    if told := task.settled.entry if task.settled else task.kept_result:
        last_entry = told["attempts"][-1]
        return Ended(task.state.task.run_name, FailureClass.SUCCESS, "", last_entry["ended"] or 0.0)
    last = task.attempts[-1]
    if last.verdict is None:
        raise AssertionError("a task whose last attempt is not over has not ended")
    verdict = last.verdict
    return Ended(
        run_name=task.state.task.run_name,
        category=verdict.category,
        fingerprint="" if verdict.category is FailureClass.SUCCESS else fingerprint(verdict),
        when=last.ended or 0.0,
        cause=verdict.cause,
        evidence=verdict.evidence[0].text[:MAX_EVIDENCE] if verdict.evidence else "",
        node="" if _ran_on(last.state, layout) == LOCAL else one_node(last.node),
    )


class PlannedThen:
    """What earlier plans asked for, read once each: what was changed since reaches the next attempt."""

    def __init__(self, judged: JudgedExperiment) -> None:
        self.frozen = judged.frozen
        self.layout = judged.layout
        self._specs: dict[str, ExperimentSpec | None] = {judged.frozen.manifest["sha256"]: judged.frozen.spec}

    def spec_of(self, attempt: AttemptState) -> ExperimentSpec | None:
        """The experiment as it was when an attempt was planned; None where nobody knows."""
        sha256 = attempt.record.manifest_sha if attempt.record else self._of_submission(attempt.submission)
        if sha256 not in self._specs:
            self._specs[sha256] = self._read(sha256)
        return self._specs[sha256]

    def _of_submission(self, number: int) -> str:
        index = readable_record(self.layout.submission(number).index, SubmissionIndex) if number else None
        return index.manifest_sha if index else ""

    def _read(self, sha256: str) -> ExperimentSpec | None:
        with contextlib.suppress(InputError, KeyError, TypeError):
            manifest = read_json_or_none(self.layout.manifests / f"{sha256[:16]}.json")
            return frozen_of(manifest).spec if manifest else None
        return None

    def changes_for(self, task: Task, attempt: AttemptState) -> dict[str, Any]:
        """What the present plan asks for where it is not what was asked for then, as fields of `FailedTask`."""
        now, then = self.frozen.spec, self.spec_of(attempt)
        if then is None or then is now:
            return {}
        asks, asked = resources_of(now, task), resources_of(then, task)
        found: dict[str, Any] = {}
        if asks.memory_mib != asked.memory_mib:
            found["planned_memory_mib"] = asks.memory_mib
        if asks.time_s != asked.time_s:
            found["planned_time_s"] = asks.time_s
        if now.batch and now.batch != then.batch:
            found["planned_batch"] = (now.batch.micro, now.batch.accumulation(world_size_of(now, task)))
        return found


def _failed_task(task: JudgedTask, then: PlannedThen, usual_steps: int | None) -> FailedTask:
    frozen = then.frozen
    spec, last, record = frozen.spec, task.attempts[-1].settings, task.attempts[-1].state.record
    planned = resources_of(spec, task.state.task)
    return FailedTask(
        task_id=task.state.task.task_id,
        run_name=task.state.task.run_name,
        attempts=tuple(_facts(attempt, planned, then.layout) for attempt in task.attempts),
        global_batch=spec.batch.global_size if spec.batch else None,
        processes=world_size_of(spec, task.state.task),
        checkpoints=tuple(lineage(task.attempts)),
        parameters={**spec.program.args, **task.state.task.parameters},
        overrides=_overrides(task),
        mixed_precision=last.mixed_precision,
        shape=record.shape if record else "",
        total_steps=(declared_steps(record.arguments) if record else None) or usual_steps,
        altered=task.altered,
        code_changed=_code_of(record) != frozen.manifest["provenance"]["code"]["sha256"],
        **then.changes_for(task.state.task, task.attempts[-1].state),
    )


def _code_of(record: TaskRecord | None) -> str:
    return record.code.sha256 if record else ""


def lineage(attempts: Sequence[JudgedAttempt]) -> list[str]:
    """Name the checkpoints that lead to the present, oldest first.

    An attempt that began anew cuts off what was before it; one that went back to an earlier checkpoint, what came after
    that; one that could not load its checkpoint, that checkpoint. Where two have one name the later one is meant, as
    when an attempt starts (`hpc.node.attempt.find_checkpoint`).
    """
    line: list[str] = []
    for attempt in attempts:
        if attempt.state.record is None:
            continue
        start = _resumed_from(attempt)
        line = line[: line.index(start) + 1] if start in line else []
        own = checkpoint_names(attempt.state.layout.home)
        if attempt.verdict and attempt.verdict.category is FailureClass.CHECKPOINT and start not in own:
            line = line[:-1]
        line = [name for name in line if name not in own] + own
    return line


def _resumed_from(attempt: JudgedAttempt) -> str:
    return attempt.resumed_from.rsplit("/", 1)[-1]


def _facts(attempt: JudgedAttempt, planned: Resources, layout: RunLayout) -> AttemptFacts:
    if attempt.verdict is None:
        raise AssertionError("only tasks whose attempts are all over are failed")
    settings, resources = attempt.settings, attempt.resources or planned
    changed = adjustments(attempt.state.layout) if settings.micro_batch else []
    rate, startup_s = throughput(attempt.results, attempt.state.record.started if attempt.state.record else None)
    return AttemptFacts(
        number=attempt.state.number,
        verdict=attempt.verdict,
        memory_mib=resources.memory_mib,
        time_s=resources.time_s,
        micro_batch=changed[-1]["new_micro_batch"] if changed else settings.micro_batch,
        accumulation=changed[-1]["new_accumulation"] if changed else settings.accumulation,
        last_step=last_step(attempt.results),
        resumed_from=_resumed_from(attempt),
        node=attempt.node,
        peak_memory_mib=attempt.peak_memory_mib,
        ended=attempt.ended,
        steps_per_second=rate,
        startup_s=startup_s,
        cancelled=attempt.state.row is not None and attempt.state.row.state is SlurmState.CANCELLED,
        cluster=_ran_on(attempt.state, layout),
        packed=attempt.state.record.packed if attempt.state.record else 0,
        unfit_nodes=attempt.state.ended.unfit_nodes if attempt.state.ended else (),
    )


def _ran_on(state: AttemptState, layout: RunLayout) -> str:
    """Name the cluster an attempt ran on: by its own record, else by who was asked for it; empty when nobody knows."""
    if state.record:
        return LOCAL if state.record.scheduler == LOCAL else state.record.slurm.get("SLURM_CLUSTER_NAME", "")
    with contextlib.suppress(InputError):
        asked = asked_of(layout.submission(state.submission)) if state.submission else None
        return asked.cluster if asked else ""
    return ""


def _overrides(task: JudgedTask) -> dict[str, Any]:
    return dict(task.attempts[-1].settings.overrides) if task.attempts else {}


def assignments_of(judged: JudgedExperiment, plan: RetryPlan) -> list[Assignment]:
    """Turn a plan into elements to submit."""
    by_id = {task.state.task.task_id: task for task in judged.tasks}
    return [_assignment(retry, by_id[retry.task_id], judged.frozen) for retry in plan.retry]


def _assignment(retry: Retry, task: JudgedTask, frozen: Frozen) -> Assignment:
    asks = resources_of(frozen.spec, task.state.task)
    resources = replace(asks, memory_mib=retry.memory_mib, time_s=retry.time_s)
    global_batch = None
    if retry.micro_batch and retry.accumulation:
        global_batch = retry.micro_batch * retry.accumulation * world_size_of(frozen.spec, task.state.task)
    # A run cannot go on in the middle with another global batch: its steps would no longer be the same steps.
    resume = retry.resume and global_batch == task.attempts[-1].settings.global_batch
    first = first_assignment(frozen.spec, task.state.task)
    return replace(
        first,
        attempt=retry.attempt,
        resources=resources,
        micro_batch=retry.micro_batch,
        accumulation=retry.accumulation,
        global_batch=global_batch,
        resume=resume,
        resume_from=retry.resume_from if resume else "",
        overrides=retry.parameter_overrides,
        mixed_precision=retry.mixed_precision,
        exclude_nodes=retry.exclude_nodes,
        changes=retry.changes,
        altered=retry.altered,
        pack=ALONE if retry.alone else first.pack,
        company=retry.category,
    )
