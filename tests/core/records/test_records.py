"""Records: what is written is read back, what is wrong is named, field by field and all at once."""

import dataclasses
import json
from typing import Any

import pytest

from hpc.core.records.attempt_verdict import AttemptVerdict
from hpc.core.records.hold import Accepted, Hold, Relaunched
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.probe import ProbeEnd, ProbeTask, Result, Try
from hpc.core.records.record import Record, RecordError
from hpc.core.records.submitted import Asked
from hpc.core.retry.learned import Learned, LearnedShape, Sighting
from hpc.core.slurm.executions import CancelledElements, JobRow
from hpc.core.slurm.states import SlurmState
from tests.made_records import exit_record, submission_index, task_record

SHAPE = LearnedShape({"rank": 8}, Sighting(64, "X1/attempt-1"), None)
RECORDS: list[Record] = [
    task_record(changes=("memory 1 → 2",), environment={"A": "b"}),
    exit_record(signals_received=("USR1",)),
    submission_index(),
    Asked(12.5, job="7", is_canary=True),
    ProbeTask("X1", "7_1", "n1", "boot/7/1"),
    ProbeEnd(0, 160.0, "micro-batch 8 fits", "ab", (Try(1, 8, 2, Result.FITS, 60.0, 8),)),
    Hold(1.0, "the disk is full", "python -m hpc.submit e --release", jobs=("7",)),
    Accepted(("storage/full",), 2.0),
    Relaunched({"7_1": 2}),
    Learned({"ab": SHAPE}),
    CancelledElements({"X1/attempt-2": JobRow("7_1", "9", SlurmState.CANCELLED, steps={"batch": SlurmState.FAILED})}),
    AttemptVerdict(1, 1, "7_1", "tasks/X1/attempt-1", verdict={"category": "success"}),
]
NAMES = [type(record).__name__ for record in RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_what_is_written_is_read_back(record: Record) -> None:
    """Through JSON and back it is the same record; keys of a later version are passed over."""
    content = json.loads(json.dumps(record.to_json()))

    assert type(record).from_json({**content, "of_a_later_version": [1]}) == record


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
@pytest.mark.parametrize("value", [None, [], {}, "text", -1, 1.5, True, 2**70, float("nan")], ids=repr)
def test_a_field_of_another_type_is_named(record: Record, value: Any) -> None:
    """Each field in turn: the value is one the field may hold, or the message begins with the field's name."""
    content = json.loads(json.dumps(record.to_json()))
    for field in dataclasses.fields(record):
        problems: tuple[str, ...] = ()
        try:
            read = type(record).from_json({**content, field.name: value})
        except RecordError as error:
            problems, read = error.problems, record
        assert all(problem.startswith(f"{field.name}: ") for problem in problems)
        assert type(record).from_json(read.to_json()) == read


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_missing_fields_are_named_all_at_once(record: Record) -> None:
    """An empty object lacks every required field; those with a default may be absent, as earlier versions left them."""
    absent = dataclasses.MISSING
    required = [each.name for each in dataclasses.fields(record) if each.default is each.default_factory is absent]
    if not required:
        assert type(record).from_json({}) == type(record)()
        return
    with pytest.raises(RecordError) as caught:
        type(record).from_json({})
    assert caught.value.problems == tuple(f"{name}: missing" for name in required)


@pytest.mark.parametrize("content", [None, [], 0, "text", True])
@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_what_is_no_object_is_said_to_be_none(record: Record, content: object) -> None:
    """A list, a number or a text is no record."""
    with pytest.raises(RecordError, match="where an object is expected"):
        type(record).from_json(content)


@pytest.mark.parametrize(("key", "value"), [("kind", "task"), ("kind", 3), ("schema", 2), ("schema", None)])
def test_another_kind_of_file_or_a_later_schema_is_refused(key: str, value: object) -> None:
    """A file that says it is something else is not read as what it is not."""
    with pytest.raises(RecordError, match=f"{key}: "):
        SubmissionIndex.from_json({**submission_index().to_json(), key: value})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run_name": "../../x"}, "run_name: '../../x' holds '/'"),
        ({"attempt": 0}, "attempt: 0; they count from 1"),
    ],
)
def test_what_would_lead_out_of_the_run_folder_is_refused(changes: dict[str, Any], said: str) -> None:
    """A name in a record becomes a path: only names of ours are."""
    with pytest.raises(RecordError, match=said):
        type(task_record()).from_json({**task_record().to_json(), **changes})
    entry = {**submission_index().entries[0].to_json(), **changes}
    with pytest.raises(RecordError, match=f"entries: {said}"):
        SubmissionIndex.from_json({**submission_index().to_json(), "entries": [entry]})


def test_an_end_without_code_and_signal_is_none() -> None:
    """Nobody ended: neither finished nor killed."""
    with pytest.raises(RecordError, match="and no signal either"):
        type(exit_record()).from_json({**exit_record().to_json(), "exit_code": None})
