"""What holds on a real NFS between two hosts: a kernel server and two clients in a Linux of one process.

The matrix of docs/file-systems.md is held against what is found here. Two to three minutes on two cores; a machine
that is shared by many takes longer, and nothing here is about time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.nfs import suite
from tests.parts import REPOSITORY, SCRIPTS, need

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
SCRIPT = """
cd {repository}; export PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
. scripts/lab/nfs
{python} -m tests.nfs.suite {part} {out}
"""
FOURFOLD = 4


def run(part: str, folder: Path) -> dict[str, Any]:
    """Run a part of the suite on a machine of its own; what it found."""
    need(shutil.which("linux.uml") and shutil.which("modprobe", path="/usr/sbin:/sbin"), "user-mode-linux")
    need(shutil.which("rpc.nfsd", path="/usr/sbin:/sbin"), "nfs-kernel-server: scripts/lab/install-slurm")
    need(os.geteuid() == 0, "root, to mount")
    folder.chmod(0o755)
    out, script = folder / "found.json", folder / "script.sh"
    python = REPOSITORY / ".venv/bin/python"
    script.write_text(SCRIPT.format(repository=REPOSITORY, python=python, part=part, out=out), encoding="utf-8")
    done = subprocess.run(
        [SCRIPTS / "lab/machine", folder, script], env={**os.environ, "MACHINE_SECONDS": "800"},
        capture_output=True, text=True, check=False, timeout=850,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dict(json.loads(out.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was found on each kind of mount, and as *faults* when things gave out; two machines beside each other."""
    parts = (",".join(suite.MOUNTS), "faults")
    with ThreadPoolExecutor() as pool:
        found = pool.map(run, parts, [tmp_path_factory.mktemp("nfs") for _ in parts])
        return next(found) | {"faults": next(found)}


@pytest.fixture(scope="module")
def faults(everything: dict[str, Any]) -> dict[str, Any]:
    """What was found when things gave out."""
    return dict(everything["faults"])


@pytest.fixture(params=suite.MOUNTS)
def found(request: pytest.FixtureRequest, everything: dict[str, Any]) -> dict[str, Any]:
    """What was found on one of them."""
    return dict(everything[request.param])


def test_ledgers_keep_every_line(found: dict[str, Any]) -> None:
    """Four writers on two hosts lose nothing and mix nothing."""
    lines, raw = found["ledger"]
    assert raw == len(lines) == FOURFOLD * suite.LINES
    assert Counter(who for who, _ in lines) == dict.fromkeys(("11_1", "12_1", "21_1", "22_1"), suite.LINES)


def test_bare_appends_do_lose_lines(everything: dict[str, Any]) -> None:
    """About half of them where both hosts really write at once: so these tests can tell."""
    assert min(everything[name]["bare"] for name in suite.MOUNTS) < 2 * suite.BARE


def test_a_lock_excludes_and_shows_what_was_done_under_it(found: dict[str, Any]) -> None:
    """A number that is read, added to and replaced under the lock, by four, loses no addition; both hosts see it."""
    assert found["count"] == [FOURFOLD * suite.COUNTS] * 2


def test_what_may_be_had_once_is_had_once(found: dict[str, Any]) -> None:
    """Each attempt is claimed by one of four, each number of a submission too; what is in it is the winner's."""
    won, jobs = found["claims"]
    assert won == list(range(suite.CLAIMS))
    assert len(jobs) == suite.CLAIMS
    numbers, scripts = found["submissions"]
    assert numbers == list(range(1, FOURFOLD * suite.SUBMISSIONS + 1))
    assert Counter(scripts) == dict.fromkeys(("11_1", "12_1", "21_1", "22_1"), suite.SUBMISSIONS)


def test_a_replaced_file_is_whole_and_never_older(found: dict[str, Any]) -> None:
    """Read by the other host while it is replaced: never torn, never back in time, no error, and the last one."""
    seen = found["replaced"]
    assert (seen["torn"], seen["backwards"], seen["errors"], seen["last"]) == (0, 0, [], suite.VERSIONS)


def test_metrics_grow_for_the_other_host(found: dict[str, Any]) -> None:
    """A reader elsewhere never sees rows vanish or change, and all of them once the file is complete."""
    said, seen = found["metrics"]
    assert said == []
    assert (seen["fewer"], seen["wrong"], seen["errors"]) == (0, 0, [])
    assert (seen["rows"], seen["complete"]) == (suite.ROWS, True)


def test_a_metrics_file_has_one_writer(found: dict[str, Any]) -> None:
    """A second one, on the other host, is refused."""
    assert "is being written by another process" in found["second_writer"][0]


def test_a_wrapper_sees_the_next_attempt_at_once(found: dict[str, Any]) -> None:
    """The fence is a listing, which asks the server: seconds, whatever the mount believes of names."""
    why, seconds = found["fence"]
    assert why == "FENCED"
    assert seconds < 5
    listed, is_there = found["late"]
    assert 0 <= listed < 2
    assert is_there is True


def test_a_killed_holder_elsewhere_is_no_obstacle_for_long(found: dict[str, Any]) -> None:
    """kill -9: the lock is free at once, or after a lease's time where locks hold on one machine only."""
    assert found["killed"] < 3 * 6 + 5


def test_nothing_more_than_the_quota_is_believed(faults: dict[str, Any]) -> None:
    """The old file stays, the ledger keeps its lines, nothing is left over, and each says why (EDQUOT)."""
    quota = faults["quota"]
    assert (quota["replace"], quota["ledger"]) == ("OSError 122", "OSError 122")
    assert (quota["kept"], quota["lines"], quota["left"]) == (1, 3, [])
    said, seen = faults["metrics_at_quota"]
    assert len(said) == 1
    assert "quota" in said[0]
    assert (seen["wrong"], seen["fewer"], seen["errors"], seen["complete"]) == (0, 0, [], False)


def test_a_holder_that_is_cut_off_loses_the_lock_and_no_line(faults: dict[str, Any]) -> None:
    """The server frees its locks after a lease (10 s here, 90 by default); what it adds after that is added whole."""
    cut = faults["cut_off"]
    assert 5 < cut["waited"] < 40
    assert sorted(map(tuple, cut["lines"])) == [("b", 0), ("b", 1), ("h1", 0)]
    assert cut["holder"]["problem"] == ""


def test_a_server_that_restarts_costs_time_only(faults: dict[str, Any]) -> None:
    """Hard mounts wait: every line, every row, and each claim that was asked for twice is the claimer's."""
    seen = faults["restarted"]
    assert (seen["appended"], seen["lines"]) == ([80, 80], 160)
    assert seen["claimed"] == list(range(20))
    assert seen["metrics"] == []
    assert (seen["rows"]["rows"], seen["rows"]["complete"]) == (800, True)


def test_a_soft_mount_tells_an_error_and_metrics_wait(faults: dict[str, Any]) -> None:
    """Files cannot be read or written meanwhile, which is said; rows are kept and written afterwards."""
    seen = faults["soft"]
    assert re.search(r"Errno (5|110|512)|OSError (5|110)", seen["told"])
    assert seen["said"] == []
    assert (seen["rows"]["rows"], seen["rows"]["wrong"], seen["rows"]["complete"]) == (5000, 0, True)
    assert (seen["after"]["replace"], seen["after"]["ledger"], seen["after"]["left"]) == ("", "", [])
