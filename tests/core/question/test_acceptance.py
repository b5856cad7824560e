"""When a finished run is accepted: never by a value that is missing, or is no number."""

import math
from typing import Any

import pytest

from hpc.core.experiment.spec import Check
from hpc.core.question.acceptance import Accepted, by_command, by_expression
from hpc.core.records.check import CheckRecord


@pytest.mark.parametrize(
    ("text", "metrics", "state", "said"),
    [
        ("loss <= 0.1", {"loss": 0.1}, Accepted.PASSED, "loss = 0.1"),
        ("loss <= 0.1", {"loss": 0.2}, Accepted.FAILED, "loss = 0.2"),
        ("loss <= lr * seed", {"loss": 0.5}, Accepted.PASSED, "loss = 0.5, lr = 0.1, seed = 7"),
        ("loss <= 1 and name == 'a b'", {"loss": 0.5}, Accepted.PASSED, "loss = 0.5, name = a b"),
        ("loss <= 0.1", {}, Accepted.UNCHECKED, "loss has no value"),
        ("loss <= 0.1 or acc > 0.5", {"acc": 0.9}, Accepted.UNCHECKED, "loss has no value"),
        ("loss <= 0.1", {"loss": None}, Accepted.FAILED, "loss = nan: not a finite number"),
        ("not (loss > 0.1)", {"loss": math.nan}, Accepted.FAILED, "loss = nan: not a finite number"),
        ("loss > 0.1", {"loss": math.inf}, Accepted.FAILED, "loss = inf: not a finite number"),
        ("(loss < 1) == true", {"loss": 0.5}, Accepted.PASSED, "loss = 0.5"),
        ("loss < name", {"loss": 0.5}, Accepted.UNCHECKED, "loss = 0.5, name = a b: '<' not supported"),
        ("1 / loss < 5", {"loss": 0.0}, Accepted.UNCHECKED, "loss = 0: "),
    ],
)
def test_a_run_is_judged_by_its_final_values(text: str, metrics: dict[str, Any], state: Accepted, said: str) -> None:
    """What is missing or cannot be computed leaves it unchecked; what is no finite number fails it."""
    answer = by_expression(Check(expression=text), metrics, {"lr": 0.1, "seed": 7, "name": "a b"})
    assert answer.state is state
    assert answer.said.startswith(said)


@pytest.mark.parametrize(
    ("ended", "state", "said"),
    [
        ({"exit_code": 0}, Accepted.PASSED, "exit code 0"),
        ({"exit_code": 3}, Accepted.FAILED, "exit code 3"),
        ({"exit_code": 255}, Accepted.FAILED, "exit code 255"),
        ({"exit_code": 127}, Accepted.UNCHECKED, "it could not be started (exit code 127)"),
        ({"exit_code": 137}, Accepted.UNCHECKED, "signal 9 ended it"),
        ({"signal": 15}, Accepted.UNCHECKED, "signal 15 ended it"),
        ({"problem": "it took more than 5 s"}, Accepted.UNCHECKED, "it took more than 5 s"),
        ({"exit_code": 0, "command": "older"}, Accepted.UNCHECKED, "another check ran: older"),
    ],
)
def test_a_run_is_judged_by_what_its_check_ended_with(ended: dict[str, Any], state: Accepted, said: str) -> None:
    """Only exit code 0 of the very check that is declared accepts it; a check that could not judge refuses nothing."""
    ran = CheckRecord(**{"command": "verify", "argv": ("verify",), "started": 1.0, "ended": 2.0, **ended})
    answer = by_command(Check(command="verify"), ran)
    assert (answer.state, answer.said) == (state, said)


def test_without_a_record_nothing_is_accepted() -> None:
    """The wrapper was killed over it, or the check came later than the run."""
    assert by_command(Check(command="verify"), None).state is Accepted.UNCHECKED
