"""The criterion answered on collected runs: met, refuted, open; waiting runs, missing runs, families, second looks."""

from itertools import product
from pathlib import Path

import pytest

from analysis.data.frame import load_frame
from analysis.findings.answer import CriterionAnswer, answer_criterion
from analysis.statistics.comparisons import AnalysisPlan
from analysis.statistics.samples import Sample
from tests.analysis.made_experiments import (
    BRIEF,
    Experiment,
    make_attempt,
    make_finished,
    make_spec,
    make_task,
    make_verdict,
)

NOISE = {42: -0.001, 137: 0.0, 256: 0.001, 512: -0.0005, 1024: 0.0005}
LEVELS = {4: 0.060, 8: 0.050, 16: 0.040, 32: 0.0499}
CONTRACT = "relative_change(final_error, lora_rank=16) <= -5% and adjusted_p < 0.05"


def make(
    root: Path, criterion: str, seeds: tuple[int, ...] = (42, 137, 256), further: tuple[int, ...] = ()
) -> Experiment:
    """Ranks 4, 8, 16, 32 with known means and the same small noise; rank 8 is the baseline."""
    spec = make_spec(
        brief={**BRIEF, "criterion": criterion},
        sweep={"grid": {"lora_rank": list(LEVELS)}, "seeds": list(seeds), "further_seeds": list(further)},
        baseline={"lora_rank": 8},
    )
    tasks = [make_task({"lora_rank": rank}, seed, f"R{rank}_S{seed}") for rank, seed in product(LEVELS, seeds)]
    experiment = Experiment(root, tasks, spec)
    for task in tasks:
        # The noise of a rank is its own, so that pairs of one seed do not agree to the last digit.
        error = LEVELS[task["parameters"]["lora_rank"]] + NOISE[task["seed"]] * (
            1 + task["parameters"]["lora_rank"] / 64
        )
        experiment.judged.append(make_finished(experiment, task, {"final_error": error, "control_cost": 3.0}))
    return experiment


def answer(experiment: Experiment, **more: object) -> CriterionAnswer:
    found = answer_criterion(load_frame(experiment.write()), AnalysisPlan(margin=0.05), **more)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (CONTRACT, "SUPPORTED"),
        (CONTRACT.replace("16", "4"), "REFUTED"),
        ("relative_change(lora_rank=32) <= -5%", "REFUTED"),
        ("relative_change(lora_rank=16 versus lora_rank=4) <= -30% and p < 0.01", "SUPPORTED"),
        ("mean(lora_rank=16) < 0.045", "SUPPORTED"),
        ("mean(lora_rank=16) > 0.045", "REFUTED"),
        ("mean(lora_rank=16) < 0.0399", "UNDECIDED"),
        ("mean(lora_rank=16) < mean(lora_rank=4)", "SUPPORTED"),
        ("max(lora_rank=16) < 0.0411", "REFUTED"),
        ("verdict(lora_rank=16) == WINNER", "SUPPORTED"),
        ("verdict(lora_rank=32) == WINNER", "REFUTED"),
        ("tested(lora_rank=32) == EQUIVALENT", "SUPPORTED"),
        ("tested(lora_rank=4) == EQUIVALENT", "REFUTED"),
        ("all(verdict != LOSER)", "REFUTED"),
        ("any(verdict == WINNER)", "MET AT FACE VALUE"),
        ("failed(lora_rank=4) == 0 and n >= 3", "SUPPORTED"),
        ("cohens_d(lora_rank=16) <= -0.8", "SUPPORTED"),
        ("median(control_cost, lora_rank=16) < 2", "REFUTED"),
        ("std(lora_rank=16) < 0.01", "MET AT FACE VALUE"),
        ("change(lora_rank=16) <= -0.009", "SUPPORTED"),
    ],
)  # fmt: skip
def test_known_numbers_give_the_known_answer(tmp_path: Path, criterion: str, expected: str) -> None:
    """Means 0.06, 0.05, 0.04 and 0.0499 with a spread of 0.001: each quantity comes out as those numbers say."""
    found = answer(make(tmp_path, criterion))

    assert (found.ruling, found.problem) == (expected, "")
    assert found.sentence.startswith(f"{expected}: ")
    assert all(clause.measured for clause in found.clauses)


def test_the_numbers_stand_in_the_answer(tmp_path: Path) -> None:
    """The reader sees what was measured, its interval, how many runs stand behind it, and which were compared."""
    found = answer(make(tmp_path, CONTRACT))

    change, p = found.clauses
    assert change.text == "relative_change of final_error, lora_rank=16 against lora_rank=8 <= -5%"
    assert change.measured.startswith("-20 % (-2")
    assert (change.met, p.met) == (True, True)
    assert "n=3 against 3" in change.note


@pytest.mark.parametrize(
    ("criterion", "expected", "text"),
    [
        ("not (mean(lora_rank=16) > 0.045)", "SUPPORTED", "mean of final_error, lora_rank=16 <= 0.045"),
        ("not (verdict(lora_rank=16) == WINNER)", "REFUTED", "lora_rank=16 against lora_rank=8 != WINNER"),
        ("not (mean(lora_rank=16) > 0.045 or mean(lora_rank=4) < 0.05)", "SUPPORTED", "lora_rank=4 >= 0.05"),
    ],
)
def test_what_not_denies_is_said_turned_round(tmp_path: Path, criterion: str, expected: str, text: str) -> None:
    """No clause is listed as met that the criterion denies: `not` is worked into each comparison."""
    found = answer(make(tmp_path, criterion))

    assert found.ruling == expected
    assert text in found.sentence
    assert {one.met for one in found.clauses} == {expected == "SUPPORTED"}


def test_an_adjusted_p_says_over_what(tmp_path: Path) -> None:
    """The same runs have one p in the criterion's own family and another among all comparisons: both say which."""
    named, all_of_them = (
        answer(make(tmp_path / name, f"adjusted_p(lora_rank=16{versus}) < 0.05 and change < 0")).clauses[0].note
        for name, versus in (("a", " versus lora_rank=4"), ("b", ""))
    )

    assert "adjusted over 1 comparison that the criterion names" in named
    assert "adjusted over 3 comparisons with the baseline" in all_of_them


def test_without_a_criterion_there_is_no_answer(tmp_path: Path) -> None:
    """Prose is quoted, not evaluated."""
    experiment = make(tmp_path, CONTRACT)
    del experiment.spec["brief"]["criterion"]

    assert answer_criterion(load_frame(experiment.write()), AnalysisPlan()) is None


def test_a_criterion_that_no_longer_fits_is_undecided_with_its_reason(tmp_path: Path) -> None:
    """A manifest whose rule names what is not there (edited, or of another version) never decides anything."""
    found = answer(make(tmp_path, "mean(lora_rank=64) < 1"))

    assert found.ruling == "UNDECIDED"
    assert "is never 64" in found.problem


def test_runs_still_to_come_leave_it_open(tmp_path: Path) -> None:
    """A run that has not ended can change its configuration, and the correction of every comparison."""
    experiment = make(tmp_path, CONTRACT)
    last = experiment.judged[-1]  # of rank 32, which the criterion does not name
    last.update(outcome="running", attempts=[make_attempt(last, 1, None)], summary={})

    assert answer(experiment).ruling == "UNDECIDED"
    assert "1 of 12 runs have not ended" in answer(experiment).clauses[1].note
    experiment.spec["brief"]["criterion"] = "relative_change(lora_rank=16) <= -5% and p < 0.05"
    assert answer(experiment).ruling == "SUPPORTED"
    experiment.spec["brief"]["criterion"] = "relative_change(lora_rank=4) <= -5% and adjusted_p < 0.05"
    assert answer(experiment).ruling == "REFUTED"


@pytest.mark.parametrize(
    ("criterion", "category", "expected"),
    [
        ("mean(lora_rank=16) < 0.045", "oom_gpu", "UNDECIDED"),
        ("mean(lora_rank=16) < 0.045", "divergence", "UNDECIDED"),
        ("min(lora_rank=4) > 0.045", "oom_gpu", "UNDECIDED"),
        ("min(lora_rank=4) > 0.045", "divergence", "MET AT FACE VALUE"),
        ("mean(lora_rank=16) < 0.2", "oom_gpu", "SUPPORTED"),
        ("max(lora_rank=16) < 0.03", "oom_gpu", "REFUTED"),
        ("failed(lora_rank=16) == 0", "oom_gpu", "REFUTED"),
    ],
)
def test_missing_runs_decide_only_where_worst_and_best_agree(
    tmp_path: Path, criterion: str, category: str, expected: str
) -> None:
    """A run without a value is put in as the worst and as the best of all; a diverged one as the worst."""
    experiment = make(tmp_path, criterion)
    for row in (1, 7):  # R4_S137, R16_S137
        lost = experiment.judged[row]
        attempts = [make_attempt(lost, 1, make_verdict(category, "…"))]
        lost.update(outcome="failed", failure_class=category, attempts=attempts, summary={})

    found = answer(experiment)

    assert found.ruling == expected
    assert found.missing
    assert found.hangs_on_missing == (expected == "UNDECIDED")


def test_further_seeds_that_are_due_leave_a_neutral_verdict_open(tmp_path: Path) -> None:
    """Within 2σ the rule asks for more seeds: until they are planned NEUTRAL is no answer, then it is."""
    criterion = "verdict(lora_rank=32) == WINNER"
    due = make(tmp_path, criterion, further=(512, 1024))
    taken = make(tmp_path / "taken", criterion, seeds=(42, 137, 256, 512, 1024), further=(512, 1024))

    assert answer(due).ruling == "UNDECIDED"
    assert "2 further seeds are due" in answer(due).clauses[0].note
    assert answer(taken).ruling == "REFUTED"


def test_the_correction_is_over_the_family_the_criterion_stands_in(tmp_path: Path) -> None:
    """Against the declared baseline all three comparisons count; with `versus` those that the criterion names."""
    by_baseline = answer(make(tmp_path, "adjusted_p(lora_rank=16) < 0.05 and p < 0.05 and change < 0"))
    by_name = answer(make(tmp_path, "adjusted_p(lora_rank=16 versus lora_rank=8) < 0.05 and p < 0.05 and change < 0"))

    adjusted, alone = (float(by_baseline.clauses[place].measured) for place in (0, 1))
    assert adjusted == pytest.approx(alone * 3, rel=1e-3) or adjusted == pytest.approx(alone * 2, rel=1e-3)
    assert by_name.clauses[0].measured == by_name.clauses[1].measured


def test_stored_runs_are_a_baseline_too(tmp_path: Path) -> None:
    """With a stored baseline every configuration is compared with those runs, rank 8 as well."""
    experiment = make(tmp_path, "all(verdict == WINNER)")
    stored = {"final_error": Sample(load_frame(experiment.write()).values["final_error"].to_numpy()[:3] + 0.02)}

    found = answer(experiment, stored=stored)

    assert found.ruling == "SUPPORTED"
    assert len(found.clauses) == 4
    assert found.clauses[1].text == "verdict of final_error, lora_rank=8 against the stored baseline == WINNER"
