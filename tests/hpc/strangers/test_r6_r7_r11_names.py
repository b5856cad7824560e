"""R6, R7, R11: whatever a stranger's modules are called, theirs are theirs and ours are ours."""

import pytest

from tests.hpc.strangers.repository import Repository
from tests.local_projects import LocalProject, make_project

OURS = ["hpc", "train", "analysis", "hpc.core", "hpc.metrics"]
STDLIB_OF_OURS = ["submitit", "click", "rich", "numpy"]


@pytest.mark.parametrize("kind", ["module", "package"])
@pytest.mark.parametrize("name", ["hpc", "train", "analysis", "submitit", "click", "json5"])
def test_their_module_is_imported_by_their_program(repository: Repository, name: str, kind: str) -> None:
    """A file or a package with a name of ours, or of what we use, is what their program gets."""
    repository.write(f"{name}.py" if kind == "module" else f"{name}/__init__.py", "x = 1\n")
    repository.write("evaluate.py", f"import {name}; print('loss=%d' % {name}.x)\n")
    repository.experiment("command: python evaluate.py")
    repository.plan()
    assert repository.on_a_node() == 0
    assert repository.printed() == ["loss=1"]


@pytest.mark.parametrize("starts", ["command: python -m pkg.go", "module: pkg.go", "command: python pkg/go.py"])
def test_however_it_is_started(repository: Repository, starts: str) -> None:
    """As a script, a module, or by us as a module; ours are still found behind theirs."""
    repository.write("train.py", "x = 1\n")
    repository.write("pkg/__init__.py", "")
    repository.write("pkg/go.py", "import hpc.metrics, train, sys; print('loss=%d' % train.x)\n")
    repository.experiment(starts)
    repository.plan()
    assert repository.on_a_node() == 0
    assert repository.printed() == ["loss=1"]


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project on this machine with packages of all our names, broken ones; planned from outside of it."""
    return make_project(tmp_path_factory.mktemp("names") / "theirs")


def test_our_own_processes_start_beside_packages_of_the_same_names(project: LocalProject) -> None:
    """The queue of this machine, the loop and its report run ours, started in a folder full of namesakes."""
    for name in ("hpc", "analysis", "train", "submitit", "rich", "numpy"):
        (project.folder / name).mkdir()
        (project.folder / name / "__init__.py").write_text("raise SystemExit('theirs was imported')\n")
    for verb, words in {"plan": ["--cluster", "local"], "submit": [], "follow": []}.items():
        done = project.call("-P", "-m", f"hpc.{verb}", "tiny", *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (project.runs / "tiny/report/report.html").exists()
