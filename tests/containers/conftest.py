"""Fixtures for the tests of `containers/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts import copy_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of recipes and scripts."""
    return copy_repository(tmp_path)
