"""A criterion in words: ``SUPPORTED if the mean of final_error with lora_rank=16 is at least 5 % below …``. Pure.

For the person who wrote the rule and has to say whether it is what was meant: each part of the rule has its words, so
that reading them is reading the rule.
"""

from collections.abc import Mapping, Sequence

from hpc.core.experiment.values import render_value
from hpc.core.question.criterion import (
    FUNCTIONS,
    MIRRORED,
    Comparison,
    Constant,
    Each,
    Join,
    Not,
    Pairs,
    Rule,
    Term,
    terms,
)

_SIGNS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "equal to", "!=": "other than"}
_OF = {
    "mean": "the mean of {metric}{of}",
    "median": "the median of {metric}{of}",
    "min": "the smallest {metric} of any run{of}",
    "max": "the largest {metric} of any run{of}",
    "std": "the standard deviation of {metric} over the runs{of}",
    "n": "the number of runs{of} that gave {metric}",
    "failed": "the number of runs{of} that failed for good",
    "change": "the mean of {metric}{of} minus that {versus}",
    "relative_change": "the mean of {metric}{of}, relative to that {versus},",
    "cohens_d": "the difference of {metric}{of} from that {versus}, in pooled standard deviations,",
    "p": "the p-value of {metric}{of} against that {versus}",
    "adjusted_p": "the p-value of {metric}{of} against that {versus}, corrected for all comparisons,",
    "verdict": "the 2σ rule's answer for {metric}{of} against that {versus}",
    "tested": "the test's answer for {metric}{of} against that {versus}",
}
"""Function → its quantity in words; a test holds the keys against `FUNCTIONS`."""
_SAME = {
    "p": "the p-value of that comparison",
    "adjusted_p": "the p-value of that comparison, corrected for all comparisons,",
}
_UNITS = {"relative_change": "", "change": "", "cohens_d": " pooled standard deviations"}


def speak(rule: Rule, primary: str, swept: Sequence[str] = ()) -> str:
    """Say a rule.

    Args:
        rule: As it was read, not bound.
        primary: The metric that is meant where none is named.
        swept: Names that have several values; `all` ranges over those that the rule does not name.
    """
    return f"SUPPORTED if {_said(rule, primary, swept, [])}"


def _said(rule: Rule, primary: str, swept: Sequence[str], said: list[Term]) -> str:
    """Say a rule; `said` holds the quantity that was spoken of last, in words "that comparison"."""
    if isinstance(rule, Not):
        return f"it is not the case that ({_said(rule.part, primary, swept, said)})"
    if isinstance(rule, Each):
        named = {name for term in terms(rule) for name, _ in (*term.of, *(term.versus or ()))}
        free = " and ".join(name for name in swept if name not in named) or "configuration"
        which = f"for every {free}" if rule.word == "all" else f"for at least one {free}"
        return f"{which}: {_said(rule.part, primary, swept, said)}"
    if isinstance(rule, Join):
        if between := _between(rule, primary):
            return between
        parts = [_said(part, primary, swept, said) for part in rule.parts]
        grouped = [
            f"({text})" if isinstance(part, Join) else text for part, text in zip(rule.parts, parts, strict=True)
        ]
        return f", {rule.word} ".join(grouped)
    return _compared(rule, primary, said)


def _between(rule: Join, primary: str) -> str:
    """``-2% <= relative_change <= 2%``: one quantity that lies between two numbers; empty for any other rule."""
    if rule.word != "and" or len(rule.parts) != 2:
        return ""
    low, high = rule.parts
    if not (isinstance(low, Comparison) and isinstance(high, Comparison)):
        return ""
    ends = isinstance(low.left, Constant) and isinstance(high.right, Constant)
    if not ends or low.right != high.left or {low.operator, high.operator} != {"<="} or not isinstance(low.right, Term):
        return ""
    return f"{_quantity(low.right, primary, [])} lies between {low.left.text} and {high.right.text}"


def _compared(rule: Comparison, primary: str, said: list[Term]) -> str:
    left, right, operator = rule.left, rule.right, rule.operator
    if isinstance(left, Constant):
        left, right, operator = right, left, MIRRORED[operator]
    if isinstance(left, Constant):
        return rule.text
    if isinstance(right, Constant) and left.function in _UNITS and isinstance(right.value, float):
        text = _moved(left, operator, right, primary)
        said[:] = [left]
        return text
    quantity = _quantity(left, primary, said)
    said[:] = [left]
    other = right.text if isinstance(right, Constant) else _quantity(right, primary, [])
    if isinstance(right, Constant) and FUNCTIONS[left.function].words and operator in ("==", "!="):
        return f"{quantity} is {'' if operator == '==' else 'not '}{right.text}"
    return f"{quantity} is {_SIGNS[operator]} {other}"


def _moved(term: Term, operator: str, amount: Constant, primary: str) -> str:
    """Say a difference with a number: ``is at least 5 % below that with lora_rank=8``."""
    value = float(amount.value)
    of, versus, metric = _with(term.of), _against(term.versus), term.metric or primary
    size = amount.text.lstrip("+-").strip() + _UNITS[term.function]
    size = size.replace("%", " %").replace("  ", " ") if "%" in size else size
    if term.function == "relative_change" and "%" not in amount.text:
        size = f"{100 * abs(value):g} %"
    subject = f"the mean of {metric}{of} is"
    if operator in ("==", "!="):
        return f"{subject} {'' if operator == '==' else 'not '}{size} {'below' if value < 0 else 'above'} that {versus}"
    if value == 0:
        return f"{subject} {_AT_ZERO[operator]} that {versus}"
    falls = operator in ("<", "<=")
    is_strict = operator in ("<", ">")
    outward = (value < 0) == falls  # away from nothing: at least so much
    bound = ("more than" if is_strict else "at least") if outward else ("less than" if is_strict else "at most")
    return f"{subject} {bound} {size} {'below' if value < 0 else 'above'} that {versus}"


_AT_ZERO: Mapping[str, str] = {"<": "below", "<=": "not above", ">": "above", ">=": "not below"}


def _quantity(term: Term, primary: str, said: list[Term]) -> str:
    before = said[0] if said else None
    if before and term.function in _SAME and _of_the_same(term, before, primary):
        return _SAME[term.function]
    filled = {"metric": term.metric or primary, "of": _with(term.of), "versus": _against(term.versus)}
    return _OF[term.function].format(**filled)


def _of_the_same(term: Term, before: Term, primary: str) -> bool:
    """Whether two quantities are of one comparison."""
    if not FUNCTIONS[before.function].compares:
        return False
    same = (term.of, term.versus, term.metric or primary)
    return same == (before.of, before.versus, before.metric or primary)


def _with(pairs: Pairs) -> str:
    return f" with {_listed(pairs)}" if pairs else ""


def _against(versus: Pairs | None) -> str:
    return f"with {_listed(versus)}" if versus is not None else "of the baseline"


def _listed(pairs: Pairs) -> str:
    written = [f"{name}={'null' if value is None else render_value(value)}" for name, value in pairs]
    return " and ".join([", ".join(written[:-1]), written[-1]] if len(written) > 2 else written)
