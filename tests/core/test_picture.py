"""Bars and sparklines: they add up, they lose nobody, they hold for every number there is."""

import math

from hypothesis import given
from hypothesis import strategies as st

from hpc.core.failures.outcomes import Outcome
from hpc.core.picture import OUTCOME_STYLES, STYLES, bar, in_words, shares, sparkline, thin

COUNTS = st.lists(st.integers(0, 10**6), max_size=6)


@given(COUNTS, st.integers(6, 200))
def test_shares_add_up_and_forget_nobody(counts: list[int], cells: int) -> None:
    """The cells are all given; what is there at all has one; more is never drawn shorter than less."""
    given_ = shares(counts, cells)
    assert sum(given_) == (cells if sum(counts) else 0)
    assert [bool(many) for many in given_] == [bool(count) for count in counts]
    for count, many in zip(counts, given_, strict=True):
        if count and len([each for each in counts if each]) == 1:
            assert many == cells
        if many > 1:  # nobody has a whole cell more than its share
            assert many < count * cells / sum(counts) + 1


@given(st.dictionaries(st.sampled_from([each.value for each in Outcome]), st.integers(0, 2000)), st.integers(1, 300))
def test_a_bar_fits_and_shows_every_outcome(counts: dict[str, int], width: int) -> None:
    """Never wider than the line (of ten characters at least), and one stretch for each outcome there is."""
    line = bar(counts, width)
    assert len(in_words([line])[0]) <= max(10, width)
    assert {style for _, style in line} == {OUTCOME_STYLES[name] for name, count in counts.items() if count}
    assert set(OUTCOME_STYLES.values()) <= set(STYLES)
    assert set(OUTCOME_STYLES) == {each.value for each in Outcome}


@given(st.lists(st.floats(), max_size=200), st.integers(1, 40))
def test_a_sparkline_has_one_character_a_point(values: list[float], most: int) -> None:
    """Whatever floats it gets: as many characters as points, spaces where nothing is finite, high above low."""
    points = thin(values, most)
    assert len(points) == min(most, len(values))
    line = sparkline(points)
    finite = [value for value in points if value is not None]
    assert all(math.isfinite(value) for value in finite)
    assert len(line) == (len(points) if finite else 0)
    if finite and len(line) == len(points):
        drawn = sorted((value, line[at]) for at, value in enumerate(points) if value is not None)
        assert [sign for _, sign in drawn] == sorted(sign for _, sign in drawn)
        assert {line[at] for at, value in enumerate(points) if value is None} <= {" "}


def test_a_falling_curve_falls() -> None:
    """The first point is the highest, the last the lowest; a flat one lies in the middle."""
    assert sparkline(thin([8, 7, 6, 5, 4, 3, 2, 1], 8)) == "█▇▆▅▄▃▂▁"
    assert sparkline([2.0, 2.0, None]) == "▅▅ "
