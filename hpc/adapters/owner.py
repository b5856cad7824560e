"""Whose a run is. Acting on somebody else's would run what they wrote there as us: refused, as git refuses it."""

import os
import pwd
import shlex
from collections.abc import Sequence
from pathlib import Path

from hpc.adapters.files import group_reads
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout

TRUSTED = "HPC_SAFE_DIRECTORY"
"""Environment variable: run folders of other owners that may be acted upon, joined by ``:``; ``*`` is all."""


def refuse_foreign(layout: RunLayout, trusted: Sequence[str], *, acts: bool) -> None:
    """Raise InputError for runs of somebody else, unless they are trusted, or open to the group and only looked at.

    Args:
        trusted: Paths of run folders, or ``*``.
        acts: Whether something of the run will be written or started.
    """
    found = foreign_part(layout)
    if found is None or is_trusted(layout.home, trusted):
        return
    if not acts and group_reads(layout.home):
        return
    home = shlex.quote(str(layout.home))
    look = "; you may look: status, collect and report take it" if group_reads(layout.home) else ""
    raise InputError(
        f"{found} belongs to {user_name(found.stat().st_uid)}, and you are {user_name(os.geteuid())}: its contents "
        f"would run as you{look}. Plan your own runs below another HPC_ROOT, or, if you trust this one: "
        f"export {TRUSTED}={home}"
    )


def refuse_foreign_file(path: Path) -> None:
    """Raise InputError where a file that is about to run as us is somebody else's; root may do as root likes anyway."""
    if path.exists() and (owner := path.stat().st_uid) not in (os.geteuid(), 0):
        raise InputError(
            f"{path} belongs to {user_name(owner)}, and would run as {user_name(os.geteuid())}: copy it, or go to a "
            "folder of your own"
        )


def foreign_part(layout: RunLayout) -> Path | None:
    """The first of a run's folder and what lies right in it that is not ours; None where all is."""
    if not layout.home.exists():
        return None
    parts = (
        layout.home,
        layout.manifest,
        layout.manifests,
        layout.code,
        layout.toolkit,
        layout.submissions,
        layout.tasks,
    )
    return next((part for part in parts if part.exists() and part.stat().st_uid != os.geteuid()), None)


def is_trusted(home: Path, trusted: Sequence[str]) -> bool:
    """Whether a run's folder is among the trusted ones."""
    return "*" in trusted or str(home.absolute()) in {str(Path(each).absolute()) for each in trusted if each}


def owner_in_slurm(layout: RunLayout) -> str:
    """The user whose jobs a run's are, as Slurm's clients take it; empty for ourselves."""
    uid = layout.home.stat().st_uid
    return "" if uid == os.geteuid() else str(uid)


def user_name(uid: int) -> str:
    """A user as people call them, with the number; the number alone where it has no name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
