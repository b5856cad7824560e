"""Which folder is the project: found from its subfolders, as git finds a repository.

It is the nearest folder, from the current one upward, that holds ``manifests/experiments``; the current folder where
none does. A folder above counts only if it is ours: a project's profile holds shell lines that would run as us, and
anybody may write into /tmp. The current folder is taken whoever owns it, because somebody went there.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

EXPERIMENTS = Path("manifests", "experiments")
"""What makes a folder a project."""


def find_project(start: Path, trusted: Sequence[str] = ()) -> Path:
    """Give the project that a folder belongs to; the folder itself where there is none.

    Args:
        start: Where the command was started, absolute.
        trusted: Folders of other owners that count all the same; ``*`` is all.
    """
    above = (folder for folder in start.parents if (folder / EXPERIMENTS).is_dir() and _is_ours(folder, trusted))
    return start if (start / EXPERIMENTS).is_dir() else next(above, start)


def _is_ours(folder: Path, trusted: Sequence[str]) -> bool:
    return folder.stat().st_uid == os.geteuid() or "*" in trusted or str(folder) in trusted


def runs_root(project: Path, environment: Mapping[str, str]) -> Path:
    """The folder of all runs: HPC_ROOT, else ``runs`` in the project."""
    return Path(environment.get("HPC_ROOT") or project / "runs").absolute()
