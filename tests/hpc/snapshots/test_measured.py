"""What an attempt shows of micro-batches and of speed, read from its records and metrics."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpc.adapters.learned_file import adjustments
from hpc.adapters.metrics_read import Series
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord
from hpc.snapshots.evidence import Results
from hpc.snapshots.measured import declared_steps, observations_of, throughput
from tests.made_records import task_record

F = FailureClass
RECORD = task_record(shape="s", micro_batch=64, attempt=2)


def results(*steps: int, seconds: float = 0.5, since: float = 1000.0) -> Results:
    step = np.array(steps, dtype=np.int64)
    series = Series(step, np.ones(len(steps)), since + step * seconds) if steps else None
    return Results({"loss": series} if series else {}, {}, None)


def observed(
    attempt: Path, category: FailureClass | None, found: Results, record: TaskRecord | None = RECORD
) -> list[tuple]:
    verdict = Verdict(category, "rule") if category else None
    seen = list(observations_of(AttemptLayout(attempt), record, verdict, found, {"rank": 8}))
    assert {each.where for each in seen} <= {"X1/attempt-2"}
    return [(each.micro, each.fits) for each in seen]


@pytest.mark.parametrize(
    ("category", "steps", "expected"),
    [
        (F.OOM_GPU, (), [(64, False)]),
        (F.OOM_GPU, (1, 500), [(64, False)]),  # it fitted for a while, and then it did not
        (F.SUCCESS, (), [(64, True)]),
        (F.NOT_CONVERGED, (), [(64, True)]),
        (F.CODE_BUG, (), []),
        (F.TIMEOUT, (400, 410), []),
        (F.TIMEOUT, (400, 420), [(64, True)]),
        (None, (0, 20), [(64, True)]),
        (None, (), []),
    ],
)
def test_what_fits_and_what_fails(
    tmp_path: Path, category: FailureClass | None, steps: tuple[int, ...], expected: list[tuple[int, bool]]
) -> None:
    """An out-of-memory fails; an end of the work or twenty steps fit; everything else shows nothing."""
    assert observed(tmp_path, category, results(*steps)) == expected


def test_a_device_that_others_share_shows_only_what_fits(tmp_path: Path) -> None:
    """Whose memory filled it nobody knows; what went through beside others fits by itself, too."""
    shared = task_record(shape="s", micro_batch=64, attempt=2, packed=4)
    assert observed(tmp_path, F.OOM_GPU, results(1, 500), shared) == []
    assert observed(tmp_path, F.SUCCESS, results(), shared) == [(64, True)]


def test_an_attempt_without_a_batch_shows_nothing(tmp_path: Path) -> None:
    """No batch declared, or never claimed: nothing to learn."""
    assert observed(tmp_path, F.SUCCESS, results(1, 99), replace(RECORD, shape="")) == []
    assert observed(tmp_path, F.SUCCESS, results(1, 99), None) == []


def test_changes_the_program_made_itself_are_lessons_too(tmp_path: Path) -> None:
    """Halved in the process: the old one fails, the new one fits after enough steps with it."""
    change = {"step": 100, "old_micro_batch": 64, "new_micro_batch": 32, "old_accumulation": 1, "new_accumulation": 2}
    (tmp_path / "adjustments.json").write_text(json.dumps({"adjustments": [change]}))
    assert observed(tmp_path, F.TIMEOUT, results(1, 110)) == [(64, False)]
    assert observed(tmp_path, F.TIMEOUT, results(1, 120)) == [(64, False), (32, True)]
    assert observed(tmp_path, F.OOM_GPU, results(1, 120)) == [(64, False), (32, False)]


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "3", '{"adjustments": 3}', '{"adjustments": [3]}', '{"adjustments": [{}]}']
)
def test_a_damaged_list_of_changes_is_none(tmp_path: Path, text: str) -> None:
    """The program's own file is believed only where it says what it has to."""
    (tmp_path / "adjustments.json").write_text(text)
    assert adjustments(AttemptLayout(tmp_path)) == []


def test_throughput_and_start_up() -> None:
    """Steps per second over the span of the metric with most steps; start-up until the first value."""
    assert throughput(results(10, 30, 50, since=1000.0), 990.0) == (2.0, 15.0)
    assert throughput(results(10), 990.0) == (None, 15.0)
    assert throughput(results(10, 50, seconds=0.0), None) == (None, 0.0)
    assert throughput(results(), 990.0) == (None, 0.0)


def test_declared_steps_are_found_by_their_usual_names() -> None:
    """A positive whole number under such a name; zero means that epochs decide."""
    assert declared_steps({"max_steps": 500}) == 500
    assert declared_steps({"max_steps": 0, "num_steps": 7}) == 7
    assert declared_steps({"max_steps": True, "epochs": 3}) is None
