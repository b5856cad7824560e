"""A user's project on a machine without scheduler: what the tests of commands that need no Slurm work in."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.adapters.started import VARIABLE
from hpc.core.typed import PLAIN
from tests.zygote import run_python

REPO = Path(__file__).parents[1]

PROGRAM = """
import sys
print(f"loss: {float(sys.argv[1]) / 2}")
"""

EXPERIMENT = """
name: tiny
type: comparison
program:
  command: "python3 program.py {x} {seed}"
sweep:
  grid: {x: [1, 2]}
  seeds: [1]
metrics:
  primary: {name: loss, goal: min}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
run_name: "X{x}"
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""


def command_environment(**more: str) -> dict[str, str]:
    """The environment of a user at a terminal: ours, without what pytest, a job around us or a logger has set."""
    foreign = ("SLURM_", "HPC_", "SBATCH_", "WANDB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # Commands are named plainly in what is printed, however this test starts them; `test_pasted` has the ways.
    return {**kept, "PYTHONPATH": str(REPO), VARIABLE: PLAIN, **more}


@dataclass(frozen=True)
class LocalProject:
    """A folder with ``manifests/`` and a program."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def write_experiment(self, text: str = EXPERIMENT, name: str = "tiny") -> None:
        """Write an experiment's YAML."""
        (self.folder / "manifests/experiments" / f"{name}.yaml").write_text(text)

    def write_program(self, text: str = PROGRAM) -> None:
        """Write the program it runs."""
        (self.folder / "program.py").write_text(text)

    def call(self, *command: str, timeout: float = 120, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run ``python COMMAND`` here, whatever it ends with."""
        return run_python(command, self.folder, command_environment(**more), timeout)

    def hpc(self, verb: str, *arguments: str, expect: int = 0, timeout: float = 120, **more: str) -> str:
        """Run ``python -m hpc.<verb>``; return stdout and stderr."""
        done = self.call("-m", f"hpc.{verb}", *arguments, timeout=timeout, **more)
        told = done.stdout + done.stderr
        assert done.returncode == expect, f"{verb}: {done.returncode}\n{told}"
        assert "Traceback" not in told, told
        return told

    def json(self, verb: str, *arguments: str, expect: int = 0, timeout: float = 120, **more: str) -> Any:
        """Run a command with ``--json``; return its answer."""
        done = self.call("-m", f"hpc.{verb}", *arguments, "--json", timeout=timeout, **more)
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout)

    def attempt(self, run: str, number: int = 1, name: str = "tiny") -> Path:
        """An attempt's folder."""
        return self.runs / name / "tasks" / run / f"attempt-{number}"

    def verdicts(self, name: str = "tiny") -> dict[str, dict[str, Any]]:
        """Run name → task of ``verdicts.json``."""
        content = json.loads((self.runs / name / "collected/verdicts.json").read_text())
        return {task["run_name"]: task for task in content["tasks"]}


def make_project(folder: Path, experiment: str = EXPERIMENT, program: str = PROGRAM) -> LocalProject:
    """Make a project with a profile for this machine."""
    (folder / "manifests/experiments").mkdir(parents=True)
    (folder / "manifests/clusters").mkdir()
    (folder / "manifests/clusters/local.yaml").write_text(
        'scheduler: local\napptainer: ""\nmax_parallel: 2\nsignal_lead_s: 5\n'
    )
    (folder / "manifests/clusters/slurm.yaml").write_text("scheduler: slurm\n")
    project = LocalProject(folder)
    project.write_experiment(experiment)
    project.write_program(program)
    return project


def copy_project(source: Path, target: Path) -> LocalProject:
    """Copy a project with its runs, which then are those of the copy, as after ``plan --moved``."""
    shutil.copytree(source, target, symlinks=True)
    for path in target.glob("runs/*/manifest.json"):
        manifest = json.loads(path.read_text())
        if project := manifest["provenance"].get("project"):
            project["folder"] = str(target.resolve())  # no part of the hash
            path.write_text(json.dumps(manifest))
    return LocalProject(target)


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until something holds; fail with what was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def family(attempt: Path) -> list[int]:
    """Every process that was given this attempt's folder, in whatever session, container or state of orphanhood."""
    marker = f"HPC_ATTEMPT_DIR={attempt}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if marker in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
