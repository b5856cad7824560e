"""The machine we run on, as its kernel and its shell tell: limits, control groups, namespaces, keys."""

import grp
import importlib.metadata
import netrc
import os
import re
import resource
import shutil
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

_CGROUP = Path("/sys/fs/cgroup")


def read_limit(kind: int) -> tuple[int, int]:
    """The soft and the hard limit of this process; -1 is none."""
    soft, hard = resource.getrlimit(kind)
    return (-1 if soft == resource.RLIM_INFINITY else soft, -1 if hard == resource.RLIM_INFINITY else hard)


def count_own_threads() -> int:
    """Threads of this user's processes here: what ``ulimit -u`` counts."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == os.getuid():
                    found = re.search(
                        r"^Threads:\s*(\d+)", (entry / "status").read_text(errors="replace"), re.MULTILINE
                    )
                    count += int(found[1]) if found else 1
            except OSError:  # it ended meanwhile
                continue
    return count


def own_groups() -> tuple[str, ...]:
    """Names of the Unix groups of this user."""
    names = []
    for number in {os.getegid(), *os.getgroups()}:
        try:
            names.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return tuple(sorted(names))


def cgroup_version() -> int:
    """Version of the control groups that bound memory here; 0 where there are none."""
    if (_CGROUP / "cgroup.controllers").exists():
        return 2
    return 1 if (_CGROUP / "memory").is_dir() else 0


def memory_bound_mib() -> int | None:
    """Memory that the control group of this process may take; None where it is not bounded, or cannot be told."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, path in groups:
        is_v1 = "memory" in controllers.split(",")
        root, name = (_CGROUP / "memory", "memory.limit_in_bytes") if is_v1 else (_CGROUP, "memory.max")
        for group in (path, *map(str, Path(path).parents)) if is_v1 or not controllers else ():
            try:
                text = (root / group.lstrip("/") / name).read_text().strip()
            except OSError:
                continue
            if text.isdecimal() and int(text) < 1 << 50:
                return int(text) >> 20
    return None


def installed_version(name: str) -> str | None:
    """The version of an installed package; None where it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def own_requirements(code: Path) -> list[str]:
    """What our package requires, optional parts with their marker: from the clone's own file, else as installed."""
    try:
        project = tomllib.loads((code / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, ValueError):
        try:
            return importlib.metadata.requires("hpc-batch") or []
        except importlib.metadata.PackageNotFoundError:
            return []
    extras: Mapping[str, list[str]] = project.get("optional-dependencies", {})
    return [
        *project.get("dependencies", ()),
        *(f'{each}; extra == "{e}"' for e, all_ in extras.items() for each in all_),
    ]


def userns_problem() -> str:
    """Why this user may not make a user namespace, as the kernel's settings say; empty where nothing forbids it."""
    for name, forbids, why in (
        ("user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0"),
    ):
        try:
            if Path("/proc/sys", name).read_text().strip() == forbids:
                return why
        except OSError:
            continue
    return ""


def has_setuid_starter(apptainer: str) -> bool:
    """Whether the installation of an apptainer command has a setuid starter."""
    found = shutil.which(apptainer)
    if found is None:
        return False
    prefix = Path(os.path.realpath(found)).parents[1]
    for folder in (prefix / "libexec", Path("/usr/libexec"), Path("/usr/lib/x86_64-linux-gnu")):
        for name in ("apptainer", "singularity"):
            starter = folder / name / "bin" / "starter-suid"
            try:
                if starter.stat().st_mode & stat.S_ISUID:
                    return True
            except OSError:
                continue
    return False


def share_of_machine() -> tuple[int, str]:
    """Cores and memory that one run may ask of this machine and leave room for another: two and 8 GB, or half of it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    half = max(memory // 2, 1)
    return min(2, os.cpu_count() or 1), f"{min(8, half >> 10)}GB" if half >= 1024 else f"{half}MB"


def find_wandb_key(environment: Mapping[str, str], own: Path | None = None) -> tuple[bool, str]:
    """Whether there is a key for wandb, and the path of a file with one that others may read. The key stays unread.

    Args:
        own: The file that `hpc sync` reads before ~/.netrc; None where the program itself logs in, which knows no such.
    """
    if environment.get("WANDB_API_KEY"):
        return True, ""
    if own is not None and own.is_file():
        return True, str(own) if own.stat().st_mode & 0o077 else ""
    path = Path(environment.get("NETRC") or Path.home() / ".netrc")
    host = urlsplit(environment.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or "api.wandb.ai"
    try:
        has_key = netrc.netrc(str(path)).hosts.get(host) is not None
        mode = path.stat().st_mode
    except (OSError, netrc.NetrcParseError):
        return False, ""
    return has_key, str(path) if has_key and mode & 0o077 else ""
