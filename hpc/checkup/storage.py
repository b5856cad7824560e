"""Look at the folder of the runs: what its file system does, what room is left."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from hpc.adapters import shared_disk, slurm_client, slurm_site
from hpc.checkup.bounded import Begin
from hpc.checkup.examined import Examined
from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.storage import (
    judge_access,
    judge_file_times,
    judge_flock,
    judge_hdf5,
    judge_inodes,
    judge_mount_options,
    judge_names,
    judge_quota,
    judge_shared,
    judge_space,
    judge_working,
    judge_writable,
)

HOSTS_S = slurm_client.QUICK_S + 5
Try = Callable[[Path], str]
WORKING: tuple[tuple[str, Try, Severity, str], ...] = (
    ("rename", shared_disk.try_rename, Severity.BLOCKING, ""),
    ("exclusive create", shared_disk.try_exclusive, Severity.BLOCKING, ""),
    ("hard links", shared_disk.try_hard_link, Severity.WARNING,
     "images are then taken under their own name: build no new one over an image that queued tasks use"),
    ("fcntl locks", shared_disk.try_fcntl, Severity.WARNING, "export HDF5_USE_FILE_LOCKING=FALSE"),
)  # fmt: skip
"""Check → the experiment, how bad its failure is, how to mend it; empty mends by another place."""


def look_at_storage(examined: Examined) -> Iterator[Begin | Check]:
    """Make the checks of the folder of the runs; where it is not there yet, of the one it will be made in."""
    root = examined.workspace.root
    yield Begin("writable")
    home = shared_disk.nearest_folder(root)
    problem = _write_problem(home)
    yield judge_writable(str(root), problem)
    found = home.stat()
    wants_group = examined.profile.group_access == "read"
    yield judge_access(str(home), found.st_uid, os.geteuid(), found.st_mode, wants_group)
    yield Begin("shared", HOSTS_S)
    mount = shared_disk.mount_at(home)
    others = None if examined.is_local else _other_hosts(examined.profile.partition)
    yield judge_shared(str(home), mount, others, examined.profile.name)
    yield Begin("mount options")
    yield judge_mount_options(mount)
    yield Begin("space")
    yield judge_space(shared_disk.free_mib(home), str(home), examined.needs)
    yield judge_inodes(shared_disk.free_files(home), str(home), examined.needs)
    yield Begin("quota", 2 * shared_disk.QUOTA_S + 5)
    yield judge_quota(shared_disk.read_quotas(mount), mount, examined.needs)
    if problem:
        return
    with shared_disk.folder_in(home) as folder:
        for name, attempt, severity, mend in WORKING:
            yield Begin(name)
            yield judge_working(name, attempt(folder), mend, severity)
        yield Begin("flock")
        yield judge_flock(shared_disk.try_flock(folder), mount, bool(others))
        yield Begin("file times")
        yield judge_file_times(shared_disk.measure_skew(folder))
        yield Begin("file names")
        yield judge_names(shared_disk.try_names(folder), shared_disk.folds_case(folder))


def _write_problem(home: Path) -> str:
    try:
        with shared_disk.folder_in(home) as folder:
            return shared_disk.try_write(folder)
    except OSError as error:
        return shared_disk.said(error)


def _other_hosts(partition: str) -> list[str]:
    """Nodes of a partition that are not this machine."""
    here = {socket.gethostname(), socket.gethostname().partition(".")[0], "localhost"}
    return [host for host in slurm_site.ask_hosts(partition.partition(",")[0]) if host not in here]


def look_at_hdf5(examined: Examined) -> Iterator[Begin | Check]:
    """Open a file for writing as metrics are: HDF5 locks it, and may refuse where there are no locks.

    A subject of its own, because HDF5 may end its process.
    """
    yield Begin("HDF5 locks", 15)
    try:
        with shared_disk.folder_in(shared_disk.nearest_folder(examined.workspace.root)) as folder:
            yield judge_hdf5(_open_with_hdf5(folder / "locks.h5"))
    except OSError as error:  # which "writable" says already
        yield Check("HDF5 locks", f"not tried: {shared_disk.said(error)}", "", "", Severity.NOTE)


def _open_with_hdf5(path: Path) -> str:
    """Why HDF5 does not open a file for writing; empty where it does."""
    import h5py

    try:
        for mode in ("w", "a", "r"):
            with h5py.File(path, mode) as file:
                if mode == "w":
                    file["x"] = 1
    except OSError as error:
        return " ".join(str(error).split())[:160]
    return ""
