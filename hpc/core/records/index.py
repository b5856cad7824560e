"""``index.json``: everything the wrapper on the compute node needs to run the elements of one submission."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from hpc.core.experiment.program import Launch, Preflight, Program, Watch
from hpc.core.immutable import field, immutable
from hpc.core.layout import name_problem
from hpc.core.records.record import Record
from hpc.core.resources import Pack, Resources

BY_DEFAULT = "by_default"
"""In `SubmissionIndex.wandb`: the experiment says nothing of wandb."""


@immutable
class Source(Record):
    """A run of another experiment that has to be finished before a task starts.

    Attributes:
        experiment: Its experiment, below the same root.
        run_name: Its folder.
        task_id: What it is by program, parameters and seed: another under that name will not do.
        is_named: Whether the command names it; else it is only waited for.
        digest: What it had left when the task was submitted (`hpc.adapters.finished_run`); empty where it had not
            finished then.
    """

    experiment: str
    run_name: str
    task_id: str
    is_named: bool = False
    digest: str = ""

    def problems(self) -> Iterator[str]:
        """Names that are no folders'."""
        for name in (self.experiment, self.run_name):
            if problem := name_problem(name):
                yield f"sources: {name[:80]!r} {problem}"


@immutable
class Used(Record):
    """A finished run that an attempt started from.

    Attributes:
        experiment: Its experiment.
        run_name: Its folder.
        task_id: What it is.
        attempt: Number of its attempt.
        path: Folder of that attempt.
        digest: What was there: its records, and name, size and time of every file it left.
        is_named: Whether the command names it.
    """

    experiment: str
    run_name: str
    task_id: str
    attempt: int
    path: str
    digest: str
    is_named: bool = False


@immutable
class Element(Record):
    """One array index: a task, and what this execution of it may use.

    Attributes:
        task_id: Hash of program, parameters and seed: 12 hexadecimal digits.
        run_name: Name of its folder.
        parameters: Parameter → value.
        seed: Seed.
        attempt: Number of the attempt this element authorises.
        case: Id of its case; null without one.
        micro_batch: Samples per forward pass of one process; null where the experiment declares no batch.
        accumulation: Micro-batches per optimiser step.
        global_batch: Samples per optimiser step over all processes.
        resume: Whether to go on from a checkpoint of earlier attempts.
        resume_from: Name of that checkpoint; empty takes the newest.
        overrides: Parameters that differ from the task's own.
        mixed_precision: Number format a retry changed to; empty: as declared.
        changes: What differs from the attempt before, in words.
        altered: Whether the result is no longer that of the task as it was asked.
        sources: Runs of other experiments that have to be finished first.
    """

    task_id: str
    run_name: str
    parameters: Mapping[str, Any]
    seed: int
    attempt: int
    case: str | None = None
    micro_batch: int | None = None
    accumulation: int | None = None
    global_batch: int | None = None
    resume: bool = False
    resume_from: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    mixed_precision: str = ""
    changes: tuple[str, ...] = ()
    altered: bool = False
    sources: tuple[Source, ...] = ()

    def problems(self) -> Iterator[str]:
        """A name that is no folder's, an attempt that is none."""
        if problem := name_problem(self.run_name):
            yield f"run_name: {self.run_name[:80]!r} {problem}"
        if self.attempt < 1:
            yield f"attempt: {self.attempt}; they count from 1"


@immutable
class BatchArguments(Record):
    """How a program is told its batch sizes.

    Attributes:
        parameter: Argument that takes the micro-batch.
        accumulation_parameter: Argument that takes the accumulation steps.
        shape: Parameters that decide how much memory a micro-batch needs; null: all but seed and learning rate.
        min_micro: Smallest micro-batch a retry may lead to.
    """

    parameter: str
    accumulation_parameter: str
    shape: tuple[str, ...] | None = None
    min_micro: int = 1


@immutable
class Image(Record):
    """The container every element is started in.

    Attributes:
        apptainer: The command that runs containers, apptainer or singularity.
        path: The image file.
        sha256: Its digest.
        binds: What is bound into it, as ``source:target:options``.
        gpu_vendor: ``nvidia`` or ``amd``: whose GPUs it gets to see.
        mounts: Folders of the run it needs, each with whether it is read-only; in ``task.json`` only.
        runtime: ``apptainer``, or ``pyxis``, which srun starts.
    """

    apptainer: str
    path: str
    sha256: str
    binds: tuple[str, ...] = ()
    gpu_vendor: str = "nvidia"
    mounts: tuple[tuple[str, bool], ...] = ()
    runtime: str = "apptainer"


@immutable
class Code(Record):
    """A frozen copy of code.

    Attributes:
        path: Its folder.
        sha256: Digest over its files.
        roots: Folders in it from which Python imports, the first one first; ``.`` is its top.
    """

    path: str
    sha256: str
    roots: tuple[str, ...] = (".",)


@immutable
class Git(Record):
    """The commit the code was at.

    Attributes:
        commit: Its hash; null before the first commit.
        dirty: Whether there were changes besides.
        diff_sha256: Digest of those changes; null without any.
    """

    commit: str | None = None
    dirty: bool = False
    diff_sha256: str | None = None


@immutable
class CheckCommand(Record):
    """An acceptance check that is a command.

    Attributes:
        command: Command line with placeholders, as it was declared.
        time_s: Seconds it may take.
    """

    command: str
    time_s: int


@immutable
class SanityWords(Record):
    """The ladder of checks that a canary climbs before its run.

    Attributes:
        words: What the program's command line is given besides, with placeholders, as it was declared.
        time_s: Seconds it may take.
    """

    words: str
    time_s: int


@immutable
class SubmissionIndex(Record):
    """One array of tasks; the common part, and one element for each array index.

    Attributes:
        experiment: Its name.
        manifest_sha: Manifest it was made from.
        submission: Its number.
        created: Unix time.
        scheduler: ``slurm`` or ``local``.
        program: What each task runs: ``module`` or ``command``, and fixed ``args``.
        launch: How its processes are started: ``kind``, ``processes``, ``mixed_precision``, ``zero_stage``, ….
        resources: What each task asks for: ``nodes``, ``gpus``, ``cpus``, ``memory_mib``, ``time_s``, ``disk_mib``.
        code: The frozen copy of the user's code: ``path``, ``sha256``, ``roots``.
        entries: One a task, in order; without a pack, one an array index.
        seal: Digest of what was sealed with the plan; null before there were seals.
        batch: Names of the two batch arguments; null where no batch is declared.
        metrics_source: Where numbers are read: ``hdf5``, ``stdout`` with a pattern, ``json`` with a key.
        primary_metric: Name of the primary metric.
        container: ``apptainer``, ``path``, ``sha256``, ``binds`` of the image; null without one.
        git: ``commit``, ``dirty``, ``diff_sha256``; null outside git.
        environment: Variables of the experiment, as written: the node expands what they name.
        profile_environment: Variables of the profile, likewise; the experiment's go before them.
        wandb: Settings of ``tracking.wandb``, and the brief's goal as ``notes``; `BY_DEFAULT` where it says nothing.
            Null for no tracking.
        signal_lead_s: Seconds before the time limit at which SIGUSR1 is sent.
        exclude_nodes: Nodes it must not run on.
        script_sha256: Digest of ``array.sbatch``; empty before it was recorded.
        toolkit: The frozen copy of our own packages; null in versions that kept it with the user's code.
        check: The acceptance check that runs after each: ``command``, ``time_s``; null without one.
        sanity: Checks that run before each: ``words``, ``time_s``; null except for a canary.
        pack: How many entries share an array index, ``tasks``, and how many of them run ``at_once``; null: one each.
        watch: When a run counts as hung, and what is done then: ``silent_s``, ``slower_than``, ``act``; null: not
            watched.
        preflight: Checks of a node before the program starts: ``gpu``, ``matmul``, ``all_reduce``,
            ``shm_mib``, ``time_s``; null: none.
    """

    kind: ClassVar[str] = "submission"

    experiment: str
    manifest_sha: str
    submission: int
    created: float
    scheduler: str
    program: Program
    launch: Launch
    resources: Resources
    code: Code
    entries: tuple[Element, ...]
    seal: str | None = None
    batch: BatchArguments | None = None
    metrics_source: tuple[str, ...] = ("hdf5", "")
    primary_metric: str = ""
    container: Image | None = None
    git: Git | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    profile_environment: Mapping[str, str] = field(default_factory=dict)
    wandb: Mapping[str, Any] | None = None
    signal_lead_s: int = 0
    exclude_nodes: tuple[str, ...] = ()
    script_sha256: str = ""
    toolkit: Code | None = None
    check: CheckCommand | None = None
    sanity: SanityWords | None = None
    pack: Pack | None = None
    watch: Watch | None = None
    preflight: Preflight | None = None

    @property
    def elements(self) -> int:
        """How many array elements it has."""
        return -(-len(self.entries) // self.pack.tasks) if self.pack else len(self.entries)

    def element_of(self, entry: int) -> int:
        """The array index that runs an entry."""
        return entry // self.pack.tasks if self.pack else entry

    def entries_of(self, element: int) -> tuple[Element, ...]:
        """The entries that an array index runs."""
        tasks = self.pack.tasks if self.pack else 1
        return self.entries[element * tasks : (element + 1) * tasks]
