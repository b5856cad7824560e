"""What `plan` says of a criterion whose estimates nothing makes sure, and the rule it writes instead."""

import pytest

from hpc.core.question.bare import find_bare, with_tests
from hpc.core.question.criterion import parse_criterion

CHANGE = "relative_change(a=1) <= -5%"


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (CHANGE, f"{CHANGE} and adjusted_p(a=1) < 0.05"),
        ("all(relative_change <= -5%)", "all(relative_change <= -5% and adjusted_p < 0.05)"),
        ("not relative_change(a=1) > -5%", f"{CHANGE} and adjusted_p(a=1) < 0.05"),
        ("mean(a=1) < mean(a=2)", "mean(a=1) < mean(a=2) and adjusted_p(a=1 versus a=2) < 0.05"),
        ("relative_change(a=1) <= 2%", "relative_change(a=1) <= 2% and tested(a=1) == EQUIVALENT"),
        (f"{CHANGE} and adjusted_p(a=2) < 0.05", f"{CHANGE} and adjusted_p(a=2) < 0.05 and adjusted_p(a=1) < 0.05"),
        ("any(verdict == WINNER)", "any(verdict == WINNER and tested == WINNER)"),
        ("any(change < 0 and p < 0.05)", "any(change < 0 and p < 0.05 and adjusted_p < 0.05)"),
        (f"{CHANGE} and adjusted_p < 0.5", f"{CHANGE} and adjusted_p(a=1) < 0.5 and adjusted_p(a=1) < 0.05"),
    ],
)
def test_the_rule_to_write_instead_has_the_test_that_was_lacking(text: str, instead: str) -> None:
    """It is the same rule with a test of the same comparison, and nothing is bare in it any more."""
    rule = parse_criterion(text)
    written = with_tests(rule, find_bare(rule)).text

    assert written == instead
    assert not find_bare(parse_criterion(written))


@pytest.mark.parametrize(
    "text",
    [
        f"{CHANGE} and adjusted_p < 0.05", f"{CHANGE} and tested == WINNER", f"{CHANGE} and verdict == WINNER",
        "all(relative_change <= -5%) and all(adjusted_p < 0.05)", "all(failed == 0) and n(a=1) >= 3",
        "any(change < 0 and tested == WINNER)", "any(verdict == WINNER and adjusted_p < 0.05)",
        "-2% <= relative_change(a=1) <= 2% and tested == EQUIVALENT", "tested(a=1) == EQUIVALENT",
    ],
)  # fmt: skip
def test_nothing_is_said_of_a_criterion_that_asks_how_sure(text: str) -> None:
    """A test of the same comparison beside the estimate is all that is wanted."""
    assert find_bare(parse_criterion(text)) == ()


def test_what_no_test_is_about_is_told_apart() -> None:
    """A mean has an interval, a median none: there is no rule to write instead."""
    found = find_bare(parse_criterion("mean(a=1) < 3 or median(a=1) < 2"))

    assert [(one.test, one.has_interval) for one in found] == [(None, True), (None, False)]
