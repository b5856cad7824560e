"""One bad thing never stops the rest: a run tree damaged in every way, every other task still judged."""

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.core.errors import HpcError
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.rounds.act import assess
from hpc.rounds.judge import JudgedTask, final_values
from hpc.snapshots.snapshot import take_snapshot
from hpc.standing.lines import render
from hpc.status import stand
from tests.damages import COPIES, Damage, every_damage
from tests.local_projects import EXPERIMENT, LocalProject, make_project

KEYS = 10
"""So many of a JSON file are removed or changed; everything else is done to each file and folder once."""
SEED = 20261128
LONGEST_S = 20
"""A reader that takes longer hangs."""
PROGRAM = """
import sys
x = float(sys.argv[1])
if x == 3:
    raise KeyError("a bug")
print(f"loss: {x / 2}")
"""


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """X1 and X2 finished with losses 0.5 and 1.0, X3 failed over a bug; everything collected once."""
    project = make_project(tmp_path_factory.mktemp("healthy") / "project")
    project.write_program(PROGRAM)
    project.write_experiment(EXPERIMENT.replace("x: [1, 2]", "x: [1, 2, 3]"))
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    project.hpc("collect", "tiny", expect=1)
    home = project.runs / "tiny"
    (home / "accepted.json").write_text('{"kind": "accepted", "schema": 1, "fingerprints": ["a"], "time": 1.0}')
    (home / "relaunched.json").write_text('{"kind": "relaunched", "schema": 1, "jobs": {"7_1": 1}}')
    (home / "learned.json").write_text('{"kind": "learned", "schema": 1, "shapes": {}}')
    return project


# ── the law ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError when something takes longer."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def look(layout: RunLayout) -> dict[str, JudgedTask]:
    """What status and collect do, in this process: every line is rendered, everything is written."""
    snapshot = take_snapshot(layout, require_slurm=False)
    assert all(isinstance(line, str) for line in render(snapshot, stand(snapshot)))
    return {task.state.task.run_name: task for task in assess(layout).judged.tasks}


def test_one_bad_thing_never_stops_the_rest(
    healthy: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of damage to each file and folder: no traceback, hang or false success, others judged as before."""
    monkeypatch.chdir(healthy.folder)
    layout = RunLayout(healthy.runs, "tiny")
    kept = tmp_path / "kept"
    shutil.copytree(layout.home, kept, symlinks=True)
    wrong, done, began = list[str](), 0, time.monotonic()
    for done, damage in enumerate(_chosen(layout.home), 1):  # noqa: B007  counted
        damage.do()
        place = str(damage.path.relative_to(layout.home))
        try:
            with at_most(LONGEST_S):
                wrong += [f"{place} {damage.what}: {problem}" for problem in _broken_laws(look(layout), place)]
        except HpcError as error:
            wrong.append(f"{place} {damage.what}: stopped everything: {error}")
        except Exception as error:
            wrong.append(f"{place} {damage.what}: {type(error).__name__}: {error}")
        _restore(kept, layout.home)
    assert done > 500
    assert not wrong, f"{len(wrong)} of {done} in {time.monotonic() - began:.0f} s\n" + "\n".join(wrong[:60])


def _chosen(home: Path) -> Iterator[Damage]:
    """All but those to X2, which is X1 with another number."""
    return (each for each in every_damage(home, SEED, KEYS) if "X2" not in each.path.parts)


def _restore(kept: Path, home: Path) -> None:
    """Put the tree back, but for the copies of code, which are read-only and were not touched."""
    for path in home.iterdir():
        if path.name not in COPIES:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in kept.iterdir():
        if path.name in COPIES:
            continue
        if path.is_dir():
            shutil.copytree(path, home / path.name, symlinks=True)
        else:
            shutil.copy2(path, home / path.name, follow_symlinks=False)


def _broken_laws(tasks: dict[str, JudgedTask], place: str) -> Iterator[str]:
    """Say what must not be: tasks that were not touched judged otherwise, a success that is none."""
    expected = {"X1": 0.5, "X2": 1.0}
    for name, task in tasks.items():
        touched = not place.startswith("tasks/") or place == "tasks" or place.startswith(f"tasks/{name}")
        is_finished = task.outcome is Outcome.FINISHED
        if is_finished and final_values(task).get("loss") != expected.get(name):
            yield f"{name} is finished with {final_values(task)}"
        if not touched and is_finished is not (name in expected):
            yield f"{name} became {task.outcome}"
        if not touched and name == "X3" and task.failure_class is not FailureClass.CODE_BUG:
            yield f"X3 became {task.failure_class}"
