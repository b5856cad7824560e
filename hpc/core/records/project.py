"""Whose experiment a manifest holds: two repositories may call theirs alike and share one folder of runs."""

from hpc.core.immutable import immutable
from hpc.core.records.record import Record


@immutable
class Project(Record):
    """The repository an experiment was planned in.

    Attributes:
        folder: The project's folder, links resolved.
        below: Where in its repository that is, such as ``studies/lora/``; empty at its top, and outside git.
        first_commits: Hashes of the commits its history begins with; none outside git and before the first commit.
    """

    folder: str
    below: str = ""
    first_commits: tuple[str, ...] = ()

    def is_same(self, other: "Project") -> bool:
        """Whether both are one project: at the same place, or clones of one history (moved, or side by side)."""
        is_clone = bool(set(self.first_commits) & set(other.first_commits)) and self.below == other.below
        return self.folder == other.folder or is_clone
