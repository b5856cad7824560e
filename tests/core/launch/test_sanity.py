"""What a ladder's log says: its rungs, and why it broke."""

import pytest

from hpc.core.launch.sanity import rungs_in, why_it_broke

HELD = ["warning: slow", "sanity: shapes: 4 x 3", "sanity: leakage: none of 9 rows"]


def test_only_lines_of_the_convention_are_rungs() -> None:
    """An exception's name may stand before one; a sentence that mentions the word is none."""
    assert rungs_in([*HELD, "train.sanity.SanityError: sanity: one batch: not learned", "our sanity: none"]) == [
        "shapes: 4 x 3",
        "leakage: none of 9 rows",
        "one batch: not learned",
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*HELD, "SanityError: sanity: one batch: not learned", ""], "one batch: not learned"),
        (
            [*HELD, "Traceback (most recent call last):", "KeyError: 'lr'"],
            "leakage: none of 9 rows; then: KeyError: 'lr'",
        ),
        (["Traceback (most recent call last):", "KeyError: 'lr'"], "KeyError: 'lr'"),
        (["", " "], ""),
        ([], ""),
    ],
)
def test_why_it_broke(lines: list[str], said: str) -> None:
    """The last rung; with what came after it, where it crashed between two."""
    assert why_it_broke(lines) == said


def test_a_reason_is_no_novel() -> None:
    """What is printed as one endless line is cut."""
    assert len(why_it_broke(["sanity: x: " + "y" * 10_000, "z" * 10_000])) < 700
