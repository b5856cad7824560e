"""Which folder is the project: found from its subfolders, as git finds a repository.

It is the nearest folder, from the current one upward, that holds ``manifests/experiments``; the current folder where
none does. A folder above counts only if it is ours: a project's profile holds shell lines that would run as us, and
anybody may write into /tmp. The current folder is taken whoever owns it, because somebody went there.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpc.core.errors import InputError

EXPERIMENTS = Path("manifests", "experiments")
"""What makes a folder a project."""


def find_project(start: Path, trusted: Sequence[str] = ()) -> Path:
    """Return the project that a folder belongs to; the folder itself where there is none.

    Args:
        start: Where the command was started, absolute.
        trusted: Folders of other owners that count all the same; ``*`` is all.
    """
    above = (folder for folder in start.parents if (folder / EXPERIMENTS).is_dir() and _is_ours(folder, trusted))
    return start if (start / EXPERIMENTS).is_dir() else next(above, start)


def _is_ours(folder: Path, trusted: Sequence[str]) -> bool:
    return folder.stat().st_uid == os.geteuid() or "*" in trusted or str(folder) in trusted


def runs_root(project: Path, environment: Mapping[str, str]) -> Path:
    """The folder of all runs: HPC_ROOT, else ``runs`` in the project; it may not be there yet.

    Raises:
        InputError: It, or what it would lie in, is no folder.
    """
    asked = environment.get("HPC_ROOT")
    root = Path(asked or project / "runs").expanduser().absolute()  # a quoted ~ would be a folder of that name
    check_root(root, "HPC_ROOT" if asked else "the folder of the runs")
    return root


def check_root(root: Path, called: str) -> None:
    """Refuse a folder of runs that can be none: a file, a device, something below one.

    Args:
        called: Who says it, for the message.

    Raises:
        InputError: It cannot.
    """
    found = next((each for each in (root, *root.parents) if os.path.lexists(each)), root)
    if os.path.lexists(found) and not found.is_dir():
        what = ", which" if found == root else f", and {found}"
        raise InputError(
            f"{called} is {root}{what} is not a folder. Name one; it is created if it does not exist: "
            "export HPC_ROOT=$HOME/runs"
        )
