"""The first screen's words: the answer by type of experiment, with how much, how sure, of how many, and what failed."""

from math import nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.data.frame import load_frame
from analysis.findings.answer import answer_criterion
from analysis.findings.findings import find_findings
from analysis.findings.lead import Lead, _mean, _settling, find_lead
from analysis.page.results import best_text
from tests.analysis.made_experiments import Experiment, make_arms
from tests.analysis.made_types import TYPES


def _lead(experiment: Experiment, *, with_criterion: bool = True) -> Lead:
    frame = load_frame(experiment.write())
    findings = find_findings(frame)
    if with_criterion:
        object.__setattr__(findings, "answer", answer_criterion(frame, findings.plan))
    return find_lead(frame, findings)


@pytest.mark.parametrize(
    ("kind", "word", "claim", "said"),
    [
        ("hyperparameter_sweep", "UNDECIDED", "No configuration is shown to be better than the baseline",
         ["final_error is 22.8 % lower (better) with lora_rank=16, learning_rate=0.0002",
          "3 further seeds on both sides", "Not in its mean: 1 of 3 failed: 1 oom_gpu."]),
        ("phase_diagram", "BEST OF 19", "layers=2, gamma=0.5", ["n=3", "6 of 25 configurations lost every run."]),
        ("comparison", "UNDECIDED", "Rotary embeddings lower val_loss by at least a twentieth.",
         ["Relative change of val_loss, rotary against baseline: -11.7 %", "asked for: at most -5%",
          "It depends on 1 run without a value."]),
        ("training_ablation", "3 OF 5 WORSE", "no_momentum (+46 %), no_normalisation (+23 %), no_warmup (+4 %)",
         ["46.3 % higher (worse) with no_momentum than with full", "no_clipping lost every run (5 divergence)."]),
        ("transfer_learning", "WINNER", "source=cartpole",
         ["30.0 % lower (better)", "adjusted p = ", "n=4 against 5", "depends on the missing runs"]),
        ("baseline_variance", "BASELINE", "val_loss = 3.287 ± 0.024 (n=9 of 10)",
         ["95 % interval of the mean 3.269 to 3.306", "0.048 (1.4 % of the mean)"]),
    ],
)  # fmt: skip
def test_each_type_has_its_answer(tmp_path: Path, kind: str, word: str, claim: str, said: list[str]) -> None:
    """The word, what it is said of, and sentences with size, certainty, n and what failed."""
    lead = _lead(TYPES[kind](tmp_path))
    text = " ".join(lead.sentences)

    assert (lead.word, lead.claim) == (word, claim)
    assert [one for one in said if one not in text] == []


def test_a_baseline_is_no_comparison_that_was_missed(tmp_path: Path) -> None:
    """Its runs are what others are compared with; the verdict says what would count then."""
    found = find_findings(load_frame(TYPES["baseline_variance"](tmp_path).write()))
    said = found.verdict[0]

    assert said.startswith("These runs are a baseline and are not compared with anything.")
    assert "moves the mean by 0.048 (1.4 % of the mean)" in said
    assert "optimistic" not in " ".join((best_text(found), *found.limitations))  # of one nothing was selected


@pytest.mark.parametrize(
    ("arms", "word"),
    [
        ([[1.0, 1.01, 0.99, 1.0, 1.02], [0.7, 0.72, 0.69, 0.71, 0.7]], "WINNER"),
        ([[1.0, 1.01, 0.99, 1.0, 1.02], [1.3, 1.32, 1.29, 1.31, 1.3]], "NO WINNER"),
        ([[1.0, 1.01, 0.99, 1.0, 1.02], [1.001, 1.011, 0.99, 1.0, 1.019]], "EQUIVALENT"),
        ([[1.0, 1.1, 0.9, 1.0, 1.2], [0.98, 1.0, 0.99, 1.2, 0.7]], "UNDECIDED"),
        ([[nan, nan], [nan, nan]], "NO RESULT"),
        ([[1.0, 1.1]], "NOT COMPARED"),
    ],
)
def test_the_test_gives_the_word(tmp_path: Path, arms: list[list[float]], word: str) -> None:
    """Better, worse, shown to be equal, open, without a value, alone: without a criterion the test answers."""
    seeds = (1, 2, 3, 4, 5)
    experiment = make_arms(tmp_path, [dict(zip(seeds, one, strict=False)) for one in arms])

    assert _lead(experiment, with_criterion=False).word == word


def test_two_equal_means_have_no_best(tmp_path: Path) -> None:
    """Where nothing but the order puts one first, none is called the best."""
    experiment = make_arms(tmp_path, [{1: 1.0, 2: 2.0, 3: 3.0}, {1: 3.0, 2: 1.0, 3: 2.0}, {1: 4.0, 2: 4.0, 3: 4.1}])
    experiment.spec.pop("baseline")
    lead = _lead(experiment, with_criterion=False)

    assert (lead.word, lead.claim) == ("NO SINGLE BEST", "arm=0 and arm=1 share the lowest error")
    assert "Nothing was tested: no baseline is declared." in lead.sentences


def test_of_several_open_comparisons_the_one_that_further_seeds_settle_is_named() -> None:
    """Where others need more seeds, the fewest do not settle the whole; a single open one is "it"."""
    open_ones: list[Any] = [
        SimpleNamespace(label=label, judgement=SimpleNamespace(tested=SimpleNamespace(further_seeds=seeds)))
        for label, seeds in (("arm=1", 14), ("arm=2", 4), ("arm=3", None))
    ]
    assert _settling(open_ones).startswith(
        "4 further seeds on both sides would settle arm=2, which needs the fewest, with"
    )
    assert _settling(open_ones[:1]).startswith("14 further seeds on both sides would settle it with")
    assert _settling(open_ones[2:]) == ""


@pytest.mark.parametrize(("std", "said"), [(None, "loss = 42.97 (n=1)."), (0.5, "loss = 42.97 ± 0.5 (mean ± standard")])
def test_one_run_has_no_mean(std: float | None, said: str) -> None:
    """Its value is no mean ± standard deviation."""
    estimate = SimpleNamespace(mean=42.97, std=std, low=None, high=None, n=1 if std is None else 2)
    result: Any = SimpleNamespace(estimate=estimate, planned=1)
    metric: Any = SimpleNamespace(name="loss")
    assert _mean(result, metric).startswith(said)
