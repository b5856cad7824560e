"""A collection asks the scheduler three times at most, however many experiments its user has."""

import shutil
from pathlib import Path

import pytest

from tests.damages import COPIES
from tests.fake_slurm import make_slurm_project

CLIENTS = ("squeue", "sacct", "scontrol", "sacctmgr")


def test_a_collection_asks_three_times_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1, 10 and 100 experiments of one user beside each other: what is counted is every client that starts."""
    project = make_slurm_project(tmp_path / "project", monkeypatch)
    project.hpc("submit", "tiny")
    counts = []
    for experiments in (1, 10, 100):
        for number in range(1, experiments):
            beside = project.runs / f"beside{number}"
            if not beside.exists():
                shutil.copytree(project.runs / "tiny", beside, ignore=shutil.ignore_patterns(*COPIES))
        for name in CLIENTS:
            (project.folder / f"{name}.calls").unlink(missing_ok=True)
        project.hpc("collect", "tiny")
        counts.append({name: len(project.calls(name)) for name in CLIENTS})
    assert counts[0] == counts[1] == counts[2]
    assert 2 <= sum(counts[0].values()) <= 3
