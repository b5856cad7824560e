"""Tasks to which nothing has happened are numbers: the same ones as when each of them is looked at."""

import contextlib
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters import slurm, slurm_site
from hpc.adapters.files import write_json
from hpc.adapters.index_file import write_index
from hpc.adapters.manifest_store import list_submissions, load_index, load_manifest
from hpc.adapters.task_lines import index_lines, manifest_lines
from hpc.adapters.withdrawn import withdraw
from hpc.core.errors import HpcError, TemporaryError
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.record import record_from
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.node.attempt import Job
from hpc.node.task_record import build_task
from hpc.rounds.act import assess
from hpc.snapshots import remembered, untouched
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import Snapshot
from hpc.snapshots.untouched import take_brief_snapshot
from hpc.standing.lines import render
from hpc.status import look, stand
from hpc.submissions.on_disk import comment_of
from hpc.submissions.prepare import submit_to_local_queue
from tests.local_projects import EXPERIMENT, make_project
from tests.made_records import exit_record

TASKS = 110
"""More than are written indented, so that each has a line."""
CHANGES = 36
SEED = 20261130


def planned(folder: Path, tasks: int) -> Path:
    """Plan so many tasks in one array, and ask this machine's queue for them."""
    project = make_project(folder, EXPERIMENT.replace("x: [1, 2]", f"x: {list(range(tasks))}"))
    project.hpc("plan", "tiny", "--cluster", "local")
    layout = RunLayout(project.runs, "tiny")
    submit_to_local_queue(list_submissions(layout))
    return layout.home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that waits as a whole."""
    return planned(tmp_path_factory.mktemp("untouched") / "project", TASKS)


KINDS = ("local", "local packs", "slurm", "slurm packs")
JOB = "7"
PER_ELEMENT = 4


@pytest.fixture
def layout(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> RunLayout:
    """A copy of it; for one of the other kinds as if it had been planned so. How it was at first is kept beside it."""
    shutil.copytree(made, tmp_path / "first", symlinks=True)
    scheduler, _, packed = getattr(request, "param", "local").partition(" ")
    first = list_submissions(RunLayout(tmp_path, "first"))[0]
    pack = {"tasks": PER_ELEMENT, "at_once": 2} if packed else None
    write_index(first.index, {**load_index(first).to_json(), "scheduler": scheduler, "pack": pack})
    if scheduler == "slurm":
        write_json(first.receipt, {"time": 1.0, "job": JOB})
    shutil.copytree(tmp_path / "first", tmp_path / "tiny", symlinks=True)
    return RunLayout(tmp_path, "tiny")


class Queue:
    """What Slurm says: of each element one row, or one of all; or that it does not answer."""

    def __init__(self, layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
        index = load_index(list_submissions(layout)[0])
        self.mark = comment_of(index.manifest_sha, 1)
        self.elements = index.elements
        self.accounting: dict[str, JobRow] | None = {}
        self.queue = {f"{JOB}_{each}": self.row(f"{JOB}_{each}") for each in range(self.elements)}
        self.problem = ""
        monkeypatch.setattr(slurm, "query_queue", self._squeue)
        monkeypatch.setattr(slurm, "query_accounting", lambda *_: self.accounting and [*self.accounting.values()])
        monkeypatch.setattr(slurm_site, "read_config_value", lambda *_: "here")

    def row(self, job: str, state: SlurmState = SlurmState.PENDING, **changes: Any) -> JobRow:
        """What is said of a job."""
        return JobRow(**{"job": job, "raw_id": "1", "state": state, "comment": self.mark, "reason": "None", **changes})

    def _squeue(self, *_: object) -> list[JobRow]:
        if self.problem:
            raise TemporaryError(self.problem)
        return [*self.queue.values()]

    def change(self, chance: random.Random) -> None:
        """Let something happen there."""
        job = f"{JOB}_{chance.randrange(self.elements)}"
        how = chance.randrange(8)
        if how == 0:
            self.queue[job] = self.row(job, reason=chance.choice(["Priority", "QOSMaxJobsPerUserLimit", "JobHeldUser"]))
        elif how == 1:
            self.queue[job] = self.row(job, chance.choice([SlurmState.RUNNING, SlurmState.CONFIGURING]), started=5.0)
        elif how == 2 and self.accounting is not None:
            self.queue.pop(job, None)
            ended = chance.choice([SlurmState.COMPLETED, SlurmState.FAILED, SlurmState.CANCELLED, SlurmState.TIMEOUT])
            self.accounting[job] = self.row(job, ended, started=5.0, ended=9.0, submitted=1.0)
        elif how == 3:
            self.queue.pop(job, None)  # lost
        elif how == 4:
            self.queue[job] = self.row(job, comment=f"{'0' * 16}/001")  # the id was given again
        elif how == 5:
            self.problem = chance.choice(["", "squeue did not answer"])
        elif how == 6:
            self.accounting = None if self.accounting else {}
        elif self.accounting is not None:
            self.accounting[JOB] = self.row(JOB, SlurmState.CANCELLED, submitted=1.0, ended=2.0)


def begin(layout: RunLayout, position: int, *, ended: bool, code: int = 0) -> None:
    """Let an element have begun, and ended."""
    index = load_index(list_submissions(made_again(layout))[0])
    entry = index.entries[position]
    task = layout.task(entry.run_name)
    attempt = task.attempt(1)
    on_slurm = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": JOB, "SLURM_ARRAY_TASK_ID": str(index.element_of(position))}
    job = Job.from_environment({"HPC_LOCAL_JOB": "local-test"} if index.scheduler == "local" else on_slurm)
    record = build_task(index, entry, task, 1, job)
    write_json(attempt.task_json, record.to_json())
    if ended:
        end = exit_record(exit_code=code, started=record.started, ended=record.started + 5)
        write_json(attempt.exit_json, record_from(ExitRecord, end.to_json()).to_json())
        write_json(attempt.home / "summary.json", {"complete": True, "summary": {"loss": 1.0}})


def told(snapshot: Snapshot) -> object:
    """All that `status` says of a snapshot, at whatever moment it was taken."""
    snapshot = replace(snapshot, taken=2e9)
    standing = stand(snapshot)
    return {**asdict(standing), "by_exit_code": None, "collected": None}, render(snapshot, standing)


def whole(layout: RunLayout) -> object:
    """The same from a look at every task; or the error."""
    try:
        return told(take_snapshot(layout, require_slurm=False))
    except HpcError as error:
        return str(error)


def brief(layout: RunLayout) -> object:
    """The same from a brief look; or the error."""
    try:
        return told(take_brief_snapshot(layout, Memory(layout)))
    except HpcError as error:
        return str(error)


def test_what_waits_is_one_number(layout: RunLayout) -> None:
    """No state is made of a task that has no folder; what is not submitted counts as planned."""
    seen = take_brief_snapshot(layout, Memory(layout))
    assert (seen.tasks, seen.untouched) == ((), {Outcome.PENDING: TASKS, Outcome.PLANNED: 0})
    assert brief(layout) == whole(layout)
    list_submissions(layout)[0].receipt.unlink()
    list_submissions(layout)[0].intent.unlink(missing_ok=True)
    assert take_brief_snapshot(layout, Memory(layout)).untouched == {Outcome.PENDING: 0, Outcome.PLANNED: TASKS}
    begin(layout, 7, ended=True)
    assert [each.task.run_name for each in take_brief_snapshot(layout, Memory(layout)).tasks] == ["X7"]


@pytest.mark.parametrize("layout", KINDS, indirect=True)
def test_a_brief_look_says_what_a_whole_one_says(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """After any sequence of ends, withdrawals, arrays, edits, damage and purges; and of words of Slurm."""
    queue = Queue(layout, monkeypatch)
    if "slurm" not in request.node.callspec.id:
        monkeypatch.setattr(queue, "change", lambda _: None)
    chance = random.Random(SEED)  # noqa: S311  no secret
    changes: list[Callable[[], None]] = [
        lambda: begin(layout, chance.randrange(TASKS), ended=True),
        lambda: begin(layout, chance.randrange(TASKS), ended=True, code=1),
        lambda: begin(layout, chance.randrange(TASKS), ended=False),
        lambda: withdraw(list_submissions(layout)[-1], cancelled=[f"X{chance.randrange(TASKS)}"]),
        lambda: withdraw(list_submissions(layout)[-1], set_aside=[f"X{chance.randrange(TASKS)}"]),
        lambda: _submit_again(layout, chance),
        lambda: _forget(layout, chance),
        lambda: _edit(chance.choice([layout.manifest, list_submissions(layout)[0].index]), chance),
        lambda: (layout.tasks / f"X{chance.randrange(TASKS)}").mkdir(parents=True, exist_ok=True),
        lambda: write_json(layout.tasks / "no folder", {}),
        lambda: write_json(layout.restored, {"kind": "restored"}),
        lambda: write_json(layout.held_runs, {"runs": {"X3": {"by": "me", "reason": "later", "time": 1.0}}}),
        lambda: layout.verdicts.unlink(missing_ok=True),
        lambda: _collect(layout),
        *3 * [lambda: queue.change(chance)],
    ]
    said = Counter[str]()
    for number in range(CHANGES):
        if number % 12 == 11:  # what is damaged is not mended, and hides all that comes later
            shutil.rmtree(layout.home)
            shutil.copytree(made_again(layout).home, layout.home, symlinks=True)
        chance.choice(changes)()
        assert brief(layout) == whole(layout), number
        said[type(brief(layout)).__name__] += 1
        with contextlib.suppress(HpcError):
            said["short"] += any(take_brief_snapshot(layout, Memory(layout)).untouched.values())
    assert said["tuple"] > CHANGES // 3
    assert said["short"] >= CHANGES // 12


@pytest.mark.parametrize("is_known", [False, True])
def test_a_look_that_begins_anew_remembers_each_run_once(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """Where a brief look comes late to what only a whole one can say, nothing of it is left beside the other."""
    monkeypatch.setattr(remembered, "SETTLED_S", 0.0)
    for place in range(remembered.LEAST + 1):
        begin(layout, place, ended=True)
    time.sleep(0.01)
    if is_known:
        assess(layout)
        for place in range(remembered.LEAST + 1):
            layout.task(f"X{place}").home.touch()
        time.sleep(0.01)

    def too_late(*_: object) -> None:
        raise OSError("every run was looked at")

    with monkeypatch.context() as late:
        late.setattr(untouched, "snapshot_of", too_late)
        look(layout, writes=True)
    lines = layout.remembered.read_bytes().splitlines()[2:]
    runs = [line.partition(b"\t")[0] for line in lines[: lines.index(b"")]]
    assert runs
    assert sorted(set(runs)) == sorted(runs)
    assert brief(layout) == whole(layout)


def made_again(layout: RunLayout) -> RunLayout:
    """The experiment as it was before anything happened to it."""
    return RunLayout(layout.root, "first")


def _submit_again(layout: RunLayout, chance: random.Random) -> None:
    """Submit some tasks once more: as a plain array, a canary and those that wait for it, or a pack."""
    last = list_submissions(layout)[-1]
    number = last.number + 1
    index = load_index(list_submissions(made_again(layout))[0])
    entries = [each.to_json() for each in chance.sample(index.entries, 5)]
    again = layout.submission(number)
    again.home.mkdir()
    changed = {"entries": entries, "submission": number, "pack": chance.choice([None, {"tasks": 2, "at_once": 1}])}
    write_index(again.index, {**index.to_json(), **changed})
    job = "local" if index.scheduler == "local" else chance.choice([JOB, "8"])
    asked = {"time": 1.0, "job": job, "waits_for": chance.choice([0, last.number])}
    write_json(chance.choice([again.receipt, again.intent]), asked)


def _collect(layout: RunLayout) -> None:
    """Collect what there is, where it can be read."""
    with contextlib.suppress(HpcError):
        assess(layout)


def _forget(layout: RunLayout, chance: random.Random) -> None:
    """Lose a receipt."""
    chance.choice(list_submissions(layout)).receipt.unlink(missing_ok=True)


def _edit(path: Path, chance: random.Random) -> None:
    """Change a byte of a file, lay it out otherwise, or cut it."""
    content = path.read_bytes()
    place = chance.randrange(len(content) + 1)  # it may have been cut to nothing
    how = chance.randrange(3)
    if how == 0:
        path.write_bytes(content[:place] + b"7" + content[place + 1 :])
    elif how == 1:
        with contextlib.suppress(ValueError):  # damaged before
            path.write_text(json.dumps(json.loads(content)))
    else:
        path.write_bytes(content[:place])


def test_work_does_not_grow_with_what_waits(layout: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine times as many tasks in one array: as many files are opened and asked about, and no task is parsed."""
    shutil.copytree(planned(tmp_path / "project", 9 * TASKS), tmp_path / "many/tiny", symlinks=True)
    many = RunLayout(tmp_path / "many", "tiny")
    monkeypatch.setattr(untouched, "task_from_json", lambda _: pytest.fail("a task was parsed"))
    asked: Counter[str] = Counter()
    for name in ("open", "stat", "scandir", "listdir"):
        function = getattr(os, name)

        def counted(*given: Any, name: str = name, function: Callable[..., Any] = function, **more: Any) -> Any:
            asked[name] += 1
            return function(*given, **more)

        monkeypatch.setattr(os, name, counted)
    calls = []
    for each in (layout, many, layout, many):  # the first look of each keeps what is whole
        asked.clear()
        _, standing = look(each, writes=True)
        calls.append(dict(asked))
    assert standing.outcomes[Outcome.PENDING] == 9 * TASKS
    assert calls[2] == calls[3]
    assert calls[3]["open"] < 60


def test_what_is_withdrawn_is_looked_at_alone(layout: RunLayout) -> None:
    """One element of an array that is not to start makes nobody look at the others."""
    withdraw(list_submissions(layout)[0], cancelled=["X3"], set_aside=["X5"])
    seen = take_brief_snapshot(layout, Memory(layout))
    assert [task.task.run_name for task in seen.tasks] == ["X3", "X5"]
    assert seen.untouched == {Outcome.PENDING: TASKS - 2, Outcome.PLANNED: 0}


def test_a_manifest_is_hashed_once(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found whole is known by the file's digest; another file is looked at again."""
    monkeypatch.setattr(remembered, "LEAST", 1)
    look(layout, writes=True)
    checked = []
    check = untouched.check_manifest
    monkeypatch.setattr(untouched, "check_manifest", lambda *given: (checked.append(given), check(*given)))
    look(layout, writes=True)
    assert checked == []
    layout.manifest.write_text(layout.manifest.read_text() + "\n")
    look(layout, writes=True)
    assert len(checked) == 1


def test_lines_are_those_of_the_whole_file(layout: RunLayout) -> None:
    """Ids, names and what each line says are those that parsing gives; what collected kept counts as touched."""
    found, manifest = manifest_lines(layout.manifest), load_manifest(layout)
    assert found is not None
    assert found.read({*found.ids}) == manifest["tasks"]
    assert {**found.rest, "tasks": manifest["tasks"]} == manifest
    files = list_submissions(layout)[0]
    entries = index_lines(files.index)
    assert entries is not None
    assert entries.read({*entries.ids}) == [each.to_json() for each in load_index(files).entries]
    begin(layout, 3, ended=True)
    assess(layout)
    shutil.rmtree(layout.task("X3").home)
    assert [each.task.run_name for each in take_brief_snapshot(layout, Memory(layout)).tasks] == ["X3"]
    assert brief(layout) == whole(layout)
