"""``task.json``: what one attempt does, written before it starts."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from hpc.core.experiment.program import Launch, Preflight, Watch
from hpc.core.immutable import field, immutable
from hpc.core.layout import name_problem
from hpc.core.records.index import CheckCommand, Code, Git, Image, SanityWords, Used
from hpc.core.records.record import Record
from hpc.core.resources import Resources


@immutable
class Rendezvous(Record):
    """Where the processes of an attempt meet.

    Attributes:
        address: Of node 0.
        port: Nobody listened on it when the attempt was claimed.
    """

    address: str = "127.0.0.1"
    port: int = 0


@immutable
class TaskRecord(Record):
    """One attempt as it was claimed.

    Attributes:
        task_id: Hash of program, parameters and seed: 12 hexadecimal digits.
        run_name: Name of the task's folder.
        attempt: Attempt number, from 1.
        submission: Number of the submission that authorised it.
        job: The job it runs in: ``12_3``, ``12`` or ``local-…``.
        restart_count: How often Slurm had put the element back into the queue.
        scheduler: ``slurm`` or ``local``.
        started: Unix time.
        resources: What was asked of the scheduler.
        code: The frozen copy of the user's code: ``path``, ``sha256``, ``roots``.
        experiment: Name of the experiment.
        parameters: Parameter → value.
        seed: Seed.
        case: Id of its case; null without one.
        arguments: Every value the program is given, fixed ones, overrides and batch sizes included.
        micro_batch: Samples per forward pass of one process; null where the experiment declares no batch.
        accumulation: Micro-batches per optimiser step.
        global_batch: Samples per optimiser step over all processes.
        changes: What differs from the attempt before, in words.
        overrides: Parameters that differ from the task's own.
        altered: Whether the result is no longer that of the task as it was asked.
        shape: Key into ``learned.json``; empty without a batch.
        mixed_precision: Number format a retry changed to; empty: as declared.
        processes: Processes per node.
        nodes: Nodes.
        on_first_node: Whether the program is started on the first of these alone.
        gpus: GPUs per node.
        launch: How its processes are started.
        memory_limit_mib: Memory limit the wrapper sets where no scheduler does; null otherwise.
        argv: The program's own command line.
        environment: Variables the program is given.
        metrics_source: Where its numbers are read.
        primary_metric: Name of the primary metric.
        image: The container: ``apptainer``, ``path``, ``sha256``, ``binds``, ``mounts``; null without one.
        git: ``commit``, ``dirty``, ``diff_sha256``; null outside git.
        manifest_sha: Manifest it was made from.
        seal: Digest of what was sealed with the plan; null before there were seals.
        resume_from: Path of a checkpoint; empty for a start from nothing.
        host: Machine of the wrapper.
        pid: Its process, identified by boot id, number and start time.
        pid_namespace: The process namespace in which that number counts; empty where it is not known.
        slurm: Slurm's ids.
        rendezvous: Where its processes meet: ``address``, ``port``.
        signal_lead_s: Seconds before the time limit at which the program is warned.
        obstacle: Why it cannot be started on this node; empty where it can.
        workdir: Folder the program is started in; empty before attempts had their own: that of the code.
        inputs: Path in the working folder → what is linked there.
        files: Path in the working folder → text that is written there.
        adopted: Folder it was taken in from, where it was run without this toolkit; empty for runs of ours.
        check: The acceptance check to run after it: ``command``, ``time_s``; null without one.
        check_argv: That check's command line.
        uses: Finished runs of other experiments that it started from.
        sanity: Checks to run before it: ``words``, ``time_s``; null for none.
        sanity_argv: Those checks' command line.
        deepspeed: Content of ``deepspeed.json`` as it was written before the start; empty without DeepSpeed.
        packed: So many tasks of its array element run at once, which it shares; 0: it has one to itself.
        watch: When it counts as hung, and what is done then: ``silent_s``, ``slower_than``, ``act``; null: not
            watched.
        preflight: Checks of its nodes before it is started; null: none.
    """

    kind: ClassVar[str] = "task"

    task_id: str
    run_name: str
    attempt: int
    submission: int
    job: str
    restart_count: int
    scheduler: str
    started: float
    resources: Resources
    code: Code
    experiment: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    case: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    micro_batch: int | None = None
    accumulation: int | None = None
    global_batch: int | None = None
    changes: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    altered: bool = False
    shape: str = ""
    mixed_precision: str = ""
    processes: int = 1
    nodes: int = 1
    on_first_node: bool = False
    gpus: int = 0
    launch: Launch = field(default_factory=Launch)
    memory_limit_mib: float | None = None
    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    metrics_source: tuple[str, ...] = ("hdf5", "")
    primary_metric: str = ""
    image: Image | None = None
    git: Git | None = None
    manifest_sha: str = ""
    seal: str | None = None
    resume_from: str = ""
    host: str = ""
    pid: str = ""
    pid_namespace: str = ""
    slurm: Mapping[str, str] = field(default_factory=dict)
    rendezvous: Rendezvous = field(default_factory=Rendezvous)
    signal_lead_s: int = 0
    obstacle: str = ""
    workdir: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    adopted: str = ""
    check: CheckCommand | None = None
    check_argv: tuple[str, ...] = ()
    uses: tuple[Used, ...] = ()
    sanity: SanityWords | None = None
    sanity_argv: tuple[str, ...] = ()
    deepspeed: Mapping[str, Any] = field(default_factory=dict)
    packed: int = 0
    watch: Watch | None = None
    preflight: Preflight | None = None

    @property
    def cluster(self) -> str:
        """Name of the cluster it runs on; empty without Slurm, and where Slurm did not say."""
        return self.slurm.get("SLURM_CLUSTER_NAME", "")

    @property
    def stdout_is_read(self) -> bool:
        """Whether its numbers are lines that it prints: each rank but the first then has a stdout of its own."""
        return self.metrics_source[0] in ("stdout", "json")

    def problems(self) -> Iterator[str]:
        """A name that is no folder's, an attempt that is none."""
        if problem := name_problem(self.run_name):
            yield f"run_name: {self.run_name[:80]!r} {problem}"
        if self.attempt < 1:
            yield f"attempt: {self.attempt}; they count from 1"
