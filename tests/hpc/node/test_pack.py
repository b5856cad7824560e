"""Several tasks in one array element: begun one by one, so many at once, and none lost with another."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.core.layout import RunLayout
from hpc.core.records.hold import HeldRun, HeldRuns
from hpc.core.records.index import Element
from hpc.core.resources import Pack, Resources
from hpc.node.attempt import Job, next_attempt
from hpc.node.pack import Clock, Packed, with_own_cores
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import command_environment, wait_until
from tests.made_records import exit_record, task_record

JOB = Job("7_0", 0, {"SLURM_JOB_ID": "7"})
ONE = Resources(time_s=60)


def entries(count: int) -> list[Element]:
    return [Element(f"{n:012x}", f"X{n}", {"x": n}, 1, 1) for n in range(count)]


class Time(Clock):
    """A clock that has time for so many looks."""

    def __init__(self, looks: int = 10**6) -> None:
        self.looks = looks

    def has_time(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


def packed(folder: Path, count: int, pack: Pack, act: Callable[[int], int], clock: Clock | None = None) -> Packed:
    """Run an element whose wrappers write when they begin and end, and do `act` of their number in between."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"

    def note(word: str) -> None:
        with log.open("a") as file:  # one write: the lines of several processes do not mix
            file.write(word + "\n")

    def begin(entry: Element, place: int, again: bool) -> int:
        note(f"+ {entry.run_name} {place} {int(again)}")
        code = act(int(entry.run_name[1:]))
        note(f"- {entry.run_name}")
        return code

    element = Packed(RunLayout(folder, "e"), entries(count), pack, JOB, begin)
    element.run(clock or Time())
    return element


def in_one_thread(run: Callable[[], int]) -> int:
    """Run something in a process like an element's, and return its exit code.

    Of threads such as pytest's, which block no signal, one might take what is meant for the element, and die of it.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(run())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def told(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "log").read_text().splitlines()]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 7), st.integers(1, 4), st.lists(st.sampled_from([0, 1, 7]), min_size=7, max_size=7))
def test_each_task_is_begun_once_and_never_more_at_once(tmp_path, count, at_once, codes):
    """Whatever they end with: all are begun, in order, each in a place that nobody else has; the code is theirs."""
    folder = tmp_path / f"{time.monotonic_ns()}"
    element = packed(folder, count, Pack(count, at_once), lambda number: codes[number])

    running: dict[str, str] = {}
    begun = []
    for word, name, *rest in told(folder):
        if word == "+":
            assert rest[0] not in running.values()
            running[name] = rest[0]
            begun.append(name)
            assert len(running) <= at_once
        else:
            del running[name]
    assert sorted(begun) == [f"X{number}" for number in range(count)]
    assert element.code == int(any(codes[:count]))


def test_nothing_begins_without_time_for_a_whole_task(tmp_path, capfd):
    """The first ones begin whatever the clock says; then only while a whole task goes in, and the rest is named."""
    element = packed(tmp_path / "a", 6, Pack(6, 2), lambda _: 0, Time(looks=1))
    element.say_left()

    assert sorted(line[1] for line in told(tmp_path / "a") if line[0] == "+") == ["X0", "X1", "X2"]
    assert element.code == 1
    assert "not started, because there is no time for a whole task: X3 X4 X5" in capfd.readouterr().out


def test_nothing_begins_while_the_experiment_is_held(tmp_path, capfd):
    """What runs goes on to its end; the rest is left for the release."""
    hold = RunLayout(tmp_path / "a", "e").hold
    hold.parent.mkdir(parents=True)

    def holds(number: int) -> int:
        hold.write_text("{}")
        return 0

    element = packed(tmp_path / "a", 3, Pack(3, 1), holds)
    element.say_left()
    assert [line[1] for line in told(tmp_path / "a")] == ["X0", "X0"]
    assert "not started, because a person or a failure holds it: X1 X2" in capfd.readouterr().out


def test_a_run_that_a_person_holds_is_passed_over(tmp_path):
    """The others begin; what nobody can read holds all."""
    layout = RunLayout(tmp_path / "a", "e")
    layout.held_runs.parent.mkdir(parents=True)
    held = HeldRuns({"X0": HeldRun(1.0, "me@here"), "X2": HeldRun(1.0, "me@here")})
    layout.held_runs.write_text(json.dumps(held.to_json()))
    element = packed(tmp_path / "a", 4, Pack(4, 1), lambda _: 0)
    assert [line[1] for line in told(tmp_path / "a") if line[0] == "+"] == ["X1", "X3"]
    assert element.code == 1

    (tmp_path / "a/log").unlink()
    layout.held_runs.write_text("{")
    packed(tmp_path / "a", 2, Pack(2, 1), lambda _: 0)
    assert not (tmp_path / "a/log").exists()


def test_a_signal_reaches_every_wrapper_and_ends_the_beginning(tmp_path):
    """SIGTERM to the element: each of its wrappers gets it, and no other task begins."""

    def waits(number: int) -> int:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
        (tmp_path / f"ready-{number}").touch()
        if number == 1:
            while not (tmp_path / "ready-0").exists():
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGTERM)
        while True:
            signal.pause()

    def run() -> int:
        element = packed(tmp_path / "a", 4, Pack(4, 2), waits)
        return 7 if (element.code, element.wants_more) == (1, False) else 8

    assert in_one_thread(run) == 7
    assert [line[1] for line in told(tmp_path / "a")] in (["X0", "X1"], ["X1", "X0"])


def test_a_task_that_checkpointed_goes_on_at_once_while_there_is_time(tmp_path):
    """Exit 85: begun again in its place, before the others; without time it is left for the element's requeue."""

    def once_more(number: int) -> int:
        mark = tmp_path / f"seen-{number}"
        if number or mark.exists():
            return 0
        mark.touch()
        return 85

    element = packed(tmp_path / "a", 2, Pack(2, 1), once_more)
    assert [line[1:4:2] for line in told(tmp_path / "a") if line[0] == "+"] == [["X0", "0"], ["X0", "1"], ["X1", "0"]]
    assert (element.code, element.wants_more) == (0, False)

    element = packed(tmp_path / "b", 1, Pack(1, 1), lambda _: 85, Time(looks=0))
    assert element.wants_more


def test_the_time_left_is_slurms_where_it_says_it():
    """By SLURM_JOB_END_TIME where there is one, else what was asked for."""
    assert Clock(ONE, Pack(2, 1), {}).has_time()
    assert Clock(ONE, Pack(2, 1), {"SLURM_JOB_END_TIME": str(int(time.time()) + 70)}).has_time()
    assert not Clock(ONE, Pack(2, 1), {"SLURM_JOB_END_TIME": str(int(time.time()) + 50)}).has_time()


def test_programs_are_told_the_cores_of_a_task():
    """Slurm's variable says those of the element; one that is not set is not made."""
    environment = {"SLURM_CPUS_PER_TASK": "8"}
    with_own_cores(environment, 2)
    assert environment == {"SLURM_CPUS_PER_TASK": "2"}


ENDS: dict[str, tuple[dict[str, Any] | None, bool]] = {
    "its node was lost": (None, True),
    "it was told to end": ({"exit_code": None, "signal": 15, "signals_received": ("TERM",)}, True),
    "it wants to be started again": ({"exit_code": 85, "starts_again": True}, True),
    "it failed by itself": ({"exit_code": 1}, False),
    "it finished": ({}, False),
}


@pytest.mark.parametrize(("end", "goes_on"), ENDS.values(), ids=ENDS)
def test_an_element_that_is_put_back_starts_what_was_taken_away(tmp_path, end, goes_on):
    """What had ended by itself is left to the collector: a pack of which one was preempted does not repeat a bug."""
    task = RunLayout(tmp_path, "e").task("X1")
    attempt = task.attempt(1)
    attempt.home.mkdir(parents=True)
    record = task_record(job="7_0", packed=2)
    attempt.task_json.write_text(json.dumps(record.to_json()))
    if end is not None:
        attempt.exit_json.write_text(json.dumps(exit_record(**end).to_json()))
    again = Job("7_0", 1, JOB.slurm)
    assert next_attempt(task, entries(2)[1], 1, again) == (2 if goes_on else None)
    assert next_attempt(task, entries(2)[1], 1, JOB) is None


# ── with real programs ───────────────────────────────────────────────────────────────────────────────────────────────

PROGRAM = """
import os, signal, sys
x = int(sys.argv[1])
if x == 2:
    sys.exit(7)
if x == 3:
    os.kill(os.getppid(), signal.SIGKILL)  # its wrapper
    signal.pause()
print(f"loss: {x}", os.environ.get("SLURM_CPUS_PER_TASK"), os.environ["OMP_NUM_THREADS"])
"""
EXPERIMENT = """
name: tiny
type: comparison
program: {command: "python3 program.py {x} {seed}"}
sweep: {grid: {x: [1, 2, 3, 4]}, seeds: [1]}
metrics: {primary: {name: loss, goal: min}, source: {stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "X{x}"
pack: {tasks: 4, at_once: 2}
resources: {cpus: 3, mem: 500MB, time: "0:10:00"}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A pack of four that was run: X2 failed, the wrapper of X3 was killed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        made = make_slurm_project(tmp_path_factory.mktemp("pack") / "p", monkeypatch, EXPERIMENT, program=PROGRAM)
        job = {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURM_CPUS_PER_TASK": "6"}
        done = made.call("-m", "hpc.run_task", str(made.runs / "tiny/submissions/001/index.json"), "0", **job)
        yield made, done


def read(project: SlurmProject, x: int, name: str) -> Any:
    return json.loads((project.attempt(f"X{x}") / name).read_text())


def test_each_task_leaves_records_of_its_own(ran):
    """Exit code, signal, log and metrics are each task's; the element ends with 1, and says what happened."""
    project, done = ran
    assert done.returncode == 1, done.stdout + done.stderr
    ends = {
        x: (read(project, x, "exit.json")["exit_code"], read(project, x, "exit.json")["signal"]) for x in (1, 2, 3, 4)
    }
    assert ends == {1: (0, None), 2: (7, None), 3: (None, 9), 4: (0, None)}
    assert "X3: its wrapper was killed by signal 9" in done.stdout
    assert (project.attempt("X4") / "stdout.log").read_text() == "loss: 4 3 3\n"
    task = read(project, 1, "task.json")
    assert (task["packed"], task["resources"]["cpus"], task["job"]) == (2, 3, "7_0")
    assert read(project, 1, "exit.json")["memory_limit_mib"] == 500
    assert len({read(project, x, "task.json")["pid"] for x in (1, 2, 3, 4)}) == 4


def test_nothing_of_a_killed_wrapper_lives_on(ran):
    """Its program was ended with it."""
    project, _ = ran
    mark = f"HPC_ATTEMPT_DIR={project.attempt('X3')}".encode()
    living = [each for each in Path("/proc").glob("[0-9]*/environ") if _holds(each, mark)]
    assert living == []


def _holds(path: Path, mark: bytes) -> bool:
    try:
        return mark in path.read_bytes().split(b"\0")
    except OSError:
        return False


def test_the_same_element_again_runs_nothing(ran):
    """Submitted twice by hand: every task is taken."""
    project, _ = ran
    job = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "0"}
    done = project.call("-m", "hpc.run_task", str(project.runs / "tiny/submissions/001/index.json"), "0", **job)
    assert (done.returncode, done.stdout.count("already taken")) == (0, 4)
    assert not (project.attempt("X1", 2)).exists()


def test_an_index_beyond_the_elements_is_said(ran):
    """There is one element of four tasks: index 1 is none."""
    project, _ = ran
    done = project.call("-m", "hpc.run_task", str(project.runs / "tiny/submissions/001/index.json"), "1")
    assert done.returncode == 2
    assert "index 1; there are 0 to 0" in done.stderr


LISTENS = """
import signal, sys, time
x = int(sys.argv[1])
if x == 1:
    signal.signal(signal.SIGUSR1, lambda *_: print("warned", flush=True))
if x < 3:
    print("ready", flush=True)
    time.sleep(600)
"""


def test_the_elements_signals_reach_the_programs(tmp_path, monkeypatch):
    """A warning comes to the program that listens, the end to both; what they were sent is on record, and X3 waits."""
    made = make_slurm_project(tmp_path / "p", monkeypatch, EXPERIMENT.replace("3, 4]", "3]"), program=LISTENS)
    job = {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    command = [sys.executable, "-m", "hpc.run_task", str(made.runs / "tiny/submissions/001/index.json"), "0"]
    with subprocess.Popen(
        command, cwd=made.folder, env=command_environment(**job), stdout=subprocess.PIPE, text=True
    ) as element:

        def says(x: int, words: str) -> Callable[[], bool]:
            log = made.attempt(f"X{x}") / "stdout.log"
            return lambda: log.exists() and log.read_text() == words

        wait_until(lambda: says(1, "ready\n")() and says(2, "ready\n")(), 60, "both programs")
        element.send_signal(signal.SIGUSR1)
        wait_until(says(1, "ready\nwarned\n"), 60, "the warning")
        element.send_signal(signal.SIGTERM)
        out, _ = element.communicate(timeout=60)
    assert element.returncode == 1
    assert [read(made, x, "exit.json")["signals_received"] for x in (1, 2)] == [["USR1", "TERM"]] * 2
    assert [read(made, x, "exit.json")["signal"] for x in (1, 2)] == [15, 15]
    assert not made.attempt("X3").exists()
    assert "not started, because the element was told to end: X3" in out
