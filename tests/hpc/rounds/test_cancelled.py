"""A person's scancel is the last word: whatever a run's history, nobody starts it again unasked."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc.core.failures.evidence import FailureClass
from hpc.core.layout import RunLayout
from hpc.core.retry.records import RetryPlan
from hpc.rounds.act import assess
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import EXPERIMENT

DIES = """
import sys
print("loss: 1", flush=True)
sys.exit("OSError: [Errno 12] Cannot allocate memory" if {x} == 2 else 1)
""".replace("{x}", "int(sys.argv[1])")


@dataclass(frozen=True)
class Ran:
    """An array of three tasks after two of its elements ran once and failed, X2 out of memory; X3 never began."""

    project: SlurmProject
    runs: Path

    def tell(self, accounting: list[str], queue: str = "") -> None:
        """Let sacct show these executions of every element, oldest first, and squeue this state of it."""
        mark = self.project.comment(1)
        times = [f"2026-11-21T11:0{i}:00" for i in range(6)]
        rows = [
            f"7_{element}|7|{state}|0:0|{times[i]}|{times[i]}|{times[i + 1]}|60|n1||60|{mark}"
            for element in range(3)
            for i, state in enumerate(accounting)
        ]
        self.project.client("sacct", "\n".join(f"echo '{row}'" for row in rows) or "exit 0")
        lines = [f"echo '7_{element}|7|{queue}|None|n1|{mark}'" for element in range(3) if queue]
        self.project.client("squeue", "\n".join(lines) or "exit 0")

    def plan(self, *again: FailureClass) -> RetryPlan:
        """Judge and plan, as the collector and the follower do."""
        return assess(RunLayout(self.runs, "tiny"), again=again).plan


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmProject]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        experiment = EXPERIMENT.replace("[1, 2]", "[1, 2, 3]")
        project = make_slurm_project(tmp_path_factory.mktemp("ran") / "project", monkeypatch, experiment, program=DIES)
        project.hpc("submit", "tiny")
        index = str(project.runs / "tiny/submissions/001/index.json")
        for element in ("0", "1"):
            job = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": element}
            assert project.call("-m", "hpc.run_task", index, element, **job).returncode == 1
        yield project


@pytest.fixture
def ran(made: SlurmProject, tmp_path: Path) -> Ran:
    """The array as it stands, in a copy of its own."""
    shutil.copytree(made.runs, tmp_path / "runs", symlinks=True)
    return Ran(made, tmp_path / "runs")


PERSONS = {
    "cancelled while it ran": (["CANCELLED by 1000"], ""),
    "preempted, put back, cancelled while it waited": (["PREEMPTED", "CANCELLED by 1000"], ""),
    "the same before sacct knows": (["PREEMPTED"], "CANCELLED"),
    "a lost node, put back, cancelled while it waited": (["NODE_FAIL", "CANCELLED by 1000"], ""),
    "requeued by hand, cancelled by an administrator": (["REQUEUED", "CANCELLED by 0"], ""),
    "put back twice, cancelled by somebody unnamed": (["PREEMPTED", "REQUEUED", "CANCELLED"], ""),
    "a site without accounting": ([], "CANCELLED"),
}
NO_PERSONS = {
    "preempted": ["PREEMPTED"],
    "a lost node": ["NODE_FAIL"],
    "the time limit, whose steps Slurm calls cancelled": ["TIMEOUT"],
}


@pytest.mark.parametrize(("accounting", "queue"), PERSONS.values(), ids=PERSONS)
def test_what_a_person_cancelled_is_left_alone(ran, accounting, queue):
    """Whatever took the attempt away before, and whatever its log says: no retry, nor once Slurm has forgotten it."""
    ran.tell(accounting, queue)
    assert [each.run_name for each in ran.plan().declined] == ["X1", "X2", "X3"]
    ran.tell([])
    receipt = ran.runs / "tiny/submissions/001/receipt.json"
    receipt.write_text(receipt.read_text().replace('"time": ', '"time": 0, "was": '))  # long ago
    again = ran.plan()
    assert [each.run_name for each in again.declined] == ["X1", "X2", "X3"]
    assert again.declined[2].category is FailureClass.CANCELLED


def test_what_was_cancelled_while_it_waited_may_be_one_row_of_the_array(ran):
    """Slurm had not written down what waits yet when it was cancelled: sacct has the array itself."""
    time = "2026-11-21T11:00:00"
    for state, declined in (("COMPLETED", []), ("CANCELLED by 1000", ["X3"])):
        row = f"7|7|{state}|0:0|{time}|{time}|{time}|0|None||60|{ran.project.comment(1)}"
        ran.project.client("sacct", f"echo '{row}'")
        ran.project.client("squeue", "exit 0")
        cancelled = [each for each in ran.plan().declined if each.category is FailureClass.CANCELLED]
        assert [each.run_name for each in cancelled] == declined, state


@pytest.mark.parametrize("accounting", NO_PERSONS.values(), ids=NO_PERSONS)
def test_what_slurm_itself_took_away_is_started_again(ran, accounting):
    """A preemption, a lost node, a time limit are nobody's wish."""
    ran.tell(accounting)
    assert "X1" in [each.run_name for each in ran.plan().retry]


def test_without_accounting_what_was_kept_tells_the_executions_apart(ran):
    """squeue alone shows first that a node was lost, and later that the element was cancelled while it waited."""
    ran.tell([], "NODE_FAIL")
    assert "X1" in [each.run_name for each in ran.plan().retry]
    ran.tell([], "CANCELLED")
    assert [each.run_name for each in ran.plan().declined if each.category is FailureClass.CANCELLED] == [
        "X1",
        "X2",
        "X3",
    ]


def test_a_cancelled_run_that_shows_another_cause_keeps_its_verdict(ran):
    """Somebody cancelled a run that had no memory left: the verdict names the cause, and nobody retries it."""
    ran.tell(["CANCELLED by 1000"])
    declined = ran.plan().declined[1]
    assert (declined.category, declined.reason) == (FailureClass.OOM_HOST, "somebody cancelled it (oom_host)")


def test_who_did_not_mean_it_asks_again(ran):
    """`--again cancelled` is a newer word: what was cancelled goes on, under a number nobody had."""
    ran.tell(["PREEMPTED", "CANCELLED by 1000"])
    ran.plan()
    asked = ran.plan(FailureClass.CANCELLED)
    assert {each.run_name: each.attempt for each in asked.retry} == {"X1": 3, "X2": 3, "X3": 2}


def test_the_follower_obeys(made):
    """The unattended loop on an array that was preempted, put back and cancelled: it ends, and submits nothing."""
    Ran(made, made.runs).tell(["PREEMPTED", "CANCELLED by 1000"])
    answer = json.loads(made.call("-m", "hpc.follow", "tiny", "--json").stdout)
    assert (answer["course"], answer["retried"], answer["jobs"]) == ("ended", [], {})
    assert [line for line in made.calls("sbatch") if "/submissions/" in line] == made.calls("sbatch")[:1]
