"""The chain of results: what was appended is read back, and whatever was done to it shows."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpc.core.question.ledger import link, read_chain


def made(values: list[float | None]) -> list[dict[str, Any]]:
    lines = [
        {"time": 1.0 + place, "task_id": f"t{place}", "run_name": f"R{place}", "attempt": 1, "started": None,
         "outcome": "finished", "failure_class": "", "values": {"loss": value}, "metrics_sha256": "", "printed": value}
        for place, value in enumerate(values)
    ]  # fmt: skip
    return [json.loads(json.dumps(line)) for line in link(lines, "")]


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=6))
def test_what_was_appended_is_whole(values: list[float | None]) -> None:
    """Whatever finite numbers, also larger than whole numbers of 64 bits: no line is doubted."""
    ledger = read_chain(list(enumerate(made(values), start=1)))

    assert (len(ledger.lines), ledger.problems) == (len(values), ())
    assert [line.values["loss"] for line in ledger.lines] == values


@given(st.permutations(range(5)))
def test_any_other_order_shows(order: list[int]) -> None:
    """Only the order in which lines were written has no problem."""
    lines = made([0.5, 0.25, None, 3.0, 1e300])
    ledger = read_chain(list(enumerate((lines[place] for place in order), start=1)))

    assert bool(ledger.problems) == (order != sorted(order))


@given(st.integers(0, 4), st.sampled_from(["values", "run_name", "time", "outcome", "previous"]))
def test_any_edit_shows_also_where_the_line_was_hashed_anew(place: int, name: str) -> None:
    """An edited line does not match its hash; hashed anew, the next one does not follow it."""
    lines = made([0.5, 0.25, None, 3.0, 1.0])
    other = {"values": {"loss": 9.0}, "run_name": "X", "time": 9.5, "outcome": "failed", "previous": "0" * 64}
    lines[place][name] = other[name]
    assert "does not match its hash" in read_chain(list(enumerate(lines, start=1))).problems[0]

    body = {key: value for key, value in lines[place].items() if key not in ("sha256", "previous")}
    (lines[place],) = link([body], lines[place]["previous"])
    problems = read_chain(list(enumerate(lines, start=1))).problems
    assert bool(problems) == (place < 4 or name == "previous")
