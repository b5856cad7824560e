"""A run of the experiment log that was recorded by its command: how it is started again, and what is lost."""

import shlex
from collections.abc import Iterator

from hpc.adapters.git import read_git_state
from hpc.core.history.command import MASKED
from hpc.core.history.entries import Entry
from hpc.logbook.book import Book
from hpc.workspace import Workspace


def find_entry(workspace: Workspace, name: str) -> Entry | None:
    """The entry of a run that was recorded by its command; None where the log has none of that name."""
    book = Book(workspace)
    if not book.files.events.exists():
        return None
    entry = book.read().find(name)
    return entry if entry is not None and not entry.experiment else None


def what_is_kept(workspace: Workspace, entry: Entry) -> tuple[str, ...]:
    """Say what of a run is not known, or not as it was, one sentence each."""
    return tuple(_lost(workspace, entry))


def _lost(workspace: Workspace, entry: Entry) -> Iterator[str]:
    commit = entry.commit.rstrip("+")
    if not commit:
        yield "the commit is not known: the run was recorded outside git, or before the first commit"
    if entry.commit.endswith("+"):
        yield "files had changed since that commit, and the changes were not kept"
    if MASKED in entry.command:
        yield f"a key or password in the command was not kept, and appears as {MASKED}"
    state = read_git_state(workspace.project)
    if commit and state is None:
        yield "this folder is outside git"
    elif commit and state and state.commit != commit:
        yield f"this folder is at commit {state.commit[:12]}, and the run at {commit[:12]}"
    if state and state.dirty:
        yield "this folder has uncommitted changes"
    yield "data, packages and machine were not recorded"


def next_lines(entry: Entry) -> tuple[str, ...]:
    """The lines that start it again: the commit in a folder of its own, then its command."""
    commit = entry.commit.rstrip("+")
    if not commit:
        return (entry.command,)
    folder = shlex.quote(f"../{entry.name}")
    return (f"git worktree add --detach {folder} {commit[:12]} && cd {folder}", entry.command)
