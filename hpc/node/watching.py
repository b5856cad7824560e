"""The watch over a run while it is at work: looks now and then, and says when the run is to be ended.

What that needs is loaded with the first look, so that short runs load nothing. Standard library only.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord

if TYPE_CHECKING:
    from hpc.node.hang_watch import HangWatch

MOST_APART_S = 60.0
"""Between two looks."""


class Watching:
    """Looks after one attempt, or one node's share of it."""

    def __init__(self, task: TaskRecord, attempt: AttemptLayout, *, node_rank: int | None = None) -> None:
        """Begin.

        Args:
            task: What is run, with its watch.
            attempt: Its files.
            node_rank: Of a share over several nodes, which tells what it sees and ends nothing; None: of the whole.
        """
        self._task, self._attempt, self._node_rank = task, attempt, node_rank
        self._every_s = min(MOST_APART_S, task.watch.silent_s / 20) if task.watch else float("inf")
        self._due = time.monotonic() + self._every_s
        self._watch: HangWatch | None = None

    def look_if_due(
        self, roots: Callable[[], list[int]], gpu_busy: Callable[[], float | None], step: Callable[[], int | None]
    ) -> str:
        """Look when it is time; say why the run is to be ended, empty while it may go on.

        Args:
            roots: As `hpc.node.hang_watch.Eyes`.
            gpu_busy: The same.
            step: The same.
        """
        if time.monotonic() < self._due or self._task.watch is None:
            return ""
        if self._watch is None:
            from hpc.node.hang_watch import HangWatch  # here: a run of less than a minute needs none

            self._watch = HangWatch(self._task, self._task.watch, self._attempt, self._every_s, self._node_rank)
        try:
            return self._watch.look(roots, gpu_busy, step)
        except OSError:  # a full disk, or a folder that was removed: whoever looks for those ends it
            return ""
        finally:
            self._due = time.monotonic() + self._every_s

    @property
    def grace_s(self) -> float:
        """Seconds the program may take to save when it is ended; a slow one still can."""
        return self._watch.grace_s if self._watch else 0.0

    def close(self) -> str:
        """What the run seemed to hang or be slow in when it ended, in words; empty where it seemed well."""
        if self._watch is None:
            return ""
        try:
            return self._watch.close()
        except OSError:
            return ""
