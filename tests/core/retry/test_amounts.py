"""How much more time is asked for: enough, and in few different amounts."""

from hypothesis import given
from hypothesis import strategies as st

from hpc.core.resources import DAY, HOUR, MINUTE
from hpc.core.retry.amounts import next_time


@given(st.floats(1, 7 * DAY))
def test_measured_time_is_enough_and_little_more(needed_s: float) -> None:
    """Never less than what the steps need; at most a quarter of an hour more up to twelve hours, then an hour."""
    given_s = next_time(MINUTE, 2.0, 0, needed_s)
    spare = MINUTE if needed_s <= 2 * HOUR else HOUR // 4 if needed_s <= 12 * HOUR else HOUR
    assert needed_s <= given_s < max(MINUTE, needed_s + spare) + 1


def test_thousands_of_timeouts_need_few_arrays() -> None:
    """Each limit is an array of its own: 2,000 tasks that need between 4 and 24 hours share 44 limits."""
    needs = (4 * HOUR + 36 * number for number in range(2000))
    assert len({next_time(HOUR, 2.0, 3 * DAY, seconds) for seconds in needs}) <= 45
