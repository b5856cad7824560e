"""A loop that only looks on: what it decides is kept, nothing is done, and people are the measure."""

import pytest

from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.unattended.lease import hold_lease
from hpc.unattended.play import Round, play_round
from hpc.unattended.shadow import read_kept
from tests.local_projects import LocalProject, make_project, wait_until

PROGRAM = """
import os, sys
from pathlib import Path
if os.environ["HPC_ATTEMPT"] == "1" and sys.argv[1] == "1":
    sys.exit(3)
print(f"loss: {float(sys.argv[1]) / 2}")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    """Two runs, submitted by a person; one failed over something nobody knows."""
    made = make_project(tmp_path / "project", program=PROGRAM)
    profile = made.folder / "manifests/clusters/local.yaml"
    profile.write_text(profile.read_text() + "follow: {shadow: true}\n")
    made.hpc("plan", "tiny", "--cluster", "local")
    made.hpc("submit", "tiny", "--backend", "local", expect=1)
    monkeypatch.chdir(made.folder)
    return made


def look_on(project: LocalProject) -> Round:
    layout = RunLayout(project.runs, "tiny")
    with hold_lease(layout) as guard:
        return play_round(layout, guard)


def test_what_it_would_do_is_kept_and_scored(project: LocalProject) -> None:
    """It would repeat the run once; it does not; a person does, and that is what it is measured by."""
    layout = RunLayout(project.runs, "tiny")
    done = look_on(project)

    assert (done.course, done.retried, done.submitted, done.later) == (Course.GOES_ON, (), (), 1)
    [kept] = read_kept(layout)
    assert (kept.action, kept.run_name, kept.attempt, kept.category) == ("retry", "X1", 2, "unknown")
    assert not project.attempt("X1", 2).exists()
    assert len(list(layout.submissions.iterdir())) == 1
    assert "in shadow: of 1 decision, 0 as people did, 0 otherwise, 1 open" in project.hpc("status", "tiny")

    look_on(project)
    assert read_kept(layout) == [kept]  # said once

    project.hpc("collect", "tiny", "--retry-failed")
    wait_until((project.attempt("X1", 2) / "exit.json").exists, 30, "the run of the person's retry")
    assert "of 1 decision, 1 as people did, 0 otherwise, 0 open" in project.hpc("status", "tiny")


def test_a_hold_is_only_kept(project: LocalProject) -> None:
    """What would hold the experiment holds nothing, and no checkpoint is removed."""
    (project.attempt("X1") / "stderr.log").write_text("OSError: [Errno 28] No space left on device\n")
    look_on(project)

    layout = RunLayout(project.runs, "tiny")
    assert [each.action for each in read_kept(layout)] == ["hold"]
    assert not layout.hold.exists()
