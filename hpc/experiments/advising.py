"""Advice on a design, said by `plan`: its size, what it can tell, what would cost less, how many seeds it takes."""

from collections.abc import Iterator, Sequence
from typing import Any

from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.identity import canonical_json
from hpc.core.immutable import immutable
from hpc.core.question.design import (
    MOST_SEEDS,
    Cheaper,
    Estimable,
    Space,
    cheaper_than,
    described,
    estimable_to_json,
    find_estimable,
    seeds_needed,
    space_of,
)
from hpc.core.question.systems import OVER_SYSTEMS, system_parameters
from hpc.core.words import counted, few, rounded
from hpc.experiments.detecting import CanFind

SEARCHES = ("hyperparameter_sweep", "comparison")
"""Types of experiments that look for the best; the others want to know of each."""


@immutable
class Needs:
    """Seeds for the difference that is worth having.

    Attributes:
        meaningful: That difference, relative to the baseline.
        spread: Standard deviation between seeds relative to the mean; None where it is not known.
        seeds: How many find it with a chance of 80 %; None where more than 200 would, or the spread is not known.
        most_spread: Relative spread up to which the planned seeds find it.
    """

    meaningful: float
    spread: float | None
    seeds: int | None
    most_spread: float | None


@immutable
class Advice:
    """What can be said of a design before it runs.

    Attributes:
        space: Its size.
        estimable: What it tells apart; None where there is nothing, or it was not worked out.
        cheaper: Designs that cost less.
        needs: Seeds for the difference worth having; None where none is declared, or nothing is compared.
        can_find: The smallest difference that is found; None where nothing is compared.
        apart: What is not compared because the baseline leaves it open; empty where that was asked for, or is nothing.
    """

    space: Space
    estimable: Estimable | None
    cheaper: tuple[Cheaper, ...]
    needs: Needs | None
    can_find: CanFind | None
    apart: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        space = self.space
        return {
            "parameters": [{"name": one.name, "values": one.levels} for one in space.factors],
            "configurations": space.configurations,
            "possible": space.possible,
            "runs": space.runs,
            "repeats": space.repeats,
            "estimable": estimable_to_json(self.estimable),
            "cheaper": [one.to_json() for one in self.cheaper],
            "needs": dict(vars(self.needs)) if self.needs else None,
        }


def advise(spec: ExperimentSpec, tasks: Sequence[Task], can_find: CanFind | None) -> Advice:
    """Work out what can be said of a design."""
    by_key = {canonical_json([task.case, task.parameters]): _combination(task) for task in tasks}
    grid = list(by_key.values())
    ranged = [system for system, _, _ in spec.metrics.primary.ranges]
    systems = system_parameters(grid, spec.baseline, spec.type, ranged)
    space = space_of(grid, len(tasks), systems)
    cheaper = cheaper_than(space, searches=spec.type in SEARCHES and not any(one.name == CASE for one in space.factors))
    return Advice(space, find_estimable(grid, space), cheaper, _needs(spec, can_find), can_find, _apart(spec, systems))


def _apart(spec: ExperimentSpec, systems: Sequence[str]) -> str:
    """Say that a parameter which the baseline leaves open keeps its values apart, where nothing asked for that."""
    left = [name for name in systems if name not in (spec.baseline or {})]
    if not left or not spec.baseline or spec.type in OVER_SYSTEMS or spec.metrics.primary.ranges:
        return ""
    metric, names = spec.metrics.primary.name, " and ".join(left)
    return (
        f"the baseline leaves {names} open: each value of {names} has a baseline of its own, and {metric} is not "
        f"compared between them. To compare them, name {names} in baseline:"
    )


def _combination(task: Task) -> Combination:
    return {**task.parameters, **({CASE: task.case} if task.case is not None else {})}


def _needs(spec: ExperimentSpec, can_find: CanFind | None) -> Needs | None:
    worth = spec.metrics.primary.meaningful
    if worth is None or can_find is None or can_find.smallest == float("inf"):
        return None
    known = can_find.spread
    spread = known.sigma / abs(known.mean) if known and known.mean else None
    is_stored = bool(spec.analysis.baseline_from)
    seeds = seeds_needed(can_find.design, worth / spread, is_baseline_stored=is_stored) if spread else None
    return Needs(worth, spread, seeds, worth / can_find.smallest)


def describe_advice(advice: Advice) -> tuple[str, ...]:
    """Say it in three or four lines; in one where nothing varies."""
    space = advice.space
    if not space.factors:
        alone = "the spread between seeds, and no comparison" if space.runs > 1 else "one value, without a spread"
        tells = "compared with stored runs" if advice.can_find else alone
        return (f"design: one configuration, {counted(space.runs, 'run')}: {tells}", *_needs_line(advice))
    lines = [_size(space), *([f"  {advice.apart}"] if advice.apart else []), *_estimable_line(advice)]
    if advice.cheaper:
        told = [f"{one.name} {one.runs:g}" for one in advice.cheaper]
        lines.append(f"cheaper, to explore (runs): {', '.join(told)}; --advice says what each gives up")
    return (*lines, *_needs_line(advice))


def describe_all(advice: Advice) -> tuple[str, ...]:
    """The same with every design, what it gives up, how to ask for it and where it is described."""
    short = [line for line in describe_advice(advice) if not line.startswith("cheaper")]
    return (*short, *_designs(advice))


def _designs(advice: Advice) -> Iterator[str]:
    if advice.cheaper:
        yield f"cheaper than {counted(advice.space.runs, 'run')}:"
    for one in advice.cheaper:
        worth = "the worth of " if one.name == "successive halving" else ""
        yield (
            f"  {one.name}: {counted(one.configurations, 'configuration')}, {worth}{one.runs:g} runs. "
            f"Does not tell {one.gives_up}. How: {one.how} ({one.source})"
        )


def _size(space: Space) -> str:
    number, is_whole = counted(space.configurations, "configuration"), space.configurations == space.possible
    is_drawn = not is_whole and any(one.is_slope for one in space.factors)  # each value once: no grid to speak of
    if not is_whole and not is_drawn and len(space.factors) > 1:
        number += f" of {space.possible:,} possible"
    shape = f"{described(space.factors)} = " if 2 <= len(space.factors) <= 4 and not is_drawn else ""
    if len(space.factors) == 1:
        (one,) = space.factors
        number = counted(one.levels, "case") if one.name == CASE else f"{one.levels} values of {one.name}"
    elif not shape:
        number += f" over {few([one.name for one in space.factors])}"
    each = f" × {counted(round(space.seeds), 'seed')}" if space.runs % space.configurations == 0 else ""
    told = f"; {counted(space.repeats, 'repeat')} for the spread" if space.repeats else "; no repeat tells the spread"
    return f"design: {shape}{number}{each} = {counted(space.runs, 'run')}{told}"


def _estimable_line(advice: Advice) -> Iterator[str]:
    found = advice.estimable
    if found is None:
        yield "estimable: not computed for so many configurations or values"
        return
    if len(advice.space.factors) == 1:
        return
    told = []
    if found.effects:
        told.append(f"the effect of {few(found.effects)}")
    if found.of_pairs:
        every = "the interaction of every pair" if found.of_pairs > 1 else "how they act together"
        some = f"for {len(found.pairs)} of {found.of_pairs} pairs how they act together"
        told.append(every if len(found.pairs) == found.of_pairs else some if found.pairs else f"not {every}")
    if found.confounded:
        told.append(f"not the effect of {few(found.confounded)}, because others change with it")
    yield f"estimable: {'; '.join(told)}"


def _needs_line(advice: Advice) -> Iterator[str]:
    needs = advice.needs
    if needs is None or advice.can_find is None:
        return
    worth, planned = f"{100 * needs.meaningful:g} %", advice.can_find.design.seeds
    if needs.spread is None:
        yield (
            f"worth having is {worth}: {counted(planned, 'seed')} find it where seeds alone spread by at most "
            f"{rounded(100 * (needs.most_spread or 0), 2)} % of the mean"
        )
    elif needs.seeds is None:
        yield f"worth having: {worth}; even {MOST_SEEDS} seeds would miss it, and {planned} are planned"
    elif needs.seeds <= planned:
        yield f"worth having is {worth}: {counted(needs.seeds, 'seed')} would find it, there are {planned}"
    else:
        yield f"worth having is {worth}: it takes {counted(needs.seeds, 'seed')} to find it, there are {planned}"
