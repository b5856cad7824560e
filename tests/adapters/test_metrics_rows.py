"""Rows of a metrics file that is being written, read without HDF5: those that HDF5 would give, or nothing."""

import json
import math
import os
import random
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpc.adapters import metrics_h5
from hpc.adapters.metrics_h5 import MetricsFile, pack_row
from hpc.adapters.metrics_read import read
from hpc.adapters.metrics_rows import Rows, read_rows
from hpc.core.errors import InputError

SEED = 20261201
DAMAGES = 100
NAMES = ("loss", "train/grad norm", "größe", 'a "quoted" name')


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files that grow often, and readers that do not wait for the next version of a damaged one."""
    monkeypatch.setattr(metrics_h5, "_FIRST_ROWS", 4)
    monkeypatch.setattr(time, "sleep", lambda _: None)


def blocks(first: int, steps: int, names: tuple[str, ...] = NAMES) -> dict[str, bytearray]:
    """Rows as the writer packs them; every seventh value is no number."""

    def value(step: int) -> float:
        return math.nan if step % 7 == 3 else 1 / (step + 1)

    rows = [pack_row(step, value(step), 1e9 + step) for step in range(first, first + steps)]
    return {name: bytearray(b"".join(rows)) for name in names}


def same(found: dict[str, Rows] | None, path: Path) -> bool:
    """Whether HDF5 gives the same, NaN for NaN."""
    wanted = read(path)
    return found is not None and found.keys() == wanted.keys() and all(
        np.array_equal(ours, theirs, equal_nan=True)
        for name in wanted for ours, theirs in zip(found[name], wanted[name], strict=True)
    )  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_rows_are_those_of_hdf5_while_the_file_grows(tmp_path: Path) -> None:
    """After each flush, with metrics that come late, and after the file was continued."""
    path = tmp_path / "metrics.h5"
    file = MetricsFile(path, {})
    assert read_rows(path) == {}
    for first in range(0, 60, 5):
        file.append(blocks(first, 5, NAMES[: 1 + first // 15]))
        assert same(read_rows(path), path)
    file.set_summary({"final": 1.0})
    assert same(read_rows(path), path)
    again = MetricsFile(path, {})
    assert same(read_rows(path), path)
    again.append(blocks(60, 3))
    assert same(read_rows(path), path)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("complete", [True, False])
def test_a_closed_file_is_plain_hdf5(tmp_path: Path, complete: bool) -> None:
    """Nothing of ours stands behind it, and whoever asks is told to ask HDF5."""
    path = tmp_path / "metrics.h5"
    file = MetricsFile(path, {})
    file.append(blocks(0, 5))
    while_written = path.stat().st_size
    file.finish(complete=complete)
    assert read_rows(path) is None
    with h5py.File(path, "r") as plain:
        ends = max(data.id.get_offset() + data.nbytes for data in plain["series"].values())
    assert ends <= path.stat().st_size < while_written
    assert b"hpc-rows" not in path.read_bytes()


@pytest.mark.usefixtures("quick")
def test_a_row_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    """Torn, or in front of one that another host does not see yet: as HDF5's reader has it."""
    path = tmp_path / "metrics.h5"
    file = MetricsFile(path, {})
    file.append(blocks(0, 3, ("loss",)))
    with h5py.File(path, "r", locking=False) as plain:
        begins = plain["series/loss"].id.get_offset()
    content = path.read_bytes()
    for place, change in ((3, b"\xff" * 8 + pack_row(0, 1.0, 2e9)[8:]), (1, pack_row(-1, math.nan, math.nan))):
        at = begins + 24 * place
        path.write_bytes(content[:at] + change + content[at + 24 :])
        assert same(read_rows(path), path)
    assert len((read_rows(path) or {})["loss"].step) == 1


@pytest.mark.usefixtures("quick")
def test_a_file_that_another_program_changed_is_left_to_hdf5(tmp_path: Path) -> None:
    """Whoever writes into it by HDF5 cuts off what stands behind: no index outlives what it says."""
    path = tmp_path / "metrics.h5"
    MetricsFile(path, {}).append(blocks(0, 3))
    with h5py.File(path, "r+") as plain:
        plain.attrs["note"] = "by hand"
        del plain["series/loss"]
    assert read_rows(path) is None
    assert len(read(path)) == len(NAMES) - 1


@pytest.mark.usefixtures("quick")
def test_damage_is_never_more_than_no_answer(tmp_path: Path) -> None:
    """Bytes changed anywhere, the file cut anywhere: no error; and of a damaged index nothing is believed."""
    path, chance = tmp_path / "metrics.h5", random.Random(SEED)  # noqa: S311  no secret
    MetricsFile(path, {}).append(blocks(0, 3))
    content = path.read_bytes()
    begins = content.rindex(b'{"')
    for _ in range(DAMAGES):
        place = chance.choice([chance.randrange(len(content)), chance.randrange(begins, len(content))])
        path.write_bytes(content[:place])
        assert read_rows(path) is None
        changed = chance.randbytes(1)
        path.write_bytes(content[:place] + changed + content[place + 1 :])
        found = read_rows(path)
        if (
            place >= begins
            and changed != content[place : place + 1]
            and not len(content) - 12 <= place < len(content) - 8
        ):
            assert found is None, place


@pytest.mark.parametrize(
    "places", [{"loss": [0, 1 << 40]}, {"loss": [-24, 1]}, {"loss": 7}, {"loss": ["0", 1]}, [], 7, {"loss": [0, 1, 2]}]
)
def test_an_index_that_leads_elsewhere_is_not_followed(tmp_path: Path, places: object) -> None:
    """Places beyond the file, or what is none at all, whole as the index itself may be."""
    path = tmp_path / "metrics.h5"
    MetricsFile(path, {}).append(blocks(0, 3))
    content = path.read_bytes()
    forged = metrics_h5.index_of(json.loads(json.dumps(places)))
    path.write_bytes(content[: content.rindex(b'{"')] + forged)
    assert read_rows(path) is None


def test_what_is_no_file_is_no_answer(tmp_path: Path) -> None:
    """Absent, a folder, a named pipe that nobody writes into."""
    assert read_rows(tmp_path / "absent.h5") is None
    assert read_rows(tmp_path) is None
    os.mkfifo(tmp_path / "pipe.h5")
    assert read_rows(tmp_path / "pipe.h5") is None
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError):
        read(tmp_path / "text.h5")
    assert read_rows(tmp_path / "text.h5") is None
