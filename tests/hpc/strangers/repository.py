"""A stranger's repository: nothing of ours in it but an experiment, planned here and run as a node would."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hpc.plan
from tests.local_projects import command_environment

SHOWS = "import json, os; print(json.dumps(dict(os.environ))); print('loss=1')"
"""A program that prints the environment it was given."""


def experiment(command: str, *, name: str = "theirs", sweep: str = "{seeds: [1]}", **blocks: str) -> str:
    """Write an experiment whose metric is what ``loss=…`` prints; further blocks by their key."""
    given = {"resources": '{cpus: 2, mem: 400MB, time: "0:02:00"}', **blocks}
    lines = "\n".join(f"{key}: {text}" for key, text in given.items())
    return (
        f"name: {name}\ntype: comparison\nprogram:\n  {command}\nsweep: {sweep}\n"
        f"metrics: {{primary: {{name: loss}}, source: {{stdout: 'loss=(?P<loss>\\S+)'}}}}\n{lines}\n"
    )


@dataclass(frozen=True)
class Repository:
    """A folder with ``manifests/`` and a program ``t.py``.

    Attributes:
        root: Where its runs lie.
    """

    folder: Path
    root: Path
    monkeypatch: pytest.MonkeyPatch

    def write(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def profile(self, name: str = "s", **fields: str) -> None:
        """Write a site profile: a Slurm site without containers, unless the fields say otherwise."""
        given = {"scheduler": "slurm", "apptainer": '""', **fields}
        self.write(f"manifests/clusters/{name}.yaml", "".join(f"{key}: {text}\n" for key, text in given.items()))

    def experiment(self, command: str = "command: python t.py", *, name: str = "theirs", **blocks: str) -> None:
        """Write an experiment."""
        self.write(f"manifests/experiments/{name}.yaml", experiment(command, name=name, **blocks))

    def git(self, *words: str) -> None:
        """Run git here, in a repository that is made when there is none; without words commit all there is."""
        base = [
            "git",
            "-C",
            str(self.folder),
            "-c",
            "user.email=a@b.c",
            "-c",
            "user.name=x",
            "-c",
            "protocol.file.allow=always",
        ]
        if not (self.folder / ".git").exists():
            subprocess.run([*base, "init", "-q"], check=True)
        for each in [list(words)] if words else [["add", "-A"], ["commit", "-qm", "all", "--allow-empty"]]:
            subprocess.run([*base, *each], check=True, capture_output=True)

    def plan(self, *arguments: str, name: str = "theirs", cluster: str = "s", expect: int = 0) -> str:
        """Plan as at a terminal, in this process; return what was said (of ``--json`` the JSON)."""
        self.monkeypatch.chdir(self.folder)
        self.monkeypatch.setenv("HPC_ROOT", str(self.root))
        done = CliRunner().invoke(hpc.plan.main, [name, "--cluster", cluster, *arguments])
        assert done.exit_code == expect, done.output
        return done.stdout if "--json" in arguments else done.output

    def on_a_node(self, number: int = 1, position: int = 0, *, name: str = "theirs", **more: str) -> int:
        """Start one element of a submission as Slurm does; return the exit code of the script."""
        script = self.root / name / f"submissions/{number:03d}/array.sbatch"
        told = command_environment(SLURM_ARRAY_TASK_ID=str(position), **more)
        # A login shell's PATH, where `python` is ours.
        told |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), told["PATH"]])}
        done = subprocess.run(["bash", str(script)], env=told, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    def attempt(self, run: str = "S1", number: int = 1, *, name: str = "theirs") -> Path:
        """An attempt's folder."""
        return self.root / name / "tasks" / run / f"attempt-{number}"

    def printed(self, run: str = "S1", *, name: str = "theirs") -> list[str]:
        """The lines the program printed, rank after rank."""
        logs = sorted(self.attempt(run, name=name).glob("stdout*.log"))
        return [line for log in logs for line in log.read_text().splitlines()]

    def seen(self) -> dict[str, str]:
        """The environment that `SHOWS` printed."""
        return dict(json.loads(self.printed()[0]))

    def record(self, run: str = "S1", *, name: str = "theirs") -> dict[str, Any]:
        """``task.json`` of the first attempt."""
        return dict(json.loads((self.attempt(run, name=name) / "task.json").read_text()))


def make_repository(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Make one, with a program that shows its environment and a profile ``s``."""
    made = Repository(folder, root, monkeypatch)
    made.write("t.py", SHOWS)
    made.profile()
    return made
