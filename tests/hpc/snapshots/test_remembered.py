"""What is remembered of attempts that are over: never anything but what lies on disk, and no record is read twice."""

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters import proc
from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import write_json
from hpc.core.errors import HpcError, TemporaryError
from hpc.core.failures.classify import classify
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.rounds.act import assess
from hpc.snapshots import attempts, remembered, states
from hpc.snapshots.evidence import Results, read_results
from hpc.snapshots.remembered import Began, Ended, Memory
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import AttemptState, Progress, Snapshot, newest_of
from hpc.standing.lines import render
from hpc.standing.numbers import Standing
from hpc.status import look, stand
from tests.damages import change_digits, damages, exchange_with_then
from tests.local_projects import EXPERIMENT, make_project

CHANGES = 200
SEED = 20261130


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of four runs: one failed, one has two attempts, one is as Slurm would leave it; collected once."""
    project = make_project(
        tmp_path_factory.mktemp("remembered") / "project",
        EXPERIMENT.replace("x: [1, 2]", "x: [1, 2, 3, 4]"),
        "import sys\nif sys.argv[1] == '3':\n    raise KeyError('a bug')\nprint(f'loss: {float(sys.argv[1]) / 2}')\n",
    )
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    home = project.runs / "tiny"
    second = home / "tasks/X2/attempt-2"
    shutil.copytree(home / "tasks/X2/attempt-1", second)
    _change(second / "task.json", attempt=2, altered=True)
    _change(home / "tasks/X4/attempt-1/task.json", scheduler="slurm", job="7_3")
    row = JobRow("7_3", "10", SlurmState.COMPLETED, started=1.0, ended=2.0, steps={"batch": SlurmState.COMPLETED})
    write_json(home / "tasks/X4/attempt-1/scheduler.json", asdict(row))
    assess(RunLayout(project.runs, "tiny"))
    return home


@pytest.fixture
def layout(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLayout:
    """A copy of it, of which everything may be remembered at once; ends that nobody collected count by exit code."""
    monkeypatch.setattr(remembered, "SETTLED_S", 0.0)
    monkeypatch.setattr(remembered, "LEAST", 1)
    monkeypatch.setattr("hpc.rounds.outcomes_now.MOST_JUDGED", 0)
    shutil.copytree(made, tmp_path / "tiny", symlinks=True)
    time.sleep(0.01)  # a file system's clock ticks every few ms
    return RunLayout(tmp_path, "tiny")


def _change(path: Path, **fields: object) -> None:
    write_json(path, {**json.loads(path.read_text()), **fields})


def _read_fields(record: object, kind: type[Began] | type[Ended]) -> dict[str, Any]:
    names = [name for name in vars(kind) if not name.startswith("_")]
    return {name: getattr(record, name) for name in names} if record else {}


def _seen(attempt: AttemptState) -> dict[str, Any]:
    """An attempt with what is remembered of its records, wherever that was read."""
    told = {name: value for name, value in vars(attempt).items() if name not in ("record", "ended")}
    began = _read_fields(attempt.began, Began)
    if attempt.end:  # nobody asks whether its process lives
        began = {name: value for name, value in began.items() if name not in ("host", "pid", "pid_namespace")}
    return {**told, "began": began, "end": _read_fields(attempt.end, Ended)}


def shown(look_again: Callable[[], tuple[Snapshot, Standing]]) -> object:
    """All that `status` can say, and every state it says it from; or the error."""
    try:
        seen, standing = look_again()
    except HpcError as error:
        return str(error)
    attempts = [[_seen(attempt) for attempt in task.attempts] for task in seen.tasks]
    return attempts, asdict(standing), render(seen, standing), newest_of(seen).keys()


def with_memory(layout: RunLayout) -> tuple[Snapshot, Standing]:
    """Look with what is remembered, and keep what that adds."""
    return look(layout, writes=True)


def without(layout: RunLayout) -> tuple[Snapshot, Standing]:
    """Look and read everything."""
    seen = take_snapshot(layout, require_slurm=False)
    return seen, stand(seen)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """List every record of an attempt that is read from here on."""
    read: list[Path] = []
    for module, name in ((attempts, "read_record"), (attempts, "read_record_or_none"), (states, "read_record")):
        function = getattr(module, name)

        def counted(path: Path, kind: type, function: Any = function) -> Any:
            if "attempt-" in str(path):
                read.append(path)
            return function(path, kind)

        monkeypatch.setattr(module, name, counted)
    return read


def test_no_record_is_read_twice(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look reads none, nor what was collected; the third the one that changed. Private as everything."""
    first = shown(lambda: with_memory(layout))
    read = count_reads(monkeypatch)
    monkeypatch.setattr(remembered, "read_entries", lambda layout: read.append(layout.verdicts))
    assert shown(lambda: with_memory(layout)) == first
    assert read == []
    assert layout.remembered.stat().st_mode & 0o777 == 0o600
    attempt = layout.task("X1").attempt(1)
    _change(attempt.exit_json, gpu_seconds=7200.0)
    _, standing = with_memory(layout)
    assert read == [attempt.task_json, attempt.exit_json]
    assert standing.gpu_hours == 2.0


def test_neither_a_value_nor_a_run_of_slurm_is_read_twice(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Final values that nobody collected, and the beginning of a run that Slurm has not ended."""
    shutil.rmtree(layout.collected)
    layout.remembered.unlink()
    attempt = layout.task("X4").attempt(1)
    attempt.exit_json.unlink()
    attempt.scheduler.unlink()
    first = _states(with_memory(layout))
    read = count_reads(monkeypatch)
    monkeypatch.setattr("hpc.rounds.values_now.read_json_or_none", read.append)
    assert _states(with_memory(layout)) == first
    assert [path for path in read if path.name != "task.json"] == []  # whose metrics are looked at, is read whole
    _change(layout.task("X1").metrics_json, loss=-1.0)
    with_memory(layout)
    assert layout.task("X1").metrics_json in read


def _states(seen: tuple[Snapshot, Standing]) -> object:
    return [[_seen(attempt) for attempt in task.attempts] for task in seen[0].tasks], seen[1].best


def test_a_run_of_this_machine_is_read_once_and_asked_for_each_time(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs here is remembered with its process; that ends, and the next look says so without reading anything."""
    attempt = layout.task("X3").attempt(1)
    attempt.exit_json.unlink()
    _change(
        attempt.task_json, pid=proc.identity(os.getpid()), host=proc.this_host(), pid_namespace=proc.pid_namespace()
    )
    with_memory(layout)
    monkeypatch.setattr("hpc.snapshots.running.MOST_FILES", 0)  # whose metrics are looked at, is read whole
    read = count_reads(monkeypatch)
    assert _progress(with_memory(layout), "X3") is Progress.RUNNING
    monkeypatch.setattr(proc, "lives", lambda _: False)
    assert _progress(with_memory(layout), "X3") is Progress.OVER
    assert read == []


def _progress(looked: tuple[Snapshot, Standing], run_name: str) -> Progress:
    (state,) = (task for task in looked[0].tasks if task.task.run_name == run_name)
    return state.attempts[-1].progress


def test_a_run_as_it_was_collected_is_known_at_a_glance(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look parses nothing of finished runs on which nothing has changed, and sees each file that has."""

    def known() -> list[str]:
        return [each.task.run_name for each in with_memory(layout)[0].tasks if each.late and each.late.result]

    assert known() == []
    assert known() == ["X1", "X4"]
    with monkeypatch.context() as patched:
        patched.setattr(Memory, "recall", lambda *_: pytest.fail("it was looked at"))
        for run in ("X2", "X3"):
            (layout.tasks / run).rename(layout.home / run)
        assert known() == ["X1", "X4"]
    os.utime(layout.attempt("X1", 1).exit_json)
    assert known() == ["X4"]
    os.utime(layout.attempt("X4", 1).scheduler)
    assert known() == []


def test_what_changed_just_now_is_not_remembered(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change once more within what a file system rounds times by."""
    monkeypatch.setattr(remembered, "SETTLED_S", 3600.0)
    layout.remembered.unlink()  # what the collection kept
    with_memory(layout)
    assert not layout.remembered.exists()


def test_few_new_attempts_are_read_again(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is not written anew for each of them."""
    monkeypatch.setattr(remembered, "LEAST", 20)
    layout.remembered.unlink()  # what the collection kept
    with_memory(layout)
    assert not layout.remembered.exists()


@pytest.mark.parametrize("other", ["cut", "edited", "another experiment", "other readers", "a folder"])
def test_a_memory_that_is_not_ours_is_not_believed(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Everything is read then, and looking goes on where it cannot be written anew."""
    first = shown(lambda: with_memory(layout))
    text = layout.remembered.read_text()
    if other == "cut":
        layout.remembered.write_text(text[:-20])
    elif other == "edited":
        layout.remembered.write_text(text.replace('"X1"', '"X9"'))
    elif other == "another experiment":
        layout = RunLayout(layout.root, "other")
        (layout.root / "tiny").rename(layout.home)
        first = shown(lambda: without(layout))
    elif other == "other readers":
        monkeypatch.setattr(remembered, "_readers_digest", lambda: "0" * 64)
    else:
        layout.remembered.unlink()
        layout.remembered.mkdir()
    read = count_reads(monkeypatch)
    assert shown(lambda: with_memory(layout)) == first
    assert len({path.parent for path in read}) == 5


def test_of_a_listing_no_more_waits_than_names_the_evidence(layout: RunLayout) -> None:
    """Ten thousand runs are listed before the first is judged: no names and stamps of their files are held."""
    memory = Memory(layout, lists=True)
    take_snapshot(layout, memory=memory)
    assert len(memory.listings) == 5
    assert {(each.look, each.names, bool(each.digest)) for each in memory.listings.values()} == {(b"", (), True)}


def test_runs_of_somebody_else_are_looked_at_and_left_alone(layout: RunLayout) -> None:
    """What was read of them is not kept."""
    layout.remembered.unlink()  # what the collection kept
    look(layout, writes=False)
    assert not layout.remembered.exists()
    look(layout, writes=True)
    assert layout.remembered.exists()


def test_a_remembered_record_is_read_whole_where_it_is_needed(layout: RunLayout) -> None:
    """All of it is there, and what vanished meanwhile is said."""
    with_memory(layout)
    attempts = {task.task.run_name: task.attempts[-1] for task in with_memory(layout)[0].tasks}
    record, ended = attempts["X1"].record, attempts["X1"].ended
    assert record is not None
    assert record.argv[0] == "python3"
    assert ended is not None
    assert ended.packages
    attempts["X4"].layout.exit_json.unlink()
    with pytest.raises(TemporaryError, match="changed while it was being read"):
        attempts["X4"].ended  # noqa: B018


def test_an_end_is_looked_at_once(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends that nobody collected: until a file beside them changes, or the rules do."""
    monkeypatch.setattr("hpc.rounds.outcomes_now.MOST_JUDGED", 200)
    shutil.rmtree(layout.collected)
    shutil.rmtree(layout.task("X2").attempt(2).home)  # no success: its metrics are those of attempt 1
    read: list[AttemptLayout] = []

    def counted(attempt: AttemptLayout, *record: Any) -> Results:
        read.append(attempt)
        return read_results(attempt, *record)

    monkeypatch.setattr("hpc.rounds.judge.read_results", counted)
    first = shown(lambda: with_memory(layout))
    assert {each.home.parent.name for each in read} == {"X1", "X2", "X4"}
    layout.task("X4").attempt(1).exit_json.unlink()  # as of a node that was lost: no success
    os.utime(layout.task("X4").attempt(1).home, (0, 0))
    first = shown(lambda: with_memory(layout))
    read.clear()
    assert shown(lambda: with_memory(layout)) == first
    assert read == []
    attempt = layout.task("X1").attempt(1)
    os.truncate(attempt.metrics, 100)
    _, standing = with_memory(layout)
    assert read == [attempt]
    assert standing.outcomes["finished"] == 2
    read.clear()
    monkeypatch.setattr(remembered, "rules_digest", lambda: "0" * 64)
    with_memory(layout)
    assert len(read) > 1


# ── the law ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _restore(made: Path, home: Path, chance: random.Random) -> None:
    """Put a run, or all of it, back as from a backup: with the times it had."""
    run = chance.choice(("X1", "X2", "X3", "X4"))
    whole = chance.random() < 0.5
    target, source = (home, made) if whole else (home / "tasks" / run, made / "tasks" / run)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif os.path.lexists(target):
        target.unlink()
    if target.parent.is_dir():
        shutil.copytree(source, target, symlinks=True)


def _exchange(home: Path, chance: random.Random) -> None:
    """Swap the folders of two attempts, or their ends."""
    attempts = sorted(home.glob("tasks/*/attempt-*"))
    if len(attempts) < 2:
        return
    one, other = chance.sample(attempts, 2)
    name = chance.choice(("", "task.json", "exit.json"))
    paths = (one / name, other / name) if name else (one, other)
    if all(path.exists() for path in paths):
        paths[0].rename(home / "aside.tmp")
        paths[1].rename(paths[0])
        (home / "aside.tmp").rename(paths[1])


def _same_size(home: Path, chance: random.Random) -> None:
    """Change a digit in place, and give the file the time it had."""
    change_digits([*home.glob("tasks/*/attempt-*/*.json"), *home.glob("tasks/*/metrics.json")], chance)


def _memory_of_then(home: Path, chance: random.Random) -> None:
    """Bring back an earlier memory, or keep this one for that."""
    exchange_with_then(home / ".remembered.jsonl", home.parent / "earlier", chance)


def _collected(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "collected"]


def _collect(home: Path, _: random.Random) -> None:
    try:
        assess(RunLayout(home.parent, home.name))
    except (HpcError, OSError):
        return


@pytest.mark.parametrize(("judged", "changes"), [(0, CHANGES), (200, CHANGES // 3)])
def test_a_look_with_memory_says_what_one_without_says(
    made: Path, layout: RunLayout, monkeypatch: pytest.MonkeyPatch, judged: int, changes: int
) -> None:
    """After any sequence of changes: damage of any file, restores, exchanges, edits that keep size and time."""
    monkeypatch.setattr("hpc.rounds.outcomes_now.MOST_JUDGED", judged)
    if judged:  # nobody ever collected
        made = Path(shutil.copytree(made, layout.root / "made", symlinks=True, ignore=_collected))
        shutil.rmtree(layout.collected)
    kinds = (_exchange, _same_size, _memory_of_then, _same_size if judged else _collect)
    chance = random.Random(SEED)  # noqa: S311  no secret
    recalled = 0
    for step in range(changes):
        if not layout.home.is_dir() or chance.random() < 0.2:
            _restore(made, layout.home, chance)
        elif chance.random() < 0.5:
            next(damages(layout.home, 1, SEED + step)).do()
        else:
            chance.choice(kinds)(layout.home, chance)
        time.sleep(0.005)
        assert shown(lambda: with_memory(layout)) == shown(lambda: without(layout)), step
        recalled += layout.remembered.is_file()
    assert recalled > changes / 3


def test_a_collection_read_task_by_task_is_what_it_is_as_a_whole(layout: RunLayout) -> None:
    """As written, with any byte changed, cut anywhere, with something behind it, and written by somebody else."""
    chance = random.Random(SEED)  # noqa: S311  no secret
    whole = layout.verdicts.read_bytes()
    changed = (
        whole[:place] + bytes([whole[place] ^ chance.choice((1, 2, 32))]) + whole[place + 1 :]
        for place in [*range(120), *range(len(whole) - 120, len(whole)), *chance.sample(range(len(whole)), 100)]
    )
    others = [json.dumps(json.loads(whole), indent=1).encode(), whole + b"x", b"[]", b"", whole.replace(b"\n", b"")]
    for content in (whole, *changed, *others, *(whole[:place] for place in range(1, len(whole), 97))):
        layout.verdicts.write_bytes(content)
        in_full = {name: remembered.in_short(entry) for name, entry in read_entries(layout).items()}
        assert Memory(layout).read_entries() == in_full, content


def test_every_rule_is_named_by_the_digest() -> None:
    """What is remembered of a success goes with any change of the code that judged it, in whatever folder it lies."""
    judging = [
        Path(str(module.__file__)) for name, module in sys.modules.items() if name.startswith("hpc.core.failures.")
    ]
    assert Path(str(classify.__code__.co_filename)) in judging
    assert set(judging) <= set(remembered.rule_files())
