"""Estimates of a criterion that nothing beside them makes sure: what `plan` warns of, with the rule to write instead.

A criterion as it is written, before it is bound: two quantities are of the same comparison when they name the same
metric and parameters. What the runs make of it is decided in `hpc.core.question.ruling`, by the same rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hpc.core.question.criterion import (
    FUNCTIONS,
    MIRRORED,
    Comparison,
    Constant,
    Each,
    Join,
    Not,
    Rule,
    Term,
    without_not,
)


@dataclass(frozen=True)
class Bare:
    """An estimate that a criterion asks for without asking how sure it is.

    Attributes:
        comparison: The comparison as it is written, without `not`.
        test: What to ask for besides; None where no test is about it.
        has_interval: Whether an interval can show it all the same.
    """

    comparison: Comparison
    test: Comparison | None
    has_interval: bool


def find_bare(rule: Rule, alpha: float = 0.05) -> tuple[Bare, ...]:
    """Find the estimates that no test beside them carries, in the order in which they are written."""
    return tuple(_find(without_not(rule), frozenset(), alpha, is_chosen=False))


def with_tests(rule: Rule, bare: tuple[Bare, ...]) -> Rule:
    """Write a criterion with the tests that it lacks."""
    return _with_tests(without_not(rule), {one.comparison: one.test for one in bare if one.test})


def _find(rule: Rule, beside: frozenset[tuple[str, Term]], alpha: float, *, is_chosen: bool) -> Iterator[Bare]:
    """Go through a rule without `not`.

    Args:
        beside: What the tests beside it show.
        is_chosen: Whether it is one of several alternatives: there only a test that is adjusted shows anything.
    """
    if isinstance(rule, Comparison):
        one = _bare(rule, alpha) or (_unadjusted(rule) if is_chosen else None)
        if one and not (one.test and _shown_by(one.test, alpha, is_chosen=is_chosen) & beside):
            yield one
        return
    is_chosen |= isinstance(rule, Each | Join) and rule.word in ("any", "or")
    beside |= {mark for one in _required(rule) for mark in _shown_by(one, alpha, is_chosen=is_chosen)}
    for part in rule.parts if isinstance(rule, Join) else (rule.part,):
        yield from _find(part, beside, alpha, is_chosen=is_chosen)


def _unadjusted(one: Comparison) -> Bare | None:
    """A p-value, or a word of the 2σ rule, that chance finds among several."""
    term = one.left
    tested = {"p": "adjusted_p", "verdict": "tested"}
    if not isinstance(term, Term) or term.function not in tested or not isinstance(one.right, Constant):
        return None
    if term.function == "verdict" and (one.operator != "==" or one.right.value not in FUNCTIONS["verdict"].shows):
        return Bare(one, None, has_interval=False)
    return Bare(one, replace(one, left=replace(term, function=tested[term.function])), has_interval=True)


def _required(rule: Rule) -> Iterator[Comparison]:
    """The comparisons that all have to hold."""
    if isinstance(rule, Comparison):
        yield rule
    elif isinstance(rule, Each):  # of each configuration by itself
        yield from _required(rule.part)
    elif isinstance(rule, Join) and rule.word == "and":
        for part in rule.parts:
            yield from _required(part)


def _shown_by(one: Comparison, alpha: float, *, is_chosen: bool) -> frozenset[tuple[str, Term]]:
    """What a test can show: ``difference`` or ``equality`` of a comparison."""
    term, other = (one.left, one.right) if isinstance(one.left, Term) else (one.right, one.left)
    if not isinstance(term, Term) or not isinstance(other, Constant):
        return frozenset()
    if is_chosen and term.function in ("p", "verdict"):
        return frozenset()
    function = FUNCTIONS[term.function]
    is_strict = isinstance(other.value, float) and other.value <= alpha
    if (function.is_p and is_strict) or (function.shows and one.operator == "==" and other.value in function.shows):
        return frozenset({("equality" if other.value == "EQUIVALENT" else "difference", replace(term, function=""))})
    return frozenset()


def _bare(one: Comparison, alpha: float) -> Bare | None:
    sides = [side for side in (one.left, one.right) if isinstance(side, Term)]
    functions = [FUNCTIONS[side.function] for side in sides]
    if any(function.is_p or function.words for function in functions) or all(one.counts for one in functions):
        return None
    return Bare(one, _test_of(one, alpha), all(function.has_interval for function in functions))


def _test_of(one: Comparison, alpha: float) -> Comparison | None:
    """Return the test that is about a comparison of estimates."""
    left, right = one.left, one.right
    if isinstance(left, Term) and isinstance(right, Term):
        is_of_two = left.function == right.function == "mean" and left.metric == right.metric and right.of
        tested = replace(left, function="adjusted_p", versus=right.of) if is_of_two else None
        return _small(tested, alpha) if tested else None
    term, other, operator = (
        (left, right, one.operator) if isinstance(left, Term) else (right, left, MIRRORED[one.operator])
    )
    if not isinstance(term, Term) or not isinstance(other, Constant) or not FUNCTIONS[term.function].compares:
        return None
    value = other.value if isinstance(other.value, float) else 0.0
    if value <= 0 if operator in ("<", "<=") else value >= 0:
        return _small(replace(term, function="adjusted_p"), alpha)
    return Comparison(replace(term, function="tested"), "==", Constant("EQUIVALENT", "EQUIVALENT"))


def _small(term: Term, alpha: float) -> Comparison:
    return Comparison(term, "<", Constant(alpha, f"{alpha:g}"))


def _with_tests(rule: Rule, tests: dict[Comparison, Comparison]) -> Rule:
    if isinstance(rule, Each | Not):
        return replace(rule, part=_with_tests(rule.part, tests))
    if isinstance(rule, Join) and rule.word == "or":
        return Join("or", tuple(_with_tests(part, tests) for part in rule.parts))
    if isinstance(rule, Join):
        ours = [one for one in rule.parts if isinstance(one, Comparison)]
        parts = [part if isinstance(part, Comparison) else _with_tests(part, tests) for part in rule.parts]
        return Join("and", tuple(dict.fromkeys([*parts, *(tests[one] for one in ours if one in tests)])))
    return Join("and", (rule, tests[rule])) if rule in tests else rule
