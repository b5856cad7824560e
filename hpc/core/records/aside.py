"""``withdrawn.json`` of a submission and ``aside/NNN/aside.json``: what is never to start, and what was put away."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from hpc.core.immutable import field, immutable
from hpc.core.layout import name_problem
from hpc.core.records.record import Record


@immutable
class Withdrawn(Record):
    """Elements of one submission that are not to start (again).

    Attributes:
        cancelled: Run name → Unix time at which a person cancelled it (`hpc.cancel`).
        set_aside: Run name → Unix time at which a task of other settings took its place; it counts for nothing.
    """

    kind: ClassVar[str] = "withdrawn"

    cancelled: Mapping[str, float] = field(default_factory=dict)
    set_aside: Mapping[str, float] = field(default_factory=dict)

    def __contains__(self, run_name: str) -> bool:
        """Whether this run's element is not to start."""
        return run_name in self.cancelled or run_name in self.set_aside


@immutable
class RunAside(Record):
    """A run whose folder was put away.

    Attributes:
        run_name: Name of its folder.
        task_id: The task it was of.
        attempts: How many attempts it holds.
        result: What it had measured, in words; empty where it holds no result.
    """

    run_name: str
    task_id: str
    attempts: int
    result: str = ""

    def problems(self) -> Iterator[str]:
        """A name that is no folder's."""
        if problem := name_problem(self.run_name):
            yield f"run_name: {self.run_name[:80]!r} {problem}"


@immutable
class SetAside(Record):
    """Runs that gave way when the plan was changed; each folder stands beside this file, or is still to be moved.

    Attributes:
        time: Unix time.
        manifest_sha: The plan they were of; empty when not known.
        runs: All of them.
    """

    kind: ClassVar[str] = "aside"

    time: float
    manifest_sha: str
    runs: tuple[RunAside, ...]
