"""The line of the user's own code that `why` names below the line that decided."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpc.core.failures.evidence import LogLine
from hpc.explaining.raised_at import raised_at

PROGRAM = """
import json
def check(shape):
    assert shape == (3, 2)
def deep(left):
    return deep(left - 1) if left else check((2, 3))
{calls}
"""
CALLS = {
    "its own assertion": ("deep(3)", 4, "check", "assert shape == (3, 2)"),
    "a call into a library": ("json.loads('{')", 7, "<module>", "json.loads('{')"),
    "no end of calls": ("deep(-1)", 6, "deep", "return deep(left - 1) if left else check((2, 3))"),
    "an error while another was handled": (
        "try: deep(0)\nexcept AssertionError: raise ValueError",
        8, "<module>", "except AssertionError: raise ValueError",
    ),
}  # fmt: skip


def lines_of(text: str, before: str = "") -> list[LogLine]:
    """A log, each line behind what a launcher writes before it."""
    return [LogLine("log", number, before + line) for number, line in enumerate(text.splitlines(), 1)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("before", ["", "[rank3]: ", "2026-12-01 10:00:00,123 "])
def test_the_innermost_line_of_ones_own_code_is_named(tmp_path: Path, call: str, before: str) -> None:
    """As Python itself prints it, whatever stands before each line."""
    calls, line, function, code = CALLS[call]
    program = tmp_path / "train.py"
    program.write_text(PROGRAM.format(calls=calls))
    said = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False).stderr
    log = lines_of(said, before)
    found = raised_at(log[-1], log)
    assert found is not None
    assert (found.path, found.line, found.function, found.code) == (str(program), line, function, code)


def test_ranks_that_write_between_one_anothers_lines_are_kept_apart() -> None:
    """Each has its own place."""
    ranks = [
        [f"[rank{rank}]: {line}" for line in ("Traceback (most recent call last):", f'  File "t.py", line {rank}, in f',
                                              f"    step({rank})", "ValueError")]
        for rank in (1, 2)
    ]  # fmt: skip
    log = lines_of("\n".join(line for pair in zip(*ranks, strict=True) for line in pair))
    assert [str(raised_at(line, log)) for line in log[-2:]] == [f"t.py:{rank}, in f: step({rank})" for rank in (1, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "loss 0.5\nAssertionError",
        'Traceback (most recent call last):\n  File "/x/site-packages/a.py", line 3, in f\n    g()\nKeyError: 1',
        'Traceback (most recent call last):\n  File "t.py", line 3, in f\n    g()\nKeyError: 1\nslurmstepd: error',
    ],
)
def test_nothing_is_named_where_no_traceback_says_it(text: str) -> None:
    """No traceback, none of one's own files in it, or a line that is not its end."""
    log = lines_of(text)
    assert raised_at(log[-1], log) is None


def test_lines_that_were_left_out_end_a_traceback() -> None:
    """Of a log of which the middle was not read, calls above the gap belong to who knows what."""
    log = lines_of(
        '  File "t.py", line 3, in f\n    g()\nx\n  File "/lib/python3.11/a.py", line 1, in h\n    h()\nKeyError: 1'
    )
    assert raised_at(log[-1], [*log[:2], *log[3:]]) is None


def test_the_file_is_named_as_it_is_in_ones_own_folder() -> None:
    """Not as the copy that the run had, which nobody should edit; `--json` has the whole path."""
    path = "/home/you/runs/a/tasks/X1/attempt-2/work/src/train.py"
    log = lines_of(f'  File "{path}", line 3, in f\n    g()\nKeyError: 1')
    found = raised_at(log[-1], log)
    assert found is not None
    assert (str(found), found.path) == ("src/train.py:3, in f: g()", path)
