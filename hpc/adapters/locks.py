"""Locks that no dead process keeps, here or on another host.

Standard library only, because programs on compute nodes import it. `filelock` is loaded where a lock is taken, and done
without where it is not installed.
"""

import contextlib
import errno
import fcntl
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.adapters.files import make_folder, refresh
from hpc.core.errors import TemporaryError

if TYPE_CHECKING:
    import filelock

    from hpc.adapters.lock_lease import LockLease
    from hpc.core.checkup.storage import Mount

LEASE_S = 30.0
"""Where a file system has no locks: a holder that showed no sign of life for so many seconds has lost its claim."""
NO_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What `flock` fails with where the file system has no locks."""
_NETWORK = ("nfs", "lustre", "beegfs", "fuse.", "fuse ")
"""What types of file systems, and a blank, begin with whose locks may hold on one machine only."""


def wait_for_flock(descriptor: int, path: Path, timeout_s: float, kind: int = fcntl.LOCK_EX) -> None:
    """Take an open file by `flock`.

    Raises:
        TemporaryError: Somebody else held it for `timeout_s` seconds.
        OSError: The file system has no locks.
    """
    end, pause_s = time.monotonic() + timeout_s, 0.001
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TemporaryError(_in_vain(path, timeout_s)) from None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)
        else:
            return


@contextlib.contextmanager
def lock(path: Path, timeout_s: float = 60.0, *, parents: bool = True) -> Iterator[None]:
    """Hold an exclusive lock that no dead process keeps, here or on another host.

    `flock` where the file system has it: the kernel frees it with its holder. Where there is none, or one that holds on
    one machine only by the mount's options, a lease file with a heartbeat (`hpc.adapters.lock_lease`):
    a holder known to be dead is superseded at once, one on another host when it was silent for `LEASE_S` seconds. To
    see that silence a waiter waits for at least twice that long, whatever `timeout_s` says.

    Any thread may leave the context. A lease is a hint, not a proof: a holder that was stopped for longer than
    `LEASE_S` and goes on may overlap with its successor (`docs/decisions/0005-locks-on-shared-file-systems.md`).

    Args:
        parents: Make missing folders; without, a folder that somebody removed stays so.

    Raises:
        TemporaryError: Somebody else held it for `timeout_s` seconds.
        OSError: The lock file cannot be made.
    """
    if parents:
        make_folder(path.parent)
    held = _acquire(path, timeout_s, parents)
    refresh(path.parent)  # what whoever had it before us made there
    try:
        yield
    finally:
        held.release()


class _BareLock:
    """The same `flock` on the same file, without `filelock`, which makes a missing folder.

    Also for a compute node's own Python, which has none.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Take it.

        Raises:
            TemporaryError: Somebody else held it for `timeout_s` seconds.
            OSError: The lock file cannot be made, or the file system has no locks.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            wait_for_flock(self._descriptor, path, timeout_s)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Free it, whoever was forked with it meanwhile."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def _in_vain(path: Path, waited_s: float) -> str:
    return f"{path} is held by another process; waited {waited_s:.3g} s. Try again later"


def _acquire(path: Path, timeout_s: float, parents: bool) -> "filelock.BaseFileLock | _BareLock | LockLease":
    if excludes_all(path.parent):
        try:
            return _acquire_flock(path, timeout_s, parents)
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
    from hpc.adapters.lock_lease import LockLease

    return LockLease(path, LEASE_S, timeout_s)


def _acquire_flock(path: Path, timeout_s: float, parents: bool) -> "filelock.BaseFileLock | _BareLock":
    try:
        import filelock
    except ImportError:
        return _BareLock(path, timeout_s)
    if not parents:
        return _BareLock(path, timeout_s)
    started = time.monotonic()
    try:
        held = filelock.FileLock(path, timeout_s, 0o600, thread_local=False, fallback_to_soft=False)
        held.acquire()
    except filelock.Timeout:
        waited_s = time.monotonic() - started
        raise TemporaryError(_in_vain(path, waited_s)) from None
    return held


def excludes_all(folder: Path) -> bool:
    """Whether locks in a folder, where there are any, hold between machines, too: by the mount options."""
    mount = network_mount(os.stat(folder).st_dev, str(folder))  # noqa: PTH116
    if mount is None:
        return True
    from hpc.core.checkup.storage import local_locks

    return not local_locks(mount)


@functools.lru_cache(maxsize=64)
def network_mount(_device: int, folder: str) -> "Mount | None":
    """The network file system that a folder lies on; None where it lies on none, or nobody knows."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return None
    if not any(f" - {kind}".encode() in mounts for kind in _NETWORK):
        return None
    from hpc.core.checkup.storage import mount_of, parse_mounts

    mount = mount_of(os.path.realpath(folder), parse_mounts(mounts.decode("utf-8", "surrogateescape")))
    return mount if mount and f"{mount.kind} ".startswith(_NETWORK) else None
