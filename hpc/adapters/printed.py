"""What a program printed of a metric last: its log beside its numbers."""

import os
from pathlib import Path

from hpc.adapters.files import open_regular
from hpc.core.errors import InputError
from hpc.core.experiment.metric_source import match_line, parse_source

TAIL_BYTES = 1 << 16
"""So much of the end of a log is looked at."""


def last_printed(log: Path, source: tuple[str, str], metric: str) -> float | None:
    """Find the last value of a metric in a log, as it was looked for while the program ran.

    Args:
        source: Where the numbers are read: kind and text, as ``task.json`` has it.

    Returns:
        None where numbers are not read from the output, there is no log, or its end has no such value.
    """
    if source[0] not in ("stdout", "json"):
        return None
    try:
        parsed = parse_source(source)
        with open_regular(log) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).replace(b"\r", b"\n").split(b"\n")
    except (InputError, OSError):
        return None
    for line in reversed(lines):
        reading = match_line(parsed, line.decode("utf-8", errors="replace")) if line else None
        if reading is not None and metric in reading.values:
            return reading.values[metric]
    return None
