"""Descendants of this process, as Linux tells them in /proc: who they are, how to signal and how to end them all.

Standard library only: the wrapper on the compute node imports it.
"""

import contextlib
import ctypes
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IDENTITY = re.compile(r"[^/]*/\d+/\d+")
_DEAD = (b"Z", b"X")
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes `end_descendants`."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prepare_child(memory_mib: int | None) -> None:
    """Run in a new child before exec: it dies with its parent, and (without Slurm) its memory is bounded.

    RLIMIT_DATA counts private writable memory, so a program meets its own allocator's error, as on a full GPU, and not
    the kernel's OOM killer; mapped files and shared libraries do not count.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if memory_mib is not None:
        limit = memory_mib << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def descendants(pid: int) -> list[int]:
    """List living descendants of a process, parents before children; zombies do not count, but theirs do.

    What it costs grows with their number, not with all that runs on the node, where the kernel lists children.

    /proc is no snapshot: a child may be seen below a parent that is seen dead a moment later, and one that has just
    lost its parent may be seen nowhere. Nothing is passed over for good: it is a child of ours then, who adopt orphans,
    and no child of ours leaves the list before we take note of its end.
    """
    children_of = _listed_children if _LISTS_CHILDREN else _searched_children()
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children_of(waiting.pop(0))
        found += below
        waiting += below
    return [each for each in found if not _is_dead(each)]


_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110  at every start
"""Whether the kernel was built to say whose child a process is from the parent's side (CONFIG_PROC_CHILDREN)."""


def _listed_children(pid: int) -> list[int]:
    """Read the children of every thread of a process, living or not; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  often
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _searched_children() -> Callable[[int], list[int]]:
    """Look for children among all processes of the node; what it gives answers from that one look."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                children.setdefault(int(_stat(entry.name)[1]), []).append(int(entry.name))
    return lambda pid: children.get(pid, [])


def _is_dead(pid: int) -> bool:
    try:
        return _stat(pid)[0] in _DEAD
    except OSError:
        return True


def children_seconds() -> float:
    """Processor seconds of every child of this process that has ended, with what those waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def used_by(pids: Iterable[int]) -> tuple[float, float]:
    """Processor seconds that processes and their reaped children took, and the memory they have resident, in MiB.

    Pages that several share count for each of them.
    """
    ticks, pages = 0, 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = _stat(pid)
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _stat(pid: int | str) -> list[bytes]:
    """What /proc tells of a process behind its name: state, parent, …; read a thousand times on a busy node.

    Raises:
        OSError: It is gone.
    """
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _read(path: str) -> bytes:
    """Read what the kernel tells, to its end."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        text = b""
        while part := os.read(descriptor, 65536):
            text += part
        return text
    finally:
        os.close(descriptor)


def environment_of(pid: int) -> dict[str, str]:
    """Read the environment a process was started with; empty when it is gone or not ours."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(pair.decode("utf-8", "replace").split("=", 1) for pair in pairs if b"=" in pair)


def find_ranks(root: int) -> list[int]:
    """Find the processes that train: those given a LOCAL_RANK whose parent has none (their loader workers inherit it).

    Without any such process the program is its own only rank: the last of the chain of single children below `root`.
    """
    family = descendants(root)
    with_rank = {pid for pid in family if "LOCAL_RANK" in environment_of(pid)}
    ranks = [pid for pid in family if pid in with_rank and _parent(pid) not in with_rank]
    return ranks or [_innermost(root)]


def find_marked(marks: Mapping[str, str]) -> list[int]:
    """Find processes that were started with these variables, are no descendants of ours, and whose parents are none of
    them."""
    marked = started_with(marks) - {os.getpid(), *descendants(os.getpid())}
    return sorted(pid for pid in marked if _parent(pid) not in marked)


def started_with(variables: Mapping[str, str]) -> set[int]:
    """Find every process of this machine that was started with these variables, as far as we may look."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return {pid for pid in pids if variables.items() <= environment_of(pid).items()}


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except (OSError, ValueError, IndexError):
        return 0


def _innermost(root: int) -> int:
    """Pass through container starters and shells, which do nothing but wait for one child."""
    passing = ("apptainer", "singularity", "starter", "starter-suid", "appinit", "sh", "bash", "tini")
    pid = root
    while True:
        children = [each for each in descendants(pid) if _parent(each) == pid]
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip().lower()
        except OSError:
            return pid
        if len(children) != 1 or not name.startswith(passing):
            return pid
        pid = children[0]


def send_signal(pids: list[int], number: int) -> None:
    """Send a signal to each process that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def catches(pid: int, number: int) -> bool:
    """Whether a process listens to a signal: it has a handler, or waits for it blocked, as srun does (which then hands
    it to every node). False when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigCgt:", "SigBlk:"))]
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def end_descendants(grace_s: float, kill_s: float = 10.0) -> int:
    """End every descendant of this process: SIGTERM, then SIGKILL after the grace; return how many had to be killed.

    Nobody is reaped here: a child whose `Popen` finds it already reaped would count as having exited with 0. What
    SIGKILL has not ended after `kill_s` hangs in the kernel (state D), and is left to whoever ends the job.
    """
    own = os.getpid()
    send_signal(left := descendants(own), signal.SIGTERM)
    end = time.monotonic() + grace_s
    while left and time.monotonic() < end:
        time.sleep(0.02)
        left = descendants(own)
    killed = len(left)
    end = time.monotonic() + kill_s
    while (
        left or (left := descendants(own))
    ) and time.monotonic() < end:  # looked at twice: one may be born where the first look had passed
        send_signal(left, signal.SIGKILL)
        time.sleep(0.02)
        left = descendants(own)
    return killed


def identity(pid: int) -> str:
    """Name a process so that its successor under the same number has another name: boot, number, start time.

    Empty when there is no such process (a zombie is none).
    """
    try:
        fields = _stat(pid)
    except OSError:
        return ""
    return "" if fields[0] in _DEAD else f"{boot_id()}/{pid}/{fields[19].decode()}"


def lives(name: str) -> bool:
    """Whether the process that `identity` named so still runs on this machine."""
    return identity(int(name.split("/")[1])) == name


def may_live(host: str, name: str, namespace: str) -> bool:
    """Whether a process on record may still run: False only where this machine knows that it does not.

    A machine may change its name while it runs, so what was started since its last start is known by that start; by the
    machine's name, what was started before. Containers on one machine share its start and have processes of their own.

    Args:
        host: The machine it was started on, as `this_host` names it.
        name: The process, as `identity` names it.
        namespace: As `pid_namespace`; empty in records of old.
    """
    if not _IDENTITY.fullmatch(name):
        return False  # nobody can ever find it
    is_since_start = namespace == pid_namespace() and name.startswith(f"{boot_id()}/")
    return lives(name) if is_since_start or host == this_host() else True


@cache
def boot_id() -> str:
    """Name the present run of this machine's kernel; empty where it has no name."""
    return _first_line(Path("/proc/sys/kernel/random/boot_id"))


def pid_namespace() -> str:
    """Name the set of processes whose numbers mean here what they mean to us."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  asked of each task that runs
    except OSError:
        return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def this_host() -> str:
    """This machine's name as the attempts record it: Slurm's name of the node where Slurm gives one."""
    return os.environ.get("SLURMD_NODENAME", os.uname().nodename)
