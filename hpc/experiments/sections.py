"""Each top-level key of a file held against its model, and what pydantic finds, in a user's words.

A mistake in one key leaves the others usable, so that everything wrong with a file is reported at once.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hpc.adapters.yaml_file import YamlDocument, YamlPath
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.experiment.grid import MAX_TASKS
from hpc.experiments.field_types import RANGE, shown
from hpc.experiments.models.base import Model, inner_model


def mapping_of(document: YamlDocument, what: str) -> YamlDocument:
    """Take a document that holds keys as it is.

    Args:
        document: The file.
        what: What it should be, in words: ``an experiment``.

    Raises:
        InputError: It is empty, or holds something else.
    """
    if document.data is None:
        raise InputError(f"is empty; write the keys of {what}", document.source)
    if not isinstance(document.data, dict):
        raise InputError([Problem(f"holds {shown(document.data)}, not the keys of {what}", line=1)], document.source)
    return document


def valid_sections(model: type[Model], document: YamlDocument, problems: list[Problem]) -> dict[str, Any]:
    """Validate each top-level key by itself, so that a mistake in one leaves the others usable; wrong ones are out."""
    valid: dict[str, Any] = {}
    known = tuple(model.model_fields)
    problems += [
        document.problem((key,), f"unknown key; {nearest(key, known)}") for key in document.data if key not in known
    ]
    for name, field in model.model_fields.items():
        if name not in document.data:
            if field.is_required():
                problems.append(document.problem((name,), _missing(field.description)))
            else:
                valid[name] = field.get_default()
            continue
        try:
            valid[name] = _adapter(model, name).validate_python(document.data[name])
        except ValidationError as error:
            problems.extend(_problem(model, document, (name,), detail) for detail in _flat(error))
    return valid


@cache
def _adapter(model: type[Model], name: str) -> TypeAdapter[Any]:
    """A validator for one top-level field, as strict as the model it belongs to."""
    annotation = model.model_fields[name].rebuild_annotation()
    is_block = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return TypeAdapter(annotation, config=None if is_block else ConfigDict(strict=True, allow_inf_nan=False))


def _flat(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _missing(description: str | None) -> str:
    return f"is missing: {(description or '').split('. ')[0].rstrip('.')}"


def _problem(model: type[Model], document: YamlDocument, prefix: YamlPath, detail: ErrorDetails) -> Problem:
    steps = tuple(step for step in (*prefix, *detail["loc"]) if step != "[key]")
    return document.problem(steps, _message(model, steps, detail))


def _message(model: type[Model], path: YamlPath, detail: ErrorDetails) -> str:
    """Say in a user's words what pydantic found."""
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(path[-1]), _keys_at(model, path[:-1]))}"
    if kind == "missing":
        return _missing(_description_at(model, path))
    if kind == "literal_error":
        valid = [str(option) for option in re.findall(r"'([^']*)'", str(context.get("expected", "")))]
        return f"{shown(found)} is not one of its values; {nearest(str(found), valid)}"
    template = _MESSAGES.get(kind)
    bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
    return template.format(found=shown(found), **bounds) + _quote_hint(kind, found) if template else detail["msg"]


_MESSAGES: Mapping[str, str] = {
    "said": "{text}",
    "int_type": "must be a whole number, not {found}",
    "int_from_float": "must be a whole number, not {found}",
    "float_type": "must be a number, not {found}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, not {found}",
    "string_type": "must be text, not {found}",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "{found} is not a dotted Python name, such as train.control",
    "model_type": "must be a block of keys, not {found}",
    "model_attributes_type": "must be a block of keys, not {found}",
    "dict_type": "must be a block of keys, not {found}",
    "list_type": "must be a list such as [a, b], not {found}",
    "too_short": "is empty; it needs at least {min_length}",
    "greater_than_equal": "must be at least {ge}, not {found}",
    "greater_than": "must be above {gt}, not {found}",
    "less_than_equal": "must be at most {le}, not {found}",
    "less_than": "must be below {lt}, not {found}",
}
"""pydantic's kinds of error, in our words; a test makes sure that none of the models can raise another one."""


def _quote_hint(kind: str, found: Any) -> str:
    if kind not in ("int_type", "float_type") or not isinstance(found, str):
        return ""
    if kind == "int_type" and RANGE.fullmatch(found):
        return f"; a range goes from the smaller seed to the larger, such as 0-9, and holds {MAX_TASKS:,} at most"
    return f"; write {found} without quotes" if re.fullmatch(r"-?[\d.]+", found) else ""


def _aliases(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _keys_at(model: type[Model], path: YamlPath) -> tuple[str, ...]:
    here = _block_at(model, path)
    return tuple(_aliases(here)) if here else ()


def _block_at(model: type[BaseModel], path: YamlPath) -> type[BaseModel] | None:
    """Find the block whose keys are written at a path; names of parameters and list positions lead nowhere new."""
    here: type[BaseModel] | None = model
    for step in path:
        fields = _aliases(here) if here else {}
        if step in fields:
            here = inner_model(fields[str(step)].annotation)
    return here


def _description_at(model: type[Model], path: YamlPath) -> str | None:
    here = _block_at(model, path[:-1])
    field = _aliases(here).get(str(path[-1])) if here else None
    return field.description if field else None
