"""The same question always gets the same name, another question another."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.identity import canonical_json, content_hash, task_id

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@given(value=JSON)
def test_canonical_json_reads_back_as_the_value(value):
    """Nothing is lost: the canonical text is JSON of the same value."""
    assert json.loads(canonical_json(value)) == value


@given(value=st.dictionaries(st.text(), SCALARS, min_size=2), data=st.data())
def test_the_order_of_keys_does_not_matter(value, data):
    """Mappings that are equal get one name, however they were written."""
    shuffled = dict(data.draw(st.permutations(list(value.items()))))

    assert content_hash(shuffled) == content_hash(value)


@given(left=JSON, right=JSON)
def test_different_values_get_different_names(left, right):
    """The hash tells values apart exactly as their JSON does, types included."""
    assert (content_hash(left) == content_hash(right)) is (canonical_json(left) == canonical_json(right))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, -float("inf")]])
def test_what_json_cannot_say_has_no_name(value):
    """NaN and infinity are refused instead of becoming invalid JSON."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_a_task_id_never_changes():
    """The id of a known task is pinned: another id would orphan every result there is."""
    assert task_id({"module": "train.control", "args": {}}, {"lora_rank": 8, "seed": 42}) == "d1fb0ebc9829"


def test_a_task_id_is_the_same_in_every_process():
    """Hash randomisation and dictionary order of an interpreter have no influence."""
    code = (
        "from hpc.core.identity import task_id; print(task_id({'module': 'm', 'args': {'b': 1, 'a': 2}}, {'x': 'ä'}))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert printed == {task_id({"args": {"a": 2, "b": 1}, "module": "m"}, {"x": "ä"}) + "\n"}
