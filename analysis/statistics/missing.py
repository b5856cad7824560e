"""What verdicts hang on: runs that failed, are missing or were altered, read in every way a reader might object to.

Intention to treat counts a failed run as the worst of all, whatever number it had reached, so only ranks can be used.
Per protocol leaves it out. Two readings put a run without a value at the worst and at the best value that any run gave;
one that diverged is at the worst in both, because that is what it did. They are no bounds: a run could be worse than
any seen. Altered runs are in no comparison; one reading adds them, to show whether that matters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.comparisons import AnalysisPlan, Comparison, compare_family, verdict_of_test
from analysis.statistics.corrections import adjust
from analysis.statistics.samples import Sample

Floats = npt.NDArray[np.float64]
PER_PROTOCOL = "per protocol"
TO_TREAT = "intention to treat"
WORST, BEST = "runs without a value at the worst value seen", "runs without a value at the best value seen"
WITH_ALTERED = "altered runs included"


@dataclass(frozen=True, eq=False)
class Runs:
    """All planned runs of one configuration on one metric, whatever came of them.

    Attributes:
        values: Array of shape (runs planned,): what may be compared, NaN elsewhere.
        seeds: Array of shape (runs planned,).
        failed: Array of shape (runs planned,): the run ended without a result (diverged, given up).
        altered: Array of shape (runs planned,): values of runs that finished altered, NaN elsewhere.
        lost: Array of shape (runs planned,): the run diverged, which is a result and the worst one; None: none did.
    """

    values: Floats
    seeds: npt.NDArray[np.int64] | None
    failed: npt.NDArray[np.bool_]
    altered: Floats
    lost: npt.NDArray[np.bool_] | None = None

    @property
    def sample(self) -> Sample:
        """What may be compared."""
        return Sample(self.values, self.seeds)

    @property
    def is_whole(self) -> bool:
        """Whether every planned run has a value that may be compared."""
        return bool(np.isfinite(self.values).all())


Side = Callable[[Runs], Sample]
"""How a reading takes the runs of one side of a comparison."""


@dataclass(frozen=True)
class Reading:
    """One way to read a comparison.

    Attributes:
        name: Which: one of the module's constants.
        n: Runs of the configuration that count.
        n_baseline: Runs of the baseline that count.
        by_rank: Whether only ranks were used (a rank test, no difference).
        relative_percent: Difference in percent of the baseline's mean; None by rank.
        improvement: Share of pairs in which the configuration's run is the better one, ties half.
        p_adjusted: Adjusted over the family, with this reading of every comparison it concerns.
        verdict: ``better``, ``worse``, ``inconclusive`` or ``not computable``.
    """

    name: str
    n: int
    n_baseline: int
    by_rank: bool
    relative_percent: float | None
    improvement: float | None
    p_adjusted: float | None
    verdict: str


@dataclass(frozen=True)
class Robustness:
    """How a comparison reads with what is missing from it.

    Attributes:
        readings: All of them, the confirmatory one (per protocol, by the deciding test) first.
        hangs_on: Names of the readings that decide otherwise; by rank those are compared with each other.
        text: One sentence.
    """

    readings: tuple[Reading, ...]
    hangs_on: tuple[str, ...]
    text: str


def read_robustness(
    comparisons: Sequence[Comparison],
    groups: Sequence[Runs],
    baselines: Sequence[Runs],
    goal: str,
    plan: AnalysisPlan,
) -> tuple[Robustness | None, ...]:
    """Read each comparison of a family in every way that what is missing allows.

    The worst and the best place are the worst and the best value of all configurations here: numbers have no bounds of
    their own.

    Args:
        comparisons: As `compare_family` gives them.
        groups: Runs of each configuration.
        baselines: Runs of the baseline of each.
        goal: ``min`` or ``max``.
        plan: Error rate and correction.

    Returns:
        None for comparisons from which nothing is missing.
    """
    concerned = [
        place for place, (ours, base) in enumerate(zip(groups, baselines, strict=True))
        if not (ours.is_whole and base.is_whole)
    ]  # fmt: skip
    if not concerned:
        return (None,) * len(comparisons)
    of = [groups[place] for place in concerned], [baselines[place] for place in concerned]
    beside = _beside(concerned, groups, baselines)
    read = {PER_PROTOCOL: {place: comparisons[place] for place in concerned}}
    read |= {
        name: _read(*of, sides, goal, concerned, beside, modelled=name != TO_TREAT)
        for name, sides in _scenarios((*groups, *baselines), goal).items()
    }
    by_test = {
        name: _readings(name, read[name], comparisons, goal, plan, by_rank=False) for name in read if name != TO_TREAT
    }
    by_rank = {
        name: _readings(name, read[name], comparisons, goal, plan, by_rank=True) for name in (PER_PROTOCOL, TO_TREAT)
    }
    found: list[Robustness | None] = [None] * len(comparisons)
    for place in concerned:
        names = _apply((groups[place], baselines[place]))
        found[place] = _summarise([(by_rank if ranks else by_test)[name][place] for name, ranks in names])
    return tuple(found)


def _beside(concerned: Sequence[int], groups: Sequence[Runs], baselines: Sequence[Runs]) -> list[list[Sample]]:
    """For each comparison that is read again, the whole configurations of its baseline: the model has them, too.

    Without them a reading would differ from the verdict by its test, not by what is missing. Those of one baseline are
    named once, with its first comparison.
    """
    gone = set(concerned)
    whole: dict[int, list[Sample]] = {}
    for place, base in enumerate(baselines):
        if place not in gone:
            whole.setdefault(id(base), []).append(groups[place].sample)
    return [whole.pop(id(baselines[place]), []) for place in concerned]


def _scenarios(runs: Sequence[Runs], goal: str) -> Mapping[str, tuple[Side, Side]]:
    """Name the readings beside the confirmatory one: how each takes the configuration's runs, and the baseline's.

    Args:
        runs: All there are; their worst and best value are put where there is none.
    """
    known = np.concatenate([one.sample.finite for one in runs])
    ends = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    worst, best = (ends[1], ends[0]) if goal == "min" else ends
    return {
        TO_TREAT: (_failed_last(worst, goal), _failed_last(worst, goal)),
        WORST: (_filled(worst, worst), _filled(best, worst)),
        BEST: (_filled(best, worst), _filled(worst, worst)),
        WITH_ALTERED: (_with_altered, _with_altered),
    }


def _apply(sides: tuple[Runs, Runs]) -> list[tuple[str, bool]]:
    """List the readings, in order, that what is missing on either side allows, each with whether it is by rank."""
    names = [(PER_PROTOCOL, False)]
    if any(one.failed.any() for one in sides):
        names += [(PER_PROTOCOL, True), (TO_TREAT, True)]
    names += [(WORST, False), (BEST, False)]
    if any(np.isfinite(one.altered).any() for one in sides):
        names.append((WITH_ALTERED, False))
    return names


def _read(
    groups: Sequence[Runs],
    baselines: Sequence[Runs],
    sides: tuple[Side, Side],
    goal: str,
    places: Sequence[int],
    beside: Sequence[Sequence[Sample]],
    *,
    modelled: bool,
) -> dict[int, Comparison]:
    """Compare all of them in one reading, together: one by one takes a minute where thousands are concerned.

    Where failed runs have a rank and no number, no model can take out what a seed adds.
    """
    as_base = {id(one): sides[1](one) for one in baselines}
    ours, theirs = [sides[0](one) for one in groups], [as_base[id(one)] for one in baselines]
    found = compare_family(ours, theirs, goal, beside=beside, modelled=modelled)
    return dict(zip(places, found, strict=True))


def _failed_last(worst: float, goal: str) -> Side:
    """Put failed runs behind the worst value there is, all at the same place: by rank the distance means nothing."""
    behind = worst + (1.0 + abs(worst)) * (1 if goal == "min" else -1)
    return lambda runs: Sample(np.where(runs.failed, behind, runs.values), runs.seeds)


def _filled(value: float, worst: float) -> Side:
    """Put a value where there is none, and the worst where a run diverged."""

    def fill(runs: Runs) -> Sample:
        put = value if runs.lost is None else np.where(runs.lost, worst, value)
        return Sample(np.where(np.isfinite(runs.values), runs.values, put), runs.seeds)

    return fill


def _with_altered(runs: Runs) -> Sample:
    return Sample(np.where(np.isfinite(runs.altered), runs.altered, runs.values), runs.seeds)


def _readings(
    name: str,
    read: Mapping[int, Comparison],
    comparisons: Sequence[Comparison],
    goal: str,
    plan: AnalysisPlan,
    *,
    by_rank: bool,
) -> dict[int, Reading]:
    """Adjust one reading of the comparisons it concerns together with the others as they are."""
    family = [read.get(place, one) for place, one in enumerate(comparisons)]
    adjusted = adjust([one.p_rank if by_rank else one.p for one in family], plan.correction)
    return {
        place: Reading(
            name=name,
            n=one.sizes[0],
            n_baseline=one.sizes[1],
            by_rank=by_rank,
            relative_percent=None if by_rank else one.relative_percent,
            improvement=one.improvement.value if one.improvement else None,
            p_adjusted=adjusted[place],
            verdict=_verdict(one, adjusted[place], goal, plan.alpha, by_rank=by_rank),
        )
        for place, one in read.items()
    }


def _verdict(one: Comparison, p: float | None, goal: str, alpha: float, *, by_rank: bool) -> str:
    """Better or worse by the direction of the means; by rank, by that of the pairs."""
    if not by_rank:
        return verdict_of_test(one.difference, p, goal, alpha)
    if one.improvement is None:
        return "not computable"
    return verdict_of_test(one.improvement.value - 0.5, p, "max", alpha)


def _summarise(readings: Sequence[Reading]) -> Robustness:
    """Name the readings that decide otherwise."""
    reference = {one.by_rank: one.verdict for one in reversed(readings) if one.name == PER_PROTOCOL}
    differing = [one for one in readings if _decision(one.verdict) != _decision(reference[one.by_rank])]
    turned = [one for one in readings if one.name == TO_TREAT and _turns(one, readings)]
    hangs_on = tuple(dict.fromkeys(one.name for one in (*differing, *turned)))
    decided = _decision(reference[False])
    if not hangs_on:
        return Robustness(tuple(readings), (), f"{decided} in all {len(readings)} readings of the missing runs")
    others = "; ".join(dict.fromkeys(_told(one) for one in (*differing, *turned)))
    return Robustness(tuple(readings), hangs_on, f"{decided}, but other readings of the missing runs differ: {others}")


def _decision(verdict: str) -> str:
    """What a verdict decides; what cannot be computed decides as little as what is inconclusive."""
    return verdict if verdict in ("better", "worse") else "undecided"


def _turns(one: Reading, readings: Sequence[Reading]) -> bool:
    """Whether counting failures turns around who is better in most pairs."""
    before = next(other for other in readings if other.by_rank and other.name == PER_PROTOCOL)
    if one.improvement is None or before.improvement is None:
        return False
    return (one.improvement - 0.5) * (before.improvement - 0.5) < 0


def _told(one: Reading) -> str:
    pairs = "" if one.improvement is None else f", better in {100 * one.improvement:.0f} % of pairs"
    return f"{one.verdict}{pairs} with {one.name}"
