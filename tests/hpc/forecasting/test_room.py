"""Room for runs: the tighter of disk and quota, by a quota that is asked on PATH."""

import os
from pathlib import Path

import pytest

from hpc.adapters.shared_disk import mount_at
from hpc.core.errors import InputError
from hpc.core.forecast.predict import Interval
from hpc.forecasting.making import find_lack
from hpc.forecasting.room import Room, look_at_room


def test_the_tighter_of_disk_and_quota_counts(disk_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the file system the runs are on; a folder that is not there yet is looked at above it."""
    mount = mount_at(disk_path)
    assert mount is not None
    client = disk_path / "bin" / "quota"
    client.parent.mkdir()
    rows = f"{mount.source} 500 1024 2048 0 120 900 1000 0\n/dev/other 5 6 7 0 1 1 1 0\n"
    client.write_text(f"#!/bin/sh\ncat <<'EOF'\nDisk quotas for user anna (uid 1000):\n{rows}EOF\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}{os.pathsep}{os.environ['PATH']}")

    room = look_at_room(disk_path / "not" / "there")

    assert room.folder == disk_path
    assert (room.quota_mib, room.quota_files) == (pytest.approx(524 / 1024), 780)
    assert (room.least_mib, room.is_by_quota) == (room.quota_mib, True)
    assert room.least_files == min(780, room.free_files or 780)


def test_too_many_files_are_refused_like_too_much_space() -> None:
    """Both at once, each with its figures; what fits is not."""
    room = Room(Path("/scratch"), 1000.0, 500, 100.0, None)
    said = str(InputError(find_lack(room, Interval(200.0, 150.0, 300.0), "6 run folders", 900.0)))

    assert "will write 200 MB (150–300 MB) (by 6 run folders), and the quota leaves 100 MB at /scratch" in said
    assert "about 900 files, and 500 may still be made" in said
    assert find_lack(room, Interval(99.0, 50.0, 300.0), "6 run folders", 499.0) == []
