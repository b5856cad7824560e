"""The tutorial is executed: every file it shows is written, every command run in order, every output compared.

``TUTORIAL=write python -m pytest tests/test_tutorial.py`` puts today's outputs into the page instead.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from hpc.adapters.started import VARIABLE
from tests.local_projects import REPO, command_environment
from tests.pages import Block, blocks, steps

PAGE = REPO / "docs/tutorial.md"
FOLDER = "/home/you/first"
"""What the page calls the folder in which the reader works."""
UNSET = (VARIABLE, "OMP_NUM_THREADS", "NO_COLOR", "FORCE_COLOR")
ENDED = re.compile(r"^\S+: (?:finished|failed \(exit \d+\))$")
WRITES = os.environ.get("TUTORIAL") == "write"


def mended(text: str, diff: str) -> str:
    """Return a program after a change: each line with ``-`` becomes the line with ``+`` below it."""
    removed = [line[1:].lstrip() for line in diff.splitlines() if line.startswith("-")]
    added = [line[1:].lstrip() for line in diff.splitlines() if line.startswith("+")]
    for old, new in zip(removed, added, strict=True):
        assert text.count(old) == 1, f"the page mends a line that is not there once: {old}"
        text = text.replace(old, new)
    return text


def run(command: str, folder: Path) -> str:
    """Run a line as the reader's shell does, the package on PATH; return what stands on the terminal then."""
    environment = {name: value for name, value in command_environment().items() if name not in UNSET}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**environment, "PATH": path, "COLUMNS": "100", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    told = done.stdout.replace(str(folder.resolve()), FOLDER).replace(str(folder), FOLDER)
    return "\n".join(line.rstrip() for line in told.strip("\n").splitlines() if line.strip())


def masked(text: str) -> list[str]:
    """Return the lines of an output without what differs by the day: digests, times, hours, the order runs end in."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "<digest>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "<time>", text)
    text = re.sub(r"(?m)^(forecast at most .*, used) [\d.]+", r"\1 <hours>", text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return [line for ends, group in groupby(lines, lambda line: bool(ENDED.match(line)))
            for line in (sorted(group) if ends else group)]  # fmt: skip


def agrees(shown: str, told: str) -> bool:
    """Whether an output is the one shown; a line ``…`` stands for any number of lines."""
    wanted, lines = masked(shown), masked(told)
    parts = [list(group) for is_gap, group in groupby(wanted, lambda line: line == "…") if not is_gap]
    if "…" not in wanted:
        return wanted == lines
    at = 0
    for number, part in enumerate(parts):
        places = [start for start in range(at, len(lines) - len(part) + 1) if lines[start : start + len(part)] == part]
        if not places or (number == 0 and wanted[0] != "…" and places[0] != 0):
            return False
        at = places[0] + len(part)
    return wanted[-1] == "…" or at == len(lines)


def follow(block: Block, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Do what a block says; yield each command with what is shown below it, and what it printed."""
    if block.language == "diff":
        program = folder / block.title
        program.write_text(mended(program.read_text(), block.text))
    elif block.title:
        path = folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    elif block.language == "console":
        for step in steps(block):
            yield step.command, step.shown, run(step.command, folder)


def test_the_tutorial_does_what_it_shows(tmp_path: Path) -> None:
    """From an empty folder to the second answer, each command prints what the page shows, within ten minutes."""
    page = PAGE.read_text(encoding="utf-8")
    folder = tmp_path / "first"
    folder.mkdir()
    began, differing, commands = time.monotonic(), [], 0
    written, at = "", 0

    for block in blocks(page):
        told = list(follow(block, folder))
        commands += len(told)
        differing += [(command, shown, printed) for command, shown, printed in told if not agrees(shown, printed)]
        if told and not all(agrees(shown, printed) for _, shown, printed in told):
            text = "".join(f"$ {command}\n{printed}\n" if printed else f"$ {command}\n" for command, _, printed in told)
            written, at = written + page[at : block.start] + text, block.start + len(block.text)
    if WRITES:
        PAGE.write_text(written + page[at:], encoding="utf-8")
        return

    assert commands >= 10
    for command, shown, printed in differing:
        assert masked(printed) == masked(shown), command
    assert differing == []
    assert time.monotonic() - began < 600
    assert {path.name for path in (folder / "runs").iterdir()} >= {"batch_size", "learning_rate"}


@pytest.mark.parametrize(
    ("shown", "told", "same"),
    [
        ("a\nb", "a\nb", True),
        ("a\nb", "a\nc", False),
        ("a", "a\nb", False),
        ("a\n…", "a\nb\nc", True),
        ("a\n…\nc", "a\nb\nc", True),
        ("a\n…\nc", "a\nb\nc\nd", False),
        ("…\nd", "a\nb\nc", False),
        ("seal 0123456789abcdef", "seal fedcba9876543210", True),
        ("S1: finished\nS2: failed (exit 1)\nend", "S2: failed (exit 1)\nS1: finished\nend", True),
        ("S1: finished\nS2: finished", "S1: finished\nS2: failed (exit 1)", False),
    ],
)
def test_a_difference_is_seen(shown: str, told: str, same: bool) -> None:
    """Digests, times and the order of runs may differ, and nothing else."""
    assert agrees(shown, told) is same


def test_a_line_is_mended_where_it_stands_once() -> None:
    """The mend of the page changes the line it names, and no other."""
    assert mended("a\n  old(1)\nb\n", "-  old(1)\n+  new(2)\n") == "a\n  new(2)\nb\n"
    with pytest.raises(AssertionError, match="not there once"):
        mended("a\n", "-x\n+y\n")
