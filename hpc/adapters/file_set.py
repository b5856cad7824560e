"""Files that belong together are replaced together: all of them, or none.

    with replacing(folder) as prepared:
        write_text(prepared / "a.txt", …)
        write_text(prepared / "b.txt", …)

What stands in their place and is no file is set aside as ``….unusable``. They are prepared in a folder of their own.
Renaming that folder is the decision: before it the old files are untouched, whatever happens; after it the new ones
take their places one by one, and whoever is killed over that leaves it to the next caller. Readers take no lock: they
may see both for a moment, which files that name each other can tell.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from hpc.adapters.files import make_folder, sync_folder
from hpc.adapters.locks import lock

_DECIDED = ".decided"
"""A complete new set whose files are about to take their places."""
_PREPARED = ".prepared-"


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a folder to write new files into; when the block ends they replace those of the same names.

    One caller at a time: others wait for it.

    Raises:
        OSError: The disk is full or the folder not writable; all old files are as they were.
        TemporaryError: Somebody else was at it for a minute.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        _set_aside(folder)
    make_folder(folder)
    with lock(folder / ".lock"):
        settle(folder)
        for left_over in folder.glob(f"{_PREPARED}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        prepared = folder / f"{_PREPARED}{secrets.token_hex(4)}"
        make_folder(prepared)
        try:
            yield prepared
            sync_folder(prepared)
            prepared.rename(folder / _DECIDED)
        except BaseException:
            shutil.rmtree(prepared, ignore_errors=True)
            raise
        sync_folder(folder)
        settle(folder)


def settle(folder: Path) -> None:
    """Let the files of a set that was decided upon take their places; the caller holds the lock."""
    decided = folder / _DECIDED
    if not decided.is_dir():
        return
    for path in sorted(decided.iterdir()):
        target = folder / path.name
        if target.is_dir() and not target.is_symlink():  # nobody's file of ours
            _set_aside(target)
        os.replace(path, target)
    decided.rmdir()
    sync_folder(folder)


def _set_aside(path: Path) -> None:
    """Move what stands where a file or folder of ours belongs to a name that is free, and lose nothing."""
    path.rename(path.with_name(f"{path.name}.{secrets.token_hex(4)}.unusable"))
