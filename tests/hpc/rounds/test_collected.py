"""collected/: replaced as one set on a full disk and under SIGKILL, every column under its own name, nothing lost."""

import csv
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import h5py
import pytest

from hpc.core.errors import TemporaryError
from hpc.core.layout import RunLayout
from hpc.metrics import MetricsWriter
from hpc.rounds.act import assess
from tests import disks
from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project

FILES = ("results.h5", "retry_plan.json", "tasks.csv", "verdicts.json")
PAGE = 4096


@pytest.fixture
def project(finished: LocalProject, tmp_path: Path) -> LocalProject:
    """A copy to damage."""
    return copy_project(finished.folder, tmp_path / "project")


def read_all(collected: Path) -> dict[str, bytes]:
    return {name: (collected / name).read_bytes() for name in FILES}


def check_one_set(collected: Path) -> None:
    """All files are of one collection, and whole."""
    verdicts = json.loads((collected / "verdicts.json").read_text())
    assert json.loads((collected / "retry_plan.json").read_text())["collected"] == verdicts["collected"]
    with h5py.File(collected / "results.h5") as file:
        assert file.attrs["verdicts_sha256"] == verdicts["sha256"]
        assert list(file["summary/loss"][()]) == [task["summary"]["loss"] for task in verdicts["tasks"]]
    with (collected / "tasks.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + len(verdicts["tasks"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    with disks.small_disk(tmp_path / "small", "400k") as place:
        yield place


def problem_of(layout: RunLayout) -> str:
    """Collect; return what was wrong with the disk."""
    try:
        assess(layout)
    except TemporaryError as error:
        return str(error)
    return ""


def test_a_full_disk_keeps_the_set_before(project: LocalProject, small_disk: Path) -> None:
    """With 0, 1, 2, … free pages: either the old files, byte for byte, and an error that says so, or the new ones."""
    layout = RunLayout(project.runs, "tiny")
    (small_disk / "collected").mkdir()
    layout.collected.symlink_to(small_disk / "collected")
    assess(layout)
    refused = 0
    for pages in range(40):
        before = read_all(layout.collected)
        layout.remembered.unlink(missing_ok=True)  # else nothing is new, and nothing is written
        filler = small_disk / "filler"
        free = os.statvfs(small_disk).f_bavail
        filler.write_bytes(bytes((free - pages) * PAGE))
        told = problem_of(layout)
        filler.unlink()
        if not told:
            break
        refused += 1
        assert "No space left on device" in told
        assert "stays as collected at" in told
        assert read_all(layout.collected) == before
        assert {path.name for path in layout.collected.iterdir()} <= {*FILES, ".lock", "siblings.json"}
    assert 5 < refused < 35
    assert read_all(layout.collected) != before
    check_one_set(layout.collected)


def test_a_full_disk_is_said_and_nothing_is_submitted(project: LocalProject, small_disk: Path) -> None:
    """`collect --retry-failed` ends with 75 and a command, before it starts anything."""
    layout = RunLayout(project.runs, "tiny")
    (project.attempt("X1") / "metrics.h5").unlink()
    (small_disk / "collected").mkdir()
    layout.collected.symlink_to(small_disk / "collected")
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * PAGE))
    told = project.hpc("collect", "tiny", "--retry-failed", expect=75)
    assert "was not written: No space left on device; there was none yet. Make room, then: python -m hpc.col" in told
    assert [path.name for path in layout.collected.iterdir()] == [".lock"]


def collect_until(layout: RunLayout, kill_at: int) -> int:
    """Collect in a fork that is killed before its n-th rename in ``collected/``; return its exit code."""
    child = os.fork()
    if not child:
        renames = count(1)

        def before(event: str, arguments: tuple[object, ...]) -> None:
            if event == "os.rename" and "collected" in str(arguments[1]) and next(renames) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(before)
        assess(layout)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_kill_between_any_two_files_is_healed_by_the_next(project: LocalProject) -> None:
    """SIGKILL before each rename: whole files are left, and no result is lost even if the runs are gone by then."""
    layout = RunLayout(project.runs, "tiny")
    kills = 0
    for kill_at in range(1, 40):
        shutil.rmtree(layout.collected, ignore_errors=True)
        assess(layout)
        layout.remembered.unlink(missing_ok=True)  # else nothing would be written again
        if collect_until(layout, kill_at) == 0:
            break
        kills += 1
        assert all(read_all(layout.collected).values())
        layout.tasks.rename(project.folder / "purged")
        assess(layout)
        check_one_set(layout.collected)
        assert {run: task["summary"]["loss"] for run, task in project.verdicts().items()} == {"X1": 0.5, "X2": 1.0}
        (project.folder / "purged").rename(layout.tasks)
    assert kills > 5


def test_metrics_called_like_parameters_have_their_own_columns(tmp_path: Path) -> None:
    """A trainer that logs `x`, `seed`, `case` and `outcome`: tasks.csv holds parameters and metrics, no name twice."""
    source = EXPERIMENT.replace(
        "'loss: (?P<loss>\\S+)'", "'m (?P<loss>\\S+) (?P<x>\\S+) (?P<seed>\\S+) (?P<outcome>\\S+)'"
    )
    program = "import sys\nprint('m', float(sys.argv[1]) / 2, 10, 11, 12)\n"
    project = make_project(tmp_path / "project", source, program)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")
    with (project.runs / "tiny/collected/tasks.csv").open() as file:
        header, *rows = csv.reader(file)
    assert len(set(header)) == len(header)
    first = dict(zip(header, rows[0], strict=True))
    assert (first["x"], first["seed"], first["outcome"]) == ("1", "1", "finished")
    assert (first["metric.x"], first["metric.seed"], first["metric.outcome"]) == ("10.0", "11.0", "12.0")
    assert first["loss"] == "0.5"


@pytest.fixture
def hostile(project: LocalProject) -> LocalProject:
    """The first of the two runs gave its metrics such names."""
    attempt = project.attempt("X1")
    (attempt / "metrics.h5").unlink()
    with MetricsWriter(attempt / "metrics.h5") as writer:
        for step in range(3):
            writer.log(step, **{"train/loss": 1.0 + step, "train.loss": 2.0 + step, ".": 4.0, "..": 5.0})
        writer.summary(**{"loss": 0.5, "a/b": 1.0, "a.b": 2.0, ".": 3.0})
    return project


def test_names_that_would_collide_in_hdf5_are_all_there(hostile: LocalProject) -> None:
    """`train/loss` beside `train.loss`, and names of dots: each one is in results.h5 under its true name."""
    hostile.hpc("collect", "tiny")
    with h5py.File(hostile.runs / "tiny/collected/results.h5") as file:
        series = {group.attrs["name"]: group["value"][:3].tolist() for group in file["series"].values()}
        summary = {values.attrs["name"]: values[0] for values in file["summary"].values()}
    assert series.pop("loss") == [1.0]  # of the other run
    assert series == {
        "train/loss": [1.0, 2.0, 3.0], "train.loss": [2.0, 3.0, 4.0], ".": [4.0] * 3,
        "..": [5.0] * 3,
    }  # fmt: skip
    assert {name: summary[name] for name in ("loss", "a/b", "a.b", ".")} == {
        "loss": 0.5,
        "a/b": 1.0,
        "a.b": 2.0,
        ".": 3.0,
    }


def test_too_many_metrics_are_named_and_the_declared_one_is_there(
    hostile: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns are bounded: the declared metric always has one, the rest is counted in a note, and all files agree."""
    monkeypatch.setattr("hpc.rounds.tables.MAX_METRICS", 3)
    (note,) = assess(RunLayout(hostile.runs, "tiny")).notes
    assert note.startswith("5 metrics have no column in collected/, which holds 3 at most: ")
    verdicts = json.loads((hostile.runs / "tiny/collected/verdicts.json").read_text())
    assert verdicts["notes"] == [note]
    assert set(verdicts["tasks"][0]["summary"]) == {"loss", "wall_time", "a/b"}
    with h5py.File(hostile.runs / "tiny/collected/results.h5") as file:
        assert {values.attrs["name"] for values in file["summary"].values()} == {"loss", "wall_time", "a/b"}
