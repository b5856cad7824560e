"""`metrics.h5` is whole at every instant: killed anywhere, read meanwhile, continued, on a full disk, damaged."""

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpc.adapters import metrics_h5, metrics_read
from hpc.adapters.metrics_h5 import MetricsFile, pack_row
from hpc.adapters.metrics_read import read, read_attributes, read_contents, read_summary
from hpc.core.errors import InputError
from hpc.metrics import MetricsWriter

NAMES = ("loss", "train/grad_norm", "lr")
CALLS = ("open", "pwrite", "ftruncate", "fsync", "replace", "close", "unlink")


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files begin with room for four rows, so that they grow often."""
    monkeypatch.setattr(metrics_h5, "_FIRST_ROWS", 4)


def test_plain_h5py_understands_the_file(tmp_path: Path) -> None:
    """Without any of our code: names, steps, values, times and final values are found by looking."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path, task_id="abc") as metrics:
        for step in range(10):
            metrics.log(step, {"train/loss": step / 2}, lr=1e-3)
        metrics.summary(final_error=0.25)

    with h5py.File(path, "r") as file:
        series = {dataset.attrs["name"]: dataset for dataset in file["series"].values()}
        assert set(series) == {"train/loss", "lr"}
        assert series["train/loss"]["step"].tolist() == list(range(10))
        assert series["train/loss"]["value"].tolist() == [step / 2 for step in range(10)]
        assert (np.diff(series["lr"]["time"]) >= 0).all()
        assert abs(series["lr"]["time"][0] - time.time()) < 60
        assert file["summary/final_error"][()] == 0.25
        assert file.attrs["schema"] == 1
        assert file.attrs["task_id"] == "abc"
        assert file.attrs["complete"]


def test_a_kill_before_any_system_call_loses_nothing(tmp_path: Path) -> None:
    """The writer dies at its n-th system call, for every n, writes half done; then a second one goes on."""
    path = tmp_path / "metrics.h5"
    killed = 0
    for call in range(1, 10_000):
        path.unlink(missing_ok=True)
        reported, died = _in_child(lambda report, call=call: _write_rows(path, 24, report, kill_at=call))
        if not died:
            break
        killed += 1
        if path.exists():
            _check_rows(path, at_least=reported)
        _continue_and_check(path)

    assert killed > 200


def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL at 200 moments from outside, one file over many lives: whatever was flushed in any of them stays.

    Every other life is killed so long after its beginning, wherever it is by then; the rest so long after they
    reported a number of rows, so that a busy machine promises as much as an idle one.
    """
    path = tmp_path / "metrics.h5"
    start, promised = 0, np.array([], dtype=np.int64)
    for life in range(200):
        least = start + 1 + life // 10 if life % 2 else 0
        reported, died = _in_child(
            lambda report, start=start: _write_rows(path, 1_000_000, report, start=start),
            kill_after_s=0.0002 * life,
            once_reported=least,
        )
        promised = np.append(promised, np.arange(start, reported))

        assert died
        assert reported >= least
        if path.exists():
            _plain_rows(path)
        steps = {name: series.step for name, series in read(path).items()} if path.exists() else {}
        assert all(np.isin(promised, steps.get(name, ())).all() for name in NAMES)
        start = max((int(step[-1]) + 1 for step in steps.values() if len(step)), default=0)
    assert len(promised) > 1000


def test_a_reader_never_fails_and_never_sees_rows_vanish(tmp_path: Path) -> None:
    """Plain h5py in a loop beside a fast writer: always opens, the rows only grow in number, all values are right."""
    path = tmp_path / "metrics.h5"
    MetricsWriter(path).close()
    child = _fork(lambda report: _write_rows(path, 20_000, report))
    seen, looks = 0, 0
    while os.waitpid(child.pid, os.WNOHANG) == (0, 0):
        rows = _plain_rows(path)
        assert rows >= seen
        seen, looks = rows, looks + 1
    child.close()

    assert looks > 20
    assert _check_rows(path, at_least=20_000) == 20_000


def test_reading_needs_no_hdf5_lock_and_the_writer_takes_none(tmp_path: Path) -> None:
    """A reader that locks the file, and one that wants it alone, do not stop the writer, nor it them."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        with h5py.File(path, "r", locking=True):
            metrics.log(1, loss=1.0)
            metrics.flush()
        assert read(path)["loss"].value.tolist() == [1.0]


def test_rows_not_written_yet_are_nan_never_zero(tmp_path: Path) -> None:
    """Room to spare shows as step -1 and NaN, so that a mean over it is no number."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        metrics.log(7, loss=0.0)
        metrics.flush()
        with h5py.File(path, "r") as file:
            rows = file["series/loss"][:]
            assert len(rows) > 1
            assert rows["step"].tolist() == [7] + [-1] * (len(rows) - 1)
            assert np.isnan(rows["value"][1:]).all()
            assert np.isnan(rows["time"][1:]).all()


def test_a_row_whose_predecessor_is_missing_does_not_count(tmp_path: Path) -> None:
    """A network file system may show blocks out of order: only the unbroken beginning is read."""
    path = tmp_path / "metrics.h5"
    file = MetricsFile(path, {"created": 0.0})
    file.append({"loss": bytearray(pack_row(1, 0.5, 100.0))})
    with h5py.File(path, "r") as plain:
        offset = plain["series/loss"].id.get_offset()
    with path.open("r+b") as raw:
        raw.seek(offset + 2 * 24)
        raw.write(pack_row(3, 0.3, 102.0))

    assert read(path)["loss"].step.tolist() == [1]


@pytest.mark.parametrize(
    "names",
    [("a/b", "a.b", "a"), (".", "..", "/"), ("Größe ✓", "x y"), ("name'; touch x", "$(touch x)", "../up")],
)
def test_any_printable_name_is_a_metric(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Names with slashes, dots and shell characters stay apart and come back as they were."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        metrics.log(0, {name: index for index, name in enumerate(names)})
        metrics.summary({name: index for index, name in enumerate(names)})

    assert {name: series.value[0] for name, series in read(path).items()} == dict(zip(names, range(9), strict=False))
    assert read_summary(path) == dict(zip(names, range(9), strict=False))
    assert sorted(file.name for file in tmp_path.iterdir()) == [".metrics.h5.lock", "metrics.h5", "summary.json"]


def test_metrics_that_appear_late_and_seldom_have_their_own_steps(tmp_path: Path) -> None:
    """Each metric keeps exactly the steps it was logged at."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        for step in range(100):
            metrics.log(step, loss=step)
            if step % 10 == 9:
                metrics.log(step, validation=-step)
                metrics.flush()

    series = read(path)
    assert series["loss"].step.tolist() == list(range(100))
    assert series["validation"].step.tolist() == list(range(9, 100, 10))
    step, value, when = series["validation"]
    assert (step.dtype, value.dtype, when.dtype) == (np.int64, np.float64, np.float64)


def test_growing_copies_each_row_a_bounded_number_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes written for n rows stay below a constant times n, however long the run (quadratic would be 1000 times)."""
    written = 0
    pwrite = os.pwrite

    def counted(descriptor: int, content: bytes, offset: int) -> int:
        nonlocal written
        written += len(content)
        return pwrite(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    file = MetricsFile(tmp_path / "metrics.h5", {"created": 0.0})
    rows, at_once = 100_000, 100
    for start in range(0, rows, at_once):
        block = b"".join(pack_row(step, 0.0, 1.0) for step in range(start, start + at_once))
        file.append({"loss": bytearray(block)})
    file.finish(complete=True)

    assert written < 8 * rows * 24


def test_a_finished_file_holds_its_rows_and_nothing_else(tmp_path: Path) -> None:
    """No room to spare is left at the end: 24 bytes a value and a few kilobytes of description."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        for step in range(5000):
            metrics.log(step, loss=step)

    with h5py.File(path, "r") as file:
        assert len(file["series/loss"]) == 5000
    assert path.stat().st_size < 5000 * 24 + 16_384


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"\x89HDF\r\n\x1a\n" + bytes(2000)])
def test_what_is_no_metrics_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty, garbage, a header and nothing behind it: one clear sentence with the file's name, from every function."""
    path = tmp_path / "metrics.h5"
    path.write_bytes(content)
    for function in (read, read_summary, read_attributes, metrics_read.is_complete, MetricsWriter):
        with pytest.raises(InputError, match=r"metrics\.h5: is not a readable metrics file"):
            function(path)

    assert path.read_bytes() == content


def test_a_truncated_file_is_named_or_read_rightly(tmp_path: Path) -> None:
    """Cut at every tenth of its length: an error that says so, never wrong numbers."""
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    with MetricsWriter(whole) as metrics:
        for step in range(200):
            metrics.log(step, loss=step)
    content = whole.read_bytes()
    for tenth in range(10):
        cut.write_bytes(content[: len(content) * tenth // 10])
        with pytest.raises(InputError, match="cut off, is damaged or never was one"):
            read(cut)


def test_another_hdf5_file_is_told_apart(tmp_path: Path) -> None:
    """Somebody's HDF5 file, or one of a later schema, is neither read as ours nor overwritten."""
    path = tmp_path / "metrics.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(InputError, match="not one with metrics"):
        read(path)
    with pytest.raises(InputError, match="not one with metrics"):
        MetricsWriter(path)
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 2
        file.create_group("series")
        file.create_group("summary")
    with pytest.raises(InputError, match="has schema 2; this version reads schema 1"):
        read(path)


def test_absent_is_not_broken(tmp_path: Path) -> None:
    """No file: its own error, and not complete."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "metrics.h5")

    assert not metrics_read.is_complete(tmp_path / "metrics.h5")


def test_rows_written_without_h5py_are_read_as_well(tmp_path: Path) -> None:
    """`metrics.jsonl` beside an absent `metrics.h5` gives the same; its last line, cut by a kill, does not count."""
    lines = [
        {"attributes": {"schema": 1, "task_id": "abc", "complete": False}},
        {"step": 1, "time": 100.0, "metrics": {"loss": 0.5, "lr": "nan"}},
        {"step": 2, "time": 101.0, "metrics": {"loss": "-inf"}},
        {"summary": {"loss": 0.25}},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "ti')
    path = tmp_path / "metrics.h5"

    assert read(path)["loss"].value.tolist() == [0.5, -np.inf]
    assert np.isnan(read(path)["lr"].value).all()
    assert read_summary(path) == read_contents(path).summary == {"loss": 0.25}
    assert read_attributes(path)["task_id"] == "abc"
    assert not metrics_read.is_complete(path)

    (tmp_path / "metrics.jsonl").write_text("no json\n")
    with pytest.raises(InputError, match="a line that is not JSON"):
        read(path)


@pytest.mark.parametrize("complete", [True, False])
def test_contents_in_one_go_are_those_read_apart(tmp_path: Path, complete: bool) -> None:
    """Opening the file once gives the same series, final values and completeness as asking for each."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path, flush_interval_s=3600) as metrics:
        metrics.log(1, {"a/b": 0.5, "c": float("nan")})
        metrics.summary(final=2.0)
        metrics.close(complete=complete)

    contents = read_contents(path)

    assert {name: series.step.tolist() for name, series in contents.series.items()} == {"a/b": [1], "c": [1]}
    assert all(np.array_equal(contents.series[name], series, equal_nan=True) for name, series in read(path).items())
    assert contents.summary == read_summary(path) == {"final": 2.0}
    assert contents.complete is complete


def test_a_file_that_somebody_replaced_is_not_written_into(tmp_path: Path) -> None:
    """A writer that lost its file to another one stops, instead of damaging the successor's rows."""
    path = tmp_path / "metrics.h5"
    first = MetricsFile(path, {"created": 0.0})
    first.append({"loss": bytearray(pack_row(1, 1.0, 1.0))})
    second = MetricsFile(path, {"created": 0.0})
    second.append({"loss": bytearray(pack_row(2, 2.0, 2.0))})

    with pytest.raises(OSError, match="somebody else replaced this metrics file"):
        first.append({"loss": bytearray(pack_row(9, 9.0, 9.0))})
    with pytest.raises(OSError, match="somebody else replaced this metrics file"):
        first.finish(complete=True)
    assert read(path)["loss"].step.tolist() == [1, 2]


def test_left_over_temporaries_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    """The next writer of the same file tidies up; other files stay."""
    (tmp_path / ".metrics.h5.0123abcd.tmp").write_bytes(b"half")
    (tmp_path / ".other.h5.0123abcd.tmp").write_bytes(b"not ours")
    MetricsWriter(tmp_path / "metrics.h5").close()

    assert not (tmp_path / ".metrics.h5.0123abcd.tmp").exists()
    assert (tmp_path / ".other.h5.0123abcd.tmp").exists()


# --- a writer in another process, killed on purpose -------------------------------------------------------------------


def _value(name: str, step: int) -> float:
    return step * 1.5 + NAMES.index(name)


def _write_rows(path: Path, rows: int, report: Callable[[int], None], start: int = 0, kill_at: int = 0) -> None:
    """Log rows one by one, flush each, report each that is flushed; die at the given system call."""
    if kill_at:
        _die_at_call(kill_at)
    with MetricsWriter(path, flush_interval_s=3600) as metrics:
        for step in range(start, start + rows):
            metrics.log(step, {name: _value(name, step) for name in NAMES})
            metrics.flush()
            report(step + 1)


def _die_at_call(number: int) -> None:
    """Kill this process at its n-th system call of a kind that changes files; a write is half done by then."""
    done = 0

    def counted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def replacement(*arguments: object, **options: object) -> object:
            nonlocal done
            done += 1
            if done == number:
                if name == "pwrite":
                    descriptor, content, offset = arguments
                    call(descriptor, content[: len(content) // 2], offset)  # type: ignore[index]
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return replacement

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))


class _Child:
    """A forked process that reports numbers through a pipe."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid, self._pipe, self.reported = pid, pipe, 0
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with os.fdopen(self._pipe, "rb") as pipe:
            while piece := pipe.read(8):
                if len(piece) == 8:
                    with self._news:
                        self.reported = int.from_bytes(piece, "little")
                        self._news.notify_all()

    def wait_for(self, number: int) -> None:
        """Return once it has reported the number, or after a minute."""
        with self._news:
            self._news.wait_for(lambda: self.reported >= number, timeout=60)

    def close(self) -> None:
        self._reader.join()


def _fork(work: Callable[[Callable[[int], None]], None]) -> _Child:
    read_end, write_end = os.pipe()
    system_write = os.write
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(lambda number: (system_write(write_end, number.to_bytes(8, "little")), None)[1])
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    return _Child(pid, read_end)


def _in_child(
    work: Callable[[Callable[[int], None]], None], kill_after_s: float | None = None, once_reported: int = 0
) -> tuple[int, bool]:
    """Run it in a forked process, killed so long after a report; the last number reported, and whether killed."""
    child = _fork(work)
    if kill_after_s is not None:
        child.wait_for(once_reported)
        time.sleep(kill_after_s)
        os.kill(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    child.close()
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return child.reported, os.WIFSIGNALED(status)


def _plain_rows(path: Path) -> int:
    """Rows that plain h5py, with its own locking, shows of each of the metrics; each must be what was logged."""
    counts = dict.fromkeys(NAMES, 0)
    with h5py.File(path, "r") as file:
        for dataset in file["series"].values():
            rows = dataset[:]
            rows = rows[~np.isnan(rows["time"]) & (rows["step"] != -1)]  # the last one may be half written
            assert (np.diff(rows["step"]) > 0).all()
            name = dataset.attrs["name"]
            assert (rows["value"] == rows["step"] * 1.5 + NAMES.index(name)).all()
            counts[name] = len(rows)
    return min(counts.values())


def _check_rows(path: Path, at_least: int) -> int:
    rows = _plain_rows(path)
    assert rows >= at_least
    ours = read(path)
    assert min(len(ours[name].step) if name in ours else 0 for name in NAMES) == rows
    assert not read_attributes(path)["complete"] or at_least == rows
    return rows


def _continue_and_check(path: Path) -> None:
    """A second writer appends one row to each metric after what there is, and completes the file."""
    before = {name: len(series.step) for name, series in read(path).items()} if path.exists() else {}
    with MetricsWriter(path, flush_interval_s=3600) as metrics:
        metrics.log(-5, dict.fromkeys(NAMES, 0.0))
    after = read(path)
    assert {name: len(series.step) for name, series in after.items()} == {
        name: before.get(name, 0) + 1 for name in NAMES
    }
    assert all(series.step[-1] == -5 for series in after.values())
    assert read_attributes(path)["complete"]


def test_a_row_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    """A row whose end is there and whose beginning is not (two memory pages) is no row yet; a whole one with -1 is."""
    rows = np.full(4, -1, metrics_read.RECORD)
    rows["value"] = rows["time"] = np.nan
    rows[0] = (-1, 0.5, 1.0)
    rows[1] = (7, 0.5, 2.0)
    rows["time"][2] = 3.0

    assert metrics_read.written_rows(rows) == 2
    assert metrics_read.written_rows(rows[:1]) == 1


def test_rows_that_only_closing_refuses_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS may tell of an error when the file is closed: nothing was taken then, and is tried again."""
    file = MetricsFile(tmp_path / "metrics.h5", {})
    file.append({"loss": bytearray(pack_row(0, 0.5, 1.0))})
    rows = bytearray(pack_row(1, 0.25, 2.0) + pack_row(2, 0.125, 3.0))
    kept, real = {"loss": bytearray(rows)}, os.close

    def refuse(descriptor: int) -> None:
        real(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", refuse)
        with pytest.raises(OSError, match="Input/output"):
            file.append(kept)
    assert kept == {"loss": rows}
    file.append(kept)
    file.finish(complete=True)
    assert kept == {}
    assert read(tmp_path / "metrics.h5")["loss"].value.tolist() == [0.5, 0.25, 0.125]
