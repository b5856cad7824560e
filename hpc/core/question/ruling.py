"""What the runs make of a criterion: SUPPORTED, REFUTED or UNDECIDED, from what was measured and what it leaves open.

Each quantity has the value that was measured and the values it could still have: a mean, a change or an effect size
anything inside its interval, a p-value anything (more seeds could lower it) unless equality was shown, a verdict only
itself once no further seeds are due, and whatever runs have not ended everything. Runs that gave no value are put in
once as the worst and once as the best value of their metric; that gives several accounts of one experiment.

    SUPPORTED   the measured values meet the criterion, in every account
    REFUTED     no value that the quantities could still have meets it, in any account
    UNDECIDED   everything else
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.core.question.criterion import Comparison, Constant, Each, Rule, Term, truth, walk
from hpc.core.question.falsifiable import holds


class Ruling(StrEnum):
    """The answer to a criterion."""

    SUPPORTED = "SUPPORTED"
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
class Clause:
    """One comparison of a criterion with its numbers.

    Attributes:
        comparison: The comparison, bound to its configurations.
        left: Left side in the account without the missing runs; None for a fixed value.
        right: Right side in the same account; None for a fixed value.
        met: Whether the measured values meet it, in every account; None where accounts differ or nothing is measured.
        possible: Whether values that the quantities could still have meet it: True all, False none, None some.
    """

    comparison: Comparison
    left: Measured | None
    right: Measured | None
    met: bool | None
    possible: bool | None


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


def decide(rule: Rule, accounts: Sequence[Account]) -> Decision:
    """Decide a bound criterion.

    Args:
        rule: The criterion, bound.
        accounts: At least one; the first leaves missing runs out, and its numbers are shown.
    """
    rulings = [_ruling(rule, account) for account in accounts]
    comparisons = list(dict.fromkeys(one for one in walk(rule) if isinstance(one, Comparison)))
    return Decision(
        ruling=rulings[0] if len(set(rulings)) == 1 else Ruling.UNDECIDED,
        clauses=tuple(_clause(one, accounts) for one in comparisons),
        hangs_on_missing=len(set(rulings)) > 1,
    )


def _ruling(rule: Rule, account: Account) -> Ruling:
    if truth(rule, lambda one: _met(one, account)):
        return Ruling.SUPPORTED
    return Ruling.REFUTED if truth(rule, lambda one: _possible(one, account)) is False else Ruling.UNDECIDED


def _clause(one: Comparison, accounts: Sequence[Account]) -> Clause:
    left, right = (accounts[0](side) if isinstance(side, Term) else None for side in (one.left, one.right))
    return Clause(
        comparison=one,
        left=left,
        right=right,
        met=_agreed([_met(one, account) for account in accounts]),
        possible=_agreed([_possible(one, account) for account in accounts]),
    )


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
