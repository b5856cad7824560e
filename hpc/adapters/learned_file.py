"""Writing down which micro-batches fit: several may learn at once, on the login node and on compute nodes.

Standard library at import: the probe on the compute node uses it.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json_or_none, read_record_or_none, write_json
from hpc.adapters.locks import lock
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.retry.learned import NOTHING_KNOWN, Known, Learned, Observation, learn

ADJUSTMENT = ("step", "old_micro_batch", "new_micro_batch", "new_accumulation")
"""What a program has to say of each change of the micro-batch that it made itself."""


def adjustments(attempt: AttemptLayout) -> list[Mapping[str, Any]]:
    """Changes of the micro-batch that a program made itself while it ran (``adjustments.json``), oldest first."""
    try:
        content = read_json_or_none(attempt.adjustments) or {}
        return [
            change
            for change in content.get("adjustments", ())
            if all(type(change.get(key)) is int and change[key] >= 0 for key in ADJUSTMENT)
        ]
    except (InputError, TypeError, AttributeError):  # the program's own file, written as it pleases
        return []


def read_known(layout: RunLayout) -> Known:
    """Read what is known of an experiment's shapes; a file that cannot be read helps nobody (`remember` keeps it)."""
    with contextlib.suppress(InputError):
        found = read_record_or_none(layout.learned, Learned)
        return found.to_json() if found else NOTHING_KNOWN
    return NOTHING_KNOWN


def remember(layout: RunLayout, observations: Iterable[Observation]) -> None:
    """Add observations to ``learned.json``; nothing that somebody else learned meanwhile is lost.

    A file that cannot be read is moved aside first: it is somebody's to look at.

    Raises:
        TemporaryError: Another process held it for a minute.
    """
    with lock(layout.home / ".learned.lock"):
        known = read_known(layout)
        more = learn(known, observations)
        if more is not known:
            _keep_unreadable(layout.learned)
            write_json(layout.learned, more)


def _keep_unreadable(path: Path) -> None:
    try:
        read_record_or_none(path, Learned)
    except InputError:
        os.replace(path, f"{path}.unusable")
