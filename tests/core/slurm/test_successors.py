"""How the unattended loop goes on: the table of courses, the growing interval, and never more than three relays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.slurm.successors import Course, Kind, Relay, decide, next_interval, plan_successors

NOW, EVERY = 1_000_000.0, 600.0
END, LOOK, SPARE = Kind.END, Kind.LOOK, Kind.SPARE


@pytest.mark.parametrize(
    ("live", "left", "held", "days", "expected"),
    [
        (True, False, False, 1, Course.GOES_ON),
        (False, True, False, 1, Course.GOES_ON),
        (False, False, False, 1, Course.ENDED),
        (False, False, False, 99, Course.ENDED),
        (True, True, True, 1, Course.HELD),
        (False, False, True, 1, Course.HELD),
        (True, False, False, 15, Course.GAVE_UP),
        (False, True, False, 15, Course.GAVE_UP),
    ],
)
def test_the_course_is_read_off_a_table(live, left, held, days, expected):
    """Held comes first, then that nothing is left, then that it was followed for too long."""
    assert decide(live=live, left=left, held=held, followed_s=days * 86400, max_days=14) is expected


@pytest.mark.parametrize("live", [True, False])
def test_what_can_never_begin_is_given_up_once_nothing_runs(live):
    """What runs may still be healed or retried; without it nobody's waiting helps."""
    course = decide(live=live, left=True, held=False, followed_s=0, max_days=14, blocked=True)
    assert course is (Course.GOES_ON if live else Course.GAVE_UP)
    assert decide(live=False, left=True, held=True, followed_s=0, max_days=14, blocked=True) is Course.HELD


def test_looks_become_rarer_while_nothing_happens_and_not_rarer_than_half_an_hour():
    """10 minutes, 15, 22.5, 30, 30; back to 10 as soon as something was done; a longer `every` stays as it is."""
    minutes = [10.0]
    for _ in range(4):
        minutes.append(next_interval(600, minutes[-1] * 60, acted=False) / 60)
    assert minutes == [10, 15, 22.5, 30, 30]
    assert next_interval(600, 1800, acted=True) == 600
    assert next_interval(7200, 7200, acted=False) == 7200


def test_a_round_leaves_its_successors_behind():
    """Something runs: one job after the end of all of it, a look and a later one; nothing runs: the looks."""
    pair = plan_successors([], ["7", "9"], Course.GOES_ON, NOW, EVERY)
    assert {(each.kind, each.after, each.begin) for each in pair.submit} == {
        (LOOK, frozenset(), NOW + EVERY),
        (SPARE, frozenset(), NOW + 3 * EVERY),
        (END, frozenset({"7", "9"}), 0.0),
    }
    left = plan_successors([], [], Course.GOES_ON, NOW, EVERY).submit
    assert [each.kind for each in left] == [LOOK, SPARE]


def test_what_waits_already_is_kept_and_what_is_superfluous_is_cancelled():
    """The same end, an earlier look and a later spare stay; other ends, a later look and a spare that is due go."""
    keep = [
        Relay(END, frozenset({"9"}), 0.0, "21", 4),
        Relay(LOOK, frozenset(), NOW + 60, "22", 5),
        Relay(SPARE, frozenset(), NOW + 2 * EVERY, "24", 7),
    ]
    superfluous = [
        Relay(END, frozenset({"7"}), 0.0, "11", 1),
        Relay(END, frozenset({"9"}), 0.0, "23", 6),
        Relay(LOOK, frozenset(), NOW + 2 * EVERY, "12", 2),
        Relay(SPARE, frozenset(), NOW + 60, "13", 3),
    ]
    plan = plan_successors([*superfluous, *keep], ["9"], Course.GOES_ON, NOW, EVERY)
    assert (set(plan.keep), plan.submit, set(plan.cancel)) == (set(keep), (), set(superfluous))


@pytest.mark.parametrize("course", [Course.ENDED, Course.HELD, Course.GAVE_UP])
def test_nothing_waits_once_it_is_over(course):
    """However it ended, every relay that waits is cancelled and none is submitted."""
    waiting = [Relay(LOOK, begin=NOW, job="3", number=1)]
    plan = plan_successors(waiting, ["9"], course, NOW, EVERY)
    assert (plan.keep, plan.submit, plan.cancel) == ((), (), tuple(waiting))


RELAYS = st.builds(
    Relay,
    kind=st.sampled_from(Kind),
    after=st.frozensets(st.sampled_from("789")),
    begin=st.floats(0, 2 * NOW),
    job=st.uuids().map(str),
    number=st.integers(1, 99),
)


@given(st.lists(RELAYS), st.frozensets(st.sampled_from("789")), st.floats(1, 1800))
def test_whatever_waits_a_round_leaves_one_look_one_spare_and_at_most_one_end(waiting, live, interval_s):
    """No avalanche: kept and submitted together are the set, everything else that waits is cancelled, none twice."""
    plan = plan_successors(waiting, live, Course.GOES_ON, NOW, interval_s)
    kinds = [each.kind for each in (*plan.keep, *plan.submit)]
    assert (kinds.count(LOOK), kinds.count(SPARE)) == (1, 1)
    assert kinds.count(END) == bool(live)
    assert sorted((*plan.keep, *plan.cancel), key=lambda each: each.job) == sorted(waiting, key=lambda each: each.job)
    again = plan_successors([*plan.keep, *plan.submit], live, Course.GOES_ON, NOW, interval_s)
    assert (again.submit, again.cancel) == ((), ())
