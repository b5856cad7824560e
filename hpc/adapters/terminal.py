"""The terminal that a person looks at: how wide it is, and a text that fits it."""

import os
from typing import TextIO

from hpc.core.breaking import broken

USUAL = 80
"""Characters of a line where a terminal does not say how many it has."""


def fitted(text: str, stream: TextIO | None, template: str) -> str:
    """Break a text between words where a person reads it; what goes into a file or a pipe stays as it is.

    Args:
        text: What is to be printed there.
        stream: Where; None where it was closed before we began (``>&-``).
        template: How a command is typed (see `hpc.adapters.started.started_as`); those stay whole.
    """
    if stream is None or not stream.isatty():
        return text
    return broken(text, width_of(stream), (template.split("{verb}", maxsplit=1)[0],))


def width_of(stream: TextIO) -> int:
    """How many characters a line of a terminal has: COLUMNS where it is set, as tables have it."""
    if (told := os.environ.get("COLUMNS", "")).isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL
    except OSError:
        return USUAL
