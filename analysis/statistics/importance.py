"""Which parameter matters, which interact, what each of their values does, and where the optimum lies.

An analysis of variance over the runs: the share of the variance between runs that a parameter accounts for beyond what
chance would (ω², Hays 1963), by least squares with the others held equal (type II), so that grids with holes are read
fairly too. For a full grid with equal seeds that is the functional analysis of variance (Hutter, Hoos and Leyton-Brown
2014) computed from the grid itself instead of from a forest fitted to it. Numbers with many values (sampled spaces)
are cut into four parts of equal counts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from analysis.statistics.corrections import holm
from analysis.statistics.estimates import LEVEL

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MOST_LEVELS = 12
PARTS = 4
_MOST_PAIRS = 28
_FEW = 10


@dataclass(frozen=True)
class Level:
    """What one value of a parameter does.

    Attributes:
        value: The value; for a part of a sampled range its text ``1e-05 to 1e-04``.
        n: Runs with it.
        mean: Mean of the metric with the other parameters held equal (their values weighted alike).
        low: Lower end of its interval.
        high: Upper end.
    """

    value: Any
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ParameterEffect:
    """What one parameter does to the metric.

    Attributes:
        name: The parameter.
        share: Share of the variance between runs that it accounts for (ω², 0 to 1).
        low: Lower end of the interval of the share.
        high: Upper end.
        p: Of the F test that it does nothing.
        p_adjusted: The same adjusted after Holm over all parameters and interactions.
        levels: Its values with their means, in order.
        best: Position of the best value in `levels`.
        improvement_percent: By how much the best value's mean is better than the mean of the others, in percent of it.
        p_best: Two-sided p-value of that difference, times the number of values it was chosen from (Bonferroni).
        on_edge: Whether the best of at least 3 numeric values is the smallest or the largest tried.
    """

    name: str
    share: float
    low: float
    high: float
    p: float | None
    levels: tuple[Level, ...]
    best: int
    improvement_percent: float | None
    p_best: float | None
    on_edge: bool
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Interaction:
    """How much the effect of one parameter depends on another.

    Attributes:
        names: Both parameters.
        share: Share of the variance between runs beyond their single effects (ω², 0 to 1).
        low: Lower end of its interval.
        high: Upper end.
        p: Of the F test that they do not interact.
        p_adjusted: The same adjusted after Holm over all parameters and interactions.
        cells: (position in the first's levels, in the second's) → mean of the runs there, where there are any.
    """

    names: tuple[str, str]
    share: float
    low: float
    high: float
    p: float | None
    cells: Mapping[tuple[int, int], float]
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Importance:
    """What the parameters do to one metric.

    Attributes:
        metric: The metric, with what was made of it where systems had to be made comparable.
        runs: Runs behind it.
        parameters: Most important first.
        interactions: Strongest first; of many parameters, pairs of the most important ones only.
        noise: Share of the variance between runs of one configuration (seeds); None where nothing was repeated.
        level: Coverage of the intervals.
        warning: Why to read it with care; empty when there is no reason.
        left_out: Swept parameters that are not analysed, each with the reason: (name, reason).
    """

    metric: str
    runs: int
    parameters: tuple[ParameterEffect, ...]
    interactions: tuple[Interaction, ...]
    noise: float | None
    level: float
    warning: str
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Factor:
    """A parameter as a factor.

    Attributes:
        name: The parameter.
        values: What each level is called.
        codes: Array of shape (runs,), the level of each run.
        is_numeric: Whether the levels have an order.
        is_grouped: Whether a level is a part of a range.
    """

    name: str
    values: tuple[Any, ...]
    codes: Ints
    is_numeric: bool
    is_grouped: bool = False


def analyse_importance(
    parameters: Mapping[str, Sequence[Any]],
    configuration: npt.ArrayLike,
    values: npt.ArrayLike,
    goal: str,
    *,
    metric: str = "",
    level: float = LEVEL,
    blocks: Collection[str] = (),
    has_zero: bool = True,
) -> Importance | None:
    """Analyse the variance of a metric over the parameters.

    Args:
        parameters: Name → value of each run; a parameter that is missing in some run or does not vary is left out.
        configuration: Array of shape (runs,): number of each run's configuration.
        values: Array of shape (runs,); runs with NaN are left out.
        goal: ``min`` or ``max``.
        metric: Name of the metric.
        level: Coverage of the intervals.
        blocks: Parameters whose own effect was taken out of the values: only what they change of others is told.
        has_zero: Whether the metric has a zero that percentages can refer to.

    Returns:
        None where nothing varies, or where there are no more runs than effects to estimate; with parameters that are
        left out for another reason it names these at least.
    """
    all_values = np.asarray(values, dtype=np.float64)
    usable = np.isfinite(all_values)
    y, groups = all_values[usable], np.asarray(configuration)[usable]
    factors, left_out = _make_factors(parameters, usable, blocks)
    width = 1 + sum(len(one.values) - 1 for one in factors)
    if not factors or len(y) <= width or y.min() == y.max():
        return Importance(metric, len(y), (), (), None, level, "", left_out) if left_out else None
    scale = float(np.ptp(y))
    model = _Model.fit((y - y.mean()) / scale, factors, groups)
    single = [model.share(model.terms[place], level) for place in range(len(factors))]
    order = sorted(range(len(factors)), key=lambda place: (-single[place].share, place))
    effects = [
        _effect(model, factors[place], place, single[place], y, goal, level)
        for place in order
        if factors[place].name not in blocks
    ]
    if not has_zero:
        effects = [replace(one, improvement_percent=None) for one in effects]
    leading = sorted(order[: _leading(len(factors))])
    pairs = [pair for pair in (model.interaction(*two) for two in combinations(leading, 2)) if pair]
    interactions = [_interaction(factors, pair, model.share(pair.term, level), y) for pair in pairs]
    effects, interactions = _adjust(effects, interactions)
    return Importance(
        metric=metric,
        runs=len(y),
        parameters=tuple(effects),
        interactions=tuple(sorted(interactions, key=lambda one: (-one.share, one.names))),
        noise=model.noise_share,
        level=level,
        warning=_warning(model, factors, usable),
        left_out=left_out,
    )


def _make_factors(
    parameters: Mapping[str, Sequence[Any]], usable: npt.NDArray[np.bool_], blocks: Collection[str]
) -> tuple[list[Factor], tuple[tuple[str, str], ...]]:
    """Factors of the usable runs whose effects can be told apart; and the other parameters, each with the reason."""
    named = (
        (name, [one for one, keep in zip(column, usable, strict=True) if keep]) for name, column in parameters.items()
    )
    made = {name: (make_factor(name, column), column) for name, column in named}
    factors, tied = _tell_apart([factor for factor, _ in made.values() if factor], blocks)
    reasons = ((name, _why_left_out(parameters[name], made[name][1])) for name, (one, _) in made.items() if one is None)
    return factors, (*((name, reason) for name, reason in reasons if reason), *tied)


def _adjust(
    effects: Sequence[ParameterEffect], interactions: Sequence[Interaction]
) -> tuple[list[ParameterEffect], list[Interaction]]:
    """Adjust the p-values of all of them together: they are one family."""
    adjusted = iter(holm([*(one.p for one in effects), *(one.p for one in interactions)]))
    return (
        [replace(one, p_adjusted=next(adjusted)) for one in effects],
        [replace(one, p_adjusted=next(adjusted)) for one in interactions],
    )


def _tell_apart(factors: Sequence[Factor], blocks: Collection[str]) -> tuple[list[Factor], list[tuple[str, str]]]:
    """Keep the factors whose effects can be told apart: each adds a column to the design for each level but one.

    Parameters that change together (`sweep.zip`) would each get a part of what they do together. The first stays, and
    the one with more levels before one that follows from it; blocks stay before others.

    Returns:
        Those that stay, in their order, and the others with the reason.
    """
    order = sorted(factors, key=lambda one: (one.name not in blocks, -len(one.values)))
    design, kept, tied = np.ones((len(factors[0].codes), 1)) if factors else np.ones((0, 1)), list[Factor](), {}
    for one in order:
        grown = np.concatenate([design, _sum_coded(one.codes, len(one.values))], axis=1)
        if _span(np.unique(grown, axis=0)).shape[1] == grown.shape[1]:
            design, kept = grown, [*kept, one]
        else:
            tied[one.name] = _why_tied(one, kept)
    return [one for one in factors if one in kept], [(one.name, tied[one.name]) for one in factors if one.name in tied]


def _why_tied(one: Factor, kept: Sequence[Factor]) -> str:
    """Say which parameter settles the value of another; of several together there is no name."""
    for other in kept:
        if len(set(zip(other.codes.tolist(), one.codes.tolist(), strict=True))) == len(other.values):
            return f"it changes together with {other.name}: the effect shown for that one is the effect of both"
    return "its effect cannot be separated from that of the others"


def _why_left_out(asked: Sequence[Any], column: Sequence[Any]) -> str:
    """Say why a parameter is no factor; empty where it never varied.

    Args:
        asked: Its value in every run.
        column: Its value in the runs that gave one of the metric.
    """
    texts = set(map(repr, column))
    if len(set(map(repr, asked))) < 2:
        return ""
    if len(texts) < 2:
        return "only runs with one of its values gave a result"
    if any(value is None or value != value for value in column):  # noqa: PLR0124  NaN is not itself
        return "some runs do not have it"
    if len(texts) > MOST_LEVELS:
        return f"it has {len(texts)} non-numeric values; at most {MOST_LEVELS} can be analysed"
    return "almost all runs have the same value of it"


def make_factor(name: str, column: Sequence[Any]) -> Factor | None:
    """Make a factor of a parameter's values, one per run.

    Returns:
        None where the value is missing in some run, where it does not vary, or where too many texts differ.
    """
    if any(value is None or value != value for value in column):  # noqa: PLR0124  NaN is not itself
        return None
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in column)
    distinct = sorted(set(column)) if is_numeric else list(dict.fromkeys(column))
    if len(distinct) < 2:
        return None
    if len(distinct) <= MOST_LEVELS:
        place = {value: number for number, value in enumerate(distinct)}
        codes = np.array([place[value] for value in column], dtype=np.int64)
        return Factor(name, tuple(distinct), codes, is_numeric)
    if not is_numeric:
        return None
    numbers = np.asarray(column, dtype=np.float64)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, PARTS + 1)[1:-1]))
    codes = np.searchsorted(edges, numbers, side="left").astype(np.int64)
    if codes.min() == codes.max():
        return None
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    parts = [numbers[codes == code] for code in range(codes.max() + 1)]
    return Factor(name, tuple(f"{part.min():.3g} to {part.max():.3g}" for part in parts), codes, is_numeric, True)


@dataclass(frozen=True, eq=False)
class _Term:
    """Part of the model: an orthonormal basis of shape (configurations, degrees of freedom)."""

    basis: Floats

    @property
    def df(self) -> int:
        return int(self.basis.shape[1])

    def squares(self, z: Floats) -> Floats:
        """Sum of squares the term explains, of weighted means along the last axis."""
        found: Floats = ((z @ self.basis) ** 2).sum(axis=-1)
        return found


@dataclass(frozen=True, eq=False)
class _Pair:
    """An interaction: which two factors, and its term."""

    places: tuple[int, int]
    term: _Term


@dataclass(frozen=True)
class _Share:
    share: float
    low: float
    high: float
    p: float | None


@dataclass(frozen=True, eq=False)
class _Model:
    """Main effects by least squares over configurations, weighted by their runs.

    Attributes:
        y: Values of the runs, sorted by configuration; mean 0 and range 1.
        starts: First run of each configuration.
        counts: Runs of each configuration.
        design: Array of shape (configurations, columns): intercept and sum-coded levels.
        columns: Which columns belong to each factor.
        terms: What each factor explains beyond the others.
        main: What all of them explain, the intercept included.
        is_repeated: Whether the error comes from repeated runs of a configuration, else from what the model misses.
    """

    y: Floats
    starts: Ints
    counts: Ints
    design: Floats
    columns: tuple[tuple[int, ...], ...]
    terms: tuple[_Term, ...]
    main: _Term
    is_repeated: bool

    @classmethod
    def fit(cls, y: Floats, factors: Sequence[Factor], groups: npt.ArrayLike) -> "_Model":
        order = np.argsort(np.asarray(groups), kind="stable")
        starts = np.flatnonzero(np.diff(np.asarray(groups)[order], prepend=np.asarray(groups).min() - 1))
        counts = np.diff(starts, append=len(y))
        blocks = [np.ones((len(starts), 1))] + [
            _sum_coded(one.codes[order][starts], len(one.values)) for one in factors
        ]
        edges = np.cumsum([0, *(block.shape[1] for block in blocks)])
        columns = tuple(tuple(range(edges[place], edges[place + 1])) for place in range(1, len(blocks)))
        design = np.concatenate(blocks, axis=1)
        weighted = design * np.sqrt(counts)[:, None]
        terms = []
        for mine in columns:
            others = [column for column in range(design.shape[1]) if column not in mine]
            terms.append(_beyond(weighted[:, list(mine)], _span(weighted[:, others])))
        exact = not any(one.is_grouped for one in factors)
        main = _Term(_span(weighted))
        return cls(y[order], starts, counts, design, columns, tuple(terms), main, exact and len(y) - len(starts) >= 3)

    @property
    def z(self) -> Floats:
        """Means of the configurations, weighted."""
        found: Floats = np.add.reduceat(self.y, self.starts) / np.sqrt(self.counts)
        return found

    @property
    def error_df(self) -> int:
        return int(len(self.y) - (len(self.starts) if self.is_repeated else self.main.df))

    @property
    def error(self) -> float:
        """Sum of squares that counts as chance."""
        explained = float((self.z**2).sum()) if self.is_repeated else float(self.main.squares(self.z))
        total = float((self.y**2).sum())
        # Less than that is rounding: runs of one configuration that are equal do not vary.
        return 0.0 if total - explained < 1e-15 * total else total - explained

    @property
    def variance(self) -> float:
        return self.error / self.error_df

    @property
    def noise_share(self) -> float | None:
        """Variance between runs of one configuration over the variance between all runs."""
        df = len(self.y) - len(self.starts)
        if df < 1:
            return None
        within = max(0.0, float((self.y**2).sum() - (self.z**2).sum()))
        return min(1.0, within / df / (float((self.y**2).sum()) / (len(self.y) - 1)))

    def interaction(self, first: int, second: int) -> _Pair | None:
        """What two factors do together beyond what each does; None where that cannot be told from chance."""
        if not self.is_repeated:
            return None
        left, right = (self.design[:, list(self.columns[place])] for place in (first, second))
        products = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1) * np.sqrt(self.counts)[:, None]
        term = _beyond(products, self.main.basis)
        return _Pair((first, second), term) if term.df else None

    def share(self, term: _Term, level: float) -> _Share:
        """ω² of a term (Hays 1963), its interval and F test.

        The interval takes the noncentralities at which the observed F is the upper and the lower quantile (Steiger
        2004), and sets them against the runs and what the other terms were found to explain. A bootstrap of the same
        share covers 10 points less at 3 seeds (tried: residuals with random signs).
        """
        squares, total = float(term.squares(self.z)), float((self.y**2).sum())
        estimate = (squares - term.df * self.variance) / (total + self.variance)
        share = min(1.0, max(0.0, estimate))
        if not term.df or self.variance == 0:
            return _Share(share, share, share, None)
        f = squares / term.df / self.variance
        runs = len(self.y)
        others = max(0.0, (total - squares) / self.variance - (runs - 1 - term.df)) + runs
        low, high = (_noncentrality(term.df, self.error_df, part, f) for part in ((1 + level) / 2, (1 - level) / 2))
        p = float(special.fdtrc(term.df, self.error_df, f))
        return _Share(share, min(share, low / (low + others)), max(share, high / (high + others)), p)

    def contrast(self, weights: Floats) -> tuple[float, float]:
        """Value and standard error of a linear combination of the coefficients."""
        weighted = self.design * np.sqrt(self.counts)[:, None]
        inverse = np.linalg.pinv(weighted.T @ weighted)
        value = float(weights @ inverse @ weighted.T @ self.z)
        return value, float(np.sqrt(max(0.0, self.variance * float(weights @ inverse @ weights))))

    def level_weights(self, place: int, level: int) -> Floats:
        """The combination that gives the mean of one level of a factor, the others' levels weighted alike."""
        weights = np.zeros(self.design.shape[1])
        weights[0] = 1.0
        mine = self.columns[place]
        weights[list(mine)] = _sum_coded(np.array([level]), len(mine) + 1)[0]
        return weights


def _noncentrality(df: int, error_df: int, part: float, f: float) -> float:
    """Noncentrality at which `part` of the noncentral F lies below f; 0 where even that of no effect has less there."""
    if special.fdtr(df, error_df, f) <= part:
        return 0.0
    high = 2.0 * df * f + 10.0
    while special.ncfdtr(df, error_df, high, f) > part:
        high *= 2
    return float(optimize.brentq(lambda at: special.ncfdtr(df, error_df, at, f) - part, 0.0, high))


def _sum_coded(codes: Ints, levels: int) -> Floats:
    """One column per level but the last, which is −1 in all: coefficients are deviations from the levels' mean."""
    coded = np.eye(levels)[:, :-1]
    coded[-1] = -1.0
    found: Floats = coded[codes]
    return found


def _span(columns: Floats) -> Floats:
    """Orthonormal basis of what columns span."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    basis: Floats = left[:, sizes > 1e-9 * sizes.max(initial=0.0)]
    return basis


def _beyond(columns: Floats, known: Floats) -> _Term:
    """What columns span that a basis does not."""
    rest = columns - known @ (known.T @ columns)
    left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    return _Term(left[:, sizes > 1e-9 * np.linalg.norm(columns)])


def _effect(
    model: _Model, factor: Factor, place: int, share: _Share, y: Floats, goal: str, level: float
) -> ParameterEffect:
    """Means of the levels, and how the best one stands out; in the metric's own unit."""
    scale, centre = float(np.ptp(y)), float(y.mean())
    quantile = float(special.stdtrit(model.error_df, (1 + level) / 2))
    weights = [model.level_weights(place, one) for one in range(len(factor.values))]
    told = [model.contrast(one) for one in weights]
    levels = tuple(
        Level(
            value,
            int((factor.codes == number).sum()),
            *(centre + scale * end for end in (mean, mean - quantile * error, mean + quantile * error)),
        )
        for number, (value, (mean, error)) in enumerate(zip(factor.values, told, strict=True))
    )
    means = np.array([one.mean for one in levels])
    best = int(np.argmin(means) if goal == "min" else np.argmax(means))
    others = [one for number, one in enumerate(weights) if number != best]
    difference, error = model.contrast(weights[best] - np.mean(others, axis=0))
    rest = float(np.delete(means, best).mean())
    gain = -difference * scale if goal == "min" else difference * scale
    p_best = None
    if error > 0:
        p_best = min(1.0, len(levels) * 2 * float(special.stdtr(model.error_df, -abs(difference) / error)))
    return ParameterEffect(
        name=factor.name,
        share=share.share,
        low=share.low,
        high=share.high,
        p=share.p,
        levels=levels,
        best=best,
        improvement_percent=100 * gain / abs(rest) if rest else None,
        p_best=p_best,
        on_edge=factor.is_numeric and len(levels) > 2 and best in (0, len(levels) - 1),
    )


def _interaction(factors: Sequence[Factor], pair: _Pair, share: _Share, y: Floats) -> Interaction:
    first, second = (factors[place] for place in pair.places)
    places = sorted(set(zip(first.codes.tolist(), second.codes.tolist(), strict=True)))
    cells = {cell: float(y[(first.codes == cell[0]) & (second.codes == cell[1])].mean()) for cell in places}
    return Interaction((first.name, second.name), share.share, share.low, share.high, share.p, cells)


def _leading(parameters: int) -> int:
    """How many of the most important parameters are paired: as many as give no more than 28 pairs."""
    return next(count for count in range(parameters, -1, -1) if count * (count - 1) // 2 <= _MOST_PAIRS)


def _warning(model: _Model, factors: Sequence[Factor], usable: npt.NDArray[np.bool_]) -> str:
    """Say what makes the analysis doubtful, from the numbers."""
    said = []
    if model.error_df < _FEW:
        said.append(
            f"only {model.error_df} {'degree of freedom is' if model.error_df == 1 else 'degrees of freedom are'} left "
            "to separate effects from chance: treat the order of the parameters as a hint"
        )
    if not model.is_repeated:
        said.append(
            "chance is estimated from what single effects do not explain, because no configuration was repeated or "
            "values were grouped: interactions count as chance"
        )
    fewest = min(int(np.bincount(one.codes).min()) for one in factors)
    if fewest < 3:
        said.append(f"a value is based on only {fewest} {'run' if fewest == 1 else 'runs'}")
    lost = int((~usable).sum())
    if lost:
        said.append(
            f"{lost} of {len(usable)} runs gave no value: where failure depends on a parameter, its effect looks "
            "smaller"
        )
    return "; ".join(said)
