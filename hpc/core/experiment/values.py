"""What a parameter may hold, compared and written: text, numbers, true/false, null, and lists and mappings of these."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hpc.core.identity import canonical_json

_SINGLE = frozenset({str, int, float})


def value_key(value: Any) -> Hashable:
    """Make values comparable: 1 and 1.0 are the same, 1 and true are not, nor a list and its text."""
    if type(value) in _SINGLE:  # of ten thousand tasks nearly all: asking for a Mapping takes longer than the rest
        return False, value
    if isinstance(value, Mapping):
        return "mapping", frozenset((name, value_key(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "list", tuple(value_key(inner) for inner in value)
    return isinstance(value, bool), value


def is_single(value: Any) -> bool:
    """Whether it is one value, neither a list nor a mapping."""
    return not isinstance(value, Mapping | list | tuple)


def render_value(value: Any) -> str:
    """Write a value as text that reads back as itself: true/false, null, floats in full, lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return canonical_json(list(value) if isinstance(value, Sequence) else value)
