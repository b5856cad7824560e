"""A block of somebody's YAML is changed, and nothing else: laws over made files, and the shapes people write."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adapters.yaml_file import load_yaml, parse_yaml
from hpc.core.errors import InputError
from hpc.core.question.phase_zero import KEYS
from hpc.experiments.rewriting import comments_of, with_block

EXPERIMENTS = Path(__file__).parents[3] / "manifests/experiments"

prose = st.text(
    st.sampled_from("abc deZ 09 é σ≤%#:'\"{}[]&*!|>-?,@`\\$=()/ "), min_size=1, max_size=160
).map(str.strip).filter(bool)  # fmt: skip
answers = st.dictionaries(st.sampled_from(KEYS), prose, min_size=1, max_size=6)

WRITTEN = {
    "none": "# top\nname: x   # n\ntype: comparison  # t\n\n# program\nprogram: {command: go}\n",
    "empty": "name: x\nbrief:   # b\n# below\nprogram: {command: go}  # end",
    "braces": "name: x\nbrief: {}  # b\nprogram: {command: go}\n",
    "flow": "name: x\nbrief: {goal: old, stage: exploratory}  # b\nprogram: {command: go}\n",
    "flow_lines": "name: x\nbrief: {goal: old,  # g\n  stage: exploratory,   # s\n  }  # b\nprogram: {command: go}\n",
    "block": (
        "name: x\nbrief:   # b\n  # first\n  goal: old   # g\n  stage: exploratory # s\n\n# program\nprogram: {}\n"
    ),
    "folded": (
        "name: x\nbrief:\n  goal: >-   # g\n    old\n    and long\n\n  # h\n  hypothesis: |\n    one\n     two\n"
        "  # last\nprogram: {}\n"
    ),
    "several_lines": (
        "name: x\nbrief:\n    goal: old\n      goes on\n    hypothesis: 'it''s'  # h\n    if_wrong:   # w\nz: 1\n"
    ),
    "last": "name: x\ntype: comparison\nbrief:\n  goal: old",
    "windows": "name: x\r\nbrief:\r\n  goal: old  # g\r\n# z\r\nz: 1\r\n",
    "other_keys": "z: 1\n# c\ny:\n  - a   # a\n  - b\n# end\n",
    "json": '{"name": "x", "z": [1, 2]}\n',
    "document": "---\n# c\nname: x\nz: 1\n...\n",
}  # fmt: skip


@given(shape=st.sampled_from(sorted(WRITTEN)), given_answers=answers)
def test_the_block_says_what_was_meant_and_the_rest_is_as_it_was(shape: str, given_answers: dict[str, str]) -> None:
    """Read again it is the old file with the new block; every comment is there, and every other line."""
    text = WRITTEN[shape]
    before = parse_yaml(text, "").data
    new = with_block(text, "", "brief", given_answers, KEYS, ("type", "name"))

    assert parse_yaml(new, "").data == {**before, "brief": {**(before.get("brief") or {}), **given_answers}}
    assert comments_of(new) == comments_of(text)
    outside = [line for line in text.splitlines() if re.match(r"[\w#]", line) and not line.startswith(("brief", "{"))]
    assert [line for line in new.splitlines() if line in outside] == outside
    assert with_block(new, "", "brief", given_answers, KEYS) == new


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_experiments_lose_no_line(path: Path) -> None:
    """A goal that changes and an answer that is new: every other line stays, in its order."""
    text = path.read_text()
    new = with_block(text, "", "brief", {"goal": "Another one?", "data": "a" * 200}, KEYS, ("type", "name"))

    stays = [line for line in text.splitlines() if not line.startswith("  goal: ")]
    assert [line for line in new.splitlines() if line in set(stays)] == stays
    assert parse_yaml(new, "").data["brief"]["if_wrong" if "if_wrong" in load_yaml(path).data["brief"] else "goal"]


LONG = "a long answer " * 12 + "end"


@pytest.mark.parametrize(
    ("entry", "value", "written"),
    [
        ("  goal: old   # why", LONG, f"  goal: {LONG}   # why"),
        ("  goal: old", "short", "  goal: short"),
        ("  goal: >-   # why\n    old\n    one\n", "short", "  goal: short   # why\n"),
        ("  goal: >-   # why\n    old", "a: b", '  goal: "a: b"   # why'),
        ("  goal:   # why", "short", "  goal: short   # why"),
        ("  goal: 'old'", "2", '  goal: "2"'),
        ("  goal: old", "one\n two\n\nthree", "  goal: |-\n    one\n     two\n\n    three"),
    ],
)
def test_a_value_is_replaced_where_it_stands(entry: str, value: str, written: str) -> None:
    """With what stands behind it; a long text is folded only where no comment follows."""
    before, after = "name: x\nbrief:\n", "\n# below\nz: 1\n"

    assert with_block(before + entry + after, "", "brief", {"goal": value}, KEYS) == before + written + after
    assert with_block("brief:\n  goal: old\n", "", "brief", {"goal": LONG}, KEYS).startswith(
        "brief:\n  goal: >-\n    a"
    )


def test_new_keys_stand_in_the_order_of_the_questions() -> None:
    """Whatever was there first."""
    text = "name: x\nbrief:\n  hypothesis: h\n  stage: exploratory\n"
    new = with_block(text, "", "brief", {"if_wrong": "w", "goal": "g", "data": "d", "splits": "s"}, KEYS)

    assert list(parse_yaml(new, "").data["brief"]) == ["goal", "hypothesis", "data", "splits", "stage", "if_wrong"]


@pytest.mark.parametrize("text", ["name: x\nbrief: &b\n  ? goal\n  : old\nz: *b\n", "name: &n x\nbrief:\n  goal: *n\n"])
def test_what_cannot_be_changed_in_place_is_given_to_write_by_hand(text: str) -> None:
    """An alias, or a key of an odd kind: refused, with the block in the message."""
    with pytest.raises(InputError, match=r"by hand:\nbrief:\n  goal: g") as caught:
        with_block(text, "x.yaml", "brief", {"goal": "g"}, KEYS)
    assert caught.value.exit_code == 2
