"""What git says of the code: commit, whether it was changed since, and which files belong to it."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
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


def list_code_files(folder: Path) -> list[Path] | None:
    """List the files git tracks or would track below a folder, relative to it; None outside a repository.

    Ignored files are not code; deleted ones are not there; links are left out because they may lead anywhere.
    """
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return None
    names = {Path(name) for name in listed.decode("utf-8", "surrogateescape").split("\0") if name}
    return sorted(name for name in names if (folder / name).is_file() and not (folder / name).is_symlink())
