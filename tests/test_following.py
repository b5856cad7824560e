"""Following with a pretended Slurm: killed before each act, eight at once, on this machine's own queue."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters.files import read_json_lines
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

    def said(self) -> str:
        """Everything the forks printed."""
        return (self.project.folder / "forks.log").read_text()

    def named(self, name: str) -> dict[str, str]:
        """Job id → what squeue says of the jobs with this name."""
        found = [job for job in self.jobs.iterdir() if (job / "name").read_text().strip() == name]
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


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedSlurm]:
    """An experiment planned for that Slurm, of which one task of two needs a smaller micro-batch."""
    project = make_project(tmp_path / "project", HEALABLE, HEALS)
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    monkeypatch.setenv("PATH", f"{REPO / 'tests/fakes/slurm'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(jobs))
    project.hpc("plan", "tiny", "--cluster", "slurm")
    environment = command_environment(OPENBLAS_NUM_THREADS="1")
    forks = subprocess.Popen(
        [sys.executable, str(REPO / "tests/fakes/forks.py")],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with forks:
        yield PretendedSlurm(project, jobs, forks)
        assert forks.stdin is not None
        forks.stdin.close()


@pytest.fixture
def first_array_over(slurm: PretendedSlurm) -> PretendedSlurm:
    """Submitted and followed; the array is over, the follow-up job after its end runs."""
    assert slurm.run("hpc.submit", "tiny", "--follow") == [0], slurm.said()
    look, end = slurm.waiting()
    assert slurm.waiting() == {look: "", end: "afterany:2"}
    slurm.run_tasks("2", 1)
    slurm.set_state(end, "RUNNING")
    return slurm


def die_everywhere(slurm: PretendedSlurm, folder: Path, *command: str) -> Iterator[int]:
    """Run a command from the same beginning again and again, killed before its 1st, 2nd, … act; yield after each."""
    beginning = folder / "beginning"
    places = {"project": slurm.project.folder, "jobs": slurm.jobs}
    for name, place in places.items():
        shutil.copytree(place, beginning / name, symlinks=True)
    for moment in range(1, 500):
        for name, place in places.items():
            shutil.rmtree(place)
            shutil.copytree(beginning / name, place, symlinks=True)
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


def test_a_round_that_dies_anywhere_is_finished_by_the_next(first_array_over: PretendedSlurm, tmp_path: Path) -> None:
    """Killed before each act: a follow-up job waits at every moment; one retry, one pair of jobs, all ids known."""
    slurm = first_array_over
    number = slurm.number_of(next(job for job, queue in slurm.named("follow:tiny").items() if "RUNNING" in queue))
    for moment in die_everywhere(slurm, tmp_path, "hpc.follow", "tiny", "--number", number):
        assert slurm.waiting(), f"nobody would go on after a death at act {moment}"
        assert let_the_next_one_run(slurm) == 0, (moment, slurm.said())
        arrays = slurm.named("tiny")
        assert len(arrays) == 2, moment
        assert sorted(slurm.waiting().values()) == ["", f"afterany:{list(arrays)[-1]}"], moment
        assert slurm.known() >= {*arrays, *slurm.named("follow:tiny")}, moment
        assert all(line["event"] in ("begun", "round") for line in slurm.ledger()), moment


def test_a_last_round_that_dies_anywhere_is_finished_by_the_next(
    first_array_over: PretendedSlurm, tmp_path: Path
) -> None:
    """Killed before each act of the round that ends: the next one ends it, and no follow-up job is left."""
    slurm = first_array_over
    assert let_the_next_one_run(slurm) == 0, slurm.said()
    slurm.run_tasks(list(slurm.named("tiny"))[-1], 2)
    job = next(iter(slurm.waiting()))
    number = slurm.number_of(job)
    slurm.set_state(job, "RUNNING")
    for moment in die_everywhere(slurm, tmp_path, "hpc.follow", "tiny", "--number", number):
        if slurm.waiting():
            assert let_the_next_one_run(slurm) in (0, 3), (moment, slurm.said())
        assert slurm.waiting() == {}, moment
        assert len(slurm.named("tiny")) == 2, moment
        state = json.loads((slurm.project.runs / "tiny/follow.json").read_text())
        assert (state["course"], state["told"]) == ("ended", "ended"), moment


def test_a_submission_that_dies_anywhere_is_finished_by_the_same_command(slurm: PretendedSlurm, tmp_path: Path) -> None:
    """`submit --follow`, killed before each act and typed again: one array, one pair of follow-up jobs."""
    for moment in die_everywhere(slurm, tmp_path, "hpc.submit", "tiny", "--follow"):
        assert slurm.run("hpc.submit", "tiny", "--follow") == [0], (moment, slurm.said())
        (array,) = slurm.named("tiny")
        assert sorted(slurm.waiting().values()) == ["", f"afterany:{array}"], moment
        assert slurm.known() >= {array, *slurm.named("follow:tiny")}, moment


def test_of_eight_followers_at_once_one_acts(first_array_over: PretendedSlurm) -> None:
    """All begin together: one retry is submitted, the others stand down (exit 3) or find it done."""
    slurm = first_array_over
    codes = slurm.run("hpc.follow", "tiny", copies=8)
    assert set(codes) <= {0, 3}, (codes, slurm.said())
    assert 3 in codes
    assert "is followed already, by process" in slurm.said()
    assert len(slurm.named("tiny")) == 2
    assert len(slurm.waiting()) == 2
    assert [line["retried"] for line in slurm.ledger() if line["event"] == "round" and line["retried"]] == [["X1"]]


def test_this_machines_own_queue_is_followed_to_the_end(tmp_path: Path) -> None:
    """Without Slurm: a detached process heals what failed and builds the report; nobody has to stay."""
    project = make_project(tmp_path / "project", HEALABLE, HEALS)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--follow")
    ledger = project.runs / "tiny/follow.jsonl"
    wait_until(lambda: any(line["event"] == "ended" for line in read_json_lines(ledger)), 60, "the end")
    assert {run: task["outcome"] for run, task in project.verdicts().items()} == {"X1": "finished", "X2": "finished"}
    assert (project.runs / "tiny/report/report.md").exists()
    assert "followed to the end" in project.hpc("status", "tiny")
