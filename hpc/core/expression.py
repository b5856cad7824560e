"""Conditions such as ``lora_rank * batch_size <= 128``: a small, closed part of Python, walked and never executed.

Names, numbers, text, true/false, lists; ``+ - * / // % **``; comparisons and ``in``; ``and or not``; parentheses.
No calls, attributes, subscripts or comprehensions, and powers are bounded, so nothing written here can do anything.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.core.errors import nearest

MAX_LENGTH = 2000
MAX_POWER = 64
_MAX_BITS = 4096

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
"""YAML's spellings; Python's own are constants already."""

Values = Mapping[str, Any]
Evaluate = Callable[[Values], Any]


@dataclass(frozen=True)
class Expression:
    """A checked condition.

    Attributes:
        text: As written.
        names: Parameters it uses, in order of first use.
    """

    text: str
    names: tuple[str, ...]
    _evaluate: Evaluate

    def holds(self, values: Values) -> bool:
        """Say whether the condition is true for these parameters.

        Raises:
            ValueError: It cannot be computed for them (text compared with a number, division by zero).
        """
        try:
            return bool(self._evaluate(values))
        except KeyError as error:
            raise ValueError(f"'{error.args[0]}' has no value here") from None
        except (TypeError, ArithmeticError) as error:
            raise ValueError(str(error)) from None


def parse_expression(text: str, names: Sequence[str]) -> Expression:
    """Check a condition over the given parameter names.

    Raises:
        ValueError: It is no such condition, or uses a name that is not a parameter; says what would be valid.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is {len(text)} characters long; {MAX_LENGTH} are allowed")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        evaluate = _compile(tree)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"'{text}' is not a condition; write one such as 'lora_rank * batch_size <= 128'") from None
    used = tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))
    parameters = tuple(name for name in used if name not in _CONSTANTS or name in names)
    for name in parameters:
        if name not in names:
            raise ValueError(f"uses '{name}', which is not a parameter; {nearest(name, names)}")
    return Expression(text, parameters, evaluate)


def _compile(node: ast.expr) -> Evaluate:
    """Turn a syntax tree into nested closures; whatever is not listed here is refused."""
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
            return lambda _: value
        case ast.Name(id=name):
            return lambda values: values[name] if name in values or name not in _CONSTANTS else _CONSTANTS[name]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return _sequence([_compile(item) for item in items])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _unary(_UNARY[type(op)], _compile(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _arithmetic(_ARITHMETIC[type(op)], _compile(left), _compile(right))
        case ast.BoolOp(op=op, values=parts):
            return _boolean([_compile(part) for part in parts], stop_at=isinstance(op, ast.Or))
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _comparison(
                _compile(left), [_COMPARISONS[type(op)] for op in ops], [_compile(one) for one in others]
            )
        case _:
            raise ValueError(
                f"'{ast.unparse(node)}' is not allowed; use parameters, numbers, text, + - * / // % **, "
                "comparisons, in, and/or/not"
            )


def _sequence(items: Sequence[Evaluate]) -> Evaluate:
    return lambda values: [item(values) for item in items]


def _unary(function: Callable[[Any], Any], operand: Evaluate) -> Evaluate:
    return lambda values: function(operand(values))


def _arithmetic(function: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda values: function(*_numbers(function, left(values), right(values)))


def _numbers(function: Callable[[Any, Any], Any], left: Any, right: Any) -> tuple[Any, Any]:
    """Let only numbers of bounded size into arithmetic: ``'a' * 10**9`` and ``9**9**9`` would eat the machine."""
    for value in (left, right):
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} is not a number")
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise OverflowError("a number is too large")
    if function is operator.pow and abs(right) > MAX_POWER:
        raise OverflowError(f"powers up to {MAX_POWER} are allowed, not {right}")
    return left, right


def _boolean(parts: Sequence[Evaluate], *, stop_at: bool) -> Evaluate:
    def evaluate(values: Values) -> bool:
        return stop_at if any(bool(part(values)) is stop_at for part in parts) else not stop_at

    return evaluate


def _comparison(first: Evaluate, compare: Sequence[Callable[[Any, Any], Any]], others: Sequence[Evaluate]) -> Evaluate:
    def evaluate(values: Values) -> bool:
        left = first(values)
        for function, other in zip(compare, others, strict=True):
            right = other(values)
            if not function(left, right):
                return False
            left = right
        return True

    return evaluate
