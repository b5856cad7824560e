"""`status`: health of what runs, why tasks wait in words, looking again until nothing is left."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import hpc.standing.lines
import hpc.status
from hpc.adapters import proc
from hpc.core.errors import InputError, TemporaryError
from hpc.core.failures.health import HealthWarning, Sign
from hpc.core.failures.outcomes import Outcome, count_outcomes
from hpc.core.layout import RunLayout
from hpc.core.picture import in_words as words_of
from hpc.core.records.exit import ExitRecord
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.metrics import MetricsWriter
from hpc.snapshots.remembered import Ended
from hpc.snapshots.running import warned_of
from hpc.snapshots.states import AttemptState
from hpc.standing.counting import LATEST, in_words, runs_per_hour
from hpc.standing.lines import render
from hpc.standing.numbers import Standing
from hpc.status import pictures, read_watch
from tests.conversation import converse
from tests.local_projects import LocalProject, command_environment, copy_project

TAKEN, GIVEN_BACK = "\x1b[?1049h", "\x1b[?1049l"
HOME, SHOWN_CURSOR = "\x1b[H", "\x1b[?25h"
SEQUENCE = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\r")


@pytest.fixture(scope="module")
def finished(finished: LocalProject, tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A copy of a project whose two tasks ran: looking leaves what is remembered."""
    return copy_project(finished.folder, tmp_path_factory.mktemp("status") / "project")


@pytest.fixture
def running(finished: LocalProject, tmp_path: Path) -> LocalProject:
    """A copy, one of whose tasks (X1) this test process seems to be running."""
    project = copy_project(finished.folder, tmp_path / "project")
    attempt = project.attempt("X1")
    for name in ("exit.json", "metrics.h5"):
        (attempt / name).unlink()
    record = json.loads((attempt / "task.json").read_text())
    (attempt / "task.json").write_text(json.dumps({**record, "pid": proc.identity(os.getpid())}))
    return project


def log(project: LocalProject, **curves: list[float]) -> None:
    """Log curves as the running task."""
    with MetricsWriter(project.attempt("X1") / "metrics.h5") as writer:
        for step in range(max(len(values) for values in curves.values())):
            writer.log(step, **{name: values[step] for name, values in curves.items() if step < len(values)})


def test_running_tasks_show_step_metric_and_warnings(running: LocalProject) -> None:
    """Of a task that runs: its last step and primary metric, and a warning once its validation loss turns."""
    falling = [2 / (k + 1) for k in range(20)]
    log(running, loss=falling, val_loss=[*falling[:8], *[0.5] * 12])
    given = running.json("status", "tiny")
    (task,) = given["at_work"]
    assert (task["run_name"], task["step"], task["metric"]) == ("X1", 19, "loss")
    assert task["value"] == pytest.approx(0.1)
    assert [warning["sign"] for warning in task["warnings"]] == ["train_validation_apart"]
    told = running.hpc("status", "tiny")
    assert "step 19  loss 0.1" in told
    assert "warning: val_loss rose" in told


def test_a_loss_that_is_not_finite_is_warned_of(running: LocalProject) -> None:
    """NaN up to now is a warning with what to do, and no number: JSON has none for it."""
    log(running, loss=[2.0, 1.9, float("nan"), float("nan")])
    (task,) = running.json("status", "tiny")["at_work"]
    assert (task["value"], task["warnings"][0]["sign"]) == (None, "non_finite")
    assert "learning rate" in task["warnings"][0]["advice"]


def test_a_running_task_without_metrics_says_so(running: LocalProject) -> None:
    """Nothing logged yet, or a file that is no metrics file, is no error."""
    assert "no metrics yet" in running.hpc("status", "tiny")
    (running.attempt("X1") / "metrics.h5").write_bytes(b"not HDF5")
    assert "no metrics yet" in running.hpc("status", "tiny")


def test_passing_signs_and_flat_resumed_losses_are_not_warned_of() -> None:
    """What came back is no warning; a run that resumed may stand on its plateau."""
    flat = HealthWarning(Sign.NO_LEARNING, "loss", 0, "flat", lasting=True)
    spike = HealthWarning(Sign.SPIKE_RECOVERED, "loss", 0, "leapt", lasting=False)
    assert warned_of([flat, spike], resumed=True) == ()
    assert [each.sign for each in warned_of([flat, spike], resumed=False)] == ["no_learning"]


def on_terminal(project: LocalProject, *arguments: str, **more: str) -> str:
    """What a person sees at a terminal."""
    environment = command_environment(TERM="xterm-256color", **more)
    environment = {name: value for name, value in environment.items() if name != "NO_COLOR" or more.get("NO_COLOR")}
    code, seen = converse(["-m", "hpc.status", "tiny", *arguments], [], project.folder, environment)
    assert code == 0, seen
    return seen


def test_a_terminal_sees_a_bar_the_pace_and_a_curve(running: LocalProject) -> None:
    """Outcomes as a coloured bar, runs an hour, the primary metric of what runs as a sparkline, warnings yellow."""
    falling = [2 / (k + 1) for k in range(20)]
    log(running, loss=falling, val_loss=[*falling[:8], *[0.5] * 12])
    seen = on_terminal(running)
    assert "\x1b[32m" + "█" * 30 in seen
    assert "\x1b[34m" + "▒" * 30 in seen
    assert "per hour" in seen
    assert "core " in seen
    assert "loss 0.1" in seen
    assert "█▄▃▂" in seen
    assert "\x1b[33m    warning: val_loss rose" in seen


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_who_wants_no_colours_gets_the_plain_lines(finished: LocalProject, plain: dict[str, str]) -> None:
    """On a terminal, too: the lines that scripts read, without a bar or an escape sequence."""
    piped = finished.call("-m", "hpc.status", "tiny").stdout
    environment = command_environment(TERM="xterm") | plain
    assert converse(["-m", "hpc.status", "tiny"], [], finished.folder, environment) == (0, piped)
    assert piped.startswith("tiny: 2 tasks = 2 finished\n")
    assert "\x1b" not in piped


def test_one_row_a_task(running: LocalProject) -> None:
    """Outcome, step, metric, job and time of each; `--json` adds `runs` and changes no key."""
    log(running, loss=[1.0, 0.25])
    given = running.json("status", "tiny", "--tasks")
    assert given["tasks"] == 2
    first, second = given["runs"]
    assert (first["run_name"], first["outcome"], first["step"], first["value"]) == ("X1", "running", 1, 0.25)
    assert (second["outcome"], second["values"], second["failure_class"]) == ("finished", {"loss": 1.0}, "")
    assert second["time_s"] > 0
    assert set(running.json("status", "tiny")) == set(given) - {"runs"}
    (only,) = running.json("status", "--tasks", "finished", "tiny")["runs"]
    assert only == second
    told = running.hpc("status", "tiny", "--tasks", "running")
    assert "X1" in told
    assert "X2" not in told


def test_a_failed_task_has_its_class_before_and_after_it_is_collected(finished: LocalProject, tmp_path: Path) -> None:
    """The row says why, with or without a collection."""
    project = copy_project(finished.folder, tmp_path / "project")
    exit_json = project.attempt("X1") / "exit.json"
    exit_json.write_text(json.dumps({**json.loads(exit_json.read_text()), "exit_code": 1}))
    (project.attempt("X1") / "stderr.log").write_text("ModuleNotFoundError: No module named 'flax'\n")
    (before,) = project.json("status", "tiny", "--tasks", "failed")["runs"]
    project.call("-m", "hpc.collect", "tiny")
    (after,) = project.json("status", "tiny", "--tasks", "failed")["runs"]
    assert before == after
    assert before["failure_class"] == "environment"


def test_a_mistyped_outcome_is_told_apart_from_a_name(finished: LocalProject) -> None:
    """`--tasks NAME` shows all of it; a word near to an outcome is answered with the outcomes there are."""
    assert len(finished.json("status", "--tasks", "tiny")["runs"]) == 2
    assert "did you mean 'failed'?" in finished.hpc("status", "tiny", "--tasks", "faild", expect=2)
    assert "did you mean 'failed'?" in finished.hpc("status", "--tasks", "faild", expect=2)
    assert "one table" in finished.hpc("status", "tiny", "--tasks", "--watch", expect=2)


def _ended(began: float, ended: float, code: int = 0) -> Ended:
    return ExitRecord(code, began, ended)


def test_the_pace_counts_what_ended_while_something_ran() -> None:
    """Two an hour at once are two an hour; nights between two sweeps make nothing slower; failures are no runs."""
    pair = [_ended(0, 3600), _ended(0, 3600), _ended(0, 100, code=1)]
    assert runs_per_hour(pair, 90_000.0, runs=False) == pytest.approx(2)
    assert runs_per_hour(pair, 7200.0, runs=True) == pytest.approx(1)
    many = [*pair, *[_ended(1e6, 1e6 + 60)] * LATEST]
    assert runs_per_hour(many, 2e6, runs=False) == pytest.approx(60 * LATEST)
    assert runs_per_hour([pair[2]], 100.0, runs=True) is None


def _waits(state: SlurmState, reason: str) -> AttemptState:
    return cast("AttemptState", SimpleNamespace(row=JobRow("1_0", "1", state, reason), is_packed=False))


def test_held_elements_are_told_apart_from_waiting_ones() -> None:
    """Those that can never start and those that are held come first, each kind with its count."""
    waiting = [
        *[_waits(SlurmState.PENDING, "Priority")] * 3,
        _waits(SlurmState.PENDING, "JobHeldAdmin"),
        _waits(SlurmState.SPECIAL_EXIT, ""),
        _waits(SlurmState.PENDING, "DependencyNeverSatisfied"),
    ]
    found = in_words(waiting)
    assert [(each.kind, each.count) for each in found] == [("never", 1), ("held", 1), ("held", 1), ("queued", 3)]
    assert found[0].jobs == ["1_[0]"]


@pytest.mark.parametrize(
    ("name", "watch", "expected"),
    [
        ("tiny", None, ("tiny", None)),
        ("tiny", "30", ("tiny", 30.0)),
        (None, "tiny", ("tiny", 10.0)),
        (None, "0", (None, 2.0)),
    ],
)
def test_watch_takes_seconds_or_is_followed_by_the_name(
    name: str | None, watch: str | None, expected: tuple[str | None, float | None]
) -> None:
    """`--watch 30 tiny`, `--watch tiny` and `tiny --watch` all mean what they say; Slurm is not asked without pause."""
    assert read_watch(name, watch) == expected


def test_watch_with_two_names_or_json_is_refused(running: LocalProject) -> None:
    """A second name is no number of seconds, and --json prints one value only."""
    with pytest.raises(InputError, match="not a number of seconds"):
        read_watch("tiny", "soon")
    assert "leave out --watch" in running.hpc("status", "tiny", "--watch", "--json", expect=2)


@pytest.mark.parametrize(("followed", "over"), [(False, True), (True, False)])
def test_what_is_followed_is_not_over_between_two_attempts(followed: bool, over: bool) -> None:
    """Watching goes on while the unattended loop may still start a failed task again."""
    outcomes = count_outcomes([Outcome.FAILED, Outcome.FINISHED])
    standing = Standing(outcomes, 0, 0.0, None, {}, [], [], [], None, [], is_followed=followed, probed=[])
    assert standing.is_over is over


class Terminal:
    """Our end of a pseudo-terminal: what its user sees, and how large it is."""

    def __init__(self, ours: int) -> None:
        """Take the descriptor of our end."""
        self._ours = ours

    def _read(self) -> str:
        assert select.select([self._ours], [], [], 60)[0], "nothing more came"
        try:
            return os.read(self._ours, 65536).decode()
        except OSError:  # the other end was closed
            return ""

    def read_until(self, condition: Callable[[str], bool]) -> str:
        """Read until all that was read fulfils a condition."""
        seen = ""
        while not condition(seen):
            piece = self._read()
            assert piece, seen
            seen += piece
        return seen

    def read_all(self) -> str:
        """Read until the other end is closed."""
        return "".join(iter(self._read, ""))

    def resize(self, process: "subprocess.Popen[str]", rows: int, columns: int) -> None:
        """Change its size, and say so."""
        termios.tcsetwinsize(self._ours, (rows, columns))
        process.send_signal(signal.SIGWINCH)


@contextlib.contextmanager
def _on_terminal(project: LocalProject, every: str = "2") -> Iterator[tuple["subprocess.Popen[str]", Terminal]]:
    """Watch at a pseudo-terminal of 80 columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 80))
    with _watch(project, every, stdout=theirs, stderr=theirs, stdin=theirs) as watching:
        os.close(theirs)
        try:
            yield watching, Terminal(ours)
        finally:
            watching.kill()
            os.close(ours)


def _watch(project: LocalProject, every: str = "2", **more: Any) -> "subprocess.Popen[str]":
    # A test run that was started in the background hands an ignored SIGINT on.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "hpc.status", "tiny", "--watch", every]
    environment = command_environment(PYTHONUNBUFFERED="1", TERM="xterm-256color")
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}  # xdist's
    return subprocess.Popen(command, cwd=project.folder, env=environment, text=True, **more)


def test_watch_repeats_until_nothing_is_left(running: LocalProject) -> None:
    """Without a terminal, block after block with its time; the last one when the task has ended."""
    with _watch(running, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert "tiny" in watching.stdout.readline()
        with MetricsWriter(running.attempt("X1") / "metrics.h5") as writer:
            writer.summary(loss=0.5)
        finished = (running.attempt("X2") / "exit.json").read_text()
        (running.attempt("X1") / "exit.json").write_text(finished)
        rest = watching.stdout.read()
        assert watching.wait(20) == 0
    assert "1 running" in rest
    assert "2 finished" in rest.split("\n\n")[-2]


def test_watch_on_a_terminal_draws_in_place_and_ends_at_ctrl_c(running: LocalProject) -> None:
    """A second screen that is drawn over; Ctrl-C ends with 130, gives the first back, and leaves the last picture."""
    with _on_terminal(running) as (watching, terminal):
        seen = terminal.read_until(lambda seen: seen.count(HOME) > 2)  # taken, and drawn at the second look
        watching.send_signal(signal.SIGINT)
        left = terminal.read_all()
        assert watching.wait(20) == 130
    assert seen.index(TAKEN) < seen.index("1 running")
    assert GIVEN_BACK in left
    assert SHOWN_CURSOR in left
    after = left[left.index(GIVEN_BACK) :]
    assert "1 running" in after
    assert after.rstrip().endswith("interrupted")
    assert "Traceback" not in seen + left


def _drawn(seen: str) -> list[str]:
    """Lines of the picture that was drawn last, up to its last whole one."""
    lines = SEQUENCE.sub("", seen.rpartition(HOME)[2]).split("\n")
    return lines if len(lines) > 1 and len(lines[-1]) == len(lines[0]) else lines[:-1]


def test_watch_is_drawn_anew_after_a_resize(running: LocalProject) -> None:
    """Without waiting for the next look, and not wider than the terminal is now."""
    with _on_terminal(running, every="600") as (watching, terminal):
        terminal.read_until(lambda seen: len(_drawn(seen)) == 40)
        terminal.resize(watching, rows=20, columns=30)
        seen = terminal.read_until(lambda seen: len(_drawn(seen)) == 20)
        watching.send_signal(signal.SIGTERM)
        left = terminal.read_all()
        assert watching.wait(20) == 128 + signal.SIGTERM
    assert "▒" * 15 in seen
    assert "█" * 16 not in seen
    assert {len(line) for line in _drawn(seen)} == {30}
    assert GIVEN_BACK in left


def test_watch_ends_with_a_sentence_when_the_runs_are_removed(running: LocalProject) -> None:
    """The last picture stays, and below it stands that they are gone."""
    with _on_terminal(running) as (watching, terminal):
        terminal.read_until(lambda seen: "1 running" in seen)
        shutil.rmtree(running.runs / "tiny")
        left = terminal.read_all()
        assert watching.wait(20) == 2
    after = left[left.index(GIVEN_BACK) :]
    assert "1 running" in after
    assert "was removed while it was being watched" in " ".join(after.split())
    assert "Traceback" not in left


def test_while_slurm_does_not_answer_the_last_picture_stays(
    running: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since when is said, once for all looks; it goes on, and it ends only with an answer."""
    layout = RunLayout(running.runs, "tiny")
    seen, standing = hpc.status.look(layout, writes=False)
    over = replace(standing, outcomes=count_outcomes([Outcome.FINISHED] * 2), running=[], at_work=())
    silent = replace(seen, slurm_problem="squeue: Unable to contact slurm controller")
    looks: list[Any] = [(seen, standing), (silent, over), TemporaryError("X1 changed"), (silent, over), (seen, over)]
    times = iter([100.0, 200.0, 300.0, 400.0, 500.0])

    def look(*_: Any, **__: Any) -> Any:
        if isinstance(looks[0], Exception):
            raise looks.pop(0)
        return looks.pop(0)

    monkeypatch.setattr(hpc.status, "look", look)
    monkeypatch.setattr(hpc.status.time, "time", lambda: next(times))
    shown = [words_of(picture(80)) for picture in pictures(layout, 10.0, lambda _: None, writes=False)]
    assert [each[1].split(":")[0] for each in shown[1:4]] == [
        f"{who} since {time.strftime('%H', time.localtime(200))}"
        for who in ("Slurm has not answered", "it could not be looked at", "Slurm has not answered")
    ]
    assert all(time.strftime("%H:%M:%S", time.localtime(200.0)) in each[1] for each in shown[1:4])
    assert all(each[2:] == shown[0][1:] for each in shown[1:4])
    assert "2 finished" in "\n".join(shown[4])
    assert "since" not in "\n".join(shown[4])


NOBODY = "no process follows it any more; to go on: python -m hpc.follow tiny"
COURSES = ([], [NOBODY], ["followed next at 12:00 (job 7)"], ["followed to the end"])
HELD = "tiny is held: the disk is full. To go on: python -m hpc.submit tiny --release"


@pytest.mark.parametrize("followed", COURSES, ids=["by hand", "nobody", "followed", "to the end"])
@pytest.mark.parametrize("held", [None, HELD], ids=["", "held"])
def test_one_next_step_is_named(
    held: str | None, followed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever state it is in: never two commands, and one wherever something is left that nobody else does."""
    monkeypatch.setattr(hpc.standing.lines, "name_unreadable", lambda _: [])
    snapshot = cast("Any", SimpleNamespace(layout=RunLayout(tmp_path, "tiny"), taken=0.0))
    flags = ("abandoned", "by_exit_code", "collected", "waits_for")
    there = (Outcome.FAILED, Outcome.PLANNED, Outcome.FINISHED, Outcome.RUNNING)
    for states in product(*([each, None] for each in there)):
        for given in product([0, 1], repeat=len(flags)):
            more: dict[str, Any] = dict(zip(flags, given, strict=True))
            more["waits_for"] = "1 waits for another experiment" * given[-1]
            waiting = [Outcome.PENDING] * more["abandoned"]
            outcomes = count_outcomes([*(each for each in states if each), *waiting])
            goes_on = followed == COURSES[2]
            standing = Standing(outcomes, 0, 0.0, None, {}, [], [], [], held, followed, is_followed=goes_on, **more)
            lines = render(snapshot, standing)
            steps = [line for line in lines if "python -m hpc." in line]
            assert len(steps) <= 1, lines
            is_left = any(states[:3]) and not goes_on
            assert steps or not is_left or outcomes[Outcome.RUNNING], lines
