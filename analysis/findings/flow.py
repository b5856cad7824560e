"""How many runs are left at each step from planned to analysed, and where the others went; every step adds up."""

from dataclasses import dataclass
from itertools import pairwise

from analysis.findings.findings import Findings


@dataclass(frozen=True)
class Stage:
    """One step of the way.

    Attributes:
        name: What the runs that are left have in common.
        count: How many they are.
        left: Where those went that the step before still had: (words, runs); none with 0 runs.
    """

    name: str
    count: int
    left: tuple[tuple[str, int], ...] = ()


def find_flow(findings: Findings) -> tuple[Stage, ...]:
    """Follow the runs from planned to analysed.

    Raises:
        AssertionError: A step does not add up, which only a fault in this program can cause.
    """
    counts = findings.counts
    altered = sum(one.altered for one in findings.results)
    usable = counts.finished - altered
    submitted = counts.planned - counts.never_started
    ended = counts.finished + counts.failed_total
    value = f"a value of {findings.primary.name}" if findings.primary else "a value"
    stages = (
        Stage("planned", counts.planned),
        _stage("submitted", submitted, ("never submitted", counts.never_started)),
        _stage("ended", ended, ("waiting for the scheduler", counts.pending), ("still running", counts.running)),
        _stage("finished", counts.finished, *((f"failed: {name}", count) for name, count in counts.failed.items())),
        _stage("finished as asked", usable, ("altered while being healed", altered)),
        _stage("analysed", usable - counts.without_value, (f"finished without {value}", counts.without_value)),
    )
    for before, after in pairwise(stages):
        if before.count != after.count + sum(count for _, count in after.left):
            raise AssertionError(f"{before} does not lead to {after}")
    return stages


def say_flow(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """Write every arrow as a sum: ``12 submitted = 10 ended + 2 still running``."""
    said = []
    for before, after in pairwise(stages):
        parts = [f"{after.count} {after.name}", *(f"{count} {words}" for words, count in after.left)]
        said.append(f"{before.count} {before.name} = {' + '.join(parts)}")
    return tuple(said)


def _stage(name: str, count: int, *left: tuple[str, int]) -> Stage:
    return Stage(name, count, tuple(one for one in left if one[1]))
