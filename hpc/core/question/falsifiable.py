"""Whether a criterion can come out both ways: what always or never holds is no question, and is refused at planning.

Each quantity takes, in turn, every value that makes a difference (each threshold, and points between and beside them)
within what it can be at all: a p-value lies between 0 and 1, a count between 0 and the planned runs. That is exact for
comparisons with numbers and with each other. Of what ties quantities of one configuration only order and sign are used
(min ≤ median ≤ max, p ≤ adjusted p, a change and its share have one sign); so only what is certain is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, permutations, product
from math import isfinite, prod

from hpc.core.errors import nearest
from hpc.core.question.criterion import (
    FUNCTIONS,
    MIRRORED,
    OPPOSITE,
    Comparison,
    Constant,
    Each,
    Function,
    Join,
    Not,
    Question,
    Rule,
    Term,
    truth,
    walk,
)

MAX_ASSIGNMENTS = 200_000
_ORDERED = {
    ("min", "median"), ("min", "mean"), ("min", "max"), ("median", "max"), ("mean", "max"), ("p", "adjusted_p"),
}  # fmt: skip
"""The first is never above the second."""
_SAME_SIGN = {"change", "relative_change", "cohens_d"}
Amount = float | str | None
_COMPARE = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
}


def holds(left: float | str, operator: str, right: float | str) -> bool:
    """Compare two values of one kind."""
    return bool(_COMPARE[operator](left, right))


def objections(rule: Rule, question: Question) -> tuple[str, ...]:
    """Say what is wrong with a criterion that was read and whose names are known; nothing when it is a question."""
    wrong = [message for one, wanted in _wanted(rule, wanted=True) for message in _mistyped(one, wanted=wanted)]
    rule = _with_primary(rule, question.metrics[0])
    wrong = wrong or [message for one in _comparisons(rule) for message in _one_sided(one, question)]
    inside = [one.part for one in walk(rule) if isinstance(one, Each)]
    for part in (*inside, rule):
        wrong = wrong or list(_one_sided(part, question))
    return tuple(dict.fromkeys(wrong))


def _comparisons(rule: Rule) -> list[Comparison]:
    return [one for one in walk(rule) if isinstance(one, Comparison)]


def _wanted(rule: Rule, *, wanted: bool) -> Iterator[tuple[Comparison, bool]]:
    """Return each comparison and whether the rule wants it to hold (False below an odd number of `not`)."""
    if isinstance(rule, Comparison):
        yield rule, wanted
    elif isinstance(rule, Join):
        for part in rule.parts:
            yield from _wanted(part, wanted=wanted)
    else:
        yield from _wanted(rule.part, wanted=wanted is not isinstance(rule, Not))


# What can be compared with what


def _mistyped(one: Comparison, *, wanted: bool) -> Iterator[str]:
    functions = [FUNCTIONS[side.function] for side in (one.left, one.right) if isinstance(side, Term)]
    if not functions:
        yield f"'{one.text}' compares two fixed values; put a quantity on one side: {', '.join(sorted(FUNCTIONS))}"
    elif any(function.words for function in functions):
        yield from _mistyped_words(one)
    elif any(isinstance(side, Constant) and isinstance(side.value, str) for side in (one.left, one.right)):
        yield f"'{one.text}' compares a number with a word; verdict(…) and tested(…) answer with words"
    elif any(function.is_p for function in functions):
        yield from _misused_p(one, wanted=wanted)
    elif one.operator in ("==", "!=") and not all(function.counts for function in functions):
        yield (
            f"'{one.text}' asks for exact equality, which measured numbers never reach; write a bound such as <= or >="
        )


def _mistyped_words(one: Comparison) -> Iterator[str]:
    term, other = (one.left, one.right) if isinstance(one.left, Term) else (one.right, one.left)
    words = FUNCTIONS[term.function].words if isinstance(term, Term) else ()
    if not words or isinstance(other, Term):
        yield f"'{one.text}' compares an answer with a quantity; write {term.text} == WINNER"
    elif other.value not in words:
        yield f"'{one.text}' never holds: {nearest(str(other.text), words)}"
    elif one.operator not in ("==", "!="):
        yield f"'{one.text}' puts answers in order; write == or !="


def _misused_p(one: Comparison, *, wanted: bool) -> Iterator[str]:
    is_left = isinstance(one.left, Term)
    other = one.right if is_left else one.left
    if isinstance(other, Term):
        yield f"'{one.text}' compares a p-value with a quantity; compare it with a number such as 0.05"
        return
    operator = one.operator if is_left else MIRRORED[one.operator]
    if (operator if wanted else OPPOSITE[operator]) not in ("<", "<="):
        yield (
            f"'{'' if wanted else 'not '}{one.text}' treats a large p-value as an answer, but a large p-value shows "
            "nothing; to claim that two are equal write tested(…) == EQUIVALENT"
        )


# Both ways


def _one_sided(rule: Rule, question: Question) -> Iterator[str]:
    """Say when a rule, or a part of one, always comes out the same."""
    found = outcomes(rule, question)
    if found is None:
        yield "has too many quantities to check; ask for less in one criterion"
    elif False not in found and None in found and not isinstance(rule, Comparison):
        yield (
            f"'{rule.text}' can never be refuted: a large p-value shows nothing. Add a size, such as "
            "relative_change(…) <= -5%, or declare metrics.primary.meaningful or analysis.equivalence"
        )
    elif found == {True}:
        yield f"'{rule.text}' is always true{_range_of(rule, question)}; both outcomes must be possible"
    elif True not in found:
        yield f"'{rule.text}' can never be true{_range_of(rule, question)}; both outcomes must be possible"


def _range_of(rule: Rule, question: Question) -> str:
    """Say in which range the quantity of a lone comparison lies, where it has an end."""
    term = next((side for side in _sides(rule) if isinstance(side, Term)), None)
    low, high = _bounds(FUNCTIONS[term.function], question) if term else (0.0, 0.0)
    if term is None or not isfinite(low):
        return ""
    between = f"between {low:g} and {high:g}" if isfinite(high) else f"at or above {low:g}"
    return f": {term.function} lies {between}"


def _sides(rule: Rule) -> tuple[Term | Constant, ...]:
    return (rule.left, rule.right) if isinstance(rule, Comparison) else ()


def outcomes(rule: Rule, question: Question) -> set[bool | None] | None:
    """Find how a rule can come out: true, false or open (None); None when there are too many quantities to try."""
    ranged = list(dict.fromkeys(one for one in walk(rule) if isinstance(one, Each)))
    hidden = {comparison for one in ranged for comparison in _comparisons(one)}
    visible = [one for one in _comparisons(rule) if one not in hidden]
    choices = _values(visible, question)
    for one in ranged:
        # True and False are numbers too: an `all` is a quantity with the values it can come out with.
        choices[one] = sorted(outcomes(one.part, question) or {True, False}, key=str)
    if prod(len(values) for values in choices.values()) > MAX_ASSIGNMENTS:
        return None
    found: set[bool | None] = set()
    for values in product(*choices.values()):
        taken = dict(zip(choices, values, strict=True))
        if not _is_possible(taken):
            continue
        found.add(truth(rule, lambda one, taken=taken: _answer(one, taken, question)))  # type: ignore[misc]
        if found >= {True, False}:
            break
    return found


def _answer(one: Comparison | Each, taken: Mapping[Term | Each, Amount], question: Question) -> bool | None:
    if isinstance(one, Each):
        return taken[one]  # type: ignore[return-value]
    left, right = (taken[side] if isinstance(side, Term) else side.value for side in (one.left, one.right))
    if left is None or right is None:
        return None
    met = holds(left, one.operator, right)
    is_p = any(isinstance(side, Term) and FUNCTIONS[side.function].is_p for side in (one.left, one.right))
    return None if is_p and not met and not question.has_margin else met


def _values(comparisons: Sequence[Comparison], question: Question) -> dict[Term | Each, Sequence[Amount]]:
    """Return for each quantity every value that can make a difference to these comparisons."""
    linked = _linked(comparisons)
    thresholds = {term: {0.0} if term.function in _SAME_SIGN else set[float]() for term in linked}
    for one in comparisons:
        for side, other in ((one.left, one.right), (one.right, one.left)):
            if isinstance(side, Term) and isinstance(other, Constant) and isinstance(other.value, float):
                for term in linked[side]:
                    thresholds[term].add(other.value)
    return {term: _points(term, thresholds[term], len(linked[term]), question) for term in linked}


def _linked(comparisons: Sequence[Comparison]) -> dict[Term, frozenset[Term]]:
    """Group the quantities that are compared with each other, directly or by way of others."""
    groups: dict[Term, frozenset[Term]] = {}
    for one in comparisons:
        sides = [side for side in (one.left, one.right) if isinstance(side, Term)]
        joined = frozenset(sides).union(*(groups.get(side, frozenset()) for side in sides))
        groups |= dict.fromkeys(joined, joined)
    for low, high in permutations(list(groups), 2):
        if _in_order(low, high):
            joined = groups[low] | groups[high]
            groups |= dict.fromkeys(joined, joined)
    return groups


def _is_possible(taken: Mapping[Term | Each, Amount]) -> bool:
    """Whether quantities of one configuration can have these values together."""
    numbers = [(term, value) for term, value in taken.items() if isinstance(term, Term) and isinstance(value, float)]
    for (one, value), (other, beside) in combinations(numbers, 2):
        if (_in_order(one, other) and value > beside) or (_in_order(other, one) and beside > value):
            return False
        if {one.function, other.function} <= _SAME_SIGN and _alike(one, other) and (value > 0) != (beside > 0):
            return False
    return True


def _in_order(low: Term, high: Term) -> bool:
    """Whether one quantity is never above another."""
    return (low.function, high.function) in _ORDERED and _alike(low, high)


def _alike(one: Term, other: Term) -> bool:
    return replace(one, function="") == replace(other, function="")


def _points(term: Term, thresholds: set[float], between: int, question: Question) -> Sequence[Amount]:
    function = FUNCTIONS[term.function]
    if function.words:
        return (*function.words, None) if term.function == "tested" else function.words
    low, high = _bounds(function, question)
    if function.counts:
        return [float(count) for count in range(int(high) + 1)]
    marks = sorted(thresholds | {end for end in (low, high) if isfinite(end)} or {0.0})
    outside = [marks[0] - 1 - step for step in range(between)] + [marks[-1] + 1 + step for step in range(between)]
    inside = [
        left + (right - left) * (step + 1) / (between + 1) for left, right in pairwise(marks) for step in range(between)
    ]
    return sorted(point for point in {*marks, *outside, *inside} if low <= point <= high)


def _bounds(function: Function, question: Question) -> tuple[float, float]:
    return function.low, float(question.runs) if function.counts else function.high


def _with_primary(rule: Rule, primary: str) -> Rule:
    """Write the primary metric out, so that a quantity is one whether it is named or not."""
    if isinstance(rule, Not):
        return Not(_with_primary(rule.part, primary))
    if isinstance(rule, Each):
        return Each(rule.word, _with_primary(rule.part, primary))
    if isinstance(rule, Join):
        return Join(rule.word, tuple(_with_primary(part, primary) for part in rule.parts))
    left, right = (
        replace(side, metric=side.metric or primary) if isinstance(side, Term) else side
        for side in (rule.left, rule.right)
    )
    return Comparison(left, rule.operator, right)
