"""Loads one experiment's manifest and collected results into aligned tables: one row per task, none lost, none twice.

A task that did not finish has NaN for every metric and says why in its failure class; there is no numeric default.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.data.collected import shape_problems
from analysis.data.lineage import course, trace
from analysis.data.sameness import ASPECTS, joined, what_ran
from analysis.data.sealed import Sealed, read_sealed
from analysis.words import presentable, show_value
from hpc.adapters.files import read_json, readable_record
from hpc.adapters.finished_run import repeated_since
from hpc.adapters.manifest_store import load_manifest
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.spec import Metric, read_ranges
from hpc.core.experiment.values import is_single, render_value
from hpc.core.identity import canonical_json, content_hash
from hpc.core.launch.program import experiments_before
from hpc.core.layout import RunLayout
from hpc.core.records.attempt_verdict import AttemptVerdict
from hpc.core.records.task import TaskRecord
from hpc.core.resources import parse_share
from hpc.core.words import counted

OUTCOMES = ("finished", "failed", "running", "pending", "planned")
SCHEMA = 1
LARGEST = 1e150
"""A final value beyond it is missing, and one below its inverse is 0: a variance needs squares, and those have none."""
_SHOWN_PROBLEMS = 10
_DAMAGED = (OSError, RuntimeError, KeyError, IndexError, AttributeError, TypeError, ValueError)
"""What h5py and numpy raise over a file whose parts are missing, cut or of another kind."""
_FLATTENED = ("verdict", "changes")
"""Fields of an attempt that become several columns, or a text."""
_ATTEMPT_COLUMNS = tuple(one.name for one in fields(AttemptVerdict) if one.name not in _FLATTENED)
_VERDICT_COLUMNS = ("category", "cause", "rule", "confidence", "summary", "suggestion")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One metric over the steps of one task, its attempts joined to one line.

    Attributes:
        task: Row of the task in the tables.
        step: Array of shape (points,), strictly increasing.
        value: Array of shape (points,), non-finite values included.
        time: Array of shape (points,): when each was logged, Unix seconds; None where nobody asked for it.
    """

    task: int
    step: Ints
    value: Floats
    time: Floats | None = None


@dataclass(frozen=True)
class ExperimentFrame:
    """Everything the report knows, tables aligned by row number (0 to tasks − 1, in manifest order).

    Attributes:
        layout: Where the experiment lies.
        manifest: The manifest as it stands on disk.
        manifest_sha: Its content hash.
        collected: When the results were collected, Unix seconds: the report's only clock.
        tasks: task_id, run_name, configuration (number), label, seed, case, outcome, failure_class ("" without),
            altered, attempts, course (how it got there, see `lineage.Course`), warnings (of a finished task's verdict),
            changes, action, reason, check (what the declared acceptance check says: passed, failed, not checked; ""
            without), check_said.
        parameters: One column per swept parameter; missing where a case does not set it. A list or mapping is its JSON
            text: it can be counted and compared, and has no order.
        values: One float column per metric; NaN unless the task finished with a finite value of at most `LARGEST`.
        attempts: One row per attempt, `task` is the row of its task; with its `fate`, the attempt it was `continued_in`
            (0: none), and whether its task's last attempt descends from it (`stands_behind`).
        ran: What each task's last attempt and those it descends from ran: one column per aspect of `sameness.ASPECTS`,
            empty where it was not recorded.
        configurations: Label of each configuration, in order of first appearance.
        series_names: Metrics with a curve.
        sealed: What was sealed, which of it counts, and the ledger of results.
    """

    layout: RunLayout
    manifest: Mapping[str, Any]
    manifest_sha: str
    collected: float
    tasks: pd.DataFrame
    parameters: pd.DataFrame
    values: pd.DataFrame
    attempts: pd.DataFrame
    ran: pd.DataFrame
    configurations: tuple[str, ...]
    series_names: tuple[str, ...]
    sealed: Sealed = field(default_factory=Sealed)

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """The experiment with the question that counts: what was sealed before any run began, whatever came later."""
        return self.sealed.asked(self.planned)

    @property
    def planned(self) -> Mapping[str, Any]:
        """The experiment as it is planned now."""
        spec: Mapping[str, Any] = self.manifest["spec"]
        return spec

    @property
    def metric_goals(self) -> tuple[Metric, ...]:
        """The declared metrics, the primary one first; empty when none is declared."""
        metrics = self.spec.get("metrics") or {}
        declared = [metrics.get("primary"), *(metrics.get("secondary") or ())]
        return tuple(_metric_goal(one) for one in declared if one)

    @property
    def has_check(self) -> bool:
        """Whether the experiment declares an acceptance check."""
        return bool(self.spec.get("check"))

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Array of shape (tasks,): finished as asked, so its values may be compared. Altered runs are not."""
        usable = (self.tasks["outcome"] == "finished") & ~self.tasks["altered"]
        return usable.to_numpy(dtype=bool)


def load_frame(layout: RunLayout) -> ExperimentFrame:
    """Load manifest, verdicts and results of one experiment and check that they tell one story.

    Raises:
        InputError: The manifest does not match its hash, the experiment was not collected since it was planned (the
            message names the command), or the files contradict each other: a task is missing, unknown, doubled, or
            differs between them.
    """
    manifest = load_manifest(layout)
    verdicts = _read_verdicts(layout, manifest)
    asked = manifest["tasks"]
    rows = _in_manifest_order(asked, verdicts["tasks"], str(layout.verdicts))
    with _opened(layout) as results:
        _check_results(results, manifest, verdicts, rows, str(layout.results))
        values = _values(results, rows)
        series_names = tuple(sorted(_true_name(group) for group in results.get("series", {}).values()))
    labels = configuration_labels(asked, manifest["spec"])
    configurations = tuple(dict.fromkeys(labels))
    return ExperimentFrame(
        layout=layout,
        manifest=manifest,
        manifest_sha=str(manifest["sha256"]),
        collected=float(verdicts["collected"]),
        tasks=_task_table(rows, labels, configurations),
        parameters=pd.DataFrame([_told(task["parameters"]) for task in asked], index=range(len(asked)), dtype=object),
        values=values,
        attempts=_attempt_table(rows),
        ran=_ran_table(rows),
        configurations=configurations,
        series_names=series_names,
        sealed=read_sealed(
            layout,
            _first_starts(rows),
            verdicts.get("ledger"),
            {str(row["task_id"]): str(row["run_name"]) for row in rows if row["outcome"] == "finished"},
        ),
    )


def _first_starts(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """When each task's first attempt began, as far as it is known."""
    starts = {
        str(row["task_id"]): [one["started"] for one in row["attempts"] if one.get("started") is not None]
        for row in rows
    }
    return {name: min(times) for name, times in starts.items() if times}


def _told(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if is_single(value) else render_value(value) for name, value in parameters.items()}


def load_series(frame: ExperimentFrame, metric: str, rows: Iterable[int]) -> tuple[Series, ...]:
    """Read the curves of some tasks; tasks without points are left out.

    Where a later attempt went over steps again (it resumed from a checkpoint, or started anew), its values count and
    the earlier attempt's values from there on do not.
    """
    with _opened(frame.layout) as results:
        group = next((one for one in results["series"].values() if _true_name(one) == metric), None)
        if group is None:
            return ()
        tasks = group["task"][:]
        found = []
        for row in sorted(rows):
            start, stop = np.searchsorted(tasks, (row, row + 1))
            if start < stop:
                found.append(_joined(row, *(group[name][start:stop] for name in ("attempt", "step", "value", "time"))))
    return tuple(found)


def newer_than_collected(frame: ExperimentFrame) -> int:
    """Count the tasks that ended an attempt after the results were collected; asks only about tasks not finished."""
    open_tasks = frame.tasks[frame.tasks["outcome"] != "finished"]
    return sum(
        1 for name, attempts in zip(open_tasks["run_name"], open_tasks["attempts"], strict=True)
        if _ended_after(frame.layout, str(name), int(attempts), frame.collected)
    )  # fmt: skip


def repeated_since_collected(frame: ExperimentFrame) -> tuple[str, ...]:
    """Name the finished runs made from runs of other experiments that were repeated since, and not warned of yet."""
    if not experiments_before(frame.spec):
        return ()
    finished = frame.tasks[frame.tasks["outcome"] == "finished"]
    return tuple(
        str(name)
        for name, attempts, warnings in zip(
            *(finished[column] for column in ("run_name", "attempts", "warnings")), strict=True
        )
        if {f"made from {each}" for each in _repeated(frame.layout, str(name), int(attempts))} - set(warnings)
    )


def configuration_labels(tasks: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]) -> list[str]:
    """Name each task's configuration by what varies: ``lora_rank=8, learning_rate=0.0002``; a case by its id first.

    Equal labels mean equal configurations: where 8 and '8' would look alike, all values are written as JSON.
    """
    values = _parameter_values(tasks)
    varying = [name for name, different in values.items() if len(different) > 1]
    if not varying and (spec.get("analysis") or {}).get("baseline_from"):
        varying = list(values)  # what the one configuration has that the stored baseline has not
    swept = {**((spec.get("sweep") or {}).get("grid") or {}), **((spec.get("sweep") or {}).get("zip") or {})}
    labels = [_label(task, varying, swept, show_value) for task in tasks]
    identities = {canonical_json([task.get("case"), task["parameters"]]) for task in tasks}
    if len(set(labels)) == len(identities):
        return labels
    return [_label(task, varying, swept, canonical_json) for task in tasks]


def _read_verdicts(layout: RunLayout, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Read the verdicts if they are there, whole and about this manifest."""
    command = f"run: python -m hpc.collect {layout.experiment}"
    missing = [path for path in (layout.verdicts, layout.results) if not path.exists()]
    if missing:
        raise InputError(f"{layout.experiment} has not been collected ({missing[0]} is missing); {command}")
    verdicts: Any = read_json(layout.verdicts)
    if not isinstance(verdicts, dict):
        raise InputError(f"it does not contain what was collected; {command}", str(layout.verdicts))
    if verdicts.get("schema") != SCHEMA:
        raise InputError(
            f"schema {verdicts.get('schema')!r}, this version reads {SCHEMA}; {command}", str(layout.verdicts)
        )
    if verdicts.get("manifest_sha") != manifest["sha256"]:
        raise InputError(f"{layout.experiment} was planned again after it was collected; {command}")
    told = {key: value for key, value in verdicts.items() if key not in ("schema", "sha256")}
    # Plans with a seal are of a version whose verdicts carry their hash.
    if ("sha256" in verdicts or "seal" in manifest) and verdicts.get("sha256") != content_hash(told):
        raise InputError(
            f"its content does not match its hash: it was edited after it was collected; {command}",
            str(layout.verdicts),
        )
    _refuse(shape_problems(verdicts), str(layout.verdicts))
    shown: dict[str, Any] = presentable(verdicts)
    return shown


@contextmanager
def _opened(layout: RunLayout) -> Iterator[h5py.File]:
    """Open ``results.h5``; whatever in it is not as `hpc.collect` writes it is one problem of that file.

    Raises:
        InputError: It cannot be opened, or what is read of it is not there or of another kind.
    """
    command = f"run: python -m hpc.collect {layout.experiment}"
    if not layout.results.is_file():
        raise InputError(f"is not a regular file; move it away, then {command}", str(layout.results))
    try:
        with h5py.File(layout.results, "r") as results:
            yield results
    except _DAMAGED as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"is damaged ({said[:200]}); {command}", str(layout.results)) from None


def _in_manifest_order(
    asked: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]], source: str
) -> list[Mapping[str, Any]]:
    """Return the judged tasks in the manifest's order.

    Raises:
        InputError: They are not exactly the manifest's tasks, each once, with the manifest's parameters.
    """
    wanted = {task["task_id"]: task for task in asked}
    if len(wanted) != len(asked):
        raise InputError("the manifest names a task twice; plan the experiment again")
    found = Counter(str(task["task_id"]) for task in judged)
    problems = [f"task {one} of the manifest is missing" for one in wanted if one not in found]
    problems += [f"task {one} is not in the manifest" for one in found if one not in wanted]
    problems += [f"task {one} appears {count} times" for one, count in found.items() if count > 1]
    problems += [text for task in judged for text in _contradictions(task, wanted.get(task["task_id"]))]
    _refuse(problems, source)
    by_id = {task["task_id"]: task for task in judged}
    return [by_id[one] for one in wanted]


def _contradictions(task: Mapping[str, Any], asked: Mapping[str, Any] | None) -> list[str]:
    """Say what makes one judged task impossible."""
    name, outcome, failure = task.get("run_name"), task.get("outcome"), task.get("failure_class")
    problems = []
    if asked and any(task.get(key) != asked.get(key) for key in ("run_name", "parameters", "seed")):
        problems.append(f"task {name} has another name, seed or parameters than in the manifest")
    if outcome not in OUTCOMES:
        problems.append(f"task {name} has the outcome {outcome!r}; valid: {', '.join(OUTCOMES)}")
    if (outcome == "failed") != bool(failure):
        problems.append(f"task {name} is {outcome} with failure class {failure!r}")
    return problems


def _refuse(problems: Sequence[str], source: str) -> None:
    """Raise all problems at once; the first few by name."""
    if not problems:
        return
    shown = [Problem(text) for text in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        shown.append(Problem(f"and {len(problems) - _SHOWN_PROBLEMS} more"))
    raise InputError(
        (*shown, Problem("collect the experiment again: results that do not add up get no report")), source
    )


def _check_results(
    results: h5py.File,
    manifest: Mapping[str, Any],
    verdicts: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    source: str,
) -> None:
    """Check that results.h5 is of the same collection and names the same tasks, in the manifest's order."""
    if str(results.attrs["manifest_sha"]) != manifest["sha256"] or results.attrs["collected"] != verdicts["collected"]:
        _refuse(["it was not collected at the same time as verdicts.json"], source)
    if results.attrs.get("verdicts_sha256") != verdicts.get("sha256"):
        _refuse(["verdicts.json is not the one it was collected with"], source)
    names = _texts(results["tasks/task_id"])
    problems = [f"task {one} appears {count} times" for one, count in Counter(names).items() if count > 1]
    expected = [str(row["task_id"]) for row in rows]
    problems += [f"task {one} of the manifest is missing" for one in sorted(set(expected) - set(names))]
    if not problems and names != expected:
        problems.append("its tasks are not those of the manifest in the manifest's order")
    if not problems:
        told = _texts(results["tasks/outcome"])
        problems = [
            f"task {row['run_name']} is {outcome} here and {row['outcome']} in verdicts.json"
            for row, outcome in zip(rows, told, strict=True) if row["outcome"] != outcome
        ]  # fmt: skip
    _refuse(problems, source)


def _values(results: h5py.File, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Read the final metrics; whatever a task reported before it failed is no result and becomes NaN."""
    finished = np.array([row["outcome"] == "finished" for row in rows], dtype=bool)
    columns: dict[str, Floats] = {}
    for group in results.get("summary", {}).values():
        raw = np.asarray(group[:], dtype=np.float64)
        if len(raw) != len(rows):
            _refuse(
                [f"metric {_true_name(group)} has {counted(len(raw), 'value')} for {counted(len(rows), 'task')}"],
                "results.h5",
            )
        name = _true_name(group)
        columns[name] = np.where(finished, computable(raw), np.nan)
        told = np.array([np.nan if (value := row["summary"].get(name)) is None else value for row in rows])
        _refuse(
            [
                f"{name} of task {rows[int(row)]['run_name']} is {raw[row]:g} here and {told[row]:g} in verdicts.json"
                for row in np.flatnonzero(finished & np.isfinite(raw) & (raw != told))
            ],
            "results.h5",
        )
    return pd.DataFrame(columns, index=range(len(rows)), dtype=np.float64)


def computable(values: Floats) -> Floats:
    """Return the values that can be computed with: NaN for what is not finite or has no square, 0 for what vanishes."""
    with np.errstate(invalid="ignore"):
        size = np.abs(values)
    found: Floats = np.where(size <= LARGEST, np.where(size < 1 / LARGEST, 0.0, values), np.nan)
    return found


def _true_name(item: Any) -> str:
    """Metric names may hold '/', which HDF5 reads as a folder: the true one is an attribute."""
    return str(item.attrs.get("name", item.name.rsplit("/", 1)[-1]))


def _texts(dataset: Any) -> list[str]:
    return [str(text) for text in dataset.asstr()[:]]


def _task_table(
    rows: Sequence[Mapping[str, Any]], labels: Sequence[str], configurations: Sequence[str]
) -> pd.DataFrame:
    number = {label: place for place, label in enumerate(configurations)}
    courses = [
        course([one.fate for one in trace(row["attempts"], row["outcome"])], str(row["outcome"])) for row in rows
    ]
    decisions = [row.get("decision") or {} for row in rows]
    return pd.DataFrame(
        {
            "task_id": [str(row["task_id"]) for row in rows],
            "run_name": [str(row["run_name"]) for row in rows],
            "configuration": np.array([number[label] for label in labels], dtype=np.int64),
            "label": list(labels),
            "seed": np.array([row["seed"] for row in rows], dtype=np.int64),
            "case": [row.get("case") or "" for row in rows],
            "outcome": [row["outcome"] for row in rows],
            "failure_class": [row.get("failure_class") or "" for row in rows],
            "altered": np.array([bool(row.get("altered")) for row in rows], dtype=bool),
            "attempts": np.array([len(row["attempts"]) for row in rows], dtype=np.int64),
            "course": [one.value for one in courses],
            "warnings": [_warnings(row) for row in rows],
            "changes": ["; ".join(map(str, row.get("changes") or ())) for row in rows],
            "action": [str(decision.get("action") or "none") for decision in decisions],
            "reason": [str(decision.get("reason") or "") for decision in decisions],
            "check": [str(row.get("check") or "") for row in rows],
            "check_said": [str(row.get("check_said") or "") for row in rows],
        },
        index=range(len(rows)),
    )


def _warnings(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the verdict that made a task finished warns of, and that it is kept although its folder is gone."""
    if row["outcome"] != "finished" or not row["attempts"]:
        return ()
    verdict = row["attempts"][-1].get("verdict") or {}
    kept = (f"kept as it was collected before: {row['kept']}",) if row.get("kept") else ()
    return (*kept, *(str(text) for text in verdict.get("warnings") or ()))


def _ran_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put together what each task's result ran, from the attempts it descends from."""
    columns: dict[str, list[str]] = {aspect: [] for aspect in ASPECTS}
    for row in rows:
        traced = trace(row["attempts"], row["outcome"])
        behind = [what_ran(one) for one, way in zip(row["attempts"], traced, strict=True) if way.stands_behind]
        for aspect, column in columns.items():
            column.append(joined(one[aspect] for one in behind))
    return pd.DataFrame(columns, index=range(len(rows)), dtype=object)


def _attempt_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    records = [
        {
            **_attempt_record(place, attempt),
            "fate": traced.fate.value,
            "continued_in": traced.continued_in,
            "stands_behind": traced.stands_behind,
        }
        for place, row in enumerate(rows)
        for attempt, traced in zip(row["attempts"], trace(row["attempts"], row["outcome"]), strict=True)
    ]
    numeric = (
        "elapsed_s",
        "gpu_seconds",
        "peak_memory_mib",
        "peak_gpu_memory_mib",
        "time_s",
        "memory_mib",
        "gpus",
        "nodes",
    )
    columns = ["task", *_ATTEMPT_COLUMNS, *_VERDICT_COLUMNS, "source", "line", "text", "changes"]
    columns += ["fate", "continued_in", "stands_behind"]
    table = pd.DataFrame(records, columns=columns, dtype=object)
    for name in numeric:
        table[name] = pd.to_numeric(table[name]).astype(np.float64)
    return table.astype({"task": np.int64, "attempt": np.int64, "continued_in": np.int64, "stands_behind": bool})


def _attempt_record(place: int, attempt: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten one attempt; its first evidence line is the most telling one."""
    verdict = attempt.get("verdict") or {}
    evidence = (verdict.get("evidence") or [{}])[0]
    return {
        "task": place,
        **{name: attempt.get(name) for name in _ATTEMPT_COLUMNS},
        **{name: verdict.get(name) or "" for name in _VERDICT_COLUMNS},
        **{name: evidence.get(name) or "" for name in ("source", "line", "text")},
        "changes": "; ".join(map(str, attempt.get("changes") or ())),
    }


def _joined(row: int, attempt: Ints, step: Ints, value: Floats, time: Floats) -> Series:
    """Join a task's attempts: each keeps its steps before the first step of any later attempt."""
    keep = np.zeros(len(step), dtype=bool)
    bound = math.inf
    for number in np.unique(attempt)[::-1]:
        mine = attempt == number
        keep |= mine & (step < bound)
        bound = min(bound, float(step[mine].min()))
    order = np.argsort(step[keep], kind="stable")
    steps, values = step[keep][order], _drawable(value[keep][order])
    # A step logged twice by one attempt: the last value is what the program meant.
    last = np.append(steps[1:] != steps[:-1], True)
    return Series(row, steps[last], values[last], time[keep][order][last])


def _drawable(values: Floats) -> Floats:
    """Return a curve's values; what no axis can hold is infinite, and drawn as what it is."""
    found: Floats = np.where(np.abs(values) > LARGEST, np.copysign(np.inf, values), values)
    return found


def _parameter_values(tasks: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Collect the different values of each parameter; absent counts as a value of its own."""
    names = dict.fromkeys(name for task in tasks for name in task["parameters"])
    return {name: {json.dumps(task["parameters"].get(name, "\0absent")) for task in tasks} for name in names}


def _label(
    task: Mapping[str, Any], varying: Sequence[str], swept: Mapping[str, Any], show: Callable[[Any], str]
) -> str:
    parameters, case = task["parameters"], task.get("case")
    names = [name for name in varying if name in parameters and (case is None or name in swept)]
    parts = [f"{name}={show(parameters[name])}" for name in names]
    return ", ".join([case, *parts] if case is not None else parts) or "the only configuration"


def _metric_goal(declared: Any) -> Metric:
    """Read a metric as it stands in the specification: a name, or a mapping with name, goal and meaningful."""
    if not isinstance(declared, Mapping):
        return Metric(str(declared))
    meaningful = declared.get("meaningful")
    if meaningful is not None:
        meaningful = parse_share(meaningful)
    ranges = read_ranges(declared.get("range"))
    return Metric(str(declared["name"]), str(declared.get("goal") or "min"), meaningful, ranges)


def _repeated(layout: RunLayout, run_name: str, attempt: int) -> tuple[str, ...]:
    """Which of the runs that an attempt started from were repeated since."""
    record = readable_record(layout.task(run_name).attempt(attempt).task_json, TaskRecord) if attempt else None
    return repeated_since(layout.root, record.uses) if record else ()


def _ended_after(layout: RunLayout, run_name: str, attempts: int, moment: float) -> bool:
    """Whether the last known attempt, or one nobody has seen yet, ended after a moment."""
    task = layout.task(run_name)
    paths: Iterable[Path] = (task.attempt(number).exit_json for number in (attempts, attempts + 1) if number)
    return any(path.exists() and path.stat().st_mtime > moment for path in paths)
