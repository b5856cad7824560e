"""Everything known about one attempt, gathered into `Evidence`: scheduler, exit record, logs, metrics. No judgement."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.adapters.logs import read_log, read_program_logs
from hpc.adapters.metrics_h5 import Series, read_contents
from hpc.core.errors import InputError
from hpc.core.evidence import Evidence, LogLine
from hpc.core.executions import JobRow
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.slurm_states import SlurmState
from hpc.inspection import AttemptState

MEASURED = "wall_time"
MAX_VALUES = 10_000
"""Values of a series that a verdict looks at: the last ones."""


@dataclass(frozen=True)
class Results:
    """What an attempt's metrics file holds; empty where there is none or it cannot be read (`problem` says why).

    Attributes:
        complete: Whether the writer closed it; None when there is no file.
    """

    series: Mapping[str, Series]
    summary: Mapping[str, float]
    complete: bool | None
    problem: str = ""


def read_results(attempt: AttemptLayout) -> Results:
    """Read an attempt's metrics; a damaged file is evidence, not an error of ours."""
    try:
        return Results(*read_contents(attempt.metrics))
    except FileNotFoundError:
        return Results({}, {}, None)
    except (InputError, OSError, KeyError) as error:
        return Results({}, {}, False, str(error))


def gather(layout: RunLayout, attempt: AttemptState, results: Results) -> Evidence:
    """Gather the evidence on one attempt that is over."""
    record, ended, row = attempt.record or {}, attempt.ended or {}, attempt.row
    return Evidence(
        state=_state(ended, row),
        state_reason=row.reason if row else "",
        step_states=tuple((row.steps if row else {}).values()),
        exit_code=ended.get("exit_code", row.exit_code if row else None),
        exit_signal=ended.get("signal") or ((row.signal or None) if row else None),
        signals_received=tuple(ended.get("signals_received", ())),
        started=attempt.record is not None,
        program_outcome=ended.get("program_outcome"),
        log=(
            *read_program_logs(attempt.layout),
            *_slurm_log(layout, attempt),
            *_problem("metrics", results.problem or _lack(record, results)),
            *_problem("exit record", ended.get("output_lost", "")),
        ),
        series={name: values_of(series) for name, series in results.series.items()},
        complete=results.complete and not _lack(record, results),
        expects_metrics=True,
        delivered=_has_delivered(record, results),
        last_step=last_step(results),
        gpus=record.get("gpus"),
        elapsed_s=_elapsed(ended, row.elapsed_s if row else None),
        time_limit_s=row.time_limit_s if row and row.time_limit_s else record.get("resources", {}).get("time_s"),
        peak_memory_mib=_largest(ended.get("peak_memory_mib"), row.peak_memory_mib if row else None),
        memory_limit_mib=ended.get("memory_limit_mib") or record.get("resources", {}).get("memory_mib"),
        oom_kill_count=ended.get("oom_kill_count"),
        exit_recorded=bool(ended),
        silent_s=_silence(results, ended, row.ended if row else None),
        in_container=record.get("image") is not None,
        resumed=bool(record.get("resume_from")),
    )


def _state(ended: Mapping[str, Any], row: JobRow | None) -> SlurmState | None:
    """Slurm's last word, or that of the wrapper's own clock where there is no Slurm.

    While Slurm still calls a job running whose end we have on record (epilog, lag), it has said nothing yet. Nor has it
    when it calls time-out what ended long before the limit: its controller was away, and missed the end.
    """
    if row is not None and row.state.is_finished:
        return None if row.state is SlurmState.TIMEOUT and _ended_before(ended, row.time_limit_s) else row.state
    return SlurmState.TIMEOUT if ended.get("timed_out") else None


def _ended_before(ended: Mapping[str, Any], limit_s: float | None) -> bool:
    """Whether the program ended by itself, clearly before its limit."""
    if not ended or not limit_s or ended.get("signals_received"):
        return False
    return bool(ended["ended"] - ended["started"] < 0.9 * limit_s)


def _slurm_log(layout: RunLayout, attempt: AttemptState) -> Iterable[LogLine]:
    """Read what Slurm and the wrapper printed for this attempt; every restart of an element appends to the file."""
    logs = layout.submission(attempt.submission).logs
    name = attempt.job if attempt.job and not attempt.job.startswith("local") else None
    if name is None:
        return
    path = logs / f"{name}.log"
    if path.is_file():
        yield from of_attempt(read_log(path, "slurm"), attempt.number)


def of_attempt(lines: Iterable[LogLine], number: int) -> list[LogLine]:
    """Cut one attempt's share out of an appended log, by the line the wrapper prints at its start."""
    kept: list[LogLine] = []
    current = 0
    for line in lines:
        words = line.text.split()
        if len(words) > 3 and words[0] == "hpc:" and words[2] == "attempt" and line.text.count(", job "):
            current = int(words[3].rstrip(","))
        if current in (0, number):
            kept.append(line)
    return kept


def _problem(source: str, text: str) -> tuple[LogLine, ...]:
    return (LogLine(source, 0, text),) if text else ()


def _lack(record: Mapping[str, Any], results: Results) -> str:
    """Say that the primary metric was never summed up; empty when it was. `wall_time` we measure ourselves."""
    primary = record.get("primary_metric", MEASURED)
    if not results.complete or primary == MEASURED or primary in results.summary:
        return ""
    return f"complete, but without a final value of the primary metric {primary}"


def _has_delivered(record: Mapping[str, Any], results: Results) -> bool:
    primary = record.get("primary_metric", "")
    return bool(results.complete) and math.isfinite(results.summary.get(primary, math.nan))


def values_of(series: Series) -> tuple[float, ...]:
    """Give the last `MAX_VALUES` values of a series as plain numbers."""
    return tuple(float(value) for value in series.value[-MAX_VALUES:])


def last_step(results: Results) -> int | None:
    """Highest step any metric reached; None when nothing was logged."""
    steps = [int(series.step.max()) for series in results.series.values() if series.step.size]
    return max(steps, default=None)


def _elapsed(ended: Mapping[str, Any], told: float | None) -> float | None:
    if ended:
        return float(ended["ended"] - ended["started"])
    return told


def _largest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _silence(results: Results, ended: Mapping[str, Any], told_end: float | None) -> float | None:
    """Seconds from the last metric to the end."""
    times = [float(series.time[-1]) for series in results.series.values() if series.time.size]
    end = ended.get("ended", told_end)
    return max(0.0, end - max(times)) if times and end else None


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Final values as JSON can hold them: what is not finite is null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def checkpoint_names(attempt: Path) -> list[str]:
    """Complete checkpoints of an attempt, oldest first."""
    folder = attempt / "checkpoints"
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".tmp")) if folder.is_dir() else []
