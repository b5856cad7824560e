"""Several tasks in one array element: begun one by one, each under a wrapper of its own, none lost with another.

Each wrapper is a fork of this process, so none starts an interpreter anew; what happens to one, kill -9 included, the
others do not notice. This process starts nothing itself: it hands signals on, begins the next task where one has ended
and there is time for a whole one, and records the end of a wrapper that could not. Where it is killed, its wrappers and
their programs are killed with it; what it had not begun was never claimed, and is submitted again.

Standard library only: the wrapper on the compute node imports it.
"""

import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from hpc.adapters import proc
from hpc.adapters.files import is_there, readable_record
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_FAILED, EXIT_STORAGE
from hpc.core.layout import RunLayout, TaskLayout
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Pack, Resources
from hpc.node.attempt import Job, last_attempt, tidy_up
from hpc.node.exit_record import conclude, exit_record
from hpc.node.supervision import Supervision

LOOK_S = 5.0
"""Between two looks for a hold, while nothing else happens."""
_TOLD = frozenset({signal.SIGUSR1, signal.SIGTERM, signal.SIGINT})
_END_TIME = "SLURM_JOB_END_TIME"
_CPUS = ("SLURM_CPUS_PER_TASK", "SRUN_CPUS_PER_TASK")

Begin = Callable[[Element, int, bool], int]
"""Runs a task to its end, in the place it is given, again after exit 85 or not; returns the wrapper's exit code."""


class Clock:
    """How much is left of an element's time; read on the clock that nobody sets."""

    def __init__(self, one: Resources, pack: Pack, environment: Mapping[str, str]) -> None:
        """Take the end from Slurm where it says it, else from what was asked for."""
        told = environment.get(_END_TIME, "")
        left = float(told) - time.time() if told.isdecimal() else float(pack.waves * one.time_s)
        self._end = time.monotonic() + left
        self._task_s = one.time_s

    def has_time(self) -> bool:
        """Whether a whole task still goes in."""
        return self._end - time.monotonic() >= self._task_s


@dataclass(frozen=True)
class _Running:
    """A wrapper at work.

    Attributes:
        entry: Its task.
        place: Which of the places that run at once it has.
    """

    entry: Element
    place: int


class Packed:
    """One array element at work."""

    def __init__(self, layout: RunLayout, entries: Sequence[Element], pack: Pack, job: Job, begin: Begin) -> None:
        self._layout = layout
        self._job = job
        self._pid = os.getpid()
        self._begin = begin
        self._waiting = deque((entry, False) for entry in entries)
        self._places = deque(range(pack.at_once))
        self._running: dict[int, _Running] = {}
        self._first = pack.at_once  # so many begin whatever the clock says: it is their time
        self._is_ending = False
        self._is_held = False
        self._codes: list[int] = []

    def run(self, clock: Clock) -> None:
        """Run all there is time for."""
        proc.adopt_orphans()
        with _blocked({*_TOLD, signal.SIGCHLD}) as before:
            while True:
                while self._may_begin(clock):
                    self._start(before)
                if not self._running:
                    return
                got = signal.sigtimedwait({*_TOLD, signal.SIGCHLD}, LOOK_S)
                if got and got.si_signo in _TOLD:
                    self._tell(signal.Signals(got.si_signo))
                self._reap()

    @property
    def wants_more(self) -> bool:
        """Whether a task left a checkpoint to go on from (exit 85), and there is no time for it here."""
        return not self._is_ending and any(again for _, again in self._waiting)

    @property
    def code(self) -> int:
        """The element's own exit code: 0 only where all of it was run and ended well."""
        if EXIT_STORAGE in self._codes:
            return EXIT_STORAGE
        return EXIT_FAILED if any(self._codes) or self._waiting else EXIT_DONE

    def say_left(self) -> None:
        """Say what was not begun, and why; nothing where all was."""
        left = [entry.run_name for entry, again in self._waiting if not again]
        if not left:
            return
        why = "a person or a failure holds it" if self._is_held else "there is no time for a whole task"
        why = "the element was told to end" if self._is_ending else why
        print(f"hpc: not started, because {why}: {' '.join(left)}; they can be submitted again", flush=True)

    def _may_begin(self, clock: Clock) -> bool:
        if not self._waiting or not self._places or self._is_ending:
            return False
        self._is_held = not self._bring_forward()
        return not self._is_held and (self._first > 0 or clock.has_time())

    def _bring_forward(self) -> bool:
        """Let the first task that nobody holds be the next; False where all are held."""
        if is_there(self._layout.hold):
            return False
        is_held = _held_runs(self._layout)
        found = next((each for each in self._waiting if not is_held(each[0].run_name)), None)
        if found is None:
            return False
        self._waiting.remove(found)
        self._waiting.appendleft(found)
        return True

    def _start(self, mask: set[signal.Signals]) -> None:
        entry, again = self._waiting.popleft()
        place = self._places.popleft()
        self._first -= 1
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            _become_wrapper(self._pid, mask, lambda: self._begin(entry, place, again))
        self._running[pid] = _Running(entry, place)

    def _tell(self, number: signal.Signals) -> None:
        """Hand a signal on; each wrapper passes it to its ranks."""
        self._is_ending = self._is_ending or number is not signal.SIGUSR1
        print(f"hpc: received {number.name}, passing it to the running tasks", flush=True)
        proc.send_signal(list(self._running), number)

    def _reap(self) -> None:
        """See which wrappers have ended; others are orphans of theirs, of which nothing is known."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if ended := self._running.pop(pid, None):
                    self._places.appendleft(ended.place)
                    self._take_in(ended.entry, pid, os.waitstatus_to_exitcode(status))

    def _take_in(self, entry: Element, pid: int, code: int) -> None:
        if code == EXIT_CHECKPOINTED:
            self._waiting.appendleft((entry, True))
            return
        self._codes.append(code)
        if code < 0:
            print(f"hpc: {entry.run_name}: its wrapper was killed by signal {-code}", flush=True)
            with contextlib.suppress(OSError):
                bury(self._layout.task(entry.run_name), pid, -code, self._job, was_told=self._is_ending)


def _held_runs(layout: RunLayout) -> Callable[[str], bool]:
    """Tell which single runs a person holds; all of them where nobody can read it."""
    if not is_there(layout.held_runs):
        return lambda _: False
    from hpc.core.records.hold import HeldRuns  # here: mostly there are none

    known = readable_record(layout.held_runs, HeldRuns)
    return lambda run: known is None or run in known.runs


@contextlib.contextmanager
def _blocked(signals: Collection[signal.Signals]) -> Iterator[set[signal.Signals]]:
    """Let signals wait until they are asked for; returns what was blocked before."""
    before = {signal.Signals(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, signals)}
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_wrapper(parent: int, mask: set[signal.Signals], run: Callable[[], int]) -> NoReturn:
    """Be the wrapper of one task, in a new fork, to its end.

    It is killed with its parent. Before its program is started a warning means nothing to it, and it may simply be
    ended.
    """
    code = EXIT_FAILED
    try:
        proc.prepare_child(None)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if os.getppid() == parent:
            code = run()
    except BaseException:  # it must not go on as the parent; the others go on
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def bury(task: TaskLayout, pid: int, number: int, job: Job, *, was_told: bool) -> None:
    """Record the end of an attempt whose wrapper was killed, and end what it left running.

    Args:
        pid: Of the wrapper.
        number: The signal.
        was_told: Whether the whole element was told to end.
    """
    attempt = task.attempt(last_attempt(task))
    record = readable_record(attempt.task_json, TaskRecord)
    if record is None or record.job != job.name or record.pid.split("/")[1:2] != [str(pid)]:
        return  # it was killed before it had claimed anything
    proc.send_signal(sorted(proc.started_with({"HPC_ATTEMPT_DIR": str(attempt.home)})), signal.SIGKILL)
    if attempt.exit_json.exists():
        return
    result = Supervision(signal=number, received=["TERM"] if was_told else [])
    conclude(task, attempt, replace(exit_record(record, result, attempt), peak_memory_mib=None))
    tidy_up(record, attempt)


def warm_up(index: SubmissionIndex) -> None:
    """Load what each task would load for itself, before they are forked."""
    if index.metrics_source[0] != "hdf5":
        from hpc.node import metric_tap

        metric_tap.warm_up()
    if index.container and index.container.runtime == "apptainer":
        import hpc.adapters.apptainer
    if index.batch:
        import hpc.core.retry.learned
    if index.program.config:
        import hpc.core.launch.config_file  # noqa: F401


def with_own_cores(environment: MutableMapping[str, str], cpus: int) -> None:
    """Tell the programs of a task its own cores, where Slurm tells those of the element."""
    for name in _CPUS:
        if name in environment:
            environment[name] = str(cpus)
