"""The one protocol of intent and receipt: a job is submitted once, whatever answers and whoever dies in between."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters.slurm_client import SlurmError
from hpc.core.errors import InputError, TemporaryError
from hpc.core.layout import SubmissionLayout
from hpc.submissions.on_disk import asked_of, received_job
from hpc.submissions.receipts import asked_now, submit_once


class Died(BaseException):
    """The submitter was killed."""


class OneSlurm:
    """A Slurm that takes jobs, and does to each call what the test says: ``(took, answer)``."""

    def __init__(self, fates: list[tuple[bool, str]]) -> None:
        self.fates, self.jobs = iter(fates), list[str]()

    def send(self, _: object) -> str:
        took, answer = next(self.fates, (True, "id"))
        if took and answer != "refused":
            self.jobs.append(str(100 + len(self.jobs)))
        if answer == "id" and took:
            return self.jobs[-1]
        raise {"refused": SlurmError, "dies": Died}.get(answer, TemporaryError)(answer)

    def find(self, _: object) -> str | None:
        return self.jobs[-1] if self.jobs else None


@pytest.fixture
def files(tmp_path: Path) -> SubmissionLayout:
    (tmp_path / "001").mkdir()
    return SubmissionLayout(tmp_path / "001")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["id", "refused", "unclear", "dies"])), max_size=6))
def test_whatever_happens_one_job_comes_of_it(tmp_path_factory, fates):
    """Over any history of refusals, unclear answers and deaths, repeated to a good end: one job, in the receipt."""
    home = tmp_path_factory.mktemp("runs") / "001"
    home.mkdir()
    files, slurm = SubmissionLayout(home), OneSlurm(fates)
    for _ in range(len(fates) + 1):
        try:
            job = submit_once(files, asked_now(dependency="afterany:7"), slurm.send, slurm.find)
            break
        except SlurmError:
            assert not files.intent.exists()
        except (TemporaryError, Died):
            assert files.intent.exists()
    assert slurm.jobs == [job] == [received_job(files)]
    assert submit_once(files, asked_now(), slurm.send) == job
    assert asked_of(files).dependency == "afterany:7"


def test_what_was_begun_keeps_what_it_said(files):
    """Who goes on from an intent keeps its terms, and does not bring its own."""
    with pytest.raises(Died):
        submit_once(files, asked_now(waits_for=3), OneSlurm([(False, "dies")]).send)
    submit_once(files, asked_now(dependency="afterok:9"), OneSlurm([]).send)
    receipt = json.loads(files.receipt.read_text())
    assert (receipt["waits_for"], receipt["adopted"], receipt["dependency"]) == (3, False, "")


DAMAGED = [
    "", "{", "[]", "null", '"4711"', '{"job": "4711"}', '{"time": 1}', '{"time": "1", "job": "4711"}',
    '{"time": 1, "job": "../../x"}', '{"time": 1, "job": "--help"}', '{"time": 1, "job": "12_3"}',
    '{"time": 1, "job": 12}',
    '{"time": 1, "job": "12:13"}', '{"time": 1, "job": ["12"]}', '{"time": 1, "job": "１２"}',
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_receipt_names_no_job_and_is_no_leave_to_submit_again(files, content):
    """No path, option or list becomes a job; it still counts as asked for, and the error's remedy works."""
    with pytest.raises(TemporaryError):
        submit_once(files, asked_now(), OneSlurm([(True, "unclear")]).send)
    files.receipt.write_text(content)
    assert received_job(files) == ""
    slurm = OneSlurm([])
    with pytest.raises(InputError, match=re.escape(str(files.receipt))):
        submit_once(files, asked_now(), slurm.send, slurm.find)
    assert slurm.jobs == []
    files.receipt.unlink()
    slurm.jobs.append("4711")
    assert submit_once(files, asked_now(), slurm.send, slurm.find) == "4711"


def test_a_receipt_of_the_version_before_is_read(files):
    """Receipts of older plans hold job, time, host, pid and adopted; those of relays fewer."""
    files.receipt.write_text('{"host": "h", "pid": 1, "time": 5.5, "cluster": "lab", "job": "7", "adopted": false}')
    assert received_job(files) == "7"
    files.receipt.write_text('{"job": "local", "time": 5}')
    assert received_job(files) == "local"
