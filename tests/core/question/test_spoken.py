"""A criterion read back in words: what is read is what is evaluated."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.question.criterion import FUNCTIONS, OPERATORS, parse_criterion
from hpc.core.question.spoken import _OF, speak


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            "relative_change(final_error, lora_rank=16 versus lora_rank=8) <= -5% and adjusted_p < 0.05",
            "the mean of final_error with lora_rank=16 is at least 5 % below that with lora_rank=8, and the p-value of "
            "that comparison, corrected for all comparisons, is below 0.05",
        ),
        ("relative_change <= 2%", "the mean of loss is at most 2 % above that of the baseline"),
        ("change > -0.1", "the mean of loss is less than 0.1 below that of the baseline"),
        ("0.05 > relative_change", "the mean of loss is less than 5 % above that of the baseline"),
        ("cohens_d < 0", "the mean of loss is below that of the baseline"),
        (
            "verdict(depth=24) == WINNER",
            "the 2σ rule's answer for loss with depth=24 against that of the baseline is WINNER",
        ),
        ("all(mean(acc, model=a) >= 0.9)", "for every depth: the mean of acc with model=a is at least 0.9"),
        (
            "not (failed(depth=1) > 0 or n < 3)",
            "it is not the case that (the number of runs with depth=1 that failed for good is above 0, or the number "
            "of runs "
            "with depth=1 that gave loss is below 3)",
        ),
        ("mean(a=1) < mean(a=2)", "the mean of loss with a=1 is below the mean of loss with a=2"),
        ("0.1 <= std(a=1) <= 0.2", "the standard deviation of loss over the runs with a=1 lies between 0.1 and 0.2"),
    ],
)  # fmt: skip
def test_it_is_said_as_one_would(rule: str, words: str) -> None:
    """Whole sentences, with the direction and the bound in words."""
    assert speak(parse_criterion(rule), "loss", ("model", "depth")) == f"SUPPORTED if {words}"


def test_every_quantity_has_words() -> None:
    """A quantity that is new to the grammar fails here."""
    assert set(_OF) == set(FUNCTIONS)


NUMBERS = [name for name, one in FUNCTIONS.items() if not one.words]


@given(
    function=st.sampled_from(NUMBERS),
    amounts=st.sets(st.sampled_from(["0", "5%", "-5%", "0.3", "-2", "3e-4"]), min_size=2),
)
def test_no_two_rules_read_alike(function: str, amounts: set[str]) -> None:
    """Another sign or another amount is another sentence."""
    rules = [f"{function}(a=1 versus a=2) {sign} {amount}" for sign in OPERATORS for amount in sorted(amounts)]
    spoken = {rule: speak(parse_criterion(rule), "loss") for rule in rules}

    assert [pair for pair in combinations(rules, 2) if spoken[pair[0]] == spoken[pair[1]]] == []
