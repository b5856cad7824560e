"""Files that are laid out as one before: what is read of them without HDF5 is what HDF5 reads, or nothing."""

import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpc.adapters import metrics_alike
from hpc.adapters.metrics_alike import Alike
from hpc.adapters.metrics_read import RECORD, Contents, read_contents
from hpc.core.errors import InputError
from hpc.metrics import MetricsWriter

CHANGES = 3_000
SEED = 20261201


def write(path: Path, number: int, *, rows: int = 30, run: str = "X1", **more: float) -> Path:
    """Write the metrics of a run of a sweep."""
    path.parent.mkdir(exist_ok=True)
    with MetricsWriter(path, task_id=f"{number:012x}", run_name=run) as metrics:
        for step in range(rows):
            metrics.log(step, {"a/b": step * number}, loss=1 / (step + number + 1), **more)
        metrics.summary(final=number / 3, other=float("inf"))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Runs of a sweep."""
    return [write(tmp_path / f"{number}/metrics.h5", number) for number in range(5)]


@pytest.fixture
def alike(files: list[Path]) -> Alike:
    """Knows two of them."""
    found = Alike()
    for each in files[:2]:
        found.read(each)
    return found


def bits(contents: Contents) -> object:
    """All of it, to the last bit and in order; what is not a number is equal to itself."""
    series = [(name, *(column.tobytes() for column in each)) for name, each in contents.series.items()]
    return series, repr(contents[1:])


def by_hdf5(path: Path) -> object:
    """What HDF5 reads, or nothing where it refuses."""
    try:
        return bits(read_contents(path))
    except InputError:
        return None


def test_runs_of_a_sweep_are_read_without_hdf5(
    files: list[Path], alike: Alike, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third file is read as the first two were, to the last bit; whose it is, too."""
    expected = [by_hdf5(path) for path in files]
    monkeypatch.setattr(metrics_alike, "read_contents", lambda *_: pytest.fail("HDF5 was asked"))
    assert [bits(alike.read(path)) for path in files[2:]] == expected[2:]
    assert alike.read(files[4]).attributes["task_id"] == f"{4:012x}"


def test_a_file_of_one_more_metric_row_or_letter_is_read_by_hdf5(tmp_path: Path, alike: Alike) -> None:
    """Nothing is taken for what it is not: each is laid out otherwise, and is known once one or two were read."""
    others: list[Callable[[Path, int], Path]] = [
        lambda path, number: write(path, number, extra=0.5),
        lambda path, number: write(path, number, rows=31),
        lambda path, number: write(path, number, run="X12"),
    ]
    for place, make in enumerate(others):
        for number in range(7, 10):
            path = make(tmp_path / f"{place}-{number}/metrics.h5", number)
            found = alike.find(path)
            assert number == 8 or (found is not None) == (number == 9)  # a size that was met twice is known after one
            assert found is None or bits(found) == by_hdf5(path)
            assert bits(alike.read(path)) == by_hdf5(path)


def test_any_changed_byte_is_seen_or_is_a_value(files: list[Path], alike: Alike) -> None:
    """Whatever is changed: what is still read without HDF5 is what HDF5 reads."""
    sound, chance = files[2].read_bytes(), random.Random(SEED)  # noqa: S311  no secret
    found = 0
    for _ in range(CHANGES):
        content = bytearray(sound)
        for _ in range(chance.choice([1, 1, 2, 9])):
            content[chance.randrange(len(content))] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        files[2].write_bytes(content)
        if contents := alike.find(files[2]):
            found += 1
            assert bits(contents) == by_hdf5(files[2])
    assert CHANGES // 20 < found < CHANGES
    for content in (sound[:-1], sound + b"\0", b"", sound[:100]):
        files[2].write_bytes(content)
        assert alike.find(files[2]) is None


def test_rows_of_a_run_that_was_killed_are_those_that_were_written(tmp_path: Path) -> None:
    """There is room for more: what is unwritten, and a row that is half written, counts no more than by HDF5."""
    alike = Alike()
    for number in range(4):
        path = tmp_path / f"{number}.h5"
        metrics = MetricsWriter(path, task_id=f"{number:012x}")
        for step in range(5 + number):
            metrics.log(step, loss=step / 2)
        metrics.flush()
        assert (alike.find(path) is not None) == (number > 1)
        contents = alike.read(path)
        assert bits(contents) == by_hdf5(path)
        assert (len(contents.series["loss"].step), contents.complete) == (5 + number, False)
        metrics.close()


@pytest.mark.parametrize("how", ["in pieces", "other numbers", "held in the head", "nowhere"])
def test_what_our_writer_does_not_leave_is_left_to_hdf5(tmp_path: Path, how: str) -> None:
    """Rows in pieces, of other types, in an object's head: read each time by HDF5, and rightly."""
    alike = Alike()
    for number in range(4):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file.attrs.update({"schema": 1, "task_id": f"{number:012x}", "complete": np.True_})
            series, summary = file.create_group("series"), file.create_group("summary")
            rows = np.array([(each, number, each) for each in range(40)], RECORD)
            settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            if how == "held in the head":
                settings.set_layout(h5py.h5d.COMPACT)
            if how == "other numbers":
                rows = rows.astype([("step", "<i4"), ("value", "<f4"), ("time", "<f8")])
            if how == "in pieces":
                series.create_dataset("loss", data=rows, chunks=(7,), compression="gzip")
            elif how != "nowhere":
                kind, space = h5py.h5t.py_create(rows.dtype, logical=True), h5py.h5s.create_simple((40,))
                h5py.h5d.create(series.id, b"loss", kind, space, settings).write(space, space, rows)
            summary.create_dataset("final", data=np.float32(number))
        assert alike.find(path) is None
        assert bits(alike.read(path)) == by_hdf5(path)


def test_little_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many layouts there are: of those that were met longest ago nothing is known any more."""
    monkeypatch.setattr(metrics_alike, "MOST_KEPT", 3)
    alike = Alike()
    for rows in range(1, 9):
        for number in range(2):
            alike.read(write(tmp_path / f"{rows}-{number}.h5", number, rows=rows))
    assert len(alike._known) == 3
    assert alike.find(tmp_path / "8-0.h5")
    assert alike.find(tmp_path / "1-0.h5") is None
