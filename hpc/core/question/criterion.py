"""The criterion of success as a rule that is evaluated: its words, its grammar, and what it selects in a sweep.

    relative_change(final_error, lora_rank=16 versus lora_rank=8) <= -5% and adjusted_p < 0.05
    verdict(case=ones_conv) == WINNER
    all(mean(ood_acc, model=transformer) >= 0.95)

A quantity is a function, a metric (left out: the primary one) and the configuration it is of; without `versus` it is
compared with the declared baseline. A bare word such as `adjusted_p` is of whatever the quantity before it was of.
`all(…)` and `any(…)` range over every value of the parameters that are not named. Whether a rule can come out both
ways is checked in `hpc.core.question.falsifiable`; what the runs make of it is decided in `hpc.core.question.ruling`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from hpc.core.errors import nearest
from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.spec import Value
from hpc.core.experiment.values import is_single, render_value, value_key
from hpc.core.question.baseline import agrees, counterparts, values_of, varying_names
from hpc.core.resources import parse_share

INFINITY = float("inf")
MAX_LENGTH = 1000


@dataclass(frozen=True)
class Function:
    """One thing that can be asked of the runs.

    Attributes:
        meaning: In words, for messages and documentation.
        compares: Whether it is about a configuration and what it is compared with.
        low: Least value it can have.
        high: Largest value it can have.
        words: What it can answer where it is no number.
        shows: Those of these words that rest on evidence: within 2σ nothing was shown.
        counts: Whether it is a whole number of runs.
        is_p: Whether it is a p-value.
        has_interval: Whether an interval says how sure it is.
    """

    meaning: str
    compares: bool = False
    low: float = -INFINITY
    high: float = INFINITY
    words: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    counts: bool = False
    is_p: bool = False
    has_interval: bool = False


FUNCTIONS: Mapping[str, Function] = {
    "mean": Function("mean over the runs of a configuration", has_interval=True),
    "median": Function("median over the runs"),
    "min": Function("smallest value of any run"),
    "max": Function("largest value of any run"),
    "std": Function("standard deviation over the runs", low=0.0),
    "n": Function("runs that gave a value", low=0.0, counts=True),
    "failed": Function("runs that failed for good", low=0.0, counts=True),
    "change": Function("difference of the means, in the metric's unit", compares=True, has_interval=True),
    "relative_change": Function("difference of the means relative to the baseline's", compares=True, has_interval=True),
    "cohens_d": Function("difference of the means in pooled standard deviations", compares=True, has_interval=True),
    "p": Function("p-value of the comparison by itself", compares=True, low=0.0, high=1.0, is_p=True),
    "adjusted_p": Function("p-value corrected for many comparisons", compares=True, low=0.0, high=1.0, is_p=True),
    "verdict": Function(
        "answer of the 2σ rule", compares=True, words=("WINNER", "NEUTRAL", "LOSER"), shows=("WINNER", "LOSER")
    ),
    "tested": Function(
        "answer of the test",
        compares=True,
        words=("WINNER", "LOSER", "EQUIVALENT"),
        shows=("WINNER", "LOSER", "EQUIVALENT"),
    ),
}
ANSWERS = tuple(dict.fromkeys(word for function in FUNCTIONS.values() for word in function.words))
OPERATORS = ("<=", ">=", "==", "!=", "<", ">")
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_OWN_WORDS = ("and", "or", "not", "all", "any", "versus")
_CONSTANTS: Mapping[str, Value] = {"true": True, "false": False, "null": None}

Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Constant:
    """A number or an answer such as WINNER."""

    value: float | str
    text: str


@dataclass(frozen=True)
class Term:
    """A quantity as it is written; once bound, `configuration` and `counterpart` are places in the combinations.

    Attributes:
        function: Key of `FUNCTIONS`.
        metric: Name of the metric; empty for the primary one, until it is bound.
        of: Parameters that select the configuration.
        versus: Parameters that select what it is compared with; None means the declared baseline.
        configuration: Place of the configuration; None before binding.
        counterpart: Place of what it is compared with; None before binding, without one, and for a stored baseline.
    """

    function: str
    metric: str = ""
    of: Pairs = ()
    versus: Pairs | None = None
    configuration: int | None = None
    counterpart: int | None = None

    @property
    def text(self) -> str:
        """The quantity as one would write it."""
        versus = f"versus {_written(self.versus)}" if self.versus is not None else ""
        inside = ", ".join(part for part in (self.metric, _written(self.of)) if part)
        arguments = " ".join(part for part in (inside, versus) if part)
        return f"{self.function}({arguments})" if arguments else self.function


@dataclass(frozen=True)
class Comparison:
    """Two quantities, or a quantity and a number, held against each other."""

    left: Term | Constant
    operator: str
    right: Term | Constant

    @property
    def text(self) -> str:
        return f"{self.left.text} {self.operator} {self.right.text}"


@dataclass(frozen=True)
class Not:
    """The opposite of a rule."""

    part: "Rule"

    @property
    def text(self) -> str:
        return f"not ({self.part.text})"


@dataclass(frozen=True)
class Join:
    """Several rules joined by `and` or `or`."""

    word: str
    parts: "tuple[Rule, ...]"

    @property
    def text(self) -> str:
        return f" {self.word} ".join(f"({part.text})" if isinstance(part, Join) else part.text for part in self.parts)


@dataclass(frozen=True)
class Each:
    """A rule for `all` or `any` of the configurations that its quantities leave open."""

    word: str
    part: "Rule"

    @property
    def text(self) -> str:
        return f"{self.word}({self.part.text})"


Rule = Comparison | Not | Join | Each


@dataclass(frozen=True)
class Question:
    """What a criterion can speak of.

    Attributes:
        combinations: Every configuration, a named case under `case`.
        metrics: Names of the declared metrics, the primary one first, and those that are measured anyway.
        baseline: The declared baseline; None without one.
        has_stored_baseline: Whether everything is compared with stored runs instead.
        runs: Most runs one configuration can have.
        has_margin: Whether a difference is declared below which configurations count as equal.
    """

    combinations: Sequence[Combination]
    metrics: tuple[str, ...]
    baseline: Mapping[str, Value] | None = None
    has_stored_baseline: bool = False
    runs: int = 1
    has_margin: bool = False


# Reading

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\s*%)?)"
    r"|(?P<name>[A-Za-z_][\w./-]*)|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign><=|>=|==|!=|[<>=(),]))"
)
_TYPED = str.maketrans({"≤": "<=", "≥": ">=", "≠": "!=", "−": "-", "\n": " ", "\t": " "})


def parse_criterion(text: str) -> Rule:
    """Read a criterion.

    Raises:
        ValueError: It is none; says where and what would be valid.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is {len(text):,} characters long; {MAX_LENGTH:,} are allowed")
    try:
        return _Reader(_tokens(text.translate(_TYPED))).whole()
    except RecursionError:
        raise ValueError("has too many parentheses inside each other") from None


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


_END = _Token("end", "its end")


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"'{text[place:].strip()[:20]}' cannot be read; {_EXPECTED}")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind]))
        place = match.end()
    return tokens


EXAMPLE = "relative_change(final_error, lora_rank=16 versus lora_rank=8) <= -5%"
"""A rule, for those who know no experiment; others put one of their own in its place."""
_EXPECTED = f"write a rule such as: {EXAMPLE}"


class _Reader:
    """Reads tokens from left to right, one method per line of the grammar."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.before: Term | None = None

    def whole(self) -> Rule:
        """rule, and nothing behind it."""
        if not self.tokens:
            raise ValueError(f"is empty; {_EXPECTED}")
        rule = self.either()
        if self.next is not _END:
            raise ValueError(f"'{self.next.text}' is where `and`, `or` or the end is expected")
        return rule

    @property
    def next(self) -> _Token:
        return self.tokens[self.place] if self.place < len(self.tokens) else _END

    def take(self, *texts: str) -> bool:
        """Go on behind a sign or word of the language, if it is the next one."""
        if self.next.kind in ("name", "sign") and self.next.text in texts:
            self.place += 1
            return True
        return False

    def expect(self, sign: str, after: str) -> None:
        if not self.take(sign):
            raise ValueError(f"'{sign}' is expected after {after}, not {self.found}")

    @property
    def found(self) -> str:
        return self.next.text if self.next is _END else f"'{self.next.text}'"

    def either(self) -> Rule:
        """both { or both }"""
        parts = [self.both()]
        while self.take("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Join("or", tuple(parts))

    def both(self) -> Rule:
        """one { and one }"""
        parts = [self.one()]
        while self.take("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else Join("and", tuple(parts))

    def one(self) -> Rule:
        """not one | ( rule ) | all ( rule ) | any ( rule ) | comparison"""
        if self.take("not"):
            return Not(self.one())
        if self.take("("):
            rule = self.either()
            self.expect(")", f"({rule.text}")
            return rule
        word = self.next.text
        if self.take("all", "any"):
            self.expect("(", word)
            part = self.either()
            self.expect(")", f"{word}({part.text}")
            if any(isinstance(each, Each) for each in walk(part)):
                raise ValueError("`all` and `any` cannot be nested; join them with and, or")
            return Each(word, part)
        return self.comparison()

    def comparison(self) -> Rule:
        """quantity sign quantity { sign quantity }"""
        sides, signs = [self.quantity()], []
        while self.next.text in (*OPERATORS, "=") and self.next.kind == "sign":
            if self.next.text == "=":
                raise ValueError(f"'=' after {sides[-1].text} cannot assign here; write == to compare")
            signs.append(self.next.text)
            self.place += 1
            sides.append(self.quantity())
        if not signs:
            raise ValueError(f"{sides[0].text} is compared with nothing; write a sign and a number, such as <= -5%")
        parts = [Comparison(left, sign, right) for left, sign, right in zip(sides, signs, sides[1:], strict=False)]
        return parts[0] if len(parts) == 1 else Join("and", tuple(parts))

    def quantity(self) -> Term | Constant:
        """number | WORD | function [ ( … ) ]"""
        token = self.next
        self.place += 1
        if token.kind == "number":
            return Constant(parse_share(token.text), token.text)
        if token.kind == "name" and token.text in ANSWERS:
            return Constant(token.text, token.text)
        if token.kind != "name" or token.text in _OWN_WORDS:
            self.place -= 1
            raise ValueError(f"a quantity or a number is expected, not {self.found}; {_EXPECTED}")
        if token.text not in FUNCTIONS:
            meant = nearest(token.text, (*FUNCTIONS, *ANSWERS))
            hint = "" if meant.startswith("did") else ". A metric stands inside one: mean(final_error, lora_rank=16)"
            raise ValueError(f"there is no quantity '{token.text}'; {meant}{hint}")
        self.before = self.arguments(token.text) if self.take("(") else self.like_before(token.text)
        return self.before

    def like_before(self, function: str) -> Term:
        """Take over what the quantity before was of; what is compared with what only where that was said."""
        return replace(self.before, function=function) if self.before else Term(function)

    def arguments(self, function: str) -> Term:
        """[metric] { , parameter = value } [ versus parameter = value { , … } ] )"""
        metric = ""
        if self.next.kind == "text" or (self.next.kind == "name" and self._is_bare()):
            metric = self.next.text.strip("'\"")
            self.place += 1
            if self.next.text not in (",", ")", "versus"):
                raise ValueError(f"',' or ')' is expected after {function}({metric}, not {self.found}")
            self.take(",")
        of = self.pairs(function)
        versus = self.pairs(function) if self.take("versus") else None
        if versus == ():
            raise ValueError(f"versus names nothing in {function}(…); write versus parameter=value")
        term = Term(function, metric, of, versus)
        self.expect(")", term.text.removesuffix(")"))
        return term

    def _is_bare(self) -> bool:
        """Whether the next name is not a parameter's: no '=' behind it."""
        following = self.tokens[self.place + 1] if self.place + 1 < len(self.tokens) else _END
        return following.text != "=" and self.next.text != "versus"

    def pairs(self, function: str) -> Pairs:
        found: dict[str, Value] = {}
        while self.next.kind == "name" and self.next.text != "versus":
            name = CASE if self.next.text == "id" else self.next.text
            self.place += 1
            if not self.take("="):
                raise ValueError(f"'=' and a value are expected after '{name}' in {function}(…), not {self.found}")
            if name in found:
                raise ValueError(f"'{name}' is given twice in {function}(…)")
            found[name] = self.value(name)
            if not self.take(","):
                break
        return tuple(found.items())

    def value(self, name: str) -> Value:
        token = self.next
        self.place += 1
        if token.kind == "number" and not token.text.endswith("%"):
            return int(token.text) if re.fullmatch(r"[+-]?\d+", token.text) else float(token.text)
        if token.kind == "text":
            return token.text[1:-1]
        if token.kind == "name" and token.text != "versus":  # `all`, `and`: a parameter may have such a value
            return _CONSTANTS.get(token.text, token.text)
        self.place -= 1
        raise ValueError(f"a value is expected after '{name}=', not {self.found}")


def _written(pairs: Pairs | None) -> str:
    return ", ".join(f"{name}={'null' if value is None else value}" for name, value in pairs or ())


def walk(rule: Rule) -> Iterator[Rule]:
    """Return a rule and every rule inside it, from left to right."""
    yield rule
    if isinstance(rule, Not | Each):
        yield from walk(rule.part)
    elif isinstance(rule, Join):
        for part in rule.parts:
            yield from walk(part)


def truth(rule: Rule, answer: Callable[[Comparison | Each], bool | None]) -> bool | None:
    """Put answers together: None is open, and stays so unless the rest decides whatever it turns out to be.

    Args:
        rule: The rule.
        answer: Answers its comparisons, and its `all` and `any` where it is not bound.
    """
    if isinstance(rule, Not):
        part = truth(rule.part, answer)
        return None if part is None else not part
    if isinstance(rule, Join):
        parts = [truth(part, answer) for part in rule.parts]
        decisive = rule.word == "or"
        return decisive if decisive in parts else None if None in parts else not decisive
    return answer(rule)


def without_not(rule: Rule, *, is_denied: bool = False) -> Rule:
    """Write a rule without `not`: comparisons turned round, `and` exchanged with `or`. It says the same."""
    if isinstance(rule, Not):
        return without_not(rule.part, is_denied=not is_denied)
    if isinstance(rule, Join):
        word = {"and": "or", "or": "and"}[rule.word] if is_denied else rule.word
        return Join(word, tuple(without_not(part, is_denied=is_denied) for part in rule.parts))
    if isinstance(rule, Each):
        word = {"all": "any", "any": "all"}[rule.word] if is_denied else rule.word
        return Each(word, without_not(rule.part, is_denied=is_denied))
    return replace(rule, operator=OPPOSITE[rule.operator]) if is_denied else rule


def terms(rule: Rule) -> list[Term]:
    """List the quantities of a rule in the order in which they are written."""
    sides = [side for one in walk(rule) if isinstance(one, Comparison) for side in (one.left, one.right)]
    return [side for side in sides if isinstance(side, Term)]


# Binding: which configurations are meant


def bind(rule: Rule, question: Question) -> Rule:
    """Return the rule with each quantity bound to its configurations; `all` and `any` are written out.

    Raises:
        ValueError: A name or value is not in the experiment, or not exactly one configuration is meant.
    """
    for term in terms(rule):
        _check_names(term, question)
    return _bind(rule, question)


def _bind(rule: Rule, question: Question) -> Rule:
    if isinstance(rule, Not):
        return Not(_bind(rule.part, question))
    if isinstance(rule, Join):
        return Join(rule.word, tuple(_bind(part, question) for part in rule.parts))
    if isinstance(rule, Each):
        cases = _ranged(rule, question)
        parts = tuple(_with_terms(rule.part, chosen) for chosen in cases)
        return parts[0] if len(parts) == 1 else Join("and" if rule.word == "all" else "or", parts)
    return _with_terms(rule, {term: _only(term, question) for term in terms(rule)})


def _check_names(term: Term, question: Question) -> None:
    """Refuse what the experiment does not know."""
    if term.metric and term.metric not in question.metrics:
        raise ValueError(
            f"'{term.metric}' in {term.text} is not a declared metric; list it under metrics.secondary, or use "
            "another: "
            f"{nearest(term.metric, question.metrics)}"
        )
    names = tuple(dict.fromkeys(name for one in question.combinations for name in one))
    for name, value in (*term.of, *(term.versus or ())):
        if name not in names:
            raise ValueError(f"'{name}' in {term.text} is not swept; {nearest(name, names) if names else 'nothing is'}")
        there = {value_key(one[name]): one[name] for one in question.combinations if name in one}
        if not any(agrees({name: each}, {name: value}) for each in there.values()):
            known = ", ".join(_told(each) for each in there.values())
            raise ValueError(f"'{name}' is never {value} in this sweep; it takes {known}")
    if term.versus is not None and not FUNCTIONS[term.function].compares:
        raise ValueError(f"{term.function} is about one configuration and takes no versus; relative_change does")
    needs_baseline = FUNCTIONS[term.function].compares and term.versus is None
    if needs_baseline and question.baseline is None and not question.has_stored_baseline:
        raise ValueError(
            f"{term.text} compares with the baseline, and none is declared; write versus …, or declare `baseline`"
        )


def _told(value: Value) -> str:
    """A value as it is written in a criterion: a list or mapping as a text."""
    return str(value) if is_single(value) else f"'{render_value(value)}'"


def _selected(term: Term, question: Question) -> list[Term]:
    """Return the term once for each configuration it can mean; none is compared with itself."""
    places = [place for place, one in enumerate(question.combinations) if agrees(one, dict(term.of))]
    metric = term.metric or question.metrics[0]
    if not FUNCTIONS[term.function].compares or (term.versus is None and question.has_stored_baseline):
        return [replace(term, metric=metric, configuration=place) for place in places]
    chosen = dict(term.versus) if term.versus is not None else (question.baseline or {})
    others = counterparts(question.combinations, chosen)
    return [
        replace(term, metric=metric, configuration=place, counterpart=others[place])
        for place in places if others.get(place, place) != place
    ]  # fmt: skip


def _only(term: Term, question: Question) -> Term:
    """Return the one configuration that is meant outside `all` and `any`.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = _selected(term, question)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(_nothing(term))
    varying = varying_names([question.combinations[cast("int", one.configuration)] for one in found])
    raise ValueError(
        f"{term.text} means {len(found)} configurations; name {' and '.join(varying)} too, or write all(…) or any(…) "
        "around the rule"
    )


def _nothing(term: Term) -> str:
    what = (
        "compares a configuration with itself, or with one that does not exist"
        if term.versus or term.of
        else "is empty"
    )
    return f"{term.text} {what}; name another configuration"


def _ranged(rule: Each, question: Question) -> list[dict[Term, Term]]:
    """Pair the quantities of an `all` or `any` by the values of the parameters that none of them fixes.

    Raises:
        ValueError: There is nothing to range over, or the quantities cannot be paired.
    """
    used = list(dict.fromkeys(terms(rule.part)))
    meant = {term: _selected(term, question) for term in used}
    places = {term: [question.combinations[cast("int", one.configuration)] for one in meant[term]] for term in used}
    free = tuple(dict.fromkeys(name for term in used for name in varying_names(places[term])))
    by_key = {
        term: {values_of(where, free): one for where, one in zip(places[term], meant[term], strict=True)}
        for term in used
    }
    keys = list(dict.fromkeys(key for found in by_key.values() for key in found))
    compared = [term for term in used if FUNCTIONS[term.function].compares]
    keys = [key for key in keys if all(key in by_key[term] for term in compared)]
    if not keys:
        raise ValueError(_nothing((compared or used)[0]))
    lone = [term for term in used if any(key not in by_key[term] for key in keys)]
    if lone or any(len(by_key[term]) < len(meant[term]) for term in used):
        raise ValueError(
            f"the quantities inside {rule.word}(…) leave different parameters open ({', '.join(free)}); "
            f"write one {rule.word}(…) for each"
        )
    return [{term: by_key[term][key] for term in used} for key in keys]


def _with_terms(rule: Rule, chosen: Mapping[Term, Term]) -> Rule:
    if isinstance(rule, Not):
        return Not(_with_terms(rule.part, chosen))
    if isinstance(rule, Join):
        return Join(rule.word, tuple(_with_terms(part, chosen) for part in rule.parts))
    if isinstance(rule, Each):
        raise AssertionError("the reader lets no `all` or `any` stand inside another")
    left, right = (chosen[side] if isinstance(side, Term) else side for side in (rule.left, rule.right))
    return Comparison(left, rule.operator, right)
