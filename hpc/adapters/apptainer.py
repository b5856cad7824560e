"""The command line that puts a program into an Apptainer container, closed to everything that was not bound on purpose.

Standard library only: the wrapper on the compute node imports it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Image:
    """A container image and what is bound into it.

    Attributes:
        apptainer: The apptainer command, or singularity's.
        path: The SIF file or sandbox folder.
        binds: ``source[:target[:options]]``, as apptainer reads them.
        mounts: Folder and whether it is read-only, seen at the same place inside, whatever characters its path holds.
        gpu_vendor: ``nvidia`` or ``amd``.
    """

    apptainer: str
    path: str
    binds: tuple[str, ...] = ()
    mounts: tuple[tuple[str, bool], ...] = ()
    gpu_vendor: str = "nvidia"


def exec_argv(image: Image, argv: Sequence[str], *, working_folder: str, gpus: int) -> tuple[str, ...]:
    """Build ``apptainer exec``.

    --cleanenv: only what is passed on purpose comes in (see `container_environment`). --no-home: user site packages and
    caches stay out. --pid: when the wrapper dies, the kernel ends everything inside. --no-eval: without it a shell
    would evaluate the value of every variable, ``$(…)`` included.
    """
    options = ["--cleanenv", "--no-eval", "--no-home", "--pid"]
    if gpus:
        options.append("--rocm" if image.gpu_vendor == "amd" else "--nv")
    for path, read_only in image.mounts:
        options += ["--mount", _mount(path, read_only=read_only)]
    for bind in image.binds:
        options += ["--bind", bind]
    return (image.apptainer, "-q", "exec", *options, "--pwd", working_folder, image.path, *argv)


def _mount(path: str, *, read_only: bool) -> str:
    """Write one --mount: comma-separated values with quotes, so that the path may hold commas and colons."""
    quoted = path.replace('"', '""')
    return f'type=bind,"source={quoted}","destination={quoted}"{",ro" if read_only else ""}'


def container_environment(variables: Mapping[str, str], command: str = "apptainer") -> dict[str, str]:
    """Return variables with the prefix by which they pass ``--cleanenv``; their values never stand on a command line.

    Args:
        command: What starts the container. SingularityCE knows its own prefix only; where ``singularity`` is another
            name of Apptainer, that takes APPTAINERENV_.
    """
    prefixes = ["APPTAINERENV_", *(["SINGULARITYENV_"] if PurePath(command).name.startswith("singularity") else [])]
    return {f"{prefix}{name}": value for prefix in prefixes for name, value in variables.items()}
