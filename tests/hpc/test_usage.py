"""`hpc usage`: what runs used of what they asked for, by commands on this machine's own queue."""

from pathlib import Path

import pytest

from hpc.adapters import slurm
from hpc.core.resources import parse_carbon
from tests.local_projects import EXPERIMENT, LocalProject, make_project, wait_until

PROGRAM = """
import os, pathlib, sys, time
x, home, resumed = float(sys.argv[1]), pathlib.Path(os.environ["HPC_ATTEMPT_DIR"]), os.environ["HPC_RESUME_FROM"]
for step in range(3 if resumed else 0, 6):
    time.sleep(0.15)
    print(f"loss: {x / (step + 1)}", flush=True)
    if x == 2 and not resumed and step == 2:
        (home / "checkpoints" / "s3").write_text("x")
    if x == 2 and not resumed and step == 4:
        sys.exit(85)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """Two tasks; one was checkpointed after half of its work and went on from there."""
    project = make_project(tmp_path_factory.mktemp("usage") / "project", program=PROGRAM)
    profile = project.folder / "manifests/clusters/local.yaml"
    profile.write_text(profile.read_text() + "carbon: 300 g/kWh\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    assert "no run that started has been collected" in project.hpc("usage", "tiny", expect=2)
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")
    return project


def test_usage_says_where_the_time_went(project: LocalProject) -> None:
    """Start-up, what was lost after the checkpoint, queue, and the ratio; what nobody measures is said, not 0."""
    told = project.json("usage", "tiny")
    runs = {each["run_name"]: each for each in told["runs"]}
    assert 0.25 < runs["X2"]["split"]["rolled_back_s"] < runs["X2"]["split"]["elapsed_s"]  # two steps of 0.15 s
    assert runs["X1"]["split"]["rolled_back_s"] == 0
    assert runs["X1"]["split"]["checkpoint_s"] is None
    assert 0 < told["ettr"] < 1
    assert (told["energy_kwh"], told["co2_kg"]) == (None, None)
    assert runs["X1"]["cores"] > 0
    assert runs["X1"]["gpu_busy"] is None
    said = project.hpc("usage", "tiny")
    assert "checkpoints not measured, rolled back" in said
    assert "ETTR" in said
    assert "energy: not measured" in said


def test_a_task_that_waits_has_used_nothing(tmp_path: Path) -> None:
    """Collected while the queue still holds it, it is no row of one attempt; were it the only one, nothing began."""
    project = make_project(tmp_path / "project")
    project.write_program("import pathlib, sys, time\nif sys.argv[1] == '2':\n    time.sleep(300)\nprint('loss: 1')\n")
    project.write_experiment(EXPERIMENT.replace("x: [1, 2]", "x: [1, 2, 3]"))
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--detach", "--max-parallel", "1")
    wait_until((project.attempt("X2") / "stdout.log").exists, 60, "the second task")
    project.call("-m", "hpc.collect", "tiny")
    told = project.json("usage", "tiny")
    project.hpc("cancel", "tiny")
    assert {each["run_name"] for each in told["runs"]} == {"X1", "X2"}


def test_the_report_has_the_same(project: LocalProject) -> None:
    """The table of used against asked, and the sentences."""
    project.hpc("report", "tiny", "--format", "md")
    page = (project.runs / "tiny/report/report.md").read_text()
    assert "### Used and requested" in page
    assert "checkpoints not measured" in page
    assert "| run | attempts | longest attempt | of limit |" in page


def test_energy_is_what_slurm_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joules of every execution of a job; 0 and Slurm's mark for not known are not measured."""
    client = tmp_path / "sacct"
    client.write_text("#!/bin/sh\nprintf '7_0|100\\n7_0|50\\n7_1|0\\n7_2|18446744073709551614\\n7_3|\\n'\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert slurm.query_energy(["7_0", "7_1", "7_2", "7_3"]) == {"7_0": 150.0}
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert slurm.query_energy(["7_0"]) == {}


@pytest.mark.parametrize(("text", "kg"), [("0.3 kg/kWh", 0.3), ("300 g/kWh", 0.3), ("0.4", 0.4), (0.25, 0.25)])
def test_a_factor_of_co2_is_read(text: str | float, kg: float) -> None:
    """As people write it."""
    assert parse_carbon(text) == pytest.approx(kg)


@pytest.mark.parametrize("text", ["300", "none", "-1 kg/kWh", "0"])
def test_what_is_no_factor_is_refused(text: str) -> None:
    """A bare 300 would be a thousand times too much."""
    with pytest.raises(ValueError, match="no factor of CO₂"):
        parse_carbon(text)
