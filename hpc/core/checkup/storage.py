"""What the file system of the runs must do, and what its mount options, room and quotas mean."""

import re
import shlex
from collections.abc import Iterable, Sequence

from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.needs import Needs
from hpc.core.immutable import immutable
from hpc.core.resources import render_memory
from hpc.core.words import counted, few

OK, NOTE, WARNING, BLOCKING = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.BLOCKING
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "zfs", "f2fs", "vfat", "exfat", *IN_MEMORY})
"""File systems that belong to one machine, unless that machine serves them to others."""
LOCKED_FUSE = frozenset({f"fuse.{name}" for name in ("glusterfs", "ceph", "ceph-fuse", "juicefs", "mfs")})
"""File systems in user space that hand `flock` to their servers; the kernel keeps it to itself for all others."""
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108  places to warn of
LOW_MIB, FULL_MIB = 2048, 64
FILES_A_TASK = 40
"""Files and folders that a task with one attempt makes, roughly; the copy of the code comes once."""
FEW_FILES = 1000
SKEW_S, BAD_SKEW_S = 2.0, 30.0
KEEP_ELSEWHERE = "export HPC_ROOT=/path/on/the/shared/file/system"


@immutable
class Mount:
    """Where a folder is mounted from.

    Attributes:
        point: Where it is mounted.
        kind: Type of the file system.
        source: Device or server.
        options: Of the mount and of the file system.
    """

    point: str
    kind: str
    source: str
    options: frozenset[str] = frozenset()


def parse_mounts(text: str) -> list[Mount]:
    """Read ``/proc/self/mountinfo``."""
    found = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if separator and len(left) >= 6 and len(right) >= 3:
            options = frozenset((left[5] + "," + right[2]).split(","))
            found.append(Mount(_unescaped(left[4]), right[0], _unescaped(right[1]), options))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), text)


def mount_of(folder: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount a folder lies in: of the longest path above it the last one made."""
    best: Mount | None = None
    for each in mounts:
        above = each.point.rstrip("/") + "/"
        if (folder.rstrip("/") + "/").startswith(above) and (best is None or len(each.point) >= len(best.point)):
            best = each
    return best


def judge_writable(folder: str, problem: str) -> Check:
    """Judge whether runs can be made in a folder."""
    if not problem:
        return Check("writable", folder, "a folder that you can write to")
    return Check(
        "writable", f"{folder}: {problem}", "a folder that you can write to", "export HPC_ROOT=$HOME/runs", BLOCKING
    )


def judge_access(folder: str, owner: int, me: int, mode: int, wants_group: bool) -> Check:
    """Judge whose the folder is, and whom it lets in.

    Args:
        owner, me: User ids.
        mode: Permission bits.
        wants_group: Whether the profile lets the group read (`group_access: read`).
    """
    found = f"owner {owner}, mode {mode & 0o7777:04o}"
    if mode & 0o002 and not mode & 0o1000:
        mend = f"chmod o-w {shlex.quote(folder)}" if owner == me else "export HPC_ROOT=$HOME/runs"
        return Check("owner and access", found, "that not everybody can write to it", mend, WARNING)
    if wants_group and not mode & 0o010:
        return Check(
            "owner and access",
            found,
            "that the group can enter it (group_access: read)",
            f"chmod g+x {shlex.quote(folder)}",
            WARNING,
        )
    return Check("owner and access", found)


def judge_shared(folder: str, mount: Mount | None, other_hosts: Sequence[str] | None, cluster: str) -> Check:
    """Judge whether compute nodes can see a folder.

    Args:
        other_hosts: Nodes of the partition that are other machines; None where there is no Slurm.
        cluster: Name of the profile.
    """
    if mount is None:
        return Check("shared", "no mount found", "", "", NOTE)
    said = f"{mount.kind} from {mount.source}"
    if not other_hosts:
        return Check("shared", said + ("" if other_hosts is None else "; the nodes are this machine"))
    expected = f"a file system that {few(list(other_hosts), 3)} can see"
    in_scratch = any(folder == each or folder.startswith(f"{each}/") for each in SCRATCH)
    if mount.kind in IN_MEMORY or (in_scratch and mount.kind in LOCAL):
        return Check("shared", f"{folder} is this machine's own ({said})", expected, KEEP_ELSEWHERE, BLOCKING)
    if mount.kind in LOCAL:
        mend = f"python -m hpc.doctor --cluster {shlex.quote(cluster)}  # a tiny job checks from there"
        return Check("shared", f"a disk of this machine ({said})", expected, mend, WARNING)
    return Check("shared", said, expected)


def judge_working(name: str, problem: str, mend: str = "", severity: Severity = BLOCKING) -> Check:
    """Judge something that a file system does, or why it did not."""
    if not problem:
        return Check(name, "works")
    return Check(name, problem, "that it works", mend or KEEP_ELSEWHERE, severity)


def judge_flock(problem: str, mount: Mount | None, several_hosts: bool) -> Check:
    """Judge locks: none, ones that exclude nobody, and ones that hold on one machine only.

    Args:
        problem: ``none: …`` where the file system has no locks, otherwise what went wrong.
        several_hosts: Whether other machines write there, too.
    """
    if problem.startswith("none"):
        mend = KEEP_ELSEWHERE + "  # leases replace them, more slowly"
        return Check("flock", problem, "locks", mend, WARNING)
    if problem:
        return Check("flock", problem, "locks that exclude other processes", KEEP_ELSEWHERE, BLOCKING)
    own = local_locks(mount) if mount else ""
    if own:
        mend = KEEP_ELSEWHERE + "  # here leases take their place, slower"
        found = f"exclude on one machine only (mounted with {own})"
        return Check("flock", found, "locks between machines", mend, WARNING if several_hosts else NOTE)
    return Check("flock", "works")


def local_locks(mount: Mount) -> str:
    """The mount option, or the type, that keeps locks on one machine; empty where there is none."""
    if mount.kind == "lustre":
        return "localflock" if "localflock" in mount.options else ""
    if mount.kind.startswith("nfs"):
        bad = ("nolock", "local_lock=all", "local_lock=flock", "local_lock=posix")
        return next((option for option in bad if option in mount.options), "")
    if f"{mount.kind}.".startswith("fuse."):
        return "" if mount.kind in LOCKED_FUSE else mount.kind
    return "tuneUseGlobalFileLocks not said" if mount.kind == "beegfs" else ""


LATE_S = 60
"""A name or size that another host made is seen so late by default (acdirmax); longer is asked for by the mount."""


def judge_mount_options(mount: Mount | None) -> Check:
    """Judge options of a network file system that take a guarantee away (docs/file-systems.md)."""
    if mount is None or not mount.kind.startswith("nfs"):
        return Check("mount options", "none that matter" if mount else "no mount found")
    wrong = []
    if {"soft", "softerr", "softreval"} & mount.options:
        wrong.append(
            "soft: a server that is slow is told to programs as an error (EIO); metrics wait, training may end"
        )
    if "nocto" in mount.options:
        wrong.append("nocto: what another host wrote is read in its old form, leases and locks included")
    late = max((_seconds(option) for option in mount.options if option.startswith(_CACHES)), default=0)
    if late > LATE_S:
        wrong.append(f"attributes are believed for {late} s, {LATE_S} by default: what others make is seen so late")
    if not wrong:
        return Check("mount options", "none that matter")
    expected = "hard, close-to-open, actimeo of 60 s at most"
    return Check("mount options", "; ".join(wrong), expected, KEEP_ELSEWHERE + "  # or ask the site", WARNING)


_CACHES = ("actimeo=", "acregmax=", "acdirmax=")


def _seconds(option: str) -> int:
    value = option.partition("=")[2]
    return int(value) if value.isdecimal() else 0


def judge_hdf5(problem: str) -> Check:
    """Judge whether h5py can open a file for writing."""
    return judge_working("HDF5 locks", problem, "export HDF5_USE_FILE_LOCKING=FALSE")


def judge_file_times(skew_s: float) -> Check:
    """Judge the file system's clock: ages of claims, leases and silent runs are told by it."""
    if abs(skew_s) <= SKEW_S:
        return Check("file times", "as this clock", f"within {SKEW_S:g} s")
    found = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this clock"
    mend = "timedatectl status  # tell the site: its file server, or this machine"
    return Check("file times", found, f"within {SKEW_S:g} s", mend, WARNING if abs(skew_s) > BAD_SKEW_S else NOTE)


def judge_names(problem: str, folds_case: bool) -> Check:
    """Judge which file names are taken."""
    if problem:
        return Check("file names", problem, "names up to 255 bytes, with any letters", KEEP_ELSEWHERE, BLOCKING)
    if folds_case:
        mend = KEEP_ELSEWHERE + "  # or give runs names that differ by more than case (run_name:)"
        return Check("file names", "X and x are the same name", "that upper and lower case differ", mend, WARNING)
    return Check("file names", "255 bytes, case counts")


def judge_space(free_mib: int, folder: str, needs: Needs | None) -> Check:
    """Judge the room left."""
    found = f"{free_mib / 1024:,.1f} GiB free"
    mend = f"du -xsh {shlex.quote(folder)}/* | sort -h | tail  # or {KEEP_ELSEWHERE}"
    if free_mib < FULL_MIB:
        return Check("space", found, f"{LOW_MIB} MiB or more", mend, BLOCKING)
    if needs and needs.disk_mib > free_mib:
        expected = f"{render_memory(needs.disk_mib)} for {counted(needs.tasks, 'run')} (resources.disk)"
        return Check("space", found, expected, mend, BLOCKING)
    if free_mib < LOW_MIB:
        return Check("space", found, f"{LOW_MIB} MiB or more", mend, WARNING)
    return Check("space", found, f"{render_memory(needs.disk_mib)} declared" if needs and needs.disk_mib else "")


def judge_inodes(free: int | None, folder: str, needs: Needs | None) -> Check:
    """Judge how many more files there may be; None where the file system does not count them."""
    if free is None:
        return Check("inodes", "not counted here")
    wanted = max(FEW_FILES, needs.tasks * FILES_A_TASK if needs else 0)
    mend = f"du --inodes -xs {shlex.quote(folder)}/* | sort -n | tail  # or {KEEP_ELSEWHERE}"
    if free < wanted:
        severity = BLOCKING if free < FILES_A_TASK or (needs and free < needs.tasks * FILES_A_TASK) else WARNING
        return Check("inodes", f"{free} left", f"{wanted} or more", mend, severity)
    return Check("inodes", f"{free:,} left")


@immutable
class Quota:
    """What a user holds of what may be held; amounts in KiB, then files. 0 is no limit."""

    where: str
    used_kib: int
    soft_kib: int
    hard_kib: int
    files: int = 0
    soft_files: int = 0
    hard_files: int = 0


def parse_quotas(text: str) -> list[Quota]:
    """Read ``quota -w -p`` or ``lfs quota -q``: a file system, then used, quota and limit of blocks, and of files.

    A name too long for its column stands on a line of its own; grace is a number only with ``-p``.
    """
    found, before = [], ""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 1 and "/" in words[0]:
            before = words[0]
            continue
        where, cells = (before, words) if before and line.startswith(" ") else (words[0] if words else "", words[1:])
        before = ""
        numbers = [int(cell.rstrip("*")) for cell in _without_grace(cells) if cell.rstrip("*").isdecimal()]
        if set(where) & {"/", ":"} and len(numbers) >= 6:
            found.append(Quota(where, *numbers[:6]))
    return found


def _without_grace(cells: Sequence[str]) -> list[str]:
    """Eight columns have a grace behind each three; fewer have none."""
    return [cell for place, cell in enumerate(cells) if len(cells) != 8 or place % 4 != 3]


def judge_quota(quotas: Sequence[Quota], mount: Mount | None, needs: Needs | None) -> Check:
    """Judge the quotas of the file system that holds the runs, or, where none can be told to be its, of all."""
    own = [each for each in quotas if mount and each.where in (mount.source, mount.point)]
    judged = [_judge_one(each, needs if each in own else None) for each in (own or quotas)]
    worst = max(judged, key=lambda check: list(Severity).index(check.severity), default=None)
    return worst or Check("quota", "none could be read")


def _judge_one(quota: Quota, needs: Needs | None) -> Check:
    parts = (
        ("", quota.used_kib >> 10, quota.soft_kib >> 10, quota.hard_kib >> 10, " MiB"),
        (" files", quota.files, quota.soft_files, quota.hard_files, ""),
    )
    mend = "du -xsh * | sort -h | tail  # remove what you do not need, or ask the site for more"
    said = []
    for what, used, soft, hard, unit in parts:
        most = hard or soft
        if not most:
            continue
        said.append(f"{used} of {most}{unit}{what}")
        found = f"{quota.where}: {said[-1]}"
        if used >= most or (needs and not what and used + needs.disk_mib > most):
            asked = f"; {needs.disk_mib} MiB are declared" if needs and needs.disk_mib else ""
            return Check("quota", found + asked, "room left", mend, BLOCKING)
        if (soft and used > soft) or used > 0.95 * most:
            return Check("quota", found, "room left", mend, WARNING)
    return Check("quota", f"{quota.where}: {', '.join(said) or 'no limit'}")
