"""What was sealed before the runs, and everything that was done otherwise: the report lists each deviation.

An experiment is *confirmatory* when its brief calls it so, its plan was sealed before the first run and no result
existed then. Without a seal, or with older results, it is *exploratory*, whatever the brief says. A deviation does not
change that by itself: it is named, and the reader judges.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.data.collected import LAST_TIME
from analysis.data.folders import read_object_or_none
from analysis.data.frame import ExperimentFrame, computable
from analysis.words import show_minute
from hpc.adapters.collected_file import read_aside
from hpc.adapters.files import MOST_JSON_BYTES, append_json_line, read_json_lines, read_json_or_none, read_regular
from hpc.core.errors import InputError
from hpc.core.experiment.grid import identity_of
from hpc.core.identity import task_id
from hpc.core.question.seal import SealEntry, content_changes, content_digest, history_from_json
from hpc.core.records.record import record_from
from hpc.core.words import counted

CLOCK_SKEW_S = 300.0
"""How far the clocks of login and compute nodes may be apart; the seal itself counts what it found on disk."""
_SHOWN = 5


class Standing(StrEnum):
    """What an experiment's answer is worth."""

    CONFIRMATORY = "confirmatory"
    EXPLORATORY = "exploratory"


KINDS = {
    "changed_plan": "the plan was changed after it was sealed",
    "results_before": "results existed before the plan was sealed",
    "added_seeds": "seeds were added that the sealed plan does not name",
    "added_metrics": "metrics were added that the sealed plan does not name",
    "missing_tasks": "sealed tasks are no longer planned",
    "set_aside": "runs of other settings were set aside when the plan was changed",
    "repeated": "runs that had a result were asked for once more",
    "other_seal": "runs were started under another plan",
    "unsealed_runs": "runs carry no seal",
    "altered_runs": "runs are no longer what was asked",
    "early_look": "somebody looked at results before all runs had ended",
    "other_identity": "tasks are not what their id says",
    "contradicted": "the run's own folder says otherwise",
    "copied": "runs agree in every number, the seconds they took included",
}
"""Kinds of deviations, in the order in which they are listed: kind → what it is."""


@dataclass(frozen=True)
class Deviation:
    """One thing that is not as it was sealed.

    Attributes:
        kind: Key of `KINDS`.
        text: One sentence with the facts.
        runs: Names of the runs it is about, in the manifest's order; empty where it is about the plan.
    """

    kind: str
    text: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """One time somebody was shown results.

    Attributes:
        time: When, Unix seconds.
        kind: ``report``, or ``follow_up`` (the second look, in files) where it decided about further seeds.
        collected: When the results were collected that were shown, Unix seconds.
        ended: Runs that had ended by then.
        planned: Runs that were planned by then.
    """

    time: float
    kind: str
    collected: float
    ended: int
    planned: int

    @property
    def is_early(self) -> bool:
        """Whether runs were still to come, so that what was seen could steer what was done."""
        return self.ended < self.planned


@dataclass(frozen=True)
class Registration:
    """What stands behind an experiment's answer.

    Attributes:
        seals: Every sealed plan, the first one first; empty where none was sealed.
        standing: Confirmatory or exploratory.
        reasons: Why it is exploratory, sentences; empty where it is confirmatory.
        deviations: What is not as it was sealed.
        looks: Every time results were shown, oldest first, this report included.
        unchecked: Finished runs whose own folder is not there to be compared with.
        problem: Why the seal cannot be believed; empty where it can, or where there is none.
    """

    seals: tuple[SealEntry, ...]
    standing: Standing
    reasons: tuple[str, ...]
    deviations: tuple[Deviation, ...]
    looks: tuple[Look, ...]
    unchecked: int
    problem: str = ""

    @property
    def first(self) -> SealEntry | None:
        """The plan that was sealed first: the one that counts."""
        return self.seals[0] if self.seals else None

    @property
    def headline(self) -> str:
        """The standing in one sentence."""
        if self.standing is Standing.EXPLORATORY:
            return f"Exploratory: {'; '.join(self.reasons)}."
        first = self.seals[0]
        count = len(self.deviations)
        but = "no deviation" if not count else f"{count} {'deviation' if count == 1 else 'deviations'}, listed below"
        return f"Confirmatory: sealed {show_minute(first.time)} ({first.digest[:16]}) before any run; {but}."


def read_registration(frame: ExperimentFrame) -> Registration:
    """Hold an experiment against its seal."""
    seals, problem = _read_seals(frame)
    looks = read_looks(frame)
    folders = _read_folders(frame)
    found = [
        *_changed_plan(frame, seals),
        *_results_before(frame, seals),
        *_added_seeds(frame, seals),
        *_added_metrics(frame, seals),
        *_missing_tasks(frame, seals),
        *_set_aside(frame),
        *_repeated(frame),
        *_other_seals(frame, seals),
        *_altered(frame),
        *_early_looks(looks),
        *_other_identities(frame),
        *_contradictions(frame, folders),
        *_copies(frame),
    ]
    reasons = _reasons(frame, seals, problem)
    finished = set(np.flatnonzero(frame.tasks["outcome"] == "finished").tolist())
    return Registration(
        seals=seals,
        standing=Standing.EXPLORATORY if reasons else Standing.CONFIRMATORY,
        reasons=reasons,
        deviations=tuple(found),
        looks=looks,
        unchecked=len(finished - set(folders)),
        problem=problem,
    )


# Looks


def record_look(frame: ExperimentFrame, kind: str = "report") -> None:
    """Write down that somebody is about to see these results; the same results shown again are the same look."""
    look = Look(time.time(), kind, frame.collected, _ended(frame), len(frame.tasks))
    if any((one.kind, one.collected) == (look.kind, look.collected) for one in read_looks(frame)):
        return
    append_json_line(frame.layout.looks, asdict(look))


def read_looks(frame: ExperimentFrame) -> tuple[Look, ...]:
    """Read when results were shown, oldest first; a line that cannot be read is left out."""
    try:
        lines = read_regular(frame.layout.looks, MOST_JSON_BYTES).decode("utf-8", "replace").splitlines()
    except (FileNotFoundError, InputError):
        return ()
    found = []
    for line in lines:
        try:
            look = record_from(Look, json.loads(line))
        except (ValueError, RecursionError):
            continue
        found += [look] if 0 <= look.time <= LAST_TIME else []
    return tuple(found)


def _ended(frame: ExperimentFrame) -> int:
    return int(frame.tasks["outcome"].isin(("finished", "failed")).sum())


# Standing


def _read_seals(frame: ExperimentFrame) -> tuple[tuple[SealEntry, ...], str]:
    try:
        value = read_json_or_none(frame.layout.seal)
        if value is not None:
            return history_from_json(value), ""
    except (InputError, ValueError) as error:
        return (), f"seal.json: {error}"
    carried = int(frame.attempts["seal"].astype(bool).sum())
    return (
        (),
        f"{counted(carried, 'attempt carries', 'attempts carry')} the digest of a seal, and seal.json is gone"
        if carried
        else "",
    )


def _reasons(frame: ExperimentFrame, seals: Sequence[SealEntry], problem: str) -> tuple[str, ...]:
    """Say why an experiment confirms nothing."""
    reasons = []
    brief = frame.spec.get("brief") or {}
    if brief.get("stage") != "confirmatory":
        reasons.append("the brief calls it so" if brief.keys() - {"stage"} else "no brief says what it should confirm")
    if problem:
        reasons.append(f"the seal cannot be believed ({problem})")
    elif not seals:
        reasons.append("its plan was not sealed")
    elif next(_results_before(frame, seals), None):
        reasons.append("results existed before its plan was sealed")
    return tuple(reasons)


# Deviations of the plan


def _changed_plan(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    if not seals:
        return
    for before, after in pairwise(seals):
        changes = "; ".join(content_changes(before.content, after.content)) or "taken back to an earlier one"
        seen = (
            f"{counted(after.attempts_before, 'attempt')} had begun" if after.attempts_before else "nothing had run yet"
        )
        yield Deviation("changed_plan", f"changed on {show_minute(after.time)} ({seen}): {changes}")
    if content_digest(frame.spec) != seals[-1].digest:
        yield Deviation("changed_plan", "the manifest asks something else than any sealed plan: it was changed by hand")


def _results_before(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    if not seals:
        return
    started = frame.attempts["started"].astype(float).to_numpy()
    rows = np.unique(frame.attempts["task"].to_numpy()[started < seals[0].time - CLOCK_SKEW_S])
    if len(rows) or seals[0].attempts_before:
        names = _names(frame, rows)
        count = max(seals[0].attempts_before, len(names))
        yield Deviation(
            "results_before", f"{counted(count, 'attempt')} had begun before {show_minute(seals[0].time)}", names
        )


def _added_seeds(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    if not seals:
        return
    named = {*seals[0].content["seeds"], *seals[0].content["further_seeds"]}
    seeds = frame.tasks["seed"].to_numpy()
    added = sorted({int(seed) for seed in seeds} - named)
    if added:
        text = f"{', '.join(map(str, added))} beside {', '.join(map(str, sorted(named)))}"
        yield Deviation("added_seeds", text, _names(frame, np.flatnonzero(np.isin(seeds, added))))


def _added_metrics(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    if not seals:
        return
    sealed = seals[0].content["metrics"]
    named = {one["name"] for one in (sealed["primary"], *sealed["secondary"]) if one}
    added = [goal.name for goal in frame.metric_goals if goal.name not in named]
    if added:
        yield Deviation("added_metrics", ", ".join(added))


def _missing_tasks(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    present = set(frame.tasks["task_id"])
    sealed = {name: run for one in seals for name, run in one.tasks.items()}
    lost = tuple(run for name, run in sealed.items() if name not in present)
    if lost:
        yield Deviation(
            "missing_tasks", f"{counted(len(lost), 'sealed task is', 'sealed tasks are')} not planned", lost
        )


def _set_aside(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Count what gave way to this plan, each time it was changed: with results, somebody had seen what to change."""
    for path, aside in read_aside(frame.layout):
        moved = [run for run in aside.runs if (path / run.run_name).is_dir()]
        if not moved:
            continue
        seen = [f"{run.run_name} ({run.result})" for run in moved if run.result]
        more = f" and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
        results = f"with results: {', '.join(seen[:_SHOWN])}{more}" if seen else "none of them with a result"
        attempts = counted(sum(run.attempts for run in moved), "attempt", "attempts")
        text = (
            f"{counted(len(moved), 'run', 'runs')} ({attempts}) on {show_minute(aside.time)}, {results}; kept in {path}"
        )
        yield Deviation("set_aside", text, tuple(run.run_name for run in moved))


def _repeated(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Name the runs that somebody repeated by name although they had a result: the last one counts."""
    try:
        lines = read_json_lines(frame.layout.again)
    except InputError as error:
        yield Deviation("repeated", f"what was asked for once more cannot be read: {error}")
        return
    listed = [line.get("runs") for line in lines if isinstance(line, dict)]
    rows = [row for runs in listed if isinstance(runs, list) for row in runs if isinstance(row, dict)]
    present = {str(name): place for place, name in enumerate(frame.tasks["task_id"])}
    named = [str(row.get("task_id")) for row in rows if row.get("has_result") is True]
    counts = Counter(name for name in named if name in present)
    if counts:
        names = _names(frame, sorted(present[key] for key in counts))
        times = sum(counts.values())
        yield Deviation("repeated", f"{counted(len(names), 'run', 'runs')}, {counted(times, 'time', 'times')}", names)


# Deviations of the runs


def _other_seals(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    """Look at the digest in the record of every attempt that was claimed."""
    if not seals:
        return
    carried = frame.attempts[frame.attempts["started"].notna()]
    for row_digest, kind in ((True, "other_seal"), (False, "unsealed_runs")):
        has_digest = carried["seal"].astype(bool)
        wrong = carried[has_digest & (carried["seal"] != seals[0].digest)] if row_digest else carried[~has_digest]
        names = _names(frame, np.unique(wrong["task"].to_numpy()))
        if names:
            digests = ", ".join(sorted({str(one)[:16] for one in wrong["seal"] if one}))
            carry = (
                f"carry {digests} instead of {seals[0].digest[:16]}" if digests else "carry no digest of a sealed plan"
            )
            yield Deviation(kind, f"{counted(len(names), 'run', 'runs')} {carry}", names)


def _altered(frame: ExperimentFrame) -> Iterator[Deviation]:
    names = _names(frame, np.flatnonzero(frame.tasks["altered"].to_numpy(dtype=bool)))
    if names:
        text = f"{counted(len(names), 'run was', 'runs were')} altered while being healed and kept out of means"
        yield Deviation("altered_runs", text, names)


def _early_looks(looks: Sequence[Look]) -> Iterator[Deviation]:
    early = [one for one in looks if one.is_early]
    if early:
        shown = ", ".join(f"{one.ended} of {one.planned} on {show_minute(one.time)}" for one in early[:_SHOWN])
        more = f" and {len(early) - _SHOWN} more" if len(early) > _SHOWN else ""
        yield Deviation("early_look", f"{counted(len(early), 'look', 'looks')} with runs still to come: {shown}{more}")


def _other_identities(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Compute each task's id again from program, parameters and seed."""
    identity = identity_of(frame.spec.get("program") or {})
    wrong = [
        row for row, task in enumerate(frame.manifest["tasks"])
        if task_id(identity, {**task["parameters"], "seed": task["seed"]}) != task["task_id"]
    ]  # fmt: skip
    if wrong:
        text = (
            f"{counted(len(wrong), 'task has', 'tasks have')} an id that does not follow from program, parameters and "
            "seed: one of them was changed by hand"
        )
        yield Deviation("other_identity", text, _names(frame, np.array(wrong)))


def _read_folders(frame: ExperimentFrame) -> dict[int, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Read what each ended run's own folder says: row → (``task.json`` of its last attempt, ``metrics.json``)."""
    found = {}
    for row, (name, outcome, attempts) in enumerate(
        zip(frame.tasks["run_name"], frame.tasks["outcome"], frame.tasks["attempts"], strict=True)
    ):
        if outcome in ("finished", "failed") and attempts:
            folder = frame.layout.task(str(name))
            record = read_object_or_none(folder.attempt(int(attempts)).task_json)
            told = read_object_or_none(folder.metrics_json)
            if record is not None and told is not None:
                found[row] = (record, told)
    return found


def _contradictions(
    frame: ExperimentFrame, folders: Mapping[int, tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> Iterator[Deviation]:
    """Compare what was collected with what the runs themselves left."""
    primary = frame.metric_goals[0].name if frame.metric_goals else ""
    outcomes = frame.tasks["outcome"].tolist()
    values = frame.values[primary].tolist() if primary in frame.values else [np.nan] * len(outcomes)
    asked = frame.manifest["tasks"]
    said: dict[str, list[int]] = {}
    for row, (record, told) in folders.items():
        text = _other_task(asked[row], record) or _other_result(told, record, outcomes[row], primary, values[row])
        if text:
            said.setdefault(text, []).append(row)
    for text, rows in said.items():
        yield Deviation("contradicted", text, _names(frame, rows))


def _other_task(asked: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Say which part of a task its run was not started with; empty when it was."""
    wrong = next((name for name in ("task_id", "seed", "parameters") if record.get(name) != asked[name]), "")
    return f"the folder is of a run with another {wrong}" if wrong else ""


def _other_result(
    told: Mapping[str, Any], record: Mapping[str, Any], outcome: str, primary: str, collected: float
) -> str:
    """Say in which way the result a run left is not the one collected; empty where they agree."""
    if told.get("attempt") != record.get("attempt"):
        return ""  # a later attempt is on its way
    measured = told.get(primary)
    is_number = isinstance(measured, int | float) and not isinstance(measured, bool)
    if outcome == "failed" and is_number and told.get("outcome") == "finished" and told.get("complete"):
        return f"collected as failed, but it ended with 0 and a value of {primary}"
    if outcome == "finished" and is_number and not _is_same(collected, float(told[primary])):
        return f"another value of {primary} was collected than the run left"
    if outcome == "finished" and primary in told and measured is None:
        return f"collected as finished, but it left no finite value of {primary}"
    return ""


def _is_same(collected: float, measured: float) -> bool:
    """Whether a collected value is the one a run left, as far as it can be computed with."""
    kept = float(computable(np.array([measured], dtype=np.float64))[0])
    return collected == kept or (np.isnan(collected) and np.isnan(kept))


def _copies(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Find runs that agree in every number: two runs never take the same time to the last digit."""
    if "wall_time" not in frame.values:
        return
    rows = np.flatnonzero(frame.values["wall_time"].notna().to_numpy())
    keys = [tuple(one) for one in frame.values.iloc[rows].to_numpy().tolist()]
    written = [repr(key) for key in keys]
    often = {key for key, count in Counter(written).items() if count > 1}
    for copied in dict.fromkeys(key for key in written if key in often):
        names = _names(frame, rows[[place for place, key in enumerate(written) if key == copied]])
        yield Deviation("copied", f"{counted(len(names), 'run', 'runs')} with identical numbers", names)


# Words


def _names(frame: ExperimentFrame, rows: Any) -> tuple[str, ...]:
    return tuple(str(frame.tasks["run_name"].iloc[int(row)]) for row in rows)
