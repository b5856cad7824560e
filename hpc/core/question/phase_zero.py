"""The questions of phase 0: what has to be answered before anything runs, in the order in which they are asked. Pure.

An answer is a sentence or two in the brief of the experiment's YAML, under the key of its question.
"""

from collections.abc import Mapping, Sequence

from hpc.core.immutable import immutable

STAGES = ("exploratory", "confirmatory")


@immutable
class Asked:
    """One question.

    Attributes:
        key: Under which the answer stands in the brief.
        about: What it is about, for headings: questions of one subject stand together.
        question: As it is asked.
        hint: What an answer holds, a few words.
        needed: Whether a brief without it is none; the others are asked for, too, and may be left open when exploring.
    """

    key: str
    about: str
    question: str
    hint: str
    needed: bool = True


_GOAL, _DATA, _MODEL, _METRICS = "Goal and hypothesis", "Data", "Model and baseline", "Metrics"
QUESTIONS = (
    Asked("goal", _GOAL, "What do you want to know?", "one question"),
    Asked("hypothesis", _GOAL, "What do you expect, and of which setting?", "a claim that can be wrong"),
    Asked("data", _DATA, "Which data?", "name, version or hash, how much"),
    Asked("splits", _DATA, "How are they split?", "training, validation, test; what keeps them apart"),
    Asked("known_issues", _DATA, "What is wrong with them?", "duplicates, labels, shift; who looked"),
    Asked("model", _MODEL, "Which model?", "and the settings on which the result depends"),
    Asked("baseline", _MODEL, "Compared with what?", "a configuration, a simple model, chance"),
    Asked("tuning", _MODEL, "How were both tuned?", "which search, over how many settings, on which data"),
    Asked("metrics", _METRICS, "Which number decides?", "its direction, what difference matters, seeds, other metrics"),
    Asked("success", _METRICS, "Which threshold would confirm it?", "how much, against what, how sure"),
    Asked("criterion", _METRICS, "The same as a rule?", "the report evaluates it", needed=False),
    Asked("constraints", "Constraints", "How much compute, and by when?", "hours, a date, what is dropped first"),
    Asked("stage", "Context", "Exploratory or confirmatory?", "confirmatory: nothing changes once it has begun"),
    Asked("decision", "Context", "Which decision depends on it?", "what you do for each outcome"),
    Asked("if_wrong", "Context", "What if the hypothesis is wrong?", "what you do and report in that case"),
)
KEYS = tuple(one.key for one in QUESTIONS)
CONFIRMED_BY = ("hypothesis", "criterion", "baseline")
"""What an experiment that confirms cannot do without."""


def unanswered(brief: Mapping[str, object]) -> tuple[Asked, ...]:
    """The questions that have to be answered and are not; when confirming, the rule is one of them."""
    is_confirmatory = brief.get("stage") == "confirmatory"
    return tuple(one for one in QUESTIONS if not brief.get(one.key) and (one.needed or is_confirmatory))


def lacks_for_confirming(brief: Mapping[str, object], *, has_baseline: bool, has_versus: bool) -> tuple[str, ...]:
    """Name what a confirmatory experiment lacks: ``hypothesis``, ``criterion``, ``baseline``.

    Args:
        brief: As it is written.
        has_baseline: Whether a baseline is declared, of this experiment or a stored one, or is what it measures.
        has_versus: Whether the criterion itself says what is compared with what.
    """
    told = {
        "hypothesis": brief.get("hypothesis"),
        "criterion": brief.get("criterion"),
        # A number is compared with in words: "chance, 0.2". A criterion that needs a configuration says so itself.
        "baseline": has_baseline or has_versus or brief.get("baseline"),
    }
    return tuple(name for name in CONFIRMED_BY if not told[name])


def in_order(brief: Mapping[str, str]) -> dict[str, str]:
    """The answers in the order of the questions."""
    return {key: brief[key] for key in KEYS if brief.get(key)}


def headings(questions: Sequence[Asked]) -> tuple[str, ...]:
    """What each question is about, where that changes; empty where it is the same as before."""
    before = ("", *(one.about for one in questions))
    return tuple("" if one.about == last else one.about for one, last in zip(questions, before, strict=False))
