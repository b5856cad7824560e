"""`hpc.reproduce`: a run made again from its records is the same run, and what differs is said."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local_projects import LocalProject, copy_project, make_project

EXPERIMENT = """
name: tiny
type: comparison
program: {command: "python3 program.py {x} {seed}"}
sweep: {grid: {x: [1]}, seeds: [1, 2]}
metrics:
  primary: {name: loss, goal: min}
  source: {stdout: '(?P<loss>[0-9.]+) (?P<train_time>[0-9.]+)'}
run_name: "X{x}_S{seed}"
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""
PROGRAM = """
import os, sys, time
x, seed = int(sys.argv[1]), int(sys.argv[2])
noise = float(os.environ.get("WILD", "0"))
for step in range(3):
    print(f"{x / 2 + seed * 0.01 + step * noise} {time.time()}")
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """Two seeds of one setting, collected; since then its program was edited. Nothing of it may be changed."""
    project = make_project(tmp_path_factory.mktemp("reproduce") / "project", EXPERIMENT, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")
    project.write_program("raise SystemExit('edited since')")
    return project


@pytest.fixture
def project(ran: LocalProject, tmp_path) -> LocalProject:
    """A copy of it, moved elsewhere: the frozen code stays where the records say."""
    return copy_project(ran.folder, tmp_path / "project")


def test_it_is_the_same_run_to_the_bit(project):
    """The frozen code runs, not the edited one; times are told and do not count."""
    before = {path for path in project.runs.rglob("*") if "tiny/" in str(path)}
    answer = project.json("reproduce", "X1_S1", "--submit")

    assert answer["verdict"] == "reproduced to the bit: final values and logged curves are equal"
    assert {each["metric"]: each["verdict"] for each in answer["metrics"] if not each["is_cost"]} == {
        "loss": "equal to the bit"
    }
    assert answer["metrics"][0]["seed_spread"] == {"deviation": pytest.approx(0.01 / 2**0.5), "runs": 2}
    first, again = (
        json.loads((project.attempt("X1_S1", name=name) / "task.json").read_text())
        for name in ("tiny", answer["experiment"])
    )
    for same in ("task_id", "argv", "seed", "parameters", "launch", "resources"):
        assert first[same] == again[same], same
    assert first["code"]["sha256"] == again["code"]["sha256"]
    assert first["code"]["path"] != again["code"]["path"]
    assert {path for path in project.runs.rglob("*") if "tiny/" in str(path)} == before
    assert "reproduced to the bit" in project.hpc("reproduce", "X1_S1")  # asked once more, of the first run still


def test_what_is_not_the_same_is_said_and_exits_1(project):
    """Another variable in the environment gives another curve: by how much, from which step, beside which spread."""
    told = project.hpc("reproduce", "tiny/X1_S2", "--submit", expect=1, WILD="0.5", OMP_NUM_THREADS="3")

    assert "not reproduced: loss differs by 1, and the seed spread is 0.0071 (standard deviation of 2 runs" in told
    assert "curves part at step 1" in told
    assert "variables: OMP_NUM_THREADS" in told


def test_a_rehearsal_writes_nothing(ran):
    """`--dry-run` says what would be made; nothing of it is there afterwards."""
    before = {path for path in ran.runs.rglob("*") if not path.name.startswith(".")}
    told = ran.hpc("reproduce", "X1_S1", "--dry-run")

    assert "tiny/X1_S1, attempt 1, as tiny_reproduce_X1_S1: would be planned" in told
    assert {path for path in ran.runs.rglob("*") if not path.name.startswith(".")} == before


def test_without_the_copy_of_the_code_it_is_refused(project):
    """A run whose code was cleaned away cannot be made again, and the commit to start from is named."""
    record = project.attempt("X1_S1") / "task.json"
    told = json.loads(record.read_text())
    told["code"]["path"] += "-gone"
    told["git"] = {"commit": "abc123", "dirty": True, "diff_sha256": None}
    record.write_text(json.dumps(told))

    said = project.hpc("reproduce", "X1_S1", expect=2)

    assert "is missing" in said
    assert "check out commit abc123, with the changes that git did not have" in said
    assert not (project.runs / "tiny_reproduce_X1_S1").exists()


def test_a_run_of_several_experiments_is_asked_for(project):
    """Which experiment is meant is not guessed; a run nobody has is refused."""
    shutil.copytree(project.runs / "tiny", project.runs / "other", symlinks=True)

    assert "say which: --experiment other" in project.hpc("reproduce", "X1_S1", "--dry-run", expect=2)
    assert "no run nope" in project.hpc("reproduce", "nope", expect=2)
    assert "would be planned" in project.hpc("reproduce", "X1_S1", "--experiment", "tiny", "--dry-run")


def test_a_run_recorded_by_its_command_gives_command_and_commit(tmp_path):
    """Commit, command, and what was changed beside it; it is started by hand."""
    project = make_project(tmp_path / "project", EXPERIMENT, PROGRAM)
    git = ["git", "-C", str(project.folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "program.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    project.hpc("history", "start", "--", "python", "program.py", "--lr", "1e-3", "--api_key", "secret123")

    told = project.hpc("reproduce", "program-1")

    assert f"git worktree add --detach ../program-1 {commit[:12]} && cd ../program-1" in told
    assert "python program.py --lr 1e-3 --api_key" in told
    assert "secret123" not in told
    assert "files had changed since that commit, and the changes were not kept" in told
    assert "started by hand" in project.hpc("reproduce", "program-1", "--submit", expect=2)


def test_a_rehearsal_names_the_folder_that_it_would_use(tmp_path: Path) -> None:
    """A path below the first run's folder is shown as the copy will have it, never as the first run had it."""
    text = EXPERIMENT.replace("{x} {seed}", "{x} {seed} {out_dir}/model.pt")
    project = make_project(tmp_path / "project", text, "print('1 2')")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--backend", "local")
    told = project.hpc("reproduce", "X1_S1", "--dry-run")
    assert str(project.runs / "tiny_reproduce_X1_S1/tasks/X1_S1/model.pt") in told
    assert f"{project.runs}/tiny/" not in told
