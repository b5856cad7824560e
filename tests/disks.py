"""A file system of a test's own, small enough to be filled."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts import need


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount one of a size such as ``256k`` at a folder that does not exist yet; it goes in the end.

    A test that needs it is skipped where nothing may be mounted, which is for root.
    """
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    need(mounted.returncode == 0, f"root, to mount a small file system: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
