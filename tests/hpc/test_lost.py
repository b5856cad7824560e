"""Who types too little, in the wrong order or the wrong word reads what to type: no step of the day is a dead end."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, make_project


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project with one experiment, planned."""
    project = make_project(tmp_path_factory.mktemp("lost") / "project")
    project.hpc("plan", "--cluster", "local")
    return project


def test_the_only_experiment_is_meant(planned: LocalProject, tmp_path: Path) -> None:
    """Without a name: where there is one it is that, where there are more they are listed, else how to write one."""
    assert "2 tasks, 2 to submit" in planned.hpc("plan", "--cluster", "local", "--dry-run")
    assert "tiny.yaml: goal: is missing" in planned.hpc("brief", "--non-interactive", expect=2)
    two = make_project(tmp_path / "two")
    two.write_experiment(EXPERIMENT.replace("name: tiny", "name: other"), "other")
    for verb in ("plan", "brief"):
        assert "which experiment? Give its name; valid: other, tiny" in two.hpc(verb, expect=2)
    for path in (two.folder / "manifests/experiments").glob("*.yaml"):
        path.unlink()
    assert "write one: python -m hpc.init" in two.hpc("plan", expect=2)


def test_before_anything_was_planned_every_verb_says_how_to_begin(tmp_path: Path) -> None:
    """That is: the experiment that is there."""
    project = make_project(tmp_path / "new")
    for verb in ("status", "submit", "collect", "logs", "usage"):
        assert "start: python -m hpc.plan tiny" in project.hpc(verb, expect=2)
    assert "plan an experiment: python -m hpc.plan" in project.hpc("report", expect=2)


def test_what_was_collected_before_anything_was_submitted_leads_there(planned: LocalProject) -> None:
    """Nothing is left to wait for."""
    assert "next: python -m hpc.submit tiny" in planned.hpc("collect", "tiny")


def test_an_archive_beside_the_program_is_no_other_code(planned: LocalProject) -> None:
    """What `hpc archive` writes where it is called is not copied, and makes no result one of other code."""
    planned.hpc("archive", "tiny")
    (planned.folder / "data.tar.gz").write_bytes(b"of the program")
    planned.hpc("plan", "tiny", "--cluster", "local")
    copies = [path.name for path in (planned.runs / "tiny/code").rglob("*.tar.gz")]
    assert set(copies) == {"data.tar.gz"}


def test_results_written_beside_the_program_are_no_other_code(planned: LocalProject) -> None:
    """Nor what `hpc export` and `hpc report --out` write there, at any depth; a table of the program's is copied."""
    files = {
        "results/tiny/.exported.json": "{}",
        "results/tiny/X1/metrics.json": "{}",
        "told/runs.csv": "",
        "told/table-results.csv": "",
        "tables/runs.csv": "",
    }
    for name, text in files.items():
        (planned.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (planned.folder / name).write_text(text)
    told = planned.hpc("plan", "tiny", "--cluster", "local")
    assert "other code" not in told
    (copy,) = (path for path in (planned.runs / "tiny/code").iterdir() if (path / "tables").is_dir())
    assert {"results", "told"}.isdisjoint(path.name for path in copy.iterdir())


def test_a_run_without_its_experiment_is_known_by_its_name(planned: LocalProject) -> None:
    """Both words to type are given."""
    planned.attempt("X1").mkdir(parents=True)
    assert "which run? Give EXPERIMENT/RUN" in planned.hpc("reproduce", expect=2)
    for verb in ("status", "collect"):
        assert "'X1' is a run of tiny: give both, tiny X1" in planned.hpc(verb, "X1", expect=2)


def test_a_run_that_failed_by_its_verdict_is_the_one_that_is_meant(tmp_path: Path) -> None:
    """It ended with exit code 0, and diverged: `why` explains it and `logs` shows it, as those that exit with 1."""
    project = make_project(tmp_path / "project")
    project.write_program("import sys\nprint('loss:', 'nan' if sys.argv[1] == '1' else 0.5)\n")
    project.hpc("plan", "--cluster", "local")
    project.hpc("submit", "--max-parallel", "1")
    assert "is known to have failed; what became of each: python -m hpc.collect tiny" in project.hpc("why", expect=2)
    project.hpc("collect", expect=1)
    assert project.hpc("why").startswith("tiny/X1: divergence")
    assert "X1, the newest that failed" in project.hpc("logs")


@pytest.mark.parametrize(("edited", "differs"), [(".gitignore", False), ("program.py", True)])
def test_what_git_alone_reads_is_no_change_of_the_code(tmp_path: Path, edited: str, differs: bool) -> None:
    """`hpc init` writes into .gitignore: the first plan does not say that the code was changed."""
    project = make_project(tmp_path / "project")
    (project.folder / ".gitignore").touch()
    git = ("git", "-C", str(project.folder), "-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (["init", "-q"], ["add", "program.py", ".gitignore"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    with (project.folder / edited).open("a") as file:
        file.write("# runs/\n")
    assert ("differs from its last commit" in project.hpc("plan", "--cluster", "local", "--dry-run")) == differs


def test_runs_of_a_project_elsewhere_lead_to_a_line_that_works(tmp_path: Path) -> None:
    """Copied without git, with its runs: what is advised plans, and is not the folder of runs that was refused."""
    project = make_project(tmp_path / "first")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.folder.rename(tmp_path / "second")
    moved = LocalProject(tmp_path / "second")
    told = moved.hpc("plan", "tiny", "--cluster", "local", expect=2)
    (root,) = re.findall(r"runs of its own: HPC_ROOT=(\S+) python -m hpc\.plan", told)
    assert "2 tasks, 2 to submit" in moved.hpc("plan", "tiny", "--cluster", "local", HPC_ROOT=root)
    assert "2 tasks" in moved.hpc("plan", "tiny", "--cluster", "local", "--moved")
