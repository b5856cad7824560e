"""How the unattended loop goes on: whether it ends, and which relays should wait in Slurm's queue. Pure.

There are at most three: one that begins when everything live is over (*end*), one that has a look while it still runs
(*look*), and a later look (*spare*), for the night in which the first is killed before it has done anything and an
element that Slurm holds keeps the end from coming. Whichever begins first acts and leaves such a set behind; what waits
already is kept, what is not needed any more is cancelled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from hpc.core.immutable import immutable
from hpc.core.resources import DAY

GROWTH = 1.5
SPARE = 3.0
"""Intervals after which the spare look begins."""
LONGEST_S = 1800.0
"""Looks become rarer while nothing happens, up to this many seconds (or `follow.every`, where that is more)."""


class Course(StrEnum):
    """What a round comes to."""

    GOES_ON = "goes on"
    ENDED = "ended"  # nothing runs, waits or can be tried again
    HELD = "held"  # somebody has to look first
    GAVE_UP = "gave_up"  # follow.max_days are over, or what is left can never begin
    CANCELLED = "cancelled"  # a person ended it


class Kind(StrEnum):
    """When a relay begins."""

    END = "end"
    LOOK = "look"
    SPARE = "spare"


@immutable
class Relay:
    """A small job that plays one round and leaves the next relays behind; it waits in Slurm's queue, or should.

    Attributes:
        kind: What it waits for.
        after: Array job ids whose every element has to be over (`Kind.END`).
        begin: Unix time before which it does not begin (looks); 0 for none.
        job: Its job id; empty while it is only wanted.
        number: Its folder below ``follow/``; 0 while it is only wanted.
    """

    kind: Kind
    after: frozenset[str] = frozenset()
    begin: float = 0.0
    job: str = ""
    number: int = 0

    def to_json(self) -> dict[str, Any]:
        """The job as it stands in ``intent.json``, ``follow.json`` and the ledger."""
        return {**asdict(self), "after": sorted(self.after)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Relay":
        """Read what `to_json` wrote; further keys are passed over."""
        own = {name: content[name] for name in cls.__dataclass_fields__}
        return cls(**{**own, "kind": Kind(own["kind"]), "after": frozenset(own["after"])})


@immutable
class Successors:
    """What becomes of the relays.

    Attributes:
        keep: Wait already, and stay.
        submit: Are missing.
        cancel: Are not needed any more.
    """

    keep: tuple[Relay, ...] = ()
    submit: tuple[Relay, ...] = ()
    cancel: tuple[Relay, ...] = ()


def decide(*, live: bool, left: bool, held: bool, followed_s: float, max_days: float, blocked: bool = False) -> Course:
    """Say how it goes on.

    Args:
        live: Something runs or waits in a queue.
        left: Something is still to be submitted (limits of the site leave it for later).
        held: The experiment is held.
        followed_s: Seconds since it is followed.
        max_days: Days after which it is given up.
        blocked: Nothing of what is left can begin before a person does something.
    """
    if held:
        return Course.HELD
    if not live and not left:
        return Course.ENDED
    is_vain = blocked and not live
    return Course.GAVE_UP if is_vain or followed_s > max_days * DAY else Course.GOES_ON


def next_interval(every_s: float, last_s: float, *, acted: bool) -> float:
    """Seconds until the next look: `every_s` after a round that did something, else longer than the last time."""
    return every_s if acted else min(max(LONGEST_S, every_s), max(every_s, last_s * GROWTH))


def plan_successors(
    waiting: Sequence[Relay], live: Iterable[str], course: Course, now: float, interval_s: float
) -> Successors:
    """Say which relays to keep, to submit and to cancel.

    Args:
        waiting: Relays in the queue that have not begun.
        live: Array job ids of everything that runs or waits.
        course: How it goes on.
        now: Unix time.
        interval_s: Seconds until the next look.
    """
    if course is not Course.GOES_ON:
        return Successors(cancel=tuple(waiting))
    after = frozenset(live)
    wanted = [
        Relay(Kind.LOOK, begin=now + interval_s),
        *([Relay(Kind.END, after)] if after else []),
        Relay(Kind.SPARE, begin=now + SPARE * interval_s),
    ]
    keep, submit = [], []
    for each in wanted:
        # A spare that would begin together with the look is none any more.
        earliest = now + SPARE * interval_s / 2 if each.kind is Kind.SPARE else 0.0
        fitting = [other for other in waiting if _serves(other, each) and other.begin >= earliest]
        if fitting:
            keep.append(min(fitting, key=lambda other: (other.begin, other.number)))
        else:
            submit.append(each)
    return Successors(tuple(keep), tuple(submit), tuple(each for each in waiting if each not in keep))


def _serves(waiting: Relay, wanted: Relay) -> bool:
    """Whether what waits does what is wanted: the same end, or a look that is not later."""
    return (waiting.kind, waiting.after) == (wanted.kind, wanted.after) and waiting.begin <= wanted.begin
