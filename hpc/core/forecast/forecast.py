"""What a plan is forecast to take, as it is kept and as it is said; and how that stands against limits."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

from hpc.core.forecast.predict import Interval
from hpc.core.immutable import immutable
from hpc.core.records.record import Record, RecordError
from hpc.core.resources import DAY, HOUR, MINUTE, Resources, render_memory, render_time
from hpc.core.words import amount, amount_unit, counted, span, two_digits

MARGIN = 1.2
"""What is advised stays so far above the most that was ever seen."""
TOO_HIGH = 3.0
"""A limit that is so many times what is needed is worth a word."""
ENOUGH_RUNS = 3
"""Runs from which on a lower limit is advised."""


@immutable
class Forecast(Record):
    """What a plan is expected to take.

    Attributes:
        time: Unix time at which it was made.
        manifest_sha: The plan.
        tasks: How many it has.
        left: How many of them had no result yet.
        known: Runs it was learned from.
        source: Whose runs these are, in words; empty where none is known.
        scaled_by: Argument its times were scaled by; empty for none.
        apart_by: Argument by whose values runs took longer or shorter; empty for none.
        not_scaled: What is planned otherwise than in any known run, and scaled by nothing, in words.
        unit: ``GPU h`` or ``core h``.
        run_s: One run, in seconds; null where none is known, as all below.
        hours: All runs of the plan, retries as often as before included.
        left_hours: Those that had no result yet.
        wall_s: From the first start to the last end of those, without waiting in a queue.
        at_once: Runs at once that this counts on; 0: all.
        memory_mib: Peak host memory of a run.
        disk_mib: What all runs that had no result yet will write.
        disk_source: ``resources.disk``, or how many runs it was measured in.
        at_most_hours: If every task used its whole limit once.
        warnings: Where limits will be met, one sentence each.
        advice: Where less would do.
        budget: How much of the budget it takes, in words; empty without one.
    """

    kind: ClassVar[str] = "forecast"

    time: float
    manifest_sha: str
    tasks: int
    left: int
    known: int = 0
    source: str = ""
    scaled_by: str = ""
    apart_by: str = ""
    not_scaled: str = ""
    unit: str = "core h"
    run_s: Interval | None = None
    hours: Interval | None = None
    left_hours: Interval | None = None
    wall_s: Interval | None = None
    at_once: int = 0
    memory_mib: Interval | None = None
    disk_mib: Interval | None = None
    disk_source: str = ""
    at_most_hours: float = 0.0
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    budget: str = ""


def say_forecast(found: Forecast, experiment: str, *, says_bound: bool = True) -> Iterator[str]:
    """Say it in two or three lines, and a line for each warning.

    Args:
        says_bound: Whether to name the most it can cost where no run is known; not where the line before has named it.
    """
    if found.run_s is None or found.left_hours is None or found.wall_s is None:
        bound = f"at most {amount(found.at_most_hours, found.unit)} by the limits" if says_bound else ""
        yield f"forecast: {'; '.join(filter(None, (bound, 'no similar run is known')))}{_disk(found)}"
        yield f"  to measure one first: python -m hpc.submit {experiment} --canary"
    else:
        memory = f", {say_interval(found.memory_mib, say_memory)}" if found.memory_mib else ""
        place = f" with {found.at_once} at once" if found.at_once else " if all run at once"
        yield (
            f"forecast: a run {say_interval(found.run_s, say_span)}{memory}; {counted(found.left, 'run')} "
            f"{say_hours(found.left_hours, found.unit)}, {say_interval(found.wall_s, say_span)}{place}{_disk(found)}"
        )
        yield f"  {_basis(found)}"
    if found.budget:
        yield f"  {found.budget}"
    yield from (f"warning: {each}" for each in found.warnings)
    yield from (f"note: {each}" for each in found.advice)


def _disk(found: Forecast) -> str:
    if not found.disk_mib:
        return ""
    return f"; disk {say_interval(found.disk_mib, say_memory)} (by {found.disk_source})"


def _basis(found: Forecast) -> str:
    """What it was learned from, and how far."""
    told = f"learned from {counted(found.known, 'run')} of {found.source}"
    told += ": no interval from one run alone" if found.known == 1 else "; in brackets 10–90 %"
    told += f"; scaled by {found.scaled_by}" if found.scaled_by else "; not scaled"
    told += f"; each value of {found.apart_by} by itself" if found.apart_by else ""
    return told + (f"; different there: {found.not_scaled}" if found.not_scaled else "")


def say_against(found: Forecast, used_h: float, wall_s: float | None = None) -> str:
    """Say forecast and actual in one line.

    Args:
        used_h: Hours used, in the forecast's unit.
        wall_s: From the first start to the last end; None where it is not over.
    """
    if found.hours is None:
        most = amount(found.at_most_hours, found.unit)
        return f"forecast at most {most} (no run was known), used {amount(used_h, found.unit)}"
    told = f"forecast {say_hours(found.hours, found.unit)}, used {amount(used_h, found.unit)}"
    if wall_s is not None and found.wall_s and found.left == found.tasks:
        told += f"; {say_interval(found.wall_s, say_span)} of time, took {say_span(wall_s)}"
    return told


def forecasts_of(lines: Iterable[object]) -> list[Forecast]:
    """Read the lines of ``forecasts.jsonl``, oldest first; those that are no forecast are passed over."""
    found = []
    for line in lines:
        with suppress(RecordError):
            found.append(Forecast.from_json(line))
    return found


def counts_then(forecasts: Sequence[Forecast], began: float | None) -> Forecast | None:
    """Find the forecast that what came is held against: the last one before anything began, else the first.

    One that knew a run goes before one that did not, as long as it was made before the experiment was over.

    Args:
        forecasts: Oldest first.
        began: Unix time of the first start; None before it.
    """
    before = [each for each in forecasts if began is None or each.time <= began]
    chosen = (before or list(forecasts[:1]))[-1:]
    if chosen and chosen[0].hours is None:
        learned = [each for each in forecasts if each.hours is not None and each.left > 0]
        chosen = learned[:1] or chosen
    return chosen[0] if chosen else None


def limit_warnings(asked: Resources, run_s: Interval | None, memory: Interval | None) -> Iterator[str]:
    """Say where runs will probably meet their limits."""
    if run_s and run_s.most > asked.time_s:
        yield (
            f"runs may take {say_span(run_s.most)} but get {render_time(asked.time_s)}; ask for "
            f"{render_time(round_time(run_s.most * MARGIN))} (resources.time), or have the program go on from a "
            "checkpoint"
        )
    if memory and memory.most > asked.memory_mib:
        yield (
            f"runs may need {say_memory(memory.most)} but get {render_memory(asked.memory_mib)}; ask for "
            f"{render_memory(round_memory(memory.most * MARGIN))} (resources.mem)"
        )


def limit_advice(
    asked: Resources, run_s: Interval | None, memory: Interval | None, most_s: float, most_mib: float, runs: int
) -> Iterator[str]:
    """Say where three times more is asked than runs need. Never less than was seen is advised.

    Args:
        most_s: Longest run that was seen, in seconds; scaled as those to come.
        most_mib: Highest peak of memory that was seen, failed attempts included.
        runs: Runs that were seen.
    """
    if runs < ENOUGH_RUNS:
        return
    if run_s and asked.time_s > TOO_HIGH * max(run_s.most, most_s):
        enough = round_time(max(run_s.most, most_s) * MARGIN)
        if enough < asked.time_s:
            yield (
                f"{render_time(asked.time_s)} is asked for, but runs end within "
                f"{say_span(max(run_s.most, most_s))} ({counted(runs, 'run')}): {render_time(enough)} would be enough, "
                "and "
                "short jobs start sooner"
            )
    if memory and asked.memory_mib > TOO_HIGH * max(memory.most, most_mib):
        enough = round_memory(max(memory.most, most_mib) * MARGIN)
        if enough < asked.memory_mib:
            yield (
                f"{render_memory(asked.memory_mib)} is asked for, but the peak was {say_memory(most_mib)} in "
                f"{counted(runs, 'run')}: {render_memory(enough)} would be enough"
            )


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def round_time(seconds: float) -> int:
    """Round up to a time limit people would write: whole minutes, from an hour on whole ten, from a day on whole hours.

    Never less than 5 minutes: starts and file systems have bad days.
    """
    unit = MINUTE if seconds < HOUR else 10 * MINUTE if seconds < DAY else HOUR
    return max(5 * MINUTE, math.ceil(seconds / unit) * unit)


def round_memory(mib: float) -> int:
    """Round up to an amount people would write: quarters of a GiB below 4, whole ones above."""
    unit = 256 if mib < 4096 else 1024
    return math.ceil(mib / unit) * unit


def say_span(seconds: float) -> str:
    """Write a duration with two digits: ``12 min``, ``3.4 h``, ``2.1 days``."""
    return span(seconds)


def say_memory(mib: float) -> str:
    """Write an amount of memory with two digits: ``480 MB``, ``6.1 GB`` (powers of 1024, as everywhere here)."""
    for unit, size in (("TB", 1024 * 1024), ("GB", 1024), ("MB", 0)):
        if mib >= size:
            return f"{two_digits(mib / max(size, 1))} {unit}"
    raise AssertionError("an amount is not negative")


def say_interval(value: Interval, say: Callable[[float], str]) -> str:
    """Write ``12 min (9–16 min)``; the middle alone where nothing more is known."""
    if value.low is None or value.high is None:
        return say(value.middle)
    low, high = say(value.low), say(value.high)
    if low == high:
        return say(value.middle)
    unit = low.rpartition(" ")[2]
    low = low.removesuffix(f" {unit}") if high.endswith(f" {unit}") else low
    return f"{say(value.middle)} ({low}–{high})"


def say_hours(value: Interval, unit: str) -> str:
    """Write ``3.1 GPU h (2.4–4.0)``; little of it in minutes or seconds."""
    scale, name = amount_unit(value.middle, unit)
    low, high = (None if end is None else two_digits(end * scale) for end in (value.low, value.high))
    ends = "" if low is None or low == high else f" ({low}–{high})"
    return f"{two_digits(value.middle * scale)} {name}{ends}"
