"""The files of a lease: the lease itself, its holder's signs of life, and their age by the file server's clock."""

import contextlib
import os
import secrets
import threading
from pathlib import Path

from hpc.adapters.files import read_json_or_none, write_json
from hpc.core.lease import Lease


def read_lease(path: Path) -> Lease | None:
    """Read the lease; None when nobody ever took it, or its last holder gave it back."""
    content = read_json_or_none(path)
    return Lease.from_json(content) if content and content["holder"] else None


def read_generation(path: Path) -> int:
    """Read how many holders there were; a lease that was given back still counts."""
    return int((read_json_or_none(path) or {"generation": 0})["generation"])


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
    """Give a sign of life: the file server's clock becomes the file's time, which `os.utime` asks it for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


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
        with contextlib.suppress(OSError), file.open("rb") as opened:  # opening asks the server, not a cache
            signs.append(os.fstat(opened.fileno()).st_mtime)
    return max(signs)


class Heartbeat:
    """Gives signs of life in a thread of its own until it is left."""

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
