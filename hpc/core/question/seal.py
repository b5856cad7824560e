"""The seal: what was asked and how it would be judged, fixed before anything ran, with everything that was said later.

The first entry of ``seal.json`` is kept for ever; a plan with another content adds one. Each entry carries the hash of
the one before it, and the digest of its content travels in the record of every run, so that neither can be changed
without the other.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from hpc.core.identity import canonical_json, content_hash
from hpc.core.immutable import fields_of, immutable, replace

SCHEMA = 1
QUESTION = (
    "goal", "hypothesis", "success", "criterion", "data", "splits", "known_issues", "model", "baseline", "tuning",
    "metrics", "constraints", "decision", "if_wrong", "stage",
)  # fmt: skip
"""What is sealed of the brief: every answer that is there."""
CLOCK_SKEW_S = 300.0
"""How far the clocks of login and compute nodes may be apart; the seal itself counts what it found on disk."""
_WHICH = ("grid", "zip", "cases", "sample", "where", "when")


@immutable
class SealEntry:
    """One plan as it was sealed.

    Attributes:
        digest: Hash of `content`, 64 hexadecimal digits.
        content: What is sealed (see `sealed_content`).
        time: When, Unix seconds.
        commit: Git commit of the project; empty outside a repository.
        dirty: Whether the code differed from that commit.
        manifest_sha: The manifest that was planned with it.
        tasks: Task id → run name.
        attempts_before: Attempts there were already when it was written.
        previous: `sha256` of the entry before; empty for the first.
        sha256: Hash of everything else here.
    """

    digest: str
    content: Mapping[str, Any]
    time: float
    commit: str
    dirty: bool
    manifest_sha: str
    tasks: Mapping[str, str]
    attempts_before: int
    previous: str = ""
    sha256: str = ""


def sealed_content(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Take out of an experiment what decides about its answer: question, metrics, baseline, analysis, tasks.

    Args:
        spec: The experiment as plain JSON values, as the manifest keeps it.
    """
    brief, metrics, sweep = (spec.get(name) or {} for name in ("brief", "metrics", "sweep"))
    return {
        "question": {name: brief[name] for name in QUESTION if brief.get(name) is not None},
        "metrics": {"primary": metrics.get("primary"), "secondary": list(metrics.get("secondary") or ())},
        "baseline": spec.get("baseline"),
        # Nothing is judged by the spread that is expected: who learns it later changes no question.
        "analysis": {name: value for name, value in (spec.get("analysis") or {}).items() if name != "sigma"},
        "configurations": {name: sweep[name] for name in _WHICH if sweep.get(name)},
        "seeds": list(sweep.get("seeds") or ()),
        "further_seeds": list(sweep.get("further_seeds") or ()),
        "program": _deciding(spec.get("program")),
        **({"check": spec["check"]} if spec.get("check") else {}),
    }


def _deciding(program: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What of a program its numbers come from: the checks before a canary give none."""
    return program and {name: value for name, value in program.items() if name != "sanity"}


def as_sealed(spec: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment with the question, metrics, baseline and analysis that were sealed.

    Metrics that were declared since stand behind the sealed ones.

    Args:
        spec: The experiment as it is planned now.
        content: What was sealed (see `sealed_content`).
    """
    planned, sealed = spec.get("metrics") or {}, content["metrics"]
    named = [_name(metric) for metric in (sealed["primary"], *sealed["secondary"]) if metric]
    every = [metric for metric in (planned.get("primary"), *(planned.get("secondary") or ())) if metric]
    beside = [metric for metric in every if _name(metric) not in named]
    asked = {
        "brief": content["question"],
        "metrics": {**planned, "primary": sealed["primary"], "secondary": [*sealed["secondary"], *beside]},
        "baseline": content["baseline"],
        "analysis": content["analysis"],
    }
    return {**spec, **{name: value for name, value in asked.items() if value or spec.get(name)}}


def asks_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two contents are answered alike: criterion, primary metric, baseline and analysis."""
    parts = [
        [content["question"].get("criterion"), content["metrics"]["primary"], content["baseline"], content["analysis"]]
        for content in (one, other)
    ]
    return canonical_json(parts[0]) == canonical_json(parts[1])


def place_that_counts(history: Sequence[SealEntry], has_begun: Callable[[SealEntry], bool]) -> int:
    """Find the entry whose question counts: the first, or the last of those before which nothing had begun.

    Args:
        history: Every entry, oldest first.
        has_begun: Whether a run had begun before an entry was sealed.
    """
    place = 0
    while place + 1 < len(history) and not has_begun(history[place + 1]):
        place += 1
    return place


def place_by_times(history: Sequence[SealEntry], starts: Collection[float], noted: Collection[float]) -> int:
    """Find the entry whose question counts, by what is known of the runs.

    Args:
        history: Every entry, oldest first.
        starts: When runs began, by compute nodes' clocks, Unix seconds.
        noted: When results were noted in the ledger, Unix seconds.
    """
    return place_that_counts(
        history,
        lambda entry: (
            bool(entry.attempts_before)
            or any(start < entry.time - CLOCK_SKEW_S for start in starts)
            or any(time < entry.time for time in noted)
        ),
    )


def content_digest(spec: Mapping[str, Any]) -> str:
    """Name what would be sealed of an experiment."""
    return content_hash(sealed_content(spec))


def append_entry(history: Sequence[SealEntry], entry: SealEntry) -> tuple[SealEntry, ...]:
    """Add an entry to the history; one with the content of the newest adds nothing."""
    if history and history[-1].digest == entry.digest:
        return tuple(history)
    linked = replace(entry, previous=history[-1].sha256 if history else "", sha256="")
    return (*history, replace(linked, sha256=content_hash(_content(linked))))


def history_to_json(history: Sequence[SealEntry]) -> dict[str, Any]:
    """Write ``seal.json``."""
    return {"schema": SCHEMA, "kind": "seal", "entries": [{**_content(one), "sha256": one.sha256} for one in history]}


def history_from_json(value: Any) -> tuple[SealEntry, ...]:
    """Read ``seal.json``; check each entry and the chain.

    Raises:
        ValueError: It is none, of another version, or was edited; says which entry.
    """
    if not isinstance(value, dict) or value.get("kind") != "seal" or value.get("schema") != SCHEMA:
        raise ValueError(f"not a seal of schema {SCHEMA}")
    try:
        history = tuple(SealEntry(**entry) for entry in value["entries"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a seal: {error}") from None
    for number, one in enumerate(history, start=1):
        previous = history[number - 2].sha256 if number > 1 else ""
        if content_hash(one.content) != one.digest or content_hash(_content(one)) != one.sha256:
            raise ValueError(f"entry {number} does not match its hash: it was edited after it was sealed")
        if one.previous != previous:
            raise ValueError(f"entry {number} does not follow the one before it: entries were removed or moved")
    if not history:
        raise ValueError("holds no entry")
    return history


def content_changes(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Say what differs between two sealed contents, a line per value: ``seeds: [42] → [42, 137]``."""
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        where = f"{path}{name}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from content_changes(old, new, f"{where}.")
        elif canonical_json(old) != canonical_json(new):
            yield f"{where}: {_shown(old)} → {_shown(new)}"


def _name(metric: Any) -> str:
    return str(metric["name"] if isinstance(metric, Mapping) else metric)


def _content(entry: SealEntry) -> dict[str, Any]:
    content = {name: getattr(entry, name) for name, _ in fields_of(type(entry)) if name != "sha256"}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in content.items()}


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
