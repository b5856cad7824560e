"""What two hosts do at once, each with a mount of its own that fails, lags or forgets: by the project's own functions.

    python -m tests.faults.suite FOLDER FILE [MOUNT …]      what each of `MOUNTS` came to, written as JSON

The parts are those of the real NFS (`tests.nfs.suite`).
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.faults.filesystem import Faults
from tests.faults.mounts import Mounted, mounted
from tests.nfs.hosts import Host
from tests.nfs.suite import Lab, at_once

NFS_LIKE = Faults(late_s=3, stale=True, slow_s=0.002)
MOUNTS = {
    "late": ("shared", NFS_LIKE),
    "own-locks": ("own", NFS_LIKE),
    "no-locks": ("none", NFS_LIKE),
    "deaf": ("shared", Faults(late_s=3, stale=True, asks=False)),
}
SOUND = ("late", "own-locks", "no-locks")
"""Where all has to hold; a mount that is deaf does not even ask where it is told to."""
AS_A_HOST = 'hostname "h$1" && mount --bind "$2" "$3" && shift 3 && exec "$@"'


@contextlib.contextmanager
def two_hosts(folder: Path, mounts: list[Mounted]) -> Iterator[Lab]:
    """Two hosts that have their mounts at the same place, ``at`` in a folder."""
    at = folder / "at"
    at.mkdir()
    start = ["unshare", "--mount", "--uts", "sh", "-c", AS_A_HOST, "sh"]
    run_it = [str(at), sys.executable, "-m", "tests.nfs.host"]
    hosts = [Host(number, [*start, str(number), str(each.point), *run_it]) for number, each in enumerate(mounts, 1)]
    try:
        yield Lab(*hosts)
    finally:
        for host in hosts:
            host.close()


def run(folder: Path, name: str) -> dict[str, Any]:
    """Run everything on one kind of mount."""
    locks, faults = MOUNTS[name]
    folder.mkdir()
    with mounted(folder, locks) as mounts, two_hosts(folder, mounts) as lab:
        for mount in mounts:
            mount.switch(faults)
        base = f"{folder}/at/{time.monotonic_ns()}"
        lab.first.run("make", base)
        at_once(lab, base)
        return lab.found


def main() -> None:
    """Run all of them beside each other, and write down what was found."""
    folder, out, *names = sys.argv[1:]
    names = names or list(MOUNTS)
    with ThreadPoolExecutor(len(names)) as pool:
        found = pool.map(lambda name: run(Path(folder) / name, name), names)
        Path(out).write_text(json.dumps(dict(zip(names, found, strict=True)), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
