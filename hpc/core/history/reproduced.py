"""A run beside the same run made again: metric by metric equal, within the seed spread, or different. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.core.history.metrics import COST, Spread, kind_of, number

WITHIN_DEVIATIONS = 2.0
"""A difference of up to so many standard deviations of the seed is what another seed does, too: a screen, no test."""


class Sameness(StrEnum):
    """How a value of the run made again stands to that of the first."""

    EQUAL = "equal to the bit"
    WITHIN = "within the seed spread"
    DIFFERENT = "different"
    UNKNOWN = "different, and no seed spread is known"
    ONE_SIDED = "in only one of the two"


@dataclass(frozen=True)
class Repeated:
    """One metric of both runs.

    Attributes:
        metric: Its name.
        before: Final value of the first run; None where it has none.
        after: That of the run made again; None where it has none.
        spread: Of the seed, where it is known.
        curves_part_at: First step at which the logged curves differ; None where they are equal, or none was logged.
    """

    metric: str
    before: float | None
    after: float | None
    spread: Spread | None = None
    curves_part_at: int | None = None

    @property
    def is_cost(self) -> bool:
        """Whether it is a time, a size or a speed, which no two runs have in common."""
        return kind_of(self.metric) == COST

    @property
    def difference(self) -> float | None:
        """Made again minus first."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def sameness(self) -> Sameness:
        """The verdict on it. Two values that are no number are equal."""
        if self.before is None or self.after is None:
            return Sameness.ONE_SIDED
        if self.before == self.after or (math.isnan(self.before) and math.isnan(self.after)):
            return Sameness.EQUAL
        if self.spread is None:
            return Sameness.UNKNOWN
        is_within = abs(self.after - self.before) <= WITHIN_DEVIATIONS * self.spread.deviation
        return Sameness.WITHIN if is_within else Sameness.DIFFERENT


def deciding(metrics: Sequence[Repeated], primary: str) -> Sequence[Repeated]:
    """The metrics that decide whether a run was reproduced: the primary one, else all that are no times or sizes."""
    named = [each for each in metrics if each.metric == primary]
    return named or [each for each in metrics if not each.is_cost]


def is_reproduced(metrics: Sequence[Repeated], primary: str) -> bool:
    """Whether every metric that decides is equal, or within the seed spread; false where there is none."""
    found = deciding(metrics, primary)
    return bool(found) and all(each.sameness in (Sameness.EQUAL, Sameness.WITHIN) for each in found)


def describe_reproduction(metrics: Sequence[Repeated], primary: str) -> str:
    """The verdict in one sentence."""
    found = deciding(metrics, primary)
    if not found:
        return "cannot be judged: no metric to compare"
    judged = [each for each in metrics if each in found or not each.is_cost]
    if all(each.sameness is Sameness.EQUAL and each.curves_part_at is None for each in judged):
        return "reproduced to the bit: final values and logged curves are equal"
    if all(each.sameness is Sameness.EQUAL for each in found):
        apart = [each.metric for each in judged if each.sameness is not Sameness.EQUAL]
        curves = [each.metric for each in judged if each.curves_part_at is not None and each.metric not in apart]
        but = [
            f"another {', '.join(apart)}" if apart else "",
            f"another curve of {', '.join(curves)}" if curves else "",
        ]
        return f"reproduced: {_names(found)} is equal to the bit, with {' and '.join(filter(None, but))}"
    if is_reproduced(metrics, primary):
        return f"reproduced within the seed spread: {'; '.join(map(_apart, found))}"
    wrong = [each for each in found if each.sameness not in (Sameness.EQUAL, Sameness.WITHIN)]
    return f"not reproduced: {'; '.join(map(_apart, wrong))}"


def _names(found: Sequence[Repeated]) -> str:
    return ", ".join(each.metric for each in found)


def _apart(each: Repeated) -> str:
    if each.difference is None:
        return f"{each.metric} is {each.sameness}"
    told = f"{each.metric} differs by {number(abs(each.difference))}"
    if each.spread is None:
        return f"{told}, and no seed spread is known"
    return f"{told}, and the seed spread is {each.spread}"
