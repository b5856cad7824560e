"""What the report relies on in ``collected/verdicts.json``: a damaged file is refused by field before it is used.

Both today's files and those of earlier versions pass: what an earlier version did not write has a default. Only shapes
are checked here; whether the tasks are those of the manifest is checked in `analysis.data.frame`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpc.core.records.record import RecordError, record_from

LAST_TIME = 253_402_300_799.0
"""The end of the year 9999: no run has a later Unix time, and no calendar can write one."""


@dataclass(frozen=True)
class _Evidence:
    source: str | None = None
    line: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class _Verdict:
    category: str
    cause: str | None = None
    rule: str | None = None
    confidence: float | None = None
    summary: str | None = None
    suggestion: str | None = None
    evidence: tuple[_Evidence, ...] | None = None
    warnings: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Launch:
    kind: str | None = None
    processes: int | None = None
    mixed_precision: str | None = None
    zero_stage: int | None = None
    offload: str | None = None
    fsdp: str | None = None
    fsdp_wrap: tuple[str, ...] | None = None
    gradient_checkpointing: bool | None = None
    torch_compile: bool | None = None
    rank_logs: bool | None = None


@dataclass(frozen=True)
class ReadAttempt:
    """An `AttemptVerdict` as any version wrote it: everything but its number may be absent or null."""

    attempt: int
    submission: int | None = None
    job: str | None = None
    node: str | None = None
    directory: str | None = None
    seal: str | None = None
    state: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started: float | None = None
    ended: float | None = None
    elapsed_s: float | None = None
    gpus: float | None = None
    nodes: float | None = None
    gpu_seconds: float | None = None
    memory_mib: float | None = None
    time_s: float | None = None
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None
    cpus: float | None = None
    cpu_seconds: float | None = None
    gpu_busy: float | None = None
    gpu_energy_j: float | None = None
    queue_s: float | None = None
    startup_s: float | None = None
    checkpoint_s: float | None = None
    rolled_back_s: float | None = None
    micro_batch: int | None = None
    accumulation: int | None = None
    global_batch: int | None = None
    resumed_from_attempt: int | None = None
    manifest_sha: str | None = None
    code_sha256: str | None = None
    image_sha256: str | None = None
    launch: _Launch | None = None
    changes: tuple[str, ...] | None = None
    adopted: str | None = None
    kept: str | None = None
    unreadable: str | None = None
    verdict: _Verdict | None = None


@dataclass(frozen=True)
class _Decision:
    action: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Task:
    task_id: str
    run_name: str
    seed: int
    outcome: str
    parameters: Mapping[str, Any]
    attempts: tuple[ReadAttempt, ...]
    summary: Mapping[str, Any]
    case: str | None = None
    failure_class: str | None = None
    altered: bool = False
    changes: tuple[str, ...] | None = None
    decision: _Decision | None = None
    check: str | None = None
    check_said: str | None = None


@dataclass(frozen=True)
class _Verdicts:
    collected: float
    tasks: tuple[Any, ...] = field(default=())


def shape_problems(verdicts: object) -> list[str]:
    """Say which fields of ``verdicts.json`` are missing, of another type or impossible; none where it is whole."""
    problems = _problems(_Verdicts, verdicts)
    if problems:
        return problems
    content: Mapping[str, Any] = verdicts  # type: ignore[assignment]
    found = [] if 0 <= content["collected"] <= LAST_TIME else [f"collected: {content['collected']} is no Unix time"]
    for place, task in enumerate(content["tasks"]):
        wrong = _problems(_Task, task) or list(_impossible(task))
        name = task.get("run_name", place) if isinstance(task, Mapping) else place
        found += [f"task {name}: {problem}" for problem in wrong]
    return found


def _problems(kind: type, content: object) -> list[str]:
    try:
        record_from(kind, content)
    except RecordError as error:
        return list(error.problems)
    return []


def _impossible(task: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a task has the right type and cannot be."""
    numbers = [one["attempt"] for one in task["attempts"]]
    if any(number < 1 for number in numbers) or numbers != sorted(set(numbers)):
        yield f"attempts: the numbers {', '.join(map(str, numbers))} where 1 and up, each once, are expected"
    for one in task["attempts"]:
        for name in ("started", "ended"):
            if one.get(name) is not None and not 0 <= one[name] <= LAST_TIME:
                yield f"attempts: {name} of attempt {one['attempt']} is {one[name]}, which is no Unix time"
    for name, value in task["summary"].items():
        if value is not None and not _is_finite(value):
            yield f"summary: {name} is not a finite number or null"


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
