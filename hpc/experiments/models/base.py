"""What all models have in common: unknown keys are refused, and a block may be given in a word."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict

from hpc.core.errors import nearest
from hpc.experiments.field_types import fail, shown


class Model(BaseModel):
    """What all blocks share: unknown keys are errors, and a text is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False, allow_inf_nan=False)


def exactly_one(model: BaseModel) -> None:
    """Refuse a block in which not exactly one of its optional keys is given."""
    keys = [field.alias or name for name, field in type(model).model_fields.items() if not field.is_required()]
    keys = [key for key in keys if key not in ("args", "on", "workdir", "inputs", "booleans", "config", "sanity")]
    given = [key for key in keys if getattr(model, _field_name(type(model), key)) is not None]
    if len(given) != 1:
        found = f"it has {' and '.join(given)}" if given else "it has none"
        raise fail(f"needs exactly one of {', '.join(keys)}; {found}")


def _field_name(model: type[BaseModel], key: str) -> str:
    return next(name for name, field in model.model_fields.items() if (field.alias or name) == key)


def in_a_word(block: type[Model], words: dict[str, dict[str, Any]]) -> Any:
    """Let a block be said in one word that stands for its keys."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in words:
            raise fail(f"{shown(value)} is not one of its values; {nearest(value, tuple(words))}, or a block of keys")
        return words[value]

    return Annotated[block, BeforeValidator(read, json_schema_input_type=Literal[tuple(words)] | block)]


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """Find the block inside an annotation such as ``list[MetricModel]`` or ``BatchModel | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := inner_model(inner))), None)
