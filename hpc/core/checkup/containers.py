"""What containers need of a machine, and what the self test inside one, or on the host, has to show."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.needs import Needs
from hpc.core.words import counted

OK, NOTE, WARNING, BLOCKING = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.BLOCKING
LEAST_APPTAINER, LEAST_SINGULARITY = (1, 1), (3, 10)
"""The first that know ``--no-eval``."""
CACHE_MIB = 3072
ENOUGH_SHM_MIB, LITTLE_SHM_MIB = 1024, 64


def judge_apptainer(command: str, said: str, is_needed: bool, has_setup: bool) -> Check:
    """Judge the command that runs containers.

    Args:
        said: What ``--version`` printed; empty where it is not there.
        is_needed: Whether the experiment asks for an image.
        has_setup: Whether the profile's setup lines may bring it on the node.
    """
    expected = f"Apptainer {_dotted(LEAST_APPTAINER)} or SingularityCE {_dotted(LEAST_SINGULARITY)}, or newer"
    if not said:
        severity = NOTE if not is_needed else WARNING if has_setup else BLOCKING
        where = f"{command or 'no apptainer'} is not here" + ("; a line of setup may load it" if has_setup else "")
        mend = "module load apptainer  # the same line in the profile's setup:; or plan with --set container.image=null"
        return Check("apptainer", where, expected, mend, severity)
    version = _version(said)
    least = LEAST_SINGULARITY if "singularity" in said.lower() else LEAST_APPTAINER
    if version and version < least:
        mend = "module avail apptainer  # and name a newer one in the profile (apptainer:)"
        return Check("apptainer", said, expected, mend, BLOCKING if is_needed else WARNING)
    return Check("apptainer", said, expected)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else ()


@dataclass(frozen=True)
class Namespaces:
    """How a container may be started here.

    Attributes:
        is_root: Whether we are root, who needs neither.
        has_setuid: Whether Apptainer's starter is setuid.
        problem: Why an unprivileged user namespace cannot be made; empty where it can.
    """

    is_root: bool = False
    has_setuid: bool = False
    problem: str = ""


def judge_namespaces(found: Namespaces, is_needed: bool) -> Check:
    """Judge whether an ordinary user may start a container."""
    how = "the starter is setuid" if found.has_setuid else "no setuid starter"
    if not found.problem:
        return Check("user namespaces", f"can be made; {how}")
    if found.is_root or found.has_setuid:
        return Check("user namespaces", f"{found.problem}; {'you are root' if found.is_root else how}")
    return Check(
        "user namespaces", f"{found.problem}; {how}", "user namespaces, or a setuid starter",
        "sysctl user.max_user_namespaces kernel.unprivileged_userns_clone  # ask the site for one of them",
        BLOCKING if is_needed else WARNING,
    )  # fmt: skip


def judge_cache(rooms: Mapping[str, int], is_needed: bool) -> Check:
    """Judge the room of Apptainer's cache and of its temporary files, in MiB by folder."""
    small = {folder: mib for folder, mib in rooms.items() if mib < CACHE_MIB}
    said = "; ".join(f"{folder}: {mib} MiB free" for folder, mib in (small or rooms).items())
    if not small:
        return Check("cache", said)
    mend = "export APPTAINER_CACHEDIR=/path/with/room APPTAINER_TMPDIR=/path/with/room  # to build and pull"
    return Check("cache", said, f"{CACHE_MIB} MiB to build or pull an image", mend, WARNING if is_needed else NOTE)


def judge_image(path: str, problem: str, size_mib: int) -> Check:
    """Judge whether an image is there; `problem` says how to come by it."""
    if problem:
        said, _, mend = problem.partition(". ")
        return Check("image", said, "an image file", mend or problem, BLOCKING)
    return Check("image", f"{path}, {size_mib} MiB")


@dataclass(frozen=True)
class Digests:
    """SHA-256 of an image as several say it; empty where they do not.

    Attributes:
        real: Of the file as it is now; empty where it is too large to be read in passing.
        by_build: As its build recorded it.
        is_as_built: Whether the file is as large and as old as the build left it: then the record is believed.
        by_plan: As the experiment was planned with.
        has_planned: Whether the image that was planned with is kept under the name of its digest.
    """

    real: str = ""
    by_build: str = ""
    is_as_built: bool = False
    by_plan: str = ""
    has_planned: bool = False


def judge_digest(path: str, found: Digests, experiment: str) -> Check:
    """Judge an image by its digests."""
    file, name = PurePath(path), PurePath(path).name
    now = found.real or (found.by_build if found.is_as_built else "")
    if found.real and found.by_build and found.real != found.by_build:
        expected = f"sha256 {found.by_build[:16]}, as its build recorded"
        mend = f"build it again, or remove its record from {file.parent / 'images.lock.toml'}"
        severity = BLOCKING if found.is_as_built else WARNING
        return Check("image digest", f"{name} is {found.real[:16]}", expected, mend, severity)
    if now and found.by_plan and now != found.by_plan:
        expected = f"sha256 {found.by_plan[:16]}, as planned"
        mend = f"python -m hpc.plan {experiment}  # takes the new one"
        if found.has_planned:
            return Check(
                "image digest", f"{name} is {now[:16]}; queued tasks keep the old one", expected, mend, WARNING
            )
        return Check("image digest", f"{name} is {now[:16]}", expected, mend, BLOCKING)
    if not now:
        return Check("image digest", "not computed: the file is large, and no digest is recorded for it", "", "", NOTE)
    return Check("image digest", now[:16] + ("" if found.real else ", as recorded"))


@dataclass(frozen=True)
class SelfTest:
    """What a self test saw.

    Attributes:
        where: ``in image train`` or ``on the host``.
        python: Version there.
        failed_imports: Module → why it cannot be imported.
        imports: How many were tried.
        gpus: GPUs that can be seen.
        all_reduce: Why two processes did not add; empty where they did; None where it was not tried.
        shm_mib: Size of /dev/shm; None where there is none.
        problem: Why nothing of it could be had.
    """

    where: str
    python: str = ""
    failed_imports: Mapping[str, str] = field(default_factory=dict)
    imports: int = 0
    gpus: int = 0
    all_reduce: str | None = None
    shm_mib: int | None = None
    problem: str = ""


def read_self_test(where: str, answer: Mapping[str, Any] | str) -> SelfTest:
    """Read what the self test printed, or why it printed nothing."""
    if isinstance(answer, str):
        return SelfTest(where, problem=answer)
    known = {name: answer[name] for name in ("python", "failed_imports", "imports", "gpus", "all_reduce", "shm_mib")
             if name in answer}  # fmt: skip
    return SelfTest(where, **known)


def judge_imports(test: SelfTest, install: str) -> Check:
    """Judge what can be imported; `install` is the line that brings it."""
    if test.problem:
        mend = "apptainer exec IMAGE python3 -V  # by hand"
        return Check("imports", f"{test.where}: {test.problem}", "a Python that starts", mend, BLOCKING)
    if test.failed_imports:
        said = "; ".join(f"{name}: {why}" for name, why in list(test.failed_imports.items())[:3])
        return Check(
            "imports", f"{test.where}: {said}", f"{counted(test.imports, 'import')} that work", install, BLOCKING
        )
    return Check("imports", f"{test.where}: Python {test.python}, {counted(test.imports, 'import')}")


def judge_gpus_seen(test: SelfTest, asked: int, cluster: str) -> Check:
    """Judge the GPUs that can be seen.

    Args:
        asked: How many there should be.
        cluster: The profile, where tasks run on other machines: a login node has none; empty where they run here.
    """
    found = f"{test.where}: {counted(test.gpus, 'GPU')}"
    if test.gpus >= asked or test.problem:
        return Check("gpus seen", found)
    if cluster:
        mend = f"sinfo -o '%P %G'  # what the nodes of {cluster} have"
        return Check("gpus seen", f"{found}; {asked} asked for", "GPUs on compute nodes, not here", mend, NOTE)
    mend = "nvidia-smi  # says why; containers see GPUs by --nv (gpu_vendor of the profile)"
    return Check("gpus seen", found, f"{asked} asked for", mend, BLOCKING)


def judge_all_reduce(test: SelfTest) -> Check | None:
    """Judge whether two processes form one world."""
    if test.all_reduce is None or test.problem or "torch" in test.failed_imports:
        return None
    if not test.all_reduce:
        return Check("all-reduce", f"{test.where}: two processes add up (gloo)")
    mend = "export GLOO_SOCKET_IFNAME=lo  # if names or networks are the cause"
    return Check("all-reduce", f"{test.where}: {test.all_reduce}", "1 + 1 = 2 in both", mend, BLOCKING)


def judge_shm(test: SelfTest, needs: Needs | None) -> Check:
    """Judge the room that loaders of data share batches through."""
    matters = bool(needs and needs.uses_torch)
    if test.shm_mib is None:
        return Check("shared memory", f"{test.where}: no /dev/shm", "", "", WARNING if matters else NOTE)
    said = f"{test.where}: {test.shm_mib} MiB"
    if test.shm_mib >= ENOUGH_SHM_MIB:
        return Check("shared memory", said, f"{ENOUGH_SHM_MIB} MiB or more")
    tiny = test.shm_mib <= LITTLE_SHM_MIB
    return Check(
        "shared memory", said, f"{ENOUGH_SHM_MIB} MiB or more",
        "mount -o remount,size=8G /dev/shm  # as root; or load data in the main process (num_workers 0)",
        WARNING if matters or tiny else NOTE,
    )  # fmt: skip
