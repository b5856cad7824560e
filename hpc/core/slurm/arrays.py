"""Which task runs at which index of which array, and with what: a pure function from assignments to array plans."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hpc.core.experiment.asking import resources_of
from hpc.core.experiment.processes import processes_of
from hpc.core.experiment.spec import ExperimentSpec, Task, Value
from hpc.core.immutable import field, immutable
from hpc.core.profile import ClusterProfile
from hpc.core.records.index import Element
from hpc.core.resources import ALONE, MINUTE, Pack, Resources
from hpc.core.slurm.executions import MAX_ELEMENTS
from hpc.core.slurm.packing import fit


@immutable
class Assignment:
    """A task, and what this execution of it may use.

    Attributes:
        task: The task.
        attempt: Number of the attempt this authorises; an element whose attempt exists already runs nothing.
        resources: What is asked of Slurm for it.
        micro_batch: Samples per forward pass of one process; None when the experiment declares no batch.
        accumulation: Micro-batches per optimiser step.
        global_batch: Samples per optimiser step over all processes.
        resume: Whether to go on from a checkpoint of earlier attempts.
        resume_from: Name of that checkpoint; empty takes the newest there is when the attempt starts.
        overrides: Parameters that differ from the task's own; the run is then altered.
        mixed_precision: Number format that differs from the experiment's own; empty: as declared.
        exclude_nodes: Nodes it must not run on.
        changes: What differs from the attempt before, in words.
        altered: Whether the result is no longer that of the task as it was asked.
        pack: How many tasks share its array element, if there are as many of its kind.
        company: Which others it may share one with: those of the same word; a retry's is the class it heals.
    """

    task: Task
    attempt: int
    resources: Resources
    micro_batch: int | None = None
    accumulation: int | None = None
    global_batch: int | None = None
    resume: bool = False
    resume_from: str = ""
    overrides: Mapping[str, Value] = field(default_factory=dict)
    mixed_precision: str = ""
    exclude_nodes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    altered: bool = False
    pack: Pack = ALONE
    company: str = ""

    @property
    def element(self) -> Element:
        """The entry of ``index.json`` for it."""
        return Element(
            task_id=self.task.task_id,
            run_name=self.task.run_name,
            parameters=self.task.parameters,
            seed=self.task.seed,
            attempt=self.attempt,
            case=self.task.case,
            micro_batch=self.micro_batch,
            accumulation=self.accumulation,
            global_batch=self.global_batch,
            resume=self.resume,
            resume_from=self.resume_from,
            overrides=self.overrides,
            mixed_precision=self.mixed_precision,
            changes=self.changes,
            altered=self.altered,
        )


@immutable
class ArrayPlan:
    """One sbatch call to be: elements that ask for the same, at most as many as the site allows in an array.

    Attributes:
        resources: What each task asks for.
        assignments: Its tasks; those of an element stand beside each other.
        exclude_nodes: Nodes it must not run on.
        pack: Tasks of each element; the last may have fewer.
    """

    resources: Resources
    assignments: tuple[Assignment, ...]
    exclude_nodes: tuple[str, ...] = ()
    pack: Pack = ALONE

    @property
    def elements(self) -> int:
        """How many array elements it has."""
        return -(-len(self.assignments) // self.pack.tasks)

    @property
    def asked(self) -> Resources:
        """What each element asks of Slurm."""
        return self.pack.element(self.resources)

    @property
    def gpu_hours(self) -> float:
        """GPU hours requested, if every element used its whole limit."""
        return self.asked.gpu_hours * self.elements


def world_size_of(spec: ExperimentSpec, task: Task) -> int:
    """Processes over all nodes."""
    return processes_of(spec.program, spec.launch, resources_of(spec, task)).total


def first_assignment(spec: ExperimentSpec, task: Task) -> Assignment:
    """What a task's first attempt may use: exactly what the experiment says."""
    batch = spec.batch
    return Assignment(
        task=task,
        attempt=1,
        resources=resources_of(spec, task),
        micro_batch=batch.micro if batch else None,
        accumulation=batch.accumulation(world_size_of(spec, task)) if batch else None,
        global_batch=batch.global_size if batch else None,
        pack=spec.pack,
    )


def plan_arrays(assignments: Sequence[Assignment], profile: ClusterProfile) -> tuple[ArrayPlan, ...]:
    """Group tasks that ask for the same, and split each group at the site's array limit.

    Order is kept inside a group; groups come in the order of their first task.
    """
    groups: dict[_Kind, list[Assignment]] = {}
    for each in assignments:
        groups.setdefault(_kind_of(each, profile), []).append(each)
    arrays: list[ArrayPlan] = []
    for kind, group in groups.items():
        pack = fit(kind.pack, kind.resources, profile, len(group))
        chunks = _chunks(tuple(group), min(profile.max_array_size, MAX_ELEMENTS) * pack.tasks)
        arrays += [ArrayPlan(kind.resources, chunk, kind.exclude_nodes, pack) for chunk in chunks]
    return tuple(arrays)


@immutable
class _Kind:
    """What tasks of one array have in common."""

    resources: Resources
    exclude_nodes: tuple[str, ...]
    pack: Pack
    company: str


def _kind_of(each: Assignment, profile: ClusterProfile) -> _Kind:
    """This machine's own queue starts one task at a time: it has nothing to be spared."""
    pack = each.pack if profile.scheduler == "slurm" else ALONE
    return _Kind(each.resources, each.exclude_nodes, pack, each.company if pack.tasks > 1 else "")


def fitting(assignments: Sequence[Assignment], profile: ClusterProfile, most: int) -> int:
    """How many of these tasks, the first ones, go into so many array elements."""
    if len(assignments) <= most:
        return len(assignments)
    counts: Counter[_Kind] = Counter()
    elements = 0
    for number, each in enumerate(assignments):
        kind = _kind_of(each, profile)
        had = _elements(kind, profile, counts[kind])
        counts[kind] += 1
        elements += _elements(kind, profile, counts[kind]) - had
        if elements > most:
            return number
    return len(assignments)


def _elements(kind: _Kind, profile: ClusterProfile, count: int) -> int:
    return -(-count // fit(kind.pack, kind.resources, profile, count).tasks) if count else 0


def _chunks(items: tuple[Assignment, ...], size: int) -> Iterator[tuple[Assignment, ...]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def signal_lead_s(resources: Resources, profile: ClusterProfile, task_s: int = 0) -> int:
    """Seconds before the limit at which to warn: the site's lead, but never more than a quarter of a short job.

    Nor of a short task in a pack, which would else be warned before it has to end.

    0 means no warning: Slurm looks at limits about once a minute and may warn up to a minute early, so a job of less
    than two minutes would be warned as soon as it starts, and be checkpointed and started again for ever.
    """
    quarter = min(resources.time_s, task_s or resources.time_s) // 4
    return max(1, min(profile.signal_lead_s, quarter)) if resources.time_s >= 2 * MINUTE else 0
