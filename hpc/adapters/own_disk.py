"""Whether a folder lies on a disk of this machine: there it costs nothing extra to ask for many files one by one."""

import os
from functools import lru_cache

from hpc.core.checkup.storage import mount_of, parse_mounts

_OWN = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay"})


@lru_cache(maxsize=64)
def is_own_disk(folder: str) -> bool:
    """Whether this machine alone writes into a folder, by the kind of its mount; no for a kind not named here."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            mount = mount_of(os.path.realpath(folder), parse_mounts(file.read()))
    except OSError:
        return False
    return mount is not None and mount.kind in _OWN
