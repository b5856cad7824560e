"""A task of ``verdicts.json``: every attempt with what it used, how it ended, and the verdict on it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hpc.adapters.finished_run import repeated_since
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.layout import RunLayout, attempt_number
from hpc.core.records.attempt_verdict import AttemptVerdict
from hpc.core.records.task import TaskRecord
from hpc.rounds.judge import JudgedAttempt, JudgedTask
from hpc.rounds.times import checkpoint_s, queue_s, rolled_back, startup_s
from hpc.snapshots.evidence import finite

ADOPTED = "adopted: run without this toolkit; only its files tell how it ended"
"""What stands in every verdict on a run that was taken in from elsewhere."""


def describe_task(
    layout: RunLayout, task: JudgedTask, values: Mapping[str, float], decision: Mapping[str, str] | None
) -> dict[str, Any]:
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
        "summary": finite(values),
        "kept": task.kept.why if task.kept and task.kept_result else "",
        "attempts": _describe_attempts(layout, task),
        "decision": dict(decision) if decision else {"action": "none", "reason": ""},
    }


def _describe_attempts(layout: RunLayout, task: JudgedTask) -> list[dict[str, Any]]:
    """All attempts, oldest first; those that are gone as they were described before."""
    lost, before = rolled_back(task), (None, *task.attempts)
    present = [
        replace(
            attempt_verdict(layout, attempt),
            queue_s=queue_s(layout, attempt, earlier),
            rolled_back_s=lost.get(attempt.state.number),
        ).to_json()
        for attempt, earlier in zip(task.attempts, before, strict=False)
    ]
    if task.kept is None or not (task.kept_result or present):
        return present
    kept = task.kept.attempts(besides={each.state.number for each in task.attempts})
    return sorted((*kept, *present), key=lambda each: int(each["attempt"]))


def attempt_verdict(layout: RunLayout, attempt: JudgedAttempt) -> AttemptVerdict:
    """One attempt of ``verdicts.json``."""
    state, settings, record, row = attempt.state, attempt.settings, attempt.state.record, attempt.state.row
    started = record.started if record else row.started if row else None
    return AttemptVerdict(
        attempt=state.number,
        submission=state.submission,
        job=state.job,
        directory=str(state.layout.home.relative_to(layout.home)),
        state=row.state.value if row else None,
        started=started,
        ended=attempt.ended,
        **_cost(attempt, started),
        startup_s=startup_s(attempt),
        checkpoint_s=checkpoint_s(attempt.results),
        **_exit_of(attempt),
        node=attempt.node,
        micro_batch=settings.micro_batch,
        accumulation=settings.accumulation,
        global_batch=settings.global_batch,
        memory_mib=attempt.resources.memory_mib if attempt.resources else None,
        time_s=attempt.resources.time_s if attempt.resources else None,
        changes=settings.changes,
        **_provenance(record),
        resumed_from_attempt=_attempt_resumed(attempt),
        unreadable=str(state.unreadable or ""),
        verdict=_describe_verdict(layout, attempt.verdict, record) if attempt.verdict else None,
    )


def _cost(attempt: JudgedAttempt, started: float | None) -> dict[str, Any]:
    """What an attempt used: seconds, nodes, GPUs, memory."""
    record, asked, ended, row = attempt.state.record, attempt.resources, attempt.state.ended, attempt.state.row
    elapsed = attempt.ended - started if started and attempt.ended else row.elapsed_s if row else None
    nodes = record.nodes if record else asked.nodes if asked else 1
    gpus = record.gpus if record else asked.gpus if asked else 0
    share = max(1, record.packed) if record else 1
    return {
        "elapsed_s": elapsed,
        "nodes": nodes,
        "gpus": gpus,
        "gpu_seconds": ended.gpu_seconds if ended else gpus * nodes * (elapsed or 0.0) / share,
        "peak_memory_mib": ended.peak_memory_mib if ended else row.peak_memory_mib if row else None,
        "peak_gpu_memory_mib": ended.peak_gpu_memory_mib if ended else None,
        "cpus": asked.cpus if asked else None,
        "cpu_seconds": ended.cpu_seconds if ended else None,
        "gpu_busy": ended.gpu_busy if ended else None,
        "gpu_energy_j": ended.gpu_energy_j if ended else None,
    }


def _exit_of(attempt: JudgedAttempt) -> dict[str, Any]:
    """Exit code and signal, by the wrapper's record, else by Slurm."""
    ended, row = attempt.state.ended, attempt.state.row
    if ended:
        return {"exit_code": ended.exit_code, "signal": ended.signal}
    return {"exit_code": row.exit_code if row else None, "signal": (row.signal or None) if row else None}


def _provenance(record: TaskRecord | None) -> dict[str, Any]:
    """What an attempt ran; nothing for one that never started."""
    if record is None:
        return {}
    return {
        "manifest_sha": record.manifest_sha or None,
        "seal": record.seal,
        "code_sha256": record.code.sha256,
        "image_sha256": record.image.sha256 if record.image else None,
        "launch": asdict(record.launch),
        "adopted": record.adopted,
    }


def _attempt_resumed(attempt: JudgedAttempt) -> int | None:
    """Number of the attempt whose checkpoint it went on from: ``…/attempt-1/checkpoints/step_10`` is 1."""
    parents = Path(attempt.resumed_from).parents
    return attempt_number(parents[1].name) if attempt.resumed_from and len(parents) > 1 else None


def _describe_verdict(layout: RunLayout, verdict: Verdict, record: TaskRecord | None) -> dict[str, Any]:
    """A verdict as JSON; what stands behind the proof of a success are warnings.

    So are that a run was adopted, and that what it started from was repeated since.
    """
    warnings: list[str] = []
    if verdict.category is FailureClass.SUCCESS:
        repeated = repeated_since(layout.root, record.uses) if record else ()
        warnings = [*(line.text for line in verdict.evidence[1:]), *(f"made from {each}" for each in repeated)]
    told = {**asdict(verdict), "warnings": warnings}
    if record is None or not record.adopted:
        return told
    return {**told, "summary": f"adopted; {verdict.summary}", "warnings": [ADOPTED, *told["warnings"]]}
