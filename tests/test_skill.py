"""`skills/hpc-batch/SKILL.md`: what an assistant reads is short, whole, and says what the code says."""

import re
from pathlib import Path

import pytest

from hpc.adapters.yaml_file import parse_yaml
from hpc.cli import COMMANDS
from hpc.core.failures.evidence import FailureClass
from hpc.core.question.ruling import Ruling
from tests.test_docs import misread, typed_lines

SKILL = Path(__file__).parents[1] / "skills/hpc-batch/SKILL.md"
TEXT = SKILL.read_text(encoding="utf-8")


def test_its_front_matter_is_that_of_a_skill() -> None:
    """Name of its folder, a description that says what it does and when to use it, and no other key."""
    front = TEXT.split("---\n")[1]
    told = dict(parse_yaml(front, "SKILL.md").data)

    assert TEXT.startswith("---\n")
    assert set(told) == {"name", "description"}
    assert told["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9-]{1,64}", told["name"])
    assert 100 < len(told["description"]) <= 1024
    assert "Use it when" in told["description"]


def test_it_is_short() -> None:
    """An assistant reads all of it: at most 200 lines."""
    assert len(TEXT.splitlines()) <= 200


def test_every_command_line_in_it_can_be_typed() -> None:
    """The road from question to report and every line beside it are taken by the commands' own parsers."""
    lines = typed_lines(SKILL)

    assert len(lines) > 30
    assert [f"hpc {line}: {wrong}" for line in lines if (wrong := misread(line))] == []


def test_it_knows_every_verb_class_and_ruling() -> None:
    """Nothing that a command can answer is a word it has not got."""
    for word in (*COMMANDS, *FailureClass):
        assert f"`{word}`" in TEXT
    for ruling in Ruling:
        assert ruling in TEXT


@pytest.mark.parametrize(
    "duty",
    [
        "resubmit a bug", "without the failed runs", "change a sealed question", "before its table", "another seed",
        "without the person's word", "key or token", "invent a number", "edit `manifest.json`",
    ],
)  # fmt: skip
def test_what_is_never_done_is_said(duty: str) -> None:
    """Each of the things that spoil an experiment has its line below *Never*."""
    never = TEXT.split("## Never")[1].split("\n## ")[0]

    assert [line for line in never.split("\n- ") if duty in " ".join(line.split()) and line.startswith("Never")]
