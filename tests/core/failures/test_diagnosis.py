"""Causes and debugging steps: whole, short, and what the requirements ask of the five common failures."""

import pytest

from hpc.core.failures.diagnosis import BY_CAUSE, BY_SIGN, DIAGNOSES, Diagnosis, advice_of, diagnose
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.fact_rules import FACT_RULES
from hpc.core.failures.health import Sign
from hpc.core.failures.log_rules import LOG_RULES

EVERY = [*DIAGNOSES.values(), *BY_CAUSE.values(), *BY_SIGN.values()]


def test_every_class_and_sign_has_causes_and_steps() -> None:
    """The tables are total; only a success needs no diagnosis."""
    assert set(DIAGNOSES) == set(FailureClass)
    assert set(BY_SIGN) == set(Sign)
    empty = [category for category, found in DIAGNOSES.items() if not (found.causes and found.steps)]
    assert empty == [FailureClass.SUCCESS]


def test_every_sub_cause_is_one_a_rule_gives() -> None:
    """A row for a sub-cause no rule names would never be shown."""
    given = {(rule.category, rule.cause) for rule in (*LOG_RULES, *FACT_RULES)}
    assert set(BY_CAUSE) - given == set()


@pytest.mark.parametrize("found", EVERY)
def test_rows_fit_a_terminal(found: Diagnosis) -> None:
    """At most five items a list, each at most two lines of 80 columns."""
    for items in (found.causes, found.steps):
        assert len(items) <= 5
        assert all(len(item) <= 110 for item in items)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (diagnose(FailureClass.DIVERGENCE, "loss"), ("learning rate", "clip", "fp16", "inputs and labels")),
        (diagnose(FailureClass.NOT_CONVERGED, "flat"), ("overfit one batch", "log N", "gradient", "learning rate")),
        (BY_SIGN[Sign.APART], ("overfitting", "dropout", "leakage")),
        (diagnose(FailureClass.OOM_GPU, "cuda"), ("smaller micro-batch", "accumulation", "mixed precision")),
        (diagnose(FailureClass.CODE_BUG, "shapes"), ("print shape", "batch", "devices")),
    ],
)
def test_the_common_failures_name_what_the_requirements_list(found: Diagnosis, words: tuple[str, ...]) -> None:
    """NaN loss, no learning, train and validation apart, out of memory, shape mismatch: the lists' own words."""
    text = " ".join((*found.causes, *found.steps)).lower()
    assert [word for word in words if word.lower() not in text] == []


def test_a_sub_cause_without_a_row_has_its_class_s() -> None:
    """An unknown sub-cause is answered by its class; a sign's advice is its first step."""
    assert diagnose(FailureClass.STORAGE, "anything") is DIAGNOSES[FailureClass.STORAGE]
    assert diagnose(FailureClass.CODE_BUG, "shapes") is not DIAGNOSES[FailureClass.CODE_BUG]
    assert advice_of(Sign.APART) == BY_SIGN[Sign.APART].steps[0]
