"""A run planned, run and collected by commit 83e23e9, before the records: reported as it is, and collected anew.

`tests/data/runs/planned_by_83e23e9.tar.gz` is what that commit's `plan`, `submit --backend local` and `collect` left,
but for the code it froze and its locks. It has another place here than the absolute paths in it say, as after a move.
"""

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local_projects import LocalProject, make_project

STORED = Path(__file__).parents[1] / "data/runs/planned_by_83e23e9.tar.gz"


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    """A project with the old run below its root."""
    project = make_project(tmp_path / "moved")
    project.runs.mkdir()
    subprocess.run(["tar", "-xzf", STORED, "--no-same-owner", "-C", project.runs], check=True)
    return project


def report(project: LocalProject) -> Any:
    done = project.call("-m", "analysis.report", "old", "--format", "md", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("is_collected_anew", [False, True])
def test_a_run_of_the_commit_before_is_reported(project: LocalProject, is_collected_anew: bool) -> None:
    """Three values, one bug, one comparison and the answer, from the old tables as from those collected today."""
    if is_collected_anew:
        done = project.call("-m", "hpc.collect", "old")
        assert done.returncode == 1, done.stderr
        assert "LR2_S2" in done.stdout
    told = report(project)

    assert (told["counts"]["finished"], told["counts"]["failed"]) == (3, {"code_bug": 1})
    assert [(one["label"], one["estimate"]["mean"]) for one in told["configurations"]] == [
        ("lr=1", pytest.approx(1.015)), ("lr=2", pytest.approx(0.51)),
    ]  # fmt: skip
    assert told["configurations"][1]["comparison"]["n_baseline"] == 2
    assert told["criterion"]["ruling"] == "MET AT FACE VALUE"
    assert not told["registration"]["deviations"]
    with (project.runs / "old/report/runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run_name"], row["parameter.lr"], row["outcome"]) for row in rows] == [
        ("LR1_S1", "1", "finished"), ("LR1_S2", "1", "finished"),
        ("LR2_S1", "2", "finished"), ("LR2_S2", "2", "failed"),
    ]  # fmt: skip
