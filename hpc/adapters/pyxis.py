"""The command line that puts a program into a container of pyxis, Slurm's plugin for enroot: a step on this node.

The container is made by srun's step, so what runs in it is no child of ours: `hpc.adapters.proc.find_marked` finds it
by a variable. Standard library only: the wrapper on the compute node imports it.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

# What the step needs on the host: enroot finds its folders by them. The image's own values go before them inside.
_FOR_ENROOT = ("HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "XDG_", "ENROOT_", "PYXIS_")
_FOR_GPUS = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
"""Without them enroot's hook brings no driver into an image that does not ask; which GPUs there are is Slurm's say."""


@dataclass(frozen=True)
class Image:
    """A container image and what is bound into it.

    Attributes:
        path: The squashfs file, or a reference as enroot reads it (``nvcr.io#nvidia/pytorch:24.05-py3``).
        binds: ``source[:target[:options]]``.
        mounts: Folder and whether it is read-only, seen at the same place inside.
    """

    path: str
    binds: tuple[str, ...] = ()
    mounts: tuple[tuple[str, bool], ...] = ()


def srun_argv(
    image: Image, argv: Sequence[str], *, working_folder: str, cpus: int, node: str, passed: Collection[str]
) -> tuple[str, ...]:
    """Build ``srun --container-…``: one task on this node, with all that the job has of it.

    --overlap, --mem=0: over several nodes our own step holds the cores and the memory already. --export: of the
    environment only what is named passes, never a value on a command line; --container-env: these go before the
    image's.

    Args:
        cpus: Cores of the task on this node.
        node: This node, as Slurm calls it; empty where it does not say.
        passed: Names of the variables that the program is to see.
    """
    mounts = [_mount(path, path, "ro" if read_only else "") for path, read_only in image.mounts]
    mounts += [_bind(bind) for bind in image.binds]
    names = sorted(passed)
    return (
        shutil.which("srun") or "srun",
        "--nodes=1", "--ntasks=1", f"--cpus-per-task={cpus}", "--overlap", "--mem=0", "--cpu-bind=none", "--mpi=none",
        *([f"--nodelist={node}"] if node else []),
        f"--export={','.join(names)}",
        f"--container-image={image.path}",
        *([f"--container-mounts={','.join(mounts)}"] if mounts else []),
        f"--container-workdir={working_folder}",
        f"--container-env={','.join(name for name in names if not name.startswith(_FOR_ENROOT))}",
        "--no-container-mount-home", "--no-container-remap-root", "--no-container-entrypoint",
        *argv,
    )  # fmt: skip


def _mount(source: str, target: str, flags: str) -> str:
    return ":".join(filter(None, (source, target, flags)))


def _bind(bind: str) -> str:
    source, _, rest = bind.partition(":")
    target, _, flags = rest.partition(":")
    return _mount(source, target or source, "" if flags == "rw" else flags)


def passed_names(variables: Mapping[str, str], host: Mapping[str, str]) -> set[str]:
    """Name what srun passes on: the program's variables, and what enroot needs of the host. Slurm's own pass anyway."""
    needed = (name for name in host if name.startswith(_FOR_ENROOT))
    return {name for name in (*variables, *needed) if not name.startswith("SLURM_")}


def gpu_variables(gpus: int) -> Mapping[str, str]:
    """What an image has to say to be given the driver."""
    return _FOR_GPUS if gpus else {}


def mount_problem(path: str) -> str:
    """Say why a path cannot be mounted: pyxis splits at commas and colons and knows no quoting; empty where it can."""
    return f"{path}: pyxis cannot mount a path with a comma or a colon" if set(path) & set(",:") else ""
