"""Sampled parameter sets are even, in range, readable, and decided by their seed alone."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.experiments.sampling import Range, draw

SPACE = {
    "lr": Range("log", (1e-5, 1e-2)),
    "dropout": Range("linear", (0.0, 0.5)),
    "layers": Range("int", (2, 6)),
    "width": Range("int_log", (8, 512)),
    "act": Range("choices", ("relu", "gelu", None)),
}
METHODS = ("sobol", "lhs", "random")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_seed_decides_and_nothing_else_does(method, n):
    """The same seed draws the same sets whatever numpy's and Python's global seeds are; another seed draws others."""
    np.random.seed(1)  # noqa: NPY002  the global state is what must not matter
    random.seed(1)
    first = draw(SPACE, n, method, seed=3)
    np.random.seed(2)  # noqa: NPY002  the global state is what must not matter
    random.seed(2)

    assert draw(SPACE, n, method, seed=3) == first
    assert draw(SPACE, n, method, seed=4) != first
    assert len(first) == n


@given(st.floats(0, 1, exclude_max=True))
def test_every_value_lies_in_its_range(position):
    """Any position gives a value of the right type within the bounds."""
    values = {name: one.at(position) for name, one in SPACE.items()}

    assert 1e-5 <= values["lr"] <= 1e-2
    assert 0 <= values["dropout"] <= 0.5
    assert values["layers"] in range(2, 7)
    assert values["width"] in range(8, 513)
    assert values["act"] in ("relu", "gelu", None)
    assert isinstance(values["layers"], int)


@pytest.mark.parametrize("method", ["sobol", "lhs"])
def test_few_points_cover_the_range_evenly(method):
    """16 points of an even design put 4 into each quarter of the logarithmic range, and meet every whole number."""
    points = draw(SPACE, 16, method, seed=0)

    quarters = [int((math.log10(point["lr"]) + 5) / 3 * 4) for point in points]
    assert [quarters.count(quarter) for quarter in range(4)] == [4, 4, 4, 4]
    assert {point["layers"] for point in points} == {2, 3, 4, 5, 6}


@given(low=st.integers(1, 50), extra=st.integers(1, 50), kind=st.sampled_from(["int", "int_log"]))
@settings(max_examples=50)
def test_both_ends_of_a_whole_number_range_can_be_drawn(low, extra, kind):
    """The smallest and the largest whole number are among the values."""
    one = Range(kind, (low, low + extra))

    assert one.at(0.0) == low
    assert one.at(1 - 1e-12) == low + extra


def test_values_are_short_enough_for_a_name():
    """Floats keep six significant digits."""
    assert all(
        len(f"{point['lr']:g}") <= 12 and float(f"{point['lr']:.6g}") == point["lr"]
        for point in draw(SPACE, 50, "random", 0)
    )
