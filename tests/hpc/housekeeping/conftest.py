"""One experiment for these tests: X1 finished, X2 failed; both were followed by `logs -f` from their beginning."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, command_environment, copy_project, make_project, wait_until

PROGRAM = r"""
import os, pathlib, sys, time
x, home = int(sys.argv[1]), pathlib.Path(os.environ["HPC_ATTEMPT_DIR"])
print("begins", x)
print("\x1b[31mred\x1b]52;c;aGk=\x07 end", flush=True)
print("warning: of", x, file=sys.stderr)
while not home.parents[4].joinpath("go").exists():
    time.sleep(0.05)
for step in (1, 2):
    home.joinpath("checkpoints", f"step_{step}").write_bytes(b"w" * 1000 * step)
pathlib.Path("scratch.bin").write_bytes(b"s" * 500)
if x == 2:
    sys.exit("no such thing")
print(f"loss: {x / 2}")
"""


@dataclass(frozen=True)
class Followed:
    """What `logs -f` of a run printed, and its exit code."""

    out: str
    err: str
    code: int


@dataclass(frozen=True)
class Ran:
    """The project, and what was seen of it while it ran."""

    project: LocalProject
    followed: dict[str, Followed]


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run it once; nothing of it may be changed: tests that do take a copy (`copy_project`)."""
    project = make_project(tmp_path_factory.mktemp("housekeeping") / "project", EXPERIMENT, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--detach", "--max-parallel", "2")
    followers = {
        run: subprocess.Popen(
            [sys.executable, "-m", "hpc.logs", "tiny", run, "-f"], cwd=project.folder, env=command_environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for run in ("X1", "X2")
    }  # fmt: skip
    wait_until((project.attempt("X2") / "stdout.log").exists, 60, "the second task")
    (project.folder / "go").touch()
    told = {run: (each.communicate(timeout=60), each.returncode) for run, each in followers.items()}
    return Ran(project, {run: Followed(*texts, code) for run, (texts, code) in told.items()})


@pytest.fixture
def project(ran: Ran) -> LocalProject:
    """The project, to be looked at only."""
    return ran.project


@pytest.fixture(scope="session")
def collected(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """The same, collected; nothing of it may be changed either."""
    project = copy_project(ran.project.folder, tmp_path_factory.mktemp("collected") / "project")
    project.hpc("collect", "tiny", expect=1)
    return project


@pytest.fixture(scope="session")
def reported(collected: LocalProject, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the report says of it, as `report` has it."""
    return report(copy_project(collected.folder, tmp_path_factory.mktemp("reported") / "project"))


def report(project: LocalProject) -> str:
    """The report's numbers: without the place, the moment, and the digest that has the moment in it."""
    done = project.call("-m", "analysis.report", "tiny", "--json", "--format", "md")
    assert done.returncode in (0, 1), done.stderr
    text = done.stdout.replace(str(project.runs), "RUNS")
    return re.sub(r'"(?:built|created|made|generated|time|collected)": [^,\n}]+|[0-9a-f]{8,64}', "", text)


def told(project: LocalProject) -> object:
    """What was collected, but for the moment and what tells it."""
    content = json.loads((project.runs / "tiny/collected/verdicts.json").read_text())
    return {key: value for key, value in content.items() if key not in ("collected", "sha256", "ledger")}
