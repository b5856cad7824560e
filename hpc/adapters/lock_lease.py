"""A lock for file systems that have none, or only ones between the processes of one machine: a file with a heartbeat.

Whoever links the file to its name has it. It is the next one's when its holder is known to be dead (here), or has not
touched it for `duration_s` seconds of the *waiter's* clock (elsewhere). Works where names, links and renames are all
that hosts share, as on NFS: a lease is read by opening it, which asks the server and no cache, and it is taken over by
a rename. Standard library only.

A lease is a hint and no proof: a holder that was stopped for longer and goes on may overlap with its successor.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hpc.adapters import proc
from hpc.core.errors import TemporaryError

_GONE = (errno.ENOENT, errno.ESTALE)
_POLL_S = 0.05
_TORN = "torn"
"""Holder of a lease that cannot be read: it is judged by its age alone."""


class LockLease:
    """A lease that this process has until it lets go of it."""

    def __init__(self, path: Path, duration_s: float, timeout_s: float) -> None:
        """Take it.

        Args:
            path: What is locked, in a folder that is there; the lease is ``PATH.lease``.
            duration_s: Seconds without a sign of life after which a holder elsewhere has lost it; the same for all.
            timeout_s: How long to wait for somebody who lives; at least two durations, or a dead one would be waited
                for in vain.

        Raises:
            TemporaryError: Somebody else had it all the time.
            OSError: The file system has an error.
        """
        self._path, self._duration_s = path.with_name(path.name + ".lease"), duration_s
        self._token = os.urandom(8).hex()
        self._seen: tuple[object, float] = (None, 0.0)
        waited_s = max(timeout_s, 2 * duration_s)
        end = time.monotonic() + waited_s
        with self._own_file() as own:
            while not (self._link(own) or self._take_over(own)):
                if time.monotonic() > end:
                    raise TemporaryError(f"{path} is held by another process; waited {waited_s:.3g} s. Try again later")
                time.sleep(_POLL_S)
        self._end = threading.Event()
        self._owner = os.getpid()
        threading.Thread(target=self._beat, name="lease", daemon=True).start()

    def release(self) -> None:
        """Let go of it; nothing happens where somebody else has it by now, or in a process that was forked with it."""
        if os.getpid() != self._owner:
            return
        self._end.set()
        with contextlib.suppress(OSError):
            if _token_in(_read(self._path)) == self._token:
                self._path.unlink()

    @contextlib.contextmanager
    def _own_file(self) -> Iterator[Path]:
        """Write who we are into a file of our own, which becomes the lease by a second name."""
        own = self._path.with_name(f".{self._path.name}.{self._token}")
        said = {
            "token": self._token,
            "host": proc.this_host(),
            "process": proc.identity(os.getpid()),
            "space": _space(),
        }
        text = "".join(f"{name}={value}\n" for name, value in said.items())
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            yield own
        finally:
            own.unlink(missing_ok=True)

    def _link(self, own: Path) -> bool:
        """Take a lease that nobody has."""
        with contextlib.suppress(FileExistsError):
            os.link(own, self._path)
        # What the call says is not enough: an answer that got lost is asked for again, and then the name is there.
        return _token_in(_read(self._path)) == self._token

    def _take_over(self, own: Path) -> bool:
        """Take a lease whose holder is dead or silent.

        Of several that judge so one is first: the one that makes the name for this holder's successor. Should it die
        over that, the name gets as old as the lease itself, and the next number counts.
        """
        found = _read(self._path)
        if not found or not self._is_over(found):
            return False
        token = _token_in(found)
        number = len(list(self._path.parent.glob(f".{self._path.name}.{token}.after-*"))) + 1
        claimed = self._path.with_name(f".{self._path.name}.{token}.after-{number}")
        self._seen = (None, 0.0)  # who was later waits for as long again
        try:
            os.link(own, claimed)
        except FileExistsError:
            return False
        if _token_in(_read(self._path)) != token:
            claimed.unlink(missing_ok=True)
            return False
        os.replace(claimed, self._path)
        for left in self._path.parent.glob(f".{self._path.name}.{token}.after-*"):
            left.unlink(missing_ok=True)
        return True

    def _is_over(self, found: tuple[dict[str, str], object]) -> bool:
        """Whether a lease's holder is known to be dead, or nothing was heard of it for long enough."""
        said, sign = found
        process = said.get("process", "")
        if process and (said.get("host"), said.get("space")) == (proc.this_host(), _space()):
            return not proc.lives(process)
        if self._seen[0] != sign:
            self._seen = (sign, time.monotonic())
        return time.monotonic() - self._seen[1] >= self._duration_s

    def _beat(self) -> None:
        """Show a sign of life three times a duration, as long as the lease is ours."""
        while not self._end.wait(self._duration_s / 3):
            with contextlib.suppress(OSError):  # the next beat may succeed; if none does, others take over
                if _token_in(_read(self._path)) != self._token:
                    return
                os.utime(self._path)


def _read(path: Path) -> tuple[dict[str, str], object] | None:
    """What a lease says, and what changes with each sign of life; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening asks the server, not a cache
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    try:
        text = os.read(descriptor, 4096).decode("utf-8", "replace")
        found = os.fstat(descriptor)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    finally:
        os.close(descriptor)
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return said, (said.get("token"), found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _space() -> str:
    """Of which numbers the process numbers here are; empty where nobody can tell. Containers may have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _token_in(found: tuple[dict[str, str], object] | None) -> str:
    """The holder of a lease; empty where nobody has it."""
    return found[0].get("token", _TORN) if found else ""
