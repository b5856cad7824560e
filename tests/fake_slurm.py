"""A user's project before pretended Slurm clients on PATH: what each answers is a line of shell, calls are counted."""

import os
import stat
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, PROGRAM, LocalProject, make_project


class SlurmProject(LocalProject):
    """A project whose ``bin`` is first on PATH."""

    def client(self, name: str, script: str) -> None:
        """Pretend a Slurm client."""
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {self.folder}/{name}.calls\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls(self, name: str, verb: str = "") -> list[str]:
        """Arguments of the calls that asked for something to be done, in order."""
        log = self.folder / f"{name}.calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith(verb) and "--test-only" not in line]

    def comment(self, number: int) -> str:
        """The mark of a submission's job."""
        script = (self.runs / f"tiny/submissions/{number:03d}/array.sbatch").read_text()
        return script.split("--comment=")[1].split()[0]


def make_slurm_project(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    experiment: str = EXPERIMENT,
    profile: str = "",
    program: str = PROGRAM,
) -> SlurmProject:
    """Make and plan a project for a Slurm that takes every script as job 7 and shows an empty queue."""
    project = SlurmProject(make_project(folder, experiment, program).folder)
    site = project.folder / "manifests/clusters/slurm.yaml"
    site.write_text(site.read_text() + profile)
    (project.folder / "bin").mkdir()
    for name in ("squeue", "sacct", "scontrol", "sacctmgr"):
        project.client(name, "exit 0")
    project.client("sbatch", "echo 7")
    monkeypatch.setenv("PATH", f"{project.folder / 'bin'}:{os.environ['PATH']}")
    project.hpc("plan", "tiny", "--cluster", "slurm")
    return project
