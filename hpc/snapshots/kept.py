"""Results whose folders are gone: scratch file systems are purged, and what was collected before is all there is.

An attempt counts as gone when the newest collection has a verdict on it and its folder, its record or the record of its
end is there no more. Nothing is concluded from what is left of it: what was concluded before stands, marked as kept.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hpc.core.immutable import immutable
from hpc.snapshots.remembered import Began, Ended

Entry = Mapping[str, Any]
"""A task, or one of its attempts, as ``verdicts.json`` has it."""


class Left(Protocol):
    """What is left of an attempt (`hpc.snapshots.states.AttemptState`)."""

    @property
    def number(self) -> int: ...
    @property
    def began(self) -> Began | None: ...
    @property
    def end(self) -> Ended | None: ...
    @property
    def unreadable(self) -> object | None: ...


@immutable
class Kept:
    """What stands of a task although it is gone.

    Attributes:
        entry: The task as it was collected before.
        gone: Attempt → what is gone of it, in words.
        is_result: Whether the task's result is among it, and no newer attempt has begun.
    """

    entry: Entry
    gone: Mapping[int, str]
    is_result: bool

    @property
    def why(self) -> str:
        """What is gone of the attempt that counts, in words."""
        return self.gone[max(self.gone)]

    def attempts(self, besides: Collection[int]) -> list[dict[str, Any]]:
        """The attempts that are gone, as they were written, and marked; without those that are described otherwise."""
        told = (each for each in self.entry["attempts"] if each["attempt"] in self.gone)
        return [{**each, "kept": self.gone[each["attempt"]]} for each in told if each["attempt"] not in besides]


def find_kept(entry: Entry | None, attempts: Sequence[Left]) -> Kept | None:
    """Compare what was collected of a task with what is there of it now.

    Args:
        entry: The task as it was collected; None when it never was.
        attempts: What is there, and what Slurm or the submissions know of besides.

    Returns:
        What is gone of attempts that had a verdict; None for nothing.
    """
    if entry is None or not entry["attempts"]:
        return None
    told = tuple(attempts)  # they may be made anew each time somebody asks for them
    present = {each.number: each for each in told if each.began is not None}
    unreadable = {each.number for each in told if each.unreadable}
    gone = dict(_find_gone(entry, present, unreadable))
    last = entry["attempts"][-1]["attempt"]
    is_result = entry["outcome"] == "finished" and last in gone and last >= max(present, default=0)
    return Kept(entry, gone, is_result) if gone else None


def _find_gone(entry: Entry, present: Mapping[int, Left], unreadable: Collection[int]) -> Iterator[tuple[int, str]]:
    for told in entry["attempts"]:
        number = told["attempt"]
        if not told.get("verdict") or not told.get("manifest_sha"):
            continue  # it was not over, or never began: there was no folder
        if number in unreadable:
            yield number, "it can no longer be read"
        elif number not in present:
            yield number, "its folder is gone"
        elif is_same(told, present[number]) and _lost_its_end(entry, told, present[number]):
            yield number, "the record of its end is missing"


def is_same(told: Entry, attempt: Left) -> bool:
    """Whether a folder is that of the execution that was collected, and not of a later one under the same number."""
    return attempt.began is not None and attempt.began.started == told.get("started")


def _lost_its_end(entry: Entry, told: Entry, attempt: Left) -> bool:
    """Whether the record of a result's end was there and is not now: only that says how long a result took."""
    return attempt.end is None and told is entry["attempts"][-1] and "wall_time" in entry["summary"]


def keep_without_metrics(entry: Entry | None, last: Left) -> Kept | None:
    """Keep a result of which only the metrics are gone.

    Args:
        entry: The task as it was collected.
        last: Its last attempt, whose folder has no metrics.
    """
    if entry is None or entry["outcome"] != "finished" or not entry["summary"].keys() - {"wall_time"}:
        return None
    told = entry["attempts"][-1]
    if told["attempt"] != last.number or not is_same(told, last):
        return None
    return Kept(entry, {last.number: "its metrics are gone"}, is_result=True)
