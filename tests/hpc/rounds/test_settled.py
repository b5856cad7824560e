"""What a collection keeps of runs that are over: the next says what one without it would, and reads only the new."""

import csv
import errno
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import pytest

from hpc.adapters.files import write_json
from hpc.core.errors import HpcError
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.task import TaskRecord
from hpc.core.retry.records import RetryPlan
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.metrics import MetricsWriter
from hpc.rounds import tables
from hpc.rounds.act import assess
from hpc.snapshots import remembered
from hpc.snapshots.evidence import Results, read_results
from hpc.snapshots.listing import list_files
from hpc.snapshots.remembered import Memory, Still
from hpc.snapshots.snapshot import take_snapshot
from tests.damages import COPIES, change_digits, damages, exchange_with_then
from tests.local_projects import EXPERIMENT, make_project

CHANGES = 80
SEED = 20261130
PACKED = "7_1"
PRINTED = "hpc: {run} attempt 1, job 7_1: starts\nhpc: {run} attempt 1 ended\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs: one failed, one has two attempts, two shared an array element of Slurm's; never collected."""
    project = make_project(
        tmp_path_factory.mktemp("settled") / "project",
        EXPERIMENT.replace("x: [1, 2]", "x: [1, 2, 3, 4, 5]") + "check: loss < 2\n",
        "import sys\nif sys.argv[1] == '3':\n    raise KeyError('a bug')\nprint(f'loss: {float(sys.argv[1]) / 2}')\n",
    )
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    home = project.runs / "tiny"
    while len(list(home.glob("tasks/*/attempt-1/exit.json"))) < 5:  # on a loaded machine the queue is followed no more
        time.sleep(0.1)
    _attempt_more(home, "X2")
    row = JobRow(PACKED, "10", SlurmState.COMPLETED, started=1.0, ended=2e9, steps={"batch": SlurmState.COMPLETED})
    for run in ("X4", "X5"):
        _change(home / f"tasks/{run}/attempt-1/task.json", scheduler="slurm", job=PACKED, packed=2)
        write_json(home / f"tasks/{run}/attempt-1/scheduler.json", asdict(row))
    (home / f"submissions/001/logs/{PACKED}.log").write_text("".join(PRINTED.format(run=run) for run in ("X4", "X5")))
    for name in ("collected", ".remembered.jsonl", "ledger.jsonl", *COPIES):
        path = home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return home


@pytest.fixture
def layout(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLayout:
    """A copy of it, of which everything may be kept at once."""
    monkeypatch.setattr(remembered, "SETTLED_S", 0.0)
    monkeypatch.setattr(remembered, "LEAST", 1)
    shutil.copytree(made, tmp_path / "tiny", symlinks=True)
    time.sleep(0.01)  # a file system's clock ticks every few ms
    return RunLayout(tmp_path, "tiny")


def _change(path: Path, **fields: object) -> None:
    write_json(path, {**json.loads(path.read_text()), **fields})


def _attempt_more(home: Path, run: str) -> None:
    """Let a run have one more attempt, as if it had been started again."""
    attempts = sorted((home / "tasks" / run).glob("attempt-*"), key=lambda path: int(path.name[8:]))
    if not attempts:
        return
    number = int(attempts[-1].name[8:]) + 1
    target = attempts[-1].with_name(f"attempt-{number}")
    shutil.copytree(attempts[-1], target, symlinks=True)
    if not (target / "task.json").is_file():
        return
    told = json.loads((target / "task.json").read_text())
    _change(target / "task.json", attempt=number)
    for name in ("metrics.h5", ".metrics.h5.lock"):
        (target / name).unlink(missing_ok=True)
    with MetricsWriter(target / "metrics.h5", task_id=told["task_id"], attempt=number) as writer:
        for step in range(3):
            writer.log(step, {"loss": number / (1 + step)})
        writer.summary(loss=number / 3)
    _change(target / "summary.json", summary={"loss": number / 3})


def collected(layout: RunLayout) -> object:
    """Collect; return all that was written but when, or the error."""
    try:
        notes = assess(layout).notes
    except HpcError as error:
        return str(error)
    verdicts = json.loads(layout.verdicts.read_text())
    told = {name: value for name, value in verdicts.items() if name not in ("collected", "sha256", "ledger")}
    with layout.tasks_csv.open() as file:
        table = list(csv.reader(file))
    found: dict[str, Any] = {}
    with h5py.File(layout.results) as file:
        assert file.attrs["verdicts_sha256"] == verdicts["sha256"]
        found.update(_everything(file))
    return notes, told, table, found


def _everything(group: h5py.Group) -> Iterator[tuple[str, object]]:
    """All that is in a file under each of its names: metrics may have columns in common."""
    for item in group.values():
        yield item.name, _content(item)
        if isinstance(item, h5py.Group):
            yield from _everything(item)


def _content(item: h5py.Group | h5py.Dataset) -> object:
    held = item[()] if isinstance(item, h5py.Dataset) else None
    values = None if held is None else list(held) if held.dtype.kind == "O" else held.tobytes()
    return values, dict(item.attrs)


def both(layout: RunLayout, tmp_path: Path) -> tuple[object, object]:
    """Collect with what is remembered; and a copy without, below the same name."""
    other = tmp_path / "other"
    shutil.rmtree(other, ignore_errors=True)
    os.renames(layout.home, other / "tiny")  # what is said names paths: both are collected at the same place
    shutil.copytree(other / "tiny", layout.home, symlinks=True, copy_function=_copy)
    layout.remembered.unlink(missing_ok=True)
    without = collected(layout)
    shutil.rmtree(layout.home)
    os.renames(other / "tiny", layout.home)
    return collected(layout), without


def _copy(source: str, target: str) -> None:
    """Copy what damage may leave: named pipes, too."""
    if stat.S_ISFIFO(os.lstat(source).st_mode):
        os.mkfifo(target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def count_readings(monkeypatch: pytest.MonkeyPatch) -> list[AttemptLayout]:
    """List every attempt whose results are read from here on."""
    read: list[AttemptLayout] = []

    def counted(attempt: AttemptLayout, *record: TaskRecord) -> Results:
        read.append(attempt)
        return read_results(attempt, *record)

    monkeypatch.setattr("hpc.rounds.judge.read_results", counted)
    return read


def count_stills(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List every run of which a glance told from here on that nothing has changed."""
    seen: list[str] = []
    still = Memory.still

    def counted(self: Memory, run_name: str, task_id: str) -> Still | None:
        found = still(self, run_name, task_id)
        if found:
            seen.append(run_name)
        return found

    monkeypatch.setattr(Memory, "still", counted)
    return seen


def test_only_what_is_new_is_read(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second collection reads nothing, of the failed run neither; a third what changed since."""
    first = collected(layout)
    read = count_readings(monkeypatch)
    assert collected(layout) == first
    assert not read
    for run in ("X3", "X4"):
        layout.task(run).attempt(1).stdout.write_text("loss: 2.0\nall went well\n")
        collected(layout)
        assert {each.home.parent.name for each in read} == {run}
        read.clear()
    monkeypatch.setattr("hpc.snapshots.settled.rules_digest", lambda: "0" * 64)
    collected(layout)
    assert {each.home.parent.name for each in read} == {"X1", "X2", "X3", "X4", "X5"}


def test_where_nothing_is_new_nothing_is_written(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files stand as they are; what was touched beside them is written anew, and what is decided otherwise."""
    collected(layout)
    files = [path for path in layout.collected.iterdir() if path.is_file() and path.name[0] != "."]
    before = {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in files}
    first = collected(layout)
    assert {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in files} == before
    layout.tasks_csv.write_text("")
    assert collected(layout) == first
    assert layout.tasks_csv.read_text()
    decided = json.loads(layout.retry_plan.read_text())
    monkeypatch.setattr("hpc.rounds.decide.plan_retries", lambda *_: RetryPlan())
    collected(layout)
    assert decided["declined"]
    assert not json.loads(layout.retry_plan.read_text())["declined"]


def test_where_nothing_is_new_nothing_heavy_is_loaded(layout: RunLayout) -> None:
    """Neither what reads metrics, nor what checks an experiment, nor the rules: that would be half of the time."""
    collected(layout)
    code = (
        "import sys; from pathlib import Path\n"
        "from hpc.core.layout import RunLayout; from hpc.rounds.act import assess\n"
        "from hpc.snapshots import remembered\n"
        "remembered.SETTLED_S = 0.0\n"
        f"assess(RunLayout(Path({str(layout.root)!r}), 'tiny'))\n"
        "print(*{'numpy', 'h5py', 'pydantic', 'hpc.core.failures.scene'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def _steady(layout: RunLayout) -> None:
    """Collect until nothing is left to be kept."""
    for _ in range(3):  # the first keeps Slurm's word beside a run, which changes its folder
        collected(layout)
        time.sleep(0.01)


@pytest.mark.parametrize("is_own_disk", [True, False])
def test_a_run_on_which_nothing_has_changed_is_seen_at_a_glance(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, is_own_disk: bool
) -> None:
    """Finished runs of one attempt: neither listed by name nor parsed; on a network, listed with their stamps."""
    monkeypatch.setattr(remembered, "is_own_disk", lambda _: is_own_disk)
    _steady(layout)
    seen = count_stills(monkeypatch)
    listed: list[str] = []
    monkeypatch.setattr(remembered, "list_files", lambda home: listed.append(home) or list_files(home))
    first = collected(layout)
    assert seen == ["X1", "X4", "X5"]
    assert {Path(home).parent.name for home in listed} == {"X2", "X3"}  # two attempts, and a failure
    for state in take_snapshot(layout, memory=Memory(layout, lists=True)).tasks:
        assert bool(state.late) == (state.task.run_name in seen)
    assert collected(layout) == first


@pytest.mark.parametrize("is_own_disk", [True, False])
def test_no_change_of_any_file_escapes_a_glance(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, is_own_disk: bool
) -> None:
    """Each file of a run rewritten as large and with its time, replaced by an older one, taken away, or joined."""
    monkeypatch.setattr(remembered, "is_own_disk", lambda _: is_own_disk)
    _steady(layout)
    home = layout.task("X1").attempt(1).home
    own = next(each["task_id"] for each in json.loads(layout.verdicts.read_text())["tasks"] if each["run_name"] == "X1")
    assert Memory(layout, lists=True).still("X1", own)
    assert not Memory(layout, lists=True).still("X1", "0" * 12)
    evidence = [path for path in home.iterdir() if path.is_file() and path.name[0] != "." and path.name != "claim"]
    assert len(evidence) > 4
    changes = [*(partial(change, path) for path in evidence if path.name != "outcome.json" for change in _CHANGES)]
    changes += [partial((home / "new.log").write_text, "1\n"), partial((home.parent / "attempt-2").mkdir)]
    for change in changes if is_own_disk else changes[::4]:
        with _as_it_was(layout.task("X1").home):
            change()
            assert not Memory(layout, lists=True).still("X1", own), change
        time.sleep(0.01)
        assess(layout)  # the folder is another now
        assert Memory(layout, lists=True).still("X1", own)


def _rewrite(path: Path) -> None:
    """Write as much over it, and give it the times it had."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace_by_older(path: Path) -> None:
    """Put an older copy in its place."""
    put = path.with_name(".put")
    shutil.copy2(path, put)
    os.utime(put, (1.0, 1.0))
    os.replace(put, path)


_CHANGES = (_rewrite, _replace_by_older, Path.unlink)


@contextmanager
def _as_it_was(folder: Path) -> Iterator[None]:
    """Put a folder back afterwards."""
    kept = Path(shutil.copytree(folder, folder.parent.parent / "kept", symlinks=True))
    try:
        yield
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def test_what_is_put_into_the_table_is_copied_only_as_it_was_left(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody touched the table, or what stands in its columns is another, all rows are made."""
    _steady(layout)
    made: list[object] = []
    row = tables._row
    monkeypatch.setattr(tables, "_row", lambda cells: made.append(1) or row(cells))
    layout.task("X4").attempt(1).stdout.write_text("loss: 2.0\n")
    first = collected(layout)
    assert len(made) == 3  # the header, the run that is new, and the failed one, which is decided about each time
    for touch in (lambda: layout.tasks_csv.write_text(layout.tasks_csv.read_text().replace("X1", "Y1")), None):
        made.clear()
        if touch:
            touch()
        else:
            monkeypatch.setattr(tables.Columns, "digest", "other")
            layout.task("X4").attempt(1).stdout.write_text("loss: 2.0\n")
        assert collected(layout) == first
        assert len(made) == 6


def test_a_failure_that_could_not_be_read_as_a_whole_is_judged_again(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system may have been the cause: neither a log nor metrics that gave an error settle a failed run."""
    for name, instead in (
        ("hpc.adapters.logs.read_log", lambda *_: _raise(OSError(errno.EIO, "Input/output error"))),
        ("hpc.adapters.metrics_apart.read_apart", lambda *_: _raise(OSError(errno.EIO, "Input/output error"))),
    ):
        layout.remembered.unlink(missing_ok=True)
        with monkeypatch.context() as patched:
            patched.setattr(name, instead)
            collected(layout)
        read = count_readings(monkeypatch)
        collected(layout)
        assert "X3" in {each.home.parent.name for each in read}, name
        read.clear()
        collected(layout)
        assert not read


def _raise(error: Exception) -> None:
    raise error


def test_a_failure_is_judged_again_when_its_siblings_are_others(layout: RunLayout, tmp_path: Path) -> None:
    """What decided about it stands in finished runs now: what is said of it changes, though its own files did not."""
    said = "KeyError: 'a bug'\n"
    layout.task("X3").attempt(1).stderr.write_text(f"Traceback (most recent call last):\n{said}ValueError: no such\n")
    before = collected(layout)
    for run in ("X1", "X4", "X5"):
        with layout.task(run).attempt(1).stdout.open("a") as file:
            file.write("ValueError: no such\n")
    layout.siblings.unlink()  # as if these were the first runs that end
    now, without = both(layout, tmp_path)
    assert now == without
    assert _of("X3", now) != _of("X3", before)


def _of(run: str, told: Any) -> object:
    return next(each for each in told[1]["tasks"] if each["run_name"] == run)


@pytest.mark.parametrize("name", ["verdicts.json", "results.h5"])
def test_what_was_collected_counts_only_as_it_was_left(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Who touches a file of it has everything read again."""
    first = collected(layout)
    read = count_readings(monkeypatch)
    os.utime(layout.collected / name)
    assert collected(layout) == first
    assert len(read) == 6


def test_a_run_of_many_curves_is_not_held(layout: RunLayout) -> None:
    """Of what a collection judged, finished runs hold no curves, no records and no verdicts."""
    judged = assess(layout).judged
    for task in judged.tasks:
        assert bool(task.settled) == (task.state.task.run_name != "X3")
        assert not task.settled or not task.attempts
        for attempt in task.state.attempts if task.settled else ():
            assert "record" not in vars(attempt)
            assert "ended" not in vars(attempt)


# ── the law ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _new_run(made: Path, home: Path, chance: random.Random) -> None:
    """Let a run be there that was not, or be as it was at first."""
    run = chance.choice(("X1", "X2", "X3", "X4", "X5"))
    target = home / "tasks" / run
    if os.path.lexists(target) and target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif os.path.lexists(target):
        target.unlink()
    if target.parent.is_dir():
        shutil.copytree(made / "tasks" / run, target, symlinks=True)


def _retry(_: Path, home: Path, chance: random.Random) -> None:
    _attempt_more(home, chance.choice(("X1", "X2", "X3", "X4")))


def _purge(_: Path, home: Path, chance: random.Random) -> None:
    run = chance.choice(sorted((home / "tasks").glob("*")) or [home / "none"])
    if chance.random() < 0.5:
        shutil.rmtree(run, ignore_errors=True)
    else:
        for path in [each for each in run.glob("attempt-*/*") if each.is_file() and chance.random() < 0.3]:
            path.unlink()


def _say_more(_: Path, home: Path, chance: random.Random) -> None:
    """Let the log of an element, or of a run, say one line more."""
    paths = [*home.glob("submissions/*/logs/*.log"), *home.glob("tasks/*/attempt-*/std*.log")]
    paths = [path for path in paths if path.is_file()]
    if paths:
        with chance.choice(sorted(paths)).open("a") as file:
            file.write(chance.choice(("loss: 1.0\n", "RuntimeError: CUDA error\n", "val_error=nan\n")))


def _same_size(_: Path, home: Path, chance: random.Random) -> None:
    """Change a digit in place, and give the file the time it had."""
    change_digits(home.glob("tasks/*/attempt-*/*.json"), chance)


def _memory_of_then(_: Path, home: Path, chance: random.Random) -> None:
    """Bring back an earlier memory, or earlier results, or keep these for that."""
    path = home / chance.choice((".remembered.jsonl", "collected/results.h5"))
    exchange_with_then(path, home.parent / f"earlier-{path.name}", chance)


def _replace_file(made: Path, home: Path, chance: random.Random) -> None:
    """Put a file of a run in the place of another, with the times it had: older than what it replaces, or as large."""
    mine = sorted(path for path in home.glob("tasks/*/attempt-*/*") if path.is_file() and not path.is_symlink())
    theirs = sorted(path for path in made.glob("tasks/*/attempt-*/*") if path.is_file())
    if mine:
        target = chance.choice(mine)
        source = chance.choice([path for path in theirs if path.name == target.name] or theirs)
        shutil.copy2(source, home.parent / "put")
        os.replace(home.parent / "put", target)


def _put_back(_: Path, home: Path, chance: random.Random) -> None:
    """Take a run away and bring it back as an archive does: other inodes, the same times; or the very same folder."""
    runs = sorted(path for path in home.glob("tasks/*") if path.is_dir() and not path.is_symlink())
    if runs:
        run, aside = chance.choice(runs), home.parent / "taken"
        run.rename(aside)
        if chance.random() < 0.5:
            shutil.copytree(aside, run, symlinks=True, copy_function=_copy)
            shutil.rmtree(aside)
        else:
            aside.rename(run)


def _damage(_: Path, home: Path, chance: random.Random) -> None:
    next(damages(home, 1, chance.randrange(1 << 30))).do()


def _kill(_: Path, home: Path, chance: random.Random) -> None:
    """Collect, and be killed before some file is renamed or opened."""
    kill_at = chance.randrange(1, 60)
    child = os.fork()
    if not child:
        events = count(1)

        def before(event: str, arguments: tuple[object, ...]) -> None:
            is_ours = event in ("os.rename", "open") and str(home) in str(arguments[0])
            if is_ours and next(events) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(before)
        try:
            assess(RunLayout(home.parent, home.name))
        finally:
            os._exit(0)
    os.waitpid(child, 0)


KINDS = (
    _new_run, _new_run, _retry, _purge, _say_more, _same_size, _replace_file, _put_back, _memory_of_then, _damage, _kill
)  # fmt: skip


def test_a_collection_that_remembers_says_what_one_without_says(
    made: Path, layout: RunLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any sequence of new runs, retries, purges, other words in logs, damage, restores and kills."""
    chance = random.Random(SEED)  # noqa: S311  no secret
    read, seen = count_readings(monkeypatch), count_stills(monkeypatch)
    spared = 0
    for step in range(CHANGES):
        if not layout.manifest.is_file() or chance.random() < 0.05:
            shutil.rmtree(layout.home, ignore_errors=True)
            shutil.copytree(made, layout.home, symlinks=True)
        kind = chance.choice(KINDS)
        kind(made, layout.home, chance)
        time.sleep(0.005)
        read.clear()
        with_memory, without = both(layout, tmp_path)
        assert with_memory == without, (step, kind.__name__)
        readings = [each.home.parent.name for each in read]
        spared += len(readings) < 2 * len(set(readings))
    assert spared > CHANGES / 3
    assert len(seen) > CHANGES  # of five runs, each time, those on which nothing had changed
