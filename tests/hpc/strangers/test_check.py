"""A declared acceptance check: its answer stands in every table, and the run stays what it is."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hpc.collect
import hpc.status
from analysis.data.frame import load_frame
from analysis.findings.findings import find_findings
from analysis.loaded import Experiment
from analysis.page import run_table as page
from hpc.core.layout import RunLayout
from tests.hpc.strangers.repository import Repository

VERIFY = """
import os, signal, sys, time
print("verifying", os.environ["HPC_RUN_NAME"], os.path.exists("t.py"), os.path.exists("made.txt"))
if sys.argv[1] == "3":
    time.sleep(60)
if sys.argv[1] == "4":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(0 if sys.argv[1] == "1" else 5)
"""
STATES = {"S1": "passed", "S2": "failed", "S3": "not checked", "S4": "not checked"}


def tell(command: object, *words: str) -> Any:
    """The JSON a command of ours prints, in this process."""
    done = CliRunner().invoke(command, ["theirs", "--json", *words])  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def judged(root: Path) -> dict[str, dict[str, Any]]:
    """Run name → task of ``verdicts.json``."""
    tasks = json.loads((root / "theirs/collected/verdicts.json").read_text())["tasks"]
    return {task["run_name"]: task for task in tasks}


def test_a_check_is_answered_everywhere_and_takes_no_run_away(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passed, failed, too slow, killed: every run is finished; a condition declared later judges them anew."""
    repository.write("t.py", "import sys; open('made.txt', 'w'); print('loss=' + sys.argv[1])")
    repository.write("verify.py", VERIFY)
    repository.profile("here", scheduler="local")
    swept = {"command": "command: python t.py {seed}", "sweep": "{seeds: [1, 2, 3, 4]}"}
    repository.experiment(**swept, check='{command: "python verify.py {seed}", time: "0:00:01"}')
    repository.plan(cluster="here")
    assert [repository.on_a_node(position=place) for place in range(4)] == [0, 0, 0, 0]
    assert (repository.attempt("S2") / "check.log").read_text() == "verifying S2 True True\n"
    assert [path.name for path in (repository.attempt("S2") / "work").iterdir()] == ["made.txt"]

    counts = {"passed": 1, "failed": 1, "not checked": 2}
    assert tell(hpc.status.main)["checks"] == counts
    assert tell(hpc.collect.main)["checks"] == counts
    standing = tell(hpc.status.main)
    assert standing["checks"] == counts
    assert "1 passed; 1 failed: S2 (exit code 5); 2 not checked: S3 (it took more than 1 s), S4" in standing["checked"]
    assert {name: task["check"] for name, task in judged(repository.root).items()} == STATES
    assert {task["outcome"] for task in judged(repository.root).values()} == {"finished"}
    with (repository.root / "theirs/collected/tasks.csv").open() as file:
        assert {row["run_name"]: row["check"] for row in csv.DictReader(file)} == STATES

    frame = load_frame(RunLayout(repository.root, "theirs"))
    runs = Experiment(frame).runs
    assert dict(zip(runs["run"], runs["check"], strict=True)) == STATES
    assert frame.usable.all()
    findings = find_findings(frame)
    assert findings.results[0].estimate.n == 4
    assert any("1 failed it: S2; 2 have no answer" in text for text in findings.limitations)
    table = page.run_table(frame, findings)
    column = table.head.index("check")
    assert {row[0].text: row[column].text for row in table.rows} == STATES
    monkeypatch.setattr(page, "MAX_ROWS", 2)
    told = json.loads(page.run_table(frame, findings).everything)
    assert {row[0]: told["checks"][row[8]][0] for row in told["rows"]} == STATES
    assert "check,check_said" in page.runs_csv(frame, findings)

    repository.experiment(**swept, check="'loss <= 2 * seed - 2'")
    answer = json.loads(repository.plan("--json", cluster="here"))
    assert answer["to_submit"] == []
    assert any("check" in note for note in answer["notes"])  # results were there: it is a deviation, and said
    assert tell(hpc.collect.main)["checks"] == {"passed": 3, "failed": 1, "not checked": 0}
    assert judged(repository.root)["S1"]["check_said"] == "loss = 1, seed = 1"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("'los <= 1'", "'los', which is not a declared metric, a parameter or an argument; did you mean 'loss'?"),
        ("'seed <= 1'", "names no metric"),
        ("'loss <='", "is not a condition"),
        ("'abs(loss) < 1'", "not allowed"),
        ("{}", "needs exactly one of expression, command; it has none"),
        ("{expression: loss < 1, command: ls}", "it has both"),
        ("{command: 'verify {sed}'}", "there is no value for {sed}"),
        ("{command: 'verify > log'}", "no shell reads it"),
        ("{command: verify, time: soon}", "soon"),
        ("{command: python verfy.py}", "check.command: there is no verfy.py in the copy of the code"),
    ],
)
def test_a_check_that_could_not_judge_is_refused_at_plan(repository: Repository, check: str, said: str) -> None:
    """A misspelt metric is found before the first run, not after the last."""
    repository.experiment(check=check)
    assert said in " ".join(repository.plan(expect=2).split())
