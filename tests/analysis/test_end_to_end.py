"""From real runs on this machine to the report: what collect records is what the report tells apart."""

import csv
import json
from pathlib import Path

from tests.local_projects import EXPERIMENT, make_project

SLICED = """
import os, sys
from pathlib import Path
x, attempt = int(sys.argv[1]), Path(os.environ["HPC_ATTEMPT_DIR"])
if x == 1 and not os.environ["HPC_RESUME_FROM"]:
    (attempt / "checkpoints/step-00000001").mkdir(parents=True)
    sys.exit(85)
print(f"loss: {x / 2}")
"""


def test_slices_and_mixed_code_of_real_runs_are_told_apart(tmp_path: Path) -> None:
    """A run in two slices is continued and not healed; runs started after the program changed are named as other code.

    The program is edited and a value added between two plans, as a user does who goes on the next day.
    """
    project = make_project(tmp_path / "project", EXPERIMENT, SLICED)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.write_program(SLICED + "# another day\n")
    project.write_experiment(EXPERIMENT.replace("[1, 2]", "[1, 2, 3]"))
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")
    done = project.call("-m", "analysis.report", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert (told["counts"]["finished"], told["counts"]["healed"], told["counts"]["continued"]) == (3, 0, 1)
    assert told["counts"]["attempts"] == {"success": 3, "continued": 1}
    assert [(one["run_name"], one["ended_as"], one["continued_in"]) for one in told["continued"]] == [
        ("X1", "timeout (checkpointed)", 2)
    ]
    (code,) = [text for text in told["limitations"] if "other code" in text]
    assert code.startswith("2 of 3 finished runs ran other code (")
    assert "which the manifest names): X1, X2." in code
    with (project.runs / "tiny/report/runs.csv").open(encoding="utf-8") as file:
        marks = {row["run_name"]: row["with_care"] for row in csv.DictReader(file)}
    assert "other code" in marks["X1"]
    assert marks["X3"] == ""
    assert not [text for text in told["limitations"] if "not recorded which" in text]
