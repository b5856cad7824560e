"""Each function that writes what counts, on a file system that fails at its n-th call, for every n there is.

Afterwards the fault is gone: what was said to be written is there, nothing is torn, and the same call succeeds.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.adapters.files import read_json, write_json
from hpc.adapters.ledger import append_json_line, read_json_lines
from hpc.core.errors import HpcError
from hpc.core.layout import RunLayout
from hpc.metrics import MetricsWriter, is_complete, read
from hpc.node import attempt
from hpc.submissions.prepare import publish_array
from tests.faults.filesystem import Faults
from tests.faults.mounts import Mounted, can_mount, mounted
from tests.faults.sweep import KINDS
from tests.made_records import submission_index, task_record
from tests.parts import need

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
MOST, ROWS = 300, 12
HANG_S = 20.0


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """One mount."""
    need(can_mount(), "root, /dev/fuse and libfuse3 (scripts/lab/install-slurm)")
    with mounted(tmp_path_factory.mktemp("writes"), mounts=1) as mounts:
        yield mounts[0]


class Failing:
    """A fault at one call, for a block; what the block raises of its own is kept as `said`.

    Attributes:
        at: The how-manieth call.
        said: What the block raised; empty where nothing.
        is_met: Whether the block came to that call.
    """

    def __init__(self, mount: Mounted, kind: str, at: int) -> None:
        self.at, self.said, self.is_met = at, "", False
        self._mount, self._faults = mount, replace(KINDS[kind], at=at)

    def __enter__(self) -> Failing:
        self._mount.switch(self._faults)
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> bool:
        self.is_met = self._mount.count() >= self.at
        self._mount.switch()
        self.said = str(error) if error else ""
        return isinstance(error, OSError | HpcError)


def each_call(mount: Mounted, kind: str) -> Iterator[tuple[Path, Failing]]:
    """An empty folder and a fault at the first call, at the second, … until one that is not met any more."""
    for at in range(1, MOST):
        folder = mount.point / f"folder-{next(_numbers)}"
        folder.mkdir()
        fault = Failing(mount, kind, at)
        yield folder, fault
        if not fault.is_met:
            return
    raise AssertionError(f"more than {MOST} calls")


_numbers = itertools.count()


def no_leftovers(folder: Path) -> None:
    """No file is left that nobody will ever look at."""
    assert [path.name for path in folder.rglob("*.tmp")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_the_old_or_the_new_one(mount: Mounted, kind: str) -> None:
    """Whatever fails: it is whole, the new one where nothing was said, and the next writer succeeds."""
    for folder, fault in each_call(mount, kind):
        path = folder / "x.json"
        write_json(path, {"version": 1})
        with fault:
            write_json(path, {"version": 2, "filler": "x" * 10_000})
        assert read_json(path)["version"] in ((1, 2) if fault.said else (2,)), (fault.at, fault.said)
        write_json(path, {"version": 3})
        assert read_json(path) == {"version": 3}
        no_leftovers(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_keeps_what_it_took(mount: Mounted, kind: str) -> None:
    """Every line that raised nothing is there, no line is torn or there twice, and the next one is added."""
    for folder, fault in each_call(mount, kind):
        path, kept = folder / "l.jsonl", list[int]()
        with fault:
            for number in range(4):
                with contextlib.suppress(OSError):
                    append_json_line(path, {"number": number, "filler": "x" * 5000})
                    kept.append(number)
        append_json_line(path, {"number": 4})
        found = [line["number"] for line in read_json_lines(path)]
        assert len(found) == len(path.read_text(encoding="utf-8").split("\n")) - 1, fault.at
        assert [number for number in found if number in kept] == kept, (fault.at, kept, found)
        assert len(found) == len(set(found)), (fault.at, found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_claim_is_whole_or_not_there(mount: Mounted, kind: str) -> None:
    """An attempt's folder holds a whole record, of whom was told so, and can be claimed where nobody was."""
    for folder, fault in each_call(mount, kind):
        task, won = RunLayout(folder, "e").task("t0"), list[bool]()
        with fault:
            won.append(attempt.claim(task, 1, task_record(run_name="t0", job="1_1")))
        assert won == [True] or fault.said, fault.at
        again = attempt.claim(task, 1, task_record(run_name="t0", job="2_1"))
        assert read_json(task.attempt(1).task_json)["job"] == ("2_1" if again else "1_1"), (fault.at, fault.said)
        assert not (again and won), fault.at


@pytest.mark.parametrize("kind", KINDS)
def test_a_submission_is_whole_or_not_there(mount: Mounted, kind: str) -> None:
    """A number that is taken has its index and its script."""
    for folder, fault in each_call(mount, kind):
        first = RunLayout(folder, "e").submission(1)
        with fault:
            publish_array(first, submission_index(), "#!/bin/sh\n")
        was_free = publish_array(first, submission_index(), "#!/bin/sh\n")
        assert fault.said or not was_free, fault.at
        assert first.script.read_text(encoding="utf-8") == "#!/bin/sh\n"
        assert read_json(first.index)


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_lose_no_row_that_was_not_told_of(mount: Mounted, kind: str) -> None:
    """A file that was closed without an error has all rows; any other can be read, and what is in it is right."""
    for folder, fault in each_call(mount, kind):
        path = folder / "metrics.h5"
        with fault, MetricsWriter(path, flush_interval_s=0) as metrics:
            for step in range(ROWS):
                metrics.log(step, loss=float(step))
        if not fault.said:
            assert is_complete(path), fault.at
            assert read(path)["loss"].value.tolist() == [float(step) for step in range(ROWS)], fault.at
        elif path.exists() and (series := read(path).get("loss")) is not None:
            assert series.value.tolist() == series.step.tolist(), fault.at


def test_a_call_that_hangs_costs_time_only(mount: Mounted) -> None:
    """Twenty seconds in one write: everything is there afterwards."""
    folder = mount.point / "hangs"
    folder.mkdir()
    mount.switch(Faults(calls=("write",), at=1, hang_s=HANG_S))
    append_json_line(folder / "l.jsonl", {"number": 1})
    mount.switch()
    assert read_json_lines(folder / "l.jsonl") == [{"number": 1}]
