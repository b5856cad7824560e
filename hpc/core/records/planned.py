"""``manifest.json``, as far as the wrapper on the compute node reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlannedTask:
    """What the wrapper reads of a task."""

    task_id: str


@dataclass(frozen=True)
class Planned:
    """What the wrapper reads of a manifest."""

    tasks: tuple[PlannedTask, ...]
