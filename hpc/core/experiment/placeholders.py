"""Templates with ``{placeholders}``: the run name and the command line.

The syntax is Python's, cut down to what cannot surprise: ``{name}`` and ``{name:spec}``; a literal brace is written
twice. No indices, no conversions, no nested fields; a dot is part of the name. Besides Python's formats there are:

    {model:slug}           for file names: what cannot stand in one is replaced (`hpc.core.experiment.slug`)
    {amp:flag}             --amp where it is true, else nothing
    {amp:switch}           --amp or --no-amp
    {amp:True/False}       the first text where it is true, else the second; either may be empty
    {layers:words}         a list as so many words: 64 64
    {run:train}            the folder of the matching finished run of the experiment `train`
"""

import re
from collections.abc import Mapping
from functools import cache
from string import Formatter
from typing import Any

from hpc.core.experiment.values import render_value
from hpc.core.immutable import immutable

NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*"
"""A parameter; dots lead into blocks of the program's own configuration, as in ``model.lr``."""

FLAG, SWITCH, SLUG, WORDS = "flag", "switch", "slug", "words"
CHOICE = r"[^{}/\s]*/[^{}/\s]*"
"""How true and false are written, such as ``True/False``."""

_NAME = re.compile(NAME, re.ASCII)
_OWN_SPEC = re.compile(rf"{FLAG}|{SWITCH}|{SLUG}|{WORDS}|{CHOICE}")
_SPEC = re.compile(r"[<>=^]?[+ -]?#?0?\d{0,2}[,_]?(?:\.\d{1,2})?[bcdeEfFgGnosxX%]?", re.ASCII)


_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+,@-]*", re.ASCII)
RUN = "run"
"""``{run:train}`` is the folder of the matching finished run of the experiment ``train``."""


@immutable
class Field:
    """One placeholder: its name and how its value is formatted (empty: as `render_value` does)."""

    name: str
    spec: str = ""

    @property
    def experiment(self) -> str:
        """The experiment whose run it names; empty where it names none."""
        return self.spec if self.name == RUN and _is_experiment(self.spec) else ""


def _is_experiment(spec: str) -> bool:
    """Whether what follows the colon is an experiment's name, and no format."""
    return not (_SPEC.fullmatch(spec) or _OWN_SPEC.fullmatch(spec)) and _EXPERIMENT.fullmatch(spec) is not None


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
    if name == RUN and _is_experiment(spec):
        return Field(name, spec)
    if not _SPEC.fullmatch(spec) and not _OWN_SPEC.fullmatch(spec):
        raise ValueError(
            f"holds {shown}; the format after ':' is one of Python's, such as {{{name}:.0e}} or {{{name}:03d}}, or "
            "slug, flag, switch, words or True/False"
        )
    return Field(name, spec)


@cache
def field_names(template: Template) -> tuple[str, ...]:
    """Return the names a template uses, in order of first use."""
    return tuple(dict.fromkeys(part.name for part in template if isinstance(part, Field)))


def experiments_in(template: Template) -> tuple[str, ...]:
    """Return the experiments whose runs a template names, in order of first use."""
    named = (part.experiment for part in template if isinstance(part, Field))
    return tuple(dict.fromkeys(filter(None, named)))


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
    if part.experiment:
        return str(value[part.experiment])
    match part.spec:
        case "":
            return render_value(value)
        case "slug":
            from hpc.core.experiment.slug import slug  # here: a command line has none

            return slug(value)
        case "words":
            return " ".join(render_words(part, value))
        case spec if _OWN_SPEC.fullmatch(spec):
            return _either(part, value)
    try:
        return format(value, part.spec)
    except (ValueError, TypeError):
        raise _misfit(part, value) from None


def render_words(part: Field, value: Any) -> tuple[str, ...]:
    """Write a placeholder that stands alone as a word: none for a flag that is off, several for a list in words.

    Raises:
        ValueError: The format does not fit the value.
    """
    if part.spec == WORDS:
        if not isinstance(value, list | tuple):
            raise _misfit(part, value)
        return tuple(map(render_value, value))
    text = render_field(part, value)
    return (text,) if text or not _OWN_SPEC.fullmatch(part.spec) else ()


def _either(part: Field, value: Any) -> str:
    if not isinstance(value, bool):
        raise _misfit(part, value)
    if part.spec == FLAG:
        return f"--{part.name}" if value else ""
    if part.spec == SWITCH:
        return f"--{part.name}" if value else f"--no-{part.name}"
    return part.spec.split("/")[0 if value else 1]


def _misfit(part: Field, value: Any) -> ValueError:
    wanted = "; it is for lists" if part.spec == WORDS else ""
    if part.spec != WORDS and _OWN_SPEC.fullmatch(part.spec):
        wanted = "; it is for true and false"
    return ValueError(f"the format in {{{part.name}:{part.spec}}} does not fit the value {value!r}{wanted}")
