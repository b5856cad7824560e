"""The template index of an experiment: ``collected/siblings.json``, which may be deleted and is made again."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from hpc.adapters.files import make_folder, read_json, write_json
from hpc.core.errors import InputError
from hpc.core.failures.siblings import Kind, Siblings
from hpc.core.layout import RunLayout

SCHEMA = 1
"""Of the file and of how lines become templates: an index of another one is made again."""


def read_siblings(layout: RunLayout) -> Siblings:
    """Return the index; an empty one where there is none, or none that can be read."""
    try:
        status = layout.siblings.stat()
    except OSError:
        return Siblings()
    return _read(layout.siblings, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=4)
def _read(path: Path, *_version: int) -> Siblings:
    try:
        content = read_json(path)
        return _parse(content) if content["schema"] == SCHEMA else Siblings()
    except (InputError, OSError, TypeError, ValueError, KeyError, AttributeError):
        return Siblings()


def _parse(content: Any) -> Siblings:
    return Siblings(
        counts={str(key): (int(finished), int(failed)) for key, (finished, failed) in content["counts"].items()},
        runs={str(run): Kind(kind) for run, kind in content["runs"].items()},
        suspects={str(run): tuple(map(str, keys)) for run, keys in content["suspects"].items()},
        dropped=int(content["dropped"]),
    )


def write_siblings(layout: RunLayout, siblings: Siblings) -> None:
    """Replace the index.

    Raises:
        OSError: The disk is full or the folder not writable.
    """
    make_folder(layout.collected)
    content = {
        "schema": SCHEMA,
        "dropped": siblings.dropped,
        "runs": dict(siblings.runs),
        "suspects": {run: list(keys) for run, keys in siblings.suspects.items()},
        "counts": {key: list(count) for key, count in siblings.counts.items()},
    }
    write_json(layout.siblings, content)
