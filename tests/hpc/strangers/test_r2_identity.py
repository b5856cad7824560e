"""R2: two repositories that call an experiment alike below one root never share its runs; a moved one keeps its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpc.collect
import hpc.status
import hpc.submit
from hpc.adapters.manifest_store import manifest_sha
from hpc.core.records.project import Project
from hpc.workspace import Workspace
from tests.hpc.strangers.repository import Repository


def git(folder: Path, *words: str) -> None:
    """Run git there, as somebody."""
    who = ["-c", "user.name=x", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def in_git(repository: Repository, message: str = "first") -> Repository:
    """Put all of a repository into git. The message makes its history its own."""
    if not (repository.folder / ".git").exists():
        repository.write(".gitignore", "manifests/rendered\n")
        git(repository.folder, "init", "-q")
        git(repository.folder, "add", "-A")
        git(repository.folder, "commit", "-qm", message)
    return repository


def at(repository: Repository, folder: Path) -> Repository:
    """The same repository, or another one, at this place."""
    return replace(repository, folder=folder)


def copied(repository: Repository, name: str) -> Repository:
    """A folder with the same files, and nothing else in common."""
    other = repository.folder.with_name(name)
    shutil.copytree(repository.folder, other, ignore=shutil.ignore_patterns(".git", "rendered"))
    return at(repository, other)


def two_in_git(first: Repository) -> Repository:
    in_git(first)
    return in_git(copied(first, "b"), "another first")


def two_without_git(first: Repository) -> Repository:
    return copied(first, "b")


def git_and_none(first: Repository) -> Repository:
    return copied(in_git(first), "b")


def none_and_git(first: Repository) -> Repository:
    return in_git(copied(first, "b"))


def one_without_a_commit(first: Repository) -> Repository:
    in_git(first)
    second = copied(first, "b")
    git(second.folder, "init", "-q")
    return second


def two_studies_of_one_repository(first: Repository) -> Repository:
    shutil.copytree(first.folder, first.folder / "studies/b")
    in_git(first)
    return at(first, first.folder / "studies/b")


def a_submodule(first: Repository) -> Repository:
    second = in_git(copied(first, "b"), "another first")
    in_git(first)
    git(first.folder, "submodule", "add", "-q", str(second.folder), "inner")
    return at(first, first.folder / "inner")


OTHERS = [
    two_in_git, two_without_git, git_and_none, none_and_git, one_without_a_commit, two_studies_of_one_repository,
    a_submodule,
]  # fmt: skip


@pytest.mark.parametrize("make", OTHERS)
def test_r2_another_projects_experiment_of_the_same_name_is_refused(
    repository: Repository, make: Callable[[Repository], Repository]
) -> None:
    """`plan` ends with 2 and names both; the runs below the root stay the first one's."""
    repository.experiment()
    second = make(repository)
    repository.plan()
    before = (repository.root / "theirs/manifest.json").read_bytes()
    told = second.plan(expect=2)
    assert "another project's experiment of that name" in told
    assert str(repository.folder) in told
    assert str(second.folder) in told
    assert (repository.root / "theirs/manifest.json").read_bytes() == before
    repository.plan()


def a_clone(first: Repository) -> Repository:
    second = at(first, first.folder.with_name("clone"))
    git(in_git(first).folder, "clone", "-q", str(first.folder), str(second.folder))
    return second


def a_moved_clone(first: Repository) -> Repository:
    return at(first, Path(shutil.move(in_git(first).folder, first.folder.with_name("moved"))))


def a_work_tree(first: Repository) -> Repository:
    second = at(first, first.folder.with_name("tree"))
    git(in_git(first).folder, "worktree", "add", "-q", str(second.folder))
    return second


def a_clone_with_more_commits(first: Repository) -> Repository:
    second = a_clone(first)
    second.write("more.py", "")
    git(second.folder, "add", "-A")
    git(second.folder, "commit", "-qm", "more")
    return second


def another_history_merged(first: Repository) -> Repository:
    second, other = a_clone(first), in_git(copied(first, "other"), "another first")
    git(second.folder, "pull", "-q", "--allow-unrelated-histories", "--no-rebase", "-X", "ours", "--no-edit",
        str(other.folder), "HEAD")  # fmt: skip
    return second


def the_same_by_a_link(first: Repository) -> Repository:
    link = first.folder.with_name("link")
    link.symlink_to(first.folder)
    return at(first, link)


def its_first_commit(first: Repository) -> Repository:
    return in_git(first)


SAME = [
    a_clone, a_moved_clone, a_work_tree, a_clone_with_more_commits, another_history_merged, the_same_by_a_link,
    its_first_commit,
]  # fmt: skip


@pytest.mark.parametrize("make", SAME)
def test_r2_the_same_project_elsewhere_goes_on(
    repository: Repository, make: Callable[[Repository], Repository]
) -> None:
    """Clones, work trees and moved folders of one history are one project."""
    repository.experiment()
    if make is not its_first_commit:
        in_git(repository)
    repository.plan()
    assert "0 added, 1 kept" in make(repository).plan()


def test_r2_a_moved_folder_without_git_says_so_once(repository: Repository) -> None:
    """The line that the refusal prints takes the runs over, for good."""
    repository.experiment()
    repository.plan()
    moved = at(repository, Path(shutil.move(repository.folder, repository.folder.with_name("moved"))))
    told = moved.plan(expect=2)
    assert "python -m hpc.plan theirs --cluster s --moved" in told
    moved.plan("--moved")
    moved.plan()


def test_r2_the_way_out_that_is_printed_works(repository: Repository) -> None:
    """A root of its own, as the refusal writes it: both projects have their runs then."""
    repository.experiment()
    second = two_in_git(repository)
    repository.plan()
    told = " ".join(second.plan(expect=2).split())
    line = told.partition("runs of its own: ")[2].partition(" (and the same")[0]
    assert line == f"HPC_ROOT={second.folder}/runs python -m hpc.plan theirs --cluster s"
    replace(second, root=second.folder / "runs").plan()
    second.experiment(name="mine")
    second.plan(name="mine")


@pytest.mark.parametrize("recorded", [None, "nothing", {"folder": 3}, {}])
def test_r2_manifests_that_do_not_say_whose_they_are_still_plan(repository: Repository, recorded: object) -> None:
    """Earlier versions recorded nothing: whoever plans next has it."""
    repository.experiment()
    second = two_in_git(repository)
    repository.plan()
    path = repository.root / "theirs/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["provenance"]["project"] = recorded
    if recorded is None:
        del manifest["provenance"]["project"]
    path.write_text(json.dumps(manifest))
    second.plan()
    assert "another project" in repository.plan(expect=2)


def told_by(command: object, repository: Repository, *words: str) -> tuple[int, str]:
    """Run a command of ours there, in this process."""
    repository.monkeypatch.chdir(repository.folder)
    done = CliRunner().invoke(command, [*words])  # type: ignore[arg-type]
    return done.exit_code, done.output


def test_r2_submit_and_status_know_whose_runs_they_see(repository: Repository) -> None:
    """From the other project `submit` refuses and `status` warns; from a folder without such an experiment neither."""
    repository.experiment()
    second = two_in_git(repository)
    repository.plan(cluster="local")
    code, told = told_by(hpc.submit.main, second, "theirs", "--dry-run")
    assert (code, "another project's experiment" in told) == (2, True)
    code, told = told_by(hpc.status.main, second, "theirs")
    assert (code, "warning: " in told, "1 planned" in told) == (0, True, True)
    assert "warning: " in told_by(hpc.collect.main, second, "theirs")[1]
    assert Workspace(second.folder, repository.root).other_project_of("theirs") in told
    for anywhere in (repository, at(repository, repository.root.parent)):
        assert Workspace(anywhere.folder, repository.root).other_project_of("theirs") == ""
        assert told_by(hpc.submit.main, anywhere, "theirs", "--dry-run")[0] == 0
        assert "warning" not in told_by(hpc.status.main, anywhere, "theirs")[1]


def test_r2_the_identity_is_no_part_of_what_was_asked(repository: Repository) -> None:
    """The hash of a manifest says what is asked on which code; the folder it was planned in is beside that."""
    repository.experiment()
    in_git(repository)
    repository.plan()
    manifest = json.loads((repository.root / "theirs/manifest.json").read_text())
    assert manifest["provenance"]["project"]["folder"] == os.path.realpath(repository.folder)
    assert len(manifest["provenance"]["project"]["first_commits"]) == 1
    del manifest["provenance"]["project"]
    assert manifest_sha(manifest) == manifest["sha256"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Project("/a"), Project("/a"), True),
        (Project("/a"), Project("/b"), False),
        (Project("/a", "", ("1",)), Project("/b", "", ("1",)), True),
        (Project("/a", "", ("1",)), Project("/b", "", ("2",)), False),
        (Project("/a", "", ("1",)), Project("/b", "x/", ("1",)), False),
        (Project("/a", "x/", ("1",)), Project("/b", "x/", ("1", "2")), True),
        (Project("/a", "", ()), Project("/b", "", ()), False),
        (Project("/a", "", ("1",)), Project("/a", "", ("2",)), True),
    ],
)
def test_r2_what_makes_two_projects_one(one: Project, other: Project, same: bool) -> None:
    """One place, or one history at one place in it; whichever is asked."""
    assert (one.is_same(other), other.is_same(one)) == (same, same)
