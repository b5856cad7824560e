"""Working off this machine's own queue: elements are started so many at once, until all have ended.

An element is looked at once, when it is its turn: what there is to look at does not grow with what waits.
"""

import time
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

from hpc.adapters.collected_file import finished_runs
from hpc.adapters.local import count_gpus, fork, has_left
from hpc.adapters.withdrawn import NOTHING, read_withdrawn
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.aside import Withdrawn
from hpc.local.element import run_element
from hpc.local.queue import (
    Pace,
    QueuedElement,
    canaries,
    elements_of,
    has_ended,
    is_gone,
    list_arrays,
    list_open,
    list_probes,
)
from hpc.submissions.held_runs import why_held
from hpc.submissions.holds import held

TICK_S = 0.02
"""Between two looks whether a process of ours has ended."""


class Backlog:
    """What has not begun, in the order in which it starts: probes, then tasks, the oldest submission first."""

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._probes: dict[SubmissionLayout, deque[QueuedElement]] = {}
        self._arrays: dict[SubmissionLayout, deque[QueuedElement]] = {}
        self._results: dict[str, int] = {}
        self._succeeded = {0}

    def read(self) -> None:
        """Take in what was handed over since, what was collected, and which canaries have succeeded."""
        for probe, elements in list_probes(self._layout):
            self._probes.setdefault(probe, deque(elements))
        for submission, waits_for in list_arrays(self._layout):
            if submission not in self._arrays:
                self._arrays[submission] = deque(elements_of(self._layout, submission, waits_for))
        self._results = finished_runs(self._layout)
        self._succeeded = canaries(self._layout)[0] | {0}

    def take(self, *, only_probes: bool) -> QueuedElement | None:
        """Take out the next one that may start now; None where there is none."""
        if held(self._layout):  # what runs goes on; a release starts another runner
            return None
        why = why_held(self._layout)
        for submission, waiting in self._in_turn(only_probes=only_probes):
            found, kept = None, list[QueuedElement]()
            while waiting and found is None:
                each = waiting.popleft()
                if why(each.run_name):
                    kept.append(each)
                elif not self._is_over(submission, each):
                    found = each
            waiting.extendleft(reversed(kept))
            if found:
                return found
        return None

    def put_back(self, element: QueuedElement) -> None:
        """Let one that `take` gave be the next again."""
        queues = self._probes if element.measures else self._arrays
        queues[SubmissionLayout(element.script.parent)].appendleft(element)

    def _in_turn(self, *, only_probes: bool) -> Iterator[tuple[SubmissionLayout, deque[QueuedElement]]]:
        for queues in (self._probes,) if only_probes else (self._probes, self._arrays):
            for submission, waiting in queues.items():
                if waiting and waiting[0].waits_for in self._succeeded:
                    yield submission, waiting

    def _is_over(self, submission: SubmissionLayout, element: QueuedElement) -> bool:
        """Whether an element has begun, was collected and taken away, or is not to begin any more."""
        if element.attempt.home.exists() or is_gone(element, self._results):
            return True
        return element.run_name in _withdrawn_from(submission)


def _withdrawn_from(submission: SubmissionLayout) -> Withdrawn:
    try:
        found = submission.withdrawn.stat()
    except OSError:
        return NOTHING
    return _read_withdrawn(submission, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=16)
def _read_withdrawn(submission: SubmissionLayout, *_stamp: int) -> Withdrawn:
    return read_withdrawn(submission)


def run_queue(layout: RunLayout, max_parallel: int) -> None:
    """Start elements until all have ended. The queue is read again now and then: more may have been submitted."""
    backlog, pace = Backlog(layout), Pace()
    free_gpus = list(range(count_gpus()))
    running: dict[int, tuple[QueuedElement, list[int]]] = {}
    left_over = [each for each in list_open(layout) if each.attempt.home.exists()]  # by a runner that was killed
    while True:
        for pid in [pid for pid in running if has_left(pid)]:
            free_gpus += running.pop(pid)[1]
        if is_read := pace.is_due:
            with pace.look():
                backlog.read()
                left_over = [each for each in left_over if not has_ended(each)]
        next_one = None
        while len(running) + len(left_over) < max_parallel:
            busy = [*(each for each, _ in running.values()), *left_over]
            next_one = backlog.take(only_probes=any(each.measures for each in busy))
            if next_one is None:
                break
            # Nobody remembers which GPUs the left-over ones hold.
            if next_one.gpus > len(free_gpus) or (next_one.gpus and any(each.gpus for each in left_over)):
                backlog.put_back(next_one)
                break
            gpus, free_gpus = free_gpus[: next_one.gpus], free_gpus[next_one.gpus :]
            pid = fork(gpus, run_element, str(next_one.script), next_one.position, str(next_one.log))
            running[pid] = (next_one, gpus)
        if is_read and not (running or left_over or next_one):
            return
        time.sleep(TICK_S if running else pace.rest_s)
