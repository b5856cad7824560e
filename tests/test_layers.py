"""The rooms of the house and the doors between them (docs/decisions, CONTRIBUTING.md): imports only go downward.

Imports are read from the source with `ast`, wherever they stand: at the top, inside a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hpc", "train", "analysis")
CORE_NEVER = {
    "os", "subprocess", "time", "random", "logging", "shutil", "tempfile", "socket", "threading", "multiprocessing",
    "secrets", "sqlite3", "urllib", "http", "asyncio", "signal", "io", "glob", "getpass", "platform", "ctypes",
}  # fmt: skip
"""The world: files, clock, environment, other programs, chance. `pathlib` is allowed for composing paths only."""
PATH_IO = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "stat", "lstat",
    "mkdir", "iterdir", "glob", "rglob", "unlink", "rmdir", "rename", "touch", "resolve", "absolute", "cwd", "home",
    "samefile", "chmod", "symlink_to", "readlink", "expanduser",
}  # fmt: skip
TRAIN_MAY = {"hpc.core", "hpc.adapters.metrics_h5", "hpc.adapters.tracking", "hpc.adapters.files", "hpc.metrics"}
ANALYSIS_MAY = {"hpc.core", "hpc.adapters.files", "hpc.adapters.manifest_store", "hpc.adapters.metrics_h5"}
COMMANDS = {"plan", "submit", "run_task", "status", "collect", "follow", "why"}
"""One verb a file. A new verb has to be added here and to `hpc.cli.COMMANDS` (run_task is for scripts, not people)."""
ADAPTERS_MAY = {"hpc.core", "hpc.adapters.files"}


def module_name(path: Path) -> str:
    """Give ``hpc/core/grid.py`` as ``hpc.core.grid``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources(folder: str) -> list[Path]:
    """List the modules below a folder."""
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"{folder} holds no Python: the test looks in the wrong place"
    return found


MODULES = {module_name(path) for package in PACKAGES for path in sources(package)}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all a file imports; ``from hpc.adapters import slurm`` is ``hpc.adapters.slurm``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name if name in MODULES else node.module) for name in names)


def is_within(name: str, rooms: set[str]) -> bool:
    """Whether a module is one of the rooms or below it."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def own(name: str) -> bool:
    """Whether a module is ours."""
    return name.split(".", maxsplit=1)[0] in PACKAGES


def violations(folder: str, is_allowed: object) -> list[str]:
    """List the imports of ours that a folder may not have."""
    assert callable(is_allowed)
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(folder)
        for line, name in imported(path)
        if not is_allowed(path, name)
    ]


def test_core_touches_nothing() -> None:
    """`hpc.core` imports itself and the standard library, and of that nothing that touches the world."""

    def is_allowed(_path: Path, name: str) -> bool:
        first = name.split(".", maxsplit=1)[0]
        return is_within(name, {"hpc.core"}) or (first in sys.stdlib_module_names and first not in CORE_NEVER)

    assert violations("hpc/core", is_allowed) == []


def test_core_uses_paths_without_looking_at_the_disk() -> None:
    """`hpc.core` composes paths and never asks the disk about them; `open` and `print` are not called either."""
    found = []
    for path in sources("hpc/core"):
        uses_paths = any(name.split(".")[0] == "pathlib" for _, name in imported(path))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            is_method = isinstance(node.func, ast.Attribute)
            forbidden = (PATH_IO if uses_paths else set()) if is_method else {"open", "print", "input"}
            if called in forbidden:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {called}")

    assert found == []


def test_an_adapter_knows_the_core_and_files_only() -> None:
    """An adapter imports `hpc.core` and `hpc.adapters.files`, never another adapter and never a command."""

    def is_allowed(path: Path, name: str) -> bool:
        return not own(name) or is_within(name, ADAPTERS_MAY) or name == module_name(path)

    assert violations("hpc/adapters", is_allowed) == []


def test_hpc_starts_the_other_rooms_and_never_imports_them() -> None:
    """`hpc` imports neither `train` nor `analysis`, so any other training program is an equal citizen."""
    assert violations("hpc", lambda _path, name: not is_within(name, {"train", "analysis"})) == []


def test_train_knows_little_of_hpc() -> None:
    """`train` imports the core, the metrics file, the tracker and `files`; no command, and nothing of `analysis`."""
    allowed = TRAIN_MAY | {"train"}

    assert violations("train", lambda _path, name: not own(name) or is_within(name, allowed)) == []


def test_analysis_reads_files_and_calls_no_command() -> None:
    """`analysis` imports the core and the readers of files; it meets the commands in files only, and never `train`."""
    allowed = ANALYSIS_MAY | {"analysis"}

    assert violations("analysis", lambda _path, name: not own(name) or is_within(name, allowed)) == []


def test_no_command_imports_another() -> None:
    """What two commands share is in a module of its own; only `hpc.cli` knows the commands, and by name."""
    commands = {f"hpc.{verb}" for verb in COMMANDS}

    def is_allowed(path: Path, name: str) -> bool:
        # A probe is the wrapper of an element once more, on trial: both are started by scripts, and by no other way.
        is_probe = (module_name(path), name) == ("hpc.probe_task", "hpc.run_task")
        return name not in commands or module_name(path) == name or is_probe

    assert violations("hpc", is_allowed) == []


def test_every_command_is_known_to_this_test() -> None:
    """Each file of `hpc/` with a click command or that scripts start is listed above, and each listed one exists."""
    with_click = {
        path.stem
        for path in (ROOT / "hpc").glob("*.py")
        if "@click.command" in path.read_text(encoding="utf-8") and path.stem != "cli"
    }

    assert with_click | {"run_task"} == COMMANDS


@pytest.mark.parametrize("package", ["hpc", "hpc/core", "hpc/adapters", "train"])
def test_package_files_import_nothing(package: str) -> None:
    """`__init__.py` is empty: `python -m hpc.collect` must not meet itself, and a core import must not cost a room."""
    assert (ROOT / package / "__init__.py").read_text(encoding="utf-8") == ""


def test_analysis_package_file_imports_nothing() -> None:
    """The one of `analysis` holds a sentence and no code."""
    body = ast.parse((ROOT / "analysis/__init__.py").read_text(encoding="utf-8")).body

    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def loaded_by(module: str) -> set[str]:
    """Names of everything a fresh interpreter has loaded after importing one module."""
    program = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


def test_the_wrapper_on_the_compute_node_is_standard_library() -> None:
    """`hpc.run_task` starts thousands of times on a shared file system: it loads nothing that has to be installed."""
    bare = loaded_by("sys")
    foreign = {
        name
        for name in loaded_by("hpc.run_task") - bare
        if name.split(".")[0] not in sys.stdlib_module_names and not own(name)
    }

    assert foreign == set()


def test_the_wrapper_loads_few_modules_of_ours() -> None:
    """It stays small: of `hpc` only the core, the adapters it needs and the node's part."""
    ours = {name for name in loaded_by("hpc.run_task") if own(name)}
    not_core = {name for name in ours if not is_within(name, {"hpc.core"})}

    assert not_core <= {
        "hpc", "hpc.run_task", "hpc.node", "hpc.adapters", "hpc.adapters.files", "hpc.adapters.apptainer",
        "hpc.adapters.proc", "hpc.adapters.slurm",
    }  # fmt: skip


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_help_needs_no_heavy_package(verb: str) -> None:
    """Importing a command, which is all `--help` does, loads no training stack, no statistics and no submitit."""
    heavy = {"torch", "accelerate", "deepspeed", "transformers", "pandas", "scipy", "matplotlib", "wandb", "submitit"}

    assert heavy & {name.split(".")[0] for name in loaded_by(f"hpc.{verb}")} == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\n", ["os"]),
        ("from hpc.adapters import slurm\n", ["hpc.adapters.slurm"]),
        ("from hpc.core.errors import HpcError\n", ["hpc.core.errors"]),
        ("def f():\n    from hpc.collect import main\n", ["hpc.collect"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy as np\n", ["typing", "numpy"]),
    ],
)
def test_the_reader_of_imports_sees_every_kind(text: str, expected: list[str], tmp_path: Path) -> None:
    """The test itself sees imports in functions, under TYPE_CHECKING and of modules out of packages."""
    path = tmp_path / "sample.py"
    path.write_text(text)

    assert sorted(name for _, name in imported(path)) == sorted(expected)
