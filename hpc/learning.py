"""Writing down which micro-batches fit: several may learn at once, on the login node and on compute nodes.

Standard library at import: the probe on the compute node uses it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hpc.adapters.files import lock, read_json_or_none, write_json
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.learned import NOTHING_KNOWN, Known, Observation, learn

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
    """Read what is known of an experiment's shapes.

    Raises:
        InputError: The file was damaged.
    """
    return read_json_or_none(layout.learned) or NOTHING_KNOWN


def remember(layout: RunLayout, observations: Iterable[Observation]) -> None:
    """Add observations to ``learned.json``; nothing that somebody else learned meanwhile is lost.

    Raises:
        InputError: The file was damaged.
        TemporaryError: Another process held it for a minute.
    """
    with lock(layout.home / ".learned.lock"):
        known = read_known(layout)
        more = learn(known, observations)
        if more is not known:
            write_json(layout.learned, more)
