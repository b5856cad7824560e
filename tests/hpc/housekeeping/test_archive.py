"""`hpc.archive`: one file that says what it is, can be checked, and is an experiment again elsewhere."""

import errno
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adapters.archive_file import ArchiveError, unpack
from hpc.core.crate import NAME, SUMS, read_sums, sums_line
from hpc.core.errors import TemporaryError
from hpc.core.layout import RunLayout
from hpc.housekeeping import archiving
from hpc.snapshots.snapshot import take_snapshot
from tests.fake_slurm import make_slurm_project
from tests.hpc.housekeeping.conftest import report, told
from tests.local_projects import LocalProject, copy_project, make_project

TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture(scope="module")
def archived(collected, tmp_path_factory) -> LocalProject:
    """The experiment with its archive beside it."""
    project = copy_project(collected.folder, tmp_path_factory.mktemp("archive") / "project")
    assert "tiny.tar.gz: " in project.hpc("archive", "tiny")
    return project


@pytest.fixture
def mine(archived, tmp_path) -> LocalProject:
    """A copy to change."""
    return copy_project(archived.folder, tmp_path / "project")


@pytest.fixture(scope="module")
def elsewhere(archived, tmp_path_factory) -> LocalProject:
    """Another project of another place, into whose root it was unpacked; there is no Slurm, and not that code."""
    other = make_project(tmp_path_factory.mktemp("elsewhere") / "other")
    (other.folder / "manifests/experiments/tiny.yaml").unlink()
    answer = other.json("archive", "--restore", str(archived.folder / "tiny.tar.gz"))
    assert answer["experiment"] == "tiny"
    assert Path(answer["folder"]) == other.runs / "tiny"
    return other


def test_it_is_the_same_experiment_elsewhere(archived, elsewhere, reported):
    """Status, a new collection and the report say there what they say here; archived there, it is the same file."""
    again = elsewhere.folder / "again.tar.gz"
    elsewhere.hpc("archive", "tiny", "--output", str(again))
    assert again.read_bytes() == (archived.folder / "tiny.tar.gz").read_bytes()
    here, there = (each.json("status", "tiny")["outcomes"] for each in (archived, elsewhere))
    assert here == there
    before = told(archived)
    elsewhere.hpc("collect", "tiny", expect=1)
    assert told(elsewhere) == before
    assert report(elsewhere) == reported


def test_no_scheduler_is_asked_about_restored_jobs(tmp_path, monkeypatch):
    """Submitted to a Slurm there, unpacked where there is none: nothing waits, and nothing is asked."""
    project = make_slurm_project(tmp_path / "project", monkeypatch)
    project.hpc("submit", "tiny")
    layout = RunLayout(project.runs, "tiny")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TemporaryError):
        take_snapshot(layout)
    layout.restored.write_text("{}")
    snapshot = take_snapshot(layout)
    assert [state.attempts for state in snapshot.tasks] == [(), ()]
    assert snapshot.slurm_problem == ""


def test_every_file_can_be_checked(elsewhere):
    """`sha256sum -c` in the unpacked folder finds all of them as they were; no checkpoint is among them."""
    home = elsewhere.runs / "tiny"
    with tarfile.open(elsewhere.folder.parent / "x.tar.gz", "w:gz"):
        pass
    sums = read_sums((home / SUMS).read_text())
    assert not [name for name in sums if "checkpoints/" in name]
    assert {"manifest.json", "seal.json", "tasks/X1/attempt-1/metrics.h5", NAME, "archive.json"} <= set(sums)
    # A collection writes anew what it derives; what was recorded is as it was archived.
    recorded = "".join(
        sums_line(name, sums[name]) for name in sums if not name.startswith(("collected/", "report/", "l"))
    )
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet"], cwd=home, input=recorded, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_metadata_is_a_valid_crate(elsewhere):
    """RO-Crate 1.1: descriptor and root, flat, ids once, what is referred to is there, files and folders exist."""
    home = elsewhere.runs / "tiny"
    crate = json.loads((home / NAME).read_text())
    assert crate["@context"] == "https://w3id.org/ro/crate/1.1/context"
    graph = crate["@graph"]
    by_id = {each["@id"]: each for each in graph}
    assert len(by_id) == len(graph)
    descriptor, root = by_id[NAME], by_id["./"]
    assert (descriptor["@type"], descriptor["about"]) == ("CreativeWork", {"@id": "./"})
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert all(root[key] for key in ("name", "description", "license", "hasPart"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", root["datePublished"])
    for each in graph:
        assert each["@type"]
        for key, value in each.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):  # flat: nothing but references
                    assert set(item) == {"@id"}
                    assert item["@id"] in by_id or (key, item["@id"].startswith("https://")) == ("conformsTo", True)
    for part in (by_id[each["@id"]] for each in root["hasPart"]):
        path = home / unquote(part["@id"])
        assert path.is_dir() if "Dataset" in part["@type"] else path.is_file()
    results = {each["name"]: each["value"] for each in graph if each["@id"].startswith("#X1/result/")}
    assert results["loss"] == 0.5


def test_what_looks_like_a_secret_is_refused_and_named(mine):
    """By name and by content, also late in a long log: all of them at once; what is left out is said in the archive."""
    (mine.runs / "tiny/tasks/X1/attempt-1/work/id_rsa").write_text("x")
    log = mine.runs / "tiny/tasks/X2/attempt-1/stdout.log"
    log.write_text("step\n" * 400_000 + f"token {TOKEN}\n")
    told = mine.hpc("archive", "tiny", "--output", "b.tar.gz", expect=2)
    assert "tasks/X1/attempt-1/work/id_rsa: looks like a secret (its name)" in told
    assert "tasks/X2/attempt-1/stdout.log: looks like a secret (holds a GitHub token)" in told
    assert TOKEN not in told
    assert not (mine.folder / "b.tar.gz").exists()
    left = ("--leave-out", "*/id_rsa", "--leave-out", "tasks/X2/*/stdout.log")
    answer = mine.json("archive", "tiny", "--output", "b.tar.gz", *left)
    assert sorted(answer["left_out"]) == ["tasks/X1/attempt-1/work/id_rsa", "tasks/X2/attempt-1/stdout.log"]
    assert "already exists" in mine.hpc("archive", "tiny", "--output", "b.tar.gz", *left, expect=2)


def test_what_runs_is_archived_only_on_request(mine, tmp_path):
    """While something waits: refused, with its name; with --partial it is archived, and waits nowhere once unpacked."""
    shutil.rmtree(mine.runs / "tiny/tasks/X2")
    told = mine.hpc("archive", "tiny", "--output", "b.tar.gz", expect=2)
    assert "1 task runs or waits (X2)" in told
    assert mine.json("archive", "tiny", "--output", "b.tar.gz", "--partial", "--with", "checkpoints")["partial"]
    other = make_project(tmp_path / "other")
    other.json("archive", "--restore", str(mine.folder / "b.tar.gz"), "--root", "here")
    outcomes = other.json("status", "tiny", HPC_ROOT=str(other.folder / "here"))["outcomes"]
    assert (outcomes["finished"], outcomes["pending"], outcomes["running"]) == (1, 0, 0)
    assert (other.folder / "here/tiny/tasks/X1/attempt-1/checkpoints/step_2").stat().st_size == 2000


def test_what_was_changed_in_an_archive_is_refused(mine, tmp_path):
    """One byte of one file, one file more, one less: named, and nothing of it is unpacked."""
    (tmp_path / "out").mkdir()
    unpack(mine.folder / "tiny.tar.gz", tmp_path / "out")
    csv = tmp_path / "out/tiny/collected/tasks.csv"
    good = csv.read_bytes()
    for what in ("changed", "more", "less"):
        more = csv.with_name("more.csv")
        if what == "changed":
            csv.write_bytes(good.replace(b"0.5", b"0.4"))
        elif what == "more":
            csv.write_bytes(good)
            more.touch()
        else:
            more.unlink()
            csv.unlink()
        with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "out/tiny", "tiny")
        said = mine.hpc("archive", "--restore", str(tmp_path / "bad.tar.gz"), "--root", "new", expect=1)
        assert "not what was archived: collected/" in said
        assert not (mine.folder / "new").exists()
    assert "already exists" in mine.hpc("archive", "--restore", "tiny.tar.gz", expect=2)


def test_what_was_written_comes_back_in_the_same_number(mine, tmp_path):
    """Whoever compares the two lines finds no file that came from nowhere."""
    (mine.folder / "tiny.tar.gz").unlink()
    counts = [
        re.search(r"(\d+) files", mine.hpc(*words))[1]
        for words in (("archive", "tiny"), ("archive", "--restore", "tiny.tar.gz", "--root", str(tmp_path / "new")))
    ]
    assert counts[0] == counts[1]


def test_where_nothing_is_restored_nothing_is_left_and_the_disk_is_named(mine, tmp_path, monkeypatch):
    """Not even the folder that was made for it; a full disk says which; an archive, what it lacks."""
    archive, root = mine.folder / "tiny.tar.gz", tmp_path / "new"
    without = tmp_path / "without.tar.gz"
    with tarfile.open(archive) as old, tarfile.open(without, "w:gz") as new:
        for member in old.getmembers():
            if member.name != "tiny/manifest.json":
                new.addfile(member, old.extractfile(member))
    with pytest.raises(ArchiveError, match=r"without\.tar\.gz was not made by hpc archive: it has no manifest\.json"):
        archiving.restore(without, root, "me")
    assert not root.exists()
    monkeypatch.setattr(archiving, "unpack", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match=re.escape(str(root))):
        archiving.restore(archive, root, "me")
    assert not root.exists()


@given(st.dictionaries(st.text(min_size=1), st.text("0123456789abcdef", min_size=64, max_size=64)))
def test_digests_are_read_as_they_were_written(sums):
    """Any name, also with backslashes and line ends."""
    assert read_sums("".join(sums_line(name, digest) for name, digest in sums.items())) == sums


def test_sha256sum_writes_the_same_lines(tmp_path):
    """The escapes are those of coreutils."""
    names = ["plain", "a b", "back\\slash", "new\nline", "\\n"]
    for name in names:
        (tmp_path / name).write_text(name)
    done = subprocess.run(["sha256sum", "--", *names], cwd=tmp_path, capture_output=True, text=True, check=True)
    digests = dict(re.findall(r"^\\?([0-9a-f]{64})  (.*)$", done.stdout, re.MULTILINE))
    assert done.stdout == "".join(map(sums_line, names, digests))
