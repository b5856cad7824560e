"""How the tasks that run are doing: last step, primary metric, warning signs of their curves. Bounded, read-only.

At most `MOST_FILES` files of at most `MOST_BYTES` are opened, and read without HDF5 where their writer says how. The
rules on curves are loaded only when something runs, HDF5 only for the files of other writers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpc.adapters.metrics_rows import Rows, read_rows
from hpc.core.failures.evidence import MAX_VALUES
from hpc.core.immutable import immutable
from hpc.core.picture import thin
from hpc.snapshots.states import AttemptState, Progress, Snapshot

if TYPE_CHECKING:
    from hpc.core.failures.health import HealthWarning

MOST_FILES = 40
MOST_BYTES = 64 << 20
POINTS = 24
"""Points that a curve is told in."""


@immutable
class Warned:
    """A warning sign of one curve.

    Attributes:
        sign: Which one.
        text: One sentence with its numbers.
        advice: The first thing to do about it.
    """

    sign: str
    text: str
    advice: str


@immutable
class RunningTask:
    """One task at work.

    Attributes:
        run_name, attempt, job, node: Which, and where.
        step: Highest step logged; None before the first.
        metric: Name of the primary metric.
        value: Its last value; None when it was not logged yet or is no finite number.
        logged: Unix time of the last value of any metric; None before the first.
        warnings: What its curves show.
        rung: Last rung it has climbed of a canary's ladder of checks; empty where it climbs none.
        curve: The primary metric so far, in at most `POINTS` means; None where one has no finite number.
    """

    run_name: str
    attempt: int
    job: str
    node: str
    step: int | None
    metric: str
    value: float | None
    logged: float | None
    warnings: tuple[Warned, ...]
    rung: str = ""
    curve: tuple[float | None, ...] = ()


def look_at_running(snapshot: Snapshot) -> tuple[RunningTask, ...]:
    """Read the metrics of the tasks that run, the longest running first; the rest beyond `MOST_FILES` is left out."""
    running = [
        (task.task.run_name, attempt)
        for task in snapshot.tasks
        if not task.late
        for attempt in task.attempts
        if attempt.progress is Progress.RUNNING
    ]
    running.sort(key=lambda pair: pair[1].began.started if pair[1].began else 0.0)
    return tuple(_look_at(name, attempt) for name, attempt in running[:MOST_FILES])


def _look_at(run_name: str, attempt: AttemptState) -> RunningTask:
    from hpc.core.failures.health import examine

    record = attempt.record
    curves = _curves(attempt) if _is_small(attempt) else {}
    primary = record.primary_metric if record else ""
    values = curves[primary].value if primary in curves else ()
    last = values[-1] if values else math.nan
    found = examine({name: each.value[-MAX_VALUES:] for name, each in curves.items()})
    return RunningTask(
        run_name,
        attempt.number,
        attempt.job,
        attempt.row.node if attempt.row else record.host if record else "",
        max((max(each.step) for each in curves.values() if each.step), default=None),
        primary,
        last if math.isfinite(last) else None,
        max((each.time[-1] for each in curves.values() if each.time), default=None),
        (*_watched(attempt), *warned_of(found, resumed=record is not None and bool(record.resume_from))),
        _rung(attempt) if record is not None and record.sanity else "",
        tuple(thin(values, POINTS)),
    )


def _curves(attempt: AttemptState) -> Mapping[str, Rows]:
    """Every metric so far; none where nothing was logged, or what is there cannot be read."""
    files = attempt.layout
    found = read_rows(files.metrics)
    if found is None and (os.path.lexists(files.metrics) or os.path.lexists(files.metrics.with_suffix(".jsonl"))):
        from hpc.snapshots.evidence import read_results

        read = read_results(files).series
        return {name: Rows(*(column.tolist() for column in each)) for name, each in read.items()}
    return found or {}


def _rung(attempt: AttemptState) -> str:
    """What the ladder said last, while the program itself has not begun."""
    from hpc.adapters.logs import read_log_or_say_why
    from hpc.core.launch.sanity import rungs_in

    if attempt.layout.stdout.exists():
        return ""
    return (rungs_in(line.text for line in read_log_or_say_why(attempt.layout.sanity_log, "sanity")) or ["begins"])[-1]


def _watched(attempt: AttemptState) -> tuple[Warned, ...]:
    """What the watch over it sees at present; mostly nothing, and no such file."""
    if not attempt.layout.watch.exists():
        return ()
    from hpc.adapters.files import readable_record
    from hpc.core.records.watch import WatchRecord

    told = readable_record(attempt.layout.watch, WatchRecord)
    standing = told.standing if told else None
    if standing is None:
        return ()
    sign = "slow" if standing.found == "slow" else "hang"
    return (Warned(sign, standing.says, f"its stacks: {attempt.layout.stacks}"),)


def _is_small(attempt: AttemptState) -> bool:
    try:
        return attempt.layout.metrics.stat().st_size <= MOST_BYTES
    except OSError:
        return True  # absent: reading it says so cheaply


def warned_of(found: Sequence[HealthWarning], *, resumed: bool) -> tuple[Warned, ...]:
    """Pick what is worth a line while it runs: what lasts. A flat loss proves nothing of a run that was resumed."""
    from hpc.core.failures.health import Sign

    lasting = [each for each in found if each.lasting and not (resumed and each.sign is Sign.NO_LEARNING)]
    if not lasting:
        return ()
    from hpc.core.failures.diagnosis import advice_of

    return tuple(Warned(each.sign.value, each.text, advice_of(each.sign)) for each in lasting)
