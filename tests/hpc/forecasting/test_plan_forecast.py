"""Forecasts in `plan`, budgets that stop a study, disks that are too small: commands on this machine's own queue."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, make_project

FOUR = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4]")


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    return make_project(tmp_path / "project")


def plan(project: LocalProject, *more: str, name: str = "tiny", expect: int = 0) -> dict:
    return project.json("plan", name, "--cluster", "local", *more, expect=expect)


def test_a_plan_learns_from_the_runs_before_it(project):
    """First nothing is known; then this experiment's runs; a sibling of the same program learns from them, too."""
    stepped = FOUR.replace("{seed}", "{seed} --steps 30")
    project.write_experiment(stepped.replace("[1, 2, 3, 4]", "[1, 2]"))
    first = plan(project)["forecast"]
    assert (first["known"], first["run_s"], first["at_most_hours"]) == (0, None, pytest.approx(2 / 6))
    said = project.hpc("plan", "tiny")
    assert "forecast: no similar run is known" in said
    assert said.count("at most 0.3") == 1
    project.hpc("submit", "tiny")
    told = project.hpc("status", "tiny")
    assert re.search(r"forecast at most 0\.33 core h \(no run was known\), used \d", told)
    assert project.json("collect", "tiny")["forecast"].startswith("forecast at most 0.33 core h")

    project.write_experiment(stepped)
    second = plan(project)["forecast"]
    assert (second["known"], second["left"], second["source"], second["unit"]) == (2, 2, "this experiment", "core h")
    assert 0 < second["run_s"]["low"] <= second["run_s"]["middle"] <= second["run_s"]["high"]
    assert second["not_scaled"] == "x (1 and 2, planned 3 and 4)"
    kept = [json.loads(line) for line in (project.runs / "tiny/forecasts.jsonl").read_text().splitlines()]
    assert [each["known"] for each in kept] == [0, 2]

    project.write_experiment(stepped.replace("name: tiny", "name: other").replace("30", "90"), "other")
    sibling = plan(project, name="other")["forecast"]
    assert (sibling["known"], sibling["source"]) == (2, "tiny")
    assert sibling["not_scaled"] == "steps (30, planned 90); x (1 and 2, planned 3 and 4)"


def test_a_plan_that_the_disk_cannot_hold_is_refused_with_the_figures(project):
    """Exit 2 and nothing written; both amounts, the folder, and what can be done."""
    done = project.call("-m", "hpc.plan", "tiny", "--cluster", "local", "--set", "resources.disk=900TB")
    assert done.returncode == 2
    assert "the runs will write 1,800 TB (by resources.disk)" in done.stderr
    assert "export HPC_ROOT=FOLDER" in done.stderr
    assert not (project.runs / "tiny").exists()
    laptop = project.folder.parent / "laptop"  # where there is no sbatch
    laptop.mkdir()
    for name in ("bash", "git"):
        (laptop / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    for elsewhere in (("local", "--dry-run"), ("slurm",)):  # nothing is written here: a warning is enough
        told = project.hpc("plan", "tiny", "--cluster", *elsewhere, "--set", "resources.disk=900TB", PATH=str(laptop))
        assert "warning: the runs will write 1,800 TB (by resources.disk)" in told


def test_a_study_stops_when_its_budget_is_spent_and_goes_on_when_it_is_raised(project):
    """What fits is started, then the experiment is held with its reason; what ran stays; retries count."""
    project.write_program("import sys\nassert sys.argv[1] != '1'\nprint('loss: 1')\n")
    project.write_experiment(FOUR)
    asked = plan(project, "--set", "budget.core_hours=0.34")  # two of four tasks: each is granted a sixth of an hour
    assert asked["forecast"]["budget"].startswith("budget 0.34 core h: 0 core h spent")
    assert "2 of 4 submitted (budget: 0 of 0.34 core h spent" in project.hpc("submit", "tiny", expect=1)
    # The failed one and one that finished left room; a budget of nothing is spent at once.
    plan(project, "--set", "budget.core_hours=0.00000001")
    told = project.hpc("submit", "tiny", expect=1)
    assert "tiny is held: budget: " in told
    assert "raise budget in the experiment's YAML" in told
    assert "is held: budget" in project.hpc("status", "tiny")
    assert "is held: budget" in project.hpc("submit", "tiny", "--release", expect=1)
    assert project.json("status", "tiny")["outcomes"]["finished"] == 1
    plan(project, "--set", "budget.core_hours=5")
    project.hpc("submit", "tiny", "--release")
    assert project.json("collect", "tiny", expect=1)["outcomes"] | {"failed": 1} == {
        **project.json("collect", "tiny", expect=1)["outcomes"], "finished": 3, "failed": 1,
    }  # fmt: skip


def test_a_plan_without_a_budget_is_what_it_was(project):
    """The key leaves no trace in the manifest of who does not use it; who does has it there, and no other seal."""
    without = plan(project)
    manifest = json.loads((project.runs / "tiny/manifest.json").read_text())
    assert "budget" not in manifest["spec"]
    with_one = plan(project, "--set", "budget.gpu_hours=2")
    assert with_one["seal"] == without["seal"]
    assert with_one["manifest_sha"] != without["manifest_sha"]
    assert "bounds nothing" in project.hpc("plan", "tiny", "--set", "budget={}", expect=2)
