"""Who may take a lease: the table, and that a lease reads back as it was written."""

import pytest

from hpc.core.slurm.lease import BEAT_S, LOST_BEATS, Lease, Standing, judge_lease

LEASE = Lease("ab12", "n1", 77, "pid:[1]/boot/77/5", "1234", 3, "follow/heartbeat.ab12")
LONG = LOST_BEATS * BEAT_S + 1


@pytest.mark.parametrize(
    ("silent_s", "lives", "beat_seen", "expected"),
    [
        (1, True, False, Standing.ALIVE),
        (1, None, True, Standing.ALIVE),
        (1, None, False, Standing.UNSURE),
        (LONG - 2, None, False, Standing.UNSURE),
        (1, False, False, Standing.DEAD),
        (1, False, True, Standing.DEAD),
        (LONG, None, False, Standing.DEAD),
        (LONG, True, False, Standing.DEAD),  # stopped, or cut off from its files
        (-5, None, False, Standing.UNSURE),  # a server that sets its clock back
    ],
)
def test_a_lease_may_be_taken_from_who_is_known_dead_or_silent_for_long(silent_s, lives, beat_seen, expected):
    """Known to be gone: at once; nobody can tell: after six beats of silence; any sign of life: not."""
    assert judge_lease(LEASE, silent_s, lives=lives, beat_seen=beat_seen) is expected


def test_no_lease_is_free():
    """Whoever comes first has it."""
    assert judge_lease(None, 0, lives=None) is Standing.FREE


def test_a_lease_reads_back_as_it_was_written():
    """parse(render(x)) = x, also with a key that a later version adds."""
    assert Lease.from_json({**LEASE.to_json(), "mood": "good"}) == LEASE
    assert str(LEASE) == "job 1234 on n1"
