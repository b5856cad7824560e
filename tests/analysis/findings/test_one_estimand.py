"""One estimand a row: whatever states a comparison, table, picture, criterion or JSON, states the same one."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.data.frame import load_frame
from analysis.figures.intervals import _fill_difference_panel
from analysis.findings.answer import answer_criterion
from analysis.findings.findings import Findings, find_findings
from analysis.page.results import comparison_table
from analysis.report import BuiltReport, _summary
from analysis.statistics.comparisons import AnalysisPlan, Comparison, compare_family
from analysis.statistics.samples import Sample
from analysis.statistics.verdicts import judge_family, two_sigma_false_alarm
from hpc.core.words import in_percent
from tests.analysis.made_experiments import Experiment, make_arms

SEEDS = (42, 137, 256, 512, 1024)
BASELINE = dict(zip((*SEEDS, 7, 8), (1.00, 1.01, 1.02, 1.00, 1.02, 1.20, 1.22), strict=True))
ARM = dict(zip(SEEDS, (1.03, 1.05, 1.04, 1.03, 1.05), strict=True))


def judge(experiment: Experiment) -> Findings:
    """The findings with the answer to the criterion."""
    frame = load_frame(experiment.write())
    found = find_findings(frame)
    object.__setattr__(found, "answer", answer_criterion(frame, found.plan))
    return found


def as_json(experiment: Experiment, found: Findings) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(_summary(BuiltReport(experiment.layout, found, (), 0))))
    return told


def drawn(found: Findings) -> dict[int, tuple[float, float | None, float | None]]:
    """What the picture of differences shows by row: the diamond, and the ends of the bar where the axis holds them."""
    axes = Figure().subplots()
    _fill_difference_panel(axes, found.results)
    bounds, rows = axes.get_xlim(), dict[int, list[list[float]]]()
    for line in axes.lines:
        place = np.asarray(line.get_ydata())
        if line.get_marker() in ("D", "None") and (place == place[0]).all() and float(place[0]).is_integer():
            rows.setdefault(int(place[0]), []).append(np.asarray(line.get_xdata(), dtype=float).tolist())
    told = {}
    for place, parts in rows.items():
        (point,) = (one[0] for one in parts if len(one) == 1)
        bar = next((one for one in parts if len(one) == 2), [None, None])
        told[place] = (point, *(end if end is None or bounds[0] < end < bounds[1] else None for end in bar))
    return told


def test_the_shared_seeds_are_spoken_of_everywhere(tmp_path: Path) -> None:
    """An arm worse at each of its 5 seeds, whose mean is better than that of 7: everything says +3 % over the 5."""
    experiment = make_arms(tmp_path, [BASELINE, ARM], criterion="relative_change(arm=1) <= 0 and cohens_d > 0")
    found = judge(experiment)
    one = found.results[1].comparison
    assert one is not None
    assert found.answer is not None
    row = dict(zip(comparison_table(found).head, comparison_table(found).rows[0], strict=True))

    assert (one.basis, one.pairs, one.sizes) == ("over the 5 shared seeds", 5, (5, 5))
    assert one.relative_percent == pytest.approx(100 * 0.03 / 1.01)
    assert one.cohens_d is not None
    assert one.cohens_d > 0
    assert one.improvement is not None
    assert one.improvement.value == 0.0
    assert one.z == pytest.approx(0.03 / np.std(list(BASELINE.values()), ddof=1))
    assert row["difference"].text == "+0.03 (+3.0 %)"
    assert row["compared"].text == "over the 5 shared seeds"
    assert drawn(found)[1][0] == one.relative_percent
    change, d = found.answer.clauses
    assert change.measured.startswith("+2.97 % (")
    assert change.note == "n=5 against 7, over the 5 shared seeds"
    assert d.met
    said = " ".join(found.verdict)
    assert "is 3.0 % higher (worse) than arm=0 (n=7) over the 5 shared seeds" in said
    assert "lower than" not in said
    assert "arm=1: +3.0 % over the 5 shared seeds, -2.5 % between the means of all runs (n=5 against 7)" in said
    told = as_json(experiment, found)["configurations"][1]["comparison"]
    assert told["basis"] == "over the 5 shared seeds"
    assert told["relative_percent"] == one.relative_percent


def test_arms_without_spread_do_not_vanish(tmp_path: Path) -> None:
    """An arm that never varies from a baseline that never does: in the first sentence, in table and picture."""
    found = judge(make_arms(tmp_path, [dict.fromkeys(SEEDS, 2.0), dict.fromkeys(SEEDS, 1.0)]))
    row = comparison_table(found).rows[0]

    assert "1 of 1 differs, with no spread between runs to test against" in found.verdict[0]
    assert any("50.0 % lower" in text and "d is infinite" in text for text in found.verdict)
    assert "-1 (-50.0 %)" in [one.text for one in row]
    assert drawn(found)[1] == (-50.0, None, None)
    assert any("Does the program use the seed" in text for text in found.limitations)


def random_experiment(rng: np.random.Generator) -> tuple[list[Sample], Sample]:
    """Arms and their baseline: unequal n, failed runs, ties, negative values, means of zero, any scale."""
    scale, centre = 10.0 ** rng.integers(-6, 7), rng.choice([-3.0, 0.0, 0.5, 100.0])
    coarse = rng.random() < 0.3

    def runs(count: int, seeds: Sequence[int]) -> Sample:
        values = centre + rng.normal(rng.normal(), rng.choice([0.0, 0.1, 1.0]), count)
        values = np.where(rng.random(count) < 0.15, np.nan, np.round(values, 1) if coarse else values)
        return Sample(scale * values, np.array(seeds[:count]) if rng.random() < 0.8 else None)

    base = runs(int(rng.integers(1, 8)), range(8))
    shifted = [range(8), [*range(3), *range(20, 25)]]
    groups = [runs(int(rng.integers(0, 8)), shifted[int(rng.random() < 0.2)]) for _ in range(rng.integers(1, 6))]
    if rng.random() < 0.1:  # a baseline whose values cancel each other
        finite = base.finite
        base = Sample(np.concatenate((finite, -finite)), np.arange(2 * len(finite)))
    return groups, base


def check_row(one: Comparison, goal: str) -> None:
    """The laws of one row."""
    if one.difference is None:
        return
    sign, size = np.sign(one.difference), abs(one.difference)
    if one.relative_percent is not None:
        assert one.reference
        assert one.relative_percent == pytest.approx(100 * one.difference / abs(one.reference), rel=1e-12)
        assert np.sign(one.relative_percent) == sign
    if one.low is not None and one.high is not None:
        assert one.low <= one.difference <= one.high
        if one.relative_low is not None and one.relative_high is not None:
            assert one.relative_percent is not None
            assert one.relative_low <= one.relative_percent <= one.relative_high
            assert (one.relative_low > 0, one.relative_high < 0) == (one.low > 0, one.high < 0)
    for effect in (one.d, one.hedges_g):
        if effect is not None:
            assert abs(effect.value) < 1e-9 or np.sign(effect.value) == sign
            assert effect.low <= effect.value <= effect.high
    for effect in (one.cliffs_delta, one.improvement):
        assert effect is None or effect.low <= effect.value <= effect.high
    if one.z is not None:
        assert (one.z >= 2) == (one.rule_verdict != "NEUTRAL")
        assert one.rule_verdict != ("LOSER" if (sign < 0) == (goal == "min") else "WINNER") or size == 0
    assert one.pairs == 0 or one.basis == f"over the {one.pairs} shared seeds"


@pytest.mark.parametrize("goal", ["min", "max"])
def test_every_number_of_a_row_points_the_same_way(goal: str) -> None:
    """600 random experiments: difference, percent, interval, effect sizes, words and their sentences agree in sign."""
    rng = np.random.default_rng(len(goal) + ord(goal[1]))
    made = [random_experiment(rng) for _ in range(300)]
    groups = [one for arms, _ in made for one in arms]
    bases = [base for arms, base in made for _ in arms]
    plan = AnalysisPlan(margin=0.05)
    family = compare_family(groups, bases, goal, plan)
    for one, judged in zip(family, judge_family(family, goal, plan), strict=True):
        check_row(one, goal)
        said = re.search(r"difference ([+-][\d.e+-]+)", judged.tested.rationale)
        assert said is None or float(said[1]) * (one.difference or 0.0) >= 0
        assert judged.rule.false_alarm is None or 0 <= judged.rule.false_alarm <= 1


@pytest.mark.parametrize(("goal", "centre"), [("min", 1.0), ("max", -2.0), ("max", 50.0)])
def test_table_picture_criterion_and_json_are_one(tmp_path: Path, goal: str, centre: float) -> None:
    """50 random arms a goal and kind of value: every place that shows a comparison shows the same numbers."""
    rng = np.random.default_rng(int(100 + centre))
    noise = dict(zip(SEEDS, rng.normal(0, 0.2, 5), strict=True))

    def runs(count: int) -> dict[int, float]:
        level = centre + rng.normal(0, 0.3)
        found = {seed: float(level + noise[seed] + rng.normal(0, 0.1)) for seed in SEEDS[:count]}
        return {seed: math.nan if rng.random() < 0.1 else value for seed, value in found.items()}

    experiment = make_arms(tmp_path, [runs(5), *(runs(int(rng.integers(1, 6))) for _ in range(50))], goal)
    found = judge(experiment)
    assert found.answer is not None
    shown = comparison_table(found)
    table = {row[0].text: dict(zip(shown.head, row, strict=True)) for row in shown.rows}
    measured = {one.text.split(", ")[1].split(" against")[0]: one.measured for one in found.answer.clauses}
    told = {one["label"]: one["comparison"] for one in as_json(experiment, found)["configurations"]}
    picture = drawn(found)
    assert len(table) == 50

    for place, result in enumerate(found.results[1:], start=1):
        one = result.comparison
        assert one is not None
        check_row(one, goal)
        assert told[result.label]["relative_percent"] == one.relative_percent
        assert table[result.label]["difference"].sort == ("" if one.difference is None else repr(one.difference))
        if one.relative_percent is None:
            assert place not in picture
            continue
        assert f"({in_percent(one.relative_percent)} %)" in table[result.label]["difference"].text
        ends = (one.relative_low, one.relative_high)
        assert picture[place] == pytest.approx((one.relative_percent, *ends)) or None in picture[place]
        assert picture[place][0] == one.relative_percent
        assert measured[result.label].startswith(f"{one.relative_percent:+.3g} %")
        assert all(end is None or f"{end:+.3g} %" in measured[result.label] for end in ends)


@pytest.mark.parametrize(("n", "of"), [(3, 5), (3, 10), (4, 5), (3, 4)])
def test_false_alarms_over_shared_seeds_are_as_computed(n: int, of: int) -> None:
    """σ of all runs of the baseline, its mean of some of them: the stated chance is what 40,000 experiments show."""
    rng = np.random.default_rng(10 * n + of)
    ours, base = rng.normal(size=(40_000, n)), rng.normal(size=(40_000, of))
    seen = np.mean(np.abs(ours.mean(axis=1) - base[:, :n].mean(axis=1)) >= 2 * base.std(axis=1, ddof=1))

    assert two_sigma_false_alarm(n, of, n) == pytest.approx(seen, abs=0.005)
    assert two_sigma_false_alarm(n, n, n) == two_sigma_false_alarm(n, n)
