"""Collecting: state of every task → evidence → verdict per attempt → what to do about it → files in ``collected/``."""

import csv
import io
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc.adapters.files import write_json, write_text
from hpc.adapters.results_h5 import Rows, TaskColumns, write_results
from hpc.core.arrays import Assignment, first_assignment, world_size_of
from hpc.core.breaker import Ended, Trip, check_breaker, fingerprint
from hpc.core.evidence import FailureClass, Verdict
from hpc.core.failures import classify
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout, attempt_number
from hpc.core.learned import learn, shape_parameters
from hpc.core.outcomes import Outcome, outcome_of
from hpc.core.retry import plan_retries
from hpc.core.retry_answer import MARK
from hpc.core.retry_plan import AttemptFacts, Declined, FailedTask, Limits, Retry, RetryPlan, Situation
from hpc.gathering import Results, checkpoint_names, finite, gather, last_step, read_results
from hpc.holding import accepted, released_at
from hpc.hooks import ask_hook
from hpc.inspection import AttemptState, Progress, Snapshot, TaskState, keep_scheduler_record
from hpc.learning import adjustments, read_known, remember
from hpc.observing import declared_steps, observations_of, throughput
from hpc.submission import Frozen

SCHEMA = 1
MAX_EVIDENCE = 500
"""Characters of a line that are kept as the reason of a hold."""


@dataclass(frozen=True)
class JudgedAttempt:
    """An attempt with its results and, once it is over, its verdict."""

    state: AttemptState
    results: Results
    verdict: Verdict | None

    @property
    def record(self) -> Mapping[str, Any]:
        """``task.json``, or the element of the index where the attempt was never claimed."""
        return self.state.record or self.state.entry or {}


@dataclass(frozen=True)
class JudgedTask:
    """A task with everything that is known and concluded about it."""

    state: TaskState
    attempts: tuple[JudgedAttempt, ...]
    outcome: Outcome

    @property
    def failure_class(self) -> FailureClass | None:
        """Class of the last attempt of a failed task."""
        last = self.attempts[-1].verdict if self.attempts else None
        return last.category if self.outcome is Outcome.FAILED and last else None

    @property
    def altered(self) -> bool:
        """Whether what was run last is still what was asked."""
        return bool(self.attempts) and bool(self.attempts[-1].record.get("altered"))

    @property
    def changes(self) -> list[str]:
        """What retries changed, in words, in order."""
        return [change for attempt in self.attempts for change in attempt.record.get("changes", ())]


def judge(snapshot: Snapshot, *, include_running: bool = False) -> list[JudgedTask]:
    """Give every attempt that is over its verdict, and keep what Slurm said of it."""
    return [_judge_task(snapshot, state, include_running=include_running) for state in snapshot.tasks]


def _judge_task(snapshot: Snapshot, state: TaskState, *, include_running: bool) -> JudgedTask:
    attempts = []
    for attempt in state.attempts:
        over = attempt.progress is Progress.OVER
        results = read_results(attempt.layout) if over or include_running else Results({}, {}, None)
        verdict = classify(gather(snapshot.layout, attempt, results)) if over else None
        if over:
            keep_scheduler_record(attempt)
        attempts.append(JudgedAttempt(attempt, results, verdict))
    outcome = outcome_of(
        [each.verdict for each in attempts],
        is_running=any(each.progress is Progress.RUNNING for each in state.attempts),
        is_waiting=any(each.progress is Progress.WAITING for each in state.attempts),
    )
    return JudgedTask(state, tuple(attempts), outcome)


def learn_from(tasks: Iterable[JudgedTask], frozen: Frozen, layout: RunLayout) -> None:
    """Add to ``learned.json`` what the attempts showed of micro-batches.

    Raises:
        InputError: The file was cut or edited.
    """
    batch = frozen.spec.batch
    if batch is None:
        return
    seen = [
        observation
        for task in tasks
        for attempt in task.attempts
        for observation in observations_of(
            attempt.state.layout,
            attempt.state.record or {},
            attempt.verdict,
            attempt.results,
            shape_parameters({**frozen.spec.program.args, **task.state.task.parameters}, batch.shape),
        )
    ]
    known = read_known(layout)
    if learn(known, seen) is not known:  # mostly there is nothing new, and no need of the file's lock
        remember(layout, seen)


def plan_for(
    tasks: Sequence[JudgedTask], frozen: Frozen, layout: RunLayout, again: Collection[FailureClass] = ()
) -> RetryPlan:
    """Decide about every failed task, with what was learned, what somebody released, and the user's own hook.

    Args:
        again: Classes to start again on request.

    Raises:
        InputError: ``learned.json`` was cut or edited.
    """
    usual_steps = _usual_steps(tasks)
    failed = [(task, _failed_task(task, frozen, usual_steps)) for task in tasks if task.outcome is Outcome.FAILED]
    policy, limits = frozen.spec.retry, Limits(frozen.profile.max_memory_mib, frozen.profile.max_time_s)
    situation = Situation(policy, limits, read_known(layout), released_at(layout), time.time(), again)
    plan = plan_retries([facts for _, facts in failed], situation)
    if not policy.hook:
        return plan
    folders = (Path.cwd(), Path(frozen.manifest["provenance"]["code"]["path"]))
    lasts = ((facts, task.attempts[-1]) for task, facts in failed)
    asked = [(facts, partial(gather, layout, last.state, last.results)) for facts, last in lasts]
    return ask_hook(policy.hook, folders, plan, situation, asked)


def _usual_steps(tasks: Iterable[JudgedTask]) -> int | None:
    """Steps after which the finished tasks ended, where that was after the same number for all; else None."""
    ends = {last_step(task.attempts[-1].results) for task in tasks if task.outcome is Outcome.FINISHED}
    return ends.pop() if len(ends) == 1 else None


def trip_of(
    tasks: Sequence[JudgedTask],
    plan: RetryPlan,
    frozen: Frozen,
    layout: RunLayout,
    again: Collection[FailureClass] = (),
) -> Trip | None:
    """Find a cause for which the experiment is to be held; None where there is none, or nothing left to hold."""
    healed = {each.task_id for each in plan.retry if each.reason.startswith(MARK)}  # the user's function has a cure
    over = [task for task in tasks if task.outcome in (Outcome.FINISHED, Outcome.FAILED)]
    healed |= {task.state.task.task_id for task in over if task.failure_class in again}
    trip = check_breaker(
        [_ended(task) for task in over if task.state.task.task_id not in healed],
        len(tasks),
        frozen.spec.retry.breaker,
        accepted(layout),
        released_at(layout),
    )
    is_over = not plan.retry and len(over) == len(tasks)
    # Tasks that found the storage full are started again once somebody has mended and released it.
    return None if trip and is_over and not trip.fingerprint.startswith(FailureClass.STORAGE) else trip


def _ended(task: JudgedTask) -> Ended:
    last = task.attempts[-1]
    if last.verdict is None:
        raise AssertionError("a task whose last attempt is not over has not ended")
    row = last.state.row
    verdict, ended = last.verdict, last.state.ended or {}
    return Ended(
        run_name=task.state.task.run_name,
        category=verdict.category,
        fingerprint="" if verdict.category is FailureClass.SUCCESS else fingerprint(verdict),
        when=ended.get("ended") or (row.ended if row else None) or 0.0,
        cause=verdict.cause,
        evidence=verdict.evidence[0].text[:MAX_EVIDENCE] if verdict.evidence else "",
    )


def _failed_task(task: JudgedTask, frozen: Frozen, usual_steps: int | None) -> FailedTask:
    spec, last = frozen.spec, task.attempts[-1].record
    return FailedTask(
        task_id=task.state.task.task_id,
        run_name=task.state.task.run_name,
        attempts=tuple(_facts(attempt, frozen) for attempt in task.attempts),
        global_batch=spec.batch.global_size if spec.batch else None,
        processes=world_size_of(spec),
        checkpoints=tuple(lineage(task.attempts)),
        parameters={**spec.program.args, **task.state.task.parameters},
        overrides=_overrides(task),
        mixed_precision=last.get("mixed_precision", ""),
        shape=last.get("shape", ""),
        total_steps=declared_steps(last.get("arguments", {})) or usual_steps,
        altered=task.altered,
        code_changed=(last.get("code") or {}).get("sha256") != frozen.manifest["provenance"]["code"]["sha256"],
    )


def lineage(attempts: Sequence[JudgedAttempt]) -> list[str]:
    """Name the checkpoints that lead to the present, oldest first.

    An attempt that began anew cuts off what was before it; one that went back to an earlier checkpoint, what came after
    that; one that could not load its checkpoint, that checkpoint. Where two have one name the later one is meant, as
    when an attempt starts (`hpc.run_task.find_checkpoint`).
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
    return str((attempt.state.record or {}).get("resume_from", "")).rsplit("/", 1)[-1]


def _facts(attempt: JudgedAttempt, frozen: Frozen) -> AttemptFacts:
    if attempt.verdict is None:
        raise AssertionError("only tasks whose attempts are all over are failed")
    record, resources, row = attempt.record, _resources(attempt, frozen), attempt.state.row
    changed = adjustments(attempt.state.layout) if record.get("micro_batch") else []
    rate, startup_s = throughput(attempt.results, record.get("started"))
    return AttemptFacts(
        number=attempt.state.number,
        verdict=attempt.verdict,
        memory_mib=resources["memory_mib"],
        time_s=resources["time_s"],
        micro_batch=changed[-1]["new_micro_batch"] if changed else record.get("micro_batch"),
        accumulation=changed[-1]["new_accumulation"] if changed else record.get("accumulation"),
        last_step=last_step(attempt.results),
        resumed_from=_resumed_from(attempt),
        node=_node(attempt),
        peak_memory_mib=_peak(attempt),
        ended=(attempt.state.ended or {}).get("ended") or (row.ended if row else None),
        steps_per_second=rate,
        startup_s=startup_s,
    )


def _peak(attempt: JudgedAttempt) -> float | None:
    """Most host memory anybody measured: the wrapper's cgroup, or Slurm's MaxRSS."""
    row, ended = attempt.state.row, attempt.state.ended or {}
    known = [peak for peak in (ended.get("peak_memory_mib"), row.peak_memory_mib if row else None) if peak]
    return max(known, default=None)


def _resources(attempt: JudgedAttempt, frozen: Frozen) -> Mapping[str, Any]:
    return attempt.record.get("resources") or asdict(frozen.spec.resources)


def _node(attempt: JudgedAttempt) -> str:
    return attempt.state.row.node if attempt.state.row else str(attempt.record.get("host", ""))


def _overrides(task: JudgedTask) -> dict[str, Any]:
    return dict(task.attempts[-1].record.get("overrides", {})) if task.attempts else {}


def assignments_of(plan: RetryPlan, tasks: Sequence[JudgedTask], frozen: Frozen) -> list[Assignment]:
    """Turn a plan into elements to submit."""
    by_id = {task.state.task.task_id: task for task in tasks}
    return [_assignment(retry, by_id[retry.task_id], frozen) for retry in plan.retry]


def _assignment(retry: Retry, task: JudgedTask, frozen: Frozen) -> Assignment:
    resources = replace(frozen.spec.resources, memory_mib=retry.memory_mib, time_s=retry.time_s)
    global_batch = None
    if retry.micro_batch and retry.accumulation:
        global_batch = retry.micro_batch * retry.accumulation * world_size_of(frozen.spec)
    # A run cannot go on in the middle with another global batch: its steps would no longer be the same steps.
    resume = retry.resume and global_batch == task.attempts[-1].record.get("global_batch")
    return replace(
        first_assignment(frozen.spec, task.state.task),
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
    )


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────


def write_collected(snapshot: Snapshot, tasks: Sequence[JudgedTask], plan: RetryPlan) -> None:
    """Write ``collected/``: verdicts, results, table and plan. All of it can be deleted and made again."""
    layout = snapshot.layout
    head = {
        "experiment": layout.experiment,
        "manifest_sha": snapshot.manifest["sha256"],
        "collected": snapshot.taken,
    }
    decisions = _decisions(plan)
    described = [describe(layout, task, decisions.get(task.state.task.task_id)) for task in tasks]
    digest = content_hash({**head, "tasks": described})
    write_json(layout.verdicts, {"schema": SCHEMA, **head, "sha256": digest, "tasks": described})
    _write_results(layout, {**head, "verdicts_sha256": digest}, tasks)
    write_text(layout.tasks_csv, render_csv(described))
    write_json(layout.retry_plan, {"schema": SCHEMA, **head, **plan_json(plan)})


def plan_json(plan: RetryPlan) -> dict[str, Any]:
    """A retry plan as JSON."""
    return asdict(plan)


def _decisions(plan: RetryPlan) -> dict[str, dict[str, str]]:
    retried = {each.task_id: {"action": "retry", "reason": each.reason} for each in plan.retry}
    declined = {each.task_id: {"action": "declined", "reason": _why_not(each)} for each in plan.declined}
    return {**retried, **declined}


def _why_not(declined: Declined) -> str:
    return f"{declined.reason}; {declined.next_step}" if declined.next_step else declined.reason


def describe(layout: RunLayout, task: JudgedTask, decision: Mapping[str, str] | None) -> dict[str, Any]:
    """One task of ``verdicts.json``."""
    asked = task.state.task
    return {
        "task_id": asked.task_id,
        "run_name": asked.run_name,
        "parameters": dict(asked.parameters),
        "seed": asked.seed,
        "case": asked.case,
        "outcome": task.outcome.value,
        "failure_class": task.failure_class.value if task.failure_class else None,
        "altered": task.altered,
        "changes": task.changes,
        "summary": finite(final_values(task)),
        "attempts": [_describe_attempt(layout, attempt) for attempt in task.attempts],
        "decision": dict(decision) if decision else {"action": "none", "reason": ""},
    }


def final_values(task: JudgedTask) -> dict[str, float]:
    """What the last attempt's program summed up, and the seconds its result took (`wall_time`).

    Nothing for a task without a result: what a failed run reached is in its series, and is no result. A resumed
    attempt stands on the ones before it, so their time counts; one that began anew stands alone.
    """
    if task.outcome is not Outcome.FINISHED:
        return {}
    last = task.attempts[-1]
    chain = task.attempts if last.record.get("resume_from") else task.attempts[-1:]
    seconds = [each.state.ended["ended"] - each.state.ended["started"] for each in chain if each.state.ended]
    measured = {"wall_time": float(sum(seconds))} if last.state.ended else {}
    return {**measured, **last.results.summary}


def _describe_attempt(layout: RunLayout, attempt: JudgedAttempt) -> dict[str, Any]:
    state, record, ended, row = attempt.state, attempt.record, attempt.state.ended or {}, attempt.state.row
    resources = record.get("resources") or {}
    started = record.get("started") if state.record else (row.started if row else None)
    finished = ended.get("ended", row.ended if row else None)
    elapsed = finished - started if started and finished else (row.elapsed_s if row else None)
    gpus = record.get("gpus", resources.get("gpus", 0))
    resumed = record.get("resume_from") if state.record else None
    return {
        "attempt": state.number,
        "submission": state.submission,
        "job": state.job,
        "state": row.state.value if row else None,
        "exit_code": ended.get("exit_code", row.exit_code if row else None),
        "signal": ended.get("signal", (row.signal or None) if row else None),
        "started": started,
        "ended": finished,
        "elapsed_s": elapsed,
        "nodes": record.get("nodes", resources.get("nodes", 1)),
        "manifest_sha": record.get("manifest_sha"),
        "seal": record.get("seal"),
        "code_sha256": (record.get("code") or {}).get("sha256"),
        "image_sha256": (record.get("image") or {}).get("sha256"),
        "launch": record.get("launch"),
        "resumed_from_attempt": attempt_number(Path(resumed).parents[1].name) if resumed else None,
        "gpus": gpus,
        "gpu_seconds": ended.get("gpu_seconds", gpus * record.get("nodes", 1) * (elapsed or 0.0)),
        "micro_batch": record.get("micro_batch"),
        "accumulation": record.get("accumulation"),
        "global_batch": record.get("global_batch"),
        "memory_mib": resources.get("memory_mib"),
        "time_s": resources.get("time_s"),
        "peak_memory_mib": ended.get("peak_memory_mib", row.peak_memory_mib if row else None),
        "peak_gpu_memory_mib": ended.get("peak_gpu_memory_mib"),
        "node": _node(attempt),
        "directory": str(state.layout.home.relative_to(layout.home)),
        "changes": list(record.get("changes", ())),
        "verdict": _describe_verdict(attempt.verdict) if attempt.verdict else None,
    }


def _describe_verdict(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON; what stands behind the proof of a success are warnings."""
    is_success = verdict.category is FailureClass.SUCCESS
    return {**asdict(verdict), "warnings": [line.text for line in verdict.evidence[1:]] if is_success else []}


def _write_results(layout: RunLayout, head: Mapping[str, Any], tasks: Sequence[JudgedTask]) -> None:
    columns = TaskColumns(
        task_id=[task.state.task.task_id for task in tasks],
        run_name=[task.state.task.run_name for task in tasks],
        outcome=[task.outcome.value for task in tasks],
        failure_class=[task.failure_class.value if task.failure_class else "" for task in tasks],
        attempts=[len(task.attempts) for task in tasks],
        altered=[task.altered for task in tasks],
    )
    write_results(layout.results, head, columns, _summary_columns(tasks), _series_columns(tasks))


def _summary_columns(tasks: Sequence[JudgedTask]) -> dict[str, NDArray[np.float64]]:
    columns: dict[str, NDArray[np.float64]] = {}
    for row, task in enumerate(tasks):
        for name, value in final_values(task).items():
            columns.setdefault(name, np.full(len(tasks), math.nan))[row] = value
    return columns


def _series_columns(tasks: Sequence[JudgedTask]) -> dict[str, list[Rows]]:
    columns: dict[str, list[Rows]] = {}
    for row, task in enumerate(tasks):
        for attempt in task.attempts:
            for name, series in attempt.results.series.items():
                columns.setdefault(name, []).append(Rows(row, attempt.state.number, *series))
    return columns


def render_csv(tasks: Sequence[Mapping[str, Any]]) -> str:
    """The same table for people and spreadsheets: one row a task, every parameter and final metric a column."""
    parameters = list(dict.fromkeys(name for task in tasks for name in task["parameters"]))
    metrics = list(dict.fromkeys(name for task in tasks for name in task["summary"]))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    fixed = ("outcome", "failure_class", "altered")
    writer.writerow(
        ["run_name", "task_id", "case", *parameters, "seed", *fixed, "attempts", *metrics, "evidence", "decision"]
    )
    for task in tasks:
        verdict = task["attempts"][-1]["verdict"] if task["attempts"] else None
        evidence = verdict["evidence"][0]["text"] if verdict and verdict["evidence"] else ""
        cells = [
            task["run_name"], task["task_id"], task["case"], *(task["parameters"].get(name) for name in parameters),
            task["seed"], *(task[name] for name in fixed), len(task["attempts"]),
            *(task["summary"].get(name) for name in metrics), evidence, task["decision"]["reason"],
        ]  # fmt: skip
        writer.writerow([_cell(cell) for cell in cells])
    return file.getvalue()


def _cell(value: object) -> object:
    """Keep a spreadsheet from reading text as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+@-\t" and value[:1] else value
