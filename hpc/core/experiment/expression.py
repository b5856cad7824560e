"""Conditions such as ``lora_rank * batch_size <= 128``: a small, closed part of Python, read here and never executed.

Names, numbers, text, true/false, lists; ``+ - * / // % **``; comparisons and ``in``; ``and or not``; parentheses.
No calls, attributes, subscripts or comprehensions, and powers are bounded, so nothing written here can do anything.

The tokens are our own, because parameters are named by the field and not by Python: ``lambda * beta <= 1`` is a
condition over two parameters. Only the five words of `WORDS` cannot be names. Where a condition uses no keyword as a
name, it means what Python means by it.
"""

import ast
import keyword
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hpc.core.errors import nearest
from hpc.core.immutable import immutable

MAX_LENGTH = 2000
MAX_DEPTH = 30
MAX_POWER = 64
_MAX_BITS = 4096

WORDS = frozenset({"and", "or", "not", "in", "is"})
"""What joins the parts of a condition; a parameter of such a name cannot stand in one."""

_SUMS: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub}
_PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_SIGNS: Mapping[str, Callable[[Any], Any]] = {"-": operator.neg, "+": operator.pos}
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
    "is": operator.is_,
    "is not": operator.is_not,
}
_CLOSING: Mapping[str, str] = {"(": ")", "[": "]", "{": "}"}
CONSTANTS: Mapping[str, Any] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
"""YAML's spellings and Python's; a parameter of the same name wins."""

_TOKEN = re.compile(
    r"""(?P<space> \s+ | \#.* )
    | (?P<number> 0[xXoObB]\w+ | (?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJ]? )
    | (?P<text> [rRuU]? (?: '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" ) )
    | (?P<foreign> := | \.\.\. | << | >> | -> | [A-Za-z]+(?=['"]) )
    | (?P<name> [^\W\d]\w* (?: \. [^\W\d]\w* )* )
    | (?P<sign> \*\* | // | [<>=!]= | [-+*/%<>()\[\]{},] )
    | (?P<other> . )""",
    re.VERBOSE | re.DOTALL,
)

Values = Mapping[str, Any]
Evaluate = Callable[[Values], Any]


@immutable
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


def parse_expression(text: str, names: Sequence[str], what: str = "a parameter") -> Expression:
    """Check a condition over the given parameter names.

    Args:
        what: What the names are, for messages.

    Raises:
        ValueError: It is no such condition, or uses a name that is not a parameter; says what would be valid.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is {len(text)} characters long; {MAX_LENGTH} are allowed")
    parser = _Parser(text, names)
    evaluate = parser.whole()
    parameters = tuple(name for name in parser.used if name not in CONSTANTS or name in names)
    for name in parameters:
        if name not in names:
            raise ValueError(f"uses '{name}', which is not {what}; {nearest(name, names)}")
    return Expression(text, parameters, evaluate)


@immutable
class _Token:
    """A word of a condition.

    Attributes:
        kind: ``number``, ``text``, ``name``, ``sign`` (one of ours), ``foreign`` or ``other`` (none of ours), ``end``.
        text: As written.
    """

    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these signs or words, not text that reads like one."""
        return self.kind in ("sign", "name") and self.text in words


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup and match.lastgroup != "space":
            yield _Token(match.lastgroup, match.group())
    yield _Token("end", "")


class _Parser:
    """Reads a condition from left to right into nested closures; each method is one line of the grammar.

    Attributes:
        used: Names in order of first use, constants included.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.used: dict[str, None] = {}
        self._text = text
        self._names = names
        self._tokens = tuple(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Evaluate:
        """The whole text, to its end."""
        evaluate = self._either()
        if self._next.kind != "end":
            raise self._unexpected()
        return evaluate

    # The grammar, from what binds least to what binds most

    def _either(self) -> Evaluate:
        return self._boolean("or", self._both, stop_at=True)

    def _both(self) -> Evaluate:
        return self._boolean("and", self._negation, stop_at=False)

    def _boolean(self, word: str, part: Callable[[], Evaluate], *, stop_at: bool) -> Evaluate:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else _boolean(parts, stop_at=stop_at)

    def _negation(self) -> Evaluate:
        if not self._take("not"):
            return self._comparison()
        operand = self._deeper(self._negation)
        return lambda values: not operand(values)

    def _comparison(self) -> Evaluate:
        first, rest = self._sum(), []
        while compare := self._comparing():
            rest.append((compare, self._sum()))
        return _comparison(first, rest) if rest else first

    def _comparing(self) -> Callable[[Any, Any], Any] | None:
        if self._next.is_word("not") and self._tokens[self._at + 1].is_word("in"):
            self._at += 2
            return _COMPARISONS["not in"]
        word = self._take(*_COMPARISONS)
        return _COMPARISONS["is not" if word == "is" and self._take("not") else word] if word else None

    def _sum(self) -> Evaluate:
        return self._arithmetic(_SUMS, self._product)

    def _product(self) -> Evaluate:
        return self._arithmetic(_PRODUCTS, self._signed)

    def _arithmetic(self, functions: Mapping[str, Callable[[Any, Any], Any]], part: Callable[[], Evaluate]) -> Evaluate:
        first, rest = part(), []
        while word := self._take(*functions):
            rest.append((functions[word], part()))
        return _arithmetic(first, rest) if rest else first

    def _signed(self) -> Evaluate:
        word = self._take(*_SIGNS)
        if not word:
            return self._power()
        return _signed(_SIGNS[word], self._deeper(self._signed))

    def _power(self) -> Evaluate:
        base = self._atom()
        return _arithmetic(base, [(operator.pow, self._deeper(self._signed))]) if self._take("**") else base

    def _atom(self) -> Evaluate:
        token = self._next
        if token.is_word(*_CLOSING):
            self._at += 1
            return self._deeper(lambda: self._group(token.text))
        if token.kind in ("number", "text"):
            return self._constant()
        if token.kind != "name" or token.text in WORDS:
            raise self._unexpected()
        self._at += 1
        self.used[token.text] = None
        return _named(token.text)

    def _constant(self) -> Evaluate:
        parts = [self._literal()]
        while isinstance(parts[0], str) and self._next.kind == "text":
            parts.append(self._literal())
        value = "".join(parts) if len(parts) > 1 else parts[0]
        return lambda _: value

    def _literal(self) -> Any:
        with warnings.catch_warnings():  # Python's remarks on unknown escapes in text
            warnings.simplefilter("ignore")
            try:
                value = ast.literal_eval(self._next.text)
            except SyntaxError:
                raise self._no_condition() from None
        if isinstance(value, complex):
            raise self._not_allowed()
        self._at += 1
        return value

    def _group(self, opened: str) -> Evaluate:
        items, is_list = [self._either()], opened != "("
        while self._take(","):
            is_list = True
            if self._next.is_word(_CLOSING[opened]):
                break
            items.append(self._either())
        if not self._take(_CLOSING[opened]):
            raise self._unexpected()
        return (lambda values: [item(values) for item in items]) if is_list else items[0]

    # Steps and mistakes

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *words: str) -> str:
        """Step over the next token where it is one of these, and give it; else the empty text."""
        token = self._next
        if not token.is_word(*words):
            return ""
        self._at += 1
        return token.text

    def _deeper(self, part: Callable[[], Evaluate]) -> Evaluate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep; write it in simpler parts")
        evaluate = part()
        self._depth -= 1
        return evaluate

    def _unexpected(self) -> ValueError:
        """Name what stands where nothing of the kind can stand."""
        token = self._next
        if token.text in WORDS and token.text in self._names:
            return ValueError(
                f"'{token.text}' joins the parts of a condition, so a parameter of that name cannot be used in one; "
                "rename the parameter"
            )
        before = self._tokens[self._at - 1] if self._at else _Token("end", "")
        is_call = token.text in _CLOSING and before.kind != "sign"
        is_foreign = token.kind in ("foreign", "other") and token.text not in ("=", "\0")
        is_keyword = keyword.iskeyword(token.text) and token.text not in WORDS | set(self._names)
        return self._not_allowed() if is_call or is_foreign or is_keyword else self._no_condition()

    def _not_allowed(self) -> ValueError:
        where = f" after '{self._tokens[self._at - 1].text}'" if self._at else ""
        return ValueError(
            f"'{self._next.text}'{where} is not allowed; use parameters, numbers, text, + - * / // % **, "
            "comparisons, in, and/or/not"
        )

    def _no_condition(self) -> ValueError:
        return ValueError(f"'{self._text}' is not a condition; write one such as 'lora_rank * batch_size <= 128'")


def _named(name: str) -> Evaluate:
    return lambda values: values[name] if name in values or name not in CONSTANTS else CONSTANTS[name]


def _signed(function: Callable[[Any], Any], operand: Evaluate) -> Evaluate:
    return lambda values: function(operand(values))


def _arithmetic(first: Evaluate, rest: Sequence[tuple[Callable[[Any, Any], Any], Evaluate]]) -> Evaluate:
    def evaluate(values: Values) -> Any:
        result = first(values)
        for function, operand in rest:
            result = function(*_numbers(function, result, operand(values)))
        return result

    return evaluate


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
    """Return the part that decides, as Python does: ``-('x' or a)`` is no number."""

    def evaluate(values: Values) -> Any:
        for part in parts:
            result = part(values)
            if bool(result) is stop_at:
                break
        return result

    return evaluate


def _comparison(first: Evaluate, rest: Sequence[tuple[Callable[[Any, Any], Any], Evaluate]]) -> Evaluate:
    def evaluate(values: Values) -> bool:
        left = first(values)
        for function, other in rest:
            right = other(values)
            if not function(left, right):
                return False
            left = right
        return True

    return evaluate
