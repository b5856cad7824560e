"""What is known about one attempt, and what was concluded from it: two frozen records, no rule."""

from collections.abc import Mapping
from enum import StrEnum

from hpc.core.immutable import field, immutable
from hpc.core.slurm.states import SlurmState


class FailureClass(StrEnum):
    """Why an attempt did or did not give its result. `success` is one of them, `unknown` is never a success."""

    SUCCESS = "success"
    OOM_GPU = "oom_gpu"
    OOM_HOST = "oom_host"
    OOM_SHM = "oom_shm"
    DIVERGENCE = "divergence"
    TIMEOUT = "timeout"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    NODE_FAILURE = "node_failure"
    GPU_HARDWARE = "gpu_hardware"
    COMMUNICATION = "communication"
    STORAGE = "storage"
    CONTAINER = "container"
    ENVIRONMENT = "environment"
    DATA = "data"
    CHECKPOINT = "checkpoint"
    CONFIG = "config"
    CODE_BUG = "code_bug"
    NOT_CONVERGED = "not_converged"
    UNKNOWN = "unknown"


UNREADABLE = "unreadable"
"""Sub-cause of `unknown`: what the attempt left cannot be read, so nobody can tell how it ended."""


MAX_VALUES = 10_000
"""Values of a series that are looked at: the last ones."""
OF_STATE = ("scheduler", "exit record")
"""Sources of what is known of the end, and is no line of a log."""


@immutable
class LogLine:
    """One line that counts.

    Attributes:
        source: Where it stands: ``stderr``, ``stdout``, ``slurm``, ``scheduler``, ``exit record``, ``metrics``.
        line: Line number in that source, from 1; 0 where lines have no number.
        text: The line, without its end.
    """

    source: str
    line: int
    text: str


@immutable
class Evidence:
    """Everything known about one attempt. What is not known is None or empty, never a default that looks measured.

    Attributes:
        state: What Slurm said of the job; None when it was not asked or knows nothing.
        state_reason: Slurm's own words beside the state (squeue's or scontrol's reason).
        step_states: States of the job's steps; an OOM inside a step is often seen only here.
        exit_code: Exit code of the program (or of the job where nothing else is known).
        exit_signal: Signal that ended it; None when it was not killed.
        signals_received: Names of signals the wrapper was sent while the program ran, in order (``USR1``, ``TERM``).
        started: Whether the wrapper ever claimed the attempt.
        program_outcome: What the program itself recorded as its last act: 0 finished, 85 checkpointed.
        log: Suspicious and last lines of stdout, stderr and Slurm's own log, in file order.
        series: Metric name → values in step order (non-finite ones included).
        complete: Whether ``metrics.h5`` carries its completion mark; None when the program writes no such file.
        expects_metrics: Whether the experiment declares a primary metric this attempt has to deliver.
        delivered: Whether the metrics are complete and hold a finite final value of the primary metric.
        last_step: Highest step seen in the metrics.
        gpus: GPUs the attempt asked for; 0 means that the training device is the CPU.
        elapsed_s: Seconds the attempt ran.
        time_limit_s: Seconds it was allowed to run.
        peak_memory_mib: Peak host memory seen.
        memory_limit_mib: Host memory it was allowed.
        oom_kill_count: Processes the kernel killed in the attempt's memory cgroup, where that could be read.
        exit_recorded: Whether our wrapper saw the program itself end (``exit.json``); a job script may swallow a code.
        silent_s: Seconds between the last sign of progress (a metric) and the end; None when not known.
        in_container: Whether the program was started through a container runtime.
        resumed: Whether it started from a checkpoint: a flat loss then proves nothing.
        stalled: That it was started again and again without getting anything done, in words; else empty.
        sanity: Why the ladder of checks before a canary ended it, in words; else empty.
        hang: Why the watch over it ended it, in words; else empty.
        unfit: What the gate before it found a node to lack: ``gpu: …``, ``node: …``, ``disk: …`` or ``ranks: …``; else
            empty.
        watched: What it seemed to hang or be slow in at its end, where the watch only looked on, in words; else empty.
        unread: What it printed as metrics and nobody could read, in words; empty when there is nothing of the kind.
        unmatched: Why no value of the primary metric was found where the experiment says it stands, in words; else
            empty.
        usual: Lines of the log that finished runs of the same program have too: they decide nothing.
    """

    state: SlurmState | None = None
    state_reason: str = ""
    step_states: tuple[SlurmState, ...] = ()
    exit_code: int | None = None
    exit_signal: int | None = None
    signals_received: tuple[str, ...] = ()
    started: bool = True
    program_outcome: int | None = None
    log: tuple[LogLine, ...] = ()
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    complete: bool | None = None
    expects_metrics: bool = False
    delivered: bool = False
    last_step: int | None = None
    gpus: int | None = None
    elapsed_s: float | None = None
    time_limit_s: float | None = None
    peak_memory_mib: float | None = None
    memory_limit_mib: float | None = None
    oom_kill_count: int | None = None
    exit_recorded: bool = False
    silent_s: float | None = None
    in_container: bool = False
    resumed: bool = False
    stalled: str = ""
    sanity: str = ""
    hang: str = ""
    watched: str = ""
    unfit: str = ""
    unread: str = ""
    unmatched: str = ""
    usual: frozenset[LogLine] = frozenset()


@immutable
class Verdict:
    """What one attempt came to, and why we say so.

    Attributes:
        category: The failure class (or `success`).
        cause: Sub-cause within the class, such as ``cgroup``, ``cuda``, ``cpu_allocator``, ``hang``; may be empty.
        rule: Identifier of the row of the rule table that decided.
        evidence: The lines that decided, the most telling first.
        confidence: 0 to 1; a statement of the rule's author, not a probability that was measured.
        summary: One sentence for people.
        suggestion: What to do next, one sentence.
    """

    category: FailureClass
    rule: str
    evidence: tuple[LogLine, ...] = ()
    confidence: float = 1.0
    cause: str = ""
    summary: str = ""
    suggestion: str = ""
