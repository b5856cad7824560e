"""From an experiment's runs to its statistics: declared plan, both looks, stored baselines, methods over systems."""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.data.frame import load_frame
from analysis.findings.findings import Findings, find_findings
from analysis.findings.inference import analysis_plan
from analysis.report import _summary, build
from analysis.statistics.comparisons import AnalysisPlan
from analysis.statistics.corrections import holm
from analysis.statistics.linear_model import model_rows
from analysis.statistics.samples import Sample
from hpc.core.experiment.spec import Metric
from tests.analysis.made_experiments import (
    Experiment,
    make_attempt,
    make_finished,
    make_judged,
    make_spec,
    make_task,
    make_verdict,
)

SEEDS = (42, 137, 256, 512, 1024)
SHIFT = {8: 0.0, 16: -3.0, 32: 0.05}


def make_sweep(root: Path, seeds: tuple[int, ...] = SEEDS, **changed: Any) -> Experiment:
    """Rank 8 is the baseline at 10; 16 is far better, 32 is equal; what a seed does to one it does to all."""
    changed = {"baseline": {"rank": 8}, "sweep": {"grid": {"rank": list(SHIFT)}, "seeds": list(seeds)}, **changed}
    tasks = [make_task({"rank": rank}, seed, f"R{rank}_S{seed}") for rank, seed in product(SHIFT, seeds)]
    experiment = Experiment(root, tasks, make_spec("sweep", **changed))
    rng = np.random.default_rng(3)
    by_seed = dict(zip(SEEDS, rng.normal(0, 0.3, len(SEEDS)), strict=True))
    for task in tasks:
        value = 10.0 + SHIFT[task["parameters"]["rank"]] + by_seed[task["seed"]] + 0.05 * rng.standard_normal()
        experiment.judged.append(make_finished(experiment, task, {"final_error": value}))
    return experiment


def found_in(experiment: Experiment, **options: Any) -> Findings:
    """What the report would state."""
    return find_findings(load_frame(experiment.write()), **options)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, AnalysisPlan(0.05, "holm", 0.95, 0.05)),
        ({"equivalence": "3%"}, AnalysisPlan(0.05, "holm", 0.95, 0.03)),
        (
            {"equivalence": 0.2, "alpha": 0.01, "correction": "bh", "confidence": 0.9},
            AnalysisPlan(0.01, "bh", 0.9, 0.2),
        ),
    ],
)
def test_plan_is_what_is_declared(declared: dict[str, Any], expected: AnalysisPlan) -> None:
    """Error rate, correction, coverage and margin come from the YAML; the margin else from the primary metric."""
    assert analysis_plan({"analysis": declared}, Metric("loss", "min", 0.05)) == expected


def test_without_a_meaningful_difference_there_is_no_margin() -> None:
    """Nothing declared, nothing assumed."""
    assert analysis_plan({}, Metric("loss")).margin is None
    assert analysis_plan({}, None).margin is None


def test_winner_equivalent_and_the_reasons(tmp_path: Path) -> None:
    """Blocked by five seeds: rank 16 wins, rank 32 is shown to be equivalent, and sentences and records agree."""
    found = found_in(make_sweep(tmp_path))
    words = {one.label: one.judgement.tested.word for one in found.results if one.judgement}

    assert words == {"rank=16": "WINNER", "rank=32": "EQUIVALENT"}
    test = "seed-blocked linear model over 2 arms and 5 seeds"
    assert {one.comparison.test for one in found.compared if one.comparison} == {test}
    assert found.verdict[0] == "Better than the baseline on final_error: rank=16 (n=5)."
    assert f"1 WINNER, 1 EQUIVALENT ({test}, Holm-adjusted over 2 tests, p < 0.05)" in found.verdict[1]


def test_declared_correction_and_level_are_used(tmp_path: Path) -> None:
    """Benjamini–Hochberg and intervals of 80 % where the YAML says so."""
    usual = found_in(make_sweep(tmp_path / "a")).results[1]
    other = found_in(make_sweep(tmp_path / "b", analysis={"correction": "bh", "confidence": 0.8}))
    changed = other.results[1]
    assert usual.comparison is not None
    assert changed.comparison is not None

    assert "Benjamini and Hochberg" in other.verdict[1]
    assert changed.comparison.p == usual.comparison.p
    assert (usual.comparison.low or 0) < (changed.comparison.low or 0)
    assert (usual.estimate.low or 0) < (changed.estimate.low or 0)


def test_further_seeds_lower_the_level(tmp_path: Path) -> None:
    """With a second look declared tests are read lower, both verdicts count both looks, and a limitation says so."""
    sweep = {"grid": {"rank": list(SHIFT)}, "seeds": list(SEEDS[:3]), "further_seeds": list(SEEDS[3:])}
    found = found_in(make_sweep(tmp_path, sweep=sweep))
    judged = found.results[1].judgement
    assert found.looks is not None
    assert judged is not None

    assert (found.looks.first, found.looks.further, found.looks.baseline) == (3, 2, (3, 5))
    assert judged.tested.level == found.looks.level < 0.05
    assert judged.rule.false_alarm == found.looks.rule_error
    assert found.looks.text in found.limitations


def test_stored_baseline_is_what_everything_is_compared_with(tmp_path: Path) -> None:
    """Every configuration of the sweep is compared with the stored runs, by seed, and the sentences name them."""
    stored = Sample(np.array([10.1, 9.7, 10.2, 10.3, 9.6]), np.array(SEEDS))
    experiment = make_sweep(tmp_path, baseline=None, analysis={"baseline_from": "variance"})
    found = found_in(experiment, stored={"final_error": stored})

    assert len(found.compared) == 3
    assert all(one.baseline is None and not one.is_baseline for one in found.results)
    assert {one.comparison.n_baseline for one in found.compared if one.comparison} == {5}
    assert found.stored_baseline == "variance"
    assert "against the stored baseline variance (n=5)" in found.verdict[1]


def test_missing_runs_are_read_in_the_report(tmp_path: Path) -> None:
    """Two diverged runs of the winner: its verdict hangs on them, and the verdict says so."""
    experiment = make_sweep(tmp_path)
    for row in (5, 6):
        task = experiment.asked[row]
        experiment.judged[row] = make_judged(task, "failed", [make_attempt(task, 1, make_verdict("divergence", "nan"))])
    found = found_in(experiment)
    robustness = found.results[1].robustness
    assert robustness is not None

    assert robustness.hangs_on
    assert any(robustness.text in text for text in found.verdict)
    assert found.results[2].robustness is None


def test_best_is_corrected_and_ranked(tmp_path: Path) -> None:
    """The best configuration carries held-out runs and ranks, by numbers of configurations."""
    best = found_in(make_sweep(tmp_path)).best
    assert best is not None
    assert best.selection is not None

    assert best.selection.chosen == best.result.number == 1
    assert best.selection.of == 3
    assert best.selection.ranks[0].place == 1
    assert best.selection.held_out == pytest.approx(best.result.estimate.mean)


def test_parameters_and_cases_are_analysed(tmp_path: Path) -> None:
    """The swept rank accounts for the variance; named cases count as one parameter, not as those they set together."""
    importance = found_in(make_sweep(tmp_path / "grid")).importance
    assert importance is not None
    assert [one.name for one in importance.parameters] == ["rank"]
    assert importance.parameters[0].share > 0.8

    cases = {"std": {"conv": 1, "layers": 2}, "ones": {"conv": 0, "layers": 4}}
    tasks = [make_task(cases[case], seed, f"{case}{seed}", case) for case, seed in product(cases, (1, 2, 3))]
    spec = make_spec("cases", sweep={"cases": [{"id": case} for case in cases]}, baseline={"id": "std"})
    experiment = Experiment(tmp_path / "cases", tasks, spec)
    experiment.judged = [
        make_finished(experiment, task, {"final_error": 1.0 + (task["case"] == "ones") + task["seed"] / 10})
        for task in tasks
    ]
    named = found_in(experiment).importance
    assert named is not None
    assert [one.name for one in named.parameters] == ["case"]


def test_methods_are_compared_over_systems(tmp_path: Path) -> None:
    """`{training: sft}` on two systems: grpo halves the error on both, a lost run of it counts in its profile."""
    points = list(product(("pendulum", "cartpole"), ("sft", "grpo"), (1, 2, 3)))
    tasks = [make_task({"system": s, "training": t}, seed, f"{s}_{t}_{seed}") for s, t, seed in points]
    spec = make_spec("cross", sweep={"grid": {"system": [], "training": []}}, baseline={"training": "sft"})
    experiment = Experiment(tmp_path, tasks, spec)
    for number, (system, training, seed) in enumerate(points):
        level = (10.0 if system == "pendulum" else 1000.0) * (0.5 if training == "grpo" else 1.0)
        task = tasks[number]
        experiment.judged.append(
            make_judged(task, "failed", [make_attempt(task, 1, make_verdict("divergence", "nan"))]) if number == 5
            else make_finished(experiment, task, {"final_error": level * (1 + 0.01 * seed)})
        )  # fmt: skip
    over = found_in(experiment).over_systems
    assert over is not None
    sft, grpo = over.methods
    assert grpo.effect is not None
    assert grpo.improvement is not None

    assert (over.baseline, over.systems) == ("training=sft", ("system=pendulum", "system=cartpole"))
    assert over.are_scales
    assert grpo.effect.value == pytest.approx(0.5, abs=0.01)
    assert (grpo.diverged, grpo.profile[-1]) == (1, pytest.approx((2 / 3 + 1) / 2))
    assert grpo.improvement.value == pytest.approx((2 / 3 + 1) / 2)
    assert (sft.effect, sft.improvement) == (None, None)


def make_cross(
    folder: Path,
    metrics: Mapping[str, Any],
    levels: Mapping[str, float],
    gains: Mapping[str, float],
    **spec: Any,
) -> Experiment:
    """Each training on each system, each system with a level of its own; three runs."""
    points = list(product(levels, gains, (1, 2, 3)))
    tasks = [make_task({"system": s, "training": t}, seed, f"{s}_{t}_{seed}") for s, t, seed in points]
    asked = {"sweep": {"grid": {"system": [], "training": []}}, "baseline": {"training": "sft"}, "metrics": metrics}
    experiment = Experiment(folder, tasks, make_spec("cross", **{**asked, **spec}))
    rng = np.random.default_rng(2)
    experiment.judged = [
        make_finished(experiment, task, {"final_error": levels[s] * gains[t] * (1 + 0.02 * rng.standard_normal())})
        for task, (s, t, _) in zip(tasks, points, strict=True)
    ]
    return experiment


LEVELS = {"easy": 0.01, "pendulum": 10.0, "cartpole": 1000.0}
GAINS = {"sft": 1.0, "grpo": 0.5, "scratch": 2.0}


def test_nothing_is_best_across_raw_scales(tmp_path: Path) -> None:
    """The easiest system has the lowest values of all: each system has a best, and there is no best of all."""
    found = found_in(make_cross(tmp_path, {"primary": {"name": "final_error", "goal": "min"}}, LEVELS, GAINS))

    assert found.best is None
    assert [(one.system, one.result.label, one.of) for one in found.bests] == [
        (system, f"system={system}, training=grpo", 3) for system in LEVELS
    ]
    assert all(one.selection and len(one.selection.ranks) == 3 for one in found.bests)
    assert found.verdict[0].startswith("Over 3 systems training=grpo (geometric mean ratio 0.")
    assert "training=scratch" in found.verdict[0]
    assert any("Friedman's test over 3 systems and 3 methods" in text for text in found.verdict)
    assert not any("selected as the best of 9" in text for text in found.verdict)


def test_importance_rests_on_values_that_compare(tmp_path: Path) -> None:
    """What the systems' levels do is no effect: training has all of the variance, and the system is no parameter."""
    found = found_in(make_cross(tmp_path, {"primary": {"name": "final_error", "goal": "min"}}, LEVELS, GAINS))
    assert found.importance is not None

    assert [one.name for one in found.importance.parameters] == ["training"]
    assert found.importance.parameters[0].share > 0.9
    assert found.importance.metric == "final_error (ratio to its system's geometric mean)"


def test_declared_ranges_reach_the_scores(tmp_path: Path) -> None:
    """`metrics.primary.range` names the systems by their values; a value outside is named."""
    ranges = {"easy": [0.0, 0.02], "pendulum": [0, 20], "cartpole": [0, 1500]}
    metrics = {"primary": {"name": "final_error", "goal": "min", "range": ranges}}
    over = found_in(make_cross(tmp_path, metrics, LEVELS, GAINS)).over_systems
    assert over is not None
    grpo = over.methods[1]
    assert grpo.score is not None

    assert over.scale == "range"
    assert grpo.score.value == pytest.approx((0.25 + 0.25 + 1 / 3) / 3, rel=0.02)
    assert any(text.startswith("system=cartpole, training=scratch: 3 of 3 (") for text in over.outside)


def test_report_carries_everything_over_systems_as_json(tmp_path: Path) -> None:
    """`--json` has methods, ranks, omnibus, what was left out, the best by system and the importance."""
    experiment = make_cross(tmp_path, {"primary": {"name": "final_error", "goal": "min"}}, LEVELS, GAINS)
    built = build(experiment.write(), ())
    told = json.loads(json.dumps(_summary(built), allow_nan=False))
    over = told["over_systems"]

    assert [one["method"] for one in over["methods"]] == ["training=sft", "training=grpo", "training=scratch"]
    assert over["methods"][1]["effect"].keys() == {"value", "low", "high"}
    assert over["omnibus"]["floor"] == pytest.approx(1 / 36)
    assert over["critical_difference"] > 0
    assert over["dropped"] == []
    assert [one["system"] for one in told["best_by_system"]] == list(LEVELS)
    assert told["best"] is None
    assert told["importance"]["parameters"][0]["name"] == "training"
    assert {"ranks", "profiles"} <= {Path(one).stem for one in told["files"]}


def test_parameters_that_are_not_analysed_are_named(tmp_path: Path) -> None:
    """Thirteen texts are too many to tell apart: the parameter is named with the reason, the other one analysed."""
    points = [(f"note {number}", rank, seed) for number in range(13) for rank in (4, 8) for seed in (1, 2)]
    tasks = [make_task({"note": note, "rank": rank}, seed, f"n{note[5:]}_{rank}_{seed}") for note, rank, seed in points]
    experiment = Experiment(tmp_path, tasks, make_spec("notes", sweep={"grid": {"note": [], "rank": []}}))
    experiment.judged = [
        make_finished(experiment, task, {"final_error": rank + seed / 10})
        for task, (_, rank, seed) in zip(tasks, points, strict=True)
    ]
    importance = found_in(experiment).importance
    assert importance is not None

    assert [one.name for one in importance.parameters] == ["rank"]
    assert importance.left_out == (("note", "it has 13 non-numeric values; at most 12 can be analysed"),)


def test_same_experiment_gives_the_same_findings(tmp_path: Path) -> None:
    """Chance is seeded by the manifest: twice the same numbers, whatever numpy's global seed."""
    experiment = make_sweep(tmp_path, seeds=SEEDS[:3], sweep={"seeds": [42, 137, 256], "further_seeds": [512, 1024]})
    frame = load_frame(experiment.write())
    np.random.seed(1)  # noqa: NPY002  to show that it has no effect
    first = find_findings(frame)
    np.random.seed(2)  # noqa: NPY002  to show that it has no effect
    second = find_findings(frame)

    assert (first.results, first.best, first.looks, first.verdict) == (
        second.results, second.best, second.looks, second.verdict,
    )  # fmt: skip


def test_secondary_metrics_are_compared_as_a_family_of_their_own(tmp_path: Path) -> None:
    """Each other metric has its comparison over the same runs, adjusted over its rows, and no verdict hangs on it."""
    spec = make_spec(
        sweep={"grid": {"arm": [0, 1, 2]}, "seeds": [1, 2, 3]},
        baseline={"arm": 0},
        metrics={"primary": {"name": "error", "goal": "min"}, "secondary": [{"name": "cost", "goal": "max"}]},
    )
    tasks = [make_task({"arm": arm}, seed, f"A{arm}_S{seed}") for arm in (0, 1, 2) for seed in (1, 2, 3)]
    experiment = Experiment(tmp_path, tasks, spec)
    rng = np.random.default_rng(2)
    values = rng.normal(size=(9, 2))
    experiment.judged = [
        make_finished(experiment, task, {"error": float(error), "cost": float(cost)})
        for task, (error, cost) in zip(tasks, values, strict=True)
    ]
    found = find_findings(load_frame(experiment.write()))

    assert not found.results[0].secondary_comparisons
    compared = [one.secondary_comparisons["cost"] for one in found.results[1:]]
    (expected,) = model_rows(values[:, 1].reshape(1, 3, 3), blocked=True).p
    assert [one.p for one in compared] == pytest.approx(expected.tolist())
    assert compared[0].basis == "over the 3 shared seeds"
    assert [one.p_adjusted for one in compared] == pytest.approx(list(holm([one.p for one in compared])))
