"""What a task came to: never a success without a success, and counts that add up."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.failures.outcomes import Outcome, count_outcomes, outcome_of


def verdict(category: FailureClass) -> Verdict:
    return Verdict(category=category, cause="", rule="", confidence=1.0, summary="", suggestion="", evidence=())


@pytest.mark.parametrize("category", FailureClass)
def test_only_a_success_finishes_a_task(category):
    """Each class but success is a failure, unknown included."""
    outcome = outcome_of([verdict(category)], is_running=False, is_waiting=False)
    assert (outcome is Outcome.FINISHED) == (category is FailureClass.SUCCESS)
    assert (outcome is Outcome.FAILED) == (category is not FailureClass.SUCCESS)


@pytest.mark.parametrize(("is_running", "is_waiting"), list(product([False, True], repeat=2)))
def test_what_runs_or_waits_is_not_over(is_running, is_waiting):
    """A running attempt wins over a waiting one, both over earlier verdicts; nothing at all is planned."""
    for verdicts in ([], [verdict(FailureClass.OOM_GPU)], [verdict(FailureClass.OOM_GPU), None]):
        outcome = outcome_of(verdicts, is_running=is_running, is_waiting=is_waiting)
        if is_running:
            assert outcome is Outcome.RUNNING
        elif is_waiting:
            assert outcome is Outcome.PENDING
        else:
            assert outcome is (Outcome.FAILED if verdicts else Outcome.PLANNED)


def test_the_last_attempt_counts():
    """A failure that was healed is finished; a success that was lost again is not."""
    oom, success = verdict(FailureClass.OOM_HOST), verdict(FailureClass.SUCCESS)
    assert outcome_of([oom, success], is_running=False, is_waiting=False) is Outcome.FINISHED
    assert outcome_of([success, oom], is_running=False, is_waiting=False) is Outcome.FAILED


@given(st.lists(st.sampled_from(list(Outcome))))
def test_counts_add_up_and_name_every_outcome(outcomes):
    """Each outcome is named even at zero, and the counts sum to the tasks."""
    counts = count_outcomes(outcomes)
    assert list(counts) == [outcome.value for outcome in Outcome]
    assert sum(counts.values()) == len(outcomes)
