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


TWO_BASELINES = """
name: two
type: comparison
brief:
  hypothesis: both is better everywhere
  criterion: all(relative_change(training=both) <= -1%) and adjusted_p(training=both, system=A, lr=2) < 0.05
program: {command: "python3 program.py {training} {system} {lr} {seed}"}
sweep:
  grid: {training: [sft, both], system: [A, B, C], lr: [1, 2]}
  where: "training != 'sft' or (lr == 1 and system != 'C')"
  seeds: [1, 2, 3]
baseline: {training: sft}
metrics:
  primary: {name: loss, goal: min, meaningful: 5%}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
run_name: "{training}_{system}_{lr}_{seed}"
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""
NOISY = """
import random, sys
training, system, lr, seed = sys.argv[1:5]
random.seed(training + system + lr + seed)
print(f"loss: {1.0 - 0.3 * (training == 'both') + 0.5 * (system == 'B') + random.gauss(0, 0.03):.6f}")
"""


def test_the_criterion_and_the_table_of_one_page_compare_the_same(tmp_path: Path) -> None:
    """A baseline run at one rate only stands for both: criterion and verdict speak of the same four comparisons.

    What no baseline was run for is named with the reason, in the sentences, below the table and in the page.
    """
    project = make_project(tmp_path / "project", program=NOISY)
    project.write_experiment(TWO_BASELINES, "two")
    project.hpc("plan", "two", "--cluster", "local")
    project.hpc("submit", "two", "--backend", "local")
    project.hpc("collect", "two")
    told = json.loads(project.call("-m", "analysis.report", "two", "--json").stdout)

    compared = [one["label"] for one in told["configurations"] if one["comparison"]]
    asked = {one["text"] for one in told["criterion"]["clauses"] if one["text"].startswith("relative_change")}
    assert told["criterion"]["ruling"] == "SUPPORTED"
    assert len(asked) == len(compared) == 4
    assert all(any(label in text for text in asked) for label in compared)
    (tested,) = [text for text in told["verdict"] if text.startswith("Tested (loss")]
    assert "of 4 configurations" in tested
    reason = "no configuration with training=sft has system=C"
    assert [one["not_compared"] for one in told["configurations"] if "system=C" in one["label"]] == [reason] * 2
    page = (project.runs / "two/report/report.md").read_text(encoding="utf-8")
    assert page.count(f"not compared: {reason}.") == 2
    assert any(text.startswith("In 2 of 4 comparisons the baseline also differs in lr") for text in told["limitations"])
    project.call("-m", "analysis.report", "two", "--style", "s3")
    (form,) = (project.folder / "docs/research").glob("*.md")
    assert "## Not compared" in (text := form.read_text(encoding="utf-8"))
    assert reason in text
