"""Runs that a forecast can be learned from: the experiment's own, else those of its siblings, else of the log.

Read are the newest collection and, of what ended since, the records of its attempts. Nothing is asked of Slurm.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import read_json_or_none, readable_record
from hpc.adapters.history_file import HistoryFiles
from hpc.adapters.manifest_store import planned_below
from hpc.adapters.space import size_of
from hpc.core.errors import HpcError, InputError
from hpc.core.forecast.observed import Observed
from hpc.core.history.command import parse_command
from hpc.core.history.entries import State, fold
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import RunLayout, attempt_number
from hpc.core.records.exit import ExitRecord
from hpc.core.records.task import TaskRecord
from hpc.core.words import few
from hpc.submissions.on_disk import list_attempts, list_runs

MOST_READ = 300
"""Runs that nobody collected yet and whose records are read."""
MOST_SIBLINGS = 30
"""Experiments below the root that are looked at, newest first."""
MOST_MEASURED = 6
"""Run folders of which the space is measured."""


@immutable
class Known:
    """Runs to learn from.

    Attributes:
        runs: Finished ones, each of more than 0 s.
        peaks_mib: Peak memory of every attempt that was measured, failed ones included.
        source: Whose they are, in words.
        overhead: Hours that all attempts took over those that finished runs did, at least 1.
        disk_of_run: MiB and files of a run's folder, of those that were measured.
        fixed: Arguments that the plan's command gives every run, where known runs may have had others.
    """

    runs: tuple[Observed, ...] = ()
    peaks_mib: tuple[float, ...] = ()
    source: str = ""
    overhead: float = 1.0
    disk_of_run: tuple[tuple[float, int], ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)


def find_known(layout: RunLayout, manifest: Mapping[str, Any]) -> Known:
    """Find the runs that a plan's are like: its own, else those of siblings, else those that were started by hand."""
    fixed = _fixed(manifest["spec"].get("program") or {})
    own = runs_of(layout, manifest)
    if own.runs:
        return replace(own, source="this experiment", fixed=fixed)
    siblings = _siblings(layout, manifest)
    return replace(siblings if siblings.runs else _by_hand(layout, manifest), fixed=fixed)


def runs_of(layout: RunLayout, manifest: Mapping[str, Any]) -> Known:
    """Every finished run of one experiment, as the newest collection has it, else by its own records."""
    program = manifest["spec"].get("program") or {}
    fixed = _fixed(program)
    args = {**fixed, **(program.get("args") or {})}
    entries = {each["run_name"]: each for each in read_entries(layout).values()}
    since = [name for name in list_runs(layout) if entries.get(name, {}).get("outcome") != "finished"][:MOST_READ]
    told = [_of_entry(each, args) for name, each in entries.items() if name not in set(since)]
    told += [_of_records(layout, name, fixed) for name in since]
    runs = tuple(each.run for each in told if each.run and each.run.run_s > 0)
    finished = sum(each.run_s for each in runs)
    return Known(
        runs,
        tuple(peak for each in told for peak in each.peaks_mib),
        overhead=max(1.0, sum(each.spent_s for each in told if each.is_over) / finished) if finished else 1.0,
        disk_of_run=tuple(size_of(layout.task(each.run_name).home) for each in _some(runs)),
    )


def _some(runs: Sequence[Observed]) -> list[Observed]:
    """A few runs, at equal distances."""
    step = max(1, len(runs) // MOST_MEASURED)
    return list(runs[::step][:MOST_MEASURED])


@immutable
class _Told:
    """What is known of one task.

    Attributes:
        run: None where it has not finished.
        is_over: Whether nothing of it runs.
    """

    run: Observed | None
    peaks_mib: tuple[float, ...]
    spent_s: float
    is_over: bool


def _of_entry(entry: Mapping[str, Any], args: Mapping[str, Any]) -> _Told:
    """A task as it was collected."""
    attempts = [each for each in entry["attempts"] if not each.get("adopted")]
    peaks = tuple(float(each["peak_memory_mib"]) for each in attempts if each.get("peak_memory_mib"))
    spent = sum(float(each.get("elapsed_s") or 0.0) for each in attempts)
    if entry["outcome"] != "finished" or not attempts:
        return _Told(None, peaks, spent, entry["outcome"] == "failed")
    behind = lineage([(each["attempt"], each.get("resumed_from_attempt")) for each in attempts])
    run = Observed(
        entry["run_name"],
        sum(float(each.get("elapsed_s") or 0.0) for each in attempts if each["attempt"] in behind),
        spent,
        {**args, **(entry.get("parameters") or {})},
        max(peaks, default=None),
        code=str(attempts[-1].get("code_sha256") or ""),
    )
    return _Told(run, peaks, spent, is_over=True)


def lineage(attempts: Sequence[tuple[int, int | None]]) -> set[int]:
    """The attempts that the last one goes on from: number and the one whose checkpoint it took, oldest first."""
    before = dict(attempts)
    found: set[int] = set()
    number: int | None = attempts[-1][0] if attempts else None
    while number is not None and number in before and number not in found:
        found.add(number)
        number = before[number]
    return found


def _of_records(layout: RunLayout, run_name: str, fixed: Mapping[str, Any]) -> _Told:
    """A task by the records of its attempts, as they lie on disk; with what its command gives every run."""
    task = layout.task(run_name)
    pairs = [
        (number, readable_record(task.attempt(number).task_json, TaskRecord),
         readable_record(task.attempt(number).exit_json, ExitRecord))
        for number in list_attempts(layout, run_name)
    ]  # fmt: skip
    ended = [(number, began, end) for number, began, end in pairs if began and end and not began.adopted]
    peaks = tuple(end.peak_memory_mib for _, _, end in ended if end.peak_memory_mib)
    spent = sum(end.elapsed_s for _, _, end in ended)
    if not ended or not ended[-1][2].is_done:
        return _Told(None, peaks, spent, is_over=len(ended) == len(pairs))
    behind = lineage([(number, _from(began.resume_from)) for number, began, _ in ended])
    last = ended[-1][1]
    run = Observed(
        run_name,
        sum(end.elapsed_s for number, _, end in ended if number in behind),
        spent,
        {**fixed, **(last.arguments or last.parameters)},
        max(peaks, default=None),
        code=last.code.sha256,
    )
    return _Told(run, peaks, spent, is_over=True)


def _from(checkpoint: str) -> int | None:
    """Number of the attempt in a checkpoint's path: ``…/attempt-1/checkpoints/step_10`` is 1."""
    parts = checkpoint.rsplit("/", 3)
    return attempt_number(parts[1]) if len(parts) == 4 else None


# ── siblings ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _siblings(layout: RunLayout, manifest: Mapping[str, Any]) -> Known:
    """Runs of the same program on the same site, with as many devices: of the same code where there are such."""
    found = [(name, known) for name, known in _others(layout, manifest) if known.runs]
    code = manifest["provenance"]["code"]["sha256"]
    same = [(name, replace(each, runs=tuple(run for run in each.runs if run.code == code))) for name, each in found]
    same = [(name, each) for name, each in same if each.runs]
    chosen = same or found
    if not chosen:
        return Known()
    note = "" if same else " (other code)"
    return Known(
        tuple(run for _, each in chosen for run in each.runs),
        tuple(peak for _, each in chosen for peak in each.peaks_mib),
        f"{few([name for name, _ in chosen])}{note}",
        statistics.fmean(each.overhead for _, each in chosen),
        tuple(size for _, each in chosen for size in each.disk_of_run)[:MOST_MEASURED],
    )


def _others(layout: RunLayout, manifest: Mapping[str, Any]) -> Iterator[tuple[str, Known]]:
    others = [RunLayout(layout.root, name) for name in planned_below(layout.root) if name != layout.experiment]
    others.sort(key=lambda each: -each.manifest.stat().st_mtime)
    for other in others[:MOST_SIBLINGS]:
        try:
            theirs = read_json_or_none(other.manifest)
            if isinstance(theirs, dict) and _alike(theirs) == _alike(manifest):
                yield other.experiment, runs_of(other, theirs)
        except (HpcError, OSError, KeyError, TypeError, ValueError):
            continue  # what cannot be read of others teaches nothing


def _alike(manifest: Mapping[str, Any]) -> tuple[object, ...]:
    """What two experiments have in common whose runs take alike, but for their arguments."""
    spec = manifest["spec"]
    program, asked = spec["program"], spec.get("resources") or {}
    try:
        parsed = parse_command(_words(program))
        started: object = (parsed.program, tuple(sorted(parsed.parameters)))
    except InputError:
        started = program.get("command")
    return (
        program.get("module"), started, manifest["cluster"]["name"],
        *(asked.get(name) for name in ("nodes", "gpus", "cpus")),
    )  # fmt: skip


def _words(program: Mapping[str, Any]) -> list[str]:
    return str(program.get("command") or f"python -m {program.get('module')}").split()


def _fixed(program: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments that a command gives every run: ``--steps 60`` in ``python train.py --lr {lr} --steps 60``."""
    try:
        given = parse_command(_words(program)).parameters
    except InputError:
        return {}
    return {name: _value(text) for name, text in given.items() if "{" not in text}


# ── runs that were started by hand ───────────────────────────────────────────────────────────────────────────────


def _by_hand(layout: RunLayout, manifest: Mapping[str, Any]) -> Known:
    """Runs of the same script in the experiment log, which has their times."""
    try:
        script = parse_command(_words(manifest["spec"]["program"])).program
        log = fold(HistoryFiles(layout.root).read()[1])
    except (InputError, OSError):
        return Known()
    found = [
        Observed(entry.name, took, took, {name: _value(text) for name, text in entry.parameters.items()})
        for entry in log.entries
        if entry.program == script and not entry.experiment and entry.state is State.FINISHED
        if (took := _took_s(entry.time, entry.ended)) > 0
    ]
    return Known(tuple(found), source="the log, started by hand") if found else Known()


def _took_s(began: str, ended: str) -> float:
    try:
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _value(text: str) -> object:
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return text
