"""A site's profile: what it offers and wants to hear.

Apart from what a task asks for (`hpc.core.resources`), because the wrapper on the compute node loads that and not this.
"""

from collections.abc import Mapping

from hpc.core.immutable import field, immutable
from hpc.core.resources import MINUTE


@immutable
class Following:
    """How an experiment is followed at a site.

    Attributes:
        partition, account, qos: Of the relay; empty means as the tasks.
        constraint: Of the relay; None: as the tasks, unless it has a partition of its own.
        time_s: Its time limit.
        memory_mib: Its memory.
        directives: sbatch options of the relay; None: those of the tasks.
        every_s: Seconds from one look at a running array to the next; more while nothing happens.
        max_days: Days after which an experiment is no longer followed.
        shadow: Whether what is decided is only kept, and nothing done.
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
    shadow: bool = False


@immutable
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
        max_array_size: Most elements of one array (Slurm's MaxArraySize bounds the *index*, so one less than that).
        max_parallel: Elements of one array that may run at once; 0 means no bound.
        max_gpus: GPUs of one experiment in use at once, over all its arrays; 0 means no bound.
        max_submit: Most jobs and array elements of this user in the queue at a time; 0: the site's own limits alone.
        max_time_s: Longest time limit the partition grants; 0 means not known.
        max_memory_mib: Most memory of a node; 0 means not known.
        signal_lead_s: Seconds before the limit at which SIGUSR1 is sent.
        python: Interpreter that runs the wrapper on the compute node; empty means the one that planned.
        apptainer: The apptainer command; empty means that this site runs without containers.
        gpu_vendor: ``nvidia`` or ``amd``: whose GPUs containers get to see.
        image_dir: Where `image: train` is looked for as ``train.sif``.
        images_signed_by: Public key in a PEM file by which images have to be signed; ``keyring``: one that Apptainer's
            own keyring has; empty: they need not be.
        binds: Bound into every container.
        setup: Shell lines run before the wrapper, such as ``module load``.
        environment: Variables set for every task.
        directives: Further sbatch options, such as ``{"exclude": "n3"}``; empty text: an option without a value.
        template: Jinja template that extends ``array.sbatch.j2``; empty means that one.
        group_access: ``read`` lets the folder's group look at the runs; ``none``: nobody but the owner.
        carbon: Kilograms of CO₂ per kWh of the site's electricity; 0: not stated, and nothing is said of CO₂.
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
    images_signed_by: str = ""
    binds: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directives: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    group_access: str = "none"
    carbon: float = 0.0
    follow: Following = Following()
