"""What was sealed before the runs, and everything that was done otherwise: the report lists each deviation.

An experiment is *confirmatory* when its brief calls it so, its plan was sealed before the first run and no result
existed then. Without a seal, or with older results, it is *exploratory*, whatever the brief says. A deviation does not
change that by itself: it is named, and the reader judges.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.data.folders import read_object_or_none
from analysis.data.frame import ExperimentFrame, computable
from analysis.data.part import added_rows
from analysis.data.sealed import Look, read_looks
from analysis.data.values import DIVERGED, group_rows
from analysis.findings.deviations import SHOWN, Deviation, few, names_of
from analysis.findings.results_then import Consent, find_in_ledger, read_consents, values_then
from analysis.words import show_minute
from hpc.adapters.collected_file import read_aside
from hpc.adapters.ledger import append_json_line
from hpc.adapters.printed import last_printed
from hpc.core.experiment.grid import identity_of
from hpc.core.identity import task_id
from hpc.core.question.seal import CLOCK_SKEW_S, SealEntry, content_changes, content_digest
from hpc.core.words import counted


class Standing(StrEnum):
    """What an experiment's answer is worth."""

    CONFIRMATORY = "confirmatory"
    EXPLORATORY = "exploratory"


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
        place: The seal whose question is answered: the first, or the last one before any run had begun.
    """

    seals: tuple[SealEntry, ...]
    standing: Standing
    reasons: tuple[str, ...]
    deviations: tuple[Deviation, ...]
    looks: tuple[Look, ...]
    unchecked: int
    problem: str = ""
    place: int = 0

    @property
    def counting(self) -> SealEntry | None:
        """The plan whose question is answered."""
        return self.seals[self.place] if self.seals else None

    @property
    def headline(self) -> str:
        """The standing in one sentence."""
        first = self.counting
        if self.standing is Standing.EXPLORATORY or first is None:
            return f"Exploratory: {'; '.join(self.reasons)}."
        count = len(self.deviations)
        but = "no deviation" if not count else f"{count} {'deviation' if count == 1 else 'deviations'}, listed below"
        return f"Confirmatory: sealed {show_minute(first.time)} ({first.digest[:16]}) before any run; {but}."


def read_registration(frame: ExperimentFrame) -> Registration:
    """Hold an experiment against its seal."""
    sealed, problem = frame.sealed, _problem(frame)
    looks = read_looks(frame.layout)
    folders = _read_folders(frame)
    consents, unread = read_consents(frame)
    found = [
        *_changed_plan(frame),
        *_results_before(frame),
        *_added_seeds(frame),
        *_added_tasks(frame),
        *_added_metrics(frame),
        *_missing_tasks(frame),
        *_set_aside(frame),
        *_repeated(frame, consents, unread),
        *find_in_ledger(frame, consents),
        *_other_seals(frame),
        *_altered(frame),
        *_early_looks(looks),
        *_other_identities(frame),
        *_contradictions(frame, folders),
        *_printed(frame, folders),
        *_copies(frame),
        *_identical(frame),
    ]
    reasons = _reasons(frame, problem)
    finished = set(np.flatnonzero(frame.tasks["outcome"] == "finished").tolist())
    return Registration(
        seals=sealed.entries,
        standing=Standing.EXPLORATORY if reasons else Standing.CONFIRMATORY,
        reasons=reasons,
        deviations=tuple(found),
        looks=looks,
        unchecked=len(finished - set(folders)),
        problem=problem,
        place=sealed.place,
    )


# Looks


def record_look(frame: ExperimentFrame, kind: str = "report") -> None:
    """Write down that somebody is about to see these results; the same results shown again are the same look."""
    newest = frame.sealed.ledger.head
    look = Look(time.time(), kind, frame.collected, _ended(frame), len(frame.tasks), newest)
    if any((one.kind, one.collected) == (look.kind, look.collected) for one in read_looks(frame.layout)):
        return
    append_json_line(frame.layout.looks, asdict(look))


def _ended(frame: ExperimentFrame) -> int:
    return int(frame.tasks["outcome"].isin(("finished", "failed")).sum())


# Standing


def _problem(frame: ExperimentFrame) -> str:
    """Say why the seal cannot be believed; empty where it can, or where there never was one."""
    if frame.sealed.problem or frame.sealed.entries:
        return frame.sealed.problem
    carried = int(frame.attempts["seal"].astype(bool).sum())
    attempts = counted(carried, "attempt carries", "attempts carry")
    return f"{attempts} the digest of a seal, and seal.json is gone" if carried else ""


def _reasons(frame: ExperimentFrame, problem: str) -> tuple[str, ...]:
    """Say why an experiment confirms nothing."""
    reasons = []
    brief = frame.spec.get("brief") or {}
    if brief.get("stage") != "confirmatory":
        reasons.append("the brief says so" if brief.keys() - {"stage"} else "no brief states what it should confirm")
    if problem:
        reasons.append(f"the seal cannot be trusted ({problem})")
    elif not frame.sealed.entries:
        reasons.append("its plan was not sealed")
    elif next(_results_before(frame), None):
        reasons.append("results existed before its plan was sealed")
    if frame.sealed.times_peeked > 1:
        times = counted(frame.sealed.times_peeked, "time", "times")
        reasons.append(f"seeds were added {times} after results had been seen, but only two looks are corrected for")
    return tuple(reasons)


# Deviations of the plan


def _changed_plan(frame: ExperimentFrame) -> Iterator[Deviation]:
    """What was changed since the plan that counts: a change of mind before anything ran is none."""
    sealed = frame.sealed
    if sealed.counting is None:
        return
    for before, after in pairwise(sealed.entries[sealed.place :]):
        changes = "; ".join(content_changes(before.content, after.content)) or "changed back to an earlier one"
        begun = after.attempts_before
        seen = counted(begun, "attempt") if begun else counted(sealed.begun_before(after), "run")
        yield Deviation("changed_plan", f"changed on {show_minute(after.time)} ({seen} had begun): {changes}")
    if content_digest(frame.planned) != sealed.entries[-1].digest:
        yield Deviation("changed_plan", "the manifest differs from every sealed plan: it was changed by hand")


def _results_before(frame: ExperimentFrame) -> Iterator[Deviation]:
    first = frame.sealed.counting
    if first is None:
        return
    started = frame.attempts["started"].astype(float).to_numpy()
    rows = np.unique(frame.attempts["task"].to_numpy()[started < first.time - CLOCK_SKEW_S])
    if len(rows) or first.attempts_before:
        names = names_of(frame, rows)
        count = max(first.attempts_before, len(names))
        yield Deviation(
            "results_before", f"{counted(count, 'attempt')} had begun before {show_minute(first.time)}", names
        )


def _added_seeds(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Seeds beside the sealed ones: by later plans, each with what could be seen before; and by hand."""
    first = frame.sealed.counting
    if first is None:
        return
    named = {*first.content["seeds"], *first.content["further_seeds"]}
    seeds = frame.tasks["seed"].to_numpy()
    present = {int(seed) for seed in seeds}
    for one in frame.sealed.added:
        added = sorted(present & set(one.seeds) - named)
        when = (
            f"on {show_minute(one.time)}, when results had been collected or shown: treated as a second look"
            if one.has_seen
            else f"on {show_minute(one.time)}, before any result was collected or shown"
        )
        if added:
            text = f"{', '.join(map(str, added))} beside {', '.join(map(str, sorted(named)))}, {when}"
            yield Deviation("added_seeds", text, names_of(frame, np.flatnonzero(np.isin(seeds, added))))
    by_hand = sorted(present - named - {seed for one in frame.sealed.added for seed in one.seeds})
    if by_hand:
        text = f"{', '.join(map(str, by_hand))} beside {', '.join(map(str, sorted(named)))}, in no sealed plan"
        yield Deviation("added_seeds", text, names_of(frame, np.flatnonzero(np.isin(seeds, by_hand))))


def _added_tasks(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Name the runs of configurations that a later plan added."""
    rows = added_rows(frame)
    if rows:
        labels = dict.fromkeys(str(frame.tasks["label"].iloc[row]) for row in rows)
        text = f"{counted(len(labels), 'configuration')}: {few(labels)}"
        yield Deviation("added_tasks", text, names_of(frame, rows))


def _added_metrics(frame: ExperimentFrame) -> Iterator[Deviation]:
    if frame.sealed.counting is None:
        return
    sealed = frame.sealed.counting.content["metrics"]
    named = {
        one["name"] if isinstance(one, Mapping) else one for one in (sealed["primary"], *sealed["secondary"]) if one
    }
    added = [goal.name for goal in frame.metric_goals if goal.name not in named]
    if added:
        yield Deviation("added_metrics", ", ".join(added))


def _missing_tasks(frame: ExperimentFrame) -> Iterator[Deviation]:
    present = set(frame.tasks["task_id"])
    sealed = {name: run for one in frame.sealed.entries[frame.sealed.place :] for name, run in one.tasks.items()}
    lost = {name: run for name, run in sealed.items() if name not in present}
    if lost:
        seen = [f"{run} gave {values}" for name, run in lost.items() if (values := values_then(frame, name))]
        text = f"{counted(len(lost), 'sealed task is', 'sealed tasks are')} not planned"
        yield Deviation("missing_tasks", f"{text}; {few(seen)}" if seen else text, tuple(lost.values()))


def _set_aside(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Count what gave way to this plan, each time it was changed: with results, somebody had seen what to change."""
    for path, aside in read_aside(frame.layout):
        moved = [run for run in aside.runs if (path / run.run_name).is_dir()]
        if not moved:
            continue
        seen = [f"{run.run_name} ({run.result})" for run in moved if run.result]
        more = f" and {len(seen) - SHOWN} more" if len(seen) > SHOWN else ""
        results = f"with results: {', '.join(seen[:SHOWN])}{more}" if seen else "none of them with a result"
        attempts = counted(sum(run.attempts for run in moved), "attempt", "attempts")
        text = (
            f"{counted(len(moved), 'run', 'runs')} ({attempts}) on {show_minute(aside.time)}, {results}; kept in {path}"
        )
        yield Deviation("set_aside", text, tuple(run.run_name for run in moved))


def _repeated(frame: ExperimentFrame, consents: Sequence[Consent], unread: str) -> Iterator[Deviation]:
    """Name the runs that somebody repeated by name although they had a result: the last one counts."""
    if unread:
        yield Deviation("repeated", unread)
    present = {str(name): place for place, name in enumerate(frame.tasks["task_id"])}
    counts = Counter(one.task_id for one in consents if one.task_id in present)
    if counts:
        places = sorted(present[key] for key in counts)
        names = names_of(frame, places)
        then = [
            f"{name} gave {values}"
            for name, place in zip(names, places, strict=True)
            if (values := values_then(frame, str(frame.tasks["task_id"].iloc[place])))
        ]
        text = f"{counted(len(names), 'run', 'runs')}, {counted(sum(counts.values()), 'time', 'times')}"
        yield Deviation("repeated", f"{text}; {few(then)}" if then else text, names)


# Deviations of the runs


def _other_seals(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Look at the digest in the record of every attempt that was claimed."""
    first = frame.sealed.counting
    if first is None:
        return
    carried = frame.attempts[frame.attempts["started"].notna()]
    for row_digest, kind in ((True, "other_seal"), (False, "unsealed_runs")):
        has_digest = carried["seal"].astype(bool)
        wrong = carried[has_digest & (carried["seal"] != first.digest)] if row_digest else carried[~has_digest]
        names = names_of(frame, np.unique(wrong["task"].to_numpy()))
        if names:
            digests = ", ".join(sorted({str(one)[:16] for one in wrong["seal"] if one}))
            carry = f"carry {digests} instead of {first.digest[:16]}" if digests else "carry no digest of a sealed plan"
            yield Deviation(kind, f"{counted(len(names), 'run', 'runs')} {carry}", names)


def _altered(frame: ExperimentFrame) -> Iterator[Deviation]:
    names = names_of(frame, np.flatnonzero(frame.tasks["altered"].to_numpy(dtype=bool)))
    if names:
        text = f"{counted(len(names), 'run was', 'runs were')} altered while being healed and kept out of means"
        yield Deviation("altered_runs", text, names)


def _early_looks(looks: Sequence[Look]) -> Iterator[Deviation]:
    early = [one for one in looks if one.is_early]
    if early:
        shown = ", ".join(f"{one.ended} of {one.planned} on {show_minute(one.time)}" for one in early[:SHOWN])
        more = f" and {len(early) - SHOWN} more" if len(early) > SHOWN else ""
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
            f"{counted(len(wrong), 'task has', 'tasks have')} an id that does not match program, parameters and seed: "
            "one of them was changed by hand"
        )
        yield Deviation("other_identity", text, names_of(frame, np.array(wrong)))


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
    noted = {key: lines[-1] for key, lines in frame.sealed.ledger.by_task.items()}
    classes = frame.tasks["failure_class"].tolist()
    said: dict[str, list[int]] = {}
    for row, (record, told) in folders.items():
        line = noted.get(asked[row]["task_id"])
        # What was collected as a failure from the start is no relabelled success: a loss may explode and exit with 0.
        is_known = classes[row] in DIVERGED or (line is not None and line.outcome == "failed")
        outcome = "known" if outcomes[row] == "failed" and is_known else outcomes[row]
        text = _other_task(asked[row], record) or _other_result(told, record, outcome, primary, values[row])
        if text:
            said.setdefault(text, []).append(row)
    for text, rows in said.items():
        yield Deviation("contradicted", text, names_of(frame, rows))


def _other_task(asked: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Say which part of a task its run was not started with; empty when it was."""
    wrong = next((name for name in ("task_id", "seed", "parameters") if record.get(name) != asked[name]), "")
    return f"the folder belongs to a run with another {wrong}" if wrong else ""


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
        return f"the collected value of {primary} differs from the one in the run's folder"
    if outcome == "finished" and primary in told and measured is None:
        return f"collected as finished, but the run left no finite value of {primary}"
    return ""


def _is_same(collected: float, measured: float) -> bool:
    """Whether a collected value is the one a run left, as far as it can be computed with."""
    kept = float(computable(np.array([measured], dtype=np.float64))[0])
    return collected == kept or (np.isnan(collected) and np.isnan(kept))


def _printed(
    frame: ExperimentFrame, folders: Mapping[int, tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> Iterator[Deviation]:
    """Read the primary metric of finished runs in their output again, where that is where numbers are taken from."""
    primary = frame.metric_goals[0].name if frame.metric_goals else ""
    if primary not in frame.values:
        return
    outcomes, values = frame.tasks["outcome"].tolist(), frame.values[primary].tolist()
    other: dict[int, str] = {}
    for row, (record, _) in folders.items():
        source: Any = record.get("metrics_source")
        is_ours = isinstance(source, list) and len(source) == 2 and all(isinstance(one, str) for one in source)
        if outcomes[row] != "finished" or not is_ours or record.get("adopted"):
            continue
        name, number = frame.tasks["run_name"].iloc[row], int(frame.tasks["attempts"].iloc[row])
        printed = last_printed(frame.layout.task(str(name)).attempt(number).stdout, (source[0], source[1]), primary)
        if printed is not None and not _is_same(values[row], printed):
            other[row] = f"{name}: {values[row]:.6g} was collected, {printed:.6g} printed"
    if other:
        yield Deviation("printed", few(other.values()), names_of(frame, other))


def _identical(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Find seeds of a configuration that agree in all declared metrics to the last digit, where others do not.

    Where all agree the seed has no effect, and that is said elsewhere. Values of few digits, or of few cases (an
    accuracy), agree by chance.
    """
    names = [goal.name for goal in frame.metric_goals if goal.name in frame.values and goal.name != "wall_time"]
    if not names or names[0] != frame.metric_goals[0].name:
        return
    table = frame.values[names].to_numpy(dtype=np.float64)
    for rows in group_rows(frame):
        valued = [int(row) for row in rows if np.isfinite(table[row, 0])]
        by_values: dict[str, list[int]] = {}
        for row in valued:
            by_values.setdefault(repr(table[row].tolist()), []).append(row)
        if len(valued) < 3 or len(by_values) == 1:
            continue
        for alike in by_values.values():
            if len(alike) > 1 and _is_fine(float(table[alike[0], 0])):
                text = (
                    f"{names[0]} is {table[alike[0], 0]:.10g} in {len(alike)} of {len(valued)} runs: copied, or stuck?"
                )
                yield Deviation("identical", text, names_of(frame, alike))


def _is_fine(value: float) -> bool:
    """Whether a value has so many digits that two runs do not share it by chance."""
    digits = f"{value:.6e}".split("e")[0].replace(".", "").strip("-0")
    share = Fraction(value).limit_denominator(1000)
    return len(digits) >= 6 and abs(float(share) - value) > 1e-7 * abs(value)


def _copies(frame: ExperimentFrame) -> Iterator[Deviation]:
    """Find runs that agree in every number: two runs never take the same time to the last digit."""
    if "wall_time" not in frame.values:
        return
    rows = np.flatnonzero(frame.values["wall_time"].notna().to_numpy())
    keys = [tuple(one) for one in frame.values.iloc[rows].to_numpy().tolist()]
    written = [repr(key) for key in keys]
    often = {key for key, count in Counter(written).items() if count > 1}
    for copied in dict.fromkeys(key for key in written if key in often):
        names = names_of(frame, rows[[place for place, key in enumerate(written) if key == copied]])
        yield Deviation("copied", f"{counted(len(names), 'run', 'runs')} with identical numbers", names)
