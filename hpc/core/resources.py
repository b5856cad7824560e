"""What a task asks for and what a site offers; time, memory and shares in the spellings people and Slurm use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_UNITS_MIB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])?(?:i?B)?", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
MINUTE, HOUR, DAY = 60, 3600, 86400


def parse_memory(text: str | int) -> int:
    """Read ``32GB``, ``32G``, ``500M``, ``1.5TiB`` or a bare number of MiB, as Slurm does (powers of 1024); give MiB.

    Raises:
        ValueError: The text is no amount of memory, or none at all.
    """
    match = _MEMORY.fullmatch(str(text).strip())
    mib = round(float(match[1]) * _UNITS_MIB[(match[2] or "M").upper()]) if match else 0
    if mib < 1:
        raise ValueError(f"'{text}' is not an amount of memory; write 32GB, 500MB or a number of MiB")
    return mib


def render_memory(mib: int) -> str:
    """Write MiB the way sbatch reads it, in the largest unit that loses nothing: ``32G``, ``1500M``."""
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"


def parse_time(text: str | int) -> int:
    """Read a time limit in Slurm's spellings; give seconds.

    ``30`` (minutes), ``30:00`` (minutes:seconds), ``24:00:00``, ``2-00`` (days-hours), ``2-12:30``, ``2-12:30:00``.

    Raises:
        ValueError: The text is no duration, or a duration of nothing.
    """
    match = _TIME.fullmatch(str(text).strip())
    seconds = 0
    if match:
        days, first, second, third = (int(part) if part else None for part in match.groups())
        if days is not None:
            seconds = days * DAY + (first or 0) * HOUR + (second or 0) * MINUTE + (third or 0)
        elif third is not None:
            seconds = (first or 0) * HOUR + (second or 0) * MINUTE + third
        else:
            seconds = (first or 0) * MINUTE + (second or 0)
    if seconds < 1:
        raise ValueError(f"'{text}' is not a time limit; write HH:MM:SS, D-HH:MM:SS or minutes, for example 24:00:00")
    return seconds


def parse_share(value: str | float) -> float:
    """Read ``5%`` or ``0.05`` as 0.05, ``-5%`` as -0.05.

    Raises:
        ValueError: It is neither.
        TypeError: It is not text or a number.
    """
    if isinstance(value, bool):
        raise TypeError("a share is a number")
    if isinstance(value, str):
        return float(value.strip().removesuffix("%")) / 100 if value.strip().endswith("%") else float(value)
    return float(value)


def render_time(seconds: int) -> str:
    """Write seconds the way sbatch reads it: ``24:00:00``, ``2-12:00:00``."""
    days, rest = divmod(int(seconds), DAY)
    clock = f"{rest // HOUR:02d}:{rest % HOUR // MINUTE:02d}:{rest % MINUTE:02d}"
    return f"{days}-{clock}" if days else clock


@dataclass(frozen=True)
class Resources:
    """What one task asks for.

    Attributes:
        nodes: Nodes.
        gpus: GPUs per node.
        cpus: CPU cores per node.
        memory_mib: Host memory per node, in MiB.
        time_s: Wall-clock limit, in seconds.
        disk_mib: Space one run needs in the run folder, in MiB; 0 means not declared.
    """

    nodes: int = 1
    gpus: int = 0
    cpus: int = 1
    memory_mib: int = 4096
    time_s: int = HOUR
    disk_mib: int = 0

    @property
    def gpu_hours(self) -> float:
        """GPU hours asked for, if the whole limit were used."""
        return self.nodes * self.gpus * self.time_s / HOUR


@dataclass(frozen=True)
class Following:
    """How an experiment is followed at a site.

    Attributes:
        partition, account, qos: Of the relay; empty means as the tasks.
        constraint: Of the relay; None: as the tasks, unless it has a partition of its own.
        time_s: Its time limit.
        memory_mib: Its memory.
        directives: sbatch options of the relay; None: those of the tasks.
        every_s: Seconds from one look at a running array to the next; more while nothing happens.
        max_days: Days after which an experiment is not followed any more.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str | None = None
    time_s: int = 30 * MINUTE
    memory_mib: int = 2048
    directives: Mapping[str, str] | None = None
    every_s: int = 10 * MINUTE
    max_days: float = 14.0


@dataclass(frozen=True)
class ClusterProfile:
    """What a site offers and wants to hear.

    Attributes:
        name: File name of the profile.
        scheduler: ``slurm`` or ``local``.
        partition, account, qos, constraint: Passed to sbatch when set.
        gpu_type: Type of GPU that is asked for, such as ``a100``; empty: whichever there is.
        gpu_option: How GPUs are asked for: ``gres``, ``gpus-per-node``, ``gpus-per-task``, or ``none``.
        gres: Further generic resources of every task, such as ``lscratch:100``.
        memory: How memory is asked for: ``per_node``, ``per_cpu``, ``per_gpu``, or ``none``.
        max_array_size: Most tasks in one array (Slurm's MaxArraySize bounds the *index*, so one less than that).
        max_parallel: Tasks of one array that may run at once; 0 means no bound.
        max_gpus: GPUs of one experiment in use at once, over all its arrays; 0 means no bound.
        max_submit: Most jobs and array elements of this user in the queue at a time; 0: the site's own limits alone.
        max_time_s: Longest time limit the partition grants; 0 means not known.
        max_memory_mib: Most memory of a node; 0 means not known.
        signal_lead_s: Seconds before the limit at which SIGUSR1 is sent.
        python: Interpreter that runs the wrapper on the compute node; empty means the one that planned.
        apptainer: The apptainer command; empty means that this site runs without containers.
        gpu_vendor: ``nvidia`` or ``amd``: whose GPUs containers get to see.
        image_dir: Where `image: train` is looked for as ``train.sif``.
        binds: Bound into every container.
        setup: Shell lines run before the wrapper, such as ``module load``.
        environment: Variables set for every task.
        directives: Further sbatch options, such as ``{"exclude": "n3"}``; empty text: an option without a value.
        template: Jinja template that extends ``array.sbatch.j2``; empty means that one.
        group_access: ``read`` lets the folder's group look at the runs; ``none``: nobody but the owner.
        follow: The relay of `submit --follow`.
    """

    name: str
    scheduler: str = "slurm"
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gpu_type: str = ""
    gpu_option: str = "gres"
    gres: tuple[str, ...] = ()
    memory: str = "per_node"
    max_array_size: int = 1000
    max_parallel: int = 0
    max_gpus: int = 0
    max_submit: int = 0
    max_time_s: int = 0
    max_memory_mib: int = 0
    signal_lead_s: int = 120
    python: str = ""
    apptainer: str = "apptainer"
    gpu_vendor: str = "nvidia"
    image_dir: str = ""
    binds: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directives: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    group_access: str = "none"
    follow: Following = Following()
