"""An experiment as tables for notebooks: the numbers are those of the report."""

from pathlib import Path

import numpy as np
import pytest

from analysis.loaded import load
from analysis.report import read_results
from hpc.core.errors import InputError
from tests.analysis.made_experiments import Experiment, make_realistic


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with one realistic experiment."""
    home = tmp_path_factory.mktemp("home") / "runs"
    make_realistic(home).write()
    return home


def test_runs_are_one_row_a_task(root: Path) -> None:
    """Parameters, seed, outcome, class, metrics and hours of every task, in the manifest's order, none left out."""
    e = load("lora_sweep", root=root)
    runs = e.runs

    assert len(runs) == len(e.frame.tasks) == 18
    assert {"run", "lora_rank", "learning_rate", "seed", "outcome", "class", "final_error", "hours"} <= set(runs)
    assert list(runs["run"]) == [task["run_name"] for task in e.frame.manifest["tasks"]]
    assert (runs["class"] != "").equals(runs["outcome"] == "failed")
    assert runs["final_error"].notna().equals(runs["outcome"] == "finished")
    assert runs["lora_rank"].dtype.kind == "i"
    assert runs["hours"].sum() == pytest.approx(e.frame.attempts["elapsed_s"].sum() / 3600)


def test_curves_are_one_row_a_point(root: Path) -> None:
    """Each point with its run, parameters and seed; the steps of a run grow."""
    curves = load("lora_sweep", root=root).curves("train/loss")

    assert {"run", "lora_rank", "seed", "step", "value"} <= set(curves)
    assert len(curves) > 0
    assert all((np.diff(steps) > 0).all() for _, steps in curves.groupby("run")["step"])
    with pytest.raises(InputError, match="no curve of 'train/los'; did you mean 'train/loss'"):
        load("lora_sweep", root=root).curves("train/los")


def test_comparisons_are_those_of_the_report(root: Path) -> None:
    """One row a configuration, with the very numbers that the report prints; the baseline has no difference."""
    e = load("lora_sweep", root=root)
    table = e.compare()
    results = read_results(e.frame).results

    assert list(table["configuration"]) == [one.label for one in results]
    for row, one in zip(table.to_dict("records"), results, strict=True):
        assert row["mean"] == one.estimate.mean
        if one.comparison is None:
            assert row["verdict"] == ""
        else:
            assert row["difference"] == one.comparison.difference
            told = None if np.isnan(row["p_adjusted"]) else row["p_adjusted"]
            assert told == one.comparison.p_adjusted
    with pytest.raises(InputError, match="is not a metric of lora_sweep"):
        e.compare("nonsense")


def test_looking_is_recorded_as_the_report_records_it(tmp_path: Path) -> None:
    """A comparison shows results: a question that is changed afterwards is no longer sealed before them."""
    layout = make_realistic(tmp_path / "runs").write()
    e = load("lora_sweep", root=tmp_path / "runs")
    assert not layout.looks.exists()
    e.compare()
    e.compare()

    assert len(layout.looks.read_text().splitlines()) == 1


def test_names_that_collide_are_kept_apart(tmp_path: Path) -> None:
    """A parameter called like a column of ours, and a metric called like a parameter, are both there."""
    experiment = make_realistic(tmp_path / "runs")
    e = load(experiment.write().experiment, root=tmp_path / "runs")
    frame = e.frame
    frame.parameters.insert(0, "hours", 7)
    frame.values.insert(0, "lora_rank", 0.5)

    assert {"parameter.hours", "hours", "lora_rank", "metric.lora_rank"} <= set(e.runs)
    assert (e.runs["parameter.hours"] == 7).all()
    assert "parameter.hours" in e.curves("train/loss")


def test_without_a_name_the_newest_is_loaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From $HPC_ROOT; it says in a line what it is."""
    monkeypatch.setenv("HPC_ROOT", str(root))

    assert repr(load()).startswith("<Experiment lora_sweep: 13 finished")


def test_what_was_not_collected_says_so(realistic: Experiment) -> None:
    """The message names the command."""
    layout = realistic.write()
    layout.verdicts.unlink()

    with pytest.raises(InputError, match="has not been collected"):
        load("lora_sweep", root=layout.root)
