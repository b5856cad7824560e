"""The sentences of a verdict: what they say of a difference is what the numbers say."""

import pytest

from analysis.findings.verdict_text import _say_difference
from hpc.core.experiment.spec import Metric


@pytest.mark.parametrize(
    ("difference", "goal", "said"),
    [
        (-0.5, "min", "is 5.0 % lower than B, which is the better direction"),
        (-0.5, "max", "is 5.0 % lower than B, which is the worse direction"),
        (0.5, "min", "is 5.0 % higher than B, which is the worse direction"),
        (0.0, "min", "has the same mean as B"),
        (0.0, "max", "has the same mean as B"),
    ],
)
def test_a_difference_has_a_direction_only_where_there_is_one(difference: float, goal: str, said: str) -> None:
    """Equal means are called neither higher nor worse."""
    assert _say_difference(difference, "5.0 %", "B", Metric("loss", goal)) == said
