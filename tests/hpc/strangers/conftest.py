"""What the tests of strangers' repositories share."""

from pathlib import Path

import pytest

from tests.hpc.strangers.repository import Repository, make_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A stranger's repository, its runs in a root of their own."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return make_repository(tmp_path / "theirs", tmp_path / "root", monkeypatch)
