"""The soak in short: rounds that add up, and one that does not is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import soak
from hpc.core.layout import RunLayout


@pytest.fixture(autouse=True)
def few_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three instead of six."""
    monkeypatch.setattr(soak, "TASKS", 3)


def test_a_killed_queue_and_a_full_disk_leave_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Every task ends well once, and no process, file or descriptor is left of either round."""
    rounds = soak.run(0, 1, ("queue killed", "disk full"))
    assert [each.problems for each in rounds] == [[], []], capsys.readouterr().err
    assert rounds[0].killed
    assert len({each.files for each in rounds}) == len({each.descriptors for each in rounds}) == 1


def test_what_does_not_add_up_is_named(tmp_path: Path) -> None:
    """A task that ended well twice, one that is told as finished and never ran, and a process that is left."""
    own = soak.Soak(tmp_path, tmp_path, 1)
    layout = RunLayout(own.runs, "x")
    for run in ("X0", "X1", "X2"):
        attempt = layout.task(run).attempt(1)
        attempt.home.mkdir(parents=True)
        attempt.exit_json.write_text(json.dumps({"exit_code": 0}), encoding="utf-8")
    shutil.copytree(layout.task("X0").attempt(1).home, layout.task("X0").attempt(2).home)
    own.ledger("x").write_text("begin 0\nend 0\nend 0\nend 1\nbegin 2\n", encoding="utf-8")
    found = soak.Round("nothing")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=own.environment) as left:
        own.count(found, "x")
        left.kill()
    assert found.problems == [
        "X0 ended well 2 times", "X2 counts as finished and its program never came to its end",
        f"process {left.pid} is left",
    ]  # fmt: skip
