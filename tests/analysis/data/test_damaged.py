"""Damaged and odd content of ``collected/`` and of the ledgers: one sentence that names it, or a report."""

import copy
import csv
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import pytest

from analysis.data.collected import ReadAttempt, shape_problems
from analysis.data.frame import load_frame, load_series
from analysis.data.sealed import read_looks
from analysis.findings.findings import find_findings
from analysis.findings.registration import read_registration, record_look
from analysis.page.pages import build_document
from analysis.page.run_table import runs_csv
from analysis.report import main
from hpc.core.errors import EXIT_USAGE, InputError
from hpc.core.layout import RunLayout
from hpc.core.records.attempt_verdict import AttemptVerdict
from tests.analysis.made_experiments import Experiment, add_curve, make_finished, make_spec, make_task

ODD: tuple[Any, ...] = (None, [], {}, "x", -1, True, 0.5, 1.7e308, [[]], {"a": 1}, 10**400, "\ud800", "gone")
MUTATIONS = 150


def small(root: Path, values: tuple[float, ...] = (1.0, 1.1, 0.8, 0.9), **spec: Any) -> Experiment:
    """Two configurations with two seeds, a curve each."""
    tasks = [make_task({"lr": lr}, seed, f"LR{lr}_S{seed}") for lr in (1, 2) for seed in (1, 2)]
    experiment = Experiment(root, tasks, make_spec("small", **{"baseline": {"lr": 1}, **spec}))
    for row, (task, value) in enumerate(zip(tasks, values, strict=True)):
        experiment.judged.append(make_finished(experiment, task, {"final_error": value, "lr": 0.5, "seed": 7.0}))
        add_curve(experiment, row, value)
    return experiment


def say_everything(layout: RunLayout) -> str:
    """All the report states, without its pictures."""
    frame = load_frame(layout)
    findings = find_findings(frame)
    runs = runs_csv(frame, findings)
    build_document(frame, findings, (), (), runs)
    load_series(frame, "train/loss", range(len(frame.tasks)))
    return runs


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested JSON values."""
    yield before
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*before, key))


def with_changed(whole: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value in one place; ``gone`` takes it out."""
    changed = copy.deepcopy(whole)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    if value == "gone":
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return changed


def test_any_change_of_the_verdicts_is_refused_in_words_or_reported(realistic: Experiment) -> None:
    """Whatever stands in one place of verdicts.json, the report is made or the file named; nothing else is raised."""
    layout = realistic.write()
    whole = json.loads(layout.verdicts.read_text())
    everywhere = [place for place in places(whole) if place]
    chance = random.Random(8)  # noqa: S311 - the same mutations every time
    refused = []
    for _ in range(MUTATIONS):
        layout.verdicts.write_text(json.dumps(with_changed(whole, chance.choice(everywhere), chance.choice(ODD))))
        try:
            say_everything(layout)
        except InputError as error:
            refused.append(str(error))

    assert MUTATIONS / 4 < len(refused) < MUTATIONS
    assert all("collect" in text for text in refused)


def test_every_field_of_another_type_is_named_at_once(realistic: Experiment) -> None:
    """All damaged fields are listed with their task, and what is expected instead."""
    whole = {"collected": 1.0, "tasks": realistic.judged}
    damaged = with_changed(whole, ("tasks", 3, "attempts", 0, "peak_memory_mib"), "much")
    damaged = with_changed(damaged, ("tasks", 4, "summary", "final_error"), [])

    assert shape_problems(whole) == []
    assert shape_problems(damaged) == [
        f"task {realistic.asked[3]['run_name']}: attempts: peak_memory_mib: 'much' where a number is expected",
        f"task {realistic.asked[4]['run_name']}: summary: final_error is not a finite number or null",
    ]


def test_the_reader_checks_every_field_the_collector_writes() -> None:
    """A field renamed or added where attempts are written has to be known where they are read."""
    assert {field.name for field in fields(ReadAttempt)} == {field.name for field in fields(AttemptVerdict)}


def _without(name: str) -> Callable[[h5py.File], None]:
    def remove(file: h5py.File) -> None:
        del file[name]

    return remove


def _as_texts(file: h5py.File) -> None:
    del file["summary/final_error"]
    file["summary/final_error"] = ["a", "b", "c", "d"]


def _as_group(file: h5py.File) -> None:
    del file["tasks/task_id"]
    file.create_group("tasks/task_id")


@pytest.mark.parametrize(
    "damage", [_without("tasks"), _without("tasks/outcome"), _without("series/train.loss/step"), _as_texts, _as_group]
)
def test_a_results_file_of_another_kind_is_named(damage: Callable[[h5py.File], None], tmp_path: Path) -> None:
    """Parts of results.h5 that are gone or of another type end in the file's name and the command that rebuilds it."""
    layout = small(tmp_path).write()
    with h5py.File(layout.results, "r+") as file:
        damage(file)

    with pytest.raises(InputError, match=r"results\.h5.*hpc\.collect small"):
        say_everything(layout)


@pytest.mark.parametrize("kept", [0, 100, 700, 0.5, 0.9])
def test_a_cut_results_file_ends_the_command_with_usage(kept: float, tmp_path: Path, capsys: Any) -> None:
    """A file cut anywhere is one sentence and exit code 2."""
    layout = small(tmp_path).write()
    content = layout.results.read_bytes()
    layout.results.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])

    assert main(["small", "--root", str(tmp_path)]) == EXIT_USAGE
    assert "python -m hpc.collect small" in capsys.readouterr().err


def test_a_ledger_of_looks_keeps_what_can_be_read(tmp_path: Path) -> None:
    """Lines that are no looks, or no text at all, cost themselves and nothing else."""
    frame = load_frame(small(tmp_path).write())
    record_look(frame)
    bad = [b"\xff\xfe\x00", b"[]", b"{", b'{"time": "x", "kind": 1}', b"[" * 5000]
    bad += [b'{"time": 1e300, "kind": "report", "collected": 1, "ended": 1, "planned": 1}']
    frame.layout.looks.write_bytes(b"\n".join([*bad, frame.layout.looks.read_bytes()]))

    assert [one.kind for one in read_looks(frame.layout)] == ["report"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"attempt": [], "final_error": {}}', b"null"])
def test_a_damaged_folder_is_not_checked_and_stops_nothing(content: bytes, tmp_path: Path) -> None:
    """What a run left that cannot be read is counted as not checked, or named; the other runs are reported."""
    layout = small(tmp_path).write()
    folder = layout.task("LR1_S1")
    folder.attempt(1).home.mkdir(parents=True)
    folder.attempt(1).task_json.write_bytes(content)
    folder.metrics_json.write_bytes(content)
    found = read_registration(load_frame(layout))

    assert found.unchecked + sum(one.kind == "contradicted" for one in found.deviations) >= 4


@pytest.mark.parametrize(("value", "missing"), [(1.7e308, True), (-1e200, True), (5e-324, False)])
def test_values_that_cannot_be_computed_with_are_missing_and_said(value: float, missing: bool, tmp_path: Path) -> None:
    """A final value whose square no number holds counts as missing; one that vanishes is 0; the page is made."""
    layout = small(tmp_path, (value, value, 1.0, 1.1)).write()

    assert main(["small", "--root", str(tmp_path), "--format", "html,md"]) == 0
    page = layout.report.joinpath("report.md").read_text(encoding="utf-8")
    assert ("2 finished runs gave no usable value of the primary metric" in page) is missing


def test_a_metric_named_like_a_parameter_stands_beside_it(tmp_path: Path) -> None:
    """The logged `lr` and `seed` overwrite neither the parameter's column nor the seed's."""
    rows = list(csv.DictReader(say_everything(small(tmp_path).write()).splitlines()))

    assert [(row["parameter.lr"], row["metric.lr"], row["seed"], row["metric.seed"]) for row in rows] == [
        ("1", "0.5", "1", "7.0"), ("1", "0.5", "2", "7.0"), ("2", "0.5", "1", "7.0"), ("2", "0.5", "2", "7.0"),
    ]  # fmt: skip
