"""``exit.json``: how one attempt ended, as the wrapper saw it."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from hpc.core.errors import EXIT_DONE
from hpc.core.immutable import field, immutable
from hpc.core.records.record import Record


@immutable
class UnreadMetrics(Record):
    """Printed values that stand where a metric was looked for, and are no numbers.

    Attributes:
        count: How many.
        example: The first of them.
    """

    count: int
    example: str

    @property
    def text(self) -> str:
        """One clause for people."""
        values = "value" if self.count == 1 else "values"
        return f"{self.count} printed {values} could not be read, e.g. {self.example}"


@immutable
class ExitRecord(Record):
    """The end of an attempt.

    Attributes:
        exit_code: What the end counts as: the code the program recorded as its last act, else the launch line's; null
            where a signal ended it.
        started: Unix time.
        ended: Unix time.
        signal: Signal that ended it; null for none.
        launcher_exit_code: What the launcher said.
        program_outcome: What the program recorded: 0, 85 or null.
        signals_received: Signals that came to the wrapper, in order.
        timed_out: Whether the wrapper's own clock ended it.
        fenced: Whether it was ended because a newer attempt exists.
        starts_again: Whether it is restarted by itself: after exit code 85 through the queue or by its pack, after a
            hang by its wrapper.
        stalled: Why a program that asks for a restart gets none: it makes no progress; empty for none.
        metrics_unread: Printed values that could not be read as metrics: ``count``, ``example``; null for none.
        output_lost: Why part of what the program printed is not in its logs; empty for none.
        host: Machine of the wrapper.
        slurm: Slurm's ids and ``restart_count``.
        peak_memory_mib: From the memory cgroup where there is one of its own, else the largest process.
        peak_gpu_memory_mib: What the program recorded as ``peak_gpu_memory_mib``, else the highest sample; null without
            either.
        memory_limit_mib: Memory it was allowed; null when not known.
        cpu_seconds: Processor time of all its processes; null when not known.
        gpu_busy: Share of time its GPUs were busy (0–1), on average over samples; null without samples.
        gpu_energy_j: Energy of its GPUs, from samples of their power; null likewise.
        oom_kill_count: Processes the kernel killed for memory; null when not known.
        gpu_seconds: GPUs × nodes × duration; in a pack its share, that divided by how many run at once.
        argv: The program's own command line.
        image_sha256: Digest of its image; null without one.
        environment: Variables by known names, without secrets.
        python: Version of the wrapper's interpreter.
        kernel: Release of the node's kernel.
        packages: Package → version of the interpreter; null inside an image, whose record has them.
        git_commit: Commit the code was at; null outside git.
        git_dirty: Whether there were changes besides; null outside git.
        data_hash: As the program recorded it in ``outcome.json``, or printed it as a line ``data_hash: …`` among the
            first of its output; null when it did neither.
        sanity: Which check before the run failed and ended it; empty for none.
        hang: Why the watch ended it: what it found, and the odd process; empty if it did not.
        watched: The alarm that stood at its end, if the watch only recorded; else empty.
        unfit: Why a node failed the preflight check: ``gpu``, ``node``, ``disk`` or ``ranks``, a colon, and the reason;
            empty if none did.
        unfit_nodes: Nodes that failed it.
    """

    kind: ClassVar[str] = "exit"

    exit_code: int | None
    started: float
    ended: float
    signal: int | None = None
    launcher_exit_code: int | None = None
    program_outcome: int | None = None
    signals_received: tuple[str, ...] = ()
    timed_out: bool = False
    fenced: bool = False
    starts_again: bool = False
    stalled: str = ""
    metrics_unread: UnreadMetrics | None = None
    output_lost: str = ""
    host: str = ""
    slurm: Mapping[str, Any] = field(default_factory=dict)
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None
    memory_limit_mib: float | None = None
    cpu_seconds: float | None = None
    gpu_busy: float | None = None
    gpu_energy_j: float | None = None
    oom_kill_count: int | None = None
    gpu_seconds: float = 0.0
    argv: tuple[str, ...] = ()
    image_sha256: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    kernel: str = ""
    packages: Mapping[str, str] | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    data_hash: str | None = None
    sanity: str = ""
    hang: str = ""
    watched: str = ""
    unfit: str = ""
    unfit_nodes: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the program ended well, by its exit code."""
        return self.exit_code == EXIT_DONE

    @property
    def elapsed_s(self) -> float:
        """Seconds from its start to its end."""
        return self.ended - self.started

    def problems(self) -> Iterator[str]:
        """An end that is none."""
        if self.exit_code is None and self.signal is None:
            yield "exit_code: null, and no signal either"
