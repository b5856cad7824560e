"""Slurm's answers as they were printed by a real Slurm 22.05 (tests/data/sacct), and its clients when they fail."""

import json
import stat
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters import slurm, slurm_client, slurm_site
from hpc.core.errors import TemporaryError
from hpc.core.slurm.executions import join_rows, of_submission
from hpc.core.slurm.states import SlurmState as S
from hpc.core.slurm.states import parse_state

DATA = Path(__file__).parents[1] / "data/sacct"


def rows(name: str) -> list[slurm.JobRow]:
    return slurm.parse_accounting((DATA / f"{name}.txt").read_text())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exit_3", [("2", S.FAILED, 3, 0, {"batch": S.FAILED})]),
        ("step_failed", [("3", S.COMPLETED, 0, 0, {"batch": S.COMPLETED, "0": S.FAILED})]),
        ("segfault", [("4", S.FAILED, 0, 11, {"batch": S.CANCELLED})]),
        ("unwritable", [("5", S.FAILED, 0, 53, {"batch": S.CANCELLED})]),
        ("oom_batch", [("7", S.OUT_OF_MEMORY, 0, 125, {"batch": S.OUT_OF_MEMORY})]),
        ("oom_step", [("8", S.COMPLETED, 0, 0, {"batch": S.COMPLETED, "0": S.OUT_OF_MEMORY})]),
        ("timeout", [("9", S.TIMEOUT, 0, 15, {"batch": S.CANCELLED})]),
        ("node_fail", [("10", S.NODE_FAIL, 0, 0, {"batch": S.CANCELLED}),
                       ("10", S.CANCELLED, 0, 15, {"batch": S.CANCELLED})]),
        ("preempted", [("12", S.PREEMPTED, 0, 0, {"batch": S.CANCELLED}),
                       ("12", S.COMPLETED, 0, 0, {"batch": S.COMPLETED})]),
        ("requeued", [("11_0", S.REQUEUED, 0, 0, {"batch": S.CANCELLED}),
                      ("11_0", S.COMPLETED, 0, 0, {"batch": S.COMPLETED}),
                      ("11_1", S.COMPLETED, 0, 0, {"batch": S.COMPLETED})]),
    ],
)  # fmt: skip
def test_each_end_is_read_as_slurm_told_it(name, expected):
    """State, code, signal and steps of each execution, oldest first within a job."""
    found = [(row.job, row.state, row.exit_code, row.signal, dict(row.steps)) for row in rows(name)]
    assert found == expected


def test_what_sbatch_refused_is_no_attempt():
    """Accounting keeps a job whose sbatch was refused, with the comment of a submission nobody got a job id for."""
    text = (DATA / "refused.txt").read_text()
    in_queue = slurm.parse_queue_line("27_0|27|FAILED|BadConstraints||4c47e5fe9159de23/001")

    def found(text: str) -> list[str]:
        return of_submission(join_rows(slurm.parse_accounting(text), [in_queue]), "4c47e5fe9159de23/001")

    assert found(text) == found("") == []
    assert found(text.replace("None assigned", "c1")) == ["27"]
    assert found(text.replace("10:05:45|0|", "10:05:47|2|")) == ["27"]


def test_the_rest_of_a_row_is_read_too():
    """Times in UTC, seconds held, node, limit, memory of the largest step, comment."""
    first, second = rows("preempted")
    assert first.submitted == datetime(2026, 11, 21, 11, 7, 54, tzinfo=UTC).timestamp()
    assert (first.started, first.ended, first.elapsed_s) == (first.submitted, first.submitted + 4, 4)
    assert (first.node, first.time_limit_s, first.comment) == ("c2", 525600 * 60, "m/001")
    assert first.peak_memory_mib == 224 / 1024
    assert second.started > first.ended


def test_elements_cancelled_before_they_began_are_each_a_row():
    """sacct keeps them as one row, `21_[1-2,4-5%1]`; each is cancelled, and none of them ever started."""
    found = {row.job: row for row in rows("cancelled")}
    assert set(found) == {"21_0", "21_1", "21_2", "21_4", "21_5"}
    assert {row.state for row in found.values()} == {S.CANCELLED}
    assert found["21_0"].elapsed_s == 2
    assert found["21_4"].node == ""


def test_what_runs_has_no_end_yet():
    """A running element: no exit code, no end, whatever stands in those columns."""
    found = rows("running")
    assert {row.job.split("_")[1] for row in found} == {"0", "3"}
    for row in found:
        assert row.state is S.RUNNING
        assert (row.exit_code, row.signal, row.ended) == (None, None, None)
        assert row.started is not None


def test_narrow_columns_are_read():
    """Ten characters wide, `CANCELLED+` and `OUT_OF_ME+` are still what they are."""
    words = [line.split()[1] for line in (DATA / "narrow.txt").read_text().splitlines()]
    assert sorted(words) == ["CANCELLED+", "OUT_OF_ME+"]
    assert {parse_state(word) for word in words} == {S.CANCELLED, S.OUT_OF_MEMORY}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.txt")), ids=lambda path: path.stem)
def test_no_captured_state_is_unknown(path):
    """Every spelling that was captured is in the table."""
    if path.stem.startswith("squeue"):
        found = [slurm.parse_queue_line(line) for line in path.read_text().splitlines()]
    elif path.stem == "narrow":
        return
    else:
        found = slurm.parse_accounting(path.read_text())
    assert found
    assert S.UNKNOWN not in {row.state for row in found}
    assert S.UNKNOWN not in {state for row in found for state in row.steps.values()}


def test_squeue_lines_keep_reason_and_comment():
    """Why it waits, and whose it is; `(null)` is no comment, and a comment may hold the separator."""
    waiting = [slurm.parse_queue_line(line) for line in (DATA / "squeue_waiting.txt").read_text().splitlines()]
    assert [(row.job, row.state, row.reason) for row in waiting] == [
        ("12", S.PENDING, "BeginTime"), ("10", S.PENDING, "BeginTime"), ("11_0", S.PENDING, "BeginTime"),
        ("14", S.PENDING, "JobHeldUser"), ("11_1", S.RUNNING, "None"),
    ]  # fmt: skip
    assert {row.comment for row in waiting} == {"m/001"}
    assert slurm.parse_queue_line("1|1|COMPLETED|None|c1|(null)").comment == ""
    assert slurm.parse_queue_line("1|1|COMPLETED|None|c1|a|b").comment == "a|b"


def test_garbage_between_the_rows_is_passed_over():
    """Notes of a site's wrapper, empty lines and cut lines are no rows."""
    text = "Welcome to the cluster!\n\n" + (DATA / "exit_3.txt").read_text() + "2|2|FAI"
    assert slurm.parse_accounting(text) == rows("exit_3")


# ── clients that fail ────────────────────────────────────────────────────────────────────────────────────────────────


def make_client(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def clients(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    "message",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sacct: error: slurm_persist_conn_open_without_init: failed to open to host:h:6819: Connection refused",
        "squeue: error: Socket timed out on send/recv operation",
        "squeue: fatal: Could not establish a configuration source",
        "slurm_load_jobs error: Unexpected message received",
        "slurm_load_jobs error: Slurm backup controller in standby mode",
        "slurm_load_jobs error: Communication connection failure",
        "squeue: error: Resource temporarily unavailable",
        "/opt/site/squeue: line 3: 77 Killed",
    ],
)
def test_an_unreachable_daemon_is_temporary(clients, message):
    """What Slurm says when its daemons are away is exit 75, with its words and what to do."""
    make_client(clients, "squeue", f"echo '{message}' >&2; exit 1")
    with pytest.raises(TemporaryError, match="try again"):
        slurm.query_queue("e")


def test_jobs_in_hidden_partitions_are_asked_for(clients):
    """squeue keeps even our own jobs in a hidden partition from us unless told --all: they would look lost."""
    make_client(
        clients, "squeue", 'case " $* " in *" --all "*) echo "7_0|7|PENDING|Priority||m/001"; echo "me|a|q|p" ;; esac'
    )
    assert [row.job for row in slurm.query_queue("e")] == ["7_0"]
    assert [job.partition for job in slurm.query_load(everybody=False)] == ["p"]


def test_a_refusal_is_final(clients):
    """sbatch's no is an error with Slurm's own words, not something to try again."""
    make_client(clients, "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(slurm_client.SlurmError, match="invalid partition"):
        slurm.submit_script(Path("x"))
    assert "invalid partition" in slurm.try_file(Path("x")).objection


def test_a_client_that_hangs_is_given_up(clients):
    """Clients retry for minutes on a broken configuration; we do not wait for them."""
    make_client(clients, "sleepy", "exec sleep 60")
    with pytest.raises(TemporaryError, match=r"did not answer within 0\.2 s"):
        slurm_client.run_client(["sleepy"], timeout_s=0.2)


def test_no_client_and_no_accounting_are_said(clients):
    """Not on a cluster: temporary, with where to go. A site without accounting: None, the queue has to do."""
    with pytest.raises(TemporaryError, match="login node"):
        slurm_client.run_client(["squeue-that-is-nowhere"])
    make_client(clients, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert slurm.query_accounting("e", 0) is None
    make_client(clients, "sacct", "echo 'sacct: error: Problem talking to the accounting database' >&2; exit 1")
    with pytest.raises(TemporaryError, match="Problem talking"):
        slurm.query_accounting("e", 0)


SAID = [
    ("echo 'Have you acknowledged your grant?'; echo '123;lab'", "123"),
    ("echo 'Submitted batch job 123'", "123"),
    ("printf '\\377\\376 grant\\n123\\n'; echo 'Balance: 12 h'", "123"),
    ("printf '\\377\\376\\n'", ""),
    ("exit 0", ""),
    ("echo ok", ""),
    ("echo ../../x", ""),
    ("echo '4711_[0-5000000]'", ""),
    ("echo 12; echo 13", ""),
    ("echo 123; exit 1", ""),
    ("echo 123; kill -9 $$", ""),
]


@pytest.mark.parametrize(("script", "job"), SAID, ids=[script for script, _ in SAID])
def test_a_job_id_is_believed_or_the_job_may_be_there(clients, script, job):
    """Whatever sbatch prints and however it ends: the id, or 75, because Slurm may have taken the job."""
    make_client(clients, "sbatch", script)
    if job:
        assert slurm.submit_script(Path("x")) == job
    else:
        with pytest.raises(TemporaryError):
            slurm.submit_script(Path("x"))


def test_bytes_that_are_no_text_are_read_in_every_answer(clients):
    """A node, a comment, a partition in another encoding cost nobody the other lines."""
    bad = "printf '7_0|7|RUNNING|None|n1|\\377\\n8_0|8|RUNNING|None|n2|m/001\\n'"
    make_client(clients, "squeue", bad)
    assert [row.job for row in slurm.query_queue("e")] == ["7_0", "8_0"]
    make_client(clients, "sacct", f"printf '\\377\\n'; cat {DATA / 'exit_3.txt'}")
    assert slurm.query_accounting("e", 0) == rows("exit_3")
    make_client(clients, "scontrol", "printf 'ClusterName = l\\377b\\nMaxArraySize = 5\\n'; printf '\\377' >&2")
    assert slurm_site.read_config_value("MaxArraySize") == "5"
    make_client(clients, "scancel", "printf 'scancel: \\377\\n' >&2; exit 1")
    with pytest.raises(TemporaryError):
        slurm.cancel_waiting(["7"])


def test_no_row_is_made_of_what_names_no_job(clients):
    """A line of a site's wrapper that has as many columns as ours is no job, nor a file's name later."""
    make_client(clients, "squeue", "echo '../../x|1|RUNNING|None|n1|c'; echo 'a|b|c|d|e|f'; echo '7|7|RUNNING|None||c'")
    assert [row.job for row in slurm.query_queue("e")] == ["7"]


CELL = st.one_of(st.text(max_size=12), st.sampled_from(
    ["9" * 5000, "1e400", "nanK", "infG", "-1", "٣", "4711_[0-9]", "12_3", "12_3.batch", "0:0", "Unknown",
     "0001-01-01T00:00:00"]
))  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(st.lists(CELL, min_size=12, max_size=12).map("|".join), max_size=4), st.lists(CELL, min_size=6, max_size=6)
)
def test_any_row_is_read_or_passed_over(accounting, queue):
    """Whatever stands in a column of sacct or squeue: rows that JSON can hold, and no traceback."""
    found = [*slurm.parse_accounting("\n".join(accounting)), slurm.parse_queue_line("|".join(queue))]
    json.dumps([asdict(row) for row in found], allow_nan=False)


# ── daemons that hang ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(slurm_client, "PATIENCE_S", 0.3)
    monkeypatch.setattr(slurm_client, "PING_S", 0.3)


def test_a_hung_daemon_is_told_from_a_slow_one(clients, impatient):
    """sacct is slow: waited for while slurmdbd answers a small question, given up at once when that hangs too."""
    make_client(clients, "sacct", f"sleep 1; cat {DATA / 'exit_3.txt'}")
    make_client(clients, "sacctmgr", "echo lab")
    assert slurm.query_accounting("e", 0) == rows("exit_3")
    make_client(clients, "sacctmgr", "echo 'sacctmgr: error: no permission' >&2; exit 1")
    assert slurm.query_accounting("e", 0) == rows("exit_3")
    make_client(clients, "sacctmgr", "sleep 60")
    before = time.monotonic()
    with pytest.raises(TemporaryError, match="nor sacctmgr"):
        slurm.query_accounting("e", 0)
    assert time.monotonic() - before < 5


def test_the_bound_of_a_hung_daemon_is_short():
    """Whoever asks for an experiment's state, and for room for a first submission, is kept for 15 s at most."""
    assert slurm_client.PATIENCE_S + slurm_client.PING_S + slurm_client.QUICK_S <= 15


def test_nothing_is_left_of_a_client_that_is_given_up(clients, tmp_path):
    """A site's wrapper that waits for the real client is ended with what it started."""
    make_client(clients, "sleepy", f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(TemporaryError):
        slurm_client.run_client(["sleepy"], timeout_s=1)
    child = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    time.sleep(0.1)
    assert not child.exists() or " Z " in child.read_text()


def test_users_settings_do_not_reach_the_clients(clients, monkeypatch):
    """Time formats, squeue's and sbatch's own variables are dropped; where a job goes stays the user's."""
    for name in ("SLURM_TIME_FORMAT", "SQUEUE_STATES", "SACCT_FORMAT", "SBATCH_JOB_NAME", "SBATCH_ACCOUNT"):
        monkeypatch.setenv(name, "mine")
    make_client(clients, "printenv-like", "env")
    told = slurm_client.run_client(["printenv-like"]).splitlines()
    assert [line for line in told if line.endswith("=mine")] == ["SBATCH_ACCOUNT=mine"]


def test_what_waits_is_kept_away_from_a_node_beside_others(clients: Path, tmp_path: Path) -> None:
    """The nodes it is kept away from already stay; nothing is asked of Slurm where nothing waits."""
    asked = tmp_path / "asked"
    make_client(clients, "scontrol", f'echo "$@" >> {asked}')
    make_client(clients, "squeue", "printf 'n[1-2],m3\\n(null)\\n'")
    slurm.leave_out("12", ["n7"])
    assert asked.read_text() == "update JobId=12 ExcNodeList=n[1-2],m3,n7\n"

    said = "12_0-1: Job is no longer pending execution\\n12_2-3: No error"
    make_client(clients, "scontrol", f"printf '{said}\\n' >&2; exit 1")
    slurm.leave_out("12", ["n7"])  # those that run go on; Slurm 22.05 calls that an error, and changes the others
    make_client(clients, "scontrol", "echo 'slurm_update error: Access denied' >&2; exit 1")
    with pytest.raises((slurm_client.SlurmError, TemporaryError)):
        slurm.leave_out("12", ["n7"])

    make_client(clients, "scontrol", f'echo "$@" >> {asked}')
    make_client(clients, "squeue", "true")
    slurm.leave_out("12", ["n8"])
    assert asked.read_text().count("\n") == 1
