"""What the programs of attempts printed: which files hold it, and following it while they run."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hpc.adapters.files import readable_record
from hpc.adapters.log_lines import LogReader, start_of_tail
from hpc.adapters.manifest_store import readable_indices
from hpc.adapters.packed import names_in
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Task
from hpc.core.immutable import immutable
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.task import TaskRecord
from hpc.snapshots.snapshot import look_at
from hpc.snapshots.states import Progress, TaskState
from hpc.submissions.on_disk import list_attempts

STREAMS = ("stdout", "stderr")
LOOK_S = 0.25
"""Seconds between two looks into a log in which something happens; twice as long after each in which nothing did, up
to `IDLE_S`."""
IDLE_S = 2.0
ASK_S = 15.0
"""Seconds after which it is asked again whether a task is over, where no record of its end says so before."""
_LOG = re.compile(r"(stdout|stderr)(?:\.node(\d+)|\.rank(\d+))?\.log")


@immutable
class Printed:
    """A file with what an attempt printed.

    Attributes:
        run_name: The task's.
        attempt: Number of the attempt.
        stream: ``stdout`` or ``stderr``; ``sanity`` for the ladder before the program, ``wrapper`` for Slurm and ours.
        node: Which of its nodes, from 0.
        path: The file.
        rank: Whose own log it is; 0: all that print on the node, or rank 0 where each other rank has its own.
    """

    run_name: str
    attempt: int
    stream: str
    node: int
    path: Path
    rank: int = 0

    @property
    def label(self) -> str:
        """Say which, as in ``R8_S42 attempt 2 stderr``."""
        place = f" rank {self.rank}" if self.rank else f" node {self.node}" if self.node else ""
        return f"{self.run_name} attempt {self.attempt} {self.stream}{place}"


@immutable
class Place:
    """Where a rank prints.

    Attributes:
        node: Its node.
        rank: Its number in all nodes.
        own: The streams that each rank prints apart; rank 0's are the node's.
        shared: Those into which other ranks of the node print, too.
    """

    node: int
    rank: int = 0
    own: Sequence[str] = ()
    shared: Sequence[str] = ()

    def holds(self, stream: str, node: int, rank: int) -> bool:
        """Whether a log is the rank's: its own one, or that of its node where it has none."""
        own = self.rank if stream in self.own else 0
        return rank == own and (node == self.node or rank > 0)


def printed_of(attempt: AttemptLayout, streams: Sequence[str] = STREAMS, place: Place | None = None) -> list[Printed]:
    """List the logs of an attempt, stdout first; where the program never began, what its ladder of checks printed.

    Args:
        place: Where one rank prints; None: all of them.
    """
    try:
        names = names_in(attempt.home)
    except (FileNotFoundError, NotADirectoryError):
        return []
    run = attempt.home.parent.name
    logs = ((each[1], int(each[2] or 0), int(each[3] or 0), each[0]) for each in map(_LOG.fullmatch, names) if each)
    found = [
        Printed(run, attempt.number, stream, node, attempt.home / name, rank)
        for stream, node, rank, name in logs
        if stream in streams and (place is None or place.holds(stream, node, rank))
    ]
    found.sort(key=lambda each: (STREAMS.index(each.stream), each.node, each.rank))
    if not found and attempt.sanity_log.name in names:
        found = [Printed(run, attempt.number, "sanity", 0, attempt.sanity_log)]
    return found


def wrapper_logs(layout: RunLayout, run_name: str) -> list[Printed]:
    """What Slurm and the wrapper printed of a run's newest element: all there is where no attempt began."""
    found: list[Printed] = []
    for submission, index in readable_indices(layout):
        for position, entry in enumerate(index.entries):
            if entry.run_name == run_name:
                logs = sorted(submission.logs.glob(f"*_{index.element_of(position)}.log"))
                found = [Printed(run_name, entry.attempt, "wrapper", 0, path) for path in logs] or found
    return found


def place_of(attempt: AttemptLayout, rank: int) -> Place:
    """Where a rank of an attempt prints: into its own log (`Placement.is_apart`), else into that of its node.

    Raises:
        InputError: It has no such rank.
    """
    record = readable_record(attempt.task_json, TaskRecord)
    if record is None:
        raise InputError("cannot be read, so its ranks are not known; leave out --rank", str(attempt.task_json))
    nodes = 1 if record.on_first_node else record.nodes
    if rank >= nodes * record.processes:
        most, run = nodes * record.processes - 1, attempt.home.parent.name
        raise InputError(f"--rank {rank}: {run} has {f'ranks 0 to {most}' if most else 'rank 0 alone'}")
    names = names_in(attempt.home)
    own = [each for each in STREAMS if record.launch.rank_logs or any(n.startswith(f"{each}.rank") for n in names)]
    shared = [each for each in STREAMS if each not in own] if record.processes > 1 else []
    return Place(rank // record.processes, rank, own, shared)


@immutable
class Piece:
    """Something that came in.

    Attributes:
        source: Where from.
        data: What was printed.
        said: What happened to the log before that; empty for nothing.
    """

    source: Printed
    data: bytes
    said: str = ""


class Follower:
    """Follows what a task prints, from attempt to attempt, until it is over."""

    def __init__(
        self,
        layout: RunLayout,
        task: Task,
        logs_of: Callable[[AttemptLayout], list[Printed]],
        is_over: Callable[[TaskState], bool],
        *,
        only: int | None = None,
        tail: int | None = None,
    ) -> None:
        """Follow a task.

        Args:
            logs_of: Lists the logs of an attempt that are wanted.
            is_over: Says of a task of which nothing waits or runs whether nothing more will.
            only: One attempt alone.
            tail: So many lines of each log that is there already; None: all.
        """
        self._layout, self._task, self._logs_of, self._is_over = layout, task, logs_of, is_over
        self._only, self._tail = only, tail
        self._number = self._ended_number = 0
        self._readers: dict[Path, tuple[Printed, LogReader]] = {}

    def pieces(self) -> Iterator[Piece | None]:
        """Yield what comes in; None where nothing did and it is time to wait. Ends once the task is over."""
        asked = float("-inf")
        while True:
            is_last = False
            # Asked before the logs are read to their end, or what was printed in between would be lost.
            if self._has_newly_ended() or time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                is_last = self._is_the_end()
            came = False
            for piece in self._read():
                came = True
                yield piece
            if is_last:
                self._close()
                return
            if not came:
                yield None

    def _attempts(self) -> list[int]:
        numbers = list_attempts(self._layout, self._task.run_name)
        return [each for each in numbers if self._only in (None, each)]

    def _has_newly_ended(self) -> bool:
        """Whether the newest attempt has left the record of its end since it was looked for last."""
        newest = max(self._attempts(), default=0)
        before, attempt = self._ended_number, self._layout.task(self._task.run_name).attempt(newest)
        if newest > before and attempt.exit_json.exists():
            self._ended_number = newest
        return self._ended_number > before

    def _is_the_end(self) -> bool:
        """Whether nothing more will be printed."""
        state = look_at(self._layout, [self._task], require_slurm=False).tasks[0]
        if self._only is not None:
            return not any(each.number == self._only and each.progress is not Progress.OVER for each in state.attempts)
        return not state.is_live and self._is_over(state)

    def _read(self) -> Iterator[Piece]:
        numbers = self._attempts()
        for number in numbers if self._number else numbers[-1:]:
            if 0 < self._number < number:  # the one before is read to its end
                yield from self._drain()
                self._close()
            if number >= self._number:
                self._open(number)
        yield from self._drain()

    def _open(self, number: int) -> None:
        """Begin to read the logs of an attempt that are there by now; those of the first one at their end."""
        tail = None if self._number else self._tail
        self._number = number
        for each in self._logs_of(self._layout.task(self._task.run_name).attempt(number)):
            if each.path not in self._readers:
                start = 0 if tail is None else start_of_tail(each.path, tail)
                self._readers[each.path] = each, LogReader(each.path, start)

    def _drain(self) -> Iterator[Piece]:
        for source, reader in list(self._readers.values()):
            while (data := reader.read()) or reader.said:
                yield Piece(source, data, reader.said)

    def _close(self) -> None:
        for _, reader in self._readers.values():
            reader.close()
        self._readers.clear()


def with_pauses(pieces: Iterator[Piece | None], sleep: Callable[[float], None] = time.sleep) -> Iterator[Piece]:
    """Wait where nothing comes in: shortly at first, then longer."""
    pause = LOOK_S
    for piece in pieces:
        if piece is not None:
            pause = LOOK_S
            yield piece
        else:
            sleep(pause)
            pause = min(2 * pause, IDLE_S)
