"""Loading: every task exactly once, failed runs without numbers, contradictions refused by name."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from analysis.data.frame import configuration_labels, load_frame, load_series, newer_than_collected
from hpc.core.errors import InputError
from tests.analysis.made_experiments import COLLECTED, Experiment, make_finished, make_spec, make_task


def test_every_task_is_there_once_in_manifest_order(realistic: Experiment) -> None:
    """18 tasks asked, 18 rows, in the manifest's order."""
    frame = load_frame(realistic.write())

    assert frame.tasks["task_id"].tolist() == [task["task_id"] for task in realistic.asked]
    assert len(frame.parameters) == len(frame.values) == 18


def test_order_of_verdicts_does_not_matter(realistic: Experiment) -> None:
    """verdicts.json may list tasks in any order; rows follow the manifest."""
    realistic.row_order = list(range(17, -1, -1))
    realistic.judged.reverse()

    frame = load_frame(realistic.write())

    assert frame.tasks["task_id"].tolist() == [task["task_id"] for task in realistic.asked]


def test_failed_runs_are_nan_with_a_class(realistic: Experiment) -> None:
    """A run that failed has no number even when it reported one before it failed."""
    assert realistic.judged[5]["summary"]["final_error"] > 0
    frame = load_frame(realistic.write())
    unfinished = frame.tasks["outcome"] != "finished"

    assert frame.values[unfinished].isna().all(axis=None)
    assert (frame.tasks.loc[frame.tasks["outcome"] == "failed", "failure_class"] != "").all()
    assert np.isfinite(frame.values.loc[~unfinished, "final_error"]).all()


def test_infinite_results_are_missing(realistic: Experiment) -> None:
    """A finished run whose metric is infinite counts as missing, not as a number."""
    realistic.judged[6]["summary"]["final_error"] = math.inf
    layout = realistic.layout
    realistic.layout.collected.mkdir(parents=True)
    realistic._write_results(realistic.manifest()["sha256"])
    realistic.judged[6]["summary"]["final_error"] = None
    layout.verdicts.write_text(
        json.dumps(
            {
                "schema": 1,
                "manifest_sha": realistic.manifest()["sha256"],
                "collected": COLLECTED,
                "tasks": realistic.judged,
            }
        )
    )
    layout.manifest.write_text(json.dumps(realistic.manifest()))

    assert math.isnan(load_frame(layout).values.loc[6, "final_error"])


def _drop(experiment: Experiment) -> None:
    del experiment.judged[3]


def _double(experiment: Experiment) -> None:
    experiment.judged.append(experiment.judged[3])


def _stranger(experiment: Experiment) -> None:
    experiment.judged[3] = {**experiment.judged[3], "task_id": "0" * 12}


def _other_parameters(experiment: Experiment) -> None:
    experiment.judged[3] = {**experiment.judged[3], "parameters": {"lora_rank": 64, "learning_rate": 1.0}}


def _invented_outcome(experiment: Experiment) -> None:
    experiment.judged[3] = {**experiment.judged[3], "outcome": "probably fine"}


def _failed_without_class(experiment: Experiment) -> None:
    experiment.judged[3] = {**experiment.judged[3], "outcome": "failed", "failure_class": None}


@pytest.mark.parametrize(
    ("mutate", "words"),
    [
        (_drop, "is missing"),
        (_double, "appears 2 times"),
        (_stranger, "is not in the manifest"),
        (_other_parameters, "another name, seed or parameters"),
        (_invented_outcome, "probably fine"),
        (_failed_without_class, "failure class None"),
    ],
)
def test_results_that_do_not_add_up_are_refused(
    realistic: Experiment, mutate: Callable[[Experiment], None], words: str
) -> None:
    """A dropped, doubled, foreign or impossible task is an error that names it, never a shorter table."""
    mutate(realistic)

    with pytest.raises(InputError, match=words) as caught:
        load_frame(realistic.write())
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("row_order", [[0, 1, 2], [1, 0, *range(2, 18)], [0, 0, *range(2, 18)]])
def test_results_file_must_hold_the_same_tasks(realistic: Experiment, row_order: list[int]) -> None:
    """results.h5 with fewer, reordered or doubled rows is refused: its numbers would land on the wrong runs."""
    realistic.row_order = row_order

    with pytest.raises(InputError, match="task"):
        load_frame(realistic.write())


def test_outcomes_must_agree_between_the_two_files(realistic: Experiment) -> None:
    """A run that is finished in one file and failed in the other is refused."""
    layout = realistic.write()
    with h5py.File(layout.results, "r+") as file:
        file["tasks/outcome"][6] = "failed"

    with pytest.raises(InputError, match="is failed here and finished in verdicts"):
        load_frame(layout)


@pytest.mark.parametrize("name", ["verdicts", "results"])
def test_missing_collection_names_the_command(realistic: Experiment, name: str) -> None:
    """Without collected results the message says which command makes them."""
    layout = realistic.write()
    getattr(layout, name).unlink()

    with pytest.raises(InputError, match=r"python -m hpc\.collect lora_sweep"):
        load_frame(layout)


def test_collection_of_an_older_plan_names_the_command(realistic: Experiment) -> None:
    """Planned again since collected: the results are of another question."""
    layout = realistic.write()
    realistic.spec["brief"] = {"goal": "another"}
    layout.manifest.write_text(json.dumps(realistic.manifest()))

    with pytest.raises(InputError, match=r"planned again.*python -m hpc\.collect lora_sweep"):
        load_frame(layout)


def test_two_collections_are_not_mixed(realistic: Experiment) -> None:
    """verdicts.json and results.h5 of different moments are refused."""
    layout = realistic.write()
    with h5py.File(layout.results, "r+") as file:
        file.attrs["collected"] = COLLECTED + 1

    with pytest.raises(InputError, match="same time"):
        load_frame(layout)


def test_attempts_that_ended_since_are_counted(realistic: Experiment) -> None:
    """A running task whose exit record is newer than the collection is noticed."""
    layout = realistic.write()
    frame = load_frame(layout)
    record = layout.task(realistic.asked[11]["run_name"]).attempt(1).exit_json
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    os.utime(record, (COLLECTED - 5, COLLECTED - 5))
    assert newer_than_collected(frame) == 0

    os.utime(record, (COLLECTED + 5, COLLECTED + 5))
    assert newer_than_collected(frame) == 1


def test_resumed_run_is_one_line(realistic: Experiment) -> None:
    """Where attempt 2 resumed at step 70, attempt 1's steps 70 and 80 are replaced and no step comes twice."""
    frame = load_frame(realistic.write())
    (curve,) = load_series(frame, "train/loss", [3])
    second = [point for point in realistic.series["train/loss"] if point[0] == 3 and point[1] == 2]

    assert curve.step.tolist() == list(range(10, 121, 10))
    assert curve.value[6:].tolist() == [value for _, _, _, value, _ in sorted(second)]


def test_restarted_run_forgets_the_first_attempt(realistic: Experiment) -> None:
    """Attempt 2 began at the first step again: nothing of attempt 1 stays."""
    frame = load_frame(realistic.write())
    (curve,) = load_series(frame, "train/loss", [13])
    second = sorted(point for point in realistic.series["train/loss"] if point[0] == 13 and point[1] == 2)

    assert curve.value.tolist() == [value for _, _, _, value, _ in second]


def test_unknown_series_is_empty(realistic: Experiment) -> None:
    """A metric without a curve gives no curve."""
    assert load_series(load_frame(realistic.write()), "no_such", [0]) == ()


def test_labels_tell_numbers_from_texts() -> None:
    """8 and '8' are two configurations and get two labels."""
    tasks = [make_task({"rank": value}, 1, f"r{place}") for place, value in enumerate((8, "8"))]

    assert len(set(configuration_labels(tasks, make_spec()))) == 2


def test_cases_are_named_by_their_id() -> None:
    """A case is its id; a grid beside it adds its own parameters."""
    spec = make_spec(sweep={"cases": [{"id": "ones"}, {"id": "std"}], "grid": {"lr": [1, 2]}})
    tasks = [
        make_task({"conv": case == "ones", "lr": lr}, 1, f"{case}{lr}", case)
        for case in ("ones", "std")
        for lr in (1, 2)
    ]

    assert configuration_labels(tasks, spec) == ["ones, lr=1", "ones, lr=2", "std, lr=1", "std, lr=2"]


def test_single_configuration_has_a_name(tmp_path: Path) -> None:
    """An experiment that varies nothing but the seed has one with a label, what no stored baseline has."""
    tasks: list[dict[str, Any]] = [make_task({"depth": 2}, seed, f"S{seed}") for seed in (1, 2, 3)]
    experiment = Experiment(tmp_path, tasks, make_spec("variance", baseline=None))
    experiment.judged = [make_finished(experiment, task, {"final_error": 1.0 * task["seed"]}) for task in tasks]

    assert load_frame(experiment.write()).configurations == ("the only configuration",)
    experiment.spec["analysis"] = {"baseline_from": "before"}
    assert load_frame(experiment.write()).configurations == ("depth=2",)
