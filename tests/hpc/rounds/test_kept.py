"""After a purge of the scratch file system: what was finished and collected stands, marked, until it is forgotten."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.data.frame import load_frame
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.rounds.act import assess, not_submitted
from hpc.snapshots.snapshot import take_snapshot
from tests.local_projects import LocalProject, copy_project, make_project

Numbers = dict[str, tuple[dict[str, float], list[float]]]
"""Run → final values and curve."""


@pytest.fixture
def project(finished: LocalProject, tmp_path: Path) -> LocalProject:
    """A copy to purge."""
    return copy_project(finished.folder, tmp_path / "project")


def numbers_of(layout: RunLayout) -> Numbers:
    """What collected/ holds of finished runs."""
    tasks = json.loads(layout.verdicts.read_text())["tasks"]
    with h5py.File(layout.results) as file:
        if "summary" not in file:
            return {}
        rows, values = file["series/loss/task"][()], file["series/loss/value"][()]
        finals = file["summary/loss"][()]
    found = {}
    for row, task in enumerate(tasks):
        if task["outcome"] == "finished":
            assert finals[row] == task["summary"]["loss"]
            found[task["run_name"]] = (task["summary"], values[rows == row].tolist())
    return found


GONE: dict[str, Callable[[RunLayout], object]] = {
    "all tasks": lambda layout: shutil.rmtree(layout.tasks, ignore_errors=True),
    "one task": lambda layout: shutil.rmtree(layout.task("X1").home, ignore_errors=True),
    "one attempt": lambda layout: shutil.rmtree(layout.task("X2").attempt(1).home, ignore_errors=True),
    "metrics": lambda layout: (layout.task("X1").attempt(1).metrics).unlink(missing_ok=True),
    "the end": lambda layout: (layout.task("X2").attempt(1).exit_json).unlink(missing_ok=True),
    "logs": lambda layout: (layout.task("X2").attempt(1).stdout).unlink(missing_ok=True),
    "old files": lambda layout: [path.unlink() for path in layout.tasks.rglob("*") if path.is_file()],
}
"""What a purge may take."""


@pytest.mark.parametrize("what", [name for name in GONE if name not in ("logs", "old files")])
def test_what_was_finished_stands_and_is_marked(project: LocalProject, what: str) -> None:
    """Verdict, values and curve as before; verdicts.json, tasks.csv, collect and status say that they are kept."""
    layout = RunLayout(project.runs, "tiny")
    assert assess(layout).notes == ()
    before, told_before = numbers_of(layout), project.verdicts()
    GONE[what](layout)

    answer = project.json("collect", "tiny")
    assert answer["outcomes"]["finished"] == 2
    assert numbers_of(layout) == before
    kept = [run for run, task in project.verdicts().items() if task["kept"]]
    assert (
        kept == answer["kept"] == {"all tasks": ["X1", "X2"], "one task": ["X1"], "metrics": ["X1"]}.get(what, ["X2"])
    )
    assert "kept from an earlier collection" in answer["notes"][0]
    for run, task in project.verdicts().items():
        assert task["attempts"][-1]["verdict"] == told_before[run]["attempts"][-1]["verdict"]
        assert bool(task["attempts"][-1]["kept"]) == (run in kept)
        assert f",{task['kept']}\n" in layout.tasks_csv.read_text()

    warned = load_frame(layout).tasks.set_index("run_name")["warnings"]
    assert [run for run in ("X1", "X2") if any("kept as it was collected" in text for text in warned[run])] == kept

    status = project.json("status", "tiny")
    assert status["outcomes"] == answer["outcomes"]
    assert status["kept"] == kept
    assert "kept" in project.hpc("status", "tiny")


def test_a_kept_run_is_started_again_only_after_it_was_forgotten(tmp_path: Path) -> None:
    """Neither --retry-failed nor submit nor this machine's queue starts it; --forget-gone says so and lets it run."""
    project = make_project(tmp_path / "project")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    layout = RunLayout(project.runs, "tiny")
    project.hpc("collect", "tiny")
    shutil.rmtree(layout.tasks)
    assert project.json("collect", "tiny", "--retry-failed")["jobs"] == {}
    assert "everything is queued, running or done" in project.hpc("submit", "tiny", expect=3)
    assert not layout.tasks.exists()

    assert "would be forgotten: X1, X2" in project.hpc("collect", "tiny", "--forget-gone", "--dry-run")
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2
    told = project.hpc("collect", "tiny", "--forget-gone")
    assert "forgotten: X1, X2" in told
    assert project.json("status", "tiny")["outcomes"]["finished"] == 0
    project.hpc("submit", "tiny")
    assert {run: task["kept"] for run, task in collected_again(project).items()} == {"X1": "", "X2": ""}


def collected_again(project: LocalProject) -> dict[str, dict[str, object]]:
    project.hpc("collect", "tiny")
    return project.verdicts()


def test_slurm_elements_that_are_over_are_not_submitted_again(project: LocalProject) -> None:
    """What decides what is new asks about kept results, too: an element without a folder looks as if it never began."""
    layout = RunLayout(project.runs, "tiny")
    spec = assess(layout).judged.frozen.spec
    shutil.rmtree(layout.tasks)
    snapshot = take_snapshot(layout)
    assert not_submitted(snapshot, spec) == []
    assert not any(task.is_live for task in snapshot.tasks)
    assert all(task.succeeded for task in snapshot.tasks)


def test_results_that_stand_no_more_are_said(project: LocalProject) -> None:
    """A finished run whose metrics were damaged since is judged by what is there, and that it was finished is said."""
    layout = RunLayout(project.runs, "tiny")
    assess(layout)
    metrics = layout.task("X1").attempt(1).metrics
    metrics.write_bytes(metrics.read_bytes()[:100])
    present = assess(layout)
    assert present.notes == ("X1 was finished when last collected, and is failed now",)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["collect", *(name for name in GONE if name != "old files")]), max_size=8))
def test_finished_values_never_shrink_silently(finished: LocalProject, acts: list[str]) -> None:
    """After any purges and collections every value that was ever collected is there, and what is kept is said."""
    with TemporaryDirectory() as folder:
        shutil.copytree(finished.runs / "tiny", Path(folder) / "tiny", symlinks=True)
        layout = RunLayout(Path(folder), "tiny")
        known: Numbers = {}
        for act in [*acts, "collect"]:
            if act != "collect":
                GONE[act](layout)
                continue
            present = assess(layout)
            now = numbers_of(layout)
            assert {run: now.get(run) for run in known} == known
            kept = [task for task in present.judged.tasks if task.kept_result]
            assert bool(kept) == any("kept from an earlier collection" in note for note in present.notes)
            assert len(present.judged.of_outcome(Outcome.FINISHED)) == len(now)
            known = now
            for values, curve in now.values():
                assert np.isfinite(values["loss"])
                assert len(curve) == 1
