"""Lines broken for a narrow terminal: between words, with their indent, and no command in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.breaking import LEAST, broken

HPC = ("hpc ",)


def test_what_fits_stays() -> None:
    """Also lines with columns of their own, and empty ones."""
    text = "a  b   c\n\n  d\te"
    assert broken(text, 40) == text


def test_lines_keep_their_indent() -> None:
    """Each line is broken by itself."""
    text = "  ! the answer leaves open what would count as one.\nshort"
    assert broken(text, 30).splitlines() == ["  ! the answer leaves open", "  what would count as one.", "short"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("nothing was planned; start: hpc plan lora_sweep (a second)",
         ["nothing was planned; start:", "hpc plan lora_sweep (a second)"]),
        ("to see more run hpc why tiny X2, then go on with the others",
         ["to see more run", "hpc why tiny X2, then go on", "with the others"]),
        ("to go on with it: export HPC_ROOT=/work/runs and again",
         ["to go on with it:", "export HPC_ROOT=/work/runs and", "again"]),
        ("it's late: hpc why it's, and the day isn't over yet",
         ["it's late: hpc why it's, and", "the day isn't over yet"]),
        ("next: hpc why 'a run; with, marks (and such) in it' or look",
         ["next:", "hpc why 'a run; with, marks (and such) in it'", "or look"]),
    ],
)  # fmt: skip
def test_a_command_is_not_broken(text: str, lines: list[str]) -> None:
    """It goes to a line of its own; the sentence goes on behind it. One too wide is left to the terminal."""
    assert broken(text, 31, HPC).splitlines() == lines


@given(st.text(st.sampled_from("ab :;'(hpc ")), st.integers(1, 60))
def test_nothing_is_lost_and_no_word_is_cut(text: str, width: int) -> None:
    """The words are the same in the same order, and a wide line holds a single word or command."""
    made = broken(text, width, HPC)
    assert made.split() == text.split()
    for line in made.split("\n"):
        if len(line) > max(width, LEAST):
            assert " " not in line.strip() or "hpc " in line
