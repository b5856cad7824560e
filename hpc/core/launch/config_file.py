"""The configuration file a program is given: a template of the user's, with the values of one task filled in.

A value goes where the template has a key of its name (``model.lr`` leads into the block ``model``), and where a text
says ``{name}``, or ``{run:train}`` for the folder of a finished run; braces around anything else, and ``${name}``, are
the program's own. Standard library only: the wrapper on the node writes the file, in YAML, JSON or TOML.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import PurePath
from typing import Any

from hpc.core.experiment.placeholders import NAME, RUN, Field, parse_template, render_field
from hpc.core.experiment.program import ConfigFile

FORMATS = (".yaml", ".yml", ".json", ".toml")
_FIELD = re.compile(rf"(?<!\$)\{{({NAME})(?::[^{{}}]*)?\}}", re.ASCII)


def fill(content: Any, values: Mapping[str, Any]) -> Any:
    """Put values into a template: by ``{name}``, then by key; nothing that a value holds is filled in again.

    Raises:
        ValueError: A format does not fit its value.
    """
    filled = _with_texts(content, values)
    for name, value in values.items():
        if name != RUN and _step(content, name)[0]:
            filled = _with(filled, name, value)
    return filled


def _with(content: Any, name: str, value: Any) -> Any:
    """Replace what stands at a dotted name; nothing where there is no such key."""
    key, rest = _step(content, name)
    if not key:
        return content
    return {**content, key: _with(content[key], rest, value) if rest else value}


def _step(content: Any, name: str) -> tuple[str, str]:
    """Return the key that a dotted name begins with here, and the rest of the name; empty where it leads nowhere."""
    if isinstance(content, Mapping):
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            key, rest = ".".join(parts[:count]), ".".join(parts[count:])
            if key in content and (not rest or _step(content[key], rest)[0]):
                return key, rest
    return "", ""


def _with_texts(content: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(content, Mapping):
        return {key: _with_texts(inner, values) for key, inner in content.items()}
    if isinstance(content, list | tuple):
        return [_with_texts(inner, values) for inner in content]
    return _filled(content, values) if isinstance(content, str) else content


def _filled(text: str, values: Mapping[str, Any]) -> Any:
    """Fill in one text; one that is a placeholder and no more becomes the value itself."""
    whole = _FIELD.fullmatch(text)
    if whole and whole[1] in values and whole[1] != RUN and text == f"{{{whole[1]}}}":
        return values[whole[1]]
    return _FIELD.sub(lambda found: _rendered(found, values), text)


def _rendered(found: re.Match[str], values: Mapping[str, Any]) -> str:
    if found[1] not in values or (found[1] == RUN and not _experiment_of(found[0])):
        return found[0]
    (field,) = parse_template(found[0])
    return render_field(field, values[found[1]]) if isinstance(field, Field) else found[0]


def _experiment_of(text: str) -> str:
    """The experiment whose run a placeholder names; empty for one that is the program's own."""
    try:
        (field,) = parse_template(text)
    except ValueError:
        return ""
    return field.experiment if isinstance(field, Field) else ""


def experiments_named(content: Any) -> tuple[str, ...]:
    """Return the experiments whose runs a template names, as ``{run:train}``, in order of first use."""
    written = (found[0] for text in _texts(content) for found in _FIELD.finditer(text) if found[1] == RUN)
    return tuple(dict.fromkeys(filter(None, map(_experiment_of, written))))


def names_taken(content: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the names that a template takes a value of."""
    written = {found[1] for text in _texts(content) for found in _FIELD.finditer(text)}
    return tuple(name for name in names if name in written or _step(content, name)[0])


def placeholders(content: Any, names: Sequence[str]) -> Iterator[Field]:
    """Return the placeholders of a template that stand for these names.

    Raises:
        ValueError: One has a format that is none.
    """
    for text in _texts(content):
        for found in _FIELD.finditer(text):
            if found[1] in names:
                yield from (part for part in parse_template(found[0]) if isinstance(part, Field))


def is_block(content: Any, name: str) -> bool:
    """Whether a dotted name leads to a block of keys."""
    key, rest = _step(content, name)
    return bool(key) and (is_block(content[key], rest) if rest else isinstance(content[key], Mapping))


def keys_of(content: Any, before: str = "") -> Iterator[str]:
    """Return the dotted names of all keys."""
    for key, inner in content.items() if isinstance(content, Mapping) else ():
        yield before + key
        yield from keys_of(inner, f"{before}{key}.")


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    inside = content.values() if isinstance(content, Mapping) else content if isinstance(content, list | tuple) else ()
    for inner in inside:
        yield from _texts(inner)


# What a file can hold


def content_problems(file: str, content: Any, where: str = "") -> Iterator[str]:
    """Say what of a content cannot be written into such a file."""
    if isinstance(content, Mapping):
        for key, inner in content.items():
            yield from content_problems(file, inner, f"{where}.{key}" if where else str(key))
    elif isinstance(content, list | tuple):
        for position, inner in enumerate(content):
            yield from content_problems(file, inner, f"{where}[{position}]")
    elif content is None and PurePath(file).suffix == ".toml":
        yield f"{where} is null, which TOML cannot say"
    elif isinstance(content, float) and not isfinite(content):
        yield f"{where} is {content}; numbers must be finite"
    elif not isinstance(content, str | int | float | None):
        yield f"{where} is a {type(content).__name__}; write it as a text"


# Writing


def written(config: ConfigFile, values: Mapping[str, Any]) -> str:
    """Return the text of a task's own file.

    Raises:
        ValueError: A format does not fit its value.
    """
    content = fill(config.content, values)
    suffix = PurePath(config.file).suffix
    if suffix == ".json":
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    lines = _toml_lines(content, ()) if suffix == ".toml" else _yaml_lines(content, "")
    return "\n".join(lines) + "\n"


_PLAIN_YAML = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*", re.ASCII)
_YAML_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def _yaml_lines(content: Any, indent: str) -> Iterator[str]:
    """Write a block, one key or item a line; every reader of YAML 1.1 and 1.2 gets the same from it."""
    if not content or not isinstance(content, Mapping | list | tuple):
        yield indent + _yaml_scalar(content)
    elif isinstance(content, Mapping):
        for key, inner in content.items():
            yield from _yaml_entry(f"{indent}{_yaml_text(key)}:", inner, indent)
    else:
        for inner in content:
            yield from _yaml_entry(f"{indent}-", inner, indent)


def _yaml_entry(head: str, inner: Any, indent: str) -> Iterator[str]:
    if inner and isinstance(inner, Mapping | list | tuple):
        yield head
        yield from _yaml_lines(inner, indent + "  ")
    else:
        yield f"{head} {_yaml_scalar(inner)}"


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for a text.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value)


def _yaml_text(text: str) -> str:
    is_plain = _PLAIN_YAML.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _toml_lines(content: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Write a table: what is no table first, then the tables in it."""
    for key, inner in content.items():
        if not isinstance(inner, Mapping):
            yield f"{_toml_key(key)} = {_toml_value(inner)}"
    for key, inner in content.items():
        if isinstance(inner, Mapping):
            yield f"\n[{'.'.join(map(_toml_key, (*path, key)))}]"
            yield from _toml_lines(inner, (*path, key))


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key, re.ASCII) else json.dumps(key, ensure_ascii=False)


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
