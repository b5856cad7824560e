"""``hold.json``, ``held_runs.json``, ``accepted.json``, ``relaunched.json``: why nothing starts, what was let go."""

from collections.abc import Mapping
from typing import ClassVar

from hpc.core.immutable import field, immutable
from hpc.core.records.record import Record


@immutable
class Hold(Record):
    """Why an experiment is held.

    Attributes:
        time: Unix time.
        reason: Why, one clause.
        command: The command that releases it.
        fingerprint: What has to be accepted; empty where a release accepts nothing.
        evidence: The line that decided.
        tasks: Run names of the tasks that failed alike.
        jobs: Slurm jobs that we hold for it.
        by: Who holds it, as ``user@host``; empty where its failures do.
    """

    kind: ClassVar[str] = "hold"

    time: float
    reason: str
    command: str
    fingerprint: str = ""
    evidence: str = ""
    tasks: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    by: str = ""


@immutable
class HeldRun(Record):
    """Why one run is held.

    Attributes:
        time: Unix time.
        by: Who holds it, as ``user@host``.
        reason: Why, one clause; empty where nobody said.
    """

    time: float
    by: str
    reason: str = ""


@immutable
class HeldRuns(Record):
    """Single runs that are held.

    Attributes:
        runs: Run name → who holds it, when and why.
        jobs: Array elements that we hold for them.
    """

    kind: ClassVar[str] = "held_runs"

    runs: Mapping[str, HeldRun] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()


@immutable
class Accepted(Record):
    """What somebody looked at and released.

    Attributes:
        fingerprints: Of failures that do not hold the experiment again.
        time: Unix time of the last release; 0 before the first.
    """

    kind: ClassVar[str] = "accepted"

    fingerprints: tuple[str, ...] = ()
    time: float = 0.0


@immutable
class Relaunched(Record):
    """Elements that Slurm could not launch.

    Attributes:
        jobs: Job → how often it was released again.
    """

    kind: ClassVar[str] = "relaunched"

    jobs: Mapping[str, int] = field(default_factory=dict)
