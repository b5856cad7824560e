"""A finished task costs eight files, and its wrapper waits for the disk six times: counted, and kept down by this."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, command_environment, make_project

MOST_FILES = 8
MOST_SYNCS = 6
TRUE = EXPERIMENT.replace('"python3 program.py {x} {seed}"', '"true {x} {seed}"').replace(
    "  source: {stdout: 'loss: (?P<loss>\\S+)'}\n", ""
)
IMPORTS = """
import os, sys
from pathlib import Path
import helper
print("loss: 1", flush=True)
Path("written.txt").write_text(f"{sys.flags.dont_write_bytecode} {os.environ.get('PYTHONDONTWRITEBYTECODE')}")
print([path.name for path in Path("__pycache__").glob("*.pyc")], file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    made = make_project(tmp_path / "project", TRUE)
    made.hpc("plan", "tiny", "--cluster", "local")
    return made


def test_files_of_a_finished_task(project: LocalProject) -> None:
    """After the local queue: the task's folder and its attempt's, four records, two logs; nothing of the queue's."""
    project.hpc("submit", "tiny")
    task = project.runs / "tiny/tasks/X1"
    assert 1 + len(list(task.rglob("*"))) <= MOST_FILES, list(task.rglob("*"))
    assert not list((project.runs / "tiny/submissions/001/logs").iterdir())
    assert [path.name for path in (project.runs / "tiny/.local").iterdir()] == ["runner.log"]


def test_a_log_that_says_more_stays(tmp_path: Path) -> None:
    """What `setup` printed, or the wrapper complained of, is in no record."""
    project = make_project(tmp_path / "project", TRUE)
    (project.folder / "manifests/clusters/local.yaml").write_text(
        "scheduler: local\napptainer: ''\nsetup: ['echo from the site']\n"
    )
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    logs = sorted((project.runs / "tiny/submissions/001/logs").iterdir())
    assert [path.read_text().splitlines()[0] for path in logs] == ["from the site"] * 2


COUNTING = """
import os, sys
true_sync, synced = os.fsync, []
os.fsync = lambda number: (synced.append(os.readlink(f"/proc/self/fd/{number}")), true_sync(number))[1]
from hpc.run_task import main
code = main(sys.argv[1:])
print(*synced, sep=chr(10), file=sys.stderr)
sys.exit(code)
"""


def test_syncs_of_a_finished_task(project: LocalProject) -> None:
    """The record and its name before the start, the end and its name, the final values; nothing is synced twice."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(project.runs / "tiny/submissions/001/index.json"), "0"],
        cwd=project.folder,
        env=command_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    synced = done.stderr.splitlines()
    assert len(synced) <= MOST_SYNCS, synced
    assert [re.search(r"/\.(\w+)\.json", each)[1] for each in synced if ".json." in each] == ["task", "exit", "metrics"]


def test_a_program_may_write_bytecode_and_leaves_none(tmp_path: Path) -> None:
    """It runs as by hand; what Python compiled in its working folder is no result."""
    project = make_project(tmp_path / "project", EXPERIMENT, IMPORTS)
    (project.folder / "helper.py").write_text("value = 1\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    script = project.runs / "tiny/submissions/001/array.sbatch"
    environment = {**command_environment(SLURM_ARRAY_TASK_ID="0"), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(["bash", script], cwd=project.folder, env=environment, check=True, capture_output=True)
    attempt = project.attempt("X1")
    assert "helper" in (attempt / "stderr.log").read_text()
    assert [path.name for path in (attempt / "work").rglob("*")] == ["written.txt"]
    assert (attempt / "work/written.txt").read_text().startswith("0 ")
    assert json.loads((attempt / "exit.json").read_text())["exit_code"] == 0


def test_checkpoints_that_were_written_stay(tmp_path: Path) -> None:
    """Only an empty folder goes, and with it the link that people follow."""
    program = 'import os; os.mkdir(os.environ["HPC_ATTEMPT_DIR"] + "/checkpoints/step-1"); print("loss: 1")'
    project = make_project(tmp_path / "project", EXPERIMENT, program)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    assert (project.runs / "tiny/tasks/X1/checkpoints/step-1").is_dir()
