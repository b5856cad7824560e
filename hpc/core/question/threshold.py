"""From a threshold in words to a criterion: ``final_error at rank 16 at least 5 % below rank 8``. Pure.

A draft that a person confirms, never more: what cannot be read with certainty gives none. The metric and the
configurations are found by their names and values, the amount by its unit, the direction by its word; what comes out is
bound to the experiment like any criterion, and given only where that meets no objection.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpc.core.experiment.grid import CASE
from hpc.core.experiment.spec import Metric, Value
from hpc.core.experiment.values import render_value
from hpc.core.question.bare import find_bare
from hpc.core.question.criterion import Question, Term, bind, parse_criterion
from hpc.core.question.falsifiable import objections

_DOWN = r"below|under|lower|less|smaller|fewer|shorter|faster|lowers?|reduc\w+|drops?|falls?|decreas\w+|cuts?|saves?"
_UP = r"above|over|higher|more|greater|larger|bigger|longer|exceed\w*|rais\w+|increas\w+|gains?|rises?|grows?"
_BETTER = r"better|improv\w*|beats?|wins?|outperform\w*"
_WORSE = r"worse"
_THAN = r"\b(?:than|against|versus|vs\.?|compared (?:with|to)|relative to|below|above|over|under|beats?|outperforms?)\b"
_TEST = r"(?P<adjusted>adjusted |corrected )?\bp(?:-value)?\s*(?:<=?|≤|below|under|of at most)\s*(?P<level>\d*\.\d+)"
_SIGMAS = r"\b(?:two|2)\s*(?:σ|sigmas?\b|sd\b|standard deviations?\b)"
_FUNCTIONS = {"std": r"\bstandard deviation\b|\bspread\b", "median": r"\bmedian\b"}
_EACH = r"\b(?:each|every|all|both|same)\b"
_UNREAD = r"\b(?:each|every|all|both|any|\w+) (?:of (?:the )?)?(?:\w+ )?(?:seeds?|runs?|tasks?)\b"
"""What a mean over the runs does not say."""
_DENIED = r"\b(?:not|n't|no|never|neither|nor|without|unless|points?)\b"
_TIMES = r"\d\s*(?:x\b|×)|\b(?:times|fold|factor|half|twice|thrice|halv\w+|doubl\w+|tripl\w+|quarter|thirds?)\b"
"""A multiple, which no amount of ours is."""
_MEASURES = (
    r"\b(?:accurac\w+|loss(?:es)?|errors?|perplexit\w+|ppl|scores?|rewards?|returns?|f1|auc|auroc|precision|recall|bleu|"
    r"rouge|mse|rmse|mae|latenc\w+|throughput|memory|time|costs?)\b"
)
"""What people measure: one that is not the metric's own name is another metric."""
_LIMIT = r"\b(?:below|under|above|over|exceed\w*|than)\b"
"""Words that set a bound; "lower" and "improves" alone tell of a change."""
_BOUND = r"\b(?:no|not) (?:more|less) than\b|\bor (?:more|less)\b"
_BETWEEN = r"(?:\s+(?:that|those|with|of|for|at|the|in|its|a|an|mean|METRIC|configuration|setting))*"
_KNOWN = rf"{_BETWEEN}\s+(?:\x01|baseline|[-+]?\.?\d)"
"""What may stand behind "than": a configuration, the baseline, a number."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_UNDERSTOOD = 1
"""Amounts that a threshold may hold; with two it says two things, of which a draft could miss one."""


@dataclass(frozen=True)
class _Mention:
    """A configuration that a text speaks of: where, and the parameter with its value."""

    place: int
    name: str
    value: Value


def draft_criterion(text: str, question: Question, metric: Metric, alpha: float = 0.05) -> str:
    """Write a threshold as a criterion; empty where it cannot be read with certainty.

    Args:
        text: The threshold as a person wrote it, or a criterion.
        question: What a criterion can speak of.
        metric: The primary metric.
        alpha: Level of a test that is added where several seeds allow one.
    """
    if is_question(text, question):
        return text
    for drafted in _drafts(" ".join(text.split()), question, metric):
        tested = _tested(drafted, question, alpha)
        for rule in (tested, f"all({tested})" if re.search(_EACH, text, re.IGNORECASE) else ""):
            if rule and is_question(rule, question):
                return rule
    return ""


def readings(text: str, question: Question, metric: Metric, alpha: float = 0.05) -> tuple[str, ...]:
    """Write the rules that a threshold could mean which leaves open at which of the other settings it has to hold.

    Returns:
        The rule for each of them, and the one for at least one; empty where the threshold is read, or cannot be.
    """
    if draft_criterion(text, question, metric, alpha):
        return ()
    for drafted in _drafts(" ".join(text.split()), question, metric):
        tested = _tested(drafted, question, alpha)
        rules = (f"all({tested})", f"any({tested})")
        if all(is_question(rule, question) for rule in rules):
            return rules
    return ()


def configuration_in(text: str, question: Question) -> dict[str, Value]:
    """The configuration that a text names; empty where it names none, or one parameter with two values."""
    mentions, _ = _mentions(text, question)
    chosen: dict[str, Value] = {}
    for one in mentions:
        if chosen.setdefault(one.name, one.value) != one.value:
            return {}
    return chosen


def not_swept(text: str, question: Question) -> str:
    """Name a number that a text gives a swept parameter and the sweep does not have; empty where there is none.

    Only what is written ``lr=0.1`` is read; the answer is ``lr=0.1 is not in the sweep (0.01, 0.03, 0.09)``.
    """
    varying: dict[str, list[Value]] = {}
    for name, value in _values(question):
        varying.setdefault(name, []).append(value)
    for name, values in varying.items():
        numbers = sorted(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
        for match in re.finditer(rf"(?<![\w.]){re.escape(name)}\s*=\s*({_NUMBER})(?![\w.]*\w)", text, re.IGNORECASE):
            if len(numbers) == len(values) and float(match[1]) not in numbers:
                return f"{name}={match[1]} is not in the sweep ({', '.join(map(render_value, numbers))})"
    return ""


def is_question(text: str, question: Question) -> bool:
    """Whether a text is a criterion that the experiment can answer."""
    return not whats_wrong(text, question)


def whats_wrong(text: str, question: Question) -> tuple[str, ...]:
    """Say why a text is no criterion of this experiment; nothing where it is one."""
    try:
        rule = parse_criterion(text)
        bind(rule, question)
    except ValueError as error:
        return (str(error),)
    return objections(rule, question)


def _tested(drafted: str, question: Question, alpha: float) -> str:
    """Ask for the test that a difference lacks, where there are runs enough for one."""
    lacks = find_bare(parse_criterion(drafted), alpha)
    asks = any(one.test and isinstance(one.test.left, Term) and one.test.left.function == "adjusted_p" for one in lacks)
    return f"{drafted} and adjusted_p < {alpha:g}" if asks and question.runs > 1 else drafted


def _drafts(text: str, question: Question, metric: Metric) -> Iterator[str]:
    """What a text could mean, the likeliest first."""
    test = re.search(_TEST, text, re.IGNORECASE)
    plain = re.sub(_TEST, " ", text, flags=re.IGNORECASE)
    named = _metrics_in(plain, question.metrics)
    if len(named) > 1:
        return
    name = named[0] if named else metric.name
    plain = re.sub(_words_of(name), " METRIC ", plain, flags=re.IGNORECASE)
    mentions, rest = _mentions(plain, question)
    rest = re.sub(r"\bover (?:the |all )?(?:\w+ )?(?:seeds|runs)\b", " ", rest, flags=re.IGNORECASE)
    is_clear = all(
        re.match(_KNOWN, rest[one.end() :], re.IGNORECASE) for one in re.finditer(_THAN, rest, re.IGNORECASE)
    )
    rest = re.sub(r"(\x01)(\s*,?\s*(?:and|with|at)\s*)(?=\x01)", lambda one: one[1] + " " * len(one[2]), rest)
    said = re.sub(_BOUND, " ", rest, flags=re.IGNORECASE)
    is_more = re.search(rf"{_UNREAD}|{_DENIED}|{_TIMES}|;|\b(?:and|or|but|while)\b", said, re.IGNORECASE)
    if is_more or not is_clear or _measures_other(rest, name):
        return
    split = _split(rest, mentions)
    ours = _pairs([one for one in mentions if one.place < split])
    theirs = _pairs([one for one in mentions if one.place >= split])
    if ours is None or theirs is None:
        return
    compares = (
        bool(theirs) or "baseline" in rest.lower() or re.search(rf"\bby\s+(?:at \w+ )?{_NUMBER}", said) is not None
    )
    of = ", ".join(part for part in (name, ours) if part) + (f" versus {theirs}" if theirs else "")
    for rule in _rules(rest, of, metric, compares=compares):
        yield rule + (f" and {'adjusted_p' if test['adjusted'] else 'p'} < {test['level']}" if test else "")


def _rules(text: str, of: str, metric: Metric, *, compares: bool) -> Iterator[str]:
    """Put amount and direction together."""
    if re.search(_SIGMAS, text, re.IGNORECASE):
        yield f"verdict({of}) == WINNER"
        return
    amounts = re.findall(rf"{_NUMBER}\s*%?(?:\s*percent\b)?", text, re.IGNORECASE)
    direction = _direction(text, metric.goal)
    if len(amounts) > _UNDERSTOOD or direction is None:
        return
    if not amounts:
        if compares and direction:
            yield f"relative_change({of}) {'<' if direction < 0 else '>'} 0%"
        return
    is_share = "%" in amounts[0] or "percent" in amounts[0].lower()
    number = re.match(_NUMBER, amounts[0], re.IGNORECASE)
    if number is None:
        return
    amount = f"{number[0].lstrip('+')}{'%' if is_share else ''}"
    at_most = re.search(r"\bat most\b|\bno more than\b|\bnot more than\b|\bup to\b|\bmaximum\b", text, re.IGNORECASE)
    if compares and direction:
        function = "relative_change" if is_share else "change"
        sign = "-" if direction < 0 else ""
        outward = ("<=" if direction < 0 else ">=") if not at_most else (">=" if direction < 0 else "<=")
        yield f"{function}({of}) {outward} {sign}{amount.lstrip('-')}"
    elif not compares and (bound := _bound(text, direction, is_most=at_most is not None)):
        function = next((name for name, words in _FUNCTIONS.items() if re.search(words, text, re.IGNORECASE)), "mean")
        yield f"{function}({of}) {bound} {amount}"


def _direction(text: str, goal: str) -> int | None:
    """Which way: -1 down, 1 up, 0 not said, None where it is said both ways."""
    better = -1 if goal == "min" else 1
    found = set()
    for pattern, way in ((_DOWN, -1), (_UP, 1), (_BETTER, better), (_WORSE, -better)):
        inside = re.sub(
            r"\b(?:no |not )?more than\b|\bless than or\b|\bor (?:more|less)\b|\bover (?:the|all)\b", " ", text
        )
        if re.search(rf"\b(?:{pattern})\b", inside, re.IGNORECASE):
            found.add(way)
    return None if len(found) > 1 else next(iter(found), 0)


def _bound(text: str, direction: int, *, is_most: bool) -> str:
    """The sign of a bound on the metric itself; empty where none is said."""
    if is_most or re.search(r"\bor less\b|≤|<=", text):
        return "<="
    if re.search(r"\bat least\b|\bor more\b|\breach\w*\b|\bminimum\b|≥|>=", text, re.IGNORECASE):
        return ">="
    if sign := re.search(r"[<>]", text):
        return sign[0]
    return {-1: "<", 1: ">"}.get(direction, "") if re.search(_LIMIT, text, re.IGNORECASE) else ""


def _metrics_in(text: str, metrics: Sequence[str]) -> list[str]:
    """The declared metrics that a text names, with words or underscores."""
    return [name for name in metrics if re.search(_words_of(name), text, re.IGNORECASE)]


def _measures_other(text: str, metric: str) -> bool:
    """Whether a text speaks of a measure that is not the metric: ``accuracy`` is ``val_acc``, and no ``val_loss``."""
    parts = [part for part in re.split(r"[\W_]+", metric.lower()) if part]
    said = (found[0].lower() for found in re.finditer(_MEASURES, text, re.IGNORECASE))
    return any(not any(word.startswith(part) or part.startswith(word) for part in parts) for word in said)


def _words_of(name: str) -> str:
    return rf"(?<![\w.]){r'[ _-]'.join(map(re.escape, re.split(r'[_-]', name)))}(?![\w])"


def _mentions(text: str, question: Question) -> tuple[list[_Mention], str]:
    """Find the configurations that are named, and the text without them (as long as before, so that places hold)."""
    found: list[_Mention] = []
    for name, value in _values(question):
        for pattern in _patterns(name, value):
            for match in re.finditer(pattern, text, re.IGNORECASE):
                found.append(_Mention(match.start(), name, value))
                text = text[: match.start()] + "\x01" * len(match[0]) + text[match.end() :]
    return sorted(found, key=lambda one: one.place), text


def _values(question: Question) -> list[tuple[str, Value]]:
    """Every swept name with each of its values, the longest first: ``lora_rank=16`` before ``lora_rank=1``."""
    pairs: dict[str, tuple[str, Value]] = {}
    for one in question.combinations:
        pairs |= {f"{name}={render_value(value)}": (name, value) for name, value in one.items()}
    varying = {name for name, _ in pairs.values() if sum(name == other for other, _ in pairs.values()) > 1}
    return [pairs[key] for key in sorted(pairs, key=len, reverse=True) if pairs[key][0] in varying]


def _patterns(name: str, value: Value) -> list[str]:
    """How people write a value of a parameter: with its name or the last word of it; a text also alone."""
    parts = re.split(r"[_.]", name)
    names = {re.escape(name), r"[ _-]".join(map(re.escape, parts)), re.escape(parts[-1])}
    shown = re.escape(render_value(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        mantissa, exponent = f"{value:e}".split("e")
        spelled = {shown, re.escape(f"{value:g}"), re.escape(str(value)), rf"{float(mantissa):g}e{int(exponent)}"}
        shown = rf"(?:{'|'.join(sorted(spelled, key=len, reverse=True))})(?![\d.]*\d)(?!\s*%)"
    with_name = [rf"(?<!\w)(?:{each})(?: of)?\s*=?\s*{shown}(?!\w)" for each in sorted(names, key=len, reverse=True)]
    if not isinstance(value, str) or len(value) < 3 or value.lower() in ("all", "none", "baseline", "both"):
        return with_name
    spaced = r"[ _-]".join(map(re.escape, re.split(r"[ _-]", value)))
    return [*with_name, rf"(?<!\w){spaced}(?!\w)"]


def _split(text: str, mentions: Sequence[_Mention]) -> int:
    """Where what is compared ends and what it is compared with begins."""
    the_baseline = re.compile(r"\s+(?:(?:that|those|the|of)\s+)*baseline", re.IGNORECASE)
    found = re.finditer(_THAN, text, re.IGNORECASE)
    places = [one.start() for one in found if not the_baseline.match(text, one.end())]
    behind = [place for place in places if any(one.place > place for one in mentions)]
    before = [place for place in behind if any(one.place < place for one in mentions)]
    return before[-1] if before else len(text) + 1


def _pairs(mentions: Sequence[_Mention]) -> str | None:
    """Write mentions as a configuration; None where one parameter has two values."""
    chosen: dict[str, Value] = {}
    for one in mentions:
        if one.name in chosen and chosen[one.name] != one.value:
            return None
        chosen[one.name] = one.value
    return ", ".join(f"{name}={_written(value)}" for name, value in _case_alone(chosen).items())


def _case_alone(chosen: Mapping[str, Value]) -> Mapping[str, Value]:
    """A named case says all there is."""
    return {CASE: chosen[CASE]} if CASE in chosen else chosen


def _written(value: Value) -> str:
    text = render_value(value)
    is_bare = re.fullmatch(r"[A-Za-z_][\w./-]*|[-+]?[\d.]+(?:[eE][-+]?\d+)?", text)
    return text if is_bare else f"'{text}'"
