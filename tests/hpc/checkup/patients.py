"""A project before a Slurm that answers from files, healthy until a fault is planted; looked at in this process."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc.checkup.bounded import Begin
from hpc.checkup.containers import look_at_containers, look_at_image
from hpc.checkup.examined import Examined, read_examined
from hpc.checkup.experiment import look_at_experiment
from hpc.checkup.machine import look_at_machine
from hpc.checkup.slurm import look_at_slurm
from hpc.checkup.storage import look_at_hdf5, look_at_storage
from hpc.core.checkup.check import Check
from hpc.workspace import Workspace
from tests.local_projects import REPO

SITES = REPO / "tests/data/sites"
CLIENTS = REPO / "tests/fakes/site"
SUBJECTS = {
    "machine": look_at_machine,
    "slurm": look_at_slurm,
    "storage": look_at_storage,
    "hdf5": look_at_hdf5,
    "containers": look_at_containers,
    "image": look_at_image,
    "experiment": look_at_experiment,
}
PROFILE = """
scheduler: slurm
partition: gpu
account: vision
gpu_type: a100
max_array_size: 1000
max_time: "2-00:00:00"
apptainer: apptainer
image_dir: images
"""
EXPERIMENT = """
name: tiny
type: comparison
program: {command: "python3 program.py {x} {seed}"}
sweep: {grid: {x: [1, 2, 3]}, seeds: [1]}
metrics: {primary: {name: loss, goal: min}, source: {stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "X{x}"
resources: {cpus: 8, gpus: 1, mem: 16GB, time: "1:00:00", disk: 1MB}
container: {image: train}
tracking: {wandb: {project: p, mode: offline}}
"""
APPTAINER = """#!/bin/sh
# Runs the rest of `exec … IMAGE python3 …` here.
case "$1" in --version) echo "apptainer version 1.4.5"; exit ;; esac
while [ "$1" != python3 ]; do shift; done
exec "$@"
"""


@dataclass
class Patient:
    """A user's project, and the files its Slurm answers from."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def root(self) -> Path:
        return self.folder / "runs"

    @property
    def profile(self) -> Path:
        return self.folder / "manifests/clusters/here.yaml"

    @property
    def experiment(self) -> Path:
        return self.folder / "manifests/experiments/tiny.yaml"

    def change(self, path: Path, old: str, new: str) -> None:
        """Change a file; what is changed has to be there."""
        text = path.read_text()
        assert old in text, f"{path} holds no {old!r}"
        path.write_text(text.replace(old, new))

    def on_path(self, name: str, script: str) -> None:
        """Put a program of ours before all others."""
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def client_fault(self, client: str, line: str) -> None:
        """Let a client of Slurm do something before it answers."""
        (self.folder / "faults" / client).write_text(line + "\n")

    def examined(self, cluster: str = "here") -> Examined:
        """Whom `hpc doctor tiny --cluster …` is about."""
        return read_examined(Workspace(self.folder, self.root), "tiny", cluster)

    def checks(self, *subjects: str, cluster: str = "here") -> dict[str, Check]:
        """Look at some subjects (all of them where none is named) in this process; return name → check."""
        examined = self.examined(cluster)
        found: Iterator[Any] = (said for name in subjects or SUBJECTS for said in SUBJECTS[name](examined))
        return {each.name: each for each in found if not isinstance(each, Begin)}


def make_patient(folder: Path, monkeypatch: pytest.MonkeyPatch, site: str = "typed") -> Patient:
    """Make a project in which nothing is wrong."""
    for name in ("manifests/experiments", "manifests/clusters", "bin", "faults", "images", "home"):
        (folder / name).mkdir(parents=True)
    patient = Patient(folder, monkeypatch)
    shutil.copytree(SITES / site, patient.site)
    (patient.site / "hosts").write_text(f"{socket.gethostname()}\n")  # so that its nodes see our disks
    patient.profile.write_text(PROFILE)
    patient.experiment.write_text(EXPERIMENT)
    (folder / "program.py").write_text("import json\nprint('loss: 1')\n")
    (folder / "images/train.sif").write_bytes(b"an image")
    patient.on_path("apptainer", APPTAINER)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{CLIENTS}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SITE", str(patient.site))
    monkeypatch.setenv("FAKE_FAULTS", str(folder / "faults"))
    monkeypatch.setenv("HOME", str(folder / "home"))
    for name in ("WANDB_API_KEY", "WANDB_DIR", "NETRC", "HPC_ROOT", "HPC_CLUSTER", "APPTAINER_CACHEDIR"):
        monkeypatch.delenv(name, raising=False)
    return patient
