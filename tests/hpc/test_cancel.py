"""`hpc.cancel` on this machine's own queue, and on a Slurm that only answers: tasks, the loop, a death in between."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.local.queue import is_at_work
from hpc.unattended.state import State, read_state, write_state
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import EXPERIMENT, REPO, LocalProject, command_environment, family, make_project, wait_until

SLEEPS = "import time\nprint('loss: 1', flush=True)\ntime.sleep(100)\n"
THREE = EXPERIMENT.replace("[1, 2]", "[1, 2, 3]")


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    """Three tasks that sleep, one at a time: X1 runs, the others wait."""
    project = make_project(tmp_path / "project", THREE, SLEEPS)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--detach", "--max-parallel", "1")
    wait_until((project.attempt("X1") / "stdout.log").exists, 60, "the first task")
    return project


def outcomes(project: LocalProject) -> dict[str, int]:
    return {name: count for name, count in project.json("status", "tiny")["outcomes"].items() if count}


def test_this_machines_queue_is_cancelled_and_stays_so(project):
    """What runs ends, what waits never begins, nobody starts either again unasked; a second time there is nothing."""
    assert project.json("cancel", "tiny", "--dry-run")["would_cancel"] == ["X1", "X2", "X3"]
    assert project.json("cancel", "tiny")["cancelled"] == ["X1", "X2", "X3"]
    assert family(project.attempt("X1")) == []
    assert not project.attempt("X2").exists()
    assert outcomes(project) == {"failed": 3}
    answer = project.json("collect", "tiny", "--retry-failed", expect=1)
    assert (answer["failures"], answer["jobs"]) == ({"cancelled": 3}, {})
    assert "nothing waits or runs" in project.hpc("cancel", "tiny", expect=3)
    project.write_program("print('loss: 1')\n")
    project.hpc("collect", "tiny", "--retry-failed", "--again", "cancelled", "--replan", "--max-parallel", "2")
    assert outcomes(project) == {"finished": 3}


def test_single_tasks(project):
    """The others go on; a name that is none is said with the nearest."""
    assert "did you mean 'X2'?" in project.hpc("cancel", "tiny", "X22", expect=2)
    assert project.json("cancel", "tiny", "X2")["cancelled"] == ["X2"]
    assert outcomes(project) == {"failed": 1, "running": 1, "pending": 1}
    assert project.json("cancel", "tiny", "X1")["cancelled"] == ["X1"]
    wait_until((project.attempt("X3") / "stdout.log").exists, 60, "the third task")
    assert not project.attempt("X2").exists()
    assert project.json("cancel", "tiny")["cancelled"] == ["X3"]


def test_killed_in_the_middle_it_goes_on(project):
    """Kill -9 before each rename: what was withdrawn does not start, and the next call ends the rest."""
    for moment in range(1, 4):
        project.call(str(REPO / "tests/fakes/killed.py"), str(moment), "hpc.cancel", "tiny")
    wanted = {"X1", "X2", "X3"}
    done = project.call("-m", "hpc.cancel", "tiny", "--json")
    assert done.returncode in (0, 3), done.stderr
    assert outcomes(project) == {"failed": len(wanted)}
    assert family(project.attempt("X1")) == []


def test_a_program_that_hears_nothing_is_killed(tmp_path):
    """SIGTERM is a request; its wrapper ends what does not heed it."""
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPS
    project = make_project(tmp_path / "project", THREE, deaf)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--detach", "--max-parallel", "1")
    wait_until((project.attempt("X1") / "stdout.log").exists, 60, "the first task")
    wait_until(lambda: "loss" in (project.attempt("X1") / "stdout.log").read_text(), 30, "its first line")
    project.json("cancel", "tiny")
    assert family(project.attempt("X1")) == []


def test_probes_of_this_machine_are_ended_too(tmp_path):
    """The one that measures ends, the one that waits never begins, nor do the tasks behind them."""
    measured = EXPERIMENT.replace("{x} {seed}", "{x} {micro_batch_size}") + "batch: {global: 8, micro: 8}\n"
    project = make_project(tmp_path / "project", measured, SLEEPS)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--probe", "--detach", "--max-parallel", "1")
    probe = project.runs / "tiny/probes/001/tries"
    wait_until((probe / "X1/attempt-1/stdout.log").exists, 60, "the first probe")
    assert project.json("cancel", "tiny", "--dry-run")["local_probes"] == ["X1", "X2"]
    assert "cancelled the probe of X1, probe of X2" in project.hpc("cancel", "tiny")
    assert family(probe / "X1/attempt-1") == []
    wait_until(lambda: not is_at_work(RunLayout(project.runs, "tiny")), 30, "the end of the queue")
    assert not (probe / "X2").exists()
    assert list(project.runs.glob("tiny/tasks/*/attempt-*")) == []
    assert "nothing waits or runs" in project.hpc("cancel", "tiny", expect=3)


# Slurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmProject:
    """Two elements that wait, and a relay."""
    project = make_slurm_project(tmp_path / "project", monkeypatch)
    project.hpc("submit", "tiny")
    mark = project.comment(1)
    project.client("squeue", f"case \"$*\" in *follow:*) ;; *) echo '7_0|7|PENDING|None||{mark}';"
                             f" echo '7_1|8|RUNNING|None|n1|{mark}';; esac")  # fmt: skip
    project.client("scancel", f'echo scancel "$@" >> {project.folder}/scancelled')
    return project


def test_elements_in_slurm_are_cancelled_and_withdrawn_first(slurm):
    """One scancel for all that lives; should it fail, the elements are withdrawn already, and the next call goes on."""
    slurm.client("scancel", "echo 'scancel: error: Unable to contact slurm controller' >&2; exit 1")
    slurm.hpc("cancel", "tiny", expect=75)
    withdrawn = json.loads((slurm.runs / "tiny/submissions/001/withdrawn.json").read_text())
    assert set(withdrawn["cancelled"]) == {"X1", "X2"}
    slurm.client("scancel", f'echo "$@" >> {slurm.folder}/scancelled')
    answer = slurm.json("cancel", "tiny")
    assert answer["cancelled"] == ["X1", "X2"]
    assert (slurm.folder / "scancelled").read_text().strip() == "7_[0-1]"


def test_the_unattended_loop_ends_with_a_word(slurm):
    """It is written down, its relays stand down, and `follow` by hand takes it up again."""
    layout = RunLayout(slurm.runs, "tiny")
    write_state(layout, State(Course.GOES_ON, "slurm", time.time()))
    assert slurm.json("cancel", "tiny")["was_followed"]
    state = read_state(layout)
    assert state is not None
    assert state.course is Course.CANCELLED
    assert "somebody cancelled it; to go on: python -m hpc.follow tiny" in slurm.hpc("status", "tiny")
    slurm.hpc("follow", "tiny", "--number", "1", expect=3)


def test_a_withdrawn_element_that_slurm_starts_all_the_same_runs_nothing(slurm):
    """Cancelled between sbatch and its start, or by somebody whose scancel was lost: the wrapper looks, and leaves."""
    slurm.hpc("cancel", "tiny")
    index = str(slurm.runs / "tiny/submissions/001/index.json")
    done = slurm.call(
        "-m", "hpc.run_task", index, "0", SLURM_JOB_ID="7", SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="0"
    )
    assert done.returncode == 0
    assert "was cancelled" in done.stdout
    assert not (slurm.runs / "tiny/tasks/X1").exists()


def test_interrupted_waiting_names_the_way_to_stop(tmp_path):
    """Ctrl-C leaves the tasks to go on, and says so with the line that stops them."""
    project = make_project(tmp_path / "project", THREE, SLEEPS)
    project.hpc("plan", "tiny", "--cluster", "local")
    # A shell that runs pytest in the background ignores Ctrl-C for all below it; this terminal does not.
    heard = "import runpy, signal; signal.signal(2, signal.default_int_handler); "
    heard += "runpy.run_module('hpc.submit', run_name='__main__')"
    with subprocess.Popen(
        [sys.executable, "-c", heard, "tiny"], cwd=project.folder, env=command_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            wait_until((project.attempt("X1") / "stdout.log").exists, 60, "the first task")
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            project.json("cancel", "tiny")
    assert "to stop them: python -m hpc.cancel tiny" in told
