"""What the commands print: nothing that came from outside reaches a terminal as it was written."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc import console
from hpc.collect import say_values
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from tests.conversation import converse
from tests.local_projects import command_environment

if TYPE_CHECKING:
    from hpc.core.question.best import Best

PROJECT = Path(__file__).parents[2]
HOSTILE = "\x1b]52;c;cm0gLXJm\x07\x1b[2J\u202etxt\x9b31m\udc9b\x07\r"
HARMLESS = "txt\N{REPLACEMENT CHARACTER}"


def controls(text: str) -> list[str]:
    """List the characters that are no text, but the newlines we write."""
    return [one for one in text if not one.isprintable() and one != "\n"]


@pytest.mark.parametrize("speak", [console.say, console.note, lambda text: console.print_table(text, [text], [[text]])])
def test_every_way_to_speak_cleans(speak: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A result, a remark and a table (title, heading, cell) show the words and none of the sequences around them."""
    assert callable(speak)
    speak(f"log says: {HOSTILE}")
    printed = "".join(capsys.readouterr())
    assert f"log says: {HARMLESS}" in printed
    assert controls(printed) == []


def test_a_disk_that_takes_nothing_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Full and read-only run folders name the way out; another error of the file system stays as it is."""

    @console.speaks_plainly
    def write(number: int) -> int:
        raise OSError(number, os.strerror(number), "runs/x")

    for number in (errno.ENOSPC, errno.EROFS, errno.EISDIR):
        with pytest.raises(SystemExit, match="1"):
            write(number)
    full, locked, other = capsys.readouterr().err.splitlines()
    assert all(said in full for said in ("No space left", "free space", "HPC_ROOT"))
    assert all(said in locked for said in ("Read-only", "HPC_ROOT"))
    assert other == "error: [Errno 21] Is a directory: 'runs/x'"


def test_an_error_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a file that an error quotes cannot steer the terminal, either."""

    @console.speaks_plainly
    def command() -> int:
        raise InputError("not valid", source=f"{HOSTILE}.yaml")

    with pytest.raises(SystemExit, match="2"):
        command()
    assert controls(capsys.readouterr().err) == []


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False)))
def test_json_keeps_the_value(value: dict[str, object]) -> None:
    """What --json prints is the value itself, in characters that no terminal obeys."""
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click, "echo", lines.append)
        console.print_json(value)
    assert json.loads(lines[0]) == value
    assert not {one for one in lines[0] if 0x7F <= ord(one) <= 0x9F or 0x202A <= ord(one) <= 0x202E}


def test_why_shows_a_log_without_what_it_would_do_to_the_terminal(tmp_path: Path) -> None:
    """A log that copies to the clipboard and clears the screen is explained in plain characters."""
    log = tmp_path / "run.log"
    log.write_bytes(
        b"\x1b]52;c;cm0gLXJm\x07\x1b[2JTraceback (most recent call last):\n"
        b'  File "train.py", line 3, in <module>\nValueError: \xc2\x9b31m\xe2\x80\xae bad \x1b]8;;x\x1b\\value\x9b\n'
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "hpc.why", str(log)]
    printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode()
    assert "bad value" in printed
    assert controls(printed) == []


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    """`hpc why LOG | head -1` ends without a word, as any program that SIGPIPE ends."""
    log = tmp_path / "run.log"
    log.write_text("ValueError: bad\n")
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "hpc.why", str(log)]
    done = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (console.EXIT_UNREAD, "")


def test_no_report_is_offered_while_retries_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`collect` that has just submitted retries names the best value, and no next line that leaves them out."""
    best, layout = cast("Best", "best loss"), RunLayout(tmp_path, "tiny")
    say_values(layout, best, "", "", goes_on=True, is_whole=False)
    assert capsys.readouterr().out == "best loss\n"
    say_values(layout, best, "", "", goes_on=False, is_whole=False)
    assert "or report what there is: python -m hpc.report tiny" in capsys.readouterr().out
    say_values(layout, best, "", "", goes_on=False, is_whole=True)
    assert "next: python -m hpc.report tiny" in capsys.readouterr().out


TABLE = """
from hpc.console import print_table
long = "40 MB, and a sentence that is long enough to wrap"
print_table("what it took", ("run", "attempts", "time", "memory"), [("lr0.03_d2_S2", 1, "9.3 s", long)], (1, 2))
"""


@pytest.mark.parametrize("columns", [120, 60, 44, 30])
def test_a_table_cuts_no_word_however_narrow_the_terminal(tmp_path: Path, columns: int) -> None:
    """Where its columns do not fit, a row is a paragraph: nobody reads a run's name in three pieces."""
    code, seen = converse(["-c", TABLE], [], tmp_path, command_environment(), columns=columns)
    seen = re.sub(r"\x1b\[[\d;]*m", "", seen)
    assert code == 0
    assert max(len(line.rstrip()) for line in seen.splitlines()) <= columns
    for word in ("what it took", "lr0.03_d2_S2", "attempts", "9.3 s", "sentence", "enough"):
        assert word in seen


def test_a_line_that_was_broken_keeps_its_colours() -> None:
    """Each word has the style it had, wherever the line was broken."""
    pieces = [("best loss ", "bold"), ("of X2", "red"), (" so far", "")]
    made = console.restyled(pieces, "best\nloss of\nX2 so far")
    assert [[(text.strip(), style) for text, style in line if text.strip()] for line in made] == [
        [("best", "bold")], [("loss", "bold"), ("of", "red")], [("X2", "red"), ("so far", "")]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("least", "most", "room", "widths"),
    [
        ([4, 8], [4, 90], 50, [4, 46]),
        ([20, 5], [60, 60], 50, [25, 25]),
        ([30, 5], [60, 60], 50, [30, 20]),
        ([4, 4], [9, 9], 50, [9, 9]),
        ([25, 25], [60, 60], 50, [25, 25]),
    ],
)
def test_columns_share_a_width(least: list[int], most: list[int], room: int, widths: list[int]) -> None:
    """None is narrower than its longest word or wider than its longest line; what is left is shared evenly."""
    assert console.share_width(least, most, room) == widths
