"""What git says of the code: commit, whether it was changed since, and which files belong to it."""

import hashlib
import re
import subprocess
from pathlib import Path, PurePath

from hpc.core.immutable import immutable
from hpc.core.records.project import Project


@immutable
class GitState:
    """Identity of a working tree.

    Attributes:
        commit: Full hash of HEAD; empty before the first commit.
        dirty: Whether anything differs from HEAD, files git does not track yet included.
        diff: The difference of tracked files, as a patch; the code snapshot holds the others, too.
    """

    commit: str
    dirty: bool
    diff: str

    @property
    def diff_sha256(self) -> str:
        """SHA-256 of the patch, 64 hexadecimal digits; empty when clean."""
        return hashlib.sha256(self.diff.encode("utf-8", "surrogateescape")).hexdigest() if self.diff else ""

    @property
    def changed(self) -> list[PurePath]:
        """Files in the patch, as they are called now, relative to the top of the repository."""
        return [PurePath(name) for name in re.findall(r'^diff --git "?a/.+ "?b/(.+?)"?$', self.diff, re.MULTILINE)]


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Run git in a folder; None when there is no git, no repository, or git refuses."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def read_git_state(folder: Path) -> GitState | None:
    """Read commit and difference of the repository a folder belongs to; None outside any."""
    if _git(folder, "rev-parse", "--git-dir") is None:
        return None
    commit = (_git(folder, "rev-parse", "--verify", "-q", "HEAD") or b"").decode().strip()
    diff = (_git(folder, "diff", "--no-ext-diff", "--no-color", "HEAD") or b"").decode("utf-8", "surrogateescape")
    changed = bool((_git(folder, "status", "--porcelain") or b"").strip())
    return GitState(commit, changed or not commit, diff)


def identify_project(folder: Path) -> Project:
    """Say which project a folder is, so that it is known again where it was moved or cloned to."""
    below = _git(folder, "rev-parse", "--show-prefix") or b""
    first = _git(folder, "rev-list", "--max-parents=0", "HEAD") or b""
    return Project(str(folder.resolve()), _text(below).strip("\n"), tuple(sorted(_text(first).split())))


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def list_untracked(folder: Path) -> list[Path]:
    """List the files below a folder, submodules included, that git would track and does not yet, relative to it."""
    own = _names(folder, "--others", "--exclude-standard")
    modules = [module for module in _submodules(folder) if is_checked_out(folder / module)]
    below = (module / name for module in modules for name in list_untracked(folder / module))
    return sorted({*own, *below})


def list_ignored(folder: Path) -> list[str]:
    """List what git ignores below a folder, relative to it; a folder once, if all of it is, with ``/`` at its end."""
    listed = _git(folder, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory") or b""
    return sorted(name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name)


def list_code_files(folder: Path) -> list[Path] | None:
    """List the files git tracks or would track below a folder, relative to it; None outside a repository.

    Links are listed, and submodules (repositories in it that git does not track, too) as their files; one that is not
    checked out as its folder. Ignored files are not code; deleted ones are not there.
    """
    if _git(folder, "rev-parse", "--git-dir") is None:
        return None
    names = _names(folder, "--cached", "--others", "--exclude-standard")
    found = {name for name in names if (folder / name).is_symlink() or not (folder / name).is_dir()}
    for module in _submodules(folder):
        below = list_code_files(folder / module) if is_checked_out(folder / module) else None
        found |= {module} if below is None else {module / name for name in below}
    return sorted(name for name in found if (folder / name).is_symlink() or (folder / name).exists())


def is_checked_out(module: Path) -> bool:
    """Whether a folder that git lists as one thing is a repository of its own; else git would tell of the one above."""
    return (module / ".git").exists()


def _names(folder: Path, *options: str) -> set[Path]:
    listed = _git(folder, "ls-files", "-z", *options) or b""
    return {Path(name) for name in listed.decode("utf-8", "surrogateescape").split("\0") if name}


def _submodules(folder: Path) -> list[Path]:
    """Folders git lists as one thing: submodules, and repositories inside this one."""
    names = _names(folder, "--cached", "--others", "--exclude-standard")
    return sorted(name for name in names if (folder / name).is_dir() and not (folder / name).is_symlink())
