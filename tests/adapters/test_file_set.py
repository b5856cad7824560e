"""Files that are replaced together: all or none, on a full disk, after SIGKILL at any moment, and by two at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpc.adapters.file_set import replacing
from tests.local_projects import command_environment

NAMES = ("a.json", "b.json", "c.json")

WRITER = """
import os, signal, sys
from itertools import count
from pathlib import Path
from hpc.adapters.file_set import replacing

folder, content, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
renames = count(1)

def before(event, arguments):
    if event in ("os.rename", "os.rmdir") and kill_at and next(renames) == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(before)
with replacing(folder) as prepared:
    for name in ("a.json", "b.json", "c.json"):
        (prepared / name).write_text(content)
"""


def write(folder: Path, content: str, kill_at: int = 0) -> int:
    """Replace all three files in a process of its own, killed before its n-th rename; return its exit code."""
    command = [sys.executable, "-c", WRITER, str(folder), content, str(kill_at)]
    return subprocess.run(command, env=command_environment(), check=False, timeout=60).returncode


def contents(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in NAMES]


def test_a_kill_at_any_moment_leaves_whole_files_and_the_next_caller_one_set(tmp_path: Path) -> None:
    """Before the decision all files are old; after it they become new, at the latest when somebody looks again."""
    kills = 0
    for kill_at in range(1, 20):
        folder = tmp_path / str(kill_at)
        assert write(folder, "old") == 0
        if write(folder, "new", kill_at) == 0:
            break
        kills += 1
        left = contents(folder)
        assert set(left) <= {"old", "new"}
        was_decided = (folder / ".decided").exists() or "new" in left
        with pytest.raises(OSError, match="nothing new"), replacing(folder):
            raise OSError("nothing new")
        assert contents(folder) == (["new"] * 3 if was_decided else ["old"] * 3)
        assert sorted(path.name for path in folder.iterdir()) == [".lock", *NAMES]
    assert kills == 5  # before the decision, before each of three files, before the empty folder goes


def write_two(folder: Path) -> None:
    """Write one file, and fail over the other."""
    (folder / "a").write_text("new")
    (folder / "b").write_text(None)  # type: ignore[arg-type]


def test_an_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """What was prepared before an error goes with it."""
    with replacing(tmp_path) as prepared:
        (prepared / "a").write_text("old")
    with pytest.raises(TypeError), replacing(tmp_path) as prepared:
        write_two(prepared)
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a"]


def test_sets_of_two_writers_are_not_mixed(tmp_path: Path) -> None:
    """Four processes at once, again and again: what stands in the end is the set of one of them."""
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        writers = [
            subprocess.Popen([*command, f"writer {number}", "0"], env=command_environment()) for number in range(4)
        ]
        assert [each.wait(timeout=60) for each in writers] == [0] * 4
        assert len(set(contents(tmp_path))) == 1
