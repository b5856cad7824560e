"""The commonest road: the command was wrong, it is mended, and it runs again. Nothing is lost, nothing counts twice."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from analysis.data.frame import load_frame
from analysis.findings.registration import read_registration
from hpc.adapters.collected_file import describe_aside
from hpc.core.experiment import grid
from hpc.core.layout import RunLayout
from hpc.rounds import replanning
from hpc.rounds.replanning import describe_edits
from hpc.workspace import Workspace
from tests.local_projects import EXPERIMENT, REPO, LocalProject, copy_project, make_project, wait_until

AS_ME = ["-c", "user.name=x", "-c", "user.email=a@b.c"]
WRONG = EXPERIMENT.replace("program.py {x} {seed}", "program.py {x} {seed} --wrong")
TYPO = """
import sys
if "--wrong" in sys.argv:
    sys.exit("error: unrecognized arguments: --wrong")
print(f"loss: {float(sys.argv[1]) / 2}")
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose two tasks failed at a wrong argument."""
    project = make_project(tmp_path_factory.mktemp("wrong") / "project", WRONG, TYPO)
    for words in (["init", "-q"], ["add", "program.py"], [*AS_ME, "commit", "-qm", "wrong"]):
        subprocess.run(
            ["git", *words], cwd=project.folder, check=True
        )  # by its first commit a copy is the same project
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    return project.folder


@pytest.fixture
def project(failed: Path, tmp_path: Path) -> LocalProject:
    """A copy of it."""
    return copy_project(failed, tmp_path / "project")


def plan(project: LocalProject, *more: str, expect: int = 0) -> dict:
    return project.json("plan", "tiny", "--cluster", "local", *more, expect=expect)


def layout_of(project: LocalProject) -> RunLayout:
    return RunLayout(project.runs, "tiny")


def test_a_mended_command_is_planned_run_and_reported(project):
    """Runs without a result make way unasked, are kept whole, and are a deviation; the new ones are the only ones."""
    project.write_experiment(EXPERIMENT)
    rehearsed = plan(project, "--dry-run")
    assert rehearsed["set_aside"] == ["X1", "X2"]
    assert project.attempt("X1").is_dir()
    said = project.hpc("plan", "tiny", "--cluster", "local", "--dry-run", COLUMNS="300")
    assert "compared with the previous plan: 0 added, 0 kept, 2 changed (X1, X2), 0 removed" in said
    planned = plan(project)
    assert planned["to_submit"] == ["X1", "X2"]
    kept = project.runs / "tiny/aside/001/X1/attempt-1/stderr.log"
    assert "unrecognized arguments" in kept.read_text()
    assert project.json("status", "tiny")["outcomes"] == {"finished": 0, "failed": 0, "running": 0, "pending": 0,
                                                          "planned": 2}  # fmt: skip
    told = project.hpc("submit", "tiny")
    assert told.count("X1: ended with exit code 0") == 1
    answer = project.json("collect", "tiny")
    assert answer["outcomes"]["finished"] == 2
    assert any("2 runs, none with results" in each for each in answer["notes"])
    found = [each for each in read_registration(load_frame(layout_of(project))).deviations if each.kind == "set_aside"]
    assert [each.runs for each in found] == [("X1", "X2")]
    assert "2 runs (2 attempts)" in found[0].text


def test_results_make_way_only_when_asked(project):
    """The refusal names each value that would count no more, and the line that does it; what is kept is named."""
    project.write_experiment(EXPERIMENT)
    plan(project)
    project.hpc("submit", "tiny")
    project.json("collect", "tiny")
    project.write_experiment(EXPERIMENT.replace('{seed}"', '{seed} --other"'))
    told = project.hpc("plan", "tiny", "--cluster", "local", expect=2)
    assert "X1: loss 0.5" in told
    assert "python -m hpc.plan tiny --cluster local --replace" in told
    assert plan(project, "--replace")["set_aside"] == ["X1", "X2"]
    assert project.json("status", "tiny")["outcomes"]["planned"] == 2  # what was collected before counts no more
    project.hpc("submit", "tiny")
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2
    assert "4 runs, 2 with results" in describe_aside(layout_of(project))


def test_back_to_an_earlier_command(project):
    """Going back is a change like any other: the same task runs anew, whatever was set aside of it."""
    project.write_experiment(EXPERIMENT)
    plan(project)
    project.hpc("submit", "tiny")
    project.json("collect", "tiny")
    project.write_experiment(WRONG)
    assert plan(project, "--replace")["to_submit"] == ["X1", "X2"]
    project.write_experiment(EXPERIMENT)
    assert plan(project)["to_submit"] == ["X1", "X2"]
    assert "X1: ended with exit code 0" in project.hpc("submit", "tiny")


def test_what_runs_or_waits_does_not_make_way(project):
    """While an attempt lives nothing is moved, and the message names the command that ends it."""
    project.write_experiment(EXPERIMENT)
    project.write_program("import time\ntime.sleep(60)\n")
    plan(project)
    project.hpc("submit", "tiny", "--detach", "--max-parallel", "1")
    try:
        wait_until((project.attempt("X1") / "stdout.log").exists, 60, "the first task")
        project.write_experiment(WRONG)
        told = project.hpc("plan", "tiny", "--cluster", "local", "--replace", expect=2)
        assert "X1, X2 hold runs of other settings" in told
        assert "python -m hpc.cancel tiny X1 X2" in told
        assert project.attempt("X1").is_dir()
    finally:
        _end(project)


def _end(project: LocalProject) -> None:
    """Hold the queue, and end what it started."""
    (project.runs / "tiny/hold.json").write_text("{}")
    record = json.loads((project.attempt("X1") / "task.json").read_text())
    os.kill(int(record["pid"].split("/")[1]), signal.SIGTERM)
    wait_until((project.attempt("X1") / "exit.json").exists, 30, "its end")


def test_killed_at_any_moment_the_next_plan_goes_on(project, tmp_path):
    """Kill -9 before each rename: no folder is lost, no task runs twice, and planning again ends where it should."""
    project.write_experiment(EXPERIMENT)
    shutil.copytree(project.runs, tmp_path / "before", symlinks=True)
    for moment in range(1, 60):
        shutil.rmtree(project.runs)
        shutil.copytree(tmp_path / "before", project.runs, symlinks=True)
        done = project.call(str(REPO / "tests/fakes/killed.py"), str(moment), "hpc.plan", "tiny", "--cluster", "local")
        if done.returncode != -signal.SIGKILL:
            break
        logs = [path for path in project.runs.rglob("attempt-1/stderr.log") if "unrecognized" in path.read_text()]
        assert len(logs) == 2
        if moment % 3 == 0:
            assert plan(project)["to_submit"] == ["X1", "X2"]
            assert sum(1 for _ in project.runs.glob("tiny/aside/*/X?/attempt-1/stderr.log")) == 2
            assert "2 runs, none with results" in describe_aside(layout_of(project))
    assert done.returncode == 0, done.stderr
    assert moment > 8


def test_a_diverged_run_is_a_result(project):
    """Who may replace a diverged run unasked chooses which results are reported."""
    project.json("collect", "tiny", expect=1)
    path = layout_of(project).verdicts
    content = json.loads(path.read_text())
    content["tasks"][0]["failure_class"] = "divergence"
    path.write_text(json.dumps(content))
    os.utime(path, (time.time(), time.time()))
    project.write_experiment(EXPERIMENT)
    told = project.hpc("plan", "tiny", "--cluster", "local", expect=2)
    assert "X1 already holds results" in told
    assert "X2" not in told


EDITED = "warning: changed since it was planned, and not in these runs: "


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project whose plan of an hour ago was never submitted."""
    project = make_project(tmp_path_factory.mktemp("edited") / "project", EXPERIMENT, TYPO)
    project.hpc("plan", "tiny", "--cluster", "local")
    return project


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda _: None, ""),
        (lambda project: os.utime(project.folder / "program.py"), ""),
        (lambda project: project.write_experiment(EXPERIMENT + "\n# a remark\n"), ""),
        (lambda project: project.write_experiment(WRONG), "program.command: "),
        (lambda project: (project.folder / "program.py").write_text(TYPO + "# more\n"), "program.py. To plan again: "),
        (lambda project: (project.folder / "program.py").unlink(), "program.py. To plan again: "),
        (lambda project: project.write_experiment(EXPERIMENT + "\nfoo: 1\n"), "files that cannot be planned"),
        (lambda project: (project.folder / "manifests/experiments/tiny.yaml").unlink(), ""),
    ],
)
def test_submit_says_what_was_edited_since(planned, tmp_path, edit, said):
    """Frozen is frozen, but never without a word: who edits and submits believes that it runs what is in the file."""
    project = copy_project(planned.folder, tmp_path / "project")
    edit(project)
    told = project.hpc("submit", "tiny", "--dry-run")
    assert (EDITED in told) == bool(said), told
    assert said in told
    assert "would submit 2 tasks" in told


def test_an_edit_is_found_without_naming_the_tasks_again(planned, tmp_path, monkeypatch):
    """A hundred thousand names take longer than all else that submitting does."""
    project = copy_project(planned.folder, tmp_path / "project")
    (project.folder / "program.py").write_text(TYPO + "# more\n")
    for name in ("expand", "run_name_of"):
        monkeypatch.setattr(grid, name, lambda *_: pytest.fail("the tasks were named again"))
    monkeypatch.setattr(replanning, "make_plan", lambda *_, **__: pytest.fail("it was planned again"))
    manifest = json.loads((project.runs / "tiny/manifest.json").read_text())
    (said,) = describe_edits(Workspace(project.folder, project.runs), manifest)
    assert "program.py" in said


def test_files_older_than_the_plan_are_not_read_again(planned, tmp_path):
    """By their times alone; planning again would cost as much as planning."""
    project = copy_project(planned.folder, tmp_path / "project")
    project.write_experiment(WRONG)
    file = project.runs / "tiny/manifest.json"
    manifest = json.loads(file.read_text())
    manifest["provenance"]["created"] = time.time() + 3600
    file.write_text(json.dumps(manifest))
    assert EDITED not in project.hpc("submit", "tiny", "--dry-run")
