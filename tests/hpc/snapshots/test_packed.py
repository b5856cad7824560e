"""What Slurm says of an element that tasks share is said of those alone that ended with it; the rest was not begun."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc.core.failures.evidence import FailureClass, LogLine
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import JobRow, share_of
from hpc.core.slurm.states import SlurmState
from hpc.housekeeping.printed import wrapper_logs
from hpc.rounds.act import Assessment, assess, left_over
from hpc.rounds.decide import trip_of
from hpc.snapshots.evidence import of_packed
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import take_snapshot
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import EXPERIMENT

F = FailureClass
PROGRAM = """
import sys
x = int(sys.argv[1])
if x == 2:
    raise ValueError("a fault of its own")
print(f"loss: {x}")
"""
PACKED = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4]") + "pack: {tasks: 4, at_once: 2}\n"


@dataclass(frozen=True)
class Ran:
    """One element of four tasks: X1 finished, X2 failed, X3 left no record of its end, X4 was not begun."""

    project: SlurmProject
    folder: Path

    @property
    def layout(self) -> RunLayout:
        return RunLayout(self.folder / "runs", "tiny")

    def tell(self, *states: str, queue: str = "") -> None:
        """Let sacct show these executions of the element, oldest first, and squeue this state of it."""
        mark, times = self.project.comment(1), [f"2026-11-21T11:0{i}:00" for i in range(6)]
        rows = [
            f"7_0|7|{state}|0:{9 * (state == 'FAILED')}|{times[i]}|{times[i]}|{times[i + 1]}|60|n1||60|{mark}"
            for i, state in enumerate(states)
        ]
        self.project.client("sacct", "\n".join(f"echo '{row}'" for row in rows) or "exit 0")
        self.project.client("squeue", f"echo '7_0|7|{queue}|None|n1|{mark}'" if queue else "exit 0")

    def outcomes(self) -> list[Outcome]:
        """Of X1 to X4, as the collector has them."""
        return [task.outcome for task in self.assess().judged.tasks]

    def assess(self) -> Assessment:
        return assess(self.layout)

    def left(self) -> list[str]:
        """What a collection submits although it never failed."""
        judged = self.assess().judged
        return [each.task.run_name for each in left_over(judged.snapshot, judged.frozen.spec)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmProject]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        project = make_slurm_project(tmp_path_factory.mktemp("ran") / "p", monkeypatch, PACKED, program=PROGRAM)
        project.hpc("submit", "tiny")
        job = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
        assert project.call("-m", "hpc.run_task", str(project.runs / "tiny/submissions/001/index.json"), "0", **job)
        (project.attempt("X3") / "exit.json").unlink()
        shutil.rmtree(project.attempt("X4").parent)
        yield project


@pytest.fixture
def ran(made: SlurmProject, tmp_path: Path) -> Ran:
    """The element as it stands; what a test changes is put back."""
    shutil.copytree(made.runs, tmp_path / "runs", symlinks=True)
    made.client("scancel", "exit 0")
    (made.folder / "scancel.calls").unlink(missing_ok=True)
    return Ran(made, tmp_path)


def test_while_the_element_runs_each_task_is_what_it_is(ran):
    """Ended by itself is over at once, begun runs, not begun waits inside the element, and status says where."""
    ran.tell("RUNNING", queue="RUNNING")
    assert ran.outcomes() == [Outcome.FINISHED, Outcome.FAILED, Outcome.RUNNING, Outcome.PENDING]
    (waiting,) = ran.project.json("status", "tiny", HPC_ROOT=str(ran.folder / "runs"))["waiting"]
    assert (waiting["count"], waiting["jobs"], waiting["kind"]) == (1, ["7_[0]"], "queued")
    assert "in a running array element" in waiting["meaning"]


@pytest.mark.parametrize("state", ["FAILED", "NODE_FAIL", "TIMEOUT", "OUT_OF_MEMORY"])
def test_a_dead_element_loses_what_it_ran_and_nothing_else(ran, state):
    """X3 failed with it; X2 by itself, whatever Slurm says of the rest; X4 was not begun, and is submitted again."""
    ran.tell(state)
    assert ran.outcomes() == [Outcome.FINISHED, Outcome.FAILED, Outcome.FAILED, Outcome.PLANNED]
    judged = ran.assess().judged
    assert judged.tasks[1].failure_class is F.CODE_BUG
    assert judged.tasks[2].failure_class not in (None, F.CODE_BUG)
    assert judged.tasks[3].attempts == ()
    assert ran.left() == ["X4"]


def test_what_was_left_and_then_failed_to_start_is_a_failure(ran):
    """X4 is submitted again, alone, and that element never begins it: left once, it is not submitted for ever."""
    ran.tell("FAILED")
    made = ran.project
    made.client("sbatch", "echo 9")
    assert made.json("submit", "tiny", HPC_ROOT=str(ran.folder / "runs"))["jobs"] == {"2": "9"}
    made.client("sbatch", "echo 7")
    mark = (ran.layout.submission(2).script).read_text().split("--comment=")[1].split()[0]
    sacct = made.folder / "bin/sacct"
    time = "2026-11-21T11:09:00"
    sacct.write_text(f"{sacct.read_text()}\necho '9_0|9|FAILED|1:0|{time}|{time}|{time}|0|n1||60|{mark}'\n")
    assert ran.outcomes()[3] is Outcome.FAILED
    assert ran.left() == []


def test_a_cancelled_element_is_nobodys_to_start_again(ran):
    """Running and waiting tasks of it are cancelled, what had ended keeps its end; no collection overrules that."""
    ran.tell("CANCELLED by 1000")
    present = ran.assess()
    assert [task.failure_class for task in present.judged.tasks] == [None, F.CODE_BUG, F.CANCELLED, F.CANCELLED]
    assert present.plan.retry == ()
    assert ran.left() == []
    ran.tell()  # Slurm has forgotten it
    assert [task.failure_class for task in ran.assess().judged.tasks][2:] == [F.CANCELLED, F.CANCELLED]


def test_an_element_that_began_nothing_failed(ran):
    """Its setup lines failed, or its node: a collection must not submit it for ever."""
    shutil.rmtree(ran.layout.tasks)
    ran.tell("FAILED")
    assert ran.outcomes() == [Outcome.FAILED] * 4
    assert ran.left() == []


def test_an_element_that_waits_again_has_what_was_taken_away(ran):
    """Preempted and put back: X3 and X4 wait in it; X2 failed by itself and is the collector's."""
    ran.tell("PREEMPTED", queue="PENDING")
    assert ran.outcomes() == [Outcome.FINISHED, Outcome.FAILED, Outcome.PENDING, Outcome.PENDING]


def test_what_is_remembered_stands_as_what_is_read(ran):
    """The second look, by memory alone, sees the same of every task."""
    for states in (["RUNNING"], ["FAILED"], ["CANCELLED by 1000"]):
        ran.tell(*states, queue="RUNNING" if states == ["RUNNING"] else "")
        first = Memory(ran.layout)
        first._taken += 60  # what was written just now is old enough to be believed
        seen = take_snapshot(ran.layout, memory=first)
        second = take_snapshot(ran.layout, memory=Memory(ran.layout))
        assert [[(a.number, a.progress, a.row) for a in t.attempts] for t in seen.tasks] == [
            [(a.number, a.progress, a.row) for a in t.attempts] for t in second.tasks
        ]


def test_a_task_is_cancelled_without_its_neighbours(ran):
    """Another runs in the job, so Slurm is not asked to end it; the one that waited never begins, for good."""
    ran.tell("RUNNING", queue="RUNNING")
    root = {"HPC_ROOT": str(ran.folder / "runs")}
    assert ran.project.json("cancel", "tiny", "X4", **root)["cancelled"] == ["X4"]
    assert ran.project.calls("scancel") == []
    assert ran.outcomes()[2:] == [Outcome.RUNNING, Outcome.FAILED]
    ran.tell("COMPLETED")
    assert ran.assess().judged.tasks[3].failure_class is F.CANCELLED
    assert ran.left() == []


def test_an_element_of_which_all_is_cancelled_is_ended(ran):
    """What lives of it, X3 and X4, is cancelled: then Slurm ends the job."""
    ran.tell("RUNNING", queue="RUNNING")
    ran.project.json("cancel", "tiny", "X3", "X4", HPC_ROOT=str(ran.folder / "runs"))
    assert ran.project.calls("scancel") == ["7_[0]"]


def test_the_log_of_its_element_is_found_for_a_task_that_did_not_begin(ran):
    """`hpc logs` shows what Slurm and the wrapper printed: X4 is the fourth entry, and its element the first."""
    log = ran.layout.submission(1).logs / "7_0.log"
    log.write_text("setup failed")
    assert [each.path for each in wrapper_logs(ran.layout, "X4")] == [log]


@pytest.mark.parametrize(("died", "holds"), [("together", False), ("apart", True)])
def test_the_death_of_an_element_holds_nothing_by_itself(ran, died, holds):
    """Of the tasks that died of it one counts; as many deaths of elements of their own would hold the experiment."""
    for x in (1, 2, 3):
        attempt = ran.layout.task(f"X{x}").attempt(1)
        attempt.exit_json.unlink(missing_ok=True)
        attempt.stderr.write_text("")
        attempt.stdout.write_text(f"loss: {x}\n")
        if died == "apart":
            attempt.task_json.write_text(attempt.task_json.read_text().replace('"packed": 2', '"packed": 0'))
    ran.tell("FAILED")
    present = ran.assess()
    assert [task.failure_class for task in present.judged.tasks[:3]] == [F.UNKNOWN] * 3
    assert (trip_of(present.judged, present.plan) is not None) is holds


def test_slurms_reason_in_the_log_speaks_before_accounting_does(ran):
    """X3 was told to end, and the log says why; sacct does not know that execution yet."""
    ended = json.loads((ran.layout.task("X1").attempt(1).exit_json).read_text())
    told = {"signals_received": ["TERM"], "exit_code": 143, "signal": 15, "program_outcome": None, "ended": 1.0}
    ran.layout.task("X3").attempt(1).exit_json.write_text(json.dumps({**ended, **told}))
    reason = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-21T11:00:00 DUE TO JOB REQUEUE ***"
    (ran.layout.submission(1).logs / "7_0.log").write_text(f"hpc: X3 attempt 1, job 7_0 on n1\n{reason}\n")
    ran.tell()
    assert ran.assess().judged.tasks[2].failure_class is F.PREEMPTED


LOG = """
hpc: 4 tasks, 2 at once, job 7_0
hpc: X1 attempt 1, job 7_0 on n1
hpc: X12 attempt 1, job 7_0 on n1
hpc: X1 attempt 1 ended with 1
hpc: X1 attempt 2, job 7_0 on n1
hpc: X1: its wrapper was killed by signal 9
slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch
slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-21T11:00:00 DUE TO TIME LIMIT ***
""".strip()


def test_a_shared_log_is_cut_into_what_is_a_tasks_own():
    """Lines that name it and its attempt; Slurm's on the element's end where that was its own; no kill of others."""
    lines = [LogLine("slurm", number, text) for number, text in enumerate(LOG.splitlines(), start=1)]
    assert [each.line for each in of_packed(lines, "X1", 1, ended_with_it=False)] == [2, 4]
    assert [each.line for each in of_packed(lines, "X1", 2, ended_with_it=True)] == [5, 8]


def test_a_tasks_share_of_a_row_is_not_what_all_used():
    """Time from its own begin, no limit, no peak, no exit code: those are the element's."""
    row = JobRow("7_0", "7", SlurmState.NODE_FAIL, exit_code=1, started=100.0, ended=400.0, elapsed_s=300.0,
                 time_limit_s=600.0, peak_memory_mib=900.0, steps={"batch": SlurmState.OUT_OF_MEMORY})  # fmt: skip
    share = share_of(row, 350.0)
    assert (share.started, share.elapsed_s, share.time_limit_s, share.peak_memory_mib) == (350.0, 50.0, None, None)
    assert (share.state, share.exit_code, share.steps) == (SlurmState.NODE_FAIL, None, {})
