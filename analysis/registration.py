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

from analysis.frame import ExperimentFrame
from hpc.adapters.files import read_json_or_none
from hpc.core.errors import InputError
from hpc.core.identity import canonical_json, task_id
from hpc.core.seal import SealEntry, content_changes, content_digest, history_from_json

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
        kind: ``report``, or ``follow_up`` where it decided about further seeds.
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
        return f"Confirmatory: sealed {when(first.time)} ({first.digest[:16]}) before any run; {but}."


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


def when(moment: float) -> str:
    """Write a moment in UTC: ``2026-11-21 13:05 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


# Looks


def record_look(frame: ExperimentFrame, kind: str = "report") -> None:
    """Write down that somebody is about to see these results; the same results shown again are the same look."""
    look = Look(time.time(), kind, frame.collected, _ended(frame), len(frame.tasks))
    if any((one.kind, one.collected) == (look.kind, look.collected) for one in read_looks(frame)):
        return
    with frame.layout.looks.open("a", encoding="utf-8") as file:
        file.write(canonical_json(asdict(look)) + "\n")


def read_looks(frame: ExperimentFrame) -> tuple[Look, ...]:
    """Read when results were shown, oldest first; a line that cannot be read is left out."""
    try:
        lines = frame.layout.looks.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    found = []
    for line in lines:
        try:
            found.append(Look(**json.loads(line)))
        except (ValueError, TypeError):
            continue
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
    return (), f"{carried} attempts carry the digest of a seal, and seal.json is gone" if carried else ""


def _reasons(frame: ExperimentFrame, seals: Sequence[SealEntry], problem: str) -> tuple[str, ...]:
    """Say why an experiment confirms nothing."""
    reasons = []
    if (frame.spec.get("brief") or {}).get("stage") != "confirmatory":
        reasons.append("the brief calls it so")
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
        seen = f"{after.attempts_before} attempts had begun" if after.attempts_before else "nothing had run yet"
        yield Deviation("changed_plan", f"changed on {when(after.time)} ({seen}): {changes}")
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
        yield Deviation("results_before", f"{count} attempts had begun before {when(seals[0].time)}", names)


def _added_seeds(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    if not seals:
        return
    named = {*seals[0].content["seeds"], *seals[0].content["further_seeds"]}
    seeds = frame.tasks["seed"].to_numpy()
    added = sorted({int(seed) for seed in seeds} - named)
    if added:
        text = f"{_listed([str(seed) for seed in added])} beside {_listed([str(seed) for seed in sorted(named)])}"
        yield Deviation("added_seeds", text, _names(frame, np.flatnonzero(np.isin(seeds, added))))


def _added_metrics(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    if not seals:
        return
    sealed = seals[0].content["metrics"]
    named = {one["name"] for one in (sealed["primary"], *sealed["secondary"]) if one}
    added = [goal.name for goal in frame.metric_goals if goal.name not in named]
    if added:
        yield Deviation("added_metrics", _listed(added))


def _missing_tasks(frame: ExperimentFrame, seals: Sequence[SealEntry]) -> Iterator[Deviation]:
    present = set(frame.tasks["task_id"])
    sealed = {name: run for one in seals for name, run in one.tasks.items()}
    lost = tuple(run for name, run in sealed.items() if name not in present)
    if lost:
        yield Deviation("missing_tasks", f"{_count(len(lost), 'sealed task is', 'sealed tasks are')} not planned", lost)


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
            yield Deviation(kind, f"{_count(len(names), 'run', 'runs')} {carry}", names)


def _altered(frame: ExperimentFrame) -> Iterator[Deviation]:
    names = _names(frame, np.flatnonzero(frame.tasks["altered"].to_numpy(dtype=bool)))
    if names:
        text = f"{_count(len(names), 'run was', 'runs were')} altered while being healed and kept out of means"
        yield Deviation("altered_runs", text, names)


def _early_looks(looks: Sequence[Look]) -> Iterator[Deviation]:
    early = [one for one in looks if one.is_early]
    if early:
        shown = ", ".join(f"{one.ended} of {one.planned} on {when(one.time)}" for one in early[:_SHOWN])
        more = f" and {len(early) - _SHOWN} more" if len(early) > _SHOWN else ""
        yield Deviation("early_look", f"{_count(len(early), 'look', 'looks')} with runs still to come: {shown}{more}")


def _other_identities(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Compute each task's id again from program, parameters and seed."""
    program = frame.spec.get("program") or {}
    what = {key: program[key] for key in ("module", "command") if program.get(key) is not None}
    identity = {**what, "args": dict(program.get("args") or {})}
    wrong = [
        row for row, task in enumerate(frame.manifest["tasks"])
        if task_id(identity, {**task["parameters"], "seed": task["seed"]}) != task["task_id"]
    ]  # fmt: skip
    if wrong:
        text = (
            f"{_count(len(wrong), 'task has', 'tasks have')} an id that does not follow from program, parameters and "
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
            record = read_json_or_none(folder.attempt(int(attempts)).task_json)
            told = read_json_or_none(folder.metrics_json)
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
    is_number = isinstance(measured, int | float)
    if outcome == "failed" and is_number and told.get("outcome") == "finished" and told.get("complete"):
        return f"collected as failed, but it ended with 0 and a value of {primary}"
    if outcome == "finished" and is_number and collected != measured:
        return f"another value of {primary} was collected than the run left"
    if outcome == "finished" and primary in told and measured is None:
        return f"collected as finished, but it left no finite value of {primary}"
    return ""


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
        yield Deviation("copied", f"{_count(len(names), 'run', 'runs')} with identical numbers", names)


# Words


def _names(frame: ExperimentFrame, rows: Any) -> tuple[str, ...]:
    return tuple(str(frame.tasks["run_name"].iloc[int(row)]) for row in rows)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)
