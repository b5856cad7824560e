"""The lease's files: generations, signs of life by the file server's clock, and fencing."""

import json
import os
import time
from pathlib import Path

import pytest

from hpc.adapters.lease import Heartbeat, give_back, read_generation, read_lease, silent_s, write_lease
from hpc.adapters.ledger import append_json_line, read_json_lines
from hpc.core.layout import RunLayout
from hpc.core.slurm.lease import BEAT_S, LOST_BEATS, Lease
from hpc.unattended.lease import LeaseIsHeld, LeaseIsLost, hold_lease


def lease_of(holder: str, generation: int = 1) -> Lease:
    """A holder on a machine of which nothing is known from here."""
    return Lease(holder, "elsewhere", 7, "pid:[0]/boot/7/1", "", generation, f"follow/heartbeat.{holder}", 0.05)


def test_silence_is_measured_by_the_clock_of_the_files(tmp_path: Path) -> None:
    """A heartbeat touched in the past is as old as a file made now says, and every beat makes it young again."""
    path, lease = tmp_path / "follow.lease", lease_of("ab")
    write_lease(path, lease)
    past = time.time() - 1000
    for file in (path, tmp_path / lease.heartbeat):
        os.utime(file, (past, past))
    assert silent_s(path, lease) == pytest.approx(1000, abs=5)
    with Heartbeat(tmp_path / lease.heartbeat, 0.02):
        time.sleep(0.2)
        assert silent_s(path, lease) < 5
    assert list(tmp_path.glob(".*.now")) == []


def test_a_lease_given_back_still_counts(tmp_path: Path) -> None:
    """Generations only grow, also over a lease that was given back; nobody gives back what is another's."""
    path = tmp_path / "follow.lease"
    assert read_generation(path) == 0
    write_lease(path, lease_of("ab", 4))
    give_back(path, lease_of("cd", 3))
    assert read_lease(path) == lease_of("ab", 4)
    give_back(path, lease_of("ab", 4))
    assert (read_lease(path), read_generation(path)) == (None, 4)


def test_who_was_superseded_does_nothing_more(tmp_path: Path) -> None:
    """A holder whose lease another took (it was silent for too long) is stopped before its next act, and leaves it."""
    layout = RunLayout(tmp_path, "x")
    layout.home.mkdir()
    with pytest.raises(LeaseIsLost, match="process 7 on elsewhere"), hold_lease(layout) as guard:  # noqa: PT012
        guard()
        taken = lease_of("ab", read_generation(layout.follow_lease) + 1)
        write_lease(layout.follow_lease, taken)
        guard()
    assert read_lease(layout.follow_lease) == taken


def test_a_silent_holder_elsewhere_is_superseded_and_a_beating_one_is_not(tmp_path: Path) -> None:
    """From another host: six beats of silence and the lease is taken, one generation on; a beat, and it is not."""
    layout = RunLayout(tmp_path, "x")
    write_lease(layout.follow_lease, lease_of("ab", 4))
    beats = Heartbeat(layout.home / "follow/heartbeat.ab", 0.05)
    with beats, pytest.raises(LeaseIsHeld, match="elsewhere"), hold_lease(layout):
        pass
    past = time.time() - LOST_BEATS * BEAT_S - 1
    for file in (layout.follow_lease, layout.home / "follow/heartbeat.ab"):
        os.utime(file, (past, past))
    with hold_lease(layout):
        assert read_generation(layout.follow_lease) == 5


def test_a_ledger_survives_a_torn_line(tmp_path: Path) -> None:
    """A line somebody died over is left out, and the next one stands on a line of its own."""
    path = tmp_path / "follow.jsonl"
    append_json_line(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"a": 2, "b')
    append_json_line(path, {"a": 3})
    assert read_json_lines(path) == [{"a": 1}, {"a": 3}]
    assert json.loads(path.read_text().splitlines()[2]) == {"a": 3}
