"""Holding a run that was made again against the first: final values, logged curves, and what differed around them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import read_json_or_none, readable_record
from hpc.adapters.metrics_read import Series
from hpc.core.errors import InputError
from hpc.core.experiment.values import render_value
from hpc.core.history.metrics import Run, Spread, deviation_of, seed_spread
from hpc.core.history.reproduced import Repeated
from hpc.core.layout import AttemptLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.words import few
from hpc.reproduction.named import Original
from hpc.snapshots.evidence import Results, read_results


def primary_of(original: Original) -> str:
    """Name of the primary metric."""
    return str(original.manifest["spec"]["metrics"]["primary"]["name"])


def compare(original: Original, again: AttemptLayout) -> tuple[Repeated, ...]:
    """Hold every metric of the two runs beside each other, the primary one first.

    Raises:
        InputError: The metrics of one of them cannot be read.
    """
    first, second = _results(original.attempt), _results(again)
    primary = primary_of(original)
    names = dict.fromkeys((*first.summary, *second.summary, *first.series, *second.series))
    ordered = sorted(names, key=lambda name: (name != primary, name))
    siblings = _siblings(original)
    return tuple(
        Repeated(
            name,
            _final(first, name),
            _final(second, name),
            seed_spread(siblings, name) or _stored_spread(original, name),
            _parting(first.series.get(name), second.series.get(name)),
        )
        for name in ordered
    )


def _results(attempt: AttemptLayout) -> Results:
    found = read_results(attempt)
    if found.problem and not (found.summary or found.series):
        raise InputError(f"its metrics cannot be read: {found.problem}", str(attempt.metrics))
    return found


def _final(results: Results, name: str) -> float | None:
    """What the program summed up; else the last value it logged."""
    if name in results.summary:
        return results.summary[name]
    series = results.series.get(name)
    return float(series.value[-1]) if series is not None and series.value.size else None


def _parting(first: Series | None, second: Series | None) -> int | None:
    """First step at which two curves differ, to the bit; None where they are equal. Times do not count."""
    if first is None or second is None or not (first.step.size and second.step.size):
        return None
    length = min(first.step.size, second.step.size)
    same = (first.step[:length] == second.step[:length]) & (
        (first.value[:length] == second.value[:length])
        | (np.isnan(first.value[:length]) & np.isnan(second.value[:length]))
    )
    if not same.all():
        return int(first.step[int(np.argmin(same))])
    if first.step.size == second.step.size:
        return None
    longer = first if first.step.size > second.step.size else second
    return int(longer.step[length])


def _siblings(original: Original) -> Sequence[Run]:
    """The collected runs of the first experiment, as statistics of seeds see them."""
    entries = read_entries(original.layout).values()
    return [_run(each) for each in entries if each["outcome"] == "finished" and not each.get("altered")]


def _run(entry: Mapping[str, Any]) -> Run:
    settings = {**(entry.get("parameters") or {}), "case": entry.get("case"), "seed": entry.get("seed")}
    return Run(
        entry["run_name"],
        "",
        {str(name): render_value(value) for name, value in settings.items() if value is not None},
        {name: float(value) for name, value in entry["summary"].items() if _is_number(value)},
    )


def _stored_spread(original: Original, metric: str) -> Spread | None:
    """The spread of the stored baseline that the experiment names; None where there is none."""
    name = (original.manifest["spec"].get("analysis") or {}).get("baseline_from")
    stored = read_json_or_none(original.layout.stored_baseline(str(name))) if name else None
    found = (stored.get("metrics") or {}).get(metric) if isinstance(stored, dict) else None
    values = [float(each) for each in found if _is_number(each)] if isinstance(found, list) else []
    deviation = deviation_of(values)
    return None if deviation is None else Spread(deviation, len(values), 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def what_differed(original: Original, again: AttemptLayout) -> tuple[str, ...]:
    """Say what was not the same around the two runs, from the records of their ends."""
    first, second = original.ended, readable_record(again.exit_json, ExitRecord)
    if first is None or second is None:
        return ("how one of the two ended was not recorded",)
    told = [
        f"{what} {then or 'not known'}, then {now or 'not known'}"
        for what, then, now in (
            ("host", first.host, second.host),
            ("kernel", first.kernel, second.kernel),
            ("Python", first.python, second.python),
            ("image", (first.image_sha256 or "")[:16], (second.image_sha256 or "")[:16]),
            ("data", first.data_hash, second.data_hash),
        )
        if then != now
    ]
    told += _changed("package", first.packages or {}, second.packages or {})
    return (*told, *_changed("variable", _settings(first), _settings(second)))


def _changed(what: str, first: Mapping[str, str], second: Mapping[str, str]) -> Iterable[str]:
    names = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if names:
        yield f"{what}s: " + few([f"{name} {first.get(name, 'none')} → {second.get(name, 'none')}" for name in names])


def _settings(ended: ExitRecord) -> Mapping[str, str]:
    """Variables that may change a result: not those that name the run, its folder and its job."""
    return {name: value for name, value in ended.environment.items() if not name.startswith(("HPC_", "SLURM_"))}
