"""What of our packages is frozen for tasks: all that a task can load, and no command of a login node."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.adapters.code_snapshot import freeze_code
from hpc.experiments.freezing import own_code
from hpc.experiments.on_nodes import ON_NODES, module_of
from hpc.workspace import OWN_CODE
from tests.local_projects import command_environment


@pytest.fixture(scope="module")
def copied() -> dict[str, Path]:
    return {module_of(name): path for name, path in own_code().files.items() if isinstance(path, Path)}


def test_what_a_copied_module_imports_is_copied(copied: dict[str, Path]) -> None:
    """However late, and however it is written: Python's own parser finds no import of ours that is not there."""
    missing = {
        (name, wanted)
        for name, path in copied.items()
        for wanted in imports(path)
        if wanted not in copied and is_module(wanted)
    }
    # The names that `hpc` loads when they are first used; it refuses them in a copy.
    assert {name for name, _ in missing} <= {"hpc"}


def test_what_tasks_start_is_copied_and_commands_are_not(copied: dict[str, Path]) -> None:
    """What the array script and the gates start, what programs import; and less than half of all."""
    assert copied.keys() >= ON_NODES | {"hpc.callbacks.transformers", "hpc.hooks", "train.control", "hpc.node.probe"}
    assert not copied.keys() & {"hpc.cli", "hpc.plan", "hpc.collect", "hpc.api", "hpc.rounds"}
    assert len(copied) < len([*(OWN_CODE / "hpc").rglob("*.py"), *(OWN_CODE / "train").rglob("*.py")]) / 2


@pytest.mark.parametrize("of", ["import hpc; hpc.load('x')", "from hpc import submit", None])
def test_a_task_that_wants_a_command_is_told_where_it_is(of: str | None, tmp_path: Path) -> None:
    """One sentence that names what was asked for, and a line that leads to an installed one."""
    freeze_code(own_code().files, tmp_path / "toolkit/1")
    environment = {**command_environment(), "PYTHONPATH": str(tmp_path / "toolkit/1")}
    line = [sys.executable, *(["-c", of] if of else ["-m", "hpc.status", "--json"])]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert "is not in the copy of hpc that tasks run with" in said
    assert said.endswith("env -u PYTHONPATH python" if of else "env -u PYTHONPATH python -m hpc.status --json")
    assert of or (done.returncode == 2 and len(done.stderr.splitlines()) == 1)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            yield from (str(node.module), *(f"{node.module}.{each.name}" for each in node.names))


def is_module(name: str) -> bool:
    path = OWN_CODE / name.replace(".", "/")
    is_ours = name.startswith(("hpc.", "train."))
    return is_ours and (path.with_suffix(".py").exists() or (path / "__init__.py").exists())
