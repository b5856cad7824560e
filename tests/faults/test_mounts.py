"""What holds where names come late, files go stale and locks are missing, between two mounts that do so at will.

The table of docs/file-systems.md is held against what is found here. Half a minute; where this machine may not mount,
in the Linux of one process that the real NFS is tried in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults import suite
from tests.faults.mounts import can_mount
from tests.nfs.suite import CLAIMS, COUNTS, LINES, ROWS, SUBMISSIONS, VERSIONS
from tests.parts import REPOSITORY, SCRIPTS, need

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
COMMAND = f"{REPOSITORY}/.venv/bin/python -m tests.faults.suite"
IN_A_MACHINE = f"""
cd {REPOSITORY}; export PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
mkdir -p /run/modules/lib /run/faults; ln -s /usr/lib/uml/modules /run/modules/lib/modules
modprobe -d /run/modules fuse; [ -e /dev/fuse ] || mknod /dev/fuse c 10 229
{COMMAND} /run/faults FOUND
"""
WHO = dict.fromkeys(("11_1", "12_1", "21_1", "22_1"))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was found on each kind of mount."""
    folder = tmp_path_factory.mktemp("faults")
    out = folder / "found.json"
    command, environment = [*COMMAND.split(), folder, out], {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    if not can_mount():
        need(os.geteuid() == 0 and shutil.which("linux.uml"), "root, and /dev/fuse with libfuse3 or user-mode-linux")
        script = folder / "script.sh"
        script.write_text(IN_A_MACHINE.replace("FOUND", str(out)), encoding="utf-8")
        command, environment = [SCRIPTS / "lab/machine", folder, script], {**os.environ, "MACHINE_SECONDS": "1200"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dict(json.loads(out.read_text(encoding="utf-8")))


@pytest.fixture(params=suite.SOUND)
def found(request: pytest.FixtureRequest, everything: dict[str, Any]) -> dict[str, Any]:
    """What was found on one of those where everything has to hold."""
    return dict(everything[request.param])


def holds_once(found: Mapping[str, Any]) -> None:
    """Each attempt is claimed by one of four, each number of a submission too, and what is in it is the winner's."""
    won, jobs = found["claims"]
    assert (won, len(jobs)) == (list(range(CLAIMS)), CLAIMS)
    numbers, scripts = found["submissions"]
    assert numbers == list(range(1, 4 * SUBMISSIONS + 1))
    assert Counter(scripts) == dict.fromkeys(WHO, SUBMISSIONS)


def test_the_mounts_do_what_they_are_told_to(everything: dict[str, Any]) -> None:
    """Bare appends lose lines, locks are missing where they should: so these tests can tell."""
    assert all(each["bare"] < 200 for each in everything.values())
    assert "ENOLCK" in everything["no-locks"]["locks"]["flock"]
    assert everything["deaf"]["late"][1] is False


def test_ledgers_keep_every_line(found: dict[str, Any]) -> None:
    """Four writers on two mounts lose nothing and mix nothing, whatever becomes of locks."""
    lines, raw = found["ledger"]
    assert raw == len(lines) == 4 * LINES
    assert Counter(who for who, _ in lines) == dict.fromkeys(WHO, LINES)


def test_a_lock_excludes_and_shows_what_was_done_under_it(found: dict[str, Any]) -> None:
    """A number that is read, added to and replaced under the lock, by four, loses no addition."""
    assert found["count"] == [4 * COUNTS] * 2


def test_what_may_be_had_once_is_had_once(found: dict[str, Any]) -> None:
    """Also where another host's folder is not seen yet that is made here, too."""
    holds_once(found)


def test_a_replaced_file_is_whole_and_never_older(found: dict[str, Any]) -> None:
    """Read by the other host while it is replaced: never torn, never back in time, no error, and the last one."""
    seen = found["replaced"]
    assert (seen["torn"], seen["backwards"], seen["errors"], seen["last"]) == (0, 0, [], VERSIONS)


def test_metrics_have_one_writer_and_grow_for_the_other_host(found: dict[str, Any]) -> None:
    """Rows never vanish or change for a reader elsewhere; a second writer is refused."""
    said, seen = found["metrics"]
    assert said == []
    assert (seen["fewer"], seen["wrong"], seen["errors"]) == (0, 0, [])
    assert (seen["rows"], seen["complete"]) == (ROWS, True)
    assert "is being written by another process" in found["second_writer"][0]


def test_a_wrapper_sees_the_next_attempt_and_a_dead_holder_is_no_obstacle(found: dict[str, Any]) -> None:
    """The fence asks; a lock is free at once, or after a lease's time."""
    why, seconds = found["fence"]
    assert why == "FENCED"
    assert seconds < 5
    assert found["late"][1] is True
    assert found["killed"] < 3 * 6 + 5


def test_where_asking_does_not_help_nothing_is_had_twice(everything: dict[str, Any]) -> None:
    """Claims and numbers come from names that only one can make; what is not seen is said, and no file is torn."""
    found = everything["deaf"]
    if "error" not in found["claims"]:
        won, jobs = found["claims"]
        assert len(won) == len(set(won)) == len(jobs)
    else:
        assert "No such file" in found["claims"]["error"]
    if "error" not in found["submissions"]:
        numbers, _ = found["submissions"]
        assert len(numbers) == len(set(numbers))
    assert found["replaced"]["torn"] == 0
    assert found["metrics"][1]["wrong"] == 0
    assert len(found["ledger"][0]) <= found["ledger"][1] == 4 * LINES
