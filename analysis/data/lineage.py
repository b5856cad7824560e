"""Which attempts a task's result stands on, and what each of the others was: continued, failed or still open.

Rules only: the attempts of one task as ``verdicts.json`` holds them go in, one `Fate` per attempt comes out. An attempt
that was taken away (checkpointed on request, preempted, its node lost) and that the result resumed from is no failure:
its hours are part of the result's price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_TAKEN_AWAY = ("preempted", "node_failure")


class Fate(StrEnum):
    """What came of an attempt; every attempt has exactly one."""

    SUCCESS = "success"
    CONTINUED = "continued"
    FAILED = "failed"
    OPEN = "open"


class Course(StrEnum):
    """How a task with several attempts got where it is; `SINGLE` for one attempt or none."""

    SINGLE = ""
    HEALED = "healed"
    CONTINUED = "continued"
    REPEATED = "repeated"
    FAILED = "failed"
    OPEN = "open"


@dataclass(frozen=True)
class Traced:
    """One attempt in the light of its task's whole history.

    Attributes:
        fate: What came of it.
        continued_in: Number of the attempt that started from its checkpoint, on the way to the last attempt; 0 without.
        stands_behind: Whether the last attempt's state descends from it (the last attempt itself included).
    """

    fate: Fate
    continued_in: int
    stands_behind: bool


def trace(attempts: Sequence[Mapping[str, Any]], outcome: str) -> tuple[Traced, ...]:
    """Say of each attempt of one task what came of it.

    Args:
        attempts: The task's attempts, oldest first.
        outcome: What came of the task.
    """
    if not attempts:
        return ()
    following = _following(attempts)
    last = int(attempts[-1]["attempt"])
    return tuple(
        Traced(
            fate=_fate(one, following.get(int(one["attempt"]), 0), outcome),
            continued_in=following.get(int(one["attempt"]), 0),
            stands_behind=int(one["attempt"]) in (*following, last),
        )
        for one in attempts
    )


def course(fates: Sequence[Fate], outcome: str) -> Course:
    """Say how a task got where it is: healed means that something failed and a later attempt finished all the same."""
    if len(fates) < 2:
        return Course.SINGLE
    if outcome != "finished":
        return Course.FAILED if outcome == "failed" else Course.OPEN
    if Fate.FAILED in fates:
        return Course.HEALED
    return Course.CONTINUED if Fate.CONTINUED in fates else Course.REPEATED


def was_taken_away(attempt: Mapping[str, Any]) -> bool:
    """Whether an attempt ended by no fault of its own: checkpointed on request, preempted, or its node lost."""
    verdict = attempt.get("verdict") or {}
    checkpointed = verdict.get("category") == "timeout" and verdict.get("cause") == "checkpointed"
    return checkpointed or verdict.get("category") in _TAKEN_AWAY


def _following(attempts: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Walk back from the last attempt: attempt number → the one that started from its checkpoint.

    Only an earlier attempt can have left a checkpoint, so the walk ends whatever the file says.
    """
    sources = {int(one["attempt"]): one.get("resumed_from_attempt") for one in attempts}
    following: dict[int, int] = {}
    number = int(attempts[-1]["attempt"])
    while (source := sources[number]) in sources and int(source) < number:
        following[int(source)] = number
        number = int(source)
    return following


def _fate(attempt: Mapping[str, Any], continued_in: int, outcome: str) -> Fate:
    category = (attempt.get("verdict") or {}).get("category")
    if category is None:
        return Fate.OPEN
    if category == "success":
        return Fate.SUCCESS
    if continued_in and was_taken_away(attempt) and outcome != "failed":
        # As long as the one that continues it has not ended, nobody knows what the hours were good for.
        return Fate.CONTINUED if outcome == "finished" else Fate.OPEN
    return Fate.FAILED
