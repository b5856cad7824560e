"""A file system with switches: passes everything on to a folder, and fails, lags or forgets as it is told.

python -m tests.faults.filesystem BACKING MOUNTPOINT LOCKS

Each mount is a host of its own, with a memory of its own, and BACKING is what they share. LOCKS: ``shared`` between
mounts, ``own`` to each, or ``none`` (ENOLCK). The other switches are those of `Faults`; a mount takes them as the
extended attribute ``user.faults`` of its root, in JSON, and forgets what it counted.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import mfusepy

SWITCH = "user.faults"
CHANGES = ("create", "mkdir", "write", "fsync", "rename", "link", "symlink", "unlink", "rmdir", "truncate", "chmod")
Entry = tuple[str, dict[str, int], int]
NEED_ROOM = ("create", "mkdir", "write", "symlink")
"""What a full disk refuses."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong.

    Attributes:
        late_s: For how long a name is believed absent, and a listing or an inode right, that was asked for once.
        asks: Whether opening a folder ends that belief for what is in it, as on NFS.
        stale: Whether files that another mount replaced are ESTALE.
        slow_s: How long each call takes that is about names.
        calls: Which calls the following is about.
        at: The how-manieth of them it hits, from 1; 0 for none.
        lasting: Whether it hits all later ones, too.
        errno: What it fails with; 0 for not at all.
        short: Whether a write takes half of what it was given.
        hang_s: How long it takes first.
        log: A file outside that each of them is written to.
    """

    late_s: float = 0.0
    asks: bool = True
    stale: bool = False
    slow_s: float = 0.0
    calls: tuple[str, ...] = ()
    at: int = 0
    lasting: bool = False
    errno: int = 0
    short: bool = False
    hang_s: float = 0.0
    log: str = ""


@dataclass
class Handle:
    """An open file: how much of it was synced, which is all that is left when a sync fails."""

    descriptor: int
    synced: int
    is_new: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class FileSystem(mfusepy.Operations):  # type: ignore[misc]
    """Passes calls on to a folder."""

    use_ns = True

    def __init__(self, backing: str) -> None:
        self._root, self._faults, self._count = backing, Faults(), 0
        self._guard = threading.Lock()
        self._absent: dict[str, float] = {}
        self._known: dict[str, tuple[int, float]] = {}
        self._listed: dict[str, tuple[float, list[Entry]]] = {}
        self._open: dict[int, Handle] = {}

    # --- what goes wrong

    def _meets(self, call: str, path: str) -> bool:
        """Count a call, and fail or wait where it is the one; whether it is to do half of its work."""
        faults = self._faults
        if call not in faults.calls:
            return False
        with self._guard:
            self._count += 1
            number = self._count
            if faults.log:
                with open(faults.log, "a", encoding="utf-8") as log:  # noqa: PTH123
                    log.write(f"{call} {path}\n")
        if not faults.at or number < faults.at or (number > faults.at and not faults.lasting):
            return False
        time.sleep(faults.hang_s)
        if faults.errno:
            raise OSError(faults.errno, os.strerror(faults.errno))
        return faults.short

    def _seen(self, path: str) -> str:
        """Where a path is in the folder behind, unless this mount believes that there is nothing.

        Raises:
            OSError: It believes so, or it is so, which it will believe for a while.
        """
        real, now = self._root + path, time.monotonic()
        time.sleep(self._faults.slow_s)
        if not self._faults.late_s:
            return real
        if now - self._absent.get(path, -1e9) < self._faults.late_s:
            _fail(errno.ENOENT)
        try:
            inode = os.lstat(real).st_ino
        except FileNotFoundError:
            self._absent[path] = now
            raise
        self._absent.pop(path, None)
        self._known.setdefault(path, (inode, now))
        return real

    def _changed(self, *paths: str) -> None:
        """Know what one has done oneself."""
        for path in paths:
            self._absent.pop(path, None)
            self._known.pop(path, None)
            self._listed.pop(os.path.dirname(path), None)  # noqa: PTH120

    def _is_stale(self, path: str) -> bool:
        """Whether a file is opened by what was known of it, and another mount has replaced it since."""
        inode, since = self._known.get(path, (0, 0.0))
        if not (self._faults.stale and inode) or time.monotonic() - since > self._faults.late_s:
            self._known.pop(path, None)
            return False
        return os.lstat(self._root + path).st_ino != inode

    # --- names

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.fstat(self._open[fh].descriptor) if fh in self._open else os.lstat(self._seen(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")
        times = {f"st_{each}time": getattr(found, f"st_{each}time_ns") for each in "amc"}
        return {name: getattr(found, name) for name in names} | times

    def opendir(self, path: str) -> int:
        if self._faults.asks:
            for memory in (self._absent, self._known):
                for each in [each for each in memory if os.path.dirname(each) == path]:  # noqa: PTH120
                    memory.pop(each, None)
            self._listed.pop(path, None)
        return 0

    def readdir(self, path: str, fh: int) -> list[Entry]:  # noqa: ARG002
        since, entries = self._listed.get(path, (-1e9, []))
        if time.monotonic() - since > self._faults.late_s:
            with os.scandir(self._seen(path)) as found:
                entries = [(each.name, {"st_ino": each.inode()}, 0) for each in found]
            self._listed[path] = (time.monotonic(), entries)
        return [(each, {"st_ino": 1}, 0) for each in (".", "..")] + entries

    def readlink(self, path: str) -> str:
        return os.readlink(self._seen(path))  # noqa: PTH115

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._root + path)
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    def _do(self, call: str, act: Callable[..., object], *paths: str) -> int:
        self._meets(call, paths[-1])
        time.sleep(self._faults.slow_s)
        act(*(self._root + path for path in paths))
        self._changed(*paths)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        return self._do("mkdir", lambda real: os.mkdir(real, mode), path)  # noqa: PTH102

    def rmdir(self, path: str) -> int:
        return self._do("rmdir", os.rmdir, path)

    def unlink(self, path: str) -> int:
        return self._do("unlink", os.unlink, path)

    def rename(self, old: str, new: str) -> int:
        return self._do("rename", os.rename, old, new)

    def link(self, target: str, source: str) -> int:
        return self._do("link", os.link, source, target)

    def symlink(self, target: str, source: str) -> int:
        return self._do("symlink", lambda real: os.symlink(source, real), target)  # noqa: PTH211

    def chmod(self, path: str, mode: int) -> int:
        return self._do("chmod", lambda real: os.chmod(real, mode), path)  # noqa: PTH101

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.lchown(self._root + path, uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        now = time.time_ns()
        os.utime(self._root + path, ns=times or (now, now), follow_symlinks=False)
        return 0

    # --- what is in files

    def create(self, path: str, mode: int, flags: int) -> int:
        self._meets("create", path)
        time.sleep(self._faults.slow_s)
        handle = self._opened(path, flags | os.O_CREAT, mode)
        self._changed(path)
        return handle

    def open(self, path: str, flags: int) -> int:
        if self._is_stale(path):
            _fail(errno.ESTALE)
        return self._opened(path, flags)

    def _opened(self, path: str, flags: int, mode: int = 0o600) -> int:
        # The kernel says where each write goes; to read what a page lacks it needs to read, too.
        access = os.O_RDONLY if flags & os.O_ACCMODE == os.O_RDONLY else os.O_RDWR
        kept = flags & (os.O_CREAT | os.O_EXCL | os.O_TRUNC)
        descriptor = os.open(self._root + path, access | kept | os.O_CLOEXEC, mode)
        self._open[descriptor] = Handle(descriptor, os.fstat(descriptor).st_size)
        return descriptor

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        if self._faults.stale and not os.fstat(fh).st_nlink:  # our own were given another name, as on NFS
            _fail(errno.ESTALE)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        half = self._meets("write", path)
        return os.pwrite(fh, data[: max(1, len(data) // 2)] if half else data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:  # noqa: ARG002
        handle = self._open[fh]
        try:
            self._meets("fsync", path)
        except OSError:  # told once: what was not synced is gone, and the next one succeeds
            os.ftruncate(fh, min(handle.synced, os.fstat(fh).st_size))
            raise
        handle.synced = os.fstat(fh).st_size
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._meets("truncate", path)
        os.truncate(self._root + path if fh not in self._open else fh, length)
        if fh in self._open:
            self._open[fh].synced = min(self._open[fh].synced, length)
        return 0

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002
        self._open.pop(fh, None)
        os.close(fh)
        return 0

    # --- switches

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:  # noqa: ARG002
        if name != SWITCH:
            _fail(errno.ENOTSUP)
        self._faults, self._count = Faults(**json.loads(value)), 0
        for memory in (self._absent, self._known, self._listed):
            memory.clear()
        return 0

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:  # noqa: ARG002
        if name != SWITCH:
            _fail(errno.ENODATA)
        return str(self._count).encode()


class WithLocks(FileSystem):
    """Locks that hold between mounts."""

    def flock(self, path: str, fh: int, op: int) -> int:  # noqa: ARG002
        fcntl.flock(fh, op)
        return 0


class WithoutLocks(FileSystem):
    """ENOLCK for every kind of lock."""

    def flock(self, path: str, fh: int, op: int) -> int:  # noqa: ARG002
        _fail(errno.ENOLCK)

    def lock(self, path: str, fh: int, cmd: int, lock: Any) -> int:  # noqa: ARG002
        _fail(errno.ENOLCK)


LOCKS = {"shared": WithLocks, "own": FileSystem, "none": WithoutLocks}


class Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """Refuses to exchange names, as NFS does; the library would do something else."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        """Rename, where nothing special is asked for."""
        return -errno.EINVAL if flags else int(self.rename_fuse_2(old, new))


def _fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


def main() -> None:
    """Serve until it is unmounted."""
    backing, mountpoint, locks = sys.argv[1:]
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG: not longer than whoever mounted it
    os.umask(0)
    Path(mountpoint).mkdir(exist_ok=True)
    # The locks of sshfs hold on one machine only, those of GlusterFS everywhere; that is how they are told apart.
    Fuse(
        LOCKS[locks](backing), mountpoint, foreground=True, use_ino=True, entry_timeout=0, negative_timeout=0,
        attr_timeout=0, max_threads=10,
        subtype="sshfs" if locks == "own" else "glusterfs", fsname="faults",
    )  # fmt: skip


if __name__ == "__main__":
    main()
