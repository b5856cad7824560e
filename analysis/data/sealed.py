"""Which sealed question counts, and how far later ones came after runs had begun or results had been seen."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from analysis.data.collected import LAST_TIME
from hpc.adapters.files import MOST_JSON_BYTES, read_json_or_none, read_regular
from hpc.adapters.result_ledger import read_ledger
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from hpc.core.question.ledger import Ledger
from hpc.core.question.seal import SealEntry, as_sealed, history_from_json, place_by_times
from hpc.core.records.record import record_from

_NAMED = 5


@dataclass(frozen=True)
class Look:
    """One time somebody was shown results.

    Attributes:
        time: When, Unix seconds.
        kind: ``report``, or ``follow_up`` (the second look, in files) where it decided about further seeds.
        collected: When the results were collected that were shown, Unix seconds.
        ended: Runs that had ended by then.
        planned: Runs that were planned by then.
        ledger: Hash of the newest line of the ledger then; empty before there were ledgers.
    """

    time: float
    kind: str
    collected: float
    ended: int
    planned: int
    ledger: str = ""

    @property
    def is_early(self) -> bool:
        """Whether runs were still to come, so that what was seen could steer what was done."""
        return self.ended < self.planned


def read_looks(layout: RunLayout) -> tuple[Look, ...]:
    """Read when results were shown, oldest first; a line that cannot be read is left out."""
    try:
        lines = read_regular(layout.looks, MOST_JSON_BYTES).decode("utf-8", "replace").splitlines()
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


@dataclass(frozen=True)
class AddedSeeds:
    """Seeds that a later plan added.

    Attributes:
        time: When that plan was sealed, Unix seconds.
        seeds: The seeds.
        has_seen: Whether results had been collected or shown by then.
    """

    time: float
    seeds: tuple[int, ...]
    has_seen: bool


@dataclass(frozen=True)
class Sealed:
    """What was sealed, and which of it counts.

    Attributes:
        entries: Every sealed plan, oldest first; empty where none was sealed.
        problem: Why the seal cannot be believed; empty where it can, or where there is none.
        place: The entry that counts.
        starts: Task id → when its first attempt began, Unix seconds, by records and ledger.
        added: Seeds that plans after the one that counts added.
        ledger: The ledger of results.
        looks: When results were shown.
    """

    entries: tuple[SealEntry, ...] = ()
    problem: str = ""
    place: int = 0
    starts: Mapping[str, float] = field(default_factory=dict)
    added: tuple[AddedSeeds, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    looks: tuple[Look, ...] = ()

    @property
    def counting(self) -> SealEntry | None:
        """The plan whose question is answered; None where none was sealed."""
        return self.entries[self.place] if self.entries else None

    @property
    def later(self) -> tuple[SealEntry, ...]:
        """Plans that were sealed after runs had begun."""
        return self.entries[self.place + 1 :]

    @property
    def times_peeked(self) -> int:
        """How often seeds were added by somebody who could have seen results."""
        return sum(one.has_seen for one in self.added)

    def begun_before(self, entry: SealEntry) -> int:
        """Count the runs that had begun before a plan was sealed."""
        return max(sum(start < entry.time for start in self.starts.values()), 1 if entry.attempts_before else 0)

    def asked(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an experiment with the question that counts; seeds added after a look are those of a second one."""
        if self.counting is None:
            return spec
        asked = as_sealed(spec, self.counting.content)
        seen = {seed for one in self.added if one.has_seen for seed in one.seeds}
        if not seen:
            return asked
        sweep = dict(spec.get("sweep") or {})
        sweep["seeds"] = [seed for seed in sweep.get("seeds") or (42,) if seed not in seen]
        sweep["further_seeds"] = [*(one for one in sweep.get("further_seeds") or () if one not in seen), *sorted(seen)]
        return {**asked, "sweep": sweep}


def read_sealed(layout: RunLayout, starts: Mapping[str, float], told: object, finished: Mapping[str, str]) -> Sealed:
    """Read the seals and find the one that counts.

    Args:
        starts: Task id → when its first attempt began, by what was collected.
        told: The newest line of the ledger, as the newest collection has it; None before there were ledgers.
        finished: Task id → name of the runs that were collected as finished.
    """
    entries, problem = _read_entries(layout)
    looks = read_looks(layout)
    ledger = _checked(read_ledger(layout), told, looks, finished)
    first = dict(starts)
    for line in ledger.lines:
        began = line.time if line.started is None else min(line.started, line.time)
        first[line.task_id] = min(began, first.get(line.task_id, began))
    noted = [line.time for line in ledger.lines]

    place = place_by_times(entries, first.values(), noted)
    seen = [*(look.time for look in looks), *(line.time for line in ledger.lines if line.is_result)]
    added = tuple(_added_seeds(entries[place:], seen))
    return Sealed(entries, problem, place, first, added, ledger, looks)


def _checked(ledger: Ledger, told: object, looks: Sequence[Look], finished: Mapping[str, str]) -> Ledger:
    """Hold a ledger against what others say of it: a chain does not show that its end is gone."""
    if told is None or ledger.problems:
        return ledger
    hashes = {line.sha256 for line in ledger.lines}
    if any(head and head not in hashes for head in (told, *(look.ledger for look in looks))):
        lost = "lines are missing that were there when results were collected or shown"
        return replace(ledger, problems=(lost,))
    noted = {line.task_id for line in ledger.lines}
    if unnoted := [name for key, name in finished.items() if key not in noted]:
        more = f" and {len(unnoted) - _NAMED} more" if len(unnoted) > _NAMED else ""
        return replace(
            ledger, problems=(f"results were collected but not recorded: {', '.join(unnoted[:_NAMED])}{more}",)
        )
    return ledger


def _read_entries(layout: RunLayout) -> tuple[tuple[SealEntry, ...], str]:
    try:
        value = read_json_or_none(layout.seal)
        return (history_from_json(value), "") if value is not None else ((), "")
    except (InputError, ValueError) as error:
        return (), f"seal.json: {error}"


def _added_seeds(entries: Sequence[SealEntry], seen: Sequence[float]) -> Iterator[AddedSeeds]:
    named: set[int] = set()
    for place, entry in enumerate(entries):
        listed = [*entry.content["seeds"], *entry.content["further_seeds"]]
        new = tuple(dict.fromkeys(seed for seed in listed if seed not in named))
        if place and new:
            yield AddedSeeds(entry.time, new, any(time < entry.time for time in seen))
        named |= set(listed)
