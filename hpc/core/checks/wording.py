"""How findings show values, and how many of one mistake they show."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpc.core.checks.draft import Finding
from hpc.core.experiment.values import is_single, render_value, value_key

SHOWN = 3
"""So many examples of one mistake are enough."""


def combination_key(mapping: Mapping[str, Any]) -> frozenset[Any]:
    """Make combinations comparable: 1 and 1.0 are the same value, 1 and true are not."""
    return frozenset((name, value_key(value)) for name, value in mapping.items())


def repeated(values: Iterable[Any]) -> list[Any]:
    """List the values that are there twice and more, each once."""
    counts: dict[Any, list[Any]] = defaultdict(list)
    for value in values:
        counts[value_key(value)].append(value)
    return [group[0] for group in counts.values() if len(group) > 1]


def described(values: Mapping[str, Any]) -> str:
    """Write the values of a combination: ``rank=8, loss=mse``."""
    return ", ".join(f"{name}={shown(value)}" for name, value in values.items()) or "no parameters"


def shown(value: Any) -> str:
    """Write one value: text in quotes and cut, all else as in the file."""
    return quoted(value) if isinstance(value, str) else str(value) if is_single(value) else render_value(value)


def quoted(text: str) -> str:
    """Write text in quotes, cut after 60 characters."""
    short = text if len(text) <= 60 else text[:59] + "…"
    return repr(short)


def summed(path: tuple[str | int, ...], messages: Sequence[str]) -> Iterator[Finding]:
    """Report the first few of many equal mistakes, and how many more there are."""
    for message in messages[:SHOWN]:
        yield Finding(path, message)
    if len(messages) > SHOWN:
        yield Finding(path, f"… and {len(messages) - SHOWN:,} more like these")
