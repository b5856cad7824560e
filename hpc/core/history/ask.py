"""Questions in plain English, by rules: what a question asks for, or None. Pure."""

import re

from hpc.core.immutable import immutable

UNDERSTOOD = (
    "what learning rates have I tried?",
    "what was my best run?  (also: the best val_loss, the highest score)",
    "compare depth 12 with depth 24",
    "how did RUN do?  which runs used depth=12?  which runs began today?  (also: this week, this month)",
    "what have I tried?  which runs diverged?  what is running?  what was my last run?",
    "what should I try next?",
    "how long did the runs take?  which run was longest?  which run was fastest?",
    "how many GPU hours did I use this week?  (also: today, this month, in all)",
)
"""Examples of every question that is understood."""

_FILL = r"(?:please |can you |could you |tell me |show me |show |list |so |hey |and )*"
_DID = r"(?:try|use|test|run|sweep|explore)"
_DONE = r"(?:tried|used|tested|run|swept|explored)"
_TRIED = (
    rf"(?:have (?:i|we) (?:already )?{_DONE}|did (?:i|we) (?:already )?{_DID}|were {_DONE}"
    rf"|(?:has|have) been {_DONE}|(?:i|we)(?:'ve| have) {_DONE})"
)
_PARAMETER = r"(?P<name>[a-z_][\w .-]*?)"


@immutable
class Query:
    """What is asked for.

    Attributes:
        kind: ``values``, ``best``, ``compare``, ``list``, ``last``, ``todo``, ``lengths``, ``hours``, ``run``,
            ``with``.
        words: A parameter; a metric (or empty); sides; a state (or empty) and a period in which runs began;
            ``longest``, ``shortest`` or empty; a period of `hpc.core.history.spent`; a run.
    """

    kind: str
    words: tuple[str, ...] = ()


def understand(question: str) -> Query | None:
    """What a question asks for; None where no rule knows it."""
    text = re.sub(r"\s+", " ", question.strip().lower().replace("’", "'")).rstrip(" ?!.")
    text = re.sub(rf"^{_FILL}", "", text)
    if _HOURS.search(text):
        return _hours(text)
    if _OTHER_TIME.search(text):
        return None  # better no answer than that of another question
    period, text = _without_period(text)
    rules = (_lengths, _with, _comparison, _values, _states, _best, _run, _rest)
    found = next((found for rule in rules if (found := rule(text))), None)
    if (
        found is None
        and period
        and re.fullmatch(rf"(?:what|which|how many|my|the)? ?{_RUNS} ?(?:began|started)?", text)
    ):
        found = Query("list")
    if not period or found is None:
        return found
    return Query("list", ((found.words or ("",))[0], period)) if found.kind == "list" else None


_PERIODS = (
    ("today", r"today|since this morning"), ("yesterday", r"since yesterday"), ("week", r"this week|since monday"),
    ("month", r"this month"), ("year", r"this year"),
)  # fmt: skip
_OTHER_TIME = re.compile(
    r"\b(?:yesterday|ago|since (?!this morning|monday)\w+|(?:last|past|previous) (?:night|week|weekend|month|year"
    r"|hours?|days?|few|couple|\d+\b.*)|on (?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
"""Other times than `_PERIODS`, of which nothing but hours is known."""


def _without_period(text: str) -> tuple[str, str]:
    """The period of a question, empty where it names none; and the question without it."""
    for name, words in _PERIODS:
        without = re.sub(rf" ?\b(?:{words})\b", "", text).strip()
        if without != text:
            return name, without
    return "", text


_RUNS = r"(?:runs?|experiments?|trainings?|jobs?|sweeps?|it|they|one|each|everything)"


_HOURS = re.compile(
    r"\b(?:gpu|core|cpu|compute|machine)[ -]?(?:hours?|time)\b|\bhow much (?:compute|gpu|cpu)\b|\bhow many hours\b"
)


def _hours(text: str) -> Query | None:
    period = next((name for name, words in _PERIODS if re.search(rf"\b(?:{words})\b", text)), "")
    rest = re.sub("|".join(words for _, words in _PERIODS), "", text)
    if re.search(r"\b(?:last|past|ago|yesterday|since|before|january|february|march|april|may|june|july|august"
                 r"|september|october|november|december)\b", rest):  # fmt: skip
        return None  # another time than these: better no answer than that of another question
    return Query("hours", (period,))


def _lengths(text: str) -> Query | None:
    if re.search(r"\b(?:longest|slowest)\b", text) and re.search(rf"\b{_RUNS}\b|\btook\b", text):
        return Query("lengths", ("longest",))
    if re.search(r"\b(?:shortest|fastest|quickest)\b", text) and re.search(rf"\b{_RUNS}\b|\btook\b", text):
        return Query("lengths", ("shortest",))
    if re.search(r"\bhow (?:long|much time)\b.*\b(?:take|took|taken|last|lasted|run|ran|need|needed)\b", text):
        return Query("lengths", ("",))
    return Query("lengths", ("",)) if re.search(r"\b(?:durations?|run ?times?|wall times?)\b", text) else None


def _comparison(text: str) -> Query | None:
    found = re.fullmatch(
        r"(?:compare|what(?: is|'s) the difference between|how (?:does|do|did)|is"
        r"|(?:did|does|do)(?=.* (?:beat|outperform) )|which is better[,:]?) (.+)",
        text,
    )
    if not found:
        return None
    words = found[1].split()
    parts = (
        words
        if all("=" in word for word in words)
        else re.split(
            r"\s*(?:,| with | and | against | versus | vs\.? | to | or | compare(?:d)? (?:to|with) | better than "
            r"| beats? | outperforms? )\s*",
            found[1].removesuffix(" compare"),
        )
    )
    sides = [re.sub(r"^(?:runs? |the |with |at )+", "", part.strip()) for part in parts if part.strip()]
    name, read = "", []
    for side in sides:
        pair = re.fullmatch(r"([a-z_][\w.-]*(?: [a-z_][\w.-]*)*)\s*(?:=|:| of | )\s*(\S+)", side)
        if pair and (not re.fullmatch(r"[a-z_][\w.-]*", pair[2]) or "=" in side):
            name = pair[1].strip().replace(" ", "_")
            read.append(f"{name}={pair[2]}")
        elif name and re.fullmatch(r"[+-]?[\d.]\S*", side):  # depth 12 and 24
            read.append(f"{name}={side}")
        else:
            read.append(side)
    return Query("compare", tuple(read)) if len(read) > 1 else None


_PAIR = re.compile(r"(?:an? |the )?([a-z_][\w.-]*(?: [a-z_][\w.-]*)*?)\s*(?:=|:| of | )\s*([^\s=]*\d\S*|\S+)")


def _with(text: str) -> Query | None:
    found = re.fullmatch(
        rf"(?:which |what |all |my |the |any )*{_RUNS} (?:(?:that |which )?(?:used|use|had|have|has)|with|at|where)"
        r" (.+)",
        text,
    )
    pairs = [_PAIR.fullmatch(side.strip()) for side in re.split(r",| and ", found[1])] if found else []
    if not pairs or not all(pairs):
        return None
    return Query("with", tuple(f"{each[1].replace(' ', '_')}={each[2]}" for each in pairs if each))


_RUN = re.compile(
    r"(?:how (?:did|does|is|was) (?:run |experiment )?(\S+)(?: (?:do|doing|go|end|perform|work))?"
    r"|what (?:happened|became) (?:to|with|of) (?:run |experiment )?(\S+)"
    r"|what (?:is|was|were) the (?:results?|outcome|[\w ]*?(?:loss|score|accuracy|acc|error)) (?:of|for)"
    r" (?:run |experiment )?(\S+)"
    r"|(?:about|run) (\S+))"
)


def _run(text: str) -> Query | None:
    found = _RUN.fullmatch(text)
    return Query("run", (next(filter(None, found.groups())),)) if found else None


_RUN_WORDS = {"run", "runs", "one", "experiment", "experiments", "model", "config", "configuration", "setting"}


def _values(text: str) -> Query | None:
    which = re.fullmatch(
        rf"(?:what|which) {_PARAMETER} (?:is|was|were|works?|worked|did|does)(?: the)? best(?: so far)?", text
    )
    if which and which["name"] not in _RUN_WORDS:
        return Query("values", (which["name"],))
    of = r"values? (?:of|for) (?:the )?"
    named = rf"{_PARAMETER}(?: values?| settings?)?"
    patterns = (
        rf"(?:what|which) (?:are the )?(?:different )?(?:{of})?{named} {_TRIED}(?: so far| before)?",
        rf"(?:what |which )?{of}{_PARAMETER}(?: {_TRIED})?(?: so far)?",
        rf"(?:the )?{named} (?:that )?{_TRIED}(?: so far)?",
        rf"have (?:i|we) (?:already )?tried (?:different |other |several )?{_PARAMETER}",
    )
    found = next((match for each in patterns if (match := re.fullmatch(each, text))), None)
    if not found:
        return None
    name = re.sub(r"^(?:how many |different |other |of the |the )+", "", found["name"].strip())
    general = {
        "",
        "what",
        "which",
        "things",
        "thing",
        "experiments",
        "experiment",
        "runs",
        "configs",
        "configurations",
        "else",
    }
    return Query("list") if name in general else Query("values", (name,))


def _states(text: str) -> Query | None:
    for state, words in (
        ("diverged", r"diverg\w*|blew up|blow up|exploded|nan"), ("failed", r"fail\w*|crash\w*|died|broke"),
        ("running", r"running|still run|in progress|not finished|unfinished"), ("finished", r"finished|completed|done"),
    ):  # fmt: skip
        if re.search(rf"\b(?:{words})\b", text) and re.match(
            r"(?:what|which|how many|did|is|are|any|the|my|all|runs?|diverged|failed|running|finished|crashed)\b", text
        ):
            return Query("list", (state,))
    return None


def _best(text: str) -> Query | None:
    found = re.search(r"\b(?:best|lowest|highest|smallest|largest|top|winner|winning)\b(?P<rest>.*)", text)
    if not found:
        return None
    words = re.sub(
        r"\b(?:runs?|experiment|results?|config\w*|settings?|model|one|so far|ever|did|i|we|have|had|get|got|is|was|my"
        r"|our|of|by|on|in|the|for|value)\b",
        " ",
        found["rest"],
    )
    return Query("best", ("_".join(words.split()),))


_NEXT = re.compile(
    r"\b(?:try|do|run|test) next\b|\bthings? to try\b|\bto-?dos?\b|\bideas?\b|what (?:should|could|else) .*\btry\b"
    r"|what'?s next|\b(?:left|remains|remaining|still) to (?:try|do|run|test)\b"
    r"|\bhave(?:n't| not) (?:i |we )?(?:yet )?tried\b"
)
_ALL = re.compile(
    rf"{_TRIED}|\b(?:all|my|our|the) (?:experiments?|runs?)\b|^(?:experiments?|runs?|history|summary|everything)$"
    r"|how many (?:experiments?|runs?)"
)


def _rest(text: str) -> Query | None:
    if _NEXT.search(text):
        return Query("todo")
    if re.search(r"\b(?:last|latest|newest|most recent)\b", text):
        return Query("last")
    return Query("list") if _ALL.search(text) else None
