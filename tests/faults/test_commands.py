"""Whole commands with a fault at one call, then without: some places of each (`tests.faults.sweep` has them all)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.faults.mounts import can_mount, mounted
from tests.faults.sweep import Sweep
from tests.parts import need

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SOME = {"plan": 2, "submit": 2, "collect": 3, "report": 1, "compact": 2, "clean": 2}
SEED = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "fixed" else int.from_bytes(os.urandom(4))
"""The same places each time in CI, so that a change is judged by nothing but itself."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """What each command changes, and what was there before it."""
    need(can_mount(), "root, /dev/fuse and libfuse3 (scripts/lab/install-slurm)")
    folder = tmp_path_factory.mktemp("sweep")
    with mounted(folder, mounts=1) as mounts:
        sweep = Sweep(folder, mounts[0])
        sweep.record()
        yield sweep


@pytest.mark.parametrize("verb", SOME)
def test_after_a_fault_the_same_command_goes_on(sweep: Sweep, verb: str) -> None:
    """Nothing is lost or there twice, nothing was said to be done that was not, and no traceback is shown."""
    places = sweep.places(verb)
    assert len(places) > 3
    for place in random.Random(SEED).sample(places, SOME[verb]):  # noqa: S311  no secret
        assert sweep.problems(place) == [], place
