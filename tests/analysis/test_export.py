"""Exports, read back by the trackers' own readers."""

import csv
import json
import math
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.data.frame import load_frame, load_series
from analysis.export import _next, main
from analysis.exports.runs import ExportedRun, list_runs
from hpc.adapters.files import write_text
from hpc.core.layout import RunLayout
from tests.analysis.made_experiments import make_realistic
from tests.wandb_files import wandb_records


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """A realistic experiment: finished, failed, healed and unfinished runs."""
    return make_realistic(tmp_path_factory.mktemp("home") / "runs").write()


@pytest.fixture
def runs(layout: RunLayout) -> list[ExportedRun]:
    """What is to be exported of it."""
    return list_runs(load_frame(layout))


@pytest.fixture
def export(layout: RunLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    """Run the command into a folder of this test."""

    def call(tool: str, *more: str, expect: int = 0) -> dict[str, object]:
        words = ["lora_sweep", "--root", str(layout.root), "--out", str(tmp_path / tool), "--json", "--to", tool, *more]
        assert main(words) == expect
        told: dict[str, object] = json.loads(capsys.readouterr().out)
        return told

    return call


def same(told: float, value: float, single: bool = False) -> bool:
    """Whether a value came back, also one that is no number."""
    return math.isclose(told, value, rel_tol=1e-6 if single else 0, abs_tol=0) or (
        math.isnan(told) and math.isnan(value)
    )


def test_every_run_that_ended_is_exported(layout: RunLayout, runs: list[ExportedRun]) -> None:
    """Settings, curves and final values as the report has them; a failed run has no final values; none is made up."""
    frame = load_frame(layout)
    ended = frame.tasks["outcome"].isin(["finished", "failed"])

    assert [run.name for run in runs] == list(frame.tasks["run_name"][ended])
    for run in runs:
        assert bool(run.summary) == (run.facts["outcome"] == "finished")
        assert {"lora_rank", "learning_rate", "seed"} <= set(run.config)
    logged = next(run for run in runs if "train/loss" in run.series)
    (row,) = frame.tasks.index[frame.tasks["run_name"] == logged.name]
    (series,) = load_series(frame, "train/loss", [row])
    assert [each.step for each in logged.series["train/loss"]] == series.step.tolist()
    assert len({run.digest for run in runs}) == len(runs)


def test_tensorboard_reads_every_point(
    export: Callable[..., dict[str, object]], runs: list[ExportedRun], tmp_path: Path
) -> None:
    """Its own event accumulator gives steps, values and final values of each run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export("tensorboard")
    for run in runs:
        reader = EventAccumulator(str(tmp_path / "tensorboard" / run.name), size_guidance={"scalars": 0})
        reader.Reload()
        assert set(reader.Tags()["scalars"]) == {*run.series, *(f"summary/{name}" for name in run.summary)}
        for name, points in run.series.items():
            told = reader.Scalars(name)
            assert [each.step for each in told] == [each.step for each in points]
            assert [each.wall_time for each in told] == [each.time for each in points]
            assert all(same(one.value, each.value, single=True) for one, each in zip(told, points, strict=True))


def test_wandb_reads_every_step(
    export: Callable[..., dict[str, object]], runs: list[ExportedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own reader of offline runs gives settings and values; nothing is sent anywhere."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("analysis.exports.runs.ENDED", ("failed",))  # few runs: each starts a process of wandb's
    expected = [run for run in runs if run.facts["outcome"] == "failed"]
    export("wandb", "--project", "theirs")
    found = {}
    for path in sorted((tmp_path / "wandb").glob("wandb/offline-run-*/*.wandb")):
        told = wandb_records(path)
        (run,) = [each.run for each in told if each.HasField("run")][:1]
        history = [
            {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in each.history.item}
            for each in told
            if each.HasField("history")
        ]
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        found[run.run_id.partition("-")[0]] = (history, config)

    assert set(found) == {run.task_id for run in expected}
    for run in expected:
        history, config = found[run.task_id]
        steps = {each.step for points in run.series.values() for each in points}
        assert {row["_step"] for row in history} >= steps
        assert config["seed"] == run.config["seed"]


def test_mlflow_reads_every_point(
    export: Callable[..., dict[str, object]], runs: list[ExportedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own client gives params, metrics and outcome; a second export without a ledger finds what is there."""
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    export("mlflow")
    (tmp_path / "mlflow/.exported.json").unlink()
    export("mlflow")
    client = MlflowClient((tmp_path / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("lora_sweep")
    told = {each.info.run_name: each for each in client.search_runs([experiment.experiment_id])}

    assert set(told) == {run.name for run in runs}
    for run in runs:
        there = told[run.name]
        assert there.data.params == {name: str(value) for name, value in run.config.items()}
        assert there.info.status == ("FINISHED" if run.facts["outcome"] == "finished" else "FAILED")
        for name, points in run.series.items():
            history = client.get_metric_history(there.info.run_id, name)
            kept = [each for each in points if not math.isnan(each.value)]
            assert sorted((one.step, one.value) for one in history) == sorted((one.step, one.value) for one in kept)
        for name, value in run.summary.items():
            assert there.data.metrics[f"final/{name}"] == value


def test_csv_has_every_digit(export: Callable[..., dict[str, object]], runs: list[ExportedRun], tmp_path: Path) -> None:
    """Runs and points, read back by the standard library to the very same numbers."""
    export("csv")
    with (tmp_path / "csv/runs.csv").open() as file:
        table = {row["run"]: row for row in csv.DictReader(file)}
    with (tmp_path / "csv/points.csv").open() as file:
        points = [(row["run"], row["metric"], int(row["step"]), row["value"]) for row in csv.DictReader(file)]

    assert list(table) == [run.name for run in runs]
    for run in runs:
        assert all(float(table[run.name][f"metric.{name}"]) == value for name, value in run.summary.items())
        for name, series in run.series.items():
            told = [value for one, metric, _, value in points if (one, metric) == (run.name, name)]
            assert all(same(float(text or "nan"), each.value) for text, each in zip(told, series, strict=True))


def test_parquet_is_read_back(
    export: Callable[..., dict[str, object]], runs: list[ExportedRun], tmp_path: Path
) -> None:
    """By pyarrow, with the types of the numbers."""
    import pyarrow.parquet as pq

    export("parquet")
    table = pq.read_table(tmp_path / "parquet/runs.parquet").to_pylist()
    points = pq.read_table(tmp_path / "parquet/points.parquet").to_pylist()

    assert [row["run"] for row in table] == [run.name for run in runs]
    assert [row["config.seed"] for row in table] == [run.config["seed"] for run in runs]
    assert len(points) == sum(len(series) for run in runs for series in run.series.values())


@pytest.mark.parametrize("tool", ["csv", "tensorboard"])
def test_an_export_is_repeated_without_effect(
    export: Callable[..., dict[str, object]], tmp_path: Path, tool: str
) -> None:
    """The second one sends nothing (exit 3) and touches no file; a dry run says so before."""
    assert export(tool, "--dry-run")["sent"]
    assert not (tmp_path / tool).exists()
    first = export(tool)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / tool).rglob("*")}
    again = export(tool, expect=3)

    assert again["sent"] == []
    assert again["unchanged"] == len(first["sent"])  # type: ignore[arg-type]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / tool).rglob("*")} == before


def test_an_export_that_was_cut_goes_on(
    export: Callable[..., dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: RunLayout
) -> None:
    """What was sent before the end is not sent again."""
    from analysis.exports import tensorboard

    write, sent = tensorboard.write_run, []

    def dies(run: ExportedRun, folder: Path) -> str:
        if len(sent) == 3:
            raise OSError("the disk is full")
        sent.append(run.name)
        return write(run, folder)

    monkeypatch.setattr(tensorboard, "write_run", dies)
    out = ["--out", str(tmp_path / "tensorboard")]
    assert main(["lora_sweep", "--root", str(layout.root), "--to", "tensorboard", *out]) == 1
    monkeypatch.setattr(tensorboard, "write_run", write)
    told = export("tensorboard")

    assert told["unchanged"] == 3
    assert not set(sent) & set(told["sent"])  # type: ignore[call-overload]


def test_folders_hold_what_people_look_for(
    export: Callable[..., dict[str, object]], layout: RunLayout, runs: list[ExportedRun], tmp_path: Path
) -> None:
    """By run name: what lies in the task's folder, links left out, and all that its attempts printed as one log."""
    run = runs[0]
    task = layout.task(run.name)
    for name, text in (("config.yaml", 'experiment: "lora_sweep"\n'), ("metrics.json", "{}"), ("model.pt", "weights")):
        write_text(task.home / name, text)
    (task.home / "checkpoints").symlink_to("attempt-1/checkpoints")
    for number, (out, err) in {1: ("Step 1\n", "out of memory\n"), 2: ("Step 2\n", "")}.items():
        write_text(task.attempt(number).stdout, out)
        write_text(task.attempt(number).stderr, err)
    export("folders")
    target = tmp_path / "folders" / run.name
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "config.yaml": 'experiment: "lora_sweep"\n',
        "metrics.json": "{}",
        "model.pt": "weights",
        "train.log": "==> attempt 1: stdout.log\nStep 1\n==> attempt 1: stderr.log\nout of memory\n"
        "==> attempt 2: stdout.log\nStep 2\n",
    }
    (tmp_path / "folders" / ".exported.json").unlink()
    export("folders")  # its own folders are written anew
    assert (target / "model.pt").read_text() == "weights"

    shutil.rmtree(target)  # as is one that somebody removed
    task.home.joinpath("model.pt").unlink()
    for number in (1, 2):  # the program knew its attempt's folder alone
        write_text(task.attempt(number).home / "model.pt", f"weights of {number}")
    assert export("folders")["sent"] == [run.name]
    assert (target / "model.pt").read_text() == "weights of 2"


@pytest.mark.parametrize("tool", ["tensorboard", "folders"])
def test_folders_of_others_are_left_alone(
    tool: str, layout: RunLayout, runs: list[ExportedRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is called like a run and holds other files is not replaced."""
    (tmp_path / runs[0].name).mkdir()
    (tmp_path / runs[0].name / "thesis.tex").touch()
    write_text(layout.task(runs[0].name).config, 'experiment: "lora_sweep"\n')

    assert main(["lora_sweep", "--root", str(layout.root), "--to", tool, "--out", str(tmp_path)]) == 2
    assert "name another folder with --out" in capsys.readouterr().err
    assert (tmp_path / runs[0].name / "thesis.tex").exists()


def test_a_missing_client_is_one_sentence(
    layout: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the pip line that brings it."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    assert main(["lora_sweep", "--root", str(layout.root), "--to", "parquet", "--out", str(tmp_path / "x")]) == 2
    assert (
        "needs pyarrow, which is not installed: python -m pip install 'hpc-batch[parquet]'" in capsys.readouterr().err
    )


def test_the_next_line_can_be_pasted_where_a_folder_has_spaces() -> None:
    """The path is one word of the printed command."""
    layout = RunLayout(Path("/runs"), "tiny")
    assert shlex.split(_next("tensorboard", Path("/my runs/x"), layout)) == ["tensorboard", "--logdir", "/my runs/x"]
    assert shlex.split(_next("wandb", Path("/my runs"), layout)) == ["wandb", "sync", "/my runs/wandb/offline-run-*"]
    assert _next("wandb", layout.home / "export/wandb", layout) == "python -m hpc.sync tiny"
