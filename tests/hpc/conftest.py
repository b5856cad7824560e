"""What several files of these tests begin with, made once a process."""

import pytest

from tests.local_projects import LocalProject, make_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project whose two tasks ran, not collected; nothing of it may be changed: take a copy (`copy_project`)."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    return project
