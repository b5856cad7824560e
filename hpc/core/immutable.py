"""Classes of values that never change, without generated code: the wrapper makes forty of them at every start.

`dataclasses` writes and compiles six methods a class and loads `inspect` for it: half of the time a wrapper took to
start. These share one implementation. To everybody else they are dataclasses: `dataclasses.fields`, `replace` and
`asdict` take them, and a dataclass may inherit from them. Standard library only.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform, get_type_hints

T = TypeVar("T")
_SPEC = "__immutable__"
_GENERATED_AFTER = 1000
"""Of a class so many are made by the shared code; who makes more is worth what `dataclasses` would generate."""


class _Factory:
    """Stands in the place of a default until the class is made."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """Declare a field whose default is made for each object."""
    return cast("T", _Factory(default_factory))


class _Spec:
    """What the shared methods know of a class.

    Attributes:
        names: Of its fields, in order.
        defaults: Name → default, or `_Factory`.
        required: Names without a default.
        made: How many objects the shared code has made.
    """

    __slots__ = ("annotations", "defaults", "made", "names", "names_set", "required", "values_of")

    def __init__(self, annotations: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.annotations = annotations
        self.defaults = defaults
        self.names = tuple(annotations)
        self.names_set = frozenset(annotations)
        self.required = frozenset(annotations) - frozenset(defaults)
        self.made = 0
        self.values_of: Callable[[Any], Any] = operator.attrgetter(*self.names) if self.names else lambda _: ()


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[T]) -> type[T]:
    """Make a class of values that never change from its annotations, as ``dataclass(frozen=True)`` would."""
    _prepare(cls)
    return _with_methods(cls, _METHODS)


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Make a class of values that may change, as ``dataclass`` would; it has no hash."""
    _prepare(cls)
    return _with_methods(
        cls, {**_METHODS, "__hash__": None, "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    )


def _prepare(cls: type) -> None:
    """Collect the fields of a class and of those it inherits from."""
    annotations, defaults = dict[str, Any](), dict[str, Any]()
    for base in reversed(cls.__mro__[1:]):
        if spec := base.__dict__.get(_SPEC):
            annotations |= spec.annotations
            defaults |= spec.defaults
    for name, annotation in cls.__annotations__.items():
        if getattr(annotation, "__origin__", None) is ClassVar:
            continue
        annotations[name] = annotation
        if name in cls.__dict__:
            defaults[name] = cls.__dict__[name]
            if isinstance(defaults[name], _Factory):
                delattr(cls, name)
    spec = _Spec(annotations, defaults)
    for name, value in ((_SPEC, spec), ("__match_args__", spec.names)):
        setattr(cls, name, value)


def _with_methods(cls: type[T], methods: Mapping[str, Any]) -> type[T]:
    for name, method in methods.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)
    return cls


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    spec: _Spec = self.__immutable__
    names = spec.names
    if args:
        if len(args) > len(names) or not kwargs.keys().isdisjoint(names[: len(args)]):
            raise TypeError(f"{type(self).__name__}() takes each of {', '.join(names)} once")
        kwargs.update(zip(names, args, strict=False))
    if not kwargs.keys() <= spec.names_set:
        raise TypeError(f"{type(self).__name__}() has no field {', '.join(sorted(kwargs.keys() - spec.names_set))}")
    if not spec.required <= kwargs.keys():
        raise TypeError(f"{type(self).__name__}() needs {', '.join(sorted(spec.required - kwargs.keys()))}")
    put, defaults = object.__setattr__, spec.defaults
    for name in names:  # in order: objects with the same order share the keys of their values
        if name in kwargs:
            put(self, name, kwargs[name])
        else:
            value = defaults[name]
            put(self, name, value.make() if type(value) is _Factory else value)
    spec.made += 1
    if spec.made == _GENERATED_AFTER:
        _generate(type(self))


def _generate(cls: type) -> None:
    """Let a class of which many are made have code of its own for making them."""
    owner = next(base for base in cls.__mro__ if _SPEC in base.__dict__)
    if owner.__dict__.get("__init__") is _init:
        setattr(owner, "__init__", _as_dataclass(owner).__dict__["__init__"])  # noqa: B010  mypy takes no assignment


def _key(self: Any) -> tuple[Any, ...]:
    spec: _Spec = self.__immutable__
    values = spec.values_of(self)
    return values if len(spec.names) != 1 else (values,)


def _eq(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return _key(self) == _key(other)


def _hash(self: Any) -> int:
    return hash(_key(self))


def _repr(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__immutable__.names)
    return f"{type(self).__qualname__}({values})"


def _refuse_setting(self: Any, name: str, _value: object) -> None:
    _refuse(f"cannot assign to field {name!r} of {type(self).__name__}")


def _refuse_deleting(self: Any, name: str) -> None:
    _refuse(f"cannot delete field {name!r} of {type(self).__name__}")


def _refuse(why: str) -> None:
    from dataclasses import FrozenInstanceError  # here: only a mistake needs it

    raise FrozenInstanceError(why)


class _AsDataclass:
    """An attribute by which `dataclasses` knows its own, made when somebody asks for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, _: object, cls: type) -> Any:
        owner = next(base for base in cls.__mro__ if _SPEC in base.__dict__)
        value = getattr(_as_dataclass(owner), self._name)
        setattr(owner, self._name, value)
        return value


def _as_dataclass(cls: type) -> type:
    import dataclasses

    spec: _Spec = cls.__dict__[_SPEC]
    defaults = {
        name: dataclasses.field(default_factory=value.make) if isinstance(value, _Factory) else value
        for name, value in spec.defaults.items()
    }
    body = {"__annotations__": dict(spec.annotations), "__module__": cls.__module__, "__doc__": cls.__doc__, **defaults}
    is_frozen = cls.__hash__ is not None
    return dataclasses.dataclass(frozen=is_frozen)(type(cls.__name__, (), body))


_METHODS: Mapping[str, Any] = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse_setting,
    "__delattr__": _refuse_deleting,
    "__dataclass_fields__": _AsDataclass("__dataclass_fields__"),
    "__dataclass_params__": _AsDataclass("__dataclass_params__"),
}
_MUTABLE: Mapping[str, Any] = {
    **_METHODS,
    "__hash__": None,
    "__setattr__": object.__setattr__,
    "__delattr__": object.__delattr__,
}


def replace(value: T, /, **changes: Any) -> T:
    """Return the same with other values in some fields, as `dataclasses.replace`."""
    spec: _Spec | None = getattr(value, _SPEC, None)
    kind = type(value)
    if spec is None or _SPEC not in kind.__dict__:
        from dataclasses import replace as of_dataclass

        return cast("T", of_dataclass(cast("Any", value), **changes))
    return kind(**{name: getattr(value, name) for name in spec.names if name not in changes}, **changes)


def fields_of(cls: Any) -> tuple[tuple[str, bool], ...]:
    """Name and whether it has to be given, of each field of such a class, or of a dataclass."""
    if spec := cls.__dict__.get(_SPEC):
        return tuple((name, name in spec.required) for name in spec.names)
    import dataclasses

    absent = dataclasses.MISSING
    return tuple(
        (each.name, each.default is absent and each.default_factory is absent) for each in dataclasses.fields(cls)
    )


def hints_of(cls: Any) -> Mapping[str, Any]:
    """Name → type of each field of such a class, or of a dataclass."""
    spec: _Spec | None = cls.__dict__.get(_SPEC)
    if spec and not any(isinstance(each, str) for each in spec.annotations.values()):
        return spec.annotations
    return get_type_hints(cls)


def has_fields(kind: Any) -> bool:
    """Whether it is such a class or a dataclass, or an object of one."""
    cls = kind if isinstance(kind, type) else type(kind)
    return _SPEC in cls.__dict__ or hasattr(cls, "__dataclass_fields__")
