"""Whatever is held, cancelled, submitted or killed meanwhile: each element starts once, and waiting costs nothing."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.adapters import local
from hpc.adapters.files import write_json
from hpc.adapters.locks import lock
from hpc.adapters.withdrawn import withdraw
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.hold import HeldRun, HeldRuns
from hpc.core.records.index import Element
from hpc.core.records.submitted import LOCAL
from hpc.local import following, queue, working
from hpc.submissions.receipts import asked_now, write_receipt
from tests.local_projects import EXPERIMENT, LocalProject, command_environment, family, make_project, wait_until
from tests.made_records import exit_record, submission_index


def hand_in(layout: RunLayout, number: int, size: int, waits_for: int = 0) -> SubmissionLayout:
    """Put an array into the queue."""
    submission = layout.submission(number)
    names = [f"X{number}-{each}" for each in range(size)]
    entries = tuple(Element(f"{number:06d}{place:06d}", name, {}, 1, 1) for place, name in enumerate(names))
    write_json(submission.index, submission_index(entries=entries, submission=number).to_json())
    write_receipt(submission, asked_now(job=LOCAL, waits_for=waits_for, is_canary=number == 1))
    return submission


class Pretended:
    """Stands for the processes: an element ends at once, its record is there, and `then` may change the world."""

    def __init__(self, layout: RunLayout, then: Callable[[int], None] = lambda _: None) -> None:
        self.started = list[str]()
        self._layout = layout
        self._then = then

    def fork(self, _gpus: object, _run: object, script: str, position: int, _log: str) -> int:
        name = f"X{int(Path(script).parent.name)}-{position}"
        write_json(self._layout.task(name).attempt(1).exit_json, exit_record(ended=time.time()).to_json())
        self.started.append(name)
        self._then(len(self.started))
        return len(self.started)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Pretended":
        monkeypatch.setattr(working, "fork", self.fork)
        monkeypatch.setattr(working, "has_left", lambda _: True)
        monkeypatch.setattr(working, "TICK_S", 0.0)
        monkeypatch.setattr(queue, "POLL_S", 0.0)
        return self


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    cancelled=st.sets(st.integers(0, 19), max_size=5),
    held=st.sets(st.integers(0, 19), max_size=4),
    canary=st.booleans(),
    late=st.booleans(),
    at_once=st.integers(1, 3),
)
def test_each_element_starts_once_and_in_its_turn(
    tmp_path_factory: pytest.TempPathFactory, sizes, cancelled, held, canary, late, at_once
):
    """Arrays that come in while others run, runs that are held or cancelled, a canary: no start is lost or doubled."""
    layout = RunLayout(tmp_path_factory.mktemp("runs"), "e")
    layout.tasks.mkdir(parents=True)
    names = [f"X{number}-{each}" for number, size in enumerate(sizes, 1) for each in range(size)]
    gone, kept = ({names[each] for each in those if each < len(names)} for those in (cancelled, held))
    there = list[str]()

    def put_in(number: int) -> None:
        submission = hand_in(layout, number, sizes[number - 1], waits_for=1 if canary and number > 1 else 0)
        withdraw(submission, cancelled=[name for name in gone if name.startswith(f"X{number}-")])
        there.extend(name for name in names if name.startswith(f"X{number}-"))

    def then(count: int) -> None:
        if late and count == 1 and len(sizes) > 1:
            put_in(len(sizes))

    write_json(layout.held_runs, HeldRuns({name: HeldRun(1.0, "me") for name in kept}).to_json())
    for number in range(1, max(2, len(sizes) + (not late))):
        put_in(number)
    with pytest.MonkeyPatch.context() as patch:
        pretended = Pretended(layout, then).install(patch)
        working.run_queue(layout, at_once)
        free = [name for name in there if name not in gone | kept]
        canary_succeeds = all(name in free for name in names if name.startswith("X1-"))
        expected = free if canary_succeeds or not canary else [name for name in free if name.startswith("X1-")]
        assert pretended.started == expected
        working.run_queue(layout, at_once)  # a second runner finds nothing to do
        assert pretended.started == expected


def looked_at(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    """How many files were asked about while something was done."""
    calls = itertools.count()
    true_stat, true_open = Path.stat, os.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda *args, **more: (next(calls), true_stat(*args, **more))[1])
        patch.setattr(os, "open", lambda *args, **more: (next(calls), true_open(*args, **more))[1])
        work()
    return next(calls)


def test_what_a_start_costs_does_not_grow_with_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as many elements: four times as many looks, not sixteen."""
    assert looks_of_a_queue(tmp_path, 200, monkeypatch) < 5 * looks_of_a_queue(tmp_path, 50, monkeypatch)


def looks_of_a_queue(folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Work off so many elements; by the clock the queue is read at the beginning and at the end."""
    layout = RunLayout(folder / str(size), "e")
    layout.tasks.mkdir(parents=True)
    hand_in(layout, 1, size)
    with monkeypatch.context() as patch:
        pretended = Pretended(layout).install(patch)
        patch.setattr(queue.Pace, "is_due", property(lambda _: len(pretended.started) in (0, size)))
        count = looked_at(patch, lambda: working.run_queue(layout, 2))
    assert len(pretended.started) == size
    return count


def test_following_looks_only_at_what_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a thousand elements wait, a look asks about no file of theirs."""
    counts = []
    for size in (10, 1000):
        layout = RunLayout(tmp_path / str(size), "e")
        layout.tasks.mkdir(parents=True)
        hand_in(layout, 1, size)
        elements = list(queue.list_elements(layout))
        has_begun = following._has_begun
        counts.append(looked_at(monkeypatch, lambda: following._split(elements, has_begun(layout))))  # noqa: B023
    assert counts[0] == counts[1]


def test_a_runner_that_starts_slowly_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine its start takes longer than any bound: while its process lives, nothing is called lost."""
    layout = RunLayout(tmp_path, "e")
    layout.tasks.mkdir(parents=True)
    hand_in(layout, 1, 1)
    began = time.monotonic()
    monkeypatch.setattr(following, "START_UP_S", 0.05)
    monkeypatch.setattr(following, "lives", lambda name: name == "boot/7/1" and time.monotonic() - began < 0.5)
    elements = list(queue.list_elements(layout))
    assert list(following._as_they_end(layout, elements, lambda: None, "boot/7/1")) == elements
    assert time.monotonic() - began > 0.5


def test_looking_takes_a_twentieth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dearer a look, the later the next."""
    now = [100.0]
    monkeypatch.setattr(queue.time, "monotonic", lambda: now[0])
    pace = queue.Pace()
    assert pace.is_due
    for took, rest in ((0.001, queue.POLL_S), (1.0, 20.0)):
        with pace.look():
            now[0] += took
        assert not pace.is_due
        assert pace.rest_s == pytest.approx(rest)
        now[0] += rest
        assert pace.is_due


@pytest.mark.parametrize("parents", [True, False], ids=["filelock", "bare"])
def test_a_forked_process_holds_no_lock_of_ours(tmp_path: Path, parents: bool) -> None:
    """The runner is killed: what it started goes on, and the next runner gets the queue at once."""
    line = (
        "import os, signal, sys, time; from pathlib import Path\n"
        "from hpc.adapters.locks import lock\n"
        "from hpc.adapters.local import fork\n"
        "started = Path(sys.argv[2])\n"
        "def wait(): started.write_text(str(os.getpid())); time.sleep(30); return 0\n"
        f"with lock(Path(sys.argv[1]), parents={parents}):\n"
        "    fork((), wait)\n"
        "    while not (started.exists() and started.read_text()): time.sleep(.01)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", line, tmp_path / "lock", tmp_path / "started"], check=False)
    child = int((tmp_path / "started").read_text())
    try:
        os.kill(child, 0)  # it lives
        with lock(tmp_path / "lock", timeout_s=0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_exception_of_a_forked_function_is_its_exit_code() -> None:
    """Nothing of the parent's goes on in the child."""
    pid = local.fork((), lambda: 1 // 0)
    wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), 10, "its end")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


ONCE = """
import os, sys, time
with open(os.environ["RAN"], "a") as file:
    file.write(f"{sys.argv[1]} {os.environ['HPC_ATTEMPT']}\\n")
time.sleep(0.3)
print("loss: 1")
"""


def test_kill_9_of_any_process_of_the_queue_runs_nothing_twice(tmp_path: Path) -> None:
    """Runner, element or wrapper is killed again and again; every attempt begins once, every task ends finished."""
    project = make_project(tmp_path / "project", EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4, 5, 6]"), ONCE)
    ran = {"RAN": str(tmp_path / "ran")}
    project.hpc("plan", "tiny", "--cluster", "local")
    for victim in ("runner", "element", "wrapper"):
        submit = start_detached_submit(project, ran)
        before = count_begun(project)
        wait_until(lambda: count_begun(project) > before or submit.poll() is not None, 30, "a task to begin")  # noqa: B023
        if pid := find(project, victim):
            os.kill(pid, signal.SIGKILL)
        submit.kill()
        submit.wait()
    wait_until(lambda: not any(family(path) for path in begun(project)), 30, "what runs to end")
    for _ in range(3):
        project.call("-m", "hpc.submit", "tiny", **ran)
        project.call("-m", "hpc.collect", "tiny", "--retry-failed", **ran)
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 6
    lines = (tmp_path / "ran").read_text().splitlines()
    assert len(lines) == len(set(lines)), "an attempt ran twice"
    assert {line.split()[0] for line in lines} == set("123456")


def start_detached_submit(project: LocalProject, more: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "hpc.submit", "tiny"],
        cwd=project.folder,
        env=command_environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def begun(project: LocalProject) -> list[Path]:
    return list(project.runs.glob("tiny/tasks/*/attempt-*"))


def count_begun(project: LocalProject) -> int:
    return len(begun(project))


def find(project: LocalProject, victim: str) -> int:
    """A process of that kind; 0 where there is none."""
    runner = f"hpc.local.runner\0{project.runs / 'tiny'}\0".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
                parent = Path("/proc", stat.rpartition(")")[2].split()[1], "cmdline").read_bytes()
            except OSError:
                continue
            is_wrapper = b"hpc.run_task\0" in words and str(project.runs).encode() in words
            kind = "wrapper" if is_wrapper else "element" if runner in parent and runner in words else "runner"
            if kind == victim and (is_wrapper or runner in words):
                return int(entry.name)
    return 0
