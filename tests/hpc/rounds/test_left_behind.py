"""The copy of the code that a killed wrapper leaves: it goes once nothing of the attempt can run, and never before."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.adapters import proc
from hpc.adapters.code_snapshot import code_digest, freeze_code
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.index import Code
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.node.workdir import lay_out
from hpc.rounds.left_behind import tidy_left_behind
from hpc.snapshots.states import AttemptState, Progress
from tests.local_projects import make_project
from tests.made_records import exit_record, task_record

OUT_OF_REACH = {SlurmState.NODE_FAIL, SlurmState.BOOT_FAIL, SlurmState.REVOKED}
NOBODY = f"{proc.boot_id()}/1/0"
"""Process 1 was not started at that tick: a wrapper that is gone."""

ORPHAN = """
import os, sys
if os.fork():
    sys.exit()
print("here", flush=True)
sys.stdin.read()
"""


def died(folder: Path, *, scheduler: str, pid: str = NOBODY, state: SlurmState | None = None) -> AttemptState:
    """An attempt without an end: its copy of the code, and a result beside it."""
    (folder / "train.py").write_text("print(1)")
    code = Code(str(folder / "code"), code_digest({"pkg/train.py": folder / "train.py"}))
    freeze_code({"pkg/train.py": folder / "train.py"}, Path(code.path))
    attempt = RunLayout(folder, "night").task("a").attempt(1)
    lay_out(code, attempt.work, {})
    (attempt.work / "pkg/model.pt").write_text("3")
    where = {"host": proc.this_host(), "pid": pid, "pid_namespace": proc.pid_namespace()}
    record = task_record(code=code, workdir=str(attempt.work), scheduler=scheduler, **where)
    row = JobRow("7_1", "8", state) if state else None
    return AttemptState(1, 1, "7_1", Progress.OVER, attempt, record, None, row)


def held(attempt: AttemptLayout) -> set[str]:
    return {path.name for path in attempt.work.rglob("*") if path.is_file()}


@pytest.mark.parametrize("state", [None, *SlurmState])
def test_slurm_has_to_say_that_it_is_over(tmp_path: Path, state: SlurmState | None) -> None:
    """Finished, on a node that Slurm still reaches: the code goes, the result stays. In every other state both stay."""
    attempt = died(tmp_path, scheduler="slurm", state=state)
    tidy_left_behind(attempt)
    gone = state is not None and state.is_finished and state not in OUT_OF_REACH
    assert held(attempt.layout) == ({"model.pt"} if gone else {"model.pt", "train.py"})


def test_what_runs_or_ended_by_itself_is_left_alone(tmp_path: Path) -> None:
    """Running, or with a record of its end, or looked at before: nothing is touched."""
    attempt = died(tmp_path, scheduler="slurm", state=SlurmState.OUT_OF_MEMORY)
    for other in ({"progress": Progress.RUNNING}, {"end": exit_record()}):
        tidy_left_behind(replace(attempt, **other))
    attempt.layout.scheduler.touch()
    tidy_left_behind(attempt)
    assert held(attempt.layout) == {"model.pt", "train.py"}


def test_on_this_machine_every_process_has_to_be_gone(tmp_path: Path) -> None:
    """The wrapper lives; it is dead and something it started lives; nothing lives: only then the code goes."""
    alive = died(tmp_path, scheduler="local", pid=proc.identity(os.getpid()))
    tidy_left_behind(alive)
    assert "train.py" in held(alive.layout)
    assert alive.record is not None
    dead = replace(alive, began=replace(alive.record, pid=NOBODY))
    left = {**os.environ, "HPC_ATTEMPT_DIR": str(dead.layout.home)}
    line = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(line, env=left, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tidy_left_behind(dead)
        assert "train.py" in held(dead.layout)
        assert child.stdin is not None
        child.stdin.close()
        child.stdout.read()
    tidy_left_behind(dead)
    assert held(dead.layout) == {"model.pt"}


def test_collect_tidies_up_after_a_killed_wrapper(tmp_path: Path) -> None:
    """A program that kills its wrapper with -9: after the next collection its working folder holds what it wrote."""
    project = make_project(tmp_path / "project")
    project.write_program(
        "import os, signal, sys\n"
        "if sys.argv[1] == '1':\n"
        "    open('made.txt', 'w').close()\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    project.hpc("plan", "tiny", "--cluster", "local")
    done = project.call("-m", "hpc.run_task", "runs/tiny/submissions/001/index.json", "0")
    assert done.returncode == -9
    work = project.attempt("X1") / "work"
    assert {"program.py", "made.txt"} <= {path.name for path in work.iterdir()}
    project.json("collect", "tiny", expect=1)
    assert [path.name for path in work.iterdir()] == ["made.txt"]
