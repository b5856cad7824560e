"""What is generated from the models: the JSON Schema and the field reference."""

import inspect
import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hpc.experiments.models.base import Model, inner_model
from hpc.experiments.models.experiment import ExperimentModel


def json_schema(model: type[Model] = ExperimentModel) -> dict[str, Any]:
    """Return the JSON Schema of a file, for editors that complete and check while one types."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", **model.model_json_schema(by_alias=True)}


def field_reference(model: type[Model] = ExperimentModel) -> str:
    """Return every field of a file as Markdown tables, one a block, in the order in which they are written."""
    return "\n".join(_block_reference(model, ""))


def _block_reference(model: type[BaseModel], path: str) -> Iterator[str]:
    if path:
        yield f"### `{path}`\n"
    yield f"{inspect.cleandoc(model.__doc__ or '')}\n"
    yield "| field | default | meaning |\n|---|---|---|"
    for name, field in model.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{field.alias or name}` | {_default(field)} | {_options(field.annotation)}{meaning} |"
    yield ""
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        if inner is not None:
            yield from _block_reference(inner, ".".join(part for part in (path, field.alias or name) if part))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    default = field.get_default()
    return "" if default in (None, [], {}) or isinstance(default, BaseModel) else f"`{json.dumps(default)}`"


def _options(annotation: Any) -> str:
    options = [option for option in get_args(annotation) if isinstance(option, str)] if _is_literal(annotation) else []
    return " \\| ".join(f"`{option}`" for option in options) + ". " if options else ""


def _is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal
