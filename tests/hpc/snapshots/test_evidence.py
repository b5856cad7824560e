"""Evidence from an attempt's records: whose word counts."""

import os
from pathlib import Path

import h5py
import pytest

from hpc.adapters.files import write_json
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import FailureClass
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.metrics import MetricsWriter
from hpc.snapshots.evidence import Results, gather, read_results
from hpc.snapshots.states import AttemptState, Progress
from tests.made_records import exit_record, task_record


@pytest.mark.parametrize(
    ("lasted_s", "signals", "state"),
    [(3.0, [], None), (3.0, ["TERM"], SlurmState.TIMEOUT), (59.0, [], SlurmState.TIMEOUT)],
)
def test_a_time_out_of_what_ended_long_before_is_a_controller_that_was_away(
    tmp_path: Path, lasted_s: float, signals: list[str], state: SlurmState | None
) -> None:
    """slurmctld missed the end and noticed the limit later: our record counts, unless the wrapper was told to end."""
    layout = RunLayout(tmp_path, "night")
    ended = exit_record(exit_code=3, ended=100.0 + lasted_s, signals_received=tuple(signals))
    row = JobRow("7_1", "8", SlurmState.TIMEOUT, time_limit_s=60.0)
    home = AttemptLayout(layout.task("a").attempt(1).home)
    attempt = AttemptState(1, 1, "7_1", Progress.OVER, home, task_record(), ended, row)
    assert gather(layout, attempt, Results({}, {}, None)).state is state


OWN: dict[str, str | float] = {"task_id": "abc", "attempt": 2, "manifest_sha": "m" * 64}


def _finished(home: Path, **attributes: str | float) -> AttemptState:
    """An attempt that ended well by every other record, with a complete metrics file of the given attributes."""
    attempt = AttemptLayout(home)
    record = task_record(task_id="abc", attempt=2, manifest_sha="m" * 64, primary_metric="final")
    write_json(attempt.task_json, record.to_json())
    with MetricsWriter(attempt.metrics, **attributes) as metrics:
        metrics.log(1, loss=0.5)
        metrics.summary(final=0.25, diverged=float("nan"))
    return AttemptState(2, 1, "local-7", Progress.OVER, attempt, record, exit_record(exit_code=0, ended=160.0), None)


def _judged(home: Path, attempt: AttemptState) -> tuple[Results, FailureClass]:
    results = read_results(attempt.layout)
    return results, classify(gather(RunLayout(home, "night"), attempt, results)).category


@pytest.mark.parametrize("told", [{}, {"task_id": ""}, {"task_id": "abc"}, {"task_id": "abc", "attempt": 2}, OWN])
def test_metrics_of_this_attempt_make_it_a_success(tmp_path: Path, told: dict[str, str | float]) -> None:
    """What the file says of its run agrees with task.json, or it says nothing, as files written by hand."""
    own = {"attempt": 2, **told} if told.get("task_id") else told
    results, category = _judged(tmp_path, _finished(tmp_path, **own))

    assert results.problem == ""
    assert category is FailureClass.SUCCESS


@pytest.mark.parametrize("name", ["task_id", "attempt", "manifest_sha"])
def test_metrics_of_another_run_make_no_success(tmp_path: Path, name: str) -> None:
    """A file copied from elsewhere is named with what differs; its values are shown, the run is no success by it."""
    told = OWN | {name: 9 if name == "attempt" else "z"}
    results, category = _judged(tmp_path, _finished(tmp_path, **told))

    assert f"metrics of another run: their {name} is" in results.problem
    assert results.complete is False
    assert category is not FailureClass.SUCCESS


@pytest.mark.parametrize("beside", [{"final": 0.26}, {"final": None}, {"diverged": 1.0}, {"other": 1.0}])
def test_final_values_that_contradict_each_other_make_no_success(tmp_path: Path, beside: dict[str, object]) -> None:
    """metrics.h5 and summary.json come from one writer: a difference is named with both values."""
    attempt = _finished(tmp_path)
    write_json(tmp_path / "summary.json", {"summary": beside, "last_step": 1, "complete": True})
    results, category = _judged(tmp_path, attempt)

    assert f"the final value of {next(iter(beside))} is" in results.problem
    assert category is not FailureClass.SUCCESS


@pytest.mark.parametrize("beside", [None, [], {}, {"summary": []}, {"summary": {"final": 9}, "complete": False}, "cut"])
def test_a_summary_that_says_nothing_contradicts_nothing(tmp_path: Path, beside: object) -> None:
    """Absent, of another shape, unreadable, or left by a writer that was not done: the metrics file stands alone."""
    attempt = _finished(tmp_path)
    write_json(tmp_path / "summary.json", beside)
    if beside == "cut":
        (tmp_path / "summary.json").write_bytes(b'{"summ')

    assert _judged(tmp_path, attempt)[1] is FailureClass.SUCCESS


def test_a_named_problem_of_one_series_leaves_the_success(tmp_path: Path) -> None:
    """An unusable series beside the primary metric is said, and costs nothing else."""
    attempt = _finished(tmp_path)
    with h5py.File(attempt.layout.metrics, "a") as file:
        file["series"]["gone"] = h5py.SoftLink("/x")
    results, category = _judged(tmp_path, attempt)

    assert results.problem == "series 'gone': is a link; links are not followed"
    assert category is FailureClass.SUCCESS


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["stdout.log", "stderr-node2.log", "../logs/7_1.log"])
def test_a_log_that_is_no_file_is_named_and_never_waited_for(tmp_path: Path, name: str) -> None:
    """A pipe or folder in its place becomes the line that says so; the other logs are read."""
    layout = RunLayout(tmp_path, "night")
    attempt = layout.task("a").attempt(1)
    attempt.home.mkdir(parents=True)
    logs = layout.submission(1).logs
    logs.mkdir(parents=True)
    paths = {"stdout.log": attempt.home / "stdout.log", "stderr-node2.log": attempt.home / "stderr-node2.log"}
    paths["../logs/7_1.log"] = logs / "7_1.log"
    for path in paths.values():
        path.write_text("hpc: a attempt x, job 7_1\nwell\n")
    barred = paths[name]
    state = AttemptState(1, 1, "7_1", Progress.OVER, attempt, task_record(job="7_1"), None, None)
    for place in (os.mkfifo, Path.mkdir):
        barred.unlink() if barred.is_file() else None
        barred.rename(tmp_path / "away") if barred.exists() else None
        place(barred)
        lines = [line.text for line in gather(layout, state, Results({}, {}, None)).log]

        assert sum(f"{barred}: is not a regular file" in line for line in lines) == 1
        assert lines.count("well") == 2
