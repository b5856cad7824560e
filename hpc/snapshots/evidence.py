"""Everything known about one attempt, gathered into `Evidence`: scheduler, exit record, logs, metrics. No judgement.

What reads metrics (numpy, h5py) is imported where some are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpc.adapters.files import read_json_or_none, read_record_or_none
from hpc.adapters.logs import read_log_or_say_why, read_program_logs
from hpc.core.errors import InputError
from hpc.core.failures.evidence import MAX_VALUES, Evidence, LogLine
from hpc.core.layout import AttemptLayout, RunLayout, complete_checkpoints
from hpc.core.records.exit import ExitRecord
from hpc.core.records.task import TaskRecord
from hpc.core.slurm.executions import JobRow, is_job
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.states import AttemptState

if TYPE_CHECKING:
    from hpc.adapters.metrics_read import Contents, Series

MEASURED = "wall_time"
CHECKPOINT = "checkpoint_s"
"""Metric by which a program may say how long it wrote a checkpoint; its values are added up."""
SUMMARY = "summary.json"
_SAID_BY_US = frozenset({"metrics", "exit record"})
"""Sources of lines without a number that do not say that a log cannot be read."""
MOST_PROBLEMS = 5
MOST_SHOWN = 200
"""Characters of a pattern or path."""


class Measures(NamedTuple):
    """What curves say of steps and times: all that is asked of them once a verdict is given.

    Attributes:
        first_step, last_step: Lowest and highest step of any metric; None when nothing was logged.
        steps, seconds, began: Of the metric that spans most steps: how many, in how long, Unix time of its first value.
        checkpoint_s: Sum of the metric of that name; None without one.
    """

    first_step: int | None = None
    last_step: int | None = None
    steps: int = 0
    seconds: float = 0.0
    began: float = 0.0
    checkpoint_s: float | None = None


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

    @cached_property
    def measures(self) -> Measures:
        """What the curves say of steps and times."""
        return _measured(self.series)

    def without_curves(self, attempt: AttemptLayout) -> Results:
        """The same with curves that are read again where somebody asks for them: those of a thousand runs fill memory.

        Args:
            attempt: Where they were read.
        """
        return self.with_late_curves(attempt, self.measures, has_curves=bool(self.series))

    def with_late_curves(self, attempt: AttemptLayout, measures: Measures, *, has_curves: bool) -> Results:
        """The same with the curves of an attempt, which are read where somebody asks for them.

        Args:
            measures: What they say of steps and times.
            has_curves: Whether there are any.
        """
        late = replace(self, series=_Late(attempt) if has_curves else {})
        late.__dict__["measures"] = measures
        return late


class _Late(Mapping[str, "Series"]):
    """The curves of an attempt, read when they are looked at."""

    def __init__(self, attempt: AttemptLayout) -> None:
        self._attempt = attempt

    @cached_property
    def _read(self) -> Mapping[str, Series]:
        return read_results(self._attempt).series

    def __getitem__(self, name: str) -> Series:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def _measured(series: Mapping[str, Series]) -> Measures:
    spans = [(int(each.step.min()), int(each.step.max()), each) for each in series.values() if each.step.size]
    told = series.get(CHECKPOINT)
    checkpoint_s = float(told.value.sum()) if told is not None and told.value.size else None
    if not spans:
        return Measures(checkpoint_s=checkpoint_s)
    low, high, longest = max(spans, key=lambda span: span[1] - span[0])
    began = float(longest.time.min())
    return Measures(
        min(span[0] for span in spans), max(span[1] for span in spans),
        high - low, float(longest.time.max()) - began, began, checkpoint_s,
    )  # fmt: skip


def read_results(attempt: AttemptLayout, record: TaskRecord | None = None) -> Results:
    """Read an attempt's metrics; a damaged file, or one that is not its own, is evidence and no error of ours.

    A file that contradicts `task.json` or `summary.json` is not complete, so no run is a success by it.

    Args:
        record: Its ``task.json``, where that was read just now.
    """
    from hpc.adapters.metrics_apart import read_apart

    record = record or _own_record(attempt)
    try:
        contents = read_apart(attempt.metrics, [record.primary_metric] if record else [])
    except FileNotFoundError:
        return Results({}, {}, None)
    except (InputError, OSError) as error:
        return Results({}, {}, False, str(error))
    contradictions = [*_of_another(contents, record), *_other_values(contents, _object(attempt.home / SUMMARY))]
    return Results(
        contents.series,
        contents.summary,
        contents.complete and not contradictions,
        "; ".join([*contradictions, *_some(contents.problems)]),
    )


def _object(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is none could be read, which others say."""
    try:
        found = read_json_or_none(path)
    except (InputError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _own_record(attempt: AttemptLayout) -> TaskRecord | None:
    """What the attempt says it is; None where it cannot be read, which its snapshot says."""
    try:
        return read_record_or_none(attempt.task_json, TaskRecord)
    except (InputError, OSError):
        return None


def _of_another(contents: Contents, record: TaskRecord | None) -> Iterable[str]:
    """How the file says that another attempt wrote it; nothing where it does not say who did."""
    told = contents.attributes
    if record is None or not told.get("task_id"):
        return
    for name in ("task_id", "attempt", "manifest_sha"):
        theirs, ours = told.get(name), getattr(record, name)
        if theirs and ours and theirs != ours:
            yield f"metrics of another run: their {name} is {theirs}, this attempt's is {ours}"


def _other_values(contents: Contents, beside: Mapping[str, Any]) -> Iterable[str]:
    """Final values that differ from those the same writer left in `summary.json`, once it closed both."""
    values = beside.get("summary")
    if not contents.complete or beside.get("complete") is not True or not isinstance(values, dict):
        return
    for name, value in values.items():
        held = contents.summary.get(name)
        if held is None or value != (held if math.isfinite(held) else None):
            yield f"the final value of {name} is {held} in the metrics and {value} in {SUMMARY}"


def _some(problems: Sequence[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]


def gather(layout: RunLayout, attempt: AttemptState, results: Results) -> Evidence:
    """Gather the evidence on one attempt that is over."""
    record, ended, row = attempt.record, attempt.ended, attempt.row
    lack = _lack(record, results)
    return replace(
        _told_by_slurm(row) if ended is None else _told_by_wrapper(ended, row),
        state=_state(ended, row),
        state_reason=row.reason if row else "",
        step_states=tuple((row.steps if row else {}).values()),
        started=record is not None,
        log=(
            *read_program_logs(attempt.layout),
            *_slurm_log(layout, attempt),
            *_problem("metrics", results.problem or lack),
            *_problem("exit record", ended.output_lost if ended else ""),
        ),
        series={name: values_of(series) for name, series in results.series.items()},
        complete=results.complete and not lack,
        expects_metrics=True,
        delivered=_has_delivered(record, results),
        last_step=last_step(results),
        gpus=record.gpus if record else None,
        time_limit_s=row.time_limit_s if row and row.time_limit_s else _asked(record, "time_s"),
        memory_limit_mib=(ended.memory_limit_mib if ended else None) or _asked(record, "memory_mib"),
        silent_s=_silence(results, ended.ended if ended else row.ended if row else None),
        in_container=record is not None and record.image is not None,
        resumed=record is not None and bool(record.resume_from),
        unmatched=_unmatched(record, ended, results),
    )


def was_read(evidence: Evidence, results: Results) -> bool:
    """Whether everything there is could be read: only then does the same come out as long as the files are the same."""
    return not results.problem and all(line.line or line.source in _SAID_BY_US for line in evidence.log)


def _told_by_wrapper(ended: ExitRecord, row: JobRow | None) -> Evidence:
    """What the record of its end says."""
    return Evidence(
        exit_code=ended.exit_code,
        exit_signal=ended.signal,
        signals_received=ended.signals_received,
        program_outcome=ended.program_outcome,
        elapsed_s=ended.elapsed_s,
        peak_memory_mib=_largest(ended.peak_memory_mib, row.peak_memory_mib if row else None),
        oom_kill_count=ended.oom_kill_count,
        exit_recorded=True,
        stalled=ended.stalled,
        sanity=ended.sanity,
        hang=ended.hang,
        watched=ended.watched,
        unfit=ended.unfit,
        unread=ended.metrics_unread.text if ended.metrics_unread else "",
    )


def _told_by_slurm(row: JobRow | None) -> Evidence:
    """What Slurm says where the wrapper left no record of the end."""
    if row is None:
        return Evidence()
    return Evidence(
        exit_code=row.exit_code,
        exit_signal=row.signal or None,
        elapsed_s=row.elapsed_s,
        peak_memory_mib=row.peak_memory_mib,
    )


def _asked(record: TaskRecord | None, name: str) -> float | None:
    """What was asked of the scheduler, by the field's name; None where no record says it."""
    return getattr(record.resources, name) if record else None


def _state(ended: ExitRecord | None, row: JobRow | None) -> SlurmState | None:
    """Slurm's last word, or that of the wrapper's own clock where there is no Slurm.

    While Slurm still calls a job running whose end we have on record (epilog, lag), it has said nothing yet. Nor has it
    when it calls time-out what ended long before the limit: its controller was away, and missed the end.
    """
    if row is not None and row.state.is_finished:
        return None if row.state is SlurmState.TIMEOUT and _ended_before(ended, row.time_limit_s) else row.state
    return SlurmState.TIMEOUT if ended and ended.timed_out else None


def _ended_before(ended: ExitRecord | None, limit_s: float | None) -> bool:
    """Whether the program ended by itself, clearly before its limit."""
    if ended is None or not limit_s or ended.signals_received:
        return False
    return ended.elapsed_s < 0.9 * limit_s


def _slurm_log(layout: RunLayout, attempt: AttemptState) -> Iterable[LogLine]:
    """Read what Slurm and the wrapper printed for this attempt; every restart of an element appends to the file."""
    if not is_job(attempt.job):  # this machine's own queue has none, and a record that was edited names no file
        return
    lines = read_log_or_say_why(layout.submission(attempt.submission).element_log(attempt.job), "slurm")
    if attempt.is_packed:
        run_name = attempt.layout.home.parent.name
        yield from of_packed(lines, run_name, attempt.number, ended_with_it=attempt.ended_with_its_element)
    else:
        packed = attempt.layout.element_log
        yield from of_attempt(lines or read_log_or_say_why(packed, "slurm"), attempt.number)


_OTHERS_TOO = re.compile(r"oom.?kill|out.of.memory", re.IGNORECASE)
"""What Slurm says of a whole element whichever of its tasks it was; the wrapper's record tells whose."""


def of_packed(lines: Iterable[LogLine], run_name: str, number: int, *, ended_with_it: bool) -> list[LogLine]:
    """Pick one attempt's lines from the log of an element that other tasks share: those that name it.

    Args:
        ended_with_it: Whether the end of the element was its own: what Slurm says of that is then said of it too.
    """
    kept = []
    for line in lines:
        words = line.text.split()
        if words[:1] == ["hpc:"]:
            is_named = words[1:2] == [run_name]
            is_own = is_named and " ".join(words[2:4]).rstrip(",") == f"attempt {number}"
        else:
            is_own = ended_with_it and not _OTHERS_TOO.search(line.text)
        if is_own:
            kept.append(line)
    return kept


def of_attempt(lines: Iterable[LogLine], number: int) -> list[LogLine]:
    """Cut one attempt's share out of an appended log, by the line the wrapper prints at its start."""
    kept: list[LogLine] = []
    current = 0
    for line in lines:
        words = line.text.split()
        if len(words) > 3 and words[0] == "hpc:" and words[2] == "attempt" and line.text.count(", job "):
            current = int(told) if (told := words[3].rstrip(","))[:9].isdecimal() and len(told) < 10 else current
        if current in (0, number):
            kept.append(line)
    return kept


def _problem(source: str, text: str) -> tuple[LogLine, ...]:
    return (LogLine(source, 0, text),) if text else ()


def _lack(record: TaskRecord | None, results: Results) -> str:
    """Say that the primary metric was never summed up; empty when it was. `wall_time` we measure ourselves."""
    primary = record.primary_metric if record else MEASURED
    if not results.complete or primary in ("", MEASURED) or primary in results.summary:
        return ""
    return f"complete, but without a final value of the primary metric {primary}"


def _unmatched(record: TaskRecord | None, ended: ExitRecord | None, results: Results) -> str:
    """Why the primary metric is not where the experiment says; empty where it is, or another reason is known."""
    if record is None or ended is None or ended.metrics_unread or results.complete is None or results.problem:
        return ""
    kind, text = (*record.metrics_source, "")[:2]
    primary = record.primary_metric
    if kind == "hdf5" or primary in ("", MEASURED) or primary in results.series or primary in results.summary:
        return ""
    if kind == "stdout":
        return f"no line of its output matched {primary} in metrics.source.stdout: {text[:MOST_SHOWN]}"
    if kind == "json":
        return f"no line of its output was a JSON object with {primary} (metrics.source.json)"
    return f"it left no {text[:MOST_SHOWN]} with {primary} (metrics.source.{kind})"


def _has_delivered(record: TaskRecord | None, results: Results) -> bool:
    primary = record.primary_metric if record else ""
    return bool(results.complete) and math.isfinite(results.summary.get(primary, math.nan))


def values_of(series: Series) -> tuple[float, ...]:
    """Return the last `MAX_VALUES` values of a series as plain numbers."""
    return tuple(series.value[-MAX_VALUES:].tolist())


def last_step(results: Results) -> int | None:
    """Highest step any metric reached; None when nothing was logged."""
    return results.measures.last_step


def _largest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _silence(results: Results, end: float | None) -> float | None:
    """Seconds from the last metric to the end."""
    times = [float(series.time[-1]) for series in results.series.values() if series.time.size]
    return max(0.0, end - max(times)) if times and end else None


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Final values as JSON can hold them: what is not finite is null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def checkpoint_names(attempt: Path) -> list[str]:
    """Complete checkpoints of an attempt, oldest first."""
    folder = attempt / "checkpoints"
    return complete_checkpoints(path.name for path in folder.iterdir()) if folder.is_dir() else []
