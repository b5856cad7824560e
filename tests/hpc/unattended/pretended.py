"""A project whose Slurm is a folder of files, and a process that runs commands in forks of itself."""

import contextlib
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

from hpc.adapters.ledger import read_json_lines
from tests.local_projects import EXPERIMENT, REPO, LocalProject, command_environment, make_project

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

    def run(
        self,
        module: str,
        *arguments: str,
        copies: int = 1,
        kill_at: int | None = None,
        fill_at: int | None = None,
        patience_s: float = 300.0,
    ) -> list[int]:
        """Run a command; return the exit codes, negative for a signal."""
        request = {
            "folder": str(self.project.folder),
            "module": module,
            "arguments": arguments,
            "copies": copies,
            "kill_at": kill_at,
            "fill_at": fill_at,
            "patience_s": patience_s,
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
        """Relays that wait: job id → the jobs it waits for, empty for a look."""
        jobs = [job for job, queue in self.named("follow:tiny").items() if "|PENDING|" in queue]
        return {job: (self.jobs / job / "dependency").read_text().strip() for job in jobs}

    def set_state(self, job: str, state: str) -> None:
        """Let squeue say something else of a job that waits."""
        queue = self.jobs / job / "queue"
        queue.write_text(queue.read_text().replace("|PENDING|", f"|{state}|"))

    def number_of(self, job: str) -> str:
        """The number of a relay, as its script says it."""
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

    def begin_the_end(self) -> str:
        """Return the number of the relay that runs."""
        return self.number_of(next(job for job, queue in self.named("follow:tiny").items() if "RUNNING" in queue))

    def let_the_next_one_run(self) -> int:
        """Begin the relay that has waited longest; return its exit code."""
        job = next(iter(self.waiting()))
        self.set_state(job, "RUNNING")
        (code,) = self.run("hpc.follow", "tiny", "--number", self.number_of(job))
        queue = self.jobs / job / "queue"
        queue.write_text(queue.read_text().replace("RUNNING", "COMPLETED"))
        return code


@contextlib.contextmanager
def pretend(project_folder: Path, jobs: Path, more: str = "") -> Iterator[PretendedSlurm]:
    """Plan an experiment of which one task of two needs a smaller micro-batch, kept as *planned*; submit it, run its
    array, kept as *over*: then the relay after the end of the array runs.

    Args:
        more: Further lines of the experiment.
    """
    project = make_project(project_folder, HEALABLE + more, HEALS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{REPO / 'tests/fakes/slurm'}:{os.environ['PATH']}")
        patch.setenv("FAKE_SLURM", str(jobs))
        jobs.mkdir()
        project.hpc("plan", "tiny", "--cluster", "slurm")
        forks = subprocess.Popen(
            [sys.executable, str(REPO / "tests/fakes/forks.py")],
            env=command_environment(OPENBLAS_NUM_THREADS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with forks:
            slurm = PretendedSlurm(project, jobs, forks)
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
