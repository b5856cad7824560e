"""How a record is read from JSON and written to it: its fields are the format, with their types and nothing besides.

Two rooms that meet in a file share the frozen dataclass of that file. Reading checks every field and reports all that
is wrong at once; keys of later versions are passed over, fields with a default may be absent (earlier versions wrote
none). Standard library only: the wrapper on the compute node reads records, too.
"""

import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache, partial
from typing import Any, ClassVar, Self

from hpc.core.immutable import fields_of, has_fields, hints_of, immutable

T = typing.TypeVar("T")
_LARGEST = 2**63
"""JSON knows no bound for whole numbers; what is read here fits into 64 bits."""
Reader = Callable[[object], Any]
_OBJECTS = (dict, Mapping)
"""What is a JSON object; dict first, because asking an abstract class takes longer than all the rest."""
_PLAIN = frozenset({bool, str, int, float})
_WRITTEN_AS_THEY_ARE = _PLAIN | {types.NoneType}


class RecordError(ValueError):
    """The content of a file is not the record it should be; the text names every field that is wrong.

    Attributes:
        problems: One sentence for each.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@immutable
class Record:
    """Base of every record."""

    kind: ClassVar[str] = ""
    """What the file says it is; empty for a part of another record."""
    schema: ClassVar[int] = 1

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Read what `to_json` wrote, by this or an earlier version.

        Raises:
            RecordError: It is no JSON object, says it is something else, or fields are missing or of another type.
        """
        if isinstance(content, _OBJECTS) and (problems := tuple(cls._head_problems(content))):
            raise RecordError(problems)
        record = typing.cast("Self", _read_fields(cls, content))
        if problems := tuple(record.problems()):
            raise RecordError(problems)
        return record

    def problems(self) -> Iterator[str]:
        """What is wrong although every field has its type; overridden where fields depend on each other."""
        yield from ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON can hold it."""
        head = {"kind": self.kind, "schema": self.schema} if self.kind else {}
        return {**head, **_written_fields(self)}

    @classmethod
    def _head_problems(cls, content: Mapping[str, Any]) -> Iterator[str]:
        if cls.kind and content.get("kind", cls.kind) != cls.kind:
            yield f"kind: {_named(content['kind'])} where '{cls.kind}' is expected"
        if cls.kind and content.get("schema", cls.schema) != cls.schema:
            yield f"schema: {_named(content['schema'])}; this version reads {cls.schema}"


def as_json(record: object) -> Any:
    """Any frozen dataclass as JSON can hold it, for `record_from`."""
    return _written(record)


def record_from(kind: type[T], content: object) -> T:
    """Read a record, or any other frozen dataclass whose fields are the members of an object.

    Raises:
        RecordError: Fields are missing, or of another type.
    """
    hint: Any = kind
    return typing.cast("T", _reader(hint)(content))


def _read_fields(kind: type, content: object) -> Any:
    """Make a frozen dataclass of an object's members.

    Raises:
        RecordError: Fields are missing, or of another type.
    """
    if not isinstance(content, _OBJECTS):
        raise RecordError((f"{_named(content)} where an object is expected",))
    values, wrong = dict[str, Any](), list[str]()
    for name, as_they_are, numbers, read, is_required in _fields_of(kind):
        if name in content:
            value = content[name]
            its = type(value)
            if its in as_they_are or (its in numbers and -_LARGEST < value < _LARGEST):
                values[name] = value  # most values of the records of ten thousand tasks
                continue
            try:
                values[name] = read(value)
            except RecordError as error:
                wrong += [f"{name}: {problem}" for problem in error.problems]
        elif is_required:
            wrong.append(f"{name}: missing")
    if wrong:
        raise RecordError(tuple(wrong))
    return kind(**values)


@cache
def _fields_of(record: type) -> tuple[tuple[str, frozenset[type], frozenset[type], Reader, bool], ...]:
    """Name, types whose every value is right, types of numbers, reader, and whether it must be there, of each field."""
    hints = hints_of(record)
    return tuple(
        (
            name,
            _as_they_are(hints[name]),
            frozenset({int, float}.intersection(_choices(hints[name]))),
            _reader(hints[name]),
            is_required,
        )
        for name, is_required in fields_of(record)
    )


def _choices(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one there is."""
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _as_they_are(hint: Any) -> frozenset[type]:
    """Types whose every value is right."""
    return frozenset({str, bool, types.NoneType}.intersection(_choices(hint)))


@cache
def _reader(hint: Any) -> Reader:
    """Return what checks a value against a type or raises. Made once: an index holds ten thousand values."""
    if hint is Any:
        return lambda value: value
    if hint in _PLAIN:
        return partial(_read_plain, hint)
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if kind in (types.UnionType, typing.Union):
        return _union_reader(inner)
    if kind is Sequence and inner == (Any,):
        return _read_list
    if kind is tuple:
        return partial(_read_tuple, inner, _as_they_are(inner[0]))
    if kind is frozenset:
        return partial(_read_set, (*inner, Ellipsis))
    if kind is not None and issubclass(kind, Mapping):
        return partial(_read_mapping, _as_they_are(inner[1]), None if inner[1] is Any else _reader(inner[1]))
    if issubclass(hint, Record):
        return typing.cast("Reader", hint.from_json)
    if has_fields(hint):
        return partial(_read_fields, typing.cast("type", hint))
    if issubclass(hint, Enum):
        return partial(_read_enum, hint)
    raise AssertionError(f"a record has no fields of type {hint}")


def _union_reader(choices: tuple[Any, ...]) -> Reader:
    """Read a value that may be of several types; what is wrong is said of the first that is not null."""
    first, *others = [_reader(choice) for choice in choices if choice is not types.NoneType]
    may_be_null = types.NoneType in choices
    if may_be_null and not others:
        return lambda value: None if value is None else first(value)

    def read(value: object) -> Any:
        if value is None and may_be_null:
            return None
        for other in others:
            try:
                return other(value)
            except RecordError:
                continue
        return first(value)

    return read


def _read_list(value: object) -> list[Any]:
    return list(_require(isinstance(value, list | tuple), value, value, "a list"))


def _read_tuple(inner: tuple[Any, ...], as_they_are: frozenset[type], value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise RecordError((f"{_named(value)} where a list is expected",))
    if inner[-1] is Ellipsis:
        return tuple(value if as_they_are.issuperset(map(type, value)) else map(_reader(inner[0]), value))
    if len(inner) != len(value):
        raise RecordError((f"{len(value)} items where {len(inner)} are expected",))
    return tuple(_reader(hint)(item) for hint, item in zip(inner, value, strict=True))


def _read_set(inner: tuple[Any, ...], value: object) -> frozenset[Any]:
    return frozenset(_read_tuple(inner, frozenset(), value))


def _read_mapping(as_they_are: frozenset[type], read: Reader | None, value: object) -> dict[str, Any]:
    if not isinstance(value, _OBJECTS):
        raise RecordError((f"{_named(value)} where an object is expected",))
    if read is None or as_they_are.issuperset(map(type, value.values())):
        return {**value}
    return {str(name): read(item) for name, item in value.items()}


def _read_enum(kind: type[Enum], value: object) -> Enum:
    valid = ", ".join(str(each.value) for each in kind)
    return kind(_require(value in [each.value for each in kind], value, value, f"one of {valid}"))


def _read_plain(hint: type, value: object) -> Any:
    if hint is bool:
        return _require(isinstance(value, bool), value, value, "true or false")
    if hint is str:
        return _require(isinstance(value, str), value, value, "a text")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        is_whole = isinstance(value, int) and is_number and abs(value) < _LARGEST
        return _require(is_whole, value, value, "a whole number")
    is_finite = is_number and abs(typing.cast("float", value)) < _LARGEST and math.isfinite(value)  # type: ignore[arg-type]
    return _require(is_finite, value, value, "a number")


def _require(is_right: bool, read: Any, value: object, expected: str) -> Any:
    if not is_right:
        raise RecordError((f"{_named(value)} where {expected} is expected",))
    return read


def _named(value: object) -> str:
    """Say what a JSON value is, shortly."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _written(value: object) -> Any:
    if type(value) in _WRITTEN_AS_THEY_ARE:
        return value
    if isinstance(value, list | tuple | frozenset):
        return [_written(item) for item in value]
    if isinstance(value, _OBJECTS):
        return {name: item if type(item) in _WRITTEN_AS_THEY_ARE else _written(item) for name, item in value.items()}
    if isinstance(value, Record):
        return value.to_json()
    if has_fields(value):
        return _written_fields(value)
    return value


def _written_fields(record: Any) -> dict[str, Any]:
    values = record.__dict__  # one look instead of one a field: an index has ten thousand elements
    return {
        name: value if type(value := values[name]) in _WRITTEN_AS_THEY_ARE else _written(value)
        for name in _names_of(record.__class__)
    }


@cache
def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(name for name, _ in fields_of(kind))
