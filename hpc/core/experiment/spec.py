"""What was asked, after validation: frozen records that every other room relies on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.core.experiment.program import Launch, Preflight, Program, Watch
from hpc.core.immutable import field, immutable
from hpc.core.resources import ALONE, Pack, Resources

Value = str | int | float | bool | None | Sequence[Any] | Mapping[str, Any]
"""What a parameter may hold; lists and mappings hold such values again."""


@immutable
class Batch:
    """What an out-of-memory error may change (`micro`) and what it must keep (`global_size`).

    Attributes:
        global_size: Samples per optimiser step over all processes.
        micro: Samples per forward pass of one process.
        parameter: Name of the program's argument that takes `micro`.
        accumulation_parameter: Name of the argument that takes the number of accumulation steps.
        shape: Parameters that decide how much memory a micro-batch needs; None: all but seed and learning rate.
    """

    global_size: int
    micro: int
    parameter: str = "micro_batch_size"
    accumulation_parameter: str = "gradient_accumulation_steps"
    shape: tuple[str, ...] | None = None

    def accumulation(self, processes: int) -> int:
        """Micro-batches per optimiser step for this many processes in all; `plan` checks that it divides."""
        return self.global_size // (self.micro * processes)


@immutable
class Metric:
    """A number the experiment is about.

    Attributes:
        name: As the program writes it.
        goal: ``min`` or ``max``.
        meaningful: Smallest difference worth having, relative to the baseline (0.05 is 5 %); None when not declared.
        ranges: System, what counts as score 0 there, and what as score 1; empty when no range is declared.
    """

    name: str
    goal: str = "min"
    meaningful: float | None = None
    ranges: tuple[tuple[str, float, float], ...] = ()


def read_ranges(declared: Mapping[str, Sequence[float]] | None) -> tuple[tuple[str, float, float], ...]:
    """Read ``{pendulum: [0, 1]}`` as it stands in the specification."""
    return tuple((str(system), float(low), float(high)) for system, (low, high) in (declared or {}).items())


@immutable
class Metrics:
    """Which numbers are read, and from where.

    Attributes:
        primary: The one the verdict is about.
        secondary: Reported beside it.
        source: ``("hdf5", "")`` for programs that use our writer, else ``("stdout", pattern)``.
    """

    primary: Metric
    secondary: tuple[Metric, ...] = ()
    source: tuple[str, str] = ("hdf5", "")


@immutable
class Divergence:
    """What the one repetition of a diverged run changes, all of it together; the run is then altered.

    Attributes:
        lower_learning_rate: Factor on the learning rate; None leaves it.
        set: Parameters with the values they get.
        mixed_precision: Number format to compute in; empty leaves it.
    """

    lower_learning_rate: float | None = None
    set: Mapping[str, Value] = field(default_factory=dict)
    mixed_precision: str = ""


@immutable
class Breaker:
    """When failures stop being single: what is pending is then held.

    Attributes:
        same: So many failures with one fingerprint among the tasks that ended first; 0: never.
        of_first: How many count as the first.
        share: Share of the ended tasks that failed in one class without a cure; 0: never.
        at_least: Ended tasks from which on that share is looked at.
    """

    same: int = 3
    of_first: int = 6
    share: float = 0.5
    at_least: int = 10


@immutable
class RetryPolicy:
    """How often, and what may be changed.

    Attributes:
        max_attempts: Ceiling over all causes, the first attempt included; steps gained start the count anew.
        min_micro: Smallest micro-batch an out-of-memory error may lead to.
        timeout_factor: By how much the time limit grows after a timeout.
        memory_factor: By how much host memory grows after a host out-of-memory.
        divergence: What the repetition of a diverged run changes; None: it is a result and not repeated.
        exclude_hours: How long a bad node is avoided after it failed a task; nodes are mended.
        exclude_at_most: Nodes a task avoids at most, the latest ones; a small partition must not run out of them.
        breaker: When the experiment is held; None: never.
        hook: The user's own function, ``module:function`` (`hpc.rounds.hooks`); empty for none.
    """

    max_attempts: int = 4
    min_micro: int = 1
    timeout_factor: float = 2.0
    memory_factor: float = 1.5
    divergence: Divergence | None = None
    exclude_hours: float = 24.0
    exclude_at_most: int = 3
    breaker: Breaker | None = Breaker()
    hook: str = ""


@immutable
class Container:
    """The image each task runs in; `image` None means the host's own environment."""

    image: str | None = None
    binds: tuple[str, ...] = ()
    runtime: str = "apptainer"


@immutable
class Sweep:
    """Which tasks there are. Exactly one of grid/zip/cases/sample combinations, times the seeds.

    Attributes:
        grid: Parameter → values; every combination.
        zipped: Parameter → values of equal length; taken side by side, then combined with the grid.
        cases: Named parameter sets (each with its ``id``), combined with the grid.
        points: Sampled parameter sets (already drawn, see `hpc.experiments.sampling`), combined with the grid.
        where: Expression over the parameters; combinations for which it is false are left out.
        when: Parameter → expression; combinations for which it is false have not that parameter.
        seeds: One task per seed and combination.
        further_seeds: What the second look adds to configurations that `seeds` did not settle.
    """

    grid: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    zipped: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    cases: tuple[Mapping[str, Value], ...] = ()
    points: tuple[Mapping[str, Value], ...] = ()
    where: str = ""
    when: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (42,)
    further_seeds: tuple[int, ...] = ()


@immutable
class ResourceRule:
    """What some tasks ask for instead of the experiment's own resources.

    Attributes:
        where: Expression over the parameters; the tasks for which it is true.
        changes: Field of `Resources` → amount.
    """

    where: str
    changes: Mapping[str, int]


@immutable
class Analysis:
    """How the results will be judged.

    Attributes:
        alpha: Error rate of the tests, after correction for many comparisons.
        correction: ``holm`` (family-wise rate) or ``bh`` (rate of false finds).
        confidence: Coverage of the intervals.
        equivalence: Difference below which configurations count as equal, relative to the baseline; None: the primary
            metric's `meaningful`.
        baseline_from: Experiment whose stored runs are the baseline; empty: the sweep's own.
        sigma: Standard deviation expected between runs of one configuration, in the primary metric's unit; None: not
            declared. Nothing is judged by it.
    """

    alpha: float = 0.05
    correction: str = "holm"
    confidence: float = 0.95
    equivalence: float | None = None
    baseline_from: str = ""
    sigma: float | None = None


@immutable
class Check:
    """What a finished run has to fulfil to be accepted; exactly one of `expression` and `command` is set.

    Attributes:
        expression: Condition over final metrics, parameters and fixed arguments.
        command: Command line that ends with 0 where the run is to be accepted; placeholders as in the program's.
        time_s: Seconds the command may take.
    """

    expression: str = ""
    command: str = ""
    time_s: int = 600

    @property
    def text(self) -> str:
        """The check as it was written."""
        return self.expression or self.command


@immutable
class Sanity:
    """The ladder of checks that a canary climbs before its run.

    Attributes:
        words: What the program's command line is given besides; placeholders as there.
        time_s: Seconds it may take.
    """

    words: str
    time_s: int = 600


@immutable
class Budget:
    """What an experiment may cost in all, retries included; None: not bounded.

    Attributes:
        gpu_hours: GPUs × hours.
        core_hours: Cores asked for × hours.
    """

    gpu_hours: float | None = None
    core_hours: float | None = None


EVENTS = ("ended", "held", "gave_up")
"""What a notice may be about: all is done, nothing more is started until somebody looks, or the rest is given up."""


@immutable
class Notice:
    """Where word goes when something happens to an experiment.

    Attributes:
        kind: ``command``, ``webhook_env`` or ``email``.
        target: A command line, the name of an environment variable that holds a URL, or an address. Never a secret.
        on: The events, of `EVENTS`.
    """

    kind: str
    target: str
    on: tuple[str, ...] = EVENTS


@immutable
class ExperimentSpec:
    """One validated experiment.

    Attributes:
        after: Experiments whose matching runs have to be finished before a task starts.
        after_jobs: Slurm jobs that have to end well before a task starts.
        pack: How many tasks share one array element.
        budget: What it may cost in all; None: whatever it takes.
        watch: When a run counts as hung, and what is done then; None: nobody looks.
        preflight: What a node has to show before a program is started on it; None: nothing.
        raw: The experiment as plain JSON values, overrides applied: what the manifest keeps and reports read.
    """

    name: str
    type: str
    program: Program
    sweep: Sweep
    metrics: Metrics
    run_name: str
    resources: Resources
    launch: Launch
    container: Container
    retry: RetryPolicy
    resource_rules: tuple[ResourceRule, ...] = ()
    batch: Batch | None = None
    baseline: Mapping[str, Value] | None = None
    brief: Mapping[str, str] = field(default_factory=dict)
    analysis: Analysis = Analysis()
    environment: Mapping[str, str] = field(default_factory=dict)
    wandb: Mapping[str, str] | None = None
    notify: tuple[Notice, ...] = ()
    check: Check | None = None
    sanity: Sanity | None = None
    after: tuple[str, ...] = ()
    after_jobs: tuple[int, ...] = ()
    pack: Pack = ALONE
    budget: Budget | None = None
    watch: Watch | None = field(default_factory=Watch)
    preflight: Preflight | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)  # of this one there may be a hundred thousand
class Task:
    """One grid point with its seed: the unit of retry and of analysis.

    Attributes:
        task_id: 12 hexadecimal digits from program and parameters.
        run_name: Folder name, unique in the experiment and safe on any file system.
        parameters: Swept values, the seed not among them.
        seed: The random seed.
        case: Id of the named case; None outside `cases`.
    """

    task_id: str
    run_name: str
    parameters: Mapping[str, Value]
    seed: int
    case: str | None = None
