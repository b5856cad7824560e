"""What git says of the code, in real repositories."""

import subprocess
from pathlib import Path

import pytest

from hpc.adapters.git import list_code_files, read_git_state


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(tmp_path, "init", "-q")
    (tmp_path / "käse.py").write_text("one\n")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def test_a_clean_tree_has_a_commit_and_no_difference(repository):
    """Commit of 40 digits, clean, no hash of a difference."""
    state = read_git_state(repository)
    assert len(state.commit) == 40
    assert (state.dirty, state.diff, state.diff_sha256) == (False, "", "")


def test_a_change_is_kept_as_a_patch(repository):
    """A dirty tree has its difference and that difference's own name."""
    (repository / "käse.py").write_bytes(b"\xff two\n")
    state = read_git_state(repository)
    assert state.dirty
    assert "two" in state.diff
    assert len(state.diff_sha256) == 64


def test_code_files_are_what_git_would_track(repository):
    """Tracked and new files; links as what they are; not the ignored or deleted ones."""
    (repository / "new.py").write_text("x")
    (repository / "ignored.py").write_text("x")
    (repository / "link.py").symlink_to("/etc/hostname")
    assert {str(path) for path in list_code_files(repository)} == {".gitignore", "käse.py", "link.py", "new.py"}
    (repository / "käse.py").unlink()
    assert {str(path) for path in list_code_files(repository)} == {".gitignore", "link.py", "new.py"}


def test_outside_a_repository_nothing_is_said(tmp_path):
    """No repository, no git state: None, not an error."""
    assert read_git_state(tmp_path) is None
    assert list_code_files(tmp_path) is None


def test_before_the_first_commit(tmp_path):
    """A repository without a commit has an empty one."""
    git(tmp_path, "init", "-q")
    assert read_git_state(tmp_path).commit == ""
