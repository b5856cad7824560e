"""`hpc.core.history.reproduced`: when a run made again counts as the same."""

import math

from hypothesis import given
from hypothesis import strategies as st

from hpc.core.history.metrics import Spread
from hpc.core.history.reproduced import Repeated, Sameness, describe_reproduction, is_reproduced

VALUES = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(-1e6, 1e6)
SPREADS = st.none() | st.builds(Spread, st.floats(0, 1e6), st.integers(2, 20), st.just(1))
NAMES = st.sampled_from(["loss", "accuracy", "training_time", "anything"])
METRICS = st.lists(
    st.builds(Repeated, NAMES, st.none() | VALUES, st.none() | VALUES, SPREADS, st.none() | st.integers(0, 9)),
    max_size=4, unique_by=lambda each: each.metric,
)  # fmt: skip


@given(VALUES, SPREADS)
def test_the_same_value_is_equal_whatever_the_spread(value, spread):
    """No number is the same as no number, too."""
    assert Repeated("loss", value, value, spread).sameness is Sameness.EQUAL


@given(FINITE, FINITE, SPREADS)
def test_which_one_was_first_makes_no_difference(first, second, spread):
    """The verdict is symmetric, and equal means to the bit."""
    one, other = Repeated("loss", first, second, spread), Repeated("loss", second, first, spread)

    assert one.sameness is other.sameness
    assert (one.sameness is Sameness.EQUAL) == (first == second)


@given(FINITE, st.floats(1e-3, 1e3), st.floats(0, 10))
def test_within_means_two_deviations(first, deviation, times):
    """Just inside is within, just outside is different; without a spread nobody can say."""
    second = first + times * deviation
    found = Repeated("loss", first, second, Spread(deviation, 3, 1))
    if found.sameness is not Sameness.EQUAL:
        assert (found.sameness is Sameness.WITHIN) == (abs(second - first) <= 2 * deviation)
        assert Repeated("loss", first, second).sameness is Sameness.UNKNOWN


@given(METRICS, NAMES)
def test_the_sentence_says_what_the_exit_code_says(metrics, primary):
    """ "Reproduced" is said of nothing else than what counts as reproduced."""
    told = describe_reproduction(metrics, primary)

    assert told.startswith("reproduced") == is_reproduced(metrics, primary)


@given(METRICS, VALUES)
def test_times_decide_nothing(metrics, seconds):
    """Another duration makes no run another one, unless it is what the experiment is about."""
    kept = [each for each in metrics if each.metric != "training_time"]
    with_time = [*kept, Repeated("training_time", seconds, math.pi)]

    assert is_reproduced(kept, "loss") == is_reproduced(with_time, "loss")


def test_curves_that_part_are_said():
    """Equal at the end is not equal to the bit on the way."""
    told = describe_reproduction([Repeated("loss", 1.0, 1.0, None, 7)], "loss")

    assert told == "reproduced: loss is equal to the bit, with another curve of loss"
