"""What holds for all tests."""

import os
from collections.abc import Generator

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Over several processes (-n 2) what waits longest begins first: the storm, then the other real clusters."""
    if config.getoption("numprocesses", None):
        items.sort(key=lambda item: ("test_storm" not in item.nodeid, "tests/cluster" not in item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required (HPC_REQUIRE_CLUSTER=1, as in CI) a test that skips itself has failed."""
    report = yield
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
