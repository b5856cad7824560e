"""Collecting on this machine: damaged files are evidence or named, derived files can be made again, runs stay."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest

from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project


@pytest.fixture
def project(finished: LocalProject, tmp_path: Path) -> LocalProject:
    """A copy to damage."""
    return copy_project(finished.folder, tmp_path / "project")


def test_what_is_derived_can_be_made_again(project):
    """collected/ deleted and collected again: the same verdicts, the same table, the same numbers."""
    project.hpc("collect", "tiny")
    collected = project.runs / "tiny/collected"
    before = {name: (collected / name).read_text() for name in ("tasks.csv", "retry_plan.json")}
    tasks = project.verdicts()
    shutil.rmtree(collected)
    project.hpc("collect", "tiny")
    assert project.verdicts() == tasks
    assert (collected / "tasks.csv").read_text() == before["tasks.csv"]
    with h5py.File(collected / "results.h5") as file:
        assert list(file["summary/loss"][()]) == [0.5, 1.0]
        assert file.attrs["schema"] == 1


@pytest.mark.parametrize("keep", [0, 100, 1500])
def test_a_truncated_metrics_file_is_evidence_and_no_success(project, keep):
    """A metrics.h5 cut anywhere: that run is not finished, the other is untouched, nothing stops."""
    victim = project.attempt("X1") / "metrics.h5"
    victim.write_bytes(victim.read_bytes()[:keep])
    answer = project.json("collect", "tiny", expect=1)
    assert answer["outcomes"]["finished"] == 1
    assert answer["outcomes"]["failed"] == 1
    assert project.verdicts()["X1"]["summary"].get("loss") is None


@pytest.mark.parametrize("name", ["task.json", "exit.json"])
def test_a_cut_record_is_named(project, name):
    """A cut record makes its attempt unreadable: named with a command that works; the rest is judged."""
    victim = project.attempt("X1") / name
    whole = victim.read_text()
    victim.write_text(whole[:60])
    told = project.hpc("collect", "tiny", expect=1)
    assert f"cannot be read: {victim}: not valid JSON" in told
    assert project.hpc("status", "tiny").count(f"cannot be read: {victim}") == 1
    assert project.verdicts()["X1"]["attempts"][-1]["verdict"]["rule"] == "record.unreadable"
    assert project.verdicts()["X2"]["outcome"] == "finished"
    retried = project.json("collect", "tiny", "--retry-failed", "--dry-run", expect=1)
    assert retried["retry"] == []
    victim.write_text(whole)
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2

    victim.write_text("")  # now there is a result to keep
    subprocess.run(_remedy(project.hpc("collect", "tiny")), check=True)
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2
    forgotten = project.json("collect", "tiny", "--forget-gone", expect=0 if name == "task.json" else 1)
    assert forgotten["outcomes"]["pending" if name == "task.json" else "failed"] == 1  # not made, or its end is unknown


def _remedy(told: str) -> list[str]:
    """The command that is said to take an unreadable file out of the way."""
    line = next(line for line in told.splitlines() if line.startswith("cannot be read: "))
    return shlex.split(line[line.index("mv ") :])


def test_a_lost_exit_record_is_an_unknown_end(project):
    """No exit.json and no process: never a success, repeated once."""
    (project.attempt("X1") / "exit.json").unlink()
    answer = project.json("collect", "tiny", "--retry-failed", "--dry-run", expect=1)
    assert answer["failures"] == {"unknown": 1}
    assert [each["run_name"] for each in answer["retry"]] == ["X1"]
    assert answer["jobs"] == {}


def test_names_of_what_is_not_there_are_answered(project):
    """A misspelt experiment gets the nearest one; no name takes the newest and says which."""
    told = project.hpc("collect", "tyny", expect=2)
    assert "did you mean 'tiny'" in told
    assert json.loads(project.call("-m", "hpc.collect", "--json").stdout)["experiment"] == "tiny"
    status = project.json("status", "tiny")
    assert status["outcomes"] == {"planned": 0, "pending": 0, "running": 0, "finished": 2, "failed": 0}
    assert project.hpc("status", "../tiny", expect=2)


def test_a_diverged_run_is_repeated_once_as_declared(tmp_path):
    """Rate, parameter and precision change together and reach the program; the seed stays; the run is altered."""
    program = (
        "import os, sys\n"
        "rate, clip, seed = map(float, sys.argv[1:])\n"
        "for step in range(40):\n"
        "    print('loss:', 'nan' if clip == 1 and step > 20 else 1 / (step + 1))\n"
        "print('precision:', os.environ.get('ACCELERATE_MIXED_PRECISION', 'no'), rate, clip, seed)\n"
    )
    experiment = """
name: tiny
type: comparison
program: {command: "python3 program.py {lr} {clip} {seed}", args: {clip: 1.0}}
sweep: {grid: {lr: [0.5]}, seeds: [7]}
metrics: {primary: {name: loss}, source: {stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "L{lr}"
launch: {mixed_precision: bf16}
retry: {divergence: {lower_learning_rate: 0.1, set: {clip: 0.5}, mixed_precision: no}}
"""
    project = make_project(tmp_path / "project", experiment, program)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    assert project.json("collect", "tiny", expect=1)["failures"] == {"divergence": 1}
    project.hpc("collect", "tiny", "--retry-failed")
    project.hpc("collect", "tiny")
    task = project.verdicts()["L0.5"]
    assert (task["outcome"], task["altered"]) == ("finished", True)
    assert task["changes"] == ["clip 1 → 0.5: diverged", "lr 0.5 → 0.05: diverged", "mixed_precision → no: diverged"]
    assert "precision: bf16 0.5 1.0 7.0" in (project.attempt("L0.5") / "stdout.log").read_text()
    assert "precision: no 0.05 0.5 7.0" in (project.attempt("L0.5", 2) / "stdout.log").read_text()


def test_a_mended_bug_is_started_again_on_request(tmp_path: Path) -> None:
    """Refused while the plan holds the broken code; after planning again the failed run alone starts, and finishes."""
    project = make_project(tmp_path / "project")
    whole = (project.folder / "program.py").read_text()
    project.write_program(whole + "if sys.argv[1] == '2':\n    sys.undefined\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    assert "needs --retry-failed" in project.hpc("collect", "tiny", "--again", "code_bug", expect=2)
    project.write_program(whole)
    assert "Plan again first" in project.hpc("collect", "tiny", "--retry-failed", "--again", "code_bug", expect=2)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("collect", "tiny", "--retry-failed", "--again", "code_bug")
    project.hpc("collect", "tiny")
    assert {run: len(task["attempts"]) for run, task in project.verdicts().items()} == {"X1": 1, "X2": 2}
    assert {task["outcome"] for task in project.verdicts().values()} == {"finished"}


def test_runs_that_failed_alike_share_a_row(tmp_path: Path) -> None:
    """Numbers and paths in the line do not tell them apart; a run that failed otherwise has its own row."""
    project = make_project(
        tmp_path / "project",
        EXPERIMENT.replace("x: [1, 2]", "x: [1, 2, 3]"),
        "import sys\nif sys.argv[1] == '3':\n    raise FileNotFoundError('data')\nraise TypeError(sys.argv[1])\n",
    )
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    table = project.hpc("collect", "tiny", expect=1, COLUMNS="250")
    assert table.count("code_bug   stderr") == 1
    assert "X1 and 1 more" in table
    assert "X3 " in table


SWEEP = """
import sys
print("cache: OSError: [Errno 28] No space left on device: /tmp/cache", file=sys.stderr, flush=True)
x = int(sys.argv[1])
if x > 3:
    print(f"spline {x} could not be reticulated", file=sys.stderr, flush=True)
    print("error: the gadget hums", file=sys.stderr, flush=True)
    raise KeyError("a" * x)
print(f"loss: {x / 2}")
"""


def test_failures_are_judged_beside_the_runs_that_finished(tmp_path: Path) -> None:
    """What finished runs say too decides nothing, failures with the same suspects share a row, `why` says so."""
    project = make_project(tmp_path / "project", EXPERIMENT.replace("x: [1, 2]", "x: [1, 2, 3, 4, 5]"), SWEEP)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    answer = project.json("collect", "tiny", expect=1)
    assert answer["failures"] == {"code_bug": 2}
    table = project.hpc("collect", "tiny", expect=1, COLUMNS="250")
    assert "X4 and 1 more" in table
    told = project.hpc("why", "tiny/X4")
    assert "seen in none of 3 finished runs and in 1 of 2 failed runs" in " ".join(told.split())
    assert "(finished runs say it too)" in " ".join(told.split())
    state = project.runs / "tiny/collected/siblings.json"
    before = state.read_bytes()
    project.hpc("collect", "tiny", expect=1)
    assert state.read_bytes() == before
    state.write_text("{")
    assert project.json("collect", "tiny", expect=1)["failures"] == {"code_bug": 2}
    assert json.loads(state.read_text()) == json.loads(before)
