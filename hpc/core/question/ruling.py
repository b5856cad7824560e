"""What the runs make of a criterion: an answer from what was measured, what it leaves open, and what shows it.

Each quantity has the value that was measured and the values it could still have: a mean, a change or an effect size
anything inside its interval, a p-value anything (more seeds could lower it) unless equality was shown, a verdict only
itself once no further seeds are due, and whatever runs have not ended everything. Runs that gave no value are put in
once as the worst and once as the best value of their metric; that gives several accounts of one experiment.

    SUPPORTED          the measured values meet the criterion, in every account, and that is shown (below)
    MET AT FACE VALUE  they meet it, and nothing in the criterion says that this is more than chance
    REFUTED            no value that the quantities could still have meets it, in any account
    UNDECIDED          everything else

Shown is an estimate whose whole interval meets what is asked; or beside which, joined by `and`, a p-value, `tested` or
`verdict` of the same comparison is met. A test shows a difference, so it stands for claims that equality would not
meet; EQUIVALENT for the others. Of alternatives (`or`, `any`) one is chosen after the fact: there a p-value that is not
adjusted and an interval have to be as many times surer, and the 2σ rule shows nothing. Counts of runs are facts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.core.question.criterion import (
    FUNCTIONS,
    MIRRORED,
    Comparison,
    Constant,
    Each,
    Join,
    Rule,
    Term,
    truth,
    walk,
    without_not,
)
from hpc.core.question.falsifiable import holds

LAXEST = 0.1
"""A test or an interval that is wrong more often shows nothing, whatever error rate was declared."""


class Ruling(StrEnum):
    """The answer to a criterion."""

    SUPPORTED = "SUPPORTED"
    FACE_VALUE = "MET AT FACE VALUE"
    REFUTED = "REFUTED"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True)
class Measured:
    """One quantity in one account.

    Attributes:
        value: What was measured, in the metric's unit, as a share or as a word; None when there is nothing.
        low: Least value it could still have; None when that is open.
        high: Largest value it could still have.
        note: Its n, and why something is open, for people.
    """

    value: float | str | None
    low: float | str | None = None
    high: float | str | None = None
    note: str = ""

    @classmethod
    def settled(cls, value: float | str, note: str = "") -> "Measured":
        """A quantity that cannot turn out otherwise."""
        return cls(value, value, value, note)


@dataclass(frozen=True)
class Level:
    """How sure an answer has to be.

    Attributes:
        alpha: Error rate that tests may have.
        confidence: Coverage of the intervals.
        looks: How often the runs could be looked at; p-values are raised for it already, intervals are not.
    """

    alpha: float = 0.05
    confidence: float = 0.95
    looks: int = 1

    def allows(self, error: float) -> bool:
        """Whether something that is wrong so often shows anything."""
        return error <= min(self.alpha, LAXEST) + 1e-9  # 1 - 0.95 is a little more than 0.05

    @property
    def interval_error(self) -> float:
        """How often an interval lies wholly on one side of what is true, at any look."""
        return self.looks * (1 - self.confidence) / 2


@dataclass(frozen=True)
class Clause:
    """One comparison of a criterion with its numbers.

    Attributes:
        comparison: The comparison, bound to its configurations.
        left: Left side in the account without the missing runs; None for a fixed value.
        right: Right side in the same account; None for a fixed value.
        met: Whether the measured values meet it, in every account; None where accounts differ or nothing is measured.
        possible: Whether values that the quantities could still have meet it: True all, False none, None some.
        shown: Whether it is met by more than an estimate, in every account.
    """

    comparison: Comparison
    left: Measured | None
    right: Measured | None
    met: bool | None
    possible: bool | None
    shown: bool


@dataclass(frozen=True)
class Decision:
    """The answer, with everything it rests on.

    Attributes:
        ruling: The answer.
        clauses: The comparisons, in the order in which they are written.
        hangs_on_missing: Whether the accounts of the missing runs lead to different answers.
    """

    ruling: Ruling
    clauses: tuple[Clause, ...]
    hangs_on_missing: bool


Account = Callable[[Term], Measured]
"""Looks up a bound quantity in one account of the experiment."""


def decide(rule: Rule, accounts: Sequence[Account], level: Level | None = None) -> Decision:
    """Decide a bound criterion.

    Args:
        rule: The criterion, bound.
        accounts: At least one; the first leaves missing runs out, and its numbers are shown.
        level: How sure the answer has to be; None for the usual 5 % and 95 %.
    """
    shown = [_shown(without_not(rule), account, level or Level()) for account in accounts]
    rulings = [_ruling(rule, account, what) for account, what in zip(accounts, shown, strict=True)]
    comparisons = list(dict.fromkeys(one for one in walk(rule) if isinstance(one, Comparison)))
    is_met = set(rulings) <= {Ruling.SUPPORTED, Ruling.FACE_VALUE}
    agreed = rulings[0] if len(set(rulings)) == 1 else Ruling.FACE_VALUE if is_met else Ruling.UNDECIDED
    return Decision(
        ruling=agreed,
        clauses=tuple(_clause(one, accounts, all(what.get(one) for what in shown)) for one in comparisons),
        hangs_on_missing=len(set(rulings)) > 1 and not is_met,
    )


def _ruling(rule: Rule, account: Account, shown: Mapping[Comparison, bool]) -> Ruling:
    if truth(rule, lambda one: _met(one, account)):
        is_shown = truth(without_not(rule), lambda one: bool(_met(one, account)) and shown[_bound(one)])
        return Ruling.SUPPORTED if is_shown else Ruling.FACE_VALUE
    return Ruling.REFUTED if truth(rule, lambda one: _possible(one, account)) is False else Ruling.UNDECIDED


def _clause(one: Comparison, accounts: Sequence[Account], shown: bool) -> Clause:
    left, right = (accounts[0](side) if isinstance(side, Term) else None for side in (one.left, one.right))
    return Clause(
        comparison=one,
        left=left,
        right=right,
        met=_agreed([_met(one, account) for account in accounts]),
        possible=_agreed([_possible(one, account) for account in accounts]),
        shown=shown,
    )


# What shows a comparison

_Mark = tuple[str, str, frozenset[int | None]]
"""What a test that is met shows: ``difference`` or ``equality``, of which metric, between which configurations."""


def _shown(rule: Rule, account: Account, level: Level) -> dict[Comparison, bool]:
    """Say of each comparison whether it is met by more than an estimate."""
    found: dict[Comparison, bool] = {}
    for one, is_shown in _each_shown(rule, account, level, frozenset(), 1):
        found[one] = is_shown and found.get(one, True)
    return found


def _each_shown(
    rule: Rule, account: Account, level: Level, marks: frozenset[_Mark], choices: int
) -> Iterator[tuple[Comparison, bool]]:
    """Go through a rule without `not`.

    Args:
        marks: What the tests beside it show.
        choices: Among how many alternatives it was chosen.
    """
    if isinstance(rule, Join) and rule.word == "or":
        for part in rule.parts:
            yield from _each_shown(part, account, level, marks, choices * len(rule.parts))
        return
    beside = marks | {mark for one in _required(rule) for mark in _marks(one, account, level, choices)}
    for part in rule.parts if isinstance(rule, Join) else ():
        yield from _each_shown(part, account, level, beside, choices)
    if isinstance(rule, Comparison):
        yield rule, _is_shown(rule, account, level, beside, choices)


def _required(rule: Rule) -> Iterator[Comparison]:
    """The comparisons that all have to hold."""
    if isinstance(rule, Comparison):
        yield rule
    elif isinstance(rule, Join) and rule.word == "and":
        for part in rule.parts:
            yield from _required(part)


def _marks(one: Comparison, account: Account, level: Level, choices: int) -> Iterator[_Mark]:
    """What a comparison shows where it is a test that is met."""
    term, other = (one.left, one.right) if isinstance(one.left, Term) else (one.right, one.left)
    if not isinstance(term, Term) or not isinstance(other, Constant) or not _met(one, account):
        return
    pair, function = frozenset((term.configuration, term.counterpart)), FUNCTIONS[term.function]
    if function.is_p and isinstance(other.value, float):
        is_small = (one.operator if term is one.left else MIRRORED[one.operator]) in ("<", "<=")
        if is_small and level.allows(other.value * (1 if term.function == "adjusted_p" else choices)):
            yield "difference", term.metric, pair
    elif function.shows and _possible(one, account):
        word = account(term).value
        is_sure = choices == 1 if term.function == "verdict" else level.alpha <= LAXEST
        if word in function.shows and is_sure:
            yield "equality" if word == "EQUIVALENT" else "difference", term.metric, pair


def _is_shown(one: Comparison, account: Account, level: Level, marks: frozenset[_Mark], choices: int) -> bool:
    sides = [side for side in (one.left, one.right) if isinstance(side, Term)]
    functions = [FUNCTIONS[side.function] for side in sides]
    if all(function.counts for function in functions):
        return True
    if any(function.is_p or function.words for function in functions):
        return any(True for _ in _marks(one, account, level, choices)) or _is_difference(one) in marks
    if not all(function.has_interval for function in functions):
        return False
    is_clear = _possible(one, account) is True
    return (is_clear and level.allows(choices * level.interval_error)) or _mark_wanted(one) in marks


def _is_difference(one: Comparison) -> _Mark | None:
    """What has to be shown beside a p-value, or a word of the 2σ rule, that by itself shows nothing."""
    term, other = (one.left, one.right) if isinstance(one.left, Term) else (one.right, one.left)
    if not isinstance(term, Term) or not isinstance(other, Constant):
        return None
    function = FUNCTIONS[term.function]
    claims = function.is_p or (one.operator == "==" and other.value in function.shows and other.value != "EQUIVALENT")
    return ("difference", term.metric, frozenset((term.configuration, term.counterpart))) if claims else None


def _mark_wanted(one: Comparison) -> _Mark | None:
    """What a test has to show for a comparison of estimates; None where no test is about it."""
    left, right = one.left, one.right
    if isinstance(left, Term) and isinstance(right, Term):
        is_of_two = left.function == right.function == "mean" and left.metric == right.metric
        return ("difference", left.metric, frozenset((left.configuration, right.configuration))) if is_of_two else None
    term, other, operator = (
        (left, right, one.operator) if isinstance(left, Term) else (right, left, MIRRORED[one.operator])
    )
    if not isinstance(term, Term) or not isinstance(other, Constant) or not isinstance(other.value, float):
        return None
    if not FUNCTIONS[term.function].compares:
        return None
    excludes_equality = other.value <= 0 if operator in ("<", "<=") else other.value >= 0
    what = "difference" if excludes_equality else "equality"
    return what, term.metric, frozenset((term.configuration, term.counterpart))


# What is met, and what could still be


def _agreed(answers: Sequence[bool | None]) -> bool | None:
    return answers[0] if len(set(answers)) == 1 else None


def _met(one: Comparison | Each, account: Account) -> bool | None:
    """Whether the measured values meet a comparison."""
    left, right = _measured(one, account)
    if left.value is None or right.value is None:
        return None
    return holds(left.value, _bound(one).operator, right.value)


def _possible(one: Comparison | Each, account: Account) -> bool | None:
    """Whether all (True), none (False) or some (None) of the values that could still be meet a comparison."""
    left, right = _measured(one, account)
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return None
    operator = _bound(one).operator
    if operator in ("==", "!="):
        if left.low == left.high and right.low == right.high:
            return holds(left.low, operator, right.low)
        apart = left.high < right.low or left.low > right.high  # type: ignore[operator]  # both numbers, or both words
        return (operator == "!=") if apart else None
    # Of all pairs the ends decide: everything in between lies between them.
    ends = {holds(ours, operator, theirs) for ours in (left.low, left.high) for theirs in (right.low, right.high)}
    return ends.pop() if len(ends) == 1 else None


def _measured(one: Comparison | Each, account: Account) -> tuple[Measured, Measured]:
    bound = _bound(one)
    left, right = (
        Measured.settled(side.value) if isinstance(side, Constant) else account(side)
        for side in (bound.left, bound.right)
    )
    return left, right


def _bound(one: Comparison | Each) -> Comparison:
    if isinstance(one, Each):
        raise AssertionError("a criterion is bound before it is decided")
    return one


def from_table(values: Mapping[Term, Measured]) -> Account:
    """Make an account of a table; a quantity that is not in it is open."""
    return lambda term: values.get(term, Measured(None, note="not measured"))
