"""Trackers: real wandb offline, one run over all attempts; no tracker ever ends a run."""

import sys
import threading
import warnings
from pathlib import Path

import pytest

from hpc.adapters.tracking import NullTracker, WandbTracker, open_tracker
from tests.local_projects import wait_until
from tests.wandb_files import wandb_records

LAUNCHER = {"WANDB_PROJECT": "control", "WANDB_MODE": "offline", "WANDB_RUN_ID": "task0001", "HPC_EXPERIMENT": "sweep"}


def _attempt(folder: Path, step: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # wandb's own, not ours to mend
        with open_tracker({"lr": 0.1, "output_dir": folder}, folder, LAUNCHER) as tracker:
            tracker.log(step, loss=0.5)
            tracker.summary(final_error=0.1)


def test_all_attempts_are_one_offline_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each attempt leaves a file to be sent later, all with the task's run id; nothing is printed."""
    pytest.importorskip("wandb")
    _attempt(tmp_path / "attempt-1", 1)
    _attempt(tmp_path / "attempt-2", 2)

    runs = sorted(tmp_path.glob("attempt-*/wandb/offline-run-*/run-*.wandb"))
    assert [run.name for run in runs] == ["run-task0001.wandb"] * 2
    for run in runs:  # wandb's own process may still be writing
        wait_until(lambda run=run: any(each.HasField("exit") for each in wandb_records(run)), 10, f"the end of {run}")
        assert any("final_error" in str(each.summary) for each in wandb_records(run))
    assert "wandb is off" not in capfd.readouterr().err


@pytest.mark.parametrize("environment", [{}, {"WANDB_MODE": "disabled", "WANDB_PROJECT": "control"}])
def test_nobody_is_told_unless_asked(environment: dict[str, str], tmp_path: Path) -> None:
    """Without a project or a mode, or when disabled, no file appears."""
    with open_tracker({}, tmp_path, environment) as tracker:
        tracker.log(1, loss=0.5)
        tracker.summary(final_error=0.1)

    assert isinstance(tracker, NullTracker)
    assert list(tmp_path.iterdir()) == []


def test_a_project_alone_means_offline(tmp_path: Path) -> None:
    """Compute nodes have no network: without a mode nothing waits for it."""
    assert isinstance(open_tracker({}, tmp_path, {"WANDB_PROJECT": "control"}), WandbTracker)


class _Run:
    """A wandb run that breaks in the middle, as with a full disk or a dead service."""

    def log(self, _values: dict[str, float], step: int) -> None:
        if step == 2:
            raise ConnectionResetError("service is gone")


@pytest.mark.parametrize(
    "failure", [ImportError("No module named 'wandb'"), OSError("disk full"), TimeoutError("init")]
)
def test_a_tracker_that_cannot_start_is_only_reported(failure: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, broken or slow: one line on stderr, and the run goes on."""

    def start() -> None:
        raise failure

    with WandbTracker(start) as tracker:
        tracker.log(1, loss=0.5)
        tracker.summary(final_error=0.1)

    assert capsys.readouterr().err == f"wandb is off for the rest of this run: {type(failure).__name__}: {failure}\n"


def test_a_tracker_that_breaks_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    """After its first failure it is not asked again."""
    with WandbTracker(_Run) as tracker:
        for step in range(1, 5):
            tracker.log(step, loss=0.5)

    assert capsys.readouterr().err == "wandb is off for the rest of this run: ConnectionResetError: service is gone\n"


def test_one_that_hangs_holds_up_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """At its start, in a call or at its end: every call returns, what waits is bounded, and one line says so."""
    for hangs_at in ("start", "log", "finish"):
        for_ever, steps = threading.Event(), list[int]()

        class Run:
            def log(self, _values: dict[str, float], step: int) -> None:
                steps.append(step)  # noqa: B023  of this round
                self._hang("log")

            def finish(self, exit_code: int) -> None:
                del exit_code
                self._hang("finish")

            @staticmethod
            def _hang(place: str) -> None:
                if hangs_at == place:  # noqa: B023
                    for_ever.wait()  # noqa: B023

        def start(made: type[Run] = Run) -> Run:
            made._hang("start")
            return made()

        with WandbTracker(start, patience_s=0.1, most=20) as tracker:
            for step in range(10):
                tracker.log(step, loss=0.5)
        assert "off for the rest of this run: it did not take everything" in capsys.readouterr().err
        with WandbTracker(start, patience_s=0.1, most=20) as tracker:
            for step in range(100):
                tracker.log(step, loss=0.5)
            if hangs_at != "finish":
                assert "it hangs, and 20 calls are waiting" in capsys.readouterr().err
        for_ever.set()
        capsys.readouterr()


def test_a_tracker_that_exits_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """`sys.exit` in wandb ends its thread and not the run."""
    with WandbTracker(sys.exit) as tracker:
        tracker.log(1, loss=0.5)
    assert "SystemExit" in capsys.readouterr().err


def test_our_programs_are_silent_where_nothing_was_said(tmp_path: Path) -> None:
    """An experiment without `tracking:`: what they measure is recorded, and `hpc sync` sends it from there."""
    assert isinstance(open_tracker({}, tmp_path, {**LAUNCHER, "HPC_WANDB": "by_default"}), NullTracker)


def test_a_failing_run_is_marked_failed_and_its_error_passes() -> None:
    """The exception that leaves the context is not swallowed, and the tracker hears of it."""
    finished: list[int] = []

    class Run:
        def finish(self, exit_code: int) -> None:
            finished.append(exit_code)

    with pytest.raises(ZeroDivisionError), WandbTracker(Run):
        raise ZeroDivisionError

    assert finished == [1]
