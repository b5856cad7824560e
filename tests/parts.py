"""Where recipes and scripts are, how a test imports one of their programs, and what it does where parts are missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[1]
CONTAINERS = REPOSITORY / "containers"
SCRIPTS = REPOSITORY / "scripts"


def need(present: object, what: str) -> None:
    """Skip where `what` is missing; fail where the whole cluster was promised."""
    if not present:
        (pytest.fail if os.environ.get("HPC_REQUIRE_CLUSTER") == "1" else pytest.skip)(f"needs {what}")


def load(path: Path) -> ModuleType:
    """Import a program of `containers/` or `scripts/`, which are no packages, by its path."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


def copy_repository(folder: Path) -> Path:
    """A repository with nothing but recipes and scripts, so that a test has its own `images/` and `.lab/`."""
    root = folder / "a repository's copy"
    shutil.copytree(CONTAINERS, root / "containers")
    shutil.copytree(SCRIPTS, root / "scripts")
    shutil.copy(REPOSITORY / "constraints.txt", root)
    return root
