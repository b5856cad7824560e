"""What holds for all tests."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required (HPC_REQUIRE_CLUSTER=1, as in CI) a test that skips itself has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("HPC_REQUIRE_CLUSTER") == "1":
        report.outcome = "failed"
    return report
