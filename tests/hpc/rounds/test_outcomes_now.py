"""`status` and `collect` tell the same outcome of every kind of end, before it was collected and after."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.metrics import MetricsWriter
from hpc.rounds.act import assess
from hpc.rounds.outcomes_now import find_outcomes
from hpc.snapshots.snapshot import take_snapshot
from tests.local_projects import LocalProject


def ended(**fields: object) -> Callable[[Path], None]:
    """An end with other fields of its record."""

    def change(attempt: Path) -> None:
        path = attempt / "exit.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


def logged(values: list[float], *, is_complete: bool = True, **summary: float) -> Callable[[Path], None]:
    """An end with other metrics."""

    def change(attempt: Path) -> None:
        (attempt / "metrics.h5").unlink()
        (attempt / "summary.json").unlink(missing_ok=True)
        writer = MetricsWriter(attempt / "metrics.h5")
        for step, value in enumerate(values):
            writer.log(step, loss=value)
        writer.summary(**summary)
        if is_complete:
            writer.close()
        else:
            writer.flush()
            shutil.copy(attempt / "metrics.h5", attempt / "copy")
            writer.close()
            (attempt / "copy").replace(attempt / "metrics.h5")

    return change


FALLING = [1 / (1 + step) for step in range(30)]
ENDS: dict[str, Callable[[Path], object]] = {
    "as it was": lambda _: None,
    "exit 1": ended(exit_code=1),
    "exit 85": ended(exit_code=85),
    "a signal": ended(exit_code=None, signal=9),
    "exit 1, though the program recorded its end": ended(exit_code=0, launcher_exit_code=1, program_outcome=0),
    "out of time": ended(exit_code=None, signal=15, timed_out=True),
    "exit 0 without metrics": lambda attempt: (attempt / "metrics.h5").unlink(),
    "exit 0 without the primary metric": logged(FALLING, other=1.0),
    "exit 0 with NaN at the end": logged([*FALLING, *[math.nan] * 10], loss=math.nan),
    "exit 0, delivered, and a curve that became NaN": logged([*FALLING, *[math.nan] * 10], loss=0.5),
    "exit 0, delivered, and nothing learned": logged([1.0] * 30, loss=1.0),
    "exit 0 and metrics that were not closed": logged(FALLING, is_complete=False, loss=0.5),
    "exit 0 and metrics cut": lambda attempt: (attempt / "metrics.h5").write_bytes(b"\x89HDF"),
    "no record of the end": lambda attempt: (attempt / "exit.json").unlink(),
    "a record that is none": lambda attempt: (attempt / "exit.json").write_text("[]"),
    "a record of nothing": lambda attempt: (attempt / "exit.json").write_text(""),
    "no task record": lambda attempt: (attempt / "task.json").unlink(),
    "an empty folder": lambda attempt: [each.unlink() for each in attempt.iterdir() if each.is_file()],
    "no folder": shutil.rmtree,
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("was_collected", [False, True])
def test_status_and_collect_agree(finished: LocalProject, tmp_path: Path, end: str, was_collected: bool) -> None:
    """Both before the first collection and after it; also of runs that were collected when they were still whole."""
    shutil.copytree(finished.runs / "tiny", tmp_path / "tiny", symlinks=True)
    layout = RunLayout(tmp_path, "tiny")
    if was_collected:
        assess(layout)
    ENDS[end](layout.task("X1").attempt(1).home)
    before = find_outcomes(take_snapshot(layout)).outcomes
    judged = [task.outcome for task in assess(layout).judged.tasks]
    after = find_outcomes(take_snapshot(layout)).outcomes
    assert after == judged
    assert judged[1] is before[1] is Outcome.FINISHED
    if not was_collected:
        assert before == judged


def test_what_is_beyond_the_bound_is_counted(
    finished: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many ends are looked at; the others count by exit code, which is said, until they are collected."""
    monkeypatch.setattr("hpc.rounds.outcomes_now.MOST_JUDGED", 1)
    shutil.copytree(finished.runs / "tiny", tmp_path / "tiny", symlinks=True)
    layout = RunLayout(tmp_path, "tiny")
    assert find_outcomes(take_snapshot(layout)).by_exit_code == 1
    assess(layout)
    assert find_outcomes(take_snapshot(layout)).by_exit_code == 0
