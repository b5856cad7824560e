"""R10: what is no change of the code is none: "finished runs differ in code" is said of real differences alone."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.adapters.code_snapshot import code_digest
from hpc.experiments.code_files import find_code

EXPERIMENT = "manifests/experiments/theirs.yaml"


def write(folder: Path, name: str, text: str = "x\n") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def git(folder: Path, *words: str) -> None:
    options = ["-c", "user.email=a@b.c", "-c", "user.name=x"]
    subprocess.run(["git", "-C", str(folder), *options, *words], check=True, capture_output=True)


def digest(folder: Path) -> str:
    return code_digest(find_code(folder, folder / "runs").files)


def repository(folder: Path, *, in_git: bool) -> Path:
    write(folder, "t.py", "import util; print('loss=1')\n")
    write(folder, "util.py", "GAIN = 1\n")
    write(folder, "conf/model.yaml", "width: 8\n")
    write(folder, EXPERIMENT, "sweep: {seeds: [1]}\n")
    write(folder, "README.md")
    write(folder, ".gitignore", "runs/\n")
    if in_git:
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "all")
    return folder


SAME: dict[str, Callable[[Path], object]] = {
    "a further seed": lambda at: write(at, EXPERIMENT, "sweep: {seeds: [1, 2]}\n"),
    "another experiment": lambda at: write(at, "manifests/experiments/other.yaml"),
    "another site": lambda at: write(at, "manifests/clusters/site.yaml"),
    "rendered scripts": lambda at: write(at, "manifests/rendered/theirs/array.sbatch"),
    "a README": lambda at: write(at, "README.md", "rewritten\n"),
    "a page of docs": lambda at: write(at, "docs/how.md"),
    "a licence": lambda at: write(at, "LICENSE"),
    "what git ignores": lambda at: write(at, ".gitignore", "runs/\n*.log\n"),
    "runs": lambda at: write(at, "runs/theirs/tasks/S1/attempt-1/stdout.log"),
    "bytecode": lambda at: write(at, "__pycache__/util.cpython-311.pyc"),
    "a tool's cache": lambda at: write(at, ".pytest_cache/v/nodeids"),
    "an environment": lambda at: write(at, ".venv/pyvenv.cfg"),
    "a tracker's folder": lambda at: write(at, "wandb/offline-run-1/run.wandb"),
    "saved weights": lambda at: write(at, "model.pt", "x" * (1 << 20)),
    "a touched file": lambda at: os.utime(at / "t.py", (1, 1)),
    "a file as it was": lambda at: write(at, "util.py", "GAIN = 1\n"),
}
OTHER: dict[str, Callable[[Path], object]] = {
    "the program": lambda at: write(at, "t.py", "print('loss=2')\n"),
    "what it imports": lambda at: write(at, "util.py", "GAIN = 2\n"),
    "what it reads": lambda at: write(at, "conf/model.yaml", "width: 9\n"),
    "a module that is new": lambda at: write(at, "random.py"),
    "a module that is gone": lambda at: (at / "util.py").unlink(),
    "a link in a file's place": lambda at: ((at / "util.py").unlink(), (at / "util.py").symlink_to("t.py")),
}


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("change", SAME)
def test_r10_what_is_no_change_of_the_code_changes_no_digest(tmp_path: Path, change: str, *, in_git: bool) -> None:
    """Nor does it where it is committed."""
    folder = repository(tmp_path, in_git=in_git)
    before = digest(folder)
    SAME[change](folder)
    assert digest(folder) == before
    if in_git:
        git(folder, "commit", "-qam", "change", "--allow-empty")
        assert digest(folder) == before


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("change", OTHER)
def test_r10_a_change_of_the_code_changes_it(tmp_path: Path, change: str, *, in_git: bool) -> None:
    """Committed or not."""
    folder = repository(tmp_path, in_git=in_git)
    before = digest(folder)
    OTHER[change](folder)
    assert digest(folder) != before
