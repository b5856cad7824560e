"""A check: what was looked at, what was found, what was expected, how to mend it. And all checks there are.

`KINDS` is the table of `docs/doctor.md`; no check is called anything that is not in it.
"""

from collections.abc import Iterable
from enum import StrEnum

from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_TEMPORARY
from hpc.core.immutable import immutable


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    BLOCKING = "blocking"


class Group(StrEnum):
    """What a check is about."""

    MACHINE = "this machine"
    SLURM = "Slurm"
    STORAGE = "the folder of the runs"
    CONTAINER = "containers"
    EXPERIMENT = "the experiment"
    NODES = "compute nodes"


@immutable
class Check:
    """One thing that was looked at.

    Attributes:
        name: One of `KINDS`.
        found: What is there.
        expected: What would be right; empty where `found` needs no comparison.
        mend: What to do, if possible a command line that works when pasted; empty where all is well.
        severity: How bad it is.
        temporary: Whether it means that Slurm does not answer now, and may later.
    """

    name: str
    found: str
    expected: str = ""
    mend: str = ""
    severity: Severity = Severity.OK
    temporary: bool = False


@immutable
class Kind:
    """A check there is.

    Attributes:
        name: As it is called.
        group: What it is about.
        asks: What it looks at, for the documentation.
        worst: The worst it can find.
    """

    name: str
    group: Group
    asks: str
    worst: Severity


def _kinds(group: Group, *rows: tuple[str, str, Severity]) -> tuple[Kind, ...]:
    return tuple(Kind(name, group, asks, worst) for name, asks, worst in rows)


_NOTE, _WARNING, _BLOCKING = Severity.NOTE, Severity.WARNING, Severity.BLOCKING

KINDS: tuple[Kind, ...] = (
    *_kinds(
        Group.MACHINE,
        ("python", "Version of the interpreter, and of the profile's `python`", _BLOCKING),
        ("packages", "Versions of the packages against the bounds of this toolkit", _BLOCKING),
        ("optional packages", "Parts of the package that the experiment or a report needs", _WARNING),
        ("open files", "`ulimit -n` of this shell", _BLOCKING),
        ("processes", "`ulimit -u` of this shell, less what runs", _BLOCKING),
        ("processor time", "`ulimit -t` of this shell", _WARNING),
    ),
    *_kinds(
        Group.SLURM,
        ("profile", "Which profile is taken, and whether its kind of machine is here", _BLOCKING),
        ("clients", "Commands of Slurm on `PATH`, and their version", _BLOCKING),
        ("controller", "Whether slurmctld answers", _BLOCKING),
        ("clock", "This clock against the controller's", _BLOCKING),
        ("accounting", "Whether ended jobs are recorded, and slurmdbd answers", _BLOCKING),
        ("account", "`account` of the profile against your associations", _BLOCKING),
        ("qos", "`qos` of the profile against what you may use", _BLOCKING),
        ("partition", "Whether it exists, takes jobs and admits you", _BLOCKING),
        ("time limit", "Time asked for, and `max_time`, against the partition's limit", _BLOCKING),
        ("cores", "Cores asked for against the nodes", _BLOCKING),
        ("memory", "Memory asked for, and `max_memory`, against the nodes", _BLOCKING),
        ("memory rule", "`memory` of the profile against how the site counts memory", _NOTE),
        ("gpus", "GPUs asked for and `gpu_type` against the types of the nodes", _BLOCKING),
        ("array size", "`max_array_size` and the sweep against MaxArraySize", _BLOCKING),
        ("submit limits", "How many jobs of yours the site takes at a time", _WARNING),
        ("control groups", "Whether memory limits are enforced, and a job that exceeds one is reported", _WARNING),
        ("preemption", "What happens to a preempted job, and whether jobs are requeued", _WARNING),
        ("time to end", "KillWait, OverTimeLimit and `signal_lead_s`", _WARNING),
        ("node definitions", "Whether nodes may have less than Slurm assumes (config_overrides)", _NOTE),
    ),
    *_kinds(
        Group.STORAGE,
        ("writable", "Whether runs can be made in HPC_ROOT", _BLOCKING),
        ("owner and access", "Who owns it, and who may enter", _WARNING),
        ("shared", "Whether it is a file system that compute nodes can see", _BLOCKING),
        ("mount options", "Options of a network file system that take a guarantee away", _WARNING),
        ("rename", "Whether a file can be replaced atomically, and a folder published once", _BLOCKING),
        ("exclusive create", "Whether a name can be created only once (O_EXCL)", _BLOCKING),
        ("hard links", "Hard links, which pin images", _WARNING),
        ("flock", "Locks between processes, and mount options that keep them on one node", _BLOCKING),
        ("fcntl locks", "The other kind of lock, used by HDF5 and databases", _WARNING),
        ("HDF5 locks", "Whether h5py opens a file for writing there", _BLOCKING),
        ("file times", "Its clock against this one", _WARNING),
        ("file names", "Length, case and characters of file names", _BLOCKING),
        ("space", "Space left, against what the experiment declares", _BLOCKING),
        ("inodes", "Number of files left, against what the tasks create", _BLOCKING),
        ("quota", "`quota` and `lfs quota`, where installed", _BLOCKING),
    ),
    *_kinds(
        Group.CONTAINER,
        ("apptainer", "Whether it is installed, and new enough", _BLOCKING),
        ("user namespaces", "Whether you may start a container without setuid", _BLOCKING),
        ("cache", "Room for Apptainer's cache and temporary files", _WARNING),
        ("image", "Whether the image is there", _BLOCKING),
        ("image digest", "The image against the digests recorded by its build and by the plan", _BLOCKING),
        ("imports", "What the program imports, where it will run: in the image or on the host", _BLOCKING),
        ("gpus seen", "GPUs visible there", _BLOCKING),
        ("all-reduce", "Two processes add a number (gloo), if the experiment uses torch", _BLOCKING),
        ("shared memory", "Size of /dev/shm, through which data loaders share batches", _WARNING),
    ),
    *_kinds(
        Group.EXPERIMENT,
        ("program", "The program's files", _BLOCKING),
        ("data", "What `program.inputs` links, and paths among the arguments", _BLOCKING),
        ("binds", "Folders bound into the container", _BLOCKING),
        ("wandb", "The key if runs are sent at once; the folder where runs are kept", _BLOCKING),
        ("run folder", "Whether its logs and records can be written", _BLOCKING),
        ("checkpoints", "Whether the newest one of each run can be loaded (`--checkpoints`)", _BLOCKING),
    ),
    *_kinds(
        Group.NODES,
        ("node job", "Whether a tiny job runs", _BLOCKING),
        ("node sees the runs", "Whether a compute node reads and writes HPC_ROOT", _BLOCKING),
        ("node locks", "Locks between this machine and compute nodes, and between two of them", _BLOCKING),
        ("node exclusive create", "The same between machines", _BLOCKING),
        ("node clock", "A compute node's clock against this one", _WARNING),
        ("node control groups", "Their version there, and whether the job's memory is limited", _NOTE),
        ("node container", "Apptainer and the image, as seen from there", _BLOCKING),
    ),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}


def group_of(check: Check) -> Group:
    """What a check is about."""
    return BY_NAME[check.name].group


def in_order(checks: Iterable[Check]) -> list[Check]:
    """Order checks as the table has them."""
    order = {kind.name: position for position, kind in enumerate(KINDS)}
    return sorted(checks, key=lambda check: order[check.name])


def exit_code(checks: Iterable[Check]) -> int:
    """Return 1 when something blocks, 75 when that is only that Slurm does not answer, else 0."""
    blocking = [check for check in checks if check.severity is Severity.BLOCKING]
    if not blocking:
        return EXIT_DONE
    return EXIT_TEMPORARY if all(check.temporary for check in blocking) else EXIT_FAILED


def unanswered(name: str, limit_s: float, mend: str = "") -> Check:
    """Say that something hung: the check it was at, after how long it was given up."""
    is_slurm = BY_NAME[name].group is Group.SLURM
    return Check(
        name,
        f"no answer within {limit_s:g} s",
        "an immediate answer",
        mend or ("try again later; if it persists, tell the site: scontrol ping" if is_slurm else _HUNG),
        Severity.BLOCKING if BY_NAME[name].worst is Severity.BLOCKING else Severity.WARNING,
        is_slurm,
    )


_HUNG = "a hanging mount stops every command that touches it: tell the site; meanwhile export HPC_ROOT=… elsewhere"


def failed(name: str, problem: str) -> Check:
    """Say that a check itself fell over."""
    return Check(name, f"could not be looked at: {problem}", "", "", Severity.WARNING)
