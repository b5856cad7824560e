"""What a design can estimate, and which cheaper ones there are: arithmetic before anything runs. Pure.

A parameter's effect can be estimated where its columns add their whole number to the rank of the linear model that
holds the others (Searle 1971); how two act together likewise, with their products. Values that are words count as
levels, numbers with many values as a slope. Cheaper designs come with their runs and with what they give up:

- one at a time: each parameter moved by itself from the baseline (Daniel 1973; Box, Hunter and Hunter 2005, ch. 5: in
  the factorial every run tells of every parameter);
- Latin hypercube (McKay, Beckman and Conover 1979), ten points a parameter (Loeppky, Sacks and Welch 2009);
- Sobol points, a power of two (Sobol' 1967; Owen 2020), the fewest that a curve in each parameter needs;
- successive halving with a third kept at each rung (Jamieson and Talwalkar 2016; Li et al. 2018).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from math import ceil, floor, log, log2, prod, sqrt
from statistics import NormalDist
from typing import Any

from hpc.core.experiment.grid import Combination
from hpc.core.experiment.values import value_key
from hpc.core.immutable import immutable, replace
from hpc.core.question.baseline import names_set_by_case, varying_names
from hpc.core.question.detectable import POWER, Design

MOST_ROWS = 400
MOST_COLUMNS = 90
"""Beyond these the rank is not worked out: it would take longer than planning."""
MANY_LEVELS = 5
"""From so many different numbers on a parameter is a slope."""
KEPT = 3
"""Successive halving keeps one in so many."""
A_PARAMETER = 10
"""Points of a Latin hypercube for each parameter."""
MOST_SEEDS = 200
_TINY = 1e-9


@immutable
class Factor:
    """A parameter that varies.

    Attributes:
        name: Its name.
        levels: How many values it has.
        is_number: Whether all of them are numbers, so that values between them mean something.
        is_system: Whether it tells systems apart: each is asked of, and none is chosen.
    """

    name: str
    levels: int
    is_number: bool
    is_system: bool = False

    @property
    def is_slope(self) -> bool:
        """Whether it counts as one number: a level of its own for each value would leave nothing to compare."""
        return self.is_number and self.levels > MANY_LEVELS

    @property
    def columns(self) -> int:
        """What its effect takes in a linear model."""
        return 1 if self.is_slope else self.levels - 1


@immutable
class Space:
    """A design: its configurations, with their runs.

    Attributes:
        factors: Parameters that vary; what a named case sets belongs to the case.
        configurations: How many.
        possible: How many the values would make if all were combined.
        runs: Tasks, seeds included.
    """

    factors: tuple[Factor, ...]
    configurations: int
    possible: int
    runs: int

    @property
    def systems(self) -> int:
        """On how many systems everything is asked."""
        return prod(one.levels for one in self.factors if one.is_system)

    @property
    def chosen(self) -> tuple[Factor, ...]:
        """Parameters of which a value is chosen."""
        return tuple(one for one in self.factors if not one.is_system)

    @property
    def seeds(self) -> float:
        """Runs of a configuration, on average."""
        return self.runs / self.configurations

    @property
    def repeats(self) -> int:
        """Runs beyond the first of each configuration: what chance alone does is seen in them."""
        return self.runs - self.configurations


@immutable
class Estimable:
    """What a design can tell of its parameters.

    Attributes:
        effects: Parameters whose own effect can be told.
        confounded: Those whose effect cannot, because others change with them.
        pairs: Pairs of which it can be told how they act together.
        of_pairs: How many pairs there are.
    """

    effects: tuple[str, ...]
    confounded: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    of_pairs: int


@immutable
class Cheaper:
    """A design that costs less than the planned one.

    Attributes:
        name: What it is called.
        configurations: How many.
        runs: Whole runs that it costs, seeds included; of halving the worth of that many.
        gives_up: What it cannot tell, as it is said after "not".
        how: How it is asked for in the YAML, or by hand.
        source: Where it is described.
    """

    name: str
    configurations: int
    runs: float
    gives_up: str
    how: str
    source: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dict(vars(self))


def space_of(grid: Sequence[Combination], runs: int, systems: Collection[str] = ()) -> Space:
    """Count a design.

    Args:
        grid: Its configurations.
        runs: Tasks, seeds included.
        systems: Parameters that tell systems apart.
    """
    by_case = set(names_set_by_case(grid))
    names = [name for name in varying_names(grid) if name not in by_case]
    factors = tuple(_factor(name, [one.get(name) for one in grid], is_system=name in systems) for name in names)
    return Space(factors, len(grid), prod(factor.levels for factor in factors), runs)


def _factor(name: str, values: Sequence[Any], *, is_system: bool) -> Factor:
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return Factor(name, len({value_key(value) for value in values}), is_number, is_system)


# What can be estimated


def find_estimable(grid: Sequence[Combination], space: Space) -> Estimable | None:
    """Work out what the configurations tell apart; None where there is nothing, or too much to work it out."""
    factors = space.factors
    pairs = list(combinations(factors, 2))
    named = tuple((one.name, other.name) for one, other in pairs)
    if not factors or space.configurations == space.possible:
        return Estimable(tuple(one.name for one in factors), (), named, len(named)) if factors else None
    width = 1 + sum(one.columns for one in factors)
    if (
        len(grid) > MOST_ROWS
        or width + max((one.columns * two.columns for one, two in pairs), default=0) > MOST_COLUMNS
    ):
        return None
    mean = [[1.0] * len(grid)]
    blocks = {one.name: _columns(grid, one) for one in factors}
    effects = [
        one.name for one in factors
        if _adds(blocks[one.name], [*mean, *_chained(blocks[name] for name in blocks if name != one.name)])
    ]  # fmt: skip
    alone = [*mean, *_chained(blocks.values())]
    together = tuple((one, two) for one, two in named if _adds(_products(blocks[one], blocks[two]), alone))
    told = tuple(one.name for one in factors if one.name not in effects)
    return Estimable(tuple(effects), told, together, len(named))


def _columns(grid: Sequence[Combination], factor: Factor) -> list[list[float]]:
    """A parameter in the linear model: one column a level but the first, or one of the numbers themselves."""
    values = [one.get(factor.name) for one in grid]
    if factor.is_slope:
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        low, high = min(numbers), max(numbers)
        return [[(number - low) / (high - low) for number in numbers]]
    keys = [value_key(value) for value in values]
    return [[1.0 if key == level else 0.0 for key in keys] for level in list(dict.fromkeys(keys))[1:]]


def _products(ones: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[a * b for a, b in zip(one, other, strict=True)] for one in ones for other in others]


def _chained(blocks: Iterable[Sequence[list[float]]]) -> list[list[float]]:
    return [column for block in blocks for column in block]


def _adds(block: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> bool:
    """Whether a block's columns are free of each other and of the others'."""
    basis: list[list[float]] = []
    for column in others:
        _extend(basis, column)
    return all(_extend(basis, column) for column in block)


def _extend(basis: list[list[float]], column: Sequence[float]) -> bool:
    """Add a column to an orthonormal basis; False where it lies in it already (Gram and Schmidt, twice)."""
    left = list(column)
    for _ in range(2):
        for one in basis:
            share = sum(a * b for a, b in zip(left, one, strict=True))
            left = [a - share * b for a, b in zip(left, one, strict=True)]
    length = sqrt(sum(a * a for a in left))
    if length <= _TINY * max(1.0, sqrt(sum(a * a for a in column))):
        return False
    basis.append([a / length for a in left])
    return True


# Cheaper designs


def cheaper_than(space: Space, *, searches: bool = True) -> tuple[Cheaper, ...]:
    """The designs that cost less than the planned one, each with what it gives up; each on every system.

    Args:
        space: The planned one.
        searches: Whether the best configuration is looked for, so that others may be dropped on the way.
    """
    found = [_one_at_a_time(space), *(_drawn(space) if any(one.is_number for one in space.chosen) else ())]
    everywhere = [replace(one, configurations=one.configurations * space.systems) for one in found if one]
    fitting = [one for one in everywhere if one.configurations < space.configurations]
    counted = (replace(one, runs=round(one.configurations * space.seeds, 1)) for one in fitting)
    return (*counted, *(_halving(space) if searches else ()))


def _one_at_a_time(space: Space) -> Cheaper | None:
    if len(space.chosen) < 2:
        return None
    each = space.configurations / space.systems
    loses = ", ".join(f"{one.name} {sqrt(each / one.levels):.2g}" for one in space.chosen)
    return Cheaper(
        "one at a time",
        1 + sum(one.levels - 1 for one in space.chosen),
        0.0,
        "how parameters interact, nor an effect away from the baseline; its error is larger by the factor: " + loses,
        "sweep.cases: the baseline, and a case for each other value",
        "Daniel 1973; Box, Hunter and Hunter 2005",
    )


def _drawn(space: Space) -> tuple[Cheaper, ...]:
    """Points drawn from the ranges."""
    curved = 1 + sum(min(one.levels - 1, 2) if one.is_number else one.levels - 1 for one in space.chosen)
    lost = "how one configuration compares with the baseline: it gives a trend over the ranges, not a verdict"
    return (
        Cheaper(
            "Sobol",
            2 ** ceil(log2(curved + 1)),
            0.0,
            lost,
            "sweep.sample with method: sobol; doubling the points keeps them even",
            "Sobol' 1967; Owen 2020",
        ),
        Cheaper(
            "Latin hypercube",
            A_PARAMETER * len(space.chosen),
            0.0,
            lost,
            "sweep.sample with method: lhs",
            "McKay, Beckman and Conover 1979; Loeppky, Sacks and Welch 2009",
        ),
    )


def _halving(space: Space) -> tuple[Cheaper, ...]:
    rungs = halving_rungs(space.configurations // space.systems)
    if len(rungs) < 2:
        return ()
    worth = space.systems * sum(count * share for count, share in rungs)
    steps = ", ".join(
        f"{count} at {'full length' if share == 1 else f'1/{round(1 / share)}'}" for count, share in rungs
    )
    return (
        Cheaper(
            "successive halving",
            space.configurations,
            round(worth * space.seeds, 1),
            "what the dropped ones would do, nor settings that start slowly; the best of many must be confirmed with "
            "new seeds",
            f"a short sweep, then the better third longer: {steps}",
            "Jamieson and Talwalkar 2016; Li et al. 2018",
        ),
    )


def halving_rungs(configurations: int, kept: int = KEPT) -> tuple[tuple[int, float], ...]:
    """The rungs of successive halving: how many configurations run, for which share of the whole length."""
    last = floor(log(configurations, kept) + 1e-9) if configurations > 1 else 0
    return tuple((max(configurations // kept**rung, 1), kept ** float(rung - last)) for rung in range(last + 1))


# How many seeds


def seeds_needed(
    design: Design, size: float, most: int = MOST_SEEDS, *, is_baseline_stored: bool = False
) -> int | None:
    """The fewest seeds of every configuration and its baseline that find a difference with a chance of 80 %.

    Args:
        design: What is compared; its seeds do not matter.
        size: The difference, in standard deviations between seeds.
        most: Beyond these None is given.
        is_baseline_stored: Whether the baseline has the runs it has, and gets no more.
    """
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - design.alpha / design.comparisons / 2) + normal.inv_cdf(POWER)
    # With the spread known the variance of the difference would be all there is: σ²/n + σ²/(runs of the baseline).
    left = (size / quantiles) ** 2 - (1 / design.baseline if is_baseline_stored else 0.0)
    if left <= 0:
        return None
    fewest = max(2, floor((1 if is_baseline_stored else 2) / left))
    for seeds in range(fewest, most + 1):
        kept = design.baseline if is_baseline_stored else seeds
        if replace(design, seeds=seeds, baseline=kept).smallest <= size:
            return seeds
    return None


def described(factors: Sequence[Factor]) -> str:
    """``4 lora_rank × 2 learning_rate``."""
    return " × ".join(f"{one.levels} {one.name}" for one in factors)


def estimable_to_json(found: Estimable | None) -> Mapping[str, Any] | None:
    """As plain JSON values."""
    if found is None:
        return None
    return {
        "effects": list(found.effects),
        "confounded": list(found.confounded),
        "pairs": [list(pair) for pair in found.pairs],
        "of_pairs": found.of_pairs,
    }
