"""Learned micro-batches: what one task showed, all tasks of its shape know, and nothing is ever raised or forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.retry.learned import NOTHING_KNOWN, Known, Observation, learn, shape_of, starting_micro

GPU = {"nodes": 1, "gpus": 2, "memory_mib": 4096, "time_s": 60}
CPU = {**GPU, "gpus": 0}
LAUNCH = {"kind": "accelerate", "processes": 2, "mixed_precision": "no", "zero_stage": None}


def known(fits: int | None = None, fails: int | None = None) -> Known:
    seen = [(fits, True, "A/attempt-2"), (fails, False, "A/attempt-1")]
    return learn(NOTHING_KNOWN, [Observation("s", {"rank": 8}, m, ok, where) for m, ok, where in seen if m])


def shape(parameters: dict, names: list[str] | None = None, resources: dict = GPU, image: str = "") -> str:
    return shape_of(parameters, names, resources, LAUNCH, image, "c0de")


def test_seed_and_learning_rate_do_not_make_a_shape() -> None:
    """Tasks that differ in seed or learning rate share what was learned; those of another rank do not."""
    assert shape({"rank": 8, "lr": 0.1, "seed": 1}) == shape({"rank": 8, "lr": 0.2, "seed": 2})
    assert shape({"rank": 8}) != shape({"rank": 16})
    assert shape({"rank": 8}) != shape({"rank": 8}, image="other")


def test_declared_names_decide_the_shape() -> None:
    """`batch.shape` says which parameters matter for memory, the learning rate among them if it is named."""
    assert shape({"rank": 8, "decay": 1}, ["rank"]) == shape({"rank": 8, "decay": 2}, ["rank"])
    assert shape({"rank": 8, "lr": 1}, ["lr"]) != shape({"rank": 8, "lr": 2}, ["lr"])


def test_host_memory_makes_a_shape_only_where_the_cpu_trains() -> None:
    """More host memory proves nothing on a GPU and much on a CPU; the time limit never matters."""
    more = {"memory_mib": 8192, "time_s": 7200}
    assert shape({}, resources=GPU) == shape({}, resources=GPU | more)
    assert shape({}, resources=CPU) != shape({}, resources=CPU | more)


@pytest.mark.parametrize(
    ("fits", "fails", "micro", "expected"),
    [
        (None, None, 192, None),
        (96, None, 192, None),  # nothing failed: nothing is lowered
        (48, 192, 192, (48, 8)),  # straight to what fits, over the half
        (48, 192, 384, (48, 8)),
        (48, 192, 96, None),  # in between: no known reason against it
        (None, 192, 192, (96, 4)),  # none known to fit: half
        (None, 96, 192, (48, 8)),
        (192, 96, 192, (48, 8)),  # it fitted once and failed once: it fails
        (50, 192, 192, (48, 8)),  # 50 does not divide the global batch
    ],
)
def test_starting_micro(fits: int | None, fails: int | None, micro: int, expected: tuple[int, int] | None) -> None:
    """A micro-batch known to fail is lowered to the largest known to fit, with the global batch kept exactly."""
    found = starting_micro(known(fits, fails), "s", micro, 384, 1)
    assert (found[:2] if found else None) == expected


def test_the_evidence_is_named() -> None:
    """Whoever reads the change finds the attempts behind it."""
    found = starting_micro(known(48, 192), "s", 192, 384, 1)
    assert found
    assert found[2] == "192 ran out of memory in A/attempt-1, 48 fits (A/attempt-2)"
    assert starting_micro(known(48, 192), "another", 192, 384, 1) is None


def test_smallest_allowed_micro_batch_is_respected() -> None:
    """Nothing is lowered below min_micro, even where a smaller one is known to fit."""
    assert starting_micro(known(4, 16), "s", 16, 64, 1, min_micro=8) is None
    assert starting_micro(known(None, 16), "s", 16, 64, 1, min_micro=16) is None


SEEN = st.lists(
    st.builds(
        Observation, st.sampled_from("ab"), st.just({}), st.integers(1, 512), st.booleans(), st.sampled_from("xyz")
    )
)


@given(SEEN, SEEN)
def test_nothing_learned_is_lost(first: list[Observation], second: list[Observation]) -> None:
    """The largest that fitted only grows, the smallest that failed only falls, and the order does not matter."""
    before, after = learn(NOTHING_KNOWN, first), learn(learn(NOTHING_KNOWN, first), second)
    other_order = learn(learn(NOTHING_KNOWN, second), first)
    for name, found in before["shapes"].items():
        now = after["shapes"][name]
        assert not found["fits"] or now["fits"]["micro"] >= found["fits"]["micro"]
        assert not found["fails"] or now["fails"]["micro"] <= found["fails"]["micro"]

    def sizes(known: Known) -> dict:
        return {
            name: tuple(found[side] and found[side]["micro"] for side in ("fits", "fails"))
            for name, found in known["shapes"].items()
        }

    assert sizes(other_order) == sizes(after)


@given(SEEN, st.integers(1, 512), st.integers(1, 64), st.integers(1, 8), st.integers(1, 16))
def test_the_global_batch_is_kept_and_the_micro_batch_never_raised(
    seen: list[Observation], micro: int, accumulation: int, processes: int, least: int
) -> None:
    """Whatever was learned: smaller than before, below every failure, at least the minimum, same global batch."""
    whole, learned = micro * accumulation * processes, learn(NOTHING_KNOWN, seen)
    found = starting_micro(learned, "a", micro, whole, processes, least)
    if found:
        assert least <= found[0] < micro
        assert found[0] < learned["shapes"]["a"]["fails"]["micro"]
        assert found[0] * found[1] * processes == whole
