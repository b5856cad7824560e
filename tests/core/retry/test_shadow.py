"""Decisions that were only kept, held against what people did."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.records.shadow import HOLD, LEAVE, RETRY, START, Kept
from hpc.core.retry.shadow import Act, score

RETRIED = Kept(10.0, RETRY, "S1", 2, "oom_host", 4000, 600)
OTHER = Act(20.0, "S9", 1, 4000, 600)
CASES = {
    "the same": (RETRIED, [Act(20.0, "S1", 2, 4000, 600)], ""),
    "with more memory": (RETRIED, [Act(20.0, "S1", 2, 8000, 600)], "people gave it memory 8000 MiB, not 4000 MiB"),
    "before it was decided": (RETRIED, [Act(9.0, "S1", 2, 4000, 600)], None),
    "nothing yet": (RETRIED, [], None),
    "something else": (RETRIED, [OTHER], "people left it alone"),
    "left, and so did they": (Kept(10.0, LEAVE, "S1", 1), [OTHER], ""),
    "left, and nothing yet": (Kept(10.0, LEAVE, "S1", 1), [], None),
    "left, and they did not": (Kept(10.0, LEAVE, "S1", 1), [Act(20.0, "S1", 2, 1, 1)], "people started it again"),
    "started": (Kept(10.0, START, "S1", 1), [Act(20.0, "S1", 1, 1, 1)], ""),
    "held, and they went on": (Kept(10.0, HOLD, ""), [OTHER], "people started 1 task more"),
    "held, and nothing yet": (Kept(10.0, HOLD, ""), [], None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_decision_is_held_against_what_people_did(name: str) -> None:
    kept, acts, answer = CASES[name]
    told = score([kept], acts)

    assert ([kept] if answer == "" else []) == list(told.same)
    assert ([(kept, answer)] if answer else []) == list(told.otherwise)
    assert ([kept] if answer is None else []) == list(told.unanswered)


def test_a_hold_by_hand_is_what_it_would_have_done() -> None:
    assert score([Kept(10.0, HOLD, "")], [], held_at=12.0).same


def test_the_last_word_before_people_acted_counts() -> None:
    """It learned meanwhile, and would give more; a word after the act is about nothing any more."""
    later = replace(RETRIED, time=15.0, memory_mib=8000)
    after = replace(RETRIED, time=25.0, memory_mib=9000)
    told = score([after, RETRIED, later], [Act(20.0, "S1", 2, 8000, 600)])

    assert told.same == (later,)
    assert told.text == "in shadow: of 1 decision, 1 as people did, 0 otherwise, 0 open"


def test_what_people_did_otherwise_is_told() -> None:
    assert score([RETRIED], [OTHER]).text == (
        "in shadow: of 1 decision, 0 as people did, 1 otherwise, 0 open "
        "(would retry S1 (oom_host); people left it alone)"
    )


decisions = st.builds(
    Kept, st.floats(0, 100), st.sampled_from([RETRY, LEAVE, START, HOLD]), st.sampled_from(["S1", "S2", "S3"]),
    st.integers(1, 3), st.just("unknown"), st.just(1), st.just(1),
)  # fmt: skip
acts = st.builds(Act, st.floats(0, 100), st.sampled_from(["S1", "S2", "S3"]), st.integers(1, 4), st.just(1), st.just(1))


@given(st.lists(decisions, max_size=8), st.lists(acts, max_size=8))
def test_every_decision_is_counted_once(kept: list[Kept], people: list[Act]) -> None:
    """Once for each thing it is about, however often it was said and whatever people did."""
    told = score(kept, people)

    assert len(told.same) + len(told.otherwise) + len(told.unanswered) == len({each.subject for each in kept})
