"""What holds for all tests."""

import functools
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from hpc.adapters.started import VARIABLE
from hpc.core.typed import PLAIN

TESTS = Path(__file__).parent
FAR = ("cluster", "containers", "train", "browser", "gpu", "nfs", "faults")
"""Folders whose tests need more than Python: a Slurm, images, a training stack, a browser, file systems."""

WAITING = ("cluster", "nfs", "faults")
"""Folders whose tests mostly wait."""
BESIDE = 4
"""So many files that compute to one that waits: then one or two of three processes wait."""
SLOW_LIST = TESTS / "slow.txt"
# However pytest was started, messages name commands plainly; `tests/hpc/test_pasted.py` tries the ways.
os.environ.setdefault(VARIABLE, PLAIN)
# Some machines set it; then each process of each test compiles all it imports, and each worker rewrites all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
SLOW = dict.fromkeys(SLOW_LIST.read_text(encoding="utf-8").splitlines()) if SLOW_LIST.exists() else {}

# No example has a deadline: how busy the machine is says nothing about the code. Hypothesis itself derandomises where
# the environment says CI: whether examples are new is said by the profile alone.
settings.register_profile("new", deadline=None, derandomize=False)
settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.register_profile("brief", deadline=None, derandomize=True, database=None, max_examples=30)
settings.register_profile("long", deadline=None, derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "new"))
"""*fixed* (CI): the same examples every time, so that a change is judged by nothing but itself. *brief* (`make check`):
the first 30 of them. *long* (`make fuzz`): many and new ones. *new* (a plain pytest): new ones, and those that failed
before."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is left out by ``-m "not far …"`` is not imported either: a training stack takes seconds to."""
    is_far = collection_path.parent == TESTS and collection_path.name in FAR
    return True if is_far and "not far" in config.option.markexpr else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """What needs more than Python is marked by its folder, what takes long by a list."""
    where = _where(item.path)
    if where is None:
        return
    name, is_far, is_slow = where
    if is_far:
        item.add_marker("far")
    if is_slow or f"{name}::{getattr(item, 'originalname', item.name)}" in SLOW:
        item.add_marker("slow")


@functools.cache
def _where(path: Path) -> tuple[str, bool, bool] | None:
    """A file's name below tests/, whether its folder is far, and whether its folder is slow; None elsewhere."""
    if not path.is_relative_to(TESTS):
        return None
    inside = path.relative_to(TESTS)
    is_slow = any(f"{folder.as_posix()}/" in SLOW for folder in inside.parents)
    return inside.as_posix(), inside.parts[0] in FAR, is_slow


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Over several processes (-n 3) files that mostly wait stand among files that compute, the storm first of all.

    Files of quick tests alone come last: with a long one there, the other processes would have nothing to do.
    """
    if not hasattr(config, "workerinput"):  # in each of the processes `numprocesses` is None
        return
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("far")}
    paths = sorted(dict.fromkeys(item.path for item in items), key=lambda path: path.name != "test_storm.py")
    waiting = [path for path in paths if path.is_relative_to(TESTS) and path.relative_to(TESTS).parts[0] in WAITING]
    computing = [path for path in paths if path in slow and path not in waiting]
    places = {path: (1, place) for place, path in enumerate(paths)}
    places |= {path: (0, place * (BESIDE + 1)) for place, path in enumerate(waiting)}
    places |= {path: (0, place + place // BESIDE + 1) for place, path in enumerate(computing)}
    items.sort(key=lambda item: places[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required (HPC_REQUIRE_CLUSTER=1, as in CI) a test that skips itself has failed.

    But for those of a GPU, which no setup brings: `make gpu-check` runs them where there is one and keeps the record.
    """
    report = yield
    if item.get_closest_marker("gpu"):
        return report
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("HPC_REQUIRE_CLUSTER") == "1":
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """… and so has a file that skips itself while it is read (importorskip): its tests would never be counted."""
    report = yield
    if report.skipped and os.environ.get("HPC_REQUIRE_CLUSTER") == "1":
        report.outcome = "failed"
    return report


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A folder on a disk, also where temporary files are in memory, as `make check` has them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="hpc-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
