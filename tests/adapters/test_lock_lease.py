"""The lock of file systems without locks: one holder, dead and silent ones are superseded by exactly one."""

import threading
import time
from pathlib import Path

import pytest

from hpc.adapters import ledger, locks, proc
from hpc.adapters.lock_lease import LockLease

SILENT = "token=0011\nhost=node-that-burnt\nprocess=b/1/2\nspace=pid:[1]\n"
SHORT_S = 0.3


def test_of_many_that_wait_for_a_silent_holder_one_succeeds_it(tmp_path: Path) -> None:
    """Ten judge the same lease as over; never do two hold it, and each gets it in the end."""
    (tmp_path / "x.lease").write_text(SILENT)
    inside, most, done = [0], [0], []

    def take() -> None:
        held = LockLease(tmp_path / "x", SHORT_S, 30)
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        inside[0] -= 1
        held.release()
        done.append(held)

    threads = [threading.Thread(target=take) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), most[0]) == (10, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_successor_that_died_over_it_is_superseded_too(tmp_path: Path) -> None:
    """Somebody had the right to take it over and was killed then: after as long again the next one has it."""
    (tmp_path / "x.lease").write_text(SILENT)
    (tmp_path / ".x.lease.0011.after-1").write_text(SILENT.replace("0011", "22"))
    LockLease(tmp_path / "x", SHORT_S, 5).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("here", [True, False])
def test_a_dead_holder_is_known_where_its_number_was_given(tmp_path: Path, here: bool) -> None:
    """At once among the same processes; a container's holder, numbered by others, is judged by its silence."""
    space = Path("/proc/self/ns/pid").readlink() if here else "pid:[1]"
    (tmp_path / "x.lease").write_text(f"token=1\nhost={proc.this_host()}\nprocess=b/1/2\nspace={space}\n")
    began = time.monotonic()
    LockLease(tmp_path / "x", 1, 1).release()
    assert (time.monotonic() - began < 1) == here


def test_who_was_superseded_lets_go_of_nothing(tmp_path: Path) -> None:
    """A holder that slept too long and wakes up leaves its successor's lease alone."""
    late = LockLease(tmp_path / "x", 60, 1)
    (tmp_path / "x.lease").write_text(SILENT)
    late.release()
    assert (tmp_path / "x.lease").read_text() == SILENT


def test_where_locks_hold_on_one_machine_only_a_lease_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the mount's options: for the lock, and for a ledger."""
    monkeypatch.setattr(locks, "excludes_all", lambda _: False)
    with locks.lock(tmp_path / "x"):
        assert "token=" in (tmp_path / "x.lease").read_text()
    ledger.append_json_line(tmp_path / "ledger.jsonl", {"a": 1})
    assert ledger.read_json_lines(tmp_path / "ledger.jsonl") == [{"a": 1}]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.jsonl"]
