"""``probes/NNN``: its index; in ``tries/<run name>`` who measures (``task.json``), what it found (``exit.json``)."""

from enum import StrEnum
from typing import ClassVar

from hpc.core.immutable import immutable
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.record import Record


class Result(StrEnum):
    """What one try showed."""

    FITS = "fits"
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"
    NO_TIME = "no_time"


@immutable
class Try(Record):
    """One start of the program.

    Attributes:
        attempt: Its number in the probe's folder, from 1.
        micro: Micro-batch it was started with.
        accumulation: Micro-batches per optimiser step it was started with.
        result: What it showed: ``fits``, ``out_of_memory``, ``failed`` or ``no_time``.
        seconds: How long it took.
        fits: Micro-batch in use at the end, smaller than ``micro`` where the program shrank it by itself; null unless
            it fits.
        said: Class of its failure and the line that shows it; empty when it fits.
    """

    attempt: int
    micro: int
    accumulation: int
    result: Result
    seconds: float
    fits: int | None = None
    said: str = ""


@immutable
class ProbeTask(Record):
    """Who measures one shape.

    Attributes:
        run_name: The task that is tried.
        job: The job it runs in.
        host: Machine of the probe.
        pid: Its process, as in an attempt's ``task.json``.
        pid_namespace: The process namespace in which that number counts; empty where it is not known.
    """

    kind: ClassVar[str] = "probe"

    run_name: str
    job: str
    host: str
    pid: str
    pid_namespace: str = ""


@immutable
class ProbeEnd(Record):
    """What the probe of one shape found.

    Attributes:
        exit_code: 0 when a micro-batch fits, else 1.
        ended: Unix time.
        said: What was found, one sentence.
        shape: Key into ``learned.json``.
        tries: One for each start of the program, in order.
    """

    kind: ClassVar[str] = "probe"

    exit_code: int
    ended: float
    said: str
    shape: str = ""
    tries: tuple[Try, ...] = ()


@immutable
class ProbeIndex(SubmissionIndex):
    """The index of a probe: tasks that are only tried.

    Attributes:
        shapes: Shape of each entry, in their order.
    """

    kind: ClassVar[str] = "probe"

    shapes: tuple[str, ...] = ()
