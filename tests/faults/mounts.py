"""Mounting the file system with switches."""

from __future__ import annotations

import contextlib
import ctypes.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.faults.filesystem import SWITCH, Faults
from tests.parts import REPOSITORY


class Mounted:
    """A mount, and its switches."""

    def __init__(self, backing: Path, point: Path, locks: str) -> None:
        self.point = point
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.filesystem", backing, point, locks], cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 30
        while not (point.exists() and os.path.ismount(point)):
            if time.monotonic() > end or self._process.poll() is not None:
                raise OSError(f"{point} was not mounted")
            time.sleep(0.02)

    def switch(self, faults: Faults = Faults()) -> None:  # noqa: B008  frozen
        """Have these faults from now on, and count anew; none where none are said."""
        os.setxattr(self.point, SWITCH, json.dumps(asdict(faults)).encode())

    def count(self) -> int:
        """How many calls were counted since."""
        return int(os.getxattr(self.point, SWITCH))

    def close(self) -> None:
        """Unmount, whoever is in it."""
        subprocess.run(["umount", "-l", self.point], check=False)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def can_mount() -> bool:
    """Whether this process may mount such a file system."""
    return os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK) and bool(ctypes.util.find_library("fuse3"))


@contextlib.contextmanager
def mounted(folder: Path, locks: str = "shared", mounts: int = 2) -> Iterator[list[Mounted]]:
    """Mount a new folder so many times, at ``h1``, ``h2``, …; what is shared lies in ``shared``."""
    backing = folder / "shared"
    backing.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        points = (folder / f"h{number}" for number in range(1, mounts + 1))
        yield [stack.enter_context(contextlib.closing(Mounted(backing, point, locks))) for point in points]
