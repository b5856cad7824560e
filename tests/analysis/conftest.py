"""Fixtures of the report's tests."""

from pathlib import Path

import pytest

from tests.analysis.made_experiments import Experiment, make_realistic


@pytest.fixture
def realistic(tmp_path: Path) -> Experiment:
    """2×3 configurations × 3 seeds with every kind of trouble, not yet written."""
    return make_realistic(tmp_path / "runs")
