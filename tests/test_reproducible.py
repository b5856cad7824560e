"""A change is judged by nothing but itself: where CI runs, property tests try the same examples every time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import SLOW

REPO = Path(__file__).parents[1]
PRINTS_EXAMPLES = """
from hypothesis import given, strategies as st

@given(st.integers())
def test_one(number):
    print("tried", number)
"""


def examples_tried(folder: Path, profile: str) -> list[str]:
    """Run a property test under our conftest; return the examples in order."""
    shutil.copy(REPO / "tests/conftest.py", folder)
    (folder / "test_it.py").write_text(PRINTS_EXAMPLES)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", "."],
        cwd=folder, env={**os.environ, "HYPOTHESIS_PROFILE": profile}, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "tried" in line]


def test_ci_tries_the_same_examples_every_time(tmp_path: Path) -> None:
    """Two runs under CI's profile are alike; a long random one tries more, and others."""
    first, again = (examples_tried(tmp_path, "fixed") for _ in range(2))
    assert first == again

    longer = examples_tried(tmp_path, "long")
    assert len(longer) > 10 * len(first)
    assert longer[: len(first)] != first


def test_ci_runs_under_that_profile() -> None:
    """`.ci/run` names the profile for everything it starts."""
    assert "\nexport HYPOTHESIS_PROFILE=fixed " in (REPO / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [line for line in SLOW if not line.startswith("#")])
def test_every_slow_test_is_still_there(name: str) -> None:
    """A line of `tests/slow.txt` names a test or folder: one renamed would come back into `make check` unnoticed."""
    path, _, function = name.partition("::")

    if name.endswith("/"):
        assert list((REPO / "tests" / name).glob("test_*.py"))
    else:
        assert f"def {function}(" in (REPO / "tests" / path).read_text(encoding="utf-8")


def test_hooks_before_a_commit_reach_no_other_machine() -> None:
    """pre-commit's hooks are local ones whose programs `make setup` or the system brings."""
    repositories = YAML(typ="safe").load(REPO / ".pre-commit-config.yaml")["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]

    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"].split()[0] for hook in hooks} <= {
        "shellcheck", *(f".venv/bin/{name}" for name in ("ruff", "mypy", "python")),
    }  # fmt: skip
