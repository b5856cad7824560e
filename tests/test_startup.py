"""What starting a command may load: a command that answers at once must not wait for libraries it does not use.

Which modules are loaded is asserted, never a time: `benchmarks/start_up.py` measures those.
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.cli import COMMANDS
from hpc.core.layout import RunLayout
from hpc.experiments.on_nodes import EVERY_START, ON_NODES
from hpc.metrics import MetricsWriter
from hpc.node import exit_record
from hpc.node.attempt import Job, claim
from hpc.node.task_record import build_task
from hpc.submissions.prepare import submit_to_local_queue
from tests.local_projects import LocalProject, command_environment, make_project

HEAVY = {
    "accelerate", "asyncio", "email", "filelock", "h5py", "http", "importlib.metadata", "jinja2", "matplotlib", "numpy",
    "pandas", "pydantic", "rich", "ruamel", "scipy", "ssl", "submitit", "tarfile", "tomllib", "torch", "wandb",
}  # fmt: skip
"""Most of them cost a start 50 ms and more, all of them some that a quick command has no use for."""
MOST_OF_OURS = 150
"""So many modules of ours a command may load before it knows what is wanted: each costs half a millisecond."""
GENERATED = {"Task", "JobRow", "AttemptState", "TaskState"}
"""Dataclasses whose methods are generated when a command starts: thousands of them are made."""
HEAVY_OF_OURS = {
    "hpc.experiments.schema",
    "hpc.experiments.models.base",
    "hpc.experiments.sections",
    "hpc.experiments.to_records",
    "hpc.metrics",
    "hpc.adapters.metrics_h5",
    "hpc.adapters.metrics_alike",
    "hpc.adapters.metrics_read",
    "hpc.adapters.metrics_apart",
    "hpc.experiments.sampling",
}
PRINTS_LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
PROJECT = Path(__file__).parents[1]


def loaded_by(module: str, *arguments: str, folder: Path) -> set[str]:
    """Run a module as a command, and give the modules that were loaded when it ended."""
    program = (
        "import atexit, runpy, sys\n"
        f"atexit.register(lambda: exec({PRINTS_LOADED!r}))\n"
        f"sys.argv = {[module, *arguments]!r}\n"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "HPC_ROOT": str(folder / "runs")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return set(json.loads(done.stderr.splitlines()[-1]))


def heavy_in(loaded: set[str]) -> set[str]:
    """Pick out what a quick command has no use for."""
    return {name for name in loaded if name in HEAVY | HEAVY_OF_OURS or name.partition(".")[0] in HEAVY}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder in which the shipped demo experiment is planned for this machine."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("experiments/demo.yaml", "clusters/local.yaml"):
        file = folder / "manifests" / part
        file.parent.mkdir(parents=True)
        file.write_text((PROJECT / "manifests" / part).read_text())
    loaded = loaded_by("hpc.plan", "demo", "--cluster", "local", folder=folder)
    assert {
        "pydantic",
        "jinja2",
        "ruamel.yaml",
        "hpc.experiments.schema",
    } <= loaded  # or the names below would prove nothing
    return folder


@pytest.fixture
def planned_run(tmp_path: Path) -> LocalProject:
    """A project of which an experiment is planned that prints its metric."""
    project = make_project(tmp_path / "project")
    project.hpc("plan", "tiny", "--cluster", "local")
    return project


@pytest.mark.parametrize("verb", [*COMMANDS, "cli"])
def test_help_loads_nothing_heavy(verb: str, tmp_path: Path) -> None:
    """`--help` of every command answers without any library but click, and with few modules of ours."""
    loaded = loaded_by(f"hpc.{verb}", "--help", folder=tmp_path)
    assert heavy_in(loaded) == set()
    assert len([name for name in loaded if name.startswith("hpc.")]) <= MOST_OF_OURS


def test_list_of_commands_loads_none_of_them(tmp_path: Path) -> None:
    """`hpc --help` imports no command: one line of help each is kept beside their names."""
    loaded = loaded_by("hpc.cli", "--help", folder=tmp_path)
    assert {name for name in loaded if name.startswith("hpc.")} <= {"hpc.cli"}


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_status_loads_nothing_heavy(planned: Path, arguments: tuple[str, ...]) -> None:
    """`hpc.status` of a planned experiment reads files only: no schema, no metrics, no table library."""
    assert heavy_in(loaded_by("hpc.status", *arguments, folder=planned)) == set()


def test_status_of_what_runs_loads_nothing_heavy(planned_run: LocalProject) -> None:
    """Step, value and warnings of a task at work are read without HDF5, here or in a process apart."""
    layout = RunLayout(planned_run.runs, "tiny")
    (submission,) = list_submissions(layout)
    submit_to_local_queue([submission])
    index = load_index(submission)
    entry, task = index.entries[0], layout.task(index.entries[0].run_name)
    record = build_task(index, entry, task, 1, Job.from_environment({"HPC_LOCAL_JOB": "local-test"}))
    assert claim(task, 1, record)
    with MetricsWriter(task.attempt(1).metrics) as metrics:
        for step in range(30):
            metrics.log(step, loss=float(step < 3 or "nan"))
        metrics.flush()
        for arguments in ((), ("--json",)):
            loaded = loaded_by("hpc.status", "tiny", *arguments, folder=planned_run.folder)
            assert heavy_in(loaded) == set()
        (told,) = planned_run.json("status", "tiny")["at_work"]
    assert (told["step"], [each["sign"] for each in told["warnings"]]) == (29, ["non_finite"])


def test_no_start_generates_many_classes() -> None:
    """Each dataclass takes a start half a millisecond: `hpc.core.immutable` generates what is made often, later."""
    program = (
        "import dataclasses, importlib, sys\n"
        "made, generate = [], dataclasses._process_class\n"
        "dataclasses._process_class = lambda cls, *how: made.append(cls.__qualname__) or generate(cls, *how)\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*made)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    modules = [*(f"hpc.{verb}" for verb in COMMANDS), "hpc.adapters.slurm", "hpc.rounds.forecast_now"]
    line = [sys.executable, "-c", program, *modules]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= GENERATED


def test_explaining_a_log_loads_nothing_heavy(tmp_path: Path) -> None:
    """`hpc.why` on a log file needs the rule tables and nothing else."""
    log = tmp_path / "slurm-1.out"
    log.write_text("Traceback (most recent call last):\nNameError: name 'x' is not defined\n")
    loaded = loaded_by("hpc.why", str(log), "--state", "FAILED", "--exit", "1:0", folder=tmp_path)
    assert "hpc.core.failures.classify" in loaded
    assert heavy_in(loaded) == set()


def test_no_task_compiles_what_was_frozen(planned_run: LocalProject) -> None:
    """The wrapper takes all modules of ours from the frozen bytecode, a program's printed metrics included."""
    (toolkit,) = (planned_run.runs / "tiny/toolkit").iterdir()
    line = (sys.executable, "-v", "-P", "-m", "hpc.run_task", "runs/tiny/submissions/001/index.json", "0")
    environment = {**command_environment(), "PYTHONPATH": str(toolkit), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, cwd=planned_run.folder, env=environment, capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"^import '(hpc[\w.]*)'", done.stderr, re.MULTILINE)) | {"hpc.run_task"}
    assert EVERY_START < loaded <= ON_NODES
    code_of = re.findall(r"^# code object from '?([^'\n]+)", done.stderr, re.MULTILINE)
    ours = [path for path in code_of if path.startswith(str(toolkit))]
    assert len(ours) >= len(EVERY_START)
    assert [path for path in ours if path.endswith(".py")] == []


def test_packages_are_known_without_opening_their_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper records the versions `importlib.metadata` would tell, and opens no file for them."""

    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    true = {normal(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()}
    monkeypatch.setattr("io.open", lambda *_: pytest.fail("a file was opened"))
    found = exit_record.list_packages()
    assert {normal(name): version for name, version in found.items()} == true


@pytest.mark.parametrize("module", ["hpc.plan", "hpc.status", "hpc.report", "analysis.report", "analysis.export"])
def test_a_python_without_our_packages_gets_one_sentence(tmp_path: Path, module: str) -> None:
    """Often it is another one than that of the environment: the line that helps is there to be pasted."""
    command = [sys.executable, "-S", "-m", module, "lora sweep"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: this Python ({sys.executable}) lacks the packages of hpc-batch; type: ")
    assert line.endswith(("pip install hpc-batch", f".venv/bin/python -m {module} 'lora sweep'"))


@pytest.mark.parametrize("line", ["import hpc", "import hpc.core.layout"])
def test_a_python_without_our_packages_may_import_us(tmp_path: Path, line: str) -> None:
    """The wrapper on compute nodes does, and needs none of them."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-S", "-c", line], cwd=tmp_path, env=environment, check=True)
