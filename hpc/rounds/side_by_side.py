"""Runs read by several processes side by side, where there are many of them and the machine lets us.

A process that dies over a damaged file, loops in it or fills its memory costs that run a second reading, by the caller,
which reads metrics in a process apart (`hpc.adapters.metrics_apart`) and says what is wrong. So nothing is decided
here, and nothing is lost here.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from multiprocessing.connection import Connection, Pipe
from queue import Queue
from typing import Any

from hpc.adapters import metrics_apart
from hpc.core.records.record import RecordError
from hpc.rounds import messages
from hpc.rounds.reading import Read, Reader
from hpc.snapshots.states import TaskState

WORTH = 300
"""Fewer runs are read sooner than processes are started."""
MOST_PROCESSES = 4
"""On a login node others work, too."""
_NICE = 5
_AT_ONCE = 16
"""Runs that a process is given at a time."""
_WAITING = 64
"""Runs that were read and wait to be taken."""
_MOST_DEATHS = 3
"""Processes that ended one after the other and read nothing: then it is no run's fault."""
_GONE = (OSError, EOFError)
_NO_ANSWER = (*_GONE, ValueError, LookupError, TypeError, RecordError)
_NOT_TOLD = (OSError, ValueError, TypeError, RecordError)
"""No process can be started, or something has no form in which it could be told to one."""

Asked = tuple[int, TaskState]
"""A run, and its place in the manifest."""


def processes_for(runs: int) -> int:
    """How many processes are worth starting for so many runs; 0 for none."""
    cores = len(os.sched_getaffinity(0))
    return min(MOST_PROCESSES, cores) if runs >= WORTH and cores > 1 else 0


def read_side_by_side(
    reader: Reader, asked: Sequence[Asked], processes: int
) -> Generator[tuple[int, Read], None, None]:
    """Read runs in processes of their own.

    Args:
        reader: What reads them.
        processes: How many are to be started.

    Yields:
        Place and run, as each is done, in no order. What could not be read so is missing.
    """
    crew = _Crew(reader, asked)
    threads = [threading.Thread(target=crew.work_off, daemon=True) for _ in range(processes)]
    for thread in threads:
        thread.start()
    try:
        yield from crew.take_all(processes)
    finally:
        crew.stop()


class _Crew:
    """What is left to read, what was read, and the processes that read; a thread looks after each process."""

    def __init__(self, reader: Reader, asked: Sequence[Asked]) -> None:
        self._reader = reader
        self._left = deque(each for each in asked if messages.can_be_asked(each[1]))
        self._done: Queue[tuple[int, Read] | None] = Queue()
        self._room = threading.Semaphore(_WAITING)
        self._processes: list[_Process] = []
        self._is_over = False

    def take_all(self, working: int) -> Iterator[tuple[int, Read]]:
        """What was read, until so many threads have ended."""
        while working:
            read = self._done.get()
            if read is None:
                working -= 1
            else:
                self._room.release()
                yield read

    def stop(self) -> None:
        """Let nothing more be read; what is being read is dropped."""
        self._is_over = True
        for process in list(self._processes):
            process.end()
            self._room.release()

    def work_off(self) -> None:
        """Have one process after the other read what is left, until nothing is."""
        idle = 0
        try:
            while self._left and idle < _MOST_DEATHS and not self._is_over:
                idle = 0 if self._read_until_death() else idle + 1
        except _NOT_TOLD:  # others, or the caller, do the rest
            pass
        finally:
            self._done.put(None)

    def _read_until_death(self) -> int:
        """Have one process read until nothing is left, or it dies; return how many it read."""
        process, count = _Process(self._reader), 0
        self._processes.append(process)
        try:
            while not self._is_over and (batch := self._take()):
                before = count
                for (row, _), read in zip(batch, process.read(batch), strict=False):
                    count += 1
                    if read is not None and self._hand_over(row, read):
                        return count
                if count - before < len(batch):  # it died over the next, which is left to the caller
                    self._left.extendleft(reversed(batch[count - before + 1 :]))
                    break
        finally:
            self._processes.remove(process)
            process.end()
        return count

    def _hand_over(self, row: int, read: Read) -> bool:
        """Hand a run over once there is room; return whether nobody wants any more."""
        self._room.acquire()  # whoever takes it releases it
        self._done.put((row, read))
        return self._is_over

    def _take(self) -> list[Asked]:
        batch: list[Asked] = []
        with contextlib.suppress(IndexError):
            while len(batch) < _AT_ONCE:
                batch.append(self._left.popleft())
        return batch


class _Process:
    """A process that reads runs."""

    def __init__(self, reader: Reader) -> None:
        """Start it.

        Raises:
            OSError: It cannot be started.
        """
        told = messages.tell_reader(reader)
        self._connection, other = Pipe()
        code = f"import sys; sys.path[:] = {sys.path!r}; from hpc.rounds.side_by_side import serve; serve()"
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._send(told)

    def read(self, batch: Sequence[Asked]) -> Iterator[Read | None]:
        """Read some runs, one after the other; it ends before the one over which the process died, or is late.

        Yields:
            None for a run that has to be read with more care.
        """
        self._send(messages.tell_runs([state for _, state in batch]))
        for _, state in batch:
            try:
                if not self._connection.poll(metrics_apart.MOST_SECONDS):
                    return
                answer = messages.read_from(self._connection.recv_bytes(), state)
            except _NO_ANSWER:
                return
            yield answer

    def end(self) -> None:
        """End it; it holds nothing. Whoever listens to it learns that it is gone."""
        self._process.kill()
        self._process.wait()

    def _send(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone: that shows where it is listened to
            self._connection.send_bytes(content)


def serve() -> None:
    """Read runs, as standard input asks for them, until the other side is gone."""
    os.nice(_NICE)
    most = metrics_apart.MOST_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    metrics_apart.read_here()
    connection = Connection(os.dup(sys.stdin.fileno()))
    with contextlib.suppress(*_GONE):
        reader = messages.reader_from(connection.recv_bytes())
        while True:
            for told in json.loads(connection.recv_bytes()):
                connection.send_bytes(_answer(reader, told))


def _answer(reader: Reader, told: Sequence[Any]) -> bytes:
    """Whatever is wrong with a run: who reads it with more care says it."""
    try:
        return messages.answer(reader, told)
    except Exception:
        return b""
