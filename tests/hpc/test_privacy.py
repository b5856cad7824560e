"""Runs are for their owner: whatever umask, setgid folder and earlier version say, nobody else reads or writes them."""

import ast
import contextlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters.files import GROUP_READS, make_folder, mode_in, share, write_text
from hpc.adapters.ledger import append_json_line
from hpc.adapters.locks import lock
from tests.hpc.test_sync import Server
from tests.local_projects import EXPERIMENT as TINY
from tests.local_projects import LocalProject, make_project

PROJECT = Path(__file__).parents[2]
OTHERS = 0o077
WRITERS = 0o022

EXPERIMENT = TINY + "baseline: {x: 1}\n"
PROGRAM = """
import os, pathlib, sys
mine = pathlib.Path(os.environ["HPC_ATTEMPT_DIR"], "made by the program")
mine.mkdir()
(mine / "model.bin").write_text("weights")
print(f"loss: {float(sys.argv[1]) / 2}")
"""


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Everybody may write what is created without a mode; then the umask is as it was."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    """A project in a setgid folder that everybody may write into, as shared project folders are."""
    tmp_path.chmod(0o2777)
    return make_project(tmp_path, EXPERIMENT, PROGRAM)


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of everything below a folder, and of the folder; links have none of their own."""
    found = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    return {str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode) & 0o777 for path in found}


def travel(project: LocalProject) -> None:
    """Go the whole road on this machine: plan, run, collect, report."""
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny", "--retry-failed")
    done = project.call("-m", "analysis.report", "tiny", "--format", "md")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_of_a_run_is_open_to_others(project: LocalProject) -> None:
    """The whole road under umask 000 in a setgid folder: no folder and no file that anybody else reads or writes."""
    travel(project)
    found = modes(project.runs) | modes(project.folder / "manifests/rendered")
    assert "runs/tiny/report/report.md" in found
    assert any(name.endswith("made by the program/model.bin") for name in found)
    assert {name: oct(mode) for name, mode in found.items() if mode & OTHERS} == {}
    assert {name for name, mode in modes(project.runs / "tiny/code").items() if "/" in name and mode & 0o222} == set()


PLANTED = {
    "WANDB_API_KEY": "5ec" + "0123456789abcdef" * 2 + "fade1",
    "HF_TOKEN": "hf_" + "Planted" * 5,
    "ALARM_URL": "https://hooks.example.org/services/T0/B0/" + "planted" * 4,
}
LOGIN = "10971" + "9876543210" * 3 + "54321"
CLIENT = """#!/bin/sh
for word; do case $word in *.wandb) : > "$word.synced";; esac; done
"""
LOGGING = """
import os, pathlib
folder = pathlib.Path(os.environ["HPC_ATTEMPT_DIR"], "wandb/offline-run-20260101_000000-a")
folder.mkdir(parents=True)
(folder / "run-a.wandb").write_bytes(b":W&B")
"""


def test_no_planted_key_is_anywhere_after_the_whole_road(tmp_path: Path) -> None:
    """Every file below the project and every word printed, whoever had the keys in the environment and in ~/.netrc."""
    notify = "notify: [{webhook_env: ALARM_URL}]\n"
    project = make_project(tmp_path / "project", EXPERIMENT + notify, PROGRAM + LOGGING)
    home, client = tmp_path / "home", tmp_path / "bin/wandb"
    for folder in (home, client.parent):
        folder.mkdir()
    client.write_text(CLIENT)
    client.chmod(0o700)
    with contextlib.closing(Server()) as server:
        (home / ".netrc").write_text(f"machine 127.0.0.1 login user password {LOGIN}\n")
        (home / ".netrc").chmod(0o600)
        planted = {**PLANTED, "HOME": str(home), "NETRC": "", "XDG_CONFIG_HOME": "", "WANDB_BASE_URL": server.url,
                   "PATH": f"{client.parent}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
        road = (
            ("plan", "tiny", "--cluster", "local"), ("submit", "tiny"), ("status", "tiny", "--json"),
            ("collect", "tiny"), ("logs", "tiny", "X1"), ("why", "X1"),
            ("report", "tiny", "--format", "md"), ("export", "tiny", "--to", "folders"),
            ("shell", "tiny", "X1", "--print"), ("sync", "tiny"), ("sync", "tiny", "--project", "p"),
            ("archive", "tiny"),
        )  # fmt: skip
        said = ""
        for step, (verb, *words) in enumerate(road):
            keys = {**planted, "WANDB_API_KEY": ""} if words[-1] == "p" else planted  # then it is that of ~/.netrc
            done = project.call("-m", f"hpc.{verb}", *words, **keys)
            assert done.returncode == 0, (road[step], done.stdout, done.stderr)
            said += done.stdout + done.stderr
        assert len(server.heard) == 2
    with tarfile.open(project.folder / "tiny.tar.gz") as archive:
        inside = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
        contents = {name: content.read() for name, content in inside.items() if content}
    contents |= {str(path): path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    assert len(contents) > 100
    for value in (*PLANTED.values(), LOGIN):
        assert value not in said
        assert [name for name, content in contents.items() if value.encode() in content] == []


def test_group_access_opens_for_reading_only(project: LocalProject) -> None:
    """With ``group_access: read`` the group reads every folder and file of a run and writes none."""
    with (project.folder / "manifests/clusters/local.yaml").open("a") as file:
        file.write("group_access: read\n")
    travel(project)
    found = {name: mode for name, mode in modes(project.runs / "tiny").items() if not name.endswith("lock")}
    assert {name: oct(mode) for name, mode in found.items() if mode & WRITERS or mode & 0o007} == {}
    closed = {name: oct(mode) for name, mode in found.items() if not mode & 0o040 and "/.local/" not in name}
    assert closed == {}


def test_planning_again_closes_a_run_of_an_earlier_version_and_opens_it_when_asked(project: LocalProject) -> None:
    """Folders of 0755 and files of 0644 work as they are, and are the owner's alone after the next plan."""
    travel(project)
    home = project.runs / "tiny"
    for path in [home, *home.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o055)
    project.hpc("status", "tiny")
    project.hpc("collect", "tiny")
    project.hpc("plan", "tiny", "--cluster", "local")
    assert {name: oct(mode) for name, mode in modes(home).items() if mode & OTHERS} == {}


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077, 0o277])
def test_a_folder_and_what_is_in_it_have_one_mode(tmp_path: Path, umask: int) -> None:
    """Parents that are made on the way, files, ledgers and locks are private under every umask; setgid is kept."""
    tmp_path.chmod(0o2777)
    os.umask(umask)
    make_folder(tmp_path / "a/b/c")
    write_text(tmp_path / "d/text", "x", 0o666)
    append_json_line(tmp_path / "e/ledger", {})
    with lock(tmp_path / "f/lock"):
        pass
    found = modes(tmp_path)
    del found[tmp_path.name]
    assert {name: oct(mode) for name, mode in found.items() if mode not in (0o700, 0o600)} == {}
    assert all(path.stat().st_mode & stat.S_ISGID for path in tmp_path.iterdir())


def test_a_folder_for_the_group_hands_it_on(tmp_path: Path) -> None:
    """Inside a folder the group reads, new folders and files are readable by it; a folder of 0755 hands on nothing."""
    make_folder(tmp_path / "shared", GROUP_READS)
    write_text(tmp_path / "shared/deep/script", "x", 0o700)
    assert modes(tmp_path / "shared") == {"shared": 0o750, "shared/deep": 0o750, "shared/deep/script": 0o750}
    tmp_path.chmod(0o755)
    assert mode_in(tmp_path) == 0o600


@pytest.mark.parametrize("mode", [0o700, GROUP_READS])
def test_a_folder_has_its_mode_as_soon_as_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """Tasks that start at once meet in `tasks`: whoever finds it there takes after it, for good."""
    tmp_path.chmod(mode)
    found: list[int] = []

    def watched(name: str) -> None:
        act = getattr(Path, name)

        def run(*arguments: Any, **named: Any) -> Any:
            done = act(*arguments, **named)
            if (folder := tmp_path / "tasks").exists():
                found.append(stat.S_IMODE(folder.stat().st_mode) & 0o777)
            return done

        monkeypatch.setattr(Path, name, run)

    for name in ("mkdir", "chmod", "rename"):
        watched(name)
    make_folder(tmp_path / "tasks/X1")
    assert set(found) == {mode}
    assert modes(tmp_path / "tasks") == {"tasks": mode, "tasks/X1": mode}


def test_sharing_touches_neither_links_nor_what_they_lead_to(tmp_path: Path) -> None:
    """Opening a run does not open a file outside that a link in it leads to."""
    outside = tmp_path / "outside"
    outside.touch(0o600)
    make_folder(tmp_path / "run")
    (tmp_path / "run/link").symlink_to(outside)
    share(tmp_path / "run", GROUP_READS)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_folders_are_made_in_one_place() -> None:
    """No module makes a folder by itself: `make_folder` is the one that knows who may look into it."""
    makers = {"mkdir", "makedirs", "mkdtemp"}
    found = {
        f"{path.relative_to(PROJECT)}:{node.lineno}"
        for package in ("hpc", "train", "analysis")
        for path in (PROJECT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in makers
    }
    assert {place.partition(":")[0] for place in found} <= {
        "hpc/adapters/files.py", "hpc/adapters/images.py",
        "hpc/newcomer/write.py",  # into the user's own repository, as any editor would
        "hpc/checkup/write_profile.py",  # likewise
        "hpc/adapters/shared_disk.py",  # tries what folders do, in one of its own that is private and removed
        "hpc/checkup/self_test.py",  # likewise, by an interpreter that has nothing of ours
        "train/gpt.py", "train/lm.py",  # stand for a program of somebody else, and takes nothing of ours
    }, found  # fmt: skip
