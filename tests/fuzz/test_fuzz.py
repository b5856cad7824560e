"""Every reader of what others wrote, some seconds each: what was found before, then new bytes (`make fuzz`: longer)."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import run, targets

SECONDS = 8.0
SEED = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "fixed" else int.from_bytes(os.urandom(4))
"""The same bytes each time in CI, so that a change is judged by nothing but itself."""


def test_all_targets_are_searched() -> None:
    """The command knows each, and each begins with whole examples."""
    assert tuple(targets.TARGETS) == run.NAMES
    assert all(any(True for _ in targets.seeds(name)) for name in run.NAMES)


@pytest.mark.parametrize("name", [name for name in run.NAMES if name != "hdf5"])
def test_a_reader_stands_any_bytes(name: str) -> None:
    """It gives an answer, or the error it promises; HDF5, which may end its process, has tests of its own."""
    tried, problem = run.by_chance(name, SECONDS, SEED)
    assert problem == ""
    assert tried > 5


def test_hdf5_files_found_before_are_read_or_named() -> None:
    """Files that earlier searches found."""
    for content in targets.found("hdf5"):
        targets.hdf5(content)


def test_a_reader_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search finds an error that one byte in one place makes, and shows the input."""

    def breaks(data: bytes) -> None:
        if b"\x00" in data:
            raise KeyError("a NUL")

    monkeypatch.setattr(targets, "TARGETS", {"sacct": breaks})
    tried, problem = run.by_chance("sacct", 20, 1)
    assert tried
    assert "KeyError: 'a NUL'" in problem
    assert "input: b'" in problem
