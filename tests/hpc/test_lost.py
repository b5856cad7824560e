"""Who types too little, in the wrong order or the wrong word reads what to type: no step of the day is a dead end."""

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


def test_a_run_without_its_experiment_is_known_by_its_name(planned: LocalProject) -> None:
    """Both words to type are given."""
    planned.attempt("X1").mkdir(parents=True)
    assert "which run? Give EXPERIMENT/RUN" in planned.hpc("reproduce", expect=2)
    for verb in ("logs", "status", "collect"):
        assert "'X1' is a run of tiny: give both, tiny X1" in planned.hpc(verb, "X1", expect=2)
