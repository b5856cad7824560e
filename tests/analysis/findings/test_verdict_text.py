"""The sentences of a verdict: what they say of a difference is what the numbers say."""

import math
from pathlib import Path

import pytest

from analysis.data.frame import load_frame
from analysis.findings.findings import find_findings
from analysis.findings.verdict_text import _say_difference
from hpc.core.experiment.spec import Metric
from tests.analysis.made_experiments import make_arms

SEEDS = (1, 2, 3, 4, 5)
BASE = dict(zip(SEEDS, (2.0, 2.1, 1.9, 2.05, 2.02), strict=True))


@pytest.mark.parametrize(
    ("difference", "goal", "said"),
    [
        (-0.5, "min", "is 5.0 % lower (better) than B"),
        (-0.5, "max", "is 5.0 % lower (worse) than B"),
        (0.5, "min", "is 5.0 % higher (worse) than B"),
        (0.0, "min", "has the same mean as B"),
        (0.0, "max", "has the same mean as B"),
    ],
)
def test_a_difference_has_a_direction_only_where_there_is_one(difference: float, goal: str, said: str) -> None:
    """Equal means are called neither higher nor worse."""
    assert _say_difference(difference, "5.0 %", "B", Metric("loss", goal)) == said


def test_the_first_sentence_names_what_lost_every_run(tmp_path: Path) -> None:
    """An arm whose runs all diverged is no blank: it stands in the first sentence, as what it did."""
    found = find_findings(load_frame(make_arms(tmp_path, [BASE, dict.fromkeys(SEEDS, math.nan)]).write()))

    assert found.verdict[0].endswith("1 configuration lost every run (arm=1: 5 divergence).")
    robustness = found.results[1].robustness
    assert robustness is not None
    assert not [one for one in robustness.readings if (one.improvement or 0.0) > 0.5]


def test_the_first_sentence_says_that_a_winner_hangs_on_missing_runs(tmp_path: Path) -> None:
    """Better by three of five runs, two diverged: said where the claim is made."""
    arm = {seed: value - 1.0 + 0.001 * seed**2 for seed, value in BASE.items()} | {4: math.nan, 5: math.nan}
    found = find_findings(load_frame(make_arms(tmp_path, [BASE, arm]).write()))

    assert found.verdict[0] == (
        "Better than the baseline on error: arm=1 (n=3 of 5, and the verdict depends on the missing runs)."
    )
