"""Sizes that no retry makes possible: said in a sentence, where an allocator would raise from deep inside.

Only while data and model are made. In a step it is the micro-batch that is too large, which may be halved.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

_ASKED = re.compile(r"(?:tried to allocate|Unable to allocate) ([\d.]+) (bytes|[KMGTPE]iB)")
_UNITS = {"bytes": 1, **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGTPE", 1)}}
_BEYOND = re.compile(r"overflow|maximum allowed dimension", re.IGNORECASE)
"""What is said of sizes that no machine can count."""


@contextmanager
def possible_sizes(refuse: Callable[[str], NoReturn]) -> Iterator[None]:
    """Refuse, in a sentence, sizes that ask for more memory than this machine has in all.

    Less than that may be a matter of the memory that the task was given: the error comes through as it is.
    """
    try:
        yield
    except (MemoryError, OverflowError, RuntimeError, ValueError, TypeError) as error:
        if said := too_large(error, _memory_of_machine()):
            refuse(said)
        raise


def too_large(error: BaseException, most: int) -> str:
    """Say what was asked for, if it is more than `most` bytes; empty where it is not, or the error is another one."""
    text = str(error)
    if asked := _ASKED.search(text):
        size = float(asked[1]) * _UNITS[asked[2]]
        if size <= most:
            return ""
        return f"these sizes ask for {_in_gib(size)} at once, and this machine has {_in_gib(most)}; choose smaller ones"
    if _BEYOND.search(text):
        return f"these sizes are beyond what can be counted ({text.splitlines()[0][:120]}); choose smaller ones"
    return ""


def _in_gib(size: float) -> str:
    return f"{size / 2**30:,.0f} GiB"


def _memory_of_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
