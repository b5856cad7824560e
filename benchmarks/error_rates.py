"""How often the statistics are wrong: simulated error rates and coverages, written into ``docs/statistics.md``.

    python -m benchmarks.error_rates            measure, and write the tables into the page (a few minutes)
    python -m benchmarks.error_rates --quick    a tenth of the repetitions, printed and not written

Every table calls the functions the report calls. Values have mean 0 and standard deviation 1: normal, skewed
(exponential, skewness 2), heavy-tailed (Student's t with 3 degrees of freedom).
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.data.frame import ExperimentFrame
from analysis.findings.answer import answer_criterion
from analysis.statistics.comparisons import AnalysisPlan
from analysis.statistics.corrections import adjust
from analysis.statistics.effects import cohens_d, hedges_g, probability_greater
from analysis.statistics.estimates import bca_intervals, t_quantile
from analysis.statistics.importance import analyse_importance
from analysis.statistics.jackknife import Aggregate
from analysis.statistics.missing import Runs
from analysis.statistics.optimism import select_best
from analysis.statistics.rank_tests import friedman, nemenyi
from analysis.statistics.row_tests import equivalence_rows, exact_rows, paired_rows, welch_rows
from analysis.statistics.sequential import simulate_two_looks
from analysis.statistics.stochastic_order import almost_order
from analysis.statistics.systems import MethodOverSystems, compare_over_systems
from analysis.statistics.verdicts import power_of_equivalence, power_of_test, seeds_for_verdict, two_sigma_false_alarm
from benchmarks.rivals import AUTORANK_FEWEST, RIVALS
from hpc.core.layout import RunLayout
from hpc.core.question.ruling import Ruling

Floats = npt.NDArray[np.float64]
PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
REPETITIONS = 40_000
SIZES = (3, 5, 10)
ALPHA = 0.05
SEED = 20_261_121


@dataclass(frozen=True)
class Measured:
    """A simulated number.

    Attributes:
        value: What was measured.
        error: Its standard error; 0 for what was computed.
        text: How the page shows it.
        of: Repetitions of which it is a share; None for another number.
    """

    value: float
    error: float
    text: str
    of: int | None = None


Cell = str | Measured


@dataclass(frozen=True)
class Table:
    """One table of the page."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def markdown(self) -> str:
        lines = ["| " + " | ".join(self.head) + " |", "|" + "---|" * len(self.head)]
        lines += [
            "| " + " | ".join(one if isinstance(one, str) else one.text for one in row) + " |" for row in self.rows
        ]
        return "\n".join(lines)


DISTRIBUTIONS: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "skewed": lambda rng, shape: rng.standard_exponential(shape) - 1.0,
    "heavy-tailed": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3.0),
}


def measure_intervals(repetitions: int, rng: np.random.Generator) -> Table:
    """Coverage of the 95 % intervals of a mean."""
    rows: list[Sequence[Cell]] = []
    few = max(100, repetitions // 10)
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        runs = draw(rng, (repetitions, n))
        half = t_quantile(0.95, n - 1) * runs.std(axis=1, ddof=1) / np.sqrt(n)
        found = bca_intervals(list(runs[:few]), rng, resamples=1000)
        covered = np.mean([one is not None and one.low <= 0 <= one.high for one in found])
        rows.append([name, str(n), _rate(np.abs(runs.mean(axis=1)) <= half), _share(float(covered), few)])
    return Table(("values", "n", "t interval", "BCa bootstrap"), rows)


def measure_tests(repetitions: int, rng: np.random.Generator) -> Table:
    """False alarms at 5 % where configuration and baseline are the same."""
    rows: list[Sequence[Cell]] = []
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        ours, base, common = (draw(rng, (repetitions, n)) for _ in range(3))
        alone = exact_rows(ours, base, paired=False)
        together = exact_rows(ours, base, paired=True)
        tried: list[Floats | None] = [
            welch_rows(ours, base).p,
            welch_rows(3 * ours, base).p,
            welch_rows(ours + common, base + common).p,
            paired_rows(ours + common, base + common).p,
            alone["p_rank"],
            alone.get("p_permutation"),
            together["p_rank"],
            together.get("p_permutation"),
        ]
        rows.append([name, str(n), *("–" if p is None else _rate(p < ALPHA) for p in tried)])
    head = (
        "values", "n", "Welch", "Welch, one side 3 σ", "Welch, pairs alike", "paired t", "Mann–Whitney", "permutation",
        "Wilcoxon", "permutation of pairs",
    )  # fmt: skip
    return Table(head, rows)


def measure_families(repetitions: int, rng: np.random.Generator) -> Table:
    """Five configurations against one baseline."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 10)
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        runs = draw(rng, (count, 6, n))
        p = np.stack([welch_rows(runs[:, one], runs[:, 0]).p for one in range(1, 6)], axis=1)
        shifted = np.stack([welch_rows(runs[:, one] + 3.0 * (one < 3), runs[:, 0]).p for one in range(1, 6)], axis=1)
        holm = np.array([min(one or 1.0 for one in adjust(row, "holm")) for row in p.tolist()])
        bh = np.array([adjust(row, "bh") for row in shifted.tolist()], dtype=np.float64) < ALPHA
        false = (bh[:, 2:].sum(axis=1) / np.maximum(1, bh.sum(axis=1))).mean()
        rows.append([name, str(n), _rate(p.min(axis=1) < ALPHA), _rate(holm < ALPHA), _share(float(false), count)])
    return Table(("values", "n", "any, not adjusted", "any, Holm", "share of false finds, Benjamini–Hochberg"), rows)


def measure_held(repetitions: int, rng: np.random.Generator) -> Table:
    """How often any of many equal arms is called different from the baseline at 5 %."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 20)
    for (name, spreads, alike), (arms, n) in product(_FAMILIES, ((2, 3), (5, 3), (20, 3), (5, 5), (20, 5))):
        values = _sweeps(rng, (count, 1 + arms, n), name, spreads, alike)
        told = f"{name}, {spreads}" + (", seeds alike" if alike else "")
        rows.append([told, str(arms), str(n), *(_cell(rival, values) for rival in RIVALS)])
    return Table(("values, spreads", "arms", "seeds", *RIVALS), rows)


def measure_power(repetitions: int, rng: np.random.Generator) -> Table:
    """How often the one arm that is better is found among equal ones (normal values)."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 20)
    designs = (
        (2, 3, 4.0),
        (5, 3, 4.0),
        (20, 3, 4.0),
        (20, 3, 8.0),
        (2, 5, 2.0),
        (5, 5, 2.0),
        (20, 5, 3.0),
        (20, 10, 2.0),
    )
    for (arms, n, better), alike in product(designs, (False, True)):
        values = _sweeps(rng, (count, 1 + arms, n), "normal", "equal", alike)
        values[:, 1] += better
        told = [str(arms), str(n), f"{better:g} σ", "half of the variance" if alike else "nothing"]
        rows.append([*told, *(_cell(rival, values, first=True) for rival in RIVALS)])
    return Table(("arms", "seeds", "better by", "seeds have in common", *RIVALS), rows)


_FAMILIES = (
    ("normal", "equal", False),
    ("normal", "equal", True),
    ("skewed", "equal", False),
    ("heavy-tailed", "equal", False),
    ("normal", "baseline 3 σ", False),
    ("normal", "one arm 3 σ", False),
    ("normal", "every other arm 3 σ", False),
    ("normal", "from 1/3 to 3 σ", False),
    ("skewed", "from 1/3 to 3 σ", False),
    ("normal", "one arm 10 σ", False),
)


def _sweeps(rng: np.random.Generator, shape: tuple[int, int, int], name: str, spreads: str, alike: bool) -> Floats:
    """Equal arms; *alike*: half of the variance is the seed's."""
    of_arm = np.ones(shape[:2])
    if spreads == "from 1/3 to 3 σ":
        of_arm = np.exp(rng.uniform(-np.log(3), np.log(3), shape[:2]))
    elif spreads != "equal":
        wide = {"baseline": slice(1), "one arm": slice(-1, None), "every other arm": slice(1, None, 2)}
        which, _, size = spreads.removesuffix(" σ").rpartition(" ")
        of_arm[:, wide[which]] = float(size)
    draw = DISTRIBUTIONS[name]
    values = of_arm[:, :, None] * draw(rng, shape)
    return np.sqrt(0.5) * (values + draw(rng, (shape[0], 1, shape[2]))) if alike else values


def _cell(rival: str, values: Floats, *, first: bool = False) -> Cell:
    """How often a rival finds any arm, or the first."""
    if rival == "autorank" and values.shape[2] < AUTORANK_FEWEST:
        return "refuses"
    found = RIVALS[rival](values)
    return _rate(found[:, 0] if first else found.any(axis=1))


def measure_rule(repetitions: int, rng: np.random.Generator) -> Table:
    """False alarms of the 2σ rule, over all runs or over the shared seeds of a larger baseline."""
    sizes = ((3, 3, 0), (3, 5, 0), (3, 5, 3), (5, 5, 0), (10, 10, 0))
    exact = [two_sigma_false_alarm(*one) or 0.0 for one in sizes]
    rows: list[Sequence[Cell]] = [["computed (normal)", *(_share(one) for one in exact)]]
    for name, draw in DISTRIBUTIONS.items():
        cells: list[Cell] = [f"simulated, {name}"]
        for n, m, shared in sizes:
            ours, base = draw(rng, (repetitions, n)), draw(rng, (repetitions, m))
            compared = base[:, : shared or m].mean(axis=1)
            cells.append(_rate(np.abs(ours.mean(axis=1) - compared) >= 2 * base.std(axis=1, ddof=1)))
        rows.append(cells)
    names = (f"{n} / {m}" + (f", over the {shared} shared" if shared else "") for n, m, shared in sizes)
    return Table(("runs (configuration / baseline)", *names), rows)


def measure_looks(repetitions: int, rng: np.random.Generator) -> Table:
    """Two looks, with the level at which the test is read, tried on fresh experiments."""
    rows: list[Sequence[Cell]] = []
    designs = ((3, 2, (5, 5)), (3, 2, (3, 5)), (5, 5, (10, 10)))
    compared = {"one arm": (1, True), "5 arms, one model": (5, True), "no shared seeds": (1, False)}
    for (first, further, baseline), (told, (arms, paired)) in product(designs, compared.items()):
        play = partial(
            simulate_two_looks, first, further, baseline, rng, paired=paired, arms=arms, repetitions=repetitions
        )
        found = play()
        again = play(alpha=found.level)
        rows.append(
            [
                f"{first} + {further}",
                f"{baseline[0]} → {baseline[1]}" if baseline[0] != baseline[1] else str(baseline[0]),
                told,
                _share(found.continued, repetitions),
                _share(found.rule_error, repetitions),
                _share(found.test_error, repetitions),
                Measured(found.level, np.sqrt(ALPHA * (1 - ALPHA) / repetitions), f"{found.level:.3f}"),
                _share(again.test_error, repetitions),
            ]
        )
    head = (
        "seeds",
        "baseline",
        "compared",
        "second look",
        "2σ rule wrong",
        "test wrong at 0.05",
        "read at",
        "then wrong",
    )
    return Table(head, rows)


def measure_equivalence(repetitions: int, rng: np.random.Generator) -> Table:
    """EQUIVALENT at 5 %: margin 20 % of a baseline of 10, true difference at the margin and none."""
    rows: list[Sequence[Cell]] = []
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        cells: list[Cell] = [name, str(n)]
        for paired, shift in product((False, True), (2.0, 0.0)):
            ours, base = 10 + shift + draw(rng, (repetitions, n)), 10 + draw(rng, (repetitions, n))
            centre = base.mean(axis=1)
            p = equivalence_rows(ours - centre[:, None], base - centre[:, None], centre, 0.2, paired=paired)
            cells.append(_rate(p < ALPHA))
        rows.append(cells)
    return Table(
        ("values", "n", "Welch, at the margin", "Welch, equal", "paired, at the margin", "paired, equal"), rows
    )


def measure_effects(repetitions: int, rng: np.random.Generator) -> Table:
    """Coverage of the 95 % intervals of effect sizes."""
    rows: list[Sequence[Cell]] = []
    count = max(200, repetitions // 4)
    for (name, draw), n, effect in product(DISTRIBUTIONS.items(), SIZES, (0.0, 1.0)):
        ours, base = draw(rng, (count, n)) + effect, draw(rng, (count, n))
        many = draw(rng, (2, 1_000_000))
        truth = float(np.mean(many[0] + effect > many[1])) if effect else 0.5
        covered = [
            _rate((low <= true) & (true <= high))
            for (_, low, high), true in (
                (cohens_d(ours, base, 0.95), effect),
                (hedges_g(ours, base, 0.95), effect),
                (probability_greater(ours, base, 0.95), truth),
            )
        ]
        rows.append([name, str(n), f"{effect:g} σ", *covered])
    return Table(("values", "n", "true difference", "Cohen's d", "Hedges' g", "probability of improvement"), rows)


def measure_order(repetitions: int, rng: np.random.Generator) -> Table:
    """How often almost stochastic order calls a configuration better, by its two usual thresholds of ε_min."""
    rows: list[Sequence[Cell]] = []
    count = max(200, repetitions // 10)
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        cells: list[Cell] = [name, str(n)]
        for effect in (0.0, 1.0, 2.0):
            _, bound = almost_order(draw(rng, (count, n)) + effect, draw(rng, (count, n)), "max", 0.95)
            cells += [_rate(bound < threshold) for threshold in (0.5, 0.2)]
        rows.append(cells)
    told = ("equal", "better by 1 σ", "better by 2 σ")
    return Table(("values", "n", *(f"{one}, ε_min < {limit}" for one in told for limit in (0.5, 0.2))), rows)


def measure_seeds(repetitions: int, rng: np.random.Generator) -> Table:
    """Whether the seeds that are said to settle a comparison do, with 80 % chance (normal values, spread known)."""
    rows: list[Sequence[Cell]] = []
    for paired, (effect, margin) in product((True, False), ((1.0, None), (2.0, None), (0.0, 1.0), (0.5, 1.5))):
        variance = [2.0] if paired else [1.0, 1.0]
        n = seeds_for_verdict(effect, margin, variance, 2, ALPHA, paired=paired) or 0
        ours, base = 10 + effect + rng.standard_normal((repetitions, n)), 10 + rng.standard_normal((repetitions, n))
        test = paired_rows if paired else welch_rows
        settled = test(ours, base).p < ALPHA
        if margin:
            # The margin is a share of the baseline's mean in the report; here it is fixed, as in the power analysis.
            above, below = (
                test(ours + sign * margin, base, alternative=side).p for sign, side in ((1, "greater"), (-1, "less"))
            )
            settled |= np.maximum(above, below) < ALPHA
        rows.append(
            [
                "paired t" if paired else "Welch",
                f"{effect:g} σ",
                f"{margin:g} σ" if margin else "none",
                str(n),
                _share(_planned(effect, margin, variance, n, paired=paired)),
                _rate(settled),
            ]
        )
    return Table(("test", "true difference", "margin", "runs on each side", "computed chance", "simulated"), rows)


def measure_assurance(repetitions: int, rng: np.random.Generator) -> Table:
    """Chance of a paired t test with the seeds named after a pilot that knows the difference, but not the spread."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 40)
    for pilot, effect in product(SIZES, (1.0, 2.0)):
        variances = rng.chisquare(pilot - 1, count) / (pilot - 1)
        cells: list[Cell] = [str(pilot), f"{effect:g} σ"]
        for free in (None, pilot - 1):
            named = [seeds_for_verdict(effect, None, [one], pilot, ALPHA, paired=True, free=free) for one in variances]
            sizes = np.array([one or 1000 for one in named])
            reached = np.array([power_of_test(effect, [1.0], int(n), ALPHA, paired=True) for n in sizes])
            error = float(reached.std() / np.sqrt(count))
            cells.append(Measured(float(reached.mean()), error, f"{100 * reached.mean():.1f} %"))
        rows.append(cells)
    return Table(("pilot", "true difference", "spread taken as known", "averaged over the spread"), rows)


def _planned(effect: float, margin: float | None, variance: Sequence[float], n: int, *, paired: bool) -> float:
    found = power_of_test(effect, variance, n, ALPHA, paired=paired)
    equal = power_of_equivalence(effect, margin, variance, n, ALPHA, paired=paired) if margin else 0.0
    return max(found, equal)


def measure_selection(repetitions: int, rng: np.random.Generator) -> Table:
    """The best mean of k equal configurations, and what held-out runs say of it; the truth is 0, less is better."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 20)
    for (name, draw), n, k in product(DISTRIBUTIONS.items(), (3, 5), (2, 5, 20)):
        found = [select_best(list(draw(rng, (k, n))), "min", rng, resamples=1) for _ in range(count)]
        apparent = np.array([one.apparent for one in found if one])
        held_out = np.array([one.held_out for one in found if one], dtype=np.float64)
        # All are equal and 0: the optimism is what the best mean lies below that.
        covered = [
            one.optimism_low is not None and one.optimism_high is not None
            and one.optimism_low <= -one.apparent <= one.optimism_high
            for one in found if one
        ]  # fmt: skip
        rows.append([name, str(n), str(k), _bias(apparent), _bias(held_out), _rate(np.array(covered))])
    return Table(("values", "n", "configurations", "best mean", "held-out runs", "optimism covered"), rows)


def measure_firmness(repetitions: int, rng: np.random.Generator) -> Table:
    """How often one of k configurations would be "first again in 95 %", where all are equal and where one is better."""
    rows: list[Sequence[Cell]] = []
    count = max(200, repetitions // 20)
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        cells: list[Cell] = [name, str(n)]
        for k, common, better in ((2, 0.0, 0.0), (2, 2.0, 0.0), (5, 0.0, 0.0), (5, 0.0, 4.0)):
            firm = []
            for _ in range(count):
                runs = draw(rng, (k, n)) + common * draw(rng, (n,))
                runs[0] -= better
                found = select_best(list(runs), "min", rng, resamples=200)
                firm.append(found is not None and max(one.first for one in found.ranks) >= 0.95)
            cells.append(_rate(np.array(firm)))
        rows.append(cells)
    return Table(("values", "n", "2 equal", "2 equal, seeds alike", "5 equal", "one of 5 better by 4 σ"), rows)


def measure_importance(repetitions: int, rng: np.random.Generator) -> Table:
    """A grid of 4 × 3: a parameter that does nothing, and the interval of the share of one that does."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 10)
    grid = list(product(range(4), range(3)))
    for (name, draw), n in product(DISTRIBUTIONS.items(), SIZES):
        columns = {"acts": [a for a, _ in grid for _ in range(n)], "idle": [b for _, b in grid for _ in range(n)]}
        numbers = np.repeat(np.arange(len(grid)), n)
        signal = 0.6 * np.array(columns["acts"], dtype=np.float64)
        truth = signal.var() / (signal.var() + 1.0)
        alarms, chosen, covered = [], [], []
        for _ in range(count):
            found = analyse_importance(columns, numbers, signal + draw(rng, (len(numbers),)), "min")
            by_name = {one.name: one for one in found.parameters} if found else {}
            alarms.append((by_name["idle"].p or 0.0) < ALPHA)
            chosen.append((by_name["idle"].p_best or 0.0) < ALPHA)
            covered.append(by_name["acts"].low <= truth <= by_name["acts"].high)
        rows.append([name, str(n), *(_rate(np.array(one)) for one in (alarms, chosen, covered))])
    return Table(("values", "seeds", "idle parameter, F test", "idle parameter, best value", "share covered"), rows)


def measure_systems(repetitions: int, rng: np.random.Generator) -> Table:
    """How often the 95 % intervals over systems miss the truth, where method and baseline are alike and 1 σ apart.

    Values are logarithms times 10, so that what is printed are ratios.
    """
    rows: list[Sequence[Cell]] = []
    count = max(5, repetitions // 200)
    alike = [(f"{name}", draw, 0.0) for name, draw in DISTRIBUTIONS.items()]
    designs = (
        (2, (3, 3)),
        (2, (3, 5)),
        (2, (10, 10)),
        (4, (3, 3)),
        (4, (5, 5)),
        (10, (3, 3)),
        (10, (3, 5)),
        (10, (5, 5)),
    )
    values = [*alike, ("normal, seeds alike", DISTRIBUTIONS["normal"], 1.0)]
    truths = {
        (name, shift): _truth_of_pairs(draw, common, shift, rng)
        for name, draw, common in values
        for shift in (0.0, 1.0)
    }
    for (name, draw, common), (systems, sizes) in product(values, designs):
        if common and sizes[0] != sizes[1]:
            continue
        missed: list[Cell] = []
        wrong: list[bool] = []
        for shift in (0.0, 1.0):
            truth = truths[name, shift]
            hits = []
            for _ in range(count):
                one = _over_systems(draw, systems, sizes, shift, common, rng)
                found = (one.effect, one.iqm, one.improvement)
                hits.append([_misses(each, true) for each, true in zip(found, truth, strict=True)])
                wrong += [] if shift else [one.word != "INCONCLUSIVE"]
            missed += [_rate(column) for column in np.array(hits).T]
        rows.append([name, str(systems), f"{sizes[0]} / {sizes[1]}", *missed, _rate(np.array(wrong))])
    parts = ("mean ratio", "interquartile mean", "improvement")
    head = ("values", "systems", "runs", *(f"{one}, alike" for one in parts), *(f"{one}, 1 σ" for one in parts),
            "called different, alike")  # fmt: skip
    return Table(head, rows)


def _truth_of_pairs(
    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats],
    common: float,
    shift: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Mean, interquartile mean and share below 0 of the difference of two runs, of one system as of many."""
    ours, base = (draw(rng, (400_000,)) + common * draw(rng, (400_000,)) for _ in range(2))
    pairs = ours - shift - base
    return -shift, float(stats.trim_mean(pairs, 0.25)), float((pairs < 0).mean())


def _over_systems(
    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats],
    systems: int,
    sizes: tuple[int, int],
    shift: float,
    common: float,
    rng: np.random.Generator,
) -> MethodOverSystems:
    """One method against a baseline on systems with levels of their own, as the report has it."""
    runs: dict[str, dict[str, Runs]] = {"base": {}, "ours": {}}
    for system in range(systems):
        seeds = common * draw(rng, (max(sizes),))
        for name, n, moved in (("ours", sizes[0], shift), ("base", sizes[1], 0.0)):
            values = np.exp(system + 0.1 * (draw(rng, (n,)) + seeds[:n] - moved))
            runs[name][str(system)] = _plain_runs(values)
    found = compare_over_systems(runs, "base", "min", AnalysisPlan()).methods[1]
    # Back to σ: ratios are exp(0.1 σ).
    return replace(found, effect=_logged(found.effect), iqm=_logged(found.iqm))


def _logged(one: Aggregate | None) -> Aggregate | None:
    if one is None or one.low is None or one.high is None:
        return one
    value, low, high = (10 * float(np.log(end)) for end in (one.value, one.low, one.high))
    return Aggregate(value, low, high)


def _misses(one: Aggregate | None, truth: float) -> bool:
    return one is None or one.low is None or one.high is None or not one.low - 1e-9 <= truth <= one.high + 1e-9


def measure_gap(repetitions: int, rng: np.random.Generator) -> Table:
    """How often the 95 % interval of the optimality gap misses, where there is one (normal scores)."""
    rows: list[Sequence[Cell]] = []
    count = max(25, repetitions // 200)
    for systems, n in ((2, 3), (4, 3), (4, 5), (10, 5)):
        cells: list[Cell] = [str(systems), str(n)]
        for beyond in (-3.0, -1.0, 0.0, 1.0):
            # What a normal value lacks to 0 on average.
            truth = 0.1 * float(stats.norm.pdf(beyond) - beyond * stats.norm.sf(beyond))
            missed = []
            for values in 1 + 0.1 * (beyond + rng.standard_normal((count, systems, n))):
                by_system = {str(place): _plain_runs(one) for place, one in enumerate(values)}
                over = compare_over_systems(
                    {"base": by_system, "ours": by_system}, "base", "max", AnalysisPlan(),
                    ranges=dict.fromkeys(by_system, (0.0, 1.0)),
                )  # fmt: skip
                gap = over.methods[0].gap
                missed += [_misses(gap, truth)] if gap is not None and gap.low is not None else []
            cells.append(_rate(np.array(missed)))
        rows.append(cells)
    return Table(("systems", "runs", "3 σ below the end", "1 σ below", "at the end", "1 σ beyond"), rows)


def _plain_runs(values: Floats) -> Runs:
    return Runs(values, np.arange(len(values)), np.zeros(len(values), bool), np.full(len(values), np.nan))


def measure_ranks(repetitions: int, rng: np.random.Generator) -> Table:
    """False alarms at 5 % of Friedman's test as the report has it, and of any pair by the critical difference."""
    rows: list[Sequence[Cell]] = []
    count = max(100, repetitions // 20)
    for methods, systems in product((3, 5, 8), (3, 5, 10)):
        tried = [stats.rankdata(rng.standard_normal((systems, methods)), axis=1) for _ in range(count)]
        found = [friedman(one) for one in tried]
        apart = np.array([np.ptp(one.mean(axis=0)) for one in tried]) > nemenyi(methods, systems, ALPHA)
        alarms = np.array([one.p < ALPHA for one in found])
        rows.append([str(methods), str(systems), found[0].method, _rate(alarms), _rate(apart)])
    return Table(("methods", "systems", "p", "Friedman", "any pair (Nemenyi)"), rows)


CRITERIA = (
    "relative_change(arm=1) <= -5%",
    "relative_change(arm=1) <= -5% and p < 0.05",
    "verdict(arm=1) == WINNER",
    "any(relative_change <= -5%)",
    "any(relative_change <= -5% and adjusted_p < 0.05)",
)
_ARMS, _SPREAD = 4, 0.1
"""A baseline and three arms; the standard deviation between runs, as a share of the mean."""


def measure_criteria(repetitions: int, rng: np.random.Generator) -> Table:
    """How often a criterion is met, and how often it is SUPPORTED, where all arms are equal."""
    rows: list[Sequence[Cell]] = []
    count = max(40, repetitions // 40)
    n = SIZES[0]
    for criterion in CRITERIA:
        frame = _frame(criterion, n)
        rulings = []
        for _ in range(count):
            values = pd.DataFrame({"error": 1 + _SPREAD * rng.standard_normal(_ARMS * n)})
            answered = answer_criterion(replace(frame, values=values), AnalysisPlan())
            rulings.append(answered.ruling if answered else Ruling.UNDECIDED)
        supported = np.array([one is Ruling.SUPPORTED for one in rulings])
        met = supported | np.array([one is Ruling.FACE_VALUE for one in rulings])
        rows.append([f"`{criterion}`", _rate(met), _rate(supported)])
    return Table(("criterion", "met by the estimates", "SUPPORTED"), rows)


def _frame(criterion: str, n: int) -> ExperimentFrame:
    """An experiment in memory, all of whose runs finished; without values yet."""
    runs = [(arm, seed) for arm in range(_ARMS) for seed in range(n)]
    spec = {
        "name": "made",
        "brief": {"criterion": criterion},
        "baseline": {"arm": 0},
        "metrics": {"primary": {"name": "error", "goal": "min"}},
    }
    tasks = [{"task_id": f"{arm}{seed}", "parameters": {"arm": arm}, "seed": seed, "case": None} for arm, seed in runs]
    table = pd.DataFrame({"configuration": [arm for arm, _ in runs], "seed": [seed for _, seed in runs]})
    table = table.assign(run_name="", outcome="finished", failure_class="", altered=False)
    empty = pd.DataFrame()
    return ExperimentFrame(
        layout=RunLayout(Path(), "made"),
        manifest={"spec": spec, "tasks": tasks},
        manifest_sha="",
        collected=0.0,
        tasks=table,
        parameters=empty,
        values=empty,
        attempts=empty,
        ran=empty,
        configurations=tuple(f"arm={arm}" for arm in range(_ARMS)),
        series_names=(),
    )


TABLES: Mapping[str, Callable[[int, np.random.Generator], Table]] = {
    "intervals": measure_intervals,
    "tests": measure_tests,
    "families": measure_families,
    "held": measure_held,
    "power": measure_power,
    "rule": measure_rule,
    "looks": measure_looks,
    "equivalence": measure_equivalence,
    "effects": measure_effects,
    "order": measure_order,
    "seeds": measure_seeds,
    "assurance": measure_assurance,
    "selection": measure_selection,
    "firmness": measure_firmness,
    "importance": measure_importance,
    "criteria": measure_criteria,
    "systems": measure_systems,
    "gap": measure_gap,
    "ranks": measure_ranks,
}


def measure(name: str, repetitions: int = REPETITIONS, seed: int = SEED) -> Table:
    """Measure one table; the same seed gives the same table."""
    return TABLES[name](repetitions, np.random.default_rng([seed, *map(ord, name)]))


def replace_table(page: str, name: str, table: str) -> str:
    """Put a table between its two marks.

    Raises:
        ValueError: The page does not have the marks once.
    """
    pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    changed, count = pattern.subn(lambda found: f"{found[1]}{table}\n{found[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the table {name!r}, not 1")
    return changed


def read_table(page: str, name: str) -> list[list[str]]:
    """The rows of a table of the page, cells as texts."""
    found = re.search(rf"<!-- table: {name} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE.name} has no table {name!r}")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]


def _rate(hits: npt.NDArray[np.bool_]) -> Measured:
    return _share(float(np.mean(hits)), len(hits))


def _share(share: float, of: int | None = None) -> Measured:
    """A share of so many repetitions, or a computed one."""
    text = f"{100 * share:.1f} %"
    if of is None:
        return Measured(share, 0.0, text)
    # Agresti and Coull: two more of each kind, because what was never seen may still happen.
    seen = (share * of + 2) / (of + 4)
    return Measured(share, float(np.sqrt(seen * (1 - seen) / of)), text, of)


def _bias(values: Floats) -> Measured:
    return Measured(float(values.mean()), float(values.std() / np.sqrt(len(values))), f"{values.mean():+.2f} σ")


def main() -> int:
    """Measure all tables; write them unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions; nothing is written")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(TABLES)):
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    for name in options.names or TABLES:
        start = time.perf_counter()
        table = measure(name, REPETITIONS // 10 if options.quick else REPETITIONS)
        print(f"{name} ({time.perf_counter() - start:.1f} s)\n{table.markdown}\n", flush=True)
        if not options.quick:
            PAGE.write_text(replace_table(PAGE.read_text(encoding="utf-8"), name, table.markdown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
