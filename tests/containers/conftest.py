"""Fixtures for the tests of `containers/`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.containers.container_parts import CONTAINERS, REPOSITORY


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with nothing but the recipes, so that a test has its own `images/` and `.lab/`."""
    root = tmp_path / "a repository's copy"
    shutil.copytree(CONTAINERS, root / "containers")
    shutil.copy(REPOSITORY / "constraints.txt", root)
    return root
