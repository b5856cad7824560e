"""The records of the retry plan: what it is told of each failed task, and what it decides."""

from collections.abc import Collection, Mapping

from hpc.core.experiment.spec import RetryPolicy, Value
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.immutable import field, immutable
from hpc.core.retry.learned import NOTHING_KNOWN, Known


@immutable
class AttemptFacts:
    """What the plan needs to know of one attempt.

    Attributes:
        number: Attempt number, from 1.
        verdict: What it came to.
        memory_mib, time_s: What it was given.
        micro_batch, accumulation: As it ran; None when the experiment declares no batch.
        last_step: Highest step it reached; None when not known.
        resumed_from: Name of the checkpoint it started from; empty for none.
        node: Where it ran; empty when not known.
        peak_memory_mib: Most host memory seen.
        ended: Unix time of its end; None when not known.
        steps_per_second: Measured from its metrics; None when they do not tell.
        startup_s: Seconds until its first step.
        cancelled: Whether Slurm says that somebody cancelled it, whatever its logs say.
        cluster: Slurm's name of the cluster it ran on; empty when not known.
        packed: So many tasks ran at once where it ran, itself included; 0: it was alone.
        unfit_nodes: Nodes that the gate before it found unfit.
    """

    number: int
    verdict: Verdict
    memory_mib: int
    time_s: int
    micro_batch: int | None = None
    accumulation: int | None = None
    last_step: int | None = None
    resumed_from: str = ""
    node: str = ""
    peak_memory_mib: float | None = None
    ended: float | None = None
    steps_per_second: float | None = None
    startup_s: float = 0.0
    cancelled: bool = False
    cluster: str = ""
    packed: int = 0
    unfit_nodes: tuple[str, ...] = ()

    @property
    def category(self) -> FailureClass:
        """Class of the verdict."""
        return self.verdict.category


@immutable
class FailedTask:
    """A task whose last attempt did not give its result.

    Attributes:
        task_id, run_name: As in the manifest.
        attempts: All of them, oldest first; at least one.
        global_batch: Samples per optimiser step, which nothing here may change silently; None when not declared.
        processes: Processes over all nodes.
        checkpoints: Names of complete checkpoints of any attempt, oldest first.
        parameters: Values given to the program, the learning rate among them where there is one.
        overrides: Parameters that earlier retries changed, with the values in use; later ones keep them.
        mixed_precision: Number format an earlier retry changed to; empty for none.
        shape: As `hpc.core.retry.learned.shape_of` names it; empty when not known.
        total_steps: Optimiser steps of the whole task; None when nothing tells.
        altered: Whether an earlier retry already changed what is being measured.
        code_changed: Whether the code of the plan is another than the one that failed.
        planned_memory_mib, planned_time_s: What the plan asks for now, where that is not what it asked for when the
            last attempt was planned; else None.
        planned_batch: Micro-batch and accumulation, likewise.
    """

    task_id: str
    run_name: str
    attempts: tuple[AttemptFacts, ...]
    global_batch: int | None = None
    processes: int = 1
    checkpoints: tuple[str, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict)
    overrides: Mapping[str, Value] = field(default_factory=dict)
    mixed_precision: str = ""
    shape: str = ""
    total_steps: int | None = None
    altered: bool = False
    code_changed: bool = False
    planned_memory_mib: int | None = None
    planned_time_s: int | None = None
    planned_batch: tuple[int, int] | None = None

    @property
    def last(self) -> AttemptFacts:
        """The attempt the decision is about."""
        return self.attempts[-1]


@immutable
class Limits:
    """What the site grants at most; 0 means not known.

    Attributes:
        max_memory_mib: Host memory of a node.
        max_time_s: Longest time limit.
    """

    max_memory_mib: int = 0
    max_time_s: int = 0


ON_REQUEST = frozenset(FailureClass) - {FailureClass.SUCCESS}
"""Classes a person can ask to start again. Who asks for a bug or a result knows what they ask: it is written down."""


@immutable
class Situation:
    """What a decision depends on besides the task.

    Attributes:
        policy: What the experiment allows.
        limits: What the site grants.
        learned: Micro-batches known to fit and to fail.
        released: Unix time at which somebody last released the experiment; 0 for never. Storage that failed before
            it has been mended.
        again: What a person asked to start again: classes (`ON_REQUEST`), having mended the cause, and run names.
        experiment: Its name, for the commands that a person can type; empty when not known.
        now: Unix time; None when not known, and bad nodes then stay bad.
        cluster: Where tasks would go now; empty when not known. A node of another cluster is another node.
    """

    policy: RetryPolicy
    limits: Limits
    learned: Known = field(default_factory=lambda: NOTHING_KNOWN)
    released: float = 0.0
    now: float | None = None
    again: Collection[str] = ()
    experiment: str = ""
    cluster: str = ""

    def is_elsewhere(self, attempt: AttemptFacts) -> bool:
        """Whether an attempt ran on another cluster than tasks would now: its nodes and speeds tell nothing here."""
        return bool(attempt.cluster and self.cluster) and attempt.cluster != self.cluster

    def collect_again(self, what: str) -> str:
        """The command that starts a class or a run again."""
        return f"python -m hpc.collect {self.experiment or 'NAME'} --retry-failed --again {what}"


@immutable
class Retry:
    """One attempt more, and what is different about it.

    Attributes:
        task_id, run_name: As in the manifest.
        attempt: Its number.
        memory_mib, time_s: What it is given.
        micro_batch, accumulation: What it runs with; None when the experiment declares no batch.
        resume: Whether it goes on from a checkpoint.
        resume_from: Name of that checkpoint; empty for none.
        exclude_nodes: Nodes it must not run on.
        parameter_overrides: Parameters with new values (only where the policy asks for it).
        mixed_precision: Number format instead of the declared one (likewise); empty for none.
        altered: It no longer measures what the manifest asked; kept out of confirmatory comparisons.
        reason: Why, in words.
        changes: Each difference with old value, new value and cause.
        alone: Whether it has an array element to itself, although the experiment packs its tasks.
        category: Class of the failure it heals.
    """

    task_id: str
    run_name: str
    attempt: int
    memory_mib: int
    time_s: int
    micro_batch: int | None = None
    accumulation: int | None = None
    resume: bool = False
    resume_from: str = ""
    exclude_nodes: tuple[str, ...] = ()
    parameter_overrides: Mapping[str, Value] = field(default_factory=dict)
    mixed_precision: str = ""
    altered: bool = False
    reason: str = ""
    changes: tuple[str, ...] = ()
    alone: bool = False
    category: str = ""


@immutable
class Declined:
    """A failed task that is left as it is.

    Attributes:
        task_id, run_name: As in the manifest.
        category: Class of its last attempt.
        reason: Why it is not tried again.
        next_step: What a person can do.
        command: The command line that starts it again once that is done; empty for none.
    """

    task_id: str
    run_name: str
    category: FailureClass
    reason: str
    next_step: str
    command: str = ""

    @property
    def advice(self) -> str:
        """What a person can do, the command included."""
        return f"{self.next_step}; then: {self.command}" if self.command else self.next_step


@immutable
class RetryPlan:
    """Every failed task, once.

    Attributes:
        hook_problems: What was wrong with answers of the user's own function; the plan's decision then stands.
    """

    retry: tuple[Retry, ...] = ()
    declined: tuple[Declined, ...] = ()
    hook_problems: tuple[str, ...] = ()


Decision = Retry | Declined
