"""Following with a pretended Slurm: killed before each act, eight at once, on this machine's own queue."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpc.adapters.lease import give_back, read_lease
from hpc.adapters.ledger import read_json_lines
from hpc.adapters.locks import lock
from hpc.adapters.slurm_client import SlurmError
from hpc.core.errors import TemporaryError
from hpc.core.failures.breaker import Trip
from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.submissions.holds import describe_hold, hold
from hpc.unattended import describe as describing
from hpc.unattended import endure
from hpc.unattended import jobs as following
from hpc.unattended.describe import describe
from hpc.unattended.lease import hold_lease
from hpc.unattended.state import State, write_state
from tests.hpc.unattended.pretended import HEALABLE, HEALS, PretendedSlurm, pretend
from tests.local_projects import command_environment, make_project, wait_until


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendedSlurm]:
    """An experiment planned for that Slurm, kept as *planned*; then submitted and its array run, kept as *over*."""
    folder = tmp_path_factory.mktemp("pretended")
    with pretend(folder / "project", folder / "jobs") as slurm:
        yield slurm


@pytest.fixture
def slurm(made_once: PretendedSlurm) -> PretendedSlurm:
    """An experiment of which one task of two needs a smaller micro-batch; nothing is submitted."""
    made_once.go_back_to("planned")
    return made_once


@pytest.fixture
def first_array_over(made_once: PretendedSlurm) -> PretendedSlurm:
    """Submitted and followed; the array is over, the relay after its end runs."""
    made_once.go_back_to("over")
    return made_once


def die_everywhere(slurm: PretendedSlurm, *command: str) -> Iterator[int]:
    """Run a command from the same beginning again and again, killed before its 1st, 2nd, … act; yield after each."""
    slurm.keep("beginning")
    for moment in range(1, 500):
        slurm.go_back_to("beginning")
        (code,) = slurm.run(*command, kill_at=moment)
        if code != -9:
            assert code in (0, 1), slurm.said()
            assert moment > 10
            return
        yield moment
    raise AssertionError("never done")


def test_a_round_that_dies_anywhere_is_finished_by_the_next(first_array_over: PretendedSlurm) -> None:
    """Killed before each act: a relay waits at every moment; one retry, one pair of jobs, all ids known."""
    slurm = first_array_over
    number = slurm.begin_the_end()
    for moment in die_everywhere(slurm, "hpc.follow", "tiny", "--number", number):
        assert slurm.waiting(), f"nobody would go on after a death at act {moment}"
        assert slurm.let_the_next_one_run() == 0, (moment, slurm.said())
        arrays = slurm.named("tiny")
        assert len(arrays) == 2, moment
        assert sorted(slurm.waiting().values()) == ["", "", f"afterany:{list(arrays)[-1]}"], moment
        assert slurm.known() >= {*arrays, *slurm.named("follow:tiny")}, moment
        assert all(line["event"] in ("begun", "round") for line in slurm.ledger()), moment


def test_a_last_round_that_dies_anywhere_is_finished_by_the_next(first_array_over: PretendedSlurm) -> None:
    """Killed before each act of the round that ends: the next one ends it, and those that still wait find it ended."""
    slurm = first_array_over
    assert slurm.let_the_next_one_run() == 0, slurm.said()
    slurm.run_tasks(list(slurm.named("tiny"))[-1], 2)
    job = next(iter(slurm.waiting()))
    number = slurm.number_of(job)
    slurm.set_state(job, "RUNNING")
    for moment in die_everywhere(slurm, "hpc.follow", "tiny", "--number", number):
        while slurm.waiting():
            assert slurm.let_the_next_one_run() in (0, 3), (moment, slurm.said())
        assert len(slurm.named("tiny")) == 2, moment
        state = json.loads((slurm.project.runs / "tiny/follow.json").read_text())
        assert (state["course"], state["told"]) == ("ended", "ended"), moment


def test_a_submission_that_dies_anywhere_is_finished_by_the_same_command(slurm: PretendedSlurm) -> None:
    """`submit --follow`, killed before each act and typed again: one array, one pair of relays."""
    for moment in die_everywhere(slurm, "hpc.submit", "tiny", "--follow"):
        assert slurm.run("hpc.submit", "tiny", "--follow") == [0], (moment, slurm.said())
        (array,) = slurm.named("tiny")
        assert sorted(slurm.waiting().values()) == ["", "", f"afterany:{array}"], moment
        assert slurm.known() >= {array, *slurm.named("follow:tiny")}, moment


def test_of_eight_followers_at_once_one_acts(first_array_over: PretendedSlurm) -> None:
    """All begin together, half in network namespaces of their own: one retries, the others stand down (exit 3)."""
    slurm = first_array_over
    codes = slurm.run("hpc.follow", "tiny", copies=8)
    assert set(codes) <= {0, 3}, (codes, slurm.said())
    assert 3 in codes
    assert "is already followed, by process" in slurm.said()
    assert len(slurm.named("tiny")) == 2
    assert len(slurm.waiting()) == 3
    assert [line["retried"] for line in slurm.ledger() if line["event"] == "round" and line["retried"]] == [["X1"]]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root makes namespaces")
def test_of_eight_on_two_hosts_one_acts(first_array_over: PretendedSlurm) -> None:
    """Four followers and four collectors on two hosts with names, processes and nets apart: one retry, no id lost."""
    slurm = first_array_over
    started = [
        subprocess.Popen(
            ["unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-c",
             'hostname "$0" && exec "$@"', host, sys.executable, "-m", *command],
            cwd=slurm.project.folder, env=command_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for host in ("login1", "login2")
        for command in (["hpc.follow", "tiny"], ["hpc.collect", "tiny", "--retry-failed"]) * 2
    ]  # fmt: skip
    said = [process.communicate(timeout=120)[1] for process in started]
    assert {process.returncode for process in started} <= {0, 1, 3}, said
    assert not any("Traceback" in each for each in said), said
    assert len(slurm.named("tiny")) == 2
    assert slurm.known() >= {*slurm.named("tiny"), *slurm.named("follow:tiny")}
    assert {line["by"]["host"] for line in slurm.ledger() if line["event"] == "round"} & {"login1", "login2"}


def refuse(slurm: PretendedSlurm, *words: str) -> None:
    """Let the next sbatch calls be refused, each with these words."""
    (slurm.jobs / "refusals").write_text("".join(f"sbatch: error: {each}\n" for each in words))


def test_a_held_experiment_is_not_followed_until_it_is_released(first_array_over: PretendedSlurm) -> None:
    """Nothing is retried, no relay is left, the hold is told once; `--release --follow` begins anew."""
    slurm = first_array_over
    layout = RunLayout(slurm.project.runs, "tiny")
    hold(layout, Trip("the disk is full", "storage/full", "No space left on device", ("X1",)))
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [1]
    assert len(slurm.named("tiny")) == 1
    assert slurm.waiting() == {}
    assert [line["event"] for line in slurm.ledger()] == ["begun", "round", "held"]
    assert "--release --follow" in "\n".join(describe(layout))
    assert describe_hold(layout).endswith("python -m hpc.submit tiny --release --follow")
    assert slurm.run("hpc.submit", "tiny", "--release", "--follow") == [0], slurm.said()
    assert slurm.let_the_next_one_run() == 0
    assert len(slurm.named("tiny")) == 2


def test_nobody_follows_for_ever(first_array_over: PretendedSlurm) -> None:
    """After `follow.max_days` the chain ends; typed by hand it begins anew."""
    slurm = first_array_over
    assert slurm.let_the_next_one_run() == 0
    state = slurm.project.runs / "tiny/follow.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "started": 0.0}))
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [1]
    assert (slurm.waiting(), slurm.ledger()[-1]["event"]) == ({}, "gave_up")
    assert slurm.run("hpc.follow", "tiny") == [0]
    assert len(slurm.waiting()) == 3


def test_what_ended_long_ago_is_followed_anew(first_array_over: PretendedSlurm) -> None:
    """Taken up by hand weeks after its end, when there is something to do again: days count from now."""
    slurm = first_array_over
    state = slurm.project.runs / "tiny/follow.json"
    ended = {"started": 0.0, "course": "ended", "told": "ended"}
    state.write_text(json.dumps({**json.loads(state.read_text()), **ended}))
    assert slurm.run("hpc.follow", "tiny") == [0], slurm.said()
    assert (len(slurm.named("tiny")), len(slurm.waiting())) == (2, 3)


def test_a_site_that_takes_no_more_jobs_does_not_end_the_chain(first_array_over: PretendedSlurm) -> None:
    """A refused job after the end: the look goes on. No job waits and the look is refused: tried again until taken."""
    slurm = first_array_over
    number = slurm.begin_the_end()
    for look in slurm.waiting():
        slurm.set_state(look, "CANCELLED")
    refuse(slurm, "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size)")
    assert slurm.run("hpc.follow", "tiny", "--number", number) == [0], slurm.said()
    assert [line["event"] for line in slurm.ledger()] == ["begun", "waited", "round"]
    assert len(slurm.waiting()) == 3


def test_a_relay_that_slurm_holds_is_replaced(first_array_over: PretendedSlurm) -> None:
    """A node refused to launch the look and Slurm holds it for a person: it is cancelled, and another submitted."""
    slurm = first_array_over
    look = next(iter(slurm.waiting()))
    queue = slurm.jobs / look / "queue"
    queue.write_text(queue.read_text().replace("|PENDING|None|", "|PENDING|launch failed requeued held|"))
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [0], slurm.said()
    assert "|CANCELLED|" in queue.read_text()
    assert sorted(slurm.waiting().values()) == ["", "", f"afterany:{list(slurm.named('tiny'))[-1]}"]


@pytest.mark.parametrize("comment", ["(null)", "billing:42"])
def test_a_site_that_keeps_no_comments_has_no_more_relays(first_array_over: PretendedSlurm, comment: str) -> None:
    """Where comments are dropped or replaced they are known by their receipts: round after round, three wait."""
    slurm = first_array_over
    for _ in range(3):
        for job in slurm.waiting():
            queue = slurm.jobs / job / "queue"
            queue.write_text("|".join([*queue.read_text().split("|")[:5], comment]) + "\n")
        job = next(iter(slurm.waiting()))
        slurm.set_state(job, "RUNNING")
        receipts = (slurm.project.runs / "tiny/follow").glob("*/receipt.json")
        (number,) = [path.parent.name for path in receipts if json.loads(path.read_text())["job"] == job]
        assert slurm.run("hpc.follow", "tiny", "--number", number) == [0], slurm.said()
        queue = slurm.jobs / job / "queue"
        queue.write_text(queue.read_text().replace("RUNNING", "COMPLETED"))
        assert len(slurm.waiting()) == 3


@pytest.mark.parametrize(
    "error", [OSError(errno.ESTALE, "Stale file handle"), SlurmError("sbatch: error: job submit limit")]
)
def test_what_may_pass_is_left_to_the_jobs_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A file server or a full queue outlasts a look's patience: exit 75, with which the job's script tries again."""

    def fail(_: RunLayout) -> None:
        raise error

    monkeypatch.setattr(endure, "hold_lease", fail)
    monkeypatch.setattr(endure, "forget_this_job", lambda: None)
    monkeypatch.setattr(endure, "PATIENCE_S", -1.0)
    layout = RunLayout(tmp_path, "tiny")
    with pytest.raises(TemporaryError, match=r"Stale|limit") as raised:
        endure.follow_as_relay(layout, 1)
    assert f"-eq {raised.value.exit_code} ]" in following.job_command(layout, 1)


def test_looks_that_fail_are_said(first_array_over: PretendedSlurm) -> None:
    """No manifest that is whole fails every look: somebody still waits to go on, and it is said what is wrong."""
    slurm = first_array_over
    layout = RunLayout(slurm.project.runs, "tiny")
    whole, aside = layout.manifest.read_text(), layout.manifests.rename(layout.home / "aside")
    layout.manifest.write_text("{")
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [2]
    assert slurm.waiting()
    (told,) = [line for line in describe(layout) if line.startswith("following failed (once since")]
    assert f"{layout.manifest}: not valid JSON" in told
    layout.manifest.write_text(whole)
    aside.rename(layout.manifests)
    assert slurm.let_the_next_one_run() == 0
    assert not [line for line in describe(layout) if line.startswith("following failed")]


def test_status_of_a_full_disk_names_the_follower(first_array_over: PretendedSlurm) -> None:
    """Whoever looks may be unable to write there: it is said who follows all the same."""
    layout = RunLayout(first_array_over.project.runs, "tiny")

    def full(*_: object) -> float:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with hold_lease(layout), pytest.MonkeyPatch.context() as patch:
        patch.setattr(describing, "silent_s", full)
        assert describe(layout)[-1].startswith(f"followed now by process {os.getpid()}")


def test_a_relay_that_somebody_holds_is_left_to_them(first_array_over: PretendedSlurm) -> None:
    """Held by a user or the site: nothing takes its place; where no other waits, status says how to go on."""
    slurm = first_array_over
    held = list(slurm.waiting())
    for job in held:
        queue = slurm.jobs / job / "queue"
        queue.write_text(queue.read_text().replace("|PENDING|None|", "|PENDING|JobHeldAdmin|"))
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [0], slurm.said()
    assert set(held) <= set(slurm.waiting())
    for job, queue in slurm.named("follow:tiny").items():
        if job not in held:
            (slurm.jobs / job / "queue").write_text(
                queue.replace("PENDING", "COMPLETED").replace("RUNNING", "COMPLETED")
            )
    assert f"scontrol release {' '.join(held)}" in describe(RunLayout(slurm.project.runs, "tiny"))[-1]


def test_what_a_person_cancels_stays_so_and_the_loop_ends(first_array_over: PretendedSlurm) -> None:
    """`scancel` of the retry before it began: nothing starts again, and the end says who was cancelled."""
    slurm = first_array_over
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [0]
    slurm.set_state(list(slurm.named("tiny"))[-1], "CANCELLED")
    assert slurm.let_the_next_one_run() == 1, slurm.said()
    assert (len(slurm.named("tiny")), slurm.waiting()) == (2, {})
    assert slurm.ledger()[-1]["event"] == "ended"
    assert "left alone: X1: cancelled: somebody stopped it on purpose" in slurm.said()
    told = describe(RunLayout(slurm.project.runs, "tiny"))
    assert "1 left alone (X1: cancelled: somebody stopped it on purpose" in told[0]
    assert told[-1] == "followed to the end: nothing runs, waits or can be retried"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"course": "?"}'])
def test_damaged_files_of_the_loop_end_nothing(first_array_over: PretendedSlurm, content: str) -> None:
    """State, lease and intents damaged: status names them and goes on; the round is played, three relays wait."""
    slurm = first_array_over
    layout, number = RunLayout(slurm.project.runs, "tiny"), slurm.begin_the_end()
    layout.follow_state.write_text(content)
    layout.follow_lease.write_text(content)
    os.utime(layout.follow_lease, (0, 0))
    for intent in layout.follow_jobs.glob("*/intent.json"):
        intent.write_text(content)
    told = slurm.project.hpc("status", "tiny")
    assert f"mv {layout.follow_state} {layout.follow_state}.unusable" in told
    assert slurm.run("hpc.follow", "tiny", "--number", number) == [0], slurm.said()
    assert (len(slurm.named("tiny")), len(slurm.waiting())) == (2, 3)


def test_a_slurm_that_does_not_answer_is_waited_for(first_array_over: PretendedSlurm) -> None:
    """squeue fails as while slurmctld is down: the same job acts once it answers."""
    slurm = first_array_over
    (slurm.jobs / "silence").write_text("once\n")
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end()) == [0], slurm.said()
    assert [line["event"] for line in slurm.ledger()] == ["begun", "waited", "round"]
    assert len(slurm.named("tiny")) == 2


def test_who_stands_down_leaves_somebody_who_goes_on(first_array_over: PretendedSlurm) -> None:
    """A relay meets a living follower: it leaves when another job waits, else it stays until it may act."""
    slurm = first_array_over
    number = slurm.begin_the_end()
    layout = RunLayout(slurm.project.runs, "tiny")
    with hold_lease(layout):
        assert slurm.run("hpc.follow", "tiny", "--number", number) == [3]
        assert f"is already followed, by process {os.getpid()}" in slurm.said()
        for look in slurm.waiting():
            slurm.set_state(look, "CANCELLED")
        with ThreadPoolExecutor(1) as pool:
            stays = pool.submit(slurm.run, "hpc.follow", "tiny", "--number", number)
            time.sleep(1)
            assert not stays.done()
            with lock(layout.lock):
                give_back(layout.follow_lease, read_lease(layout.follow_lease))
            assert stays.result(timeout=60) == [0], slurm.said()
    assert len(slurm.named("tiny")) == 2


def test_this_machines_own_queue_is_followed_to_the_end(tmp_path: Path) -> None:
    """Without Slurm: a detached process heals what failed and builds the report; a hook that fails is in the ledger."""
    project = make_project(tmp_path / "project", HEALABLE + "retry: {hook: broken:decide}\n", HEALS)
    (project.folder / "broken.py").write_text("def decide(*_):\n    return 'what?'\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--follow")
    ledger = project.runs / "tiny/follow.jsonl"
    wait_until(lambda: any(line["event"] == "ended" for line in read_json_lines(ledger)), 60, "the end")
    assert {run: task["outcome"] for run, task in project.verdicts().items()} == {"X1": "finished", "X2": "finished"}
    assert (project.runs / "tiny/report/report.md").exists()
    (unheeded,) = [line for line in read_json_lines(ledger) if line["event"] == "not heeded"]
    assert "the answer is 'what?'" in unheeded["why"]
    assert "followed to the end" in project.hpc("status", "tiny")


def test_a_follower_that_was_just_started_is_expected(tmp_path: Path) -> None:
    """Between its start and its first sign of life nobody is told to start another; nor for ever."""
    layout = RunLayout(tmp_path, "tiny")
    layout.home.mkdir()
    for ago_s, expected in ((0.0, "its process is starting"), (60.0, "no process follows it any more")):
        write_state(layout, State(Course.GOES_ON, "local", time.time() - ago_s))
        assert any(expected in line for line in describe(layout))
