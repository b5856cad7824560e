"""The line that tells how far long work is: what it says, and what it leaves out where there is little room."""

import pytest

from hpc.core.progress import BYTES, Standing, progress_line

RUNS = Standing("judging runs", 3412, 10_000, "", 8.1, 420.0)


def drawn(at: Standing, columns: int) -> str:
    """The line as plain text."""
    return "".join(text for text, _ in progress_line(at, columns))


@pytest.mark.parametrize(
    ("at", "columns", "line"),
    [
        (RUNS, 120, "judging runs  ━━━━━━━━━━────────────────────  3,412/10,000  420/s  0:16 left"),
        (RUNS, 62, "judging runs  ━━━━━───────────  3,412/10,000  420/s  0:16 left"),
        (RUNS, 50, "judging runs  ━━──────  3,412/10,000  0:16 left"),
        (RUNS, 40, "judging runs  3,412/10,000  0:16 left"),
        (RUNS, 30, "judging runs  3,412/10,000"),
        (RUNS, 20, "judgi…  3,412/10,000"),
        (RUNS, 8, "judg…"),
        (Standing("reading results", 0, None, "", 8.2, 0.0), 40, "reading results  0:08"),
        (Standing("drawing figures", 7, None, "", 4000.0, 0.3), 60, "drawing figures  7  18/min  1:06:40"),
        (Standing("reading a.log", 10**9, 2 * 10**9, BYTES, 2.0, 5e8), 40, "reading a.log  1 GB/2 GB  0:02 left"),
        (Standing("unpacking", 0, None, BYTES, 2.0, 0.0), 40, "unpacking  0:02"),
        (Standing("a\x1b[2Jb\nc", 0, 5, "", 1.0, 0.0), 26, "ab c  ────────  0/5  0:01"),
        (Standing("写结果", 0, None, "", 1.0, 0.0), 12, "写结果  0:01"),
    ],
)
def test_line_says_what_finds_room(at: Standing, columns: int, line: str) -> None:
    """Bar, counts, rate and what is left; on a narrow terminal first the bar goes, then the rate, then the time."""
    assert drawn(at, columns) == line


@pytest.mark.parametrize("columns", [1, 2, 5, 10, 17, 39, 79, 119])
@pytest.mark.parametrize("what", ["judging runs", "写" * 60, "/a/long/path" * 12])
def test_line_is_never_wider_than_the_terminal(what: str, columns: int) -> None:
    """A line that is broken could not be taken away."""
    line = drawn(Standing(what, 34_120, 100_000, "", 8.0, 0.0), columns)

    assert sum(2 if one == "写" else 1 for one in line) <= columns
