"""`hpc.metrics.MetricsWriter` in a program: what it records, whom it refuses, and that it never stops the training."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hpc.metrics
from hpc.core.errors import InputError, TemporaryError
from hpc.metrics import MetricsWriter, is_complete, read, read_attributes, read_summary
from tests import disks


def test_metrics_come_back_as_they_were_logged(tmp_path: Path) -> None:
    """Steps in order, values to the last bit, names given either way, final values with the last one counting."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        for step in range(3):
            metrics.log(step, {"train/loss": 0.1 * step}, lr=1e-4)
        metrics.summary(final_error=1.0)
        metrics.summary({"final_error": 0.1, "train/best": 3})

    series = read(path)
    assert set(series) == {"train/loss", "lr"}
    assert series["train/loss"].step.tolist() == [0, 1, 2]
    assert series["train/loss"].value.tolist() == [0.1 * step for step in range(3)]
    assert read_summary(path) == {"final_error": 0.1, "train/best": 3.0}


def test_values_that_are_not_finite_stay_what_they_are(tmp_path: Path) -> None:
    """NaN and infinity are stored, not hidden; in summary.json, which cannot hold them, they are null."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        for step, value in enumerate([math.nan, math.inf, -math.inf, 1.0]):
            metrics.log(step, loss=value)
        metrics.summary(loss=math.nan, error=math.inf, cost=2.0)

    np.testing.assert_array_equal(read(path)["loss"].value, [math.nan, math.inf, -math.inf, 1.0])
    np.testing.assert_equal(read_summary(path), {"loss": math.nan, "error": math.inf, "cost": 2.0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "summary": {"loss": None, "error": None, "cost": 2.0},
        "last_step": 3,
        "complete": True,
    }


def test_the_file_says_what_it_belongs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Path and root attributes come from the task's environment; what the program says counts more."""
    values = {"TASK_ID": "abc", "ATTEMPT": "3", "MANIFEST_SHA": "m" * 64, "IMAGE_SHA256": "i" * 64, "GIT_COMMIT": "c0"}
    for name, value in values.items():
        monkeypatch.setenv(f"HPC_{name}", value)
    monkeypatch.setenv("HPC_ATTEMPT_DIR", str(tmp_path / "attempt-3"))
    with pytest.raises(FileNotFoundError):  # an attempt that somebody removed is not made anew
        MetricsWriter()
    (tmp_path / "attempt-3").mkdir()
    before = time.time()
    with MetricsWriter(git_commit="c1", extra=5) as metrics:
        assert metrics.path == tmp_path / "attempt-3" / "metrics.h5"
        assert not read_attributes(metrics.path)["complete"]

    attributes = read_attributes(metrics.path)
    assert before <= attributes.pop("created") <= time.time()
    assert attributes == {
        "schema": 1,
        "experiment": "",
        "run_name": "",
        "task_id": "abc",
        "attempt": 3,
        "manifest_sha": "m" * 64,
        "image_sha256": "i" * 64,
        "git_commit": "c1",
        "extra": 5,
        "complete": True,
    }


def test_by_hand_the_file_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any of our environment: ./metrics.h5, first attempt."""
    monkeypatch.delenv("HPC_ATTEMPT_DIR", raising=False)
    monkeypatch.delenv("HPC_ATTEMPT", raising=False)
    monkeypatch.chdir(tmp_path)
    with MetricsWriter() as metrics:
        metrics.log(1, loss=1)

    assert read_attributes(tmp_path / "metrics.h5")["attempt"] == 1


def test_an_exception_leaves_the_file_incomplete_with_all_rows(tmp_path: Path) -> None:
    """What was logged before the error is there; nobody takes the run for finished."""
    path = tmp_path / "metrics.h5"
    with contextlib.suppress(ZeroDivisionError), MetricsWriter(path) as metrics:
        metrics.log(0, loss=2.0)
        metrics.log(1, loss=1.0)
        metrics.log(2, loss=1 / 0)

    assert read(path)["loss"].step.tolist() == [0, 1]
    assert not is_complete(path)
    assert json.loads((tmp_path / "summary.json").read_text())["complete"] is False


def test_continuing_keeps_rows_and_reopens(tmp_path: Path) -> None:
    """A second writer of a finished file appends; until it closes the file is not complete."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path, task_id="abc") as metrics:
        metrics.log(1, loss=1.0)
        metrics.summary(a=1)
    created = read_attributes(path)["created"]
    with MetricsWriter(path) as metrics:
        assert not is_complete(path)
        metrics.log(2, loss=2.0)
        metrics.summary(b=2)

    assert read(path)["loss"].step.tolist() == [1, 2]
    assert read_summary(path) == {"a": 1, "b": 2}
    assert read_attributes(path)["task_id"] == "abc"
    assert read_attributes(path)["created"] == created
    assert is_complete(path)


def test_rows_appear_without_a_flush_by_the_program(tmp_path: Path) -> None:
    """The thread writes them within the flush interval while the program does something else."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path, flush_interval_s=0.05) as metrics:
        metrics.log(1, loss=1.0)
        metrics.summary(best=0.5)
        deadline = time.monotonic() + 5
        while "best" not in read_summary(path) and time.monotonic() < deadline:
            time.sleep(0.02)

        assert read(path)["loss"].step.tolist() == [1]
        assert read_summary(path) == {"best": 0.5}


def test_many_threads_may_log(tmp_path: Path) -> None:
    """Rows of four threads and a fast flush: none lost, none doubled."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path, flush_interval_s=0.001) as metrics:

        def log(name: str) -> None:
            for step in range(2000):
                metrics.log(step, {name: step, "shared": step})

        threads = [threading.Thread(target=log, args=(f"m{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    series = read(path)
    assert all(series[f"m{n}"].step.tolist() == list(range(2000)) for n in range(4))
    assert sorted(series["shared"].step.tolist()) == sorted(list(range(2000)) * 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, {"loss": None}), "metric 'loss' needs one number, not NoneType"),
        ((1, {"loss": "abc"}), "metric 'loss' needs one number, not str"),
        ((1, {"loss": np.zeros(3)}), "metric 'loss' needs one number, not ndarray"),
        ((1.5, {"loss": 1}), r"step 1\.5 is not an integer"),
        ((2**63, {"loss": 1}), "does not fit into 64 bits"),
        ((1, {"": 1}), "cannot name a metric"),
        ((1, {"a\nb": 1}), "cannot name a metric"),
        ((1, {"a" * 201: 1}), "1 to 200 printable characters"),
    ],
)
def test_what_is_no_metric_is_refused_whole(tmp_path: Path, arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    """The message names the metric and the value; nothing of the row is recorded."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        with pytest.raises(InputError, match=message):
            metrics.log(*arguments, good=1)
        metrics.log(np.int64(2), good=np.float32(0.5))

    assert {name: series.step.tolist() for name, series in read(path).items()} == {"good": [2]}


def test_a_closed_writer_refuses_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    """After close no row gets lost silently."""
    metrics = MetricsWriter(tmp_path / "metrics.h5")
    metrics.close()
    metrics.close()
    with pytest.raises(InputError, match="closed"):
        metrics.log(1, loss=1)


def test_a_second_writer_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the file and what to do; afterwards the file is free again."""
    monkeypatch.setattr(hpc.metrics, "_LOCK_WAIT_S", 0.2)
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        metrics.log(1, loss=1.0)
        with pytest.raises(TemporaryError, match=r"metrics\.h5 is being written by another process\. .*rank 0"):
            MetricsWriter(path)
    with MetricsWriter(path) as metrics:
        metrics.log(2, loss=2.0)

    assert read(path)["loss"].step.tolist() == [1, 2]


def test_a_forked_process_cannot_write_and_does_no_harm(tmp_path: Path) -> None:
    """A data loader worker that logs gets an error, its exit neither closes nor locks the file."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        metrics.log(1, loss=1.0)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                metrics.log(2, loss=2.0)
            except InputError as error:
                code = 0 if "belongs to process" in str(error) else 2
            metrics.close()
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        metrics.log(3, loss=3.0)

    assert read(path)["loss"].step.tolist() == [1, 3]


def test_an_orphaned_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The writer is killed while a forked child lives on: the next writer is not blocked."""
    path = tmp_path / "metrics.h5"
    program = (
        "import os, sys, time; from pathlib import Path; from hpc.metrics import MetricsWriter\n"
        "metrics = MetricsWriter(Path(sys.argv[1])); metrics.log(1, loss=1.0); metrics.flush()\n"
        "child = os.fork()\n"
        "if child == 0: os.closerange(1, 3); time.sleep(20); os._exit(0)\n"
        "print(child, flush=True); os.kill(os.getpid(), 9)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    child = int(result.stdout)
    try:
        with MetricsWriter(path) as metrics:
            metrics.log(2, loss=2.0)
    finally:
        os.kill(child, 9)

    assert read(path)["loss"].step.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("ending", "code", "steps"),
    [("", 0, [1]), ("raise SystemExit(3)", 3, [1]), ("1/0", 1, [1]), ("import os; os._exit(4)", 4, [])],
)
def test_a_program_that_forgets_to_close_ends_at_once(tmp_path: Path, ending: str, code: int, steps: list[int]) -> None:
    """No hang at exit, no changed exit code; rows are written unless it skips the interpreter's exit; not complete."""
    path = tmp_path / "metrics.h5"
    program = (
        "import sys; from pathlib import Path; from hpc.metrics import MetricsWriter\n"
        f"metrics = MetricsWriter(Path(sys.argv[1]), flush_interval_s=600)\nmetrics.log(1, loss=1.0)\n{ending}\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, path], timeout=20, capture_output=True, text=True, check=False
    )

    assert result.returncode == code
    assert [int(step) for series in read(path).values() for step in series.step] == steps
    assert not is_complete(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    with disks.small_disk(tmp_path / "small", "128k") as place:
        yield place


def test_a_full_disk_does_not_stop_the_program_nor_lose_rows(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One warning; the file stays readable; once there is room everything is written and the file is complete."""
    path = small_disk / "metrics.h5"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(90_000))
    with MetricsWriter(path, flush_interval_s=0.01) as metrics:
        for step in range(6000):
            metrics.log(step, loss=step)
            if step % 100 == 0:
                time.sleep(0.002)
                read(path)
        time.sleep(0.1)
        seen = len(read(path)["loss"].step)
        assert 0 < seen < 6000
        ballast.unlink()
        small_disk_larger = ["mount", "-o", "remount,size=4m", small_disk]
        subprocess.run(small_disk_larger, check=True)

    warnings = capsys.readouterr().err
    assert warnings.count("No space left on device") == 1
    assert warnings.count("values are kept in memory until it works") == 1
    assert read(path)["loss"].step.tolist() == list(range(6000))
    assert is_complete(path)


def test_a_disk_that_stays_full_is_an_error_at_the_end(small_disk: Path) -> None:
    """Silence would be a lie: close raises, the file stays readable and incomplete, the lock is free."""
    path = small_disk / "metrics.h5"
    metrics = MetricsWriter(path, flush_interval_s=3600)
    (small_disk / "ballast").write_bytes(bytes(90_000))
    for step in range(6000):
        metrics.log(step, loss=step)
    with pytest.raises(OSError, match="No space left"):
        metrics.close()

    assert not is_complete(path)
    (small_disk / "ballast").unlink()
    with MetricsWriter(path) as metrics:
        metrics.log(6000, loss=1)
    assert is_complete(path)


def test_memory_is_bounded_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beyond the limit the oldest rows are given up; it is said how many, and the file is never called complete."""
    monkeypatch.setattr(hpc.metrics, "BUFFER_LIMIT_BYTES", 2400)
    path = tmp_path / "metrics.h5"
    metrics = MetricsWriter(path, flush_interval_s=3600)
    full = True
    replace = os.replace

    def fail_when_full(source: Path, target: Path) -> None:
        if full:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_when_full)
    for step in range(1000):
        metrics.log(step, loss=step)
        if step % 10 == 9:
            with pytest.raises(OSError, match="No space"):
                metrics.flush()
    full = False
    metrics.close()

    steps = read(path)["loss"].step
    assert 50 <= len(steps) <= 100
    assert steps[-1] == 999
    assert f"{1000 - len(steps)} values were lost" in capsys.readouterr().err
    assert not is_complete(path)


def test_a_signal_handler_may_log(tmp_path: Path) -> None:
    """A handler that interrupts `log` and logs itself does not hang."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        before = signal.signal(signal.SIGALRM, lambda *_: metrics.log(-1, alarm=1))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
        for step in range(20_000):
            metrics.log(step, loss=1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert read(path)["loss"].step.tolist() == list(range(20_000))
    assert len(read(path)["alarm"].step) > 0


def test_a_cost_of_logging_far_below_a_training_step(tmp_path: Path) -> None:
    """20 scalars cost less than a millisecond on a busy machine (a few microseconds on a quiet one)."""
    with MetricsWriter(tmp_path / "metrics.h5") as metrics:
        values = {f"m{n}": float(n) for n in range(20)}
        times = []
        for step in range(2000):
            started = time.perf_counter()
            metrics.log(step, values)
            times.append(time.perf_counter() - started)

    assert sorted(times)[1000] < 1e-3
