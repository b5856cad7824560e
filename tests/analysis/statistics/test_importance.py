"""Importance of parameters against statsmodels' analysis of variance, and against grids whose answer is known."""

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.importance import Importance, analyse_importance, make_factor

GRID = list(product((4, 8, 16, 32), (1e-4, 2e-4), ("x", "y", "z")))


def make_runs(seeds: int = 3) -> tuple[dict[str, list[Any]], Any, Any]:
    """Rank lowers the error, the rate matters on system x only, and systems are alike otherwise."""
    rng = np.random.default_rng(0)
    rows = [cell for cell in GRID for _ in range(seeds)]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("rank", "rate", "system"))}
    values = np.array([10 - 0.5 * math.log2(rank) + (system == "x") * (rate == 1e-4) for rank, rate, system in rows])
    return columns, np.repeat(np.arange(len(GRID)), seeds), values + rng.normal(0, 0.3, len(rows))


def analysed(columns: dict[str, list[Any]], numbers: Any, values: Any, goal: str = "min") -> Importance:
    """Analyse what has to be analysable."""
    found = analyse_importance(columns, numbers, values, goal)
    assert found is not None
    return found


def test_sums_of_squares_and_f_tests_are_those_of_statsmodels() -> None:
    """On a full grid with repeats p and ω² of parameters and pairs are those of statsmodels' type II table."""
    from statsmodels.formula.api import ols  # half a second, and every process of pytest reads this file
    from statsmodels.stats.anova import anova_lm

    columns, numbers, values = make_runs()
    model = ols("y ~ C(rank) * C(rate) * C(system)", pd.DataFrame({**columns, "y": values})).fit()
    table = anova_lm(model, typ=2)
    error = table.loc["Residual", "sum_sq"] / table.loc["Residual", "df"]
    total = ((values - values.mean()) ** 2).sum()
    found = analysed(columns, numbers, values)
    told = {f"C({one.name})": one for one in found.parameters}
    told |= {f"C({one.names[0]}):C({one.names[1]})": one for one in found.interactions}  # type: ignore[dict-item]

    for name, row in table.drop(["C(rank):C(rate):C(system)", "Residual"]).iterrows():
        omega = (row["sum_sq"] - row["df"] * error) / (total + error)
        assert told[str(name)].p == pytest.approx(row["PR(>F)"], rel=1e-9, abs=1e-15)
        assert told[str(name)].share == pytest.approx(max(0.0, omega), abs=1e-9)


def test_grid_with_holes_agrees_with_statsmodels() -> None:
    """With failed runs the means of levels are those of statsmodels' additive model, other levels weighted alike."""
    from statsmodels.formula.api import ols

    columns, numbers, values = make_runs(seeds=1)
    values[[0, 5, 7, 13]] = np.nan
    kept = np.isfinite(values)
    data = pd.DataFrame({**columns, "y": values})[kept]
    model = ols("y ~ C(rank, Sum) + C(rate, Sum) + C(system, Sum)", data).fit()
    weights = np.zeros(7)
    weights[[0, 1]] = 1.0
    first = model.t_test(weights)
    found = {one.name: one for one in analysed(columns, numbers, values).parameters}["rank"].levels[0]
    low, high = first.conf_int()[0]

    assert found.mean == pytest.approx(float(first.effect[0]), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_what_matters_comes_first_with_its_optimum() -> None:
    """Rank leads, its best value lies on the edge, and the improvement is against the mean of the other values."""
    found = analysed(*make_runs())
    rank = found.parameters[0]
    means = [one.mean for one in rank.levels]

    assert rank.name == "rank"
    assert [one.value for one in rank.levels] == [4, 8, 16, 32]
    assert (rank.best, rank.on_edge) == (3, True)
    assert rank.improvement_percent == pytest.approx(100 * (1 - means[3] / np.mean(means[:3])))
    assert rank.p_best is not None
    assert rank.p_best < 0.001
    assert rank.low < rank.share < rank.high


def test_goal_max_turns_the_optimum_around() -> None:
    """With a goal of max the smallest rank is best, by the same means."""
    low, high = analysed(*make_runs()), analysed(*make_runs(), goal="max")

    assert high.parameters[0].best == 0
    assert high.parameters[0].levels == low.parameters[0].levels
    assert (high.parameters[0].improvement_percent or 0) > 0


def test_interaction_is_found_where_it_is() -> None:
    """The pair that depends on each other leads, with the means of its six cells; the others are near 0."""
    found = analysed(*make_runs())
    first, *others = found.interactions

    assert first.names == ("rate", "system")
    assert (first.p or 1.0) < 1e-4
    assert len(first.cells) == 6
    assert first.cells[0, 0] - first.cells[1, 0] == pytest.approx(1.0, abs=0.3)
    assert all(one.share < 0.02 for one in others)


def test_interval_of_a_share_inverts_the_noncentral_f() -> None:
    """One factor: at the ends of its interval the observed F is the upper and the lower quantile."""
    rng = np.random.default_rng(1)
    column = [level for level in range(3) for _ in range(5)]
    values = np.array(column) + rng.normal(size=15)
    found = analysed({"a": column}, column, values).parameters[0]
    f = stats.f_oneway(*values.reshape(3, 5)).statistic
    low, high = (15 * share / (1 - share) for share in (found.low, found.high))

    assert stats.ncf.cdf(f, 2, 12, high) == pytest.approx(0.025, abs=1e-6)
    assert stats.ncf.cdf(f, 2, 12, low) == pytest.approx(0.975, abs=1e-6)


def test_unit_and_offset_of_the_metric_change_no_share() -> None:
    """Seconds or milliseconds, from 0 or from a million: shares, p and order stay, means follow."""
    columns, numbers, values = make_runs()
    one, other = analysed(columns, numbers, values), analysed(columns, numbers, 1e6 + 1000 * values)

    for mine, theirs in zip(one.parameters, other.parameters, strict=True):
        assert (mine.name, mine.share, mine.p) == (theirs.name, pytest.approx(theirs.share), pytest.approx(theirs.p))
        assert 1e6 + 1000 * mine.levels[0].mean == pytest.approx(theirs.levels[0].mean)


def test_without_repeats_interactions_are_not_told_from_chance() -> None:
    """One seed each: single effects are judged by what they leave unexplained, no interaction is claimed."""
    found = analysed(*make_runs(seeds=1))

    assert found.interactions == ()
    assert found.noise is None
    assert "no configuration was repeated" in found.warning


def test_few_runs_warn() -> None:
    """Six runs of three values leave three degrees of freedom: a warning, as are two runs of a value and lost ones."""
    column = [1, 1, 2, 2, 3, 3, 3]
    found = analysed({"a": column}, column, [1.0, 1.1, 2.0, 2.2, 3.0, 3.1, math.nan])

    assert "only 3 degrees of freedom" in found.warning
    assert "based on only 2 runs" in found.warning
    assert "1 of 7 runs gave no value" in found.warning


def test_sampled_numbers_are_cut_into_parts() -> None:
    """Forty different rates become four parts of ten, named by their range, in order."""
    rates = np.random.default_rng(0).uniform(1e-5, 1e-2, 40).tolist()
    factor = make_factor("rate", rates)
    assert factor is not None

    assert np.bincount(factor.codes).tolist() == [10, 10, 10, 10]
    assert factor.is_grouped
    assert factor.values[0] == f"{min(rates):.3g} to {sorted(rates)[9]:.3g}"
    assert all(factor.codes[place] == 3 for place in np.argsort(rates)[-10:])


@pytest.mark.parametrize(
    "column", [[1, 1, 1], [1, 2, None], [1.0, 2.0, math.nan], [f"case {number}" for number in range(40)]]
)
def test_what_is_no_factor_is_left_out(column: list[Any]) -> None:
    """A constant, a parameter some runs lack, and forty different texts are not analysed."""
    assert make_factor("a", column) is None


def test_nothing_to_analyse() -> None:
    """Nothing varied, equal values, or more effects than runs: no analysis, no crash."""
    assert analyse_importance({"a": [1, 1]}, [0, 0], [1.0, 2.0], "min") is None
    assert analyse_importance({"a": [1, 2, 2]}, [0, 1, 1], [1.0, 1.0, 1.0], "min") is None
    assert analyse_importance({"a": [1, 2]}, [0, 1], [1.0, 2.0], "min") is None


def test_runs_without_chance_have_shares_and_no_test() -> None:
    """Where equal configurations give equal values the share is all, and nothing is divided by no variance."""
    column = [1, 1, 2, 2, 3, 3]
    found = analysed({"a": column}, column, [0.1, 0.1, 0.2, 0.2, 0.7, 0.7]).parameters[0]

    assert (found.share, found.p, found.p_best) == (pytest.approx(1.0), None, None)


def test_parameters_that_change_together_are_one() -> None:
    """Zipped, or settled by another: neither had a share of what both do; the one that stays has all of it."""
    rng = np.random.default_rng(0)
    rate = np.repeat([1, 2, 3, 4], 6)
    wide = np.tile([8, 16], 12)
    columns = {"half": (rate > 2).tolist(), "rate": rate.tolist(), "decay": (10 * rate).tolist(), "wide": wide.tolist()}
    values = rate + 0.1 * rng.normal(size=24)
    found = analyse_importance(columns, 10 * rate + wide, values, "min")
    alone = analyse_importance({name: columns[name] for name in ("rate", "wide")}, 10 * rate + wide, values, "min")

    assert found is not None
    assert alone is not None
    assert found.parameters == alone.parameters
    assert found.parameters[0].name == "rate"
    assert found.parameters[0].share > 0.9
    told = "it changes together with rate: the effect shown for that one is the effect of both"
    assert found.left_out == (("half", told), ("decay", told))


def test_a_parameter_that_several_settle_is_left_out() -> None:
    """Its values follow from two others together: no single one stands for it."""
    rng = np.random.default_rng(1)
    grid = [(a, b) for a in (0, 1) for b in (0, 1) for _ in range(4)]
    columns = {"a": [a for a, _ in grid], "b": [b for _, b in grid], "sum": [a + b for a, b in grid]}
    found = analyse_importance(columns, [2 * a + b for a, b in grid], rng.normal(size=16), "min")

    assert found is not None
    assert [name for name, _ in found.left_out] == ["b"]
    assert "cannot be separated" in found.left_out[0][1]
