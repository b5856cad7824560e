"""Runs that several processes read say what they say when one reads them, whatever becomes of the processes."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest

from benchmarks.made_experiments import finished, planned, write_experiment
from hpc.adapters import metrics_apart
from hpc.core.layout import RunLayout
from hpc.rounds import messages, side_by_side
from hpc.rounds.act import assess
from hpc.rounds.reading import Read, Reader
from hpc.rounds.settling import Settling
from hpc.rounds.side_by_side import Asked
from hpc.snapshots import remembered
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import TaskState

RUNS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """A dozen runs that ended; one failed, one printed trouble, of three something is gone or damaged."""
    folder = tmp_path_factory.mktemp("side") / "project"
    write_experiment(folder, RUNS, program="{module: train.control, args: {epochs: 1}}")
    layout = planned(folder)
    finished(layout, steps=30, metrics=2)
    attempts = sorted(layout.tasks.glob("*/attempt-1"))
    _change(attempts[1] / "exit.json", exit_code=1, program_outcome=None)
    (attempts[1] / "stderr.log").write_text("Traceback (most recent call last):\nValueError: math domain error\n")
    (attempts[2] / "stdout.log").write_text("step 1 loss: 0.5\nstep 2 loss: nan\n")
    (attempts[3] / "metrics.h5").write_bytes((attempts[3] / "metrics.h5").read_bytes()[:3000])
    (attempts[4] / "metrics.h5").unlink()
    (attempts[5] / "exit.json").unlink()
    boot = json.loads((attempts[5] / "task.json").read_text())["pid"].partition("/")[0]
    _change(attempts[5] / "task.json", pid=f"{boot}/4190000/1")  # of a wrapper that is dead
    shutil.copytree(attempts[6], attempts[6].with_name("attempt-2"), symlinks=True)
    _change(attempts[6] / "exit.json", exit_code=1, program_outcome=None)
    _change(attempts[6].with_name("attempt-2") / "task.json", attempt=2)
    return layout


def _change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything may be remembered at once, and few runs are worth two processes."""
    monkeypatch.setattr(remembered, "SETTLED_S", 0.0)
    monkeypatch.setattr(side_by_side, "_AT_ONCE", 3)


def collected(layout: RunLayout, monkeypatch: pytest.MonkeyPatch, processes: int) -> list[Any]:
    """Collect from nothing; return all that was written but when."""
    monkeypatch.setattr(side_by_side, "processes_for", lambda _: processes)
    shutil.rmtree(layout.collected, ignore_errors=True)
    for path in (layout.remembered, layout.ledger):
        path.unlink(missing_ok=True)
    assess(layout)
    verdicts = json.loads(layout.verdicts.read_text())
    told = {name: value for name, value in verdicts.items() if name not in ("collected", "sha256", "ledger")}
    with layout.tasks_csv.open() as file:
        table = list(csv.reader(file))
    found: dict[str, object] = {}
    with h5py.File(layout.results) as file:
        file.visititems(lambda name, item: found.update({name: _content(item)}))
    remembers = layout.remembered.read_text().partition("\n\n")[2]  # what is kept of each task
    return [told, table, found, remembers]


def _content(item: h5py.Group | h5py.Dataset) -> object:
    if isinstance(item, h5py.Group):
        return None
    return list(item[()]) if item.dtype.kind == "O" else item[()].tobytes()


def count_answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """List the places of all runs that processes read from here on."""
    answered: list[int] = []
    reading = side_by_side.read_side_by_side

    def counted(*asked: Any) -> Iterator[tuple[int, Read]]:
        for row, read in reading(*asked):
            answered.append(row)
            yield row, read

    monkeypatch.setattr(side_by_side, "read_side_by_side", counted)
    return answered


def asked_of(layout: RunLayout) -> tuple[Reader, list[Asked]]:
    """What is asked of processes, where everything is new."""
    memory = Memory(layout)
    snapshot = take_snapshot(layout, memory=memory)
    with closing(Settling(snapshot, memory, include_running=False, settles=True, writes=True)) as settling:
        return settling._reader, list(enumerate(snapshot.tasks))


def test_processes_say_what_one_says(made: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts, table, curves and what is remembered are the same, of failures and damaged runs too."""
    told, *rest = collected(made, monkeypatch, 0)
    assert {task["outcome"] for task in told["tasks"]} == {"finished", "failed"}
    answered = count_answers(monkeypatch)
    assert collected(made, monkeypatch, 2) == [told, *rest]
    assert len(answered) == RUNS - 1  # the damaged one is read with more care


def test_processes_that_die_lose_nothing(made: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is killed over every third run, is late each time, or cannot be started: the rest is read here."""
    alone = collected(made, monkeypatch, 0)
    reads = side_by_side._Process.read

    def dies(self: side_by_side._Process, batch: Sequence[Asked]) -> Iterator[Read | None]:
        for count, read in enumerate(reads(self, batch)):
            if count == 2:
                self._process.kill()
            yield read

    answered = count_answers(monkeypatch)
    for owner, name, instead, at_least in (
        (side_by_side._Process, "read", dies, 4),
        (side_by_side, "sys", SimpleNamespace(executable="/bin/false", path=sys.path), 0),
        (metrics_apart, "MOST_SECONDS", 0.0, 0),
    ):
        answered.clear()
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, instead)
            if name == "MOST_SECONDS":  # which those who read with more care need
                assert len(list(side_by_side.read_side_by_side(*asked_of(made), 2))) < RUNS
                continue
            assert collected(made, patched, 2) == alone
        assert at_least <= len(answered) < RUNS - 1


def test_answers_that_make_no_sense_lose_nothing(made: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer that is cut anywhere nothing is believed: the run is read here."""
    alone = collected(made, monkeypatch, 0)
    whole, cut = messages.read_from, iter(range(10**6))

    def cuts(message: bytes, state: TaskState) -> Read | None:
        return whole(message[: next(cut) * 97 % len(message)] if message else message, state)

    monkeypatch.setattr(messages, "read_from", cuts)
    answered = count_answers(monkeypatch)
    assert collected(made, monkeypatch, 2) == alone
    assert not answered


def test_an_experiment_that_cannot_be_told_is_read_here(made: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is told the experiment as JSON, and never something else than it is."""
    alone = collected(made, monkeypatch, 0)
    monkeypatch.setattr(messages, "as_json", lambda _: {})
    answered = count_answers(monkeypatch)
    assert collected(made, monkeypatch, 2) == alone
    assert not answered


def test_nothing_goes_on_once_nobody_listens(made: RunLayout) -> None:
    """Whoever has enough ends the processes."""
    reading = side_by_side.read_side_by_side(*asked_of(made), 2)
    next(reading)
    processes = list(live_processes())
    reading.close()
    assert processes
    assert not set(processes) & set(live_processes())


def live_processes() -> Iterator[int]:
    """Children of this process that read runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            is_ours = f"\nPPid:\t{os.getpid()}\n" in path.with_name("status").read_text()
            if is_ours and b"side_by_side" in path.read_bytes():
                yield int(path.parent.name)


def test_few_runs_and_one_core_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started for many runs, as many as the machine has cores for us, and four at most."""
    for cores, runs, expected in ((64, 10**5, 4), (2, 300, 2), (2, 299, 0), (1, 10**5, 0)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert side_by_side.processes_for(runs) == expected
