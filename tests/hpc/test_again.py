"""`collect --retry-failed --again CLASS|RUN`: every class, single runs, finished ones too; never by a stale plan."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.data.frame import load_frame
from analysis.findings.registration import read_registration
from hpc.core.layout import RunLayout
from hpc.rounds.act import assess
from hpc.rounds.decide import assignments_of
from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project

BUG = """
import sys
print(f"loss: {float(sys.argv[1]) / 2}")
if sys.argv[1] == "2":
    sys.undefined
"""
MENDED = BUG.partition("if sys")[0]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which X1 finished and X2 found a bug; collected."""
    project = make_project(tmp_path_factory.mktemp("again") / "project", program=BUG)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    project.hpc("collect", "tiny", expect=1)
    return project.folder


@pytest.fixture
def project(ran: Path, tmp_path: Path) -> LocalProject:
    """A copy of it."""
    return copy_project(ran, tmp_path / "project")


def again(project: LocalProject, *names: str, more: tuple[str, ...] = ("--dry-run",), expect: int = 1) -> str:
    words = [word for name in names for word in ("--again", name)]
    return project.hpc("collect", "tiny", "--retry-failed", *words, *more, expect=expect, COLUMNS="300")


def test_what_is_neither_a_class_nor_a_run_is_named(project):
    """All wrong names at once, with the nearest right ones; nothing is started."""
    told = again(project, "code_bgu", "X7", expect=2)
    assert "did you mean 'code_bug'?" in told
    assert "--again X7" in told
    assert "runs: X1, X2" in told
    assert "needs --retry-failed" in project.hpc("collect", "tiny", "--again", "X1", expect=2)
    assert "needs --again" in project.hpc("collect", "tiny", "--retry-failed", "--replan", expect=2)


def test_planning_with_a_mended_program_leads_to_the_retry(project):
    """Nothing new is planned, and the way on is printed: plan names the collection, which names the class."""
    assert "--retry-failed" not in project.hpc("plan", "tiny", "--set", "sweep.grid.x=[1]").split("next:")[1]
    project.write_program(MENDED)
    told = project.hpc("plan", "tiny", "--cluster", "local").split("next:")[1]
    assert "python -m hpc.collect tiny --retry-failed" in told
    assert "--again code_bug" in project.hpc("collect", "tiny", "--retry-failed", "--dry-run", expect=1, COLUMNS="300")


def test_what_a_corrected_sweep_has_added_is_submitted_next(project):
    """Where a value was wrong, and not the code: the runs are others, and neither report nor retry is due."""
    project.write_experiment(EXPERIMENT.replace("x: [1, 2]", "x: [1, 3]"))
    told = project.hpc("collect", "tiny", "--retry-failed", "--again", "code_bug", "--replan")
    assert "1 task is not submitted yet; next: python -m hpc.submit tiny" in told
    assert "or report what there is: python -m hpc.report tiny" in told
    project.write_program(BUG.replace('"2"', '"3"'))
    project.hpc("plan", "tiny")
    project.hpc("submit", "tiny", expect=1)
    told = project.hpc("why", "tiny")
    assert "tiny/X3" in told
    assert "X2" not in told, "a run of an earlier plan"


def test_a_stale_plan_is_not_repeated(project):
    """A bug that was mended here runs with the plan's copy of the old code: refused with both ways on."""
    project.write_program(MENDED)
    told = again(project, "X2", expect=2)
    assert "program.py" in told
    assert "python -m hpc.plan tiny --cluster local" in told
    assert "python -m hpc.collect tiny --retry-failed --again X2 --replan" in told


def test_replan_takes_the_mended_code(project):
    """One step: the plan is made anew as it was asked for before, and the failed run alone starts with its code."""
    project.write_program(MENDED)
    again(project, "code_bug", more=("--replan",), expect=0)
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2
    attempts = {run: len(task["attempts"]) for run, task in project.verdicts().items()}
    assert attempts == {"X1": 1, "X2": 2}


def test_replan_of_a_mended_command_starts_what_took_the_place(project):
    """A changed command makes other tasks of the same names: they start, and what they replace is kept."""
    project.write_program(MENDED)
    project.write_experiment(EXPERIMENT.replace("grid: {x: [1, 2]}", "grid: {x: [2]}").replace('{seed}"', '{seed} a"'))
    again(project, "X2", more=("--replan",), expect=0)
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 1
    assert (project.runs / "tiny/aside/001/X2/attempt-1").is_dir()


def test_a_bug_that_is_asked_for_with_the_same_code_is_consent_on_record(project):
    """Naming it is enough; the attempt, the ledger and the change say what was known."""
    again(project, "code_bug", more=())
    record = json.loads((project.attempt("X2", 2) / "task.json").read_text())
    assert record["changes"] == ["code_bug: started again on request, with the code that failed"]
    (line,) = [json.loads(each) for each in (project.runs / "tiny/again.jsonl").read_text().splitlines()]
    assert (line["asked"], [each["run_name"] for each in line["runs"]]) == (["code_bug"], ["X2"])


def test_a_finished_run_starts_once_more_by_its_name(project):
    """From the beginning, as a further attempt; the report names whoever repeats results."""
    again(project, "X1", more=(), expect=0)
    project.hpc("collect", "tiny", expect=1)
    task = project.verdicts()["X1"]
    assert [each["verdict"]["category"] for each in task["attempts"]] == ["success", "success"]
    frame = load_frame(RunLayout(project.runs, "tiny"))
    (found,) = [each for each in read_registration(frame).deviations if each.kind == "repeated"]
    assert found.runs == ("X1",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("mem: 500MB", "memory 500M → 700M: the plan was changed"),
        ('time: "0:10:00"', "time 00:10:00 → 00:20:00: the plan was changed"),
        ("cpus: 1", ""),
    ],
)
def test_everything_of_a_new_plan_reaches_the_retry(project, change, expected):
    """Memory, time and cores of the plan as it stands now, said with both values."""
    wanted = {"mem: 500MB": "mem: 700MB", 'time: "0:10:00"': 'time: "0:20:00"', "cpus: 1": "cpus: 2"}[change]
    project.write_experiment(EXPERIMENT.replace(change, wanted))
    project.hpc("plan", "tiny", "--cluster", "local")
    present = assess(RunLayout(project.runs, "tiny"), again=["code_bug"], writes=False)
    (retry,) = present.plan.retry
    (made,) = assignments_of(present.judged, present.plan)
    asked = present.judged.frozen.spec.resources
    assert (made.resources.memory_mib, made.resources.time_s) == (asked.memory_mib, asked.time_s)
    assert made.resources.cpus == asked.cpus
    assert [each for each in retry.changes if "plan was changed" in each] == ([expected] if expected else [])


def test_a_run_that_never_ran_or_is_gone_is_said(project):
    """Each named run that cannot start again has its own way on."""
    shutil.rmtree(project.attempt("X1").parent)
    told = again(project, "X1", expect=2)
    assert "python -m hpc.collect tiny --forget-gone" in told
