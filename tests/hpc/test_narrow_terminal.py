"""Whatever a command prints stands on a narrow terminal as on a wide one: no word of it is in two pieces."""

import re
from collections.abc import Iterator

import pytest

from hpc.core.breaking import LEAST
from tests.conversation import converse
from tests.local_projects import EXPERIMENT, LocalProject, command_environment, make_project

WIDE = 2000
NARROW = (40, 79)
FAILING = """
import sys
if sys.argv[1] == "2":
    raise MemoryError("Unable to allocate 3.00 GiB for an array with shape (20000, 20000) and data type float64")
for step in range(3):
    print(f"step: {step} loss: {float(sys.argv[1]) / (2 + step)}")
"""
COMMANDS = """
plan tiny
plan tinny
doctor nothing
logs tiny X9
submit tiny --backend local --dry-run
status
status nothing
ls
why
why tiny X1
collect
collect --retry-failed --dry-run
follow tiny --once --dry-run
report nothing
history list
history best
history values x
history compare tiny/X1 tiny/X2
history todo
history note train-1 nothing
usage
clean tiny --dry-run
archive tiny --dry-run
export tiny --to csv --dry-run
sync
adopt . --pattern x{x}
init --dry-run --yes
reproduce X1 --dry-run
reproduce
hold tiny --dry-run
release tiny --dry-run
cancel tiny --dry-run
dash
brief tiny --non-interactive
frobnicate
""".strip().splitlines()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """An experiment of which one run failed, collected, and the other is to be made again."""
    folder = tmp_path_factory.mktemp("narrow")
    made = make_project(folder, EXPERIMENT, FAILING)
    made.hpc("plan", "tiny", "--cluster", "local")
    made.hpc("submit", "tiny", "--backend", "local", expect=1)
    made.hpc("collect", "tiny", expect=1)
    made.hpc("reproduce", "X1")
    return made


ALL_OF_THEM = """
import os, sys
from hpc.cli import main
from tests.zygote import import_all
import_all()
for number, command in enumerate(sys.argv[1:]):
    print(f"<{number}>", flush=True)
    if not os.fork():
        sys.argv = ["hpc", *command.split()]
        main()
    os.wait()
"""
"""Each in a process of its own, which need not load what all of them use."""


@pytest.fixture(scope="module")
def screens(project: LocalProject) -> dict[int, list[str]]:
    """Columns → what stands on a terminal after each command, without colours."""
    found = {}
    for columns in (WIDE, *NARROW):
        code, shown = converse(
            ["-c", ALL_OF_THEM, *COMMANDS], [], project.folder, command_environment(), columns=columns
        )
        assert code == 0, shown
        shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
        found[columns] = re.split(r"^<\d+>\n", shown, flags=re.MULTILINE)[1:]
        assert len(found[columns]) == len(COMMANDS)
    return found


def words(text: str) -> set[str]:
    """Its words, whatever their numbers: a time or a size may have changed between two looks."""
    return {re.sub(r"\d+", "0", word) for word in text.split()}


def cut_by_us(text: str, wide: str) -> Iterator[str]:
    """Yield words of the wide terminal that stand in two pieces here, one of which is no word there."""
    here, there = words(text), words(wide)
    for piece in here - there:
        yield from (word for word in there - here if word.startswith(piece) and word.removeprefix(piece) in here)


def cut_by_the_terminal(text: str, columns: int) -> Iterator[str]:
    """Yield lines of which the terminal cuts a word that would have fitted on a line of its own."""
    for line in text.splitlines():
        for place in range(columns, len(line), columns):
            start, end = line.rfind(" ", 0, place) + 1, line.find(" ", place)
            word = line[start : end if end >= 0 else len(line)]
            is_cut = " " not in line[place - 1 : place + 1]
            is_command = re.search(r"python -m hpc|^\s*(export|python3|sbatch|\w+=)", line)
            if is_cut and len(word) <= max(columns - 8, LEAST) and not is_command:
                yield line


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=COMMANDS)
def test_no_word_is_broken(screens: dict[int, list[str]], number: int) -> None:
    """No word of the wide terminal is in two pieces, and what is too wide is a path or a command."""
    for columns in NARROW:
        shown = screens[columns][number]
        assert list(cut_by_us(shown, screens[WIDE][number])) == [], columns
        assert list(cut_by_the_terminal(shown, columns)) == [], columns
