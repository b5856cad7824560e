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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc import follow, following
from hpc.adapters.files import lock, read_json_lines
from hpc.adapters.lease import give_back, read_lease
from hpc.adapters.slurm import SlurmError
from hpc.core.breaker import Trip
from hpc.core.errors import TemporaryError
from hpc.core.layout import RunLayout
from hpc.following import describe
from hpc.holding import describe_hold, hold
from hpc.leasing import hold_lease
from tests.local_projects import EXPERIMENT, REPO, LocalProject, command_environment, make_project, wait_until

HEALS = """
import sys
part, micro_batch = int(sys.argv[1]), int(sys.argv[2])
if part == 1 and micro_batch > 4:
    bytearray(1 << 60)  # the allocator's own error
print(f"loss: {part}")
"""
HEALABLE = (
    EXPERIMENT.replace("program.py {x} {seed}", "program.py {x} {micro_batch_size}") + "batch: {global: 8, micro: 8}\n"
)


@dataclass
class PretendedSlurm:
    """A project whose Slurm is a folder of files, and a process that runs commands in forks of itself."""

    project: LocalProject
    jobs: Path
    forks: "subprocess.Popen[str]"

    def run(self, module: str, *arguments: str, copies: int = 1, kill_at: int | None = None) -> list[int]:
        """Run a command; give the exit codes, negative for a signal."""
        request = {
            "folder": str(self.project.folder),
            "module": module,
            "arguments": arguments,
            "copies": copies,
            "kill_at": kill_at,
        }
        assert self.forks.stdin is not None
        assert self.forks.stdout is not None
        print(json.dumps(request), file=self.forks.stdin, flush=True)
        codes: list[int] = json.loads(self.forks.stdout.readline())
        return codes

    def keep(self, name: str) -> None:
        """Keep everything as it is now."""
        kept = self.jobs.parent / name
        shutil.rmtree(kept, ignore_errors=True)
        for place in (self.project.folder, self.jobs):
            shutil.copytree(place, kept / place.name, symlinks=True)

    def go_back_to(self, name: str) -> None:
        """Make everything as it was kept."""
        for place in (self.project.folder, self.jobs):
            shutil.rmtree(place)
            shutil.copytree(self.jobs.parent / name / place.name, place, symlinks=True)

    def said(self) -> str:
        """Everything the forks printed."""
        return (self.project.folder / "forks.log").read_text()

    def named(self, name: str) -> dict[str, str]:
        """Job id → what squeue says of the jobs with this name."""
        found = [job for job in self.jobs.glob("[0-9]*") if (job / "name").read_text().strip() == name]
        return {job.name: (job / "queue").read_text() for job in sorted(found, key=lambda job: int(job.name))}

    def waiting(self) -> dict[str, str]:
        """Follow-up jobs that wait: job id → the jobs it waits for, empty for a look."""
        jobs = [job for job, queue in self.named("follow:tiny").items() if "|PENDING|" in queue]
        return {job: (self.jobs / job / "dependency").read_text().strip() for job in jobs}

    def set_state(self, job: str, state: str) -> None:
        """Let squeue say something else of a job that waits."""
        queue = self.jobs / job / "queue"
        queue.write_text(queue.read_text().replace("|PENDING|", f"|{state}|"))

    def number_of(self, job: str) -> str:
        """The number of a follow-up job, as its script says it."""
        return self.named("follow:tiny")[job].strip().rsplit("/", 1)[1]

    def run_tasks(self, job: str, submission: int) -> None:
        """Let the elements of an array run to their end."""
        index = self.project.runs / f"tiny/submissions/{submission:03d}/index.json"
        for position in range(len(json.loads(index.read_text())["entries"])):
            self.project.call(
                "-m", "hpc.run_task", str(index), str(position),
                SLURM_JOB_ID=f"{job}0{position}", SLURM_ARRAY_JOB_ID=job, SLURM_ARRAY_TASK_ID=str(position),
            )  # fmt: skip
        self.set_state(job, "COMPLETED")

    def known(self) -> set[str]:
        """Every job id that stands in a receipt."""
        receipts = (self.project.runs / "tiny").glob("*/*/receipt.json")
        return {json.loads(receipt.read_text())["job"] for receipt in receipts}

    def ledger(self) -> list[dict[str, Any]]:
        return read_json_lines(self.project.runs / "tiny/follow.jsonl")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendedSlurm]:
    """An experiment planned for that Slurm, kept as *planned*; then submitted and its array run, kept as *over*."""
    folder = tmp_path_factory.mktemp("pretended")
    project = make_project(folder / "project", HEALABLE, HEALS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{REPO / 'tests/fakes/slurm'}:{os.environ['PATH']}")
        patch.setenv("FAKE_SLURM", str(folder / "jobs"))
        (folder / "jobs").mkdir()
        project.hpc("plan", "tiny", "--cluster", "slurm")
        forks = subprocess.Popen(
            [sys.executable, str(REPO / "tests/fakes/forks.py")],
            env=command_environment(OPENBLAS_NUM_THREADS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with forks:
            slurm = PretendedSlurm(project, folder / "jobs", forks)
            slurm.keep("planned")
            assert slurm.run("hpc.submit", "tiny", "--follow") == [0], slurm.said()
            look, end, spare = slurm.waiting()
            assert slurm.waiting() == {look: "", end: "afterany:2", spare: ""}
            slurm.run_tasks("2", 1)
            slurm.set_state(end, "RUNNING")
            slurm.keep("over")
            yield slurm
            assert forks.stdin is not None
            forks.stdin.close()


@pytest.fixture
def slurm(made_once: PretendedSlurm) -> PretendedSlurm:
    """An experiment of which one task of two needs a smaller micro-batch; nothing is submitted."""
    made_once.go_back_to("planned")
    return made_once


@pytest.fixture
def first_array_over(made_once: PretendedSlurm) -> PretendedSlurm:
    """Submitted and followed; the array is over, the follow-up job after its end runs."""
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


def let_the_next_one_run(slurm: PretendedSlurm) -> int:
    """Begin the follow-up job that has waited longest; give its exit code."""
    job = next(iter(slurm.waiting()))
    slurm.set_state(job, "RUNNING")
    (code,) = slurm.run("hpc.follow", "tiny", "--number", slurm.number_of(job))
    slurm.jobs.joinpath(job, "queue").write_text(slurm.named("follow:tiny")[job].replace("RUNNING", "COMPLETED"))
    return code


def test_a_round_that_dies_anywhere_is_finished_by_the_next(first_array_over: PretendedSlurm) -> None:
    """Killed before each act: a follow-up job waits at every moment; one retry, one pair of jobs, all ids known."""
    slurm = first_array_over
    number = begin_the_end(slurm)
    for moment in die_everywhere(slurm, "hpc.follow", "tiny", "--number", number):
        assert slurm.waiting(), f"nobody would go on after a death at act {moment}"
        assert let_the_next_one_run(slurm) == 0, (moment, slurm.said())
        arrays = slurm.named("tiny")
        assert len(arrays) == 2, moment
        assert sorted(slurm.waiting().values()) == ["", "", f"afterany:{list(arrays)[-1]}"], moment
        assert slurm.known() >= {*arrays, *slurm.named("follow:tiny")}, moment
        assert all(line["event"] in ("begun", "round") for line in slurm.ledger()), moment


def test_a_last_round_that_dies_anywhere_is_finished_by_the_next(first_array_over: PretendedSlurm) -> None:
    """Killed before each act of the round that ends: the next one ends it, and those that still wait find it ended."""
    slurm = first_array_over
    assert let_the_next_one_run(slurm) == 0, slurm.said()
    slurm.run_tasks(list(slurm.named("tiny"))[-1], 2)
    job = next(iter(slurm.waiting()))
    number = slurm.number_of(job)
    slurm.set_state(job, "RUNNING")
    for moment in die_everywhere(slurm, "hpc.follow", "tiny", "--number", number):
        while slurm.waiting():
            assert let_the_next_one_run(slurm) in (0, 3), (moment, slurm.said())
        assert len(slurm.named("tiny")) == 2, moment
        state = json.loads((slurm.project.runs / "tiny/follow.json").read_text())
        assert (state["course"], state["told"]) == ("ended", "ended"), moment


def test_a_submission_that_dies_anywhere_is_finished_by_the_same_command(slurm: PretendedSlurm) -> None:
    """`submit --follow`, killed before each act and typed again: one array, one pair of follow-up jobs."""
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
    assert "is followed already, by process" in slurm.said()
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


def begin_the_end(slurm: PretendedSlurm) -> str:
    """Give the number of the follow-up job that runs."""
    return slurm.number_of(next(job for job, queue in slurm.named("follow:tiny").items() if "RUNNING" in queue))


def refuse(slurm: PretendedSlurm, *words: str) -> None:
    """Let the next sbatch calls be refused, each with these words."""
    (slurm.jobs / "refusals").write_text("".join(f"sbatch: error: {each}\n" for each in words))


def test_a_held_experiment_is_not_followed_until_it_is_released(first_array_over: PretendedSlurm) -> None:
    """Nothing is retried, no follow-up job is left, the hold is told once; `--release --follow` begins anew."""
    slurm = first_array_over
    layout = RunLayout(slurm.project.runs, "tiny")
    hold(layout, Trip("the disk is full", "storage/full", "No space left on device", ("X1",)))
    assert slurm.run("hpc.follow", "tiny", "--number", begin_the_end(slurm)) == [1]
    assert len(slurm.named("tiny")) == 1
    assert slurm.waiting() == {}
    assert [line["event"] for line in slurm.ledger()] == ["begun", "round", "held"]
    assert "--release --follow" in "\n".join(describe(layout))
    assert describe_hold(layout).endswith("python -m hpc.submit tiny --release --follow")
    assert slurm.run("hpc.submit", "tiny", "--release", "--follow") == [0], slurm.said()
    assert let_the_next_one_run(slurm) == 0
    assert len(slurm.named("tiny")) == 2


def test_nobody_follows_for_ever(first_array_over: PretendedSlurm) -> None:
    """After `follow.max_days` the chain ends; typed by hand it begins anew."""
    slurm = first_array_over
    assert let_the_next_one_run(slurm) == 0
    state = slurm.project.runs / "tiny/follow.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "started": 0.0}))
    assert slurm.run("hpc.follow", "tiny", "--number", begin_the_end(slurm)) == [1]
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
    number = begin_the_end(slurm)
    for look in slurm.waiting():
        slurm.set_state(look, "CANCELLED")
    refuse(slurm, "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size)")
    assert slurm.run("hpc.follow", "tiny", "--number", number) == [0], slurm.said()
    assert [line["event"] for line in slurm.ledger()] == ["begun", "waited", "round"]
    assert len(slurm.waiting()) == 3


def test_a_follow_up_job_that_slurm_holds_is_replaced(first_array_over: PretendedSlurm) -> None:
    """A node refused to launch the look and Slurm holds it for a person: it is cancelled, and another submitted."""
    slurm = first_array_over
    look = next(iter(slurm.waiting()))
    queue = slurm.jobs / look / "queue"
    queue.write_text(queue.read_text().replace("|PENDING|None|", "|PENDING|launch failed requeued held|"))
    assert slurm.run("hpc.follow", "tiny", "--number", begin_the_end(slurm)) == [0], slurm.said()
    assert "|CANCELLED|" in queue.read_text()
    assert sorted(slurm.waiting().values()) == ["", "", f"afterany:{list(slurm.named('tiny'))[-1]}"]


@pytest.mark.parametrize("comment", ["(null)", "billing:42"])
def test_a_site_that_keeps_no_comments_has_no_more_follow_up_jobs(
    first_array_over: PretendedSlurm, comment: str
) -> None:
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
    "error", [OSError(errno.EDQUOT, "Disk quota exceeded"), SlurmError("sbatch: error: job submit limit")]
)
def test_what_may_pass_is_left_to_the_jobs_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A full disk or a full queue outlasts a look's patience: exit 75, with which the script of the job tries again."""

    def fail(_: RunLayout) -> None:
        raise error

    monkeypatch.setattr(follow, "hold_lease", fail)
    monkeypatch.setattr(follow, "forget_this_job", lambda: None)
    monkeypatch.setattr(follow, "PATIENCE_S", -1.0)
    layout = RunLayout(tmp_path, "tiny")
    with pytest.raises(TemporaryError, match=r"quota|limit") as raised:
        follow.follow_as_job(layout, 1)
    assert f"-eq {raised.value.exit_code} ]" in following.job_command(layout, 1)


def test_looks_that_fail_are_said(first_array_over: PretendedSlurm) -> None:
    """A damaged file fails every look: somebody still waits to go on, and `status` says what is wrong."""
    slurm = first_array_over
    layout = RunLayout(slurm.project.runs, "tiny")
    layout.learned.write_text("{")
    assert slurm.run("hpc.follow", "tiny", "--number", begin_the_end(slurm)) == [2]
    assert slurm.waiting()
    (told,) = [line for line in describe(layout) if line.startswith("following failed (once since")]
    assert f"{layout.learned}: not valid JSON" in told
    layout.learned.unlink()
    assert let_the_next_one_run(slurm) == 0
    assert not [line for line in describe(layout) if line.startswith("following failed")]


def test_status_of_a_full_disk_names_the_follower(first_array_over: PretendedSlurm) -> None:
    """Whoever looks may be unable to write there: it is said who follows all the same."""
    layout = RunLayout(first_array_over.project.runs, "tiny")

    def full(*_: object) -> float:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with hold_lease(layout), pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "silent_s", full)
        assert describe(layout)[-1].startswith(f"followed at this moment by process {os.getpid()}")


def test_a_follow_up_job_that_somebody_holds_is_left_to_them(first_array_over: PretendedSlurm) -> None:
    """Held by a user or the site: nothing takes its place; where no other waits, status says how to go on."""
    slurm = first_array_over
    held = list(slurm.waiting())
    for job in held:
        queue = slurm.jobs / job / "queue"
        queue.write_text(queue.read_text().replace("|PENDING|None|", "|PENDING|JobHeldAdmin|"))
    assert slurm.run("hpc.follow", "tiny", "--number", begin_the_end(slurm)) == [0], slurm.said()
    assert set(held) <= set(slurm.waiting())
    for job, queue in slurm.named("follow:tiny").items():
        if job not in held:
            (slurm.jobs / job / "queue").write_text(
                queue.replace("PENDING", "COMPLETED").replace("RUNNING", "COMPLETED")
            )
    assert f"scontrol release {' '.join(held)}" in describe(RunLayout(slurm.project.runs, "tiny"))[-1]


def test_a_slurm_that_does_not_answer_is_waited_for(first_array_over: PretendedSlurm) -> None:
    """squeue fails as while slurmctld is down: the same job acts once it answers."""
    slurm = first_array_over
    (slurm.jobs / "silence").write_text("once\n")
    assert slurm.run("hpc.follow", "tiny", "--number", begin_the_end(slurm)) == [0], slurm.said()
    assert [line["event"] for line in slurm.ledger()] == ["begun", "waited", "round"]
    assert len(slurm.named("tiny")) == 2


def test_who_stands_down_leaves_somebody_who_goes_on(first_array_over: PretendedSlurm) -> None:
    """A follow-up job meets a living follower: it leaves when another job waits, else it stays until it may act."""
    slurm = first_array_over
    number = begin_the_end(slurm)
    layout = RunLayout(slurm.project.runs, "tiny")
    with hold_lease(layout):
        assert slurm.run("hpc.follow", "tiny", "--number", number) == [3]
        assert f"is followed already, by process {os.getpid()}" in slurm.said()
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
