"""A headless Chromium for the report's tests, and reports to open in it; skipped where there is no browser."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analysis.report import build
from tests.analysis.made_experiments import (
    Experiment,
    make_attempt,
    make_finished,
    make_judged,
    make_realistic,
    make_spec,
    make_task,
    make_verdict,
)
from tests.analysis.made_types import TYPES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


@pytest.fixture(scope="module")  # while it lives, its event loop runs in this thread, and no other may start here
def browser() -> "Iterator[Browser]":
    """One Chromium for the tests of a file."""
    if CHROMIUM is None:
        if os.environ.get("HPC_REQUIRE_CLUSTER") == "1":
            pytest.fail("no Chromium here, and everything is required: scripts/parts browser")
        pytest.skip("no Chromium here: scripts/parts browser")
    with playwright.sync_playwright() as runner:
        instance = runner.chromium.launch(executable_path=CHROMIUM)
        yield instance
        instance.close()


@contextmanager
def open_page(browser: Any, page: Path, **options: Any) -> Iterator[Any]:
    """Open a page from file://; afterwards nothing may have been complained of, and nothing else asked for."""
    context = browser.new_context(**options)
    tab = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    try:
        yield tab
        assert complaints == []
        assert asked == [page.as_uri()]
    finally:
        context.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 18 runs with every kind of trouble."""
    return build(make_realistic(tmp_path_factory.mktemp("small")).write(), ("html",)).files[0]


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The page of an experiment of each type."""
    root = tmp_path_factory.mktemp("kinds")
    return {name: build(make(root / name).write(), ("html",)).files[0] for name, make in TYPES.items()}


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 1,200 runs in 400 configurations, a tenth of them failed."""
    root = tmp_path_factory.mktemp("large")
    grid = list(product(range(20), range(20), (1, 2, 3)))
    tasks = [make_task({"a": a, "b": b}, seed, f"A{a}_B{b}_S{seed}") for a, b, seed in grid]
    experiment = Experiment(root, tasks, make_spec("large", baseline={"a": 0, "b": 0}))
    for row, task in enumerate(tasks):
        if row % 10 == 9:
            attempt = make_attempt(task, 1, make_verdict("oom_gpu", "CUDA out of memory"))
            experiment.judged.append(make_judged(task, "failed", [attempt]))
        else:
            value = 1.0 + (row * 7919 % 1009) / 1000
            experiment.judged.append(make_finished(experiment, task, {"final_error": value}))
    return build(experiment.write(), ("html",)).files[0]
