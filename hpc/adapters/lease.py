"""The files of a lease: the lease itself, its holder's signs of life, and their age by the file server's clock."""

import contextlib
import os
import secrets
import threading
from pathlib import Path

from hpc.adapters.files import make_folder, read_json_or_none, write_json
from hpc.core.errors import InputError
from hpc.core.slurm.lease import Lease


def read_lease(path: Path) -> Lease | None:
    """Read the lease; None when nobody ever took it, or its last holder gave it back.

    One that is damaged has a holder nobody knows, whose last sign of life it is itself: it may be taken once it is old.

    Raises:
        OSError: The file system has an error.
    """
    try:
        content = read_json_or_none(path)
        return Lease.from_json(content) if content and content["holder"] else None
    except (InputError, KeyError, TypeError, ValueError):
        return Lease("unknown", "an unknown host", 0, "", "", 0, heartbeat=f".{path.name}.unknown")


def read_generation(path: Path) -> int:
    """Read how many holders there were; one that was given back still counts, a damaged one does not.

    Raises:
        OSError: The file system has an error.
    """
    try:
        return int((read_json_or_none(path) or {"generation": 0})["generation"])
    except (InputError, KeyError, TypeError, ValueError):
        return 0


def write_lease(path: Path, lease: Lease) -> None:
    """Take the lease. The caller holds the experiment's lock and has seen that it may be taken."""
    beat(path.parent / lease.heartbeat)  # first: a lease without a sign of life would look silent
    write_json(path, lease.to_json())


def give_back(path: Path, lease: Lease) -> None:
    """Leave the lease free, and its generation counted; nothing when somebody else has it. Under the lock."""
    if read_lease(path) == lease:
        write_json(path, {**lease.to_json(), "holder": ""})
    with contextlib.suppress(OSError):
        (path.parent / lease.heartbeat).unlink()


def beat(path: Path) -> None:
    """Show a sign of life: the file server's clock becomes the file's time, which `os.utime` asks it for."""
    make_folder(path.parent)
    path.touch(0o600)


def silent_s(path: Path, lease: Lease) -> float:
    """Seconds since a holder's last sign of life, both times from the clock of the file server.

    Raises:
        OSError: The run folder cannot be written.
    """
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.now")
    probe.touch()
    try:
        now = probe.stat().st_mtime
    finally:
        probe.unlink()
    return now - max(last_sign(path, lease), 0.0)


def last_sign(path: Path, lease: Lease) -> float:
    """Time of a holder's last sign of life by the file server's clock: its heartbeat, or that it took the lease."""
    signs = [0.0]
    for file in (path, path.parent / lease.heartbeat):
        with contextlib.suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # opening asks the server, not a cache
            try:
                signs.append(os.fstat(descriptor).st_mtime)
            finally:
                os.close(descriptor)
    return max(signs)


class Heartbeat:
    """Shows signs of life in a thread of its own until it is left."""

    def __init__(self, path: Path, every_s: float) -> None:
        """Touch `path` every so many seconds."""
        self._path, self._every_s = path, every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=self._every_s)

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            with contextlib.suppress(OSError):  # the next beat may succeed; if none does, others take over
                beat(self._path)
