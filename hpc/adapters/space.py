"""What a folder takes on the disk."""

import os
from pathlib import Path


def size_of(folder: Path) -> tuple[float, int]:
    """What a folder holds: MiB on the disk, and how many files and folders; what cannot be looked at does not count."""
    blocks, count = 0, 0
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            try:
                blocks += os.lstat(os.path.join(where, name)).st_blocks  # noqa: PTH118  thousands of names
                count += 1
            except OSError:
                continue
    return blocks * 512 / 2**20, count
