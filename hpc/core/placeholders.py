"""Templates with ``{placeholders}``: the run name and the command line.

The syntax is Python's, cut down to what cannot surprise: ``{name}`` and ``{name:spec}``; a literal brace is written
twice. No attributes, no indices, no conversions, no nested fields.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from hpc.core.identity import canonical_json

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SPEC = re.compile(r"[<>=^]?[+ -]?#?0?\d{0,2}[,_]?(?:\.\d{1,2})?[bcdeEfFgGnosxX%]?", re.ASCII)


@dataclass(frozen=True)
class Field:
    """One placeholder: its name and how its value is formatted (empty: as `render_value` does)."""

    name: str
    spec: str = ""


Template = tuple[str | Field, ...]
"""Literal text and fields, in order."""


def parse_template(text: str) -> Template:
    """Split a template into literal text and fields.

    Raises:
        ValueError: A brace is not closed, or a placeholder holds more than a name and a format.
    """
    try:
        pieces = list(Formatter().parse(text))
    except ValueError:
        raise ValueError("has a single '{' or '}'; write '{{' and '}}' for the characters themselves") from None
    parts: list[str | Field] = []
    for literal, name, spec, conversion in pieces:
        if literal:
            parts.append(literal)
        if name is not None:
            parts.append(_field(name, spec or "", conversion))
    return tuple(parts)


def _field(name: str, spec: str, conversion: str | None) -> Field:
    shown = f"'{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}'"
    if conversion or not _NAME.fullmatch(name):
        raise ValueError(
            f"holds {shown}; a placeholder is one name in braces, such as {{seed}}; write '{{{{' for a brace"
        )
    if not _SPEC.fullmatch(spec):
        raise ValueError(
            f"holds {shown}; the format after ':' is one of Python's, such as {{{name}:.0e}} or {{{name}:03d}}"
        )
    return Field(name, spec)


def field_names(template: Template) -> tuple[str, ...]:
    """Give the names a template uses, in order of first use."""
    return tuple(dict.fromkeys(part.name for part in template if isinstance(part, Field)))


def render_template(template: Template, values: Mapping[str, Any]) -> str:
    """Put values into a template.

    Raises:
        KeyError: A placeholder has no value.
        ValueError: A format does not fit its value.
    """
    return "".join(part if isinstance(part, str) else render_field(part, values[part.name]) for part in template)


def render_field(part: Field, value: Any) -> str:
    """Write one placeholder's value.

    Raises:
        ValueError: The format does not fit the value.
    """
    if not part.spec:
        return render_value(value)
    try:
        return format(value, part.spec)
    except (ValueError, TypeError):
        raise ValueError(f"the format in {{{part.name}:{part.spec}}} does not fit the value {value!r}") from None


def render_value(value: Any) -> str:
    """Write a value as text that reads back as itself: true/false, null, floats in full, lists as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return canonical_json(list(value) if isinstance(value, Sequence) else value)
