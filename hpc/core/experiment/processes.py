"""How many processes of a program are started, and where: one rule for the plan, the batch sizes and the node."""

from collections.abc import Mapping
from typing import Protocol

from hpc.core.experiment.program import Launch
from hpc.core.immutable import immutable
from hpc.core.resources import Resources

THREADS = "OMP_NUM_THREADS"
"""The variable by which OpenMP, MKL, OpenBLAS, PyTorch and numexpr are told how many threads a process may use."""


class ProgramLike(Protocol):
    """What of a `Program` decides how often it is started."""

    @property
    def command(self) -> str | None: ...


@immutable
class Processes:
    """The processes of one task.

    Attributes:
        nodes: Nodes on which they are started.
        per_node: Processes on each of these.
        threads: CPU threads each may use: the node's cores shared among its processes, at least one.
    """

    nodes: int
    per_node: int
    threads: int

    @property
    def total(self) -> int:
        """Processes over all nodes."""
        return self.nodes * self.per_node


def processes_of(program: ProgramLike, launch: Launch, resources: Resources) -> Processes:
    """Count the processes of a task.

    A number in `launch.processes` holds on every node. ``auto`` is one per GPU (one without GPUs) for a launcher and
    for a module, which are written to be ranks. A command without a launcher is started once, on the first node, as a
    line of a batch script is: one that knows nothing of ranks would do everything as often as it is started.
    """
    if launch.processes is None and starts_once(program, launch):
        return Processes(1, 1, resources.cpus)
    per_node = launch.processes or max(1, resources.gpus)
    return Processes(resources.nodes, per_node, max(1, resources.cpus // per_node))


def starts_once(program: ProgramLike, launch: Launch) -> bool:
    """Whether ``processes: auto`` means one process in all."""
    return launch.kind == "plain" and program.command is not None


def describe_processes(
    program: ProgramLike, launch: Launch, resources: Resources, environment: Mapping[str, str]
) -> str:
    """Say in a sentence how many processes a task is, where, who starts them, and their threads.

    Args:
        environment: Variables of the caller, the profile and the experiment, which go before our number of threads.
    """
    found = processes_of(program, launch, resources)
    parts = [f"each task: {_counted(found)} on {_place(found, resources)}{_by(launch, found)}"]
    if found.total == 1 and resources.nodes * resources.gpus > 1 and launch.processes is None:
        parts.append(f"it gets all {resources.gpus} GPUs of its node; for one process per GPU: {_remedy(resources)}")
    asked = environment.get(THREADS)
    threads = f"{asked}, as your environment says" if asked is not None else str(found.threads)
    return "; ".join([*parts, f"{THREADS}={threads}"])


def _counted(found: Processes) -> str:
    return "1 process" if found.total == 1 else f"{found.total} processes"


def _place(found: Processes, resources: Resources) -> str:
    if found.nodes < resources.nodes:
        return f"the first of {resources.nodes} nodes"
    return "1 node" if found.nodes == 1 else f"{found.nodes} nodes"


def _by(launch: Launch, found: Processes) -> str:
    if launch.kind != "plain":
        return f", started by {launch.kind}"
    if found.total == 1:
        return ""
    return f": the program is started {found.total} times, told apart by RANK, LOCAL_RANK and WORLD_SIZE"


def _remedy(resources: Resources) -> str:
    whole = "" if resources.nodes == 1 else " (on every node)"
    return f"launch: {{kind: torchrun}}, or launch: {{processes: {max(1, resources.gpus)}}}{whole}"
