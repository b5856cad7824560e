"""Lineage: each attempt has one fate, whatever the records claim about where they came from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.data.lineage import Course, Fate, course, trace, was_taken_away

CATEGORIES = (None, "success", "timeout", "preempted", "node_failure", "oom_gpu", "communication")
ATTEMPTS = st.lists(
    st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(("", "checkpointed")), st.none() | st.integers(-1, 9)),
    max_size=8,
)
OUTCOMES = st.sampled_from(("finished", "failed", "running", "pending"))


def _attempts(*told: tuple[str | None, str, int | None]) -> list[dict[str, Any]]:
    return [
        {
            "attempt": number,
            "verdict": None if category is None else {"category": category, "cause": cause},
            "resumed_from_attempt": source,
        }
        for number, (category, cause, source) in enumerate(told, start=1)
    ]


@given(ATTEMPTS, OUTCOMES)
def test_any_history_is_traced(told: list[tuple[str | None, str, int | None]], outcome: str) -> None:
    """Attempts that claim to come from themselves, the future or nowhere neither hang nor get lost."""
    traced = trace(_attempts(*told), outcome)

    assert len(traced) == len(told)
    assert all(one.continued_in == 0 or place < one.continued_in <= len(told) for place, one in enumerate(traced, 1))
    assert all((one.fate is Fate.SUCCESS) == (told[place][0] == "success") for place, one in enumerate(traced))
    assert not traced or traced[-1].stands_behind
    assert (course([one.fate for one in traced], outcome) is Course.SINGLE) == (len(told) < 2)


def test_only_the_line_of_the_result_counts() -> None:
    """Attempt 3 went back to attempt 1: attempt 2, preempted too, is a side branch that gave nothing."""
    traced = trace(_attempts(("preempted", "", None), ("preempted", "", 1), ("success", "", 1)), "finished")

    assert [one.fate for one in traced] == [Fate.CONTINUED, Fate.FAILED, Fate.SUCCESS]
    assert [one.continued_in for one in traced] == [3, 0, 0]
    assert [one.stands_behind for one in traced] == [True, False, True]


def test_unknown_origin_counts_as_none() -> None:
    """Records older than the key say nothing about resuming, so nothing is taken for continued."""
    attempts = _attempts(("preempted", "", None), ("success", "", None))
    for one in attempts:
        del one["resumed_from_attempt"]

    assert [one.fate for one in trace(attempts, "finished")] == [Fate.FAILED, Fate.SUCCESS]


@pytest.mark.parametrize(
    ("category", "cause", "expected"),
    [
        ("timeout", "checkpointed", True),
        ("timeout", "time_limit", False),
        ("preempted", "", True),
        ("node_failure", "node_down", True),
        ("oom_gpu", "checkpointed", False),
        ("gpu_hardware", "", False),
    ],
)
def test_what_counts_as_taken_away(category: str, cause: str, expected: bool) -> None:
    """A time limit that struck is a failure; a stop on request, a preemption and a lost node are not."""
    assert was_taken_away({"verdict": {"category": category, "cause": cause}}) is expected


def test_task_run_again_after_success_is_not_healed() -> None:
    """Two successes in a row: repeated, nothing was wrong."""
    assert course([Fate.SUCCESS, Fate.SUCCESS], "finished") is Course.REPEATED
