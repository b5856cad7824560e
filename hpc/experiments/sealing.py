"""Sealing a plan on disk: ``seal.json`` gets its first entry before anything is submitted, and keeps it for ever."""

import shlex
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json_or_none, write_json
from hpc.adapters.ledger import append_json_line
from hpc.adapters.locks import lock
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.layout import RunLayout
from hpc.core.question.seal import (
    SealEntry,
    append_entry,
    as_sealed,
    asks_the_same,
    content_changes,
    content_digest,
    history_from_json,
    history_to_json,
    place_by_times,
    place_that_counts,
    sealed_content,
)
from hpc.core.words import counted


def read_seal(layout: RunLayout) -> tuple[SealEntry, ...]:
    """Read every entry, oldest first; none where nothing was sealed.

    Raises:
        InputError: The file was edited.
    """
    value = read_json_or_none(layout.seal)
    if value is None:
        return ()
    try:
        return history_from_json(value)
    except ValueError as error:
        raise InputError(
            f"{error}. Restore it from a copy: the first seal cannot be made again", str(layout.seal)
        ) from None


def seal_plan(layout: RunLayout, manifest: Mapping[str, Any]) -> tuple[SealEntry, ...]:
    """Seal what a manifest asks, if it is not what was sealed last; return every entry, oldest first.

    Raises:
        InputError: The file was edited.
    """
    with lock(layout.home / ".seal.lock"):
        history = read_seal(layout)
        git = manifest["provenance"]["git"] or {}
        entry = SealEntry(
            digest=content_digest(manifest["spec"]),
            content=sealed_content(manifest["spec"]),
            time=time.time(),
            commit=git.get("commit") or "",
            dirty=bool(git.get("dirty")),
            manifest_sha=manifest["sha256"],
            tasks={task["task_id"]: task["run_name"] for task in manifest["tasks"]},
            attempts_before=_count_attempts(layout),
        )
        sealed = append_entry(history, entry)
        if len(sealed) > len(history):
            write_json(layout.seal, history_to_json(sealed))
        return sealed


def asked_first(layout: RunLayout, spec: Mapping[str, Any], starts: Collection[float]) -> Mapping[str, Any]:
    """Return an experiment with the question that the report answers: what was sealed before any run began.

    Args:
        layout: The experiment.
        spec: The experiment as it is planned now, as plain JSON values.
        starts: When its runs began, as far as it is known, Unix seconds.

    Returns:
        The experiment as it is planned where nothing is sealed, or where the seal cannot be believed.
    """
    try:
        history = read_seal(layout)
    except (InputError, OSError):
        return spec
    if not history:
        return spec
    if len(history) == 1:  # it counts whatever has begun: most experiments are read without their ledger
        return as_sealed(spec, history[0].content)
    from hpc.adapters.result_ledger import read_ledger

    noted = [line.time for line in read_ledger(layout).lines]
    return as_sealed(spec, history[place_by_times(history, starts, noted)].content)


def refuse_unasked(layout: RunLayout, spec: ExperimentSpec, file: Path) -> None:
    """Refuse to plan what calls itself confirmatory and has nothing to confirm.

    What was sealed so before runs began is past mending, and is warned of by `seal_notes`.

    Raises:
        InputError: It lacks a hypothesis, a criterion or a baseline; all that it lacks.
    """
    from hpc.experiments.briefing import lacking  # here: `status` reads seals, and no question

    lacks = lacking(spec)
    if not lacks or (_count_attempts(layout) and read_seal(layout)):
        return
    where = {name: name if name == "baseline" else f"brief.{name}" for name in lacks}
    problems = [Problem(f"is missing: {_WANTED[name]}", where[name]) for name in lacks]
    remedy = (
        "it is confirmatory, so this must be stated before anything runs: "
        f"python -m hpc.brief {shlex.quote(file.stem)}; or call it exploratory (brief.stage)"
    )
    last = problems[-1]
    raise InputError([*problems[:-1], Problem(last.message, last.where, remedy=remedy)], str(file))


_WANTED = {
    "hypothesis": "what you expect, and from which parameter",
    "criterion": "the threshold as a rule that the report evaluates",
    "baseline": "what it is compared with: a configuration, analysis.baseline_from, or brief.baseline in words",
}


def _count_attempts(layout: RunLayout) -> int:
    """Count the attempts there are, those that were set aside included."""
    return sum(1 for _ in layout.tasks.glob("*/attempt-*")) + sum(1 for _ in layout.aside.glob("*/*/attempt-*"))


def record_look(layout: RunLayout, kind: str, collected: float, ended: int, planned: int) -> None:
    """Write down that results were looked at (read by `analysis.findings.registration`).

    Args:
        kind: ``follow_up``.
        collected: When the results were collected, Unix seconds.
        ended: Runs that had ended.
        planned: Runs that were planned.
    """
    look = {"time": time.time(), "kind": kind, "collected": collected, "ended": ended, "planned": planned}
    append_json_line(layout.looks, look)


def seal_notes(layout: RunLayout, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what the report will hold against a plan: changed since it was sealed, sealed late, or without a criterion.

    Args:
        spec: The experiment as plain JSON values.
    """
    notes, history, begun = [], read_seal(layout), _count_attempts(layout)
    if not history and begun:
        notes.append("runs exist that started before anything was sealed: the report will call it exploratory")
    counting = history[place_that_counts(history, lambda one: bool(one.attempts_before))] if history else None
    if counting and counting.digest != content_digest(spec):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(counting.time))
        now = sealed_content(spec)
        changes = "; ".join(content_changes(counting.content, now))
        notes.append(f"not what was sealed on {when}, {_what_follows(counting.content, now, begun)}: {changes}")
    brief = spec.get("brief") or {}
    if brief.get("stage") == "confirmatory" and not brief.get("criterion"):
        notes.append(
            "confirmatory, but without brief.criterion: the report can quote the criterion of success, not evaluate "
            "it; write it as a rule (docs/pre-registration.md) before anything runs"
        )
    elif brief.get("stage") != "confirmatory" and not (brief.get("hypothesis") or brief.get("criterion")):
        notes.append(
            "exploratory, without a hypothesis: no result can count as predicted. To say what you expect: python -m "
            f"hpc.brief {shlex.quote(str(spec.get('name') or layout.experiment))}"
        )
    elif brief.get("stage") == "confirmatory":
        notes += _sureness_notes(spec)
    return tuple(notes)


def _what_follows(sealed: Mapping[str, Any], now: Mapping[str, Any], begun: int) -> str:
    """Say what the report makes of a changed plan; another program or resource asks the same question."""
    if not begun:
        return "and replaces it, since nothing has begun"
    told = f"and {counted(begun, 'attempt has', 'attempts have')} begun: the report answers the sealed question"
    if asks_the_same(sealed, now) and sealed["configurations"] == now["configurations"]:
        return f"{told} and lists this change"
    return f"{told}, lists this change, and answers the new question below as exploratory"


def sealed_words(layout: RunLayout) -> str:
    """Say that a question is sealed, and what a change of it means; empty where nothing is sealed."""
    history = read_seal(layout)
    if not history:
        return ""
    counting = history[place_that_counts(history, lambda one: bool(one.attempts_before))]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(counting.time))
    begun = _count_attempts(layout)
    if not begun:
        return (
            f"sealed on {when} ({counting.digest[:16]}), and nothing has begun: the next plan seals the current "
            "question"
        )
    return (
        f"sealed on {when} ({counting.digest[:16]}), and {counted(begun, 'attempt has', 'attempts have')} begun since: "
        "the report answers the question that was sealed. What you change now is listed there as a deviation, and "
        "answered below it as exploratory. For another question, write another experiment with its own `name:`"
    )


def _sureness_notes(spec: Mapping[str, Any]) -> Iterator[str]:
    """Say where a criterion can be met without being supported, and what to write instead."""
    from hpc.core.question.bare import find_bare, with_tests  # here: `status` reads seals, and no criterion
    from hpc.core.question.criterion import parse_criterion

    rule = parse_criterion(spec["brief"]["criterion"])
    bare = find_bare(rule, float((spec.get("analysis") or {}).get("alpha") or 0.05))
    if tested := [one for one in bare if one.test]:
        asked = ", ".join(dict.fromkeys(one.comparison.text for one in tested))
        yield (
            f"brief.criterion asks for {asked} but not for certainty: unless a whole interval meets it, the answer is "
            f"MET AT FACE VALUE. Write: criterion: {with_tests(rule, bare).text}"
        )
    if without := [one for one in bare if not one.has_interval]:
        asked = ", ".join(dict.fromkeys(one.comparison.text for one in without))
        yield (
            f"brief.criterion: no interval and no test says how certain {asked} is, so the answer is at best "
            "MET AT FACE VALUE; means have intervals"
        )
    sweep = spec.get("sweep") or {}
    if bare and len(sweep.get("seeds") or (42,)) == 1 and not sweep.get("further_seeds"):
        yield "one seed has no interval and no p-value: the criterion can only be met at face value; add sweep.seeds"
