"""Measure the classifier on the corpus: ``python -m tests.corpus.score`` writes ``docs/failure-classifier.md``.

``--check`` compares instead of writing (CI). ``--seen`` lists the misses among the cases rules may be written against;
the misses of the held-out part are deliberately not listed.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpc.adapters.logs import read_log
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, FailureClass, Verdict
from hpc.core.retry.plan import default_action
from hpc.core.slurm.states import parse_state
from hpc.why import parse_exit, parse_metrics

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "failure-classifier.md"
HELD_OUT_BELOW = 102
"""Cases whose id's SHA-256 begins with a byte below this are held out: 102 of 256, 40 %."""

Case = dict[str, Any]


def load_cases() -> list[Case]:
    """Read every labelled case, in file order."""
    return [json.loads(line) for line in (HERE / "cases.jsonl").read_text(encoding="utf-8").splitlines()]


SPLIT = ("made", "provoked", "fourth", "fifth", "sixth")
"""Origins of which a part is held out; all of the others was written with rules in view, or later seen by them."""


def is_held_out(case: Case) -> bool:
    """Whether rules must not be written against this case."""
    return case["origin"] in SPLIT and hashlib.sha256(case["id"].encode()).digest()[0] < HELD_OUT_BELOW


def evidence_of_case(case: Case) -> Evidence:
    """Build what the classifier would be given."""
    code, signal = parse_exit(case["exit_code"])
    state = case["slurm_state"]
    more: Case = case.get("evidence", {})
    extra: Case = {key: tuple(value) if isinstance(value, list) else value for key, value in more.items()}
    return Evidence(
        state=parse_state(state) if state else None,
        exit_code=code,
        exit_signal=signal,
        log=read_log(HERE / case["log"], "log"),
        series=parse_metrics(case.get("metrics")),
        **extra,
    )


@dataclass(frozen=True)
class Answered:
    """A case and what the classifier says of it."""

    case: Case
    verdict: Verdict

    @property
    def label(self) -> str:
        """Return the class the case has."""
        return str(self.case["category"])

    @property
    def given(self) -> str:
        """Return the class it was given."""
        return self.verdict.category.value

    @property
    def right(self) -> bool:
        """Whether they agree, defensible alternatives not counted."""
        return self.given == self.label

    @property
    def defensible(self) -> bool:
        """Whether they agree, or the answer is one a careful reader could defend."""
        return self.right or self.given in self.case.get("alt", ())

    @property
    def false_success(self) -> bool:
        """Whether a failure was taken for a result: the one mistake that falsifies a paper."""
        return self.given == "success" and self.label != "success"

    @property
    def false_retry(self) -> bool:
        """Whether machine time would be spent on something a retry cannot mend."""
        return _is_retried(self.given) and not _is_retried(self.label)


def _is_retried(category: str) -> bool:
    action = default_action(FailureClass(category))
    return action is not None and action.action != "none"


def answer_all(cases: Iterable[Case]) -> list[Answered]:
    """Classify every case."""
    return [Answered(case, classify(evidence_of_case(case))) for case in cases]


@cache
def answer_corpus() -> tuple[Answered, ...]:
    """Classify the whole corpus, once a run of the tests."""
    return tuple(answer_all(load_cases()))


@dataclass(frozen=True)
class Figures:
    """What is quoted of a part of the corpus.

    Attributes:
        cases: How many.
        right: How many got their label.
        defensible: How many got their label or one a careful reader could defend.
        false_successes: Failures taken for results.
        false_retries: Cases that need no retry and would get one.
        hopeless: Cases that need no retry: what `false_retries` is a share of.
    """

    cases: int
    right: int
    defensible: int
    false_successes: int
    false_retries: int
    hopeless: int

    @property
    def accuracy(self) -> float:
        """Share of cases that got their label."""
        return self.right / self.cases


def figures(answers: Sequence[Answered]) -> Figures:
    """Count."""
    return Figures(
        cases=len(answers),
        right=sum(a.right for a in answers),
        defensible=sum(a.defensible for a in answers),
        false_successes=sum(a.false_success for a in answers),
        false_retries=sum(a.false_retry for a in answers),
        hopeless=sum(not _is_retried(a.label) for a in answers),
    )


def render(answers: Sequence[Answered]) -> str:
    """Write the page."""
    held = [a for a in answers if is_held_out(a.case)]
    seen = [a for a in answers if not is_held_out(a.case)]
    rows = [
        _row("part", "cases", "right", "accuracy", "defensible", "false successes", "false retries"),
        _row(*["---"] * 7),
        *(_figures_row(name, figures(part)) for name, part in (("held out", held), ("seen", seen), ("all", answers))),
    ]
    return (
        "\n".join(
            [*_HEAD, *rows, "", *_shares(answers), *_waves(held), *_matrix("held out", held), *_matrix("all", answers)]
        )
        + "\n"
    )


_HEAD = (
    "# How well failures are named",
    "",
    "Generated by `python -m tests.corpus.score` from `tests/corpus`; do not edit. How the corpus was made and split:",
    "[decision 0011](decisions/0011-failure-corpus.md).",
    "",
    "*held out*: cases rules are not written against (by a hash of their names). *defensible*: the label, or a",
    "class named beside it as arguable. *false success*: a failure taken for a result; must be 0. *false retry*: a",
    "retry for something no retry can mend, as a share of such cases.",
    "",
)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _figures_row(name: str, f: Figures) -> str:
    share = f"{f.false_retries} of {f.hopeless} ({f.false_retries / f.hopeless:.1%})"
    return _row(name, f.cases, f.right, f"{f.accuracy:.1%}", f"{f.defensible / f.cases:.1%}", f.false_successes, share)


def _shares(answers: Sequence[Answered]) -> list[str]:
    origins = Counter(a.case["origin"] for a in answers)
    traps = sum(a.label == "success" for a in answers)
    return [
        f"{len(answers)} cases: {origins['provoked']} provoked on one CPU machine, {origins['made']} made in the",
        f"formats of software that cannot run there, {origins['fresh']}, {origins['second']}, {origins['third']} and",
        f"{origins['fourth']}, {origins['fifth']} and {origins['sixth']} of six later waves,",
        f"{origins['first']} short ones the first rules were written with, {origins['trial']} that a trial of",
        f"the whole project failed on, {origins['family']} of families of messages.",
        f"{traps} ({traps / len(answers):.0%}) are successes that sound deadly.",
        "",
    ]


WAVES: dict[str, tuple[str, str]] = {
    "provoked": ("really provoked on one CPU machine", ""),
    "made": ("formats of the software the classifier was asked for", "86.9 % of the 168 held out of both"),
    "fourth": ("by another person, who had read part of the rules; all software of the list", "91.8 % of 233, 1"),
    "fifth": ("as users report it in public trackers, many a site's own words", "80.8 % of 151, 1"),
    "sixth": ("single messages of a hundred programs, without context", "83.9 % of 192, 0"),
}
"""Split origins: what they are; accuracy of the whole wave, and false successes, before a rule was changed for it."""


def _waves(held: Sequence[Answered]) -> list[str]:
    table = [
        _row(f"`{origin}`", what, first or "—", len(part), f"{figures(part).accuracy:.1%}",
             figures(part).false_successes, figures(part).false_retries)
        for origin, (what, first) in WAVES.items()
        for part in [[a for a in held if a.case["origin"] == origin]]
    ]  # fmt: skip
    return [
        "## Held out, by wave", "",
        "*first sight*: the whole wave as it was scored first, before any rule was changed for it, and failures that",
        "were taken for results then. Each wave was committed before it was scored. Expect the last two lines for a",
        "message nobody has thought of, the first two for the software named in the documentation.", "",
        _row("wave", "what", "first sight", "held out", "right now", "false successes", "false retries"),
        _row(*["---"] * 7), *table, "",
    ]  # fmt: skip


def _matrix(name: str, answers: Sequence[Answered]) -> list[str]:
    counts = Counter((a.label, a.given) for a in answers)
    wrong = [(pair, n) for pair, n in sorted(counts.items()) if pair[0] != pair[1]]
    columns = sorted({given for _, given in counts}, key=[each.value for each in FailureClass].index)
    table = [
        _row(f"`{label}`", sum(n for (known, _), n in counts.items() if known == label),
             *(counts.get((label.value, given), "") for given in columns))
        for label in FailureClass
    ]  # fmt: skip
    return [
        f"## Confusion, {name}", "", "Rows: label. Columns: answer.", "",
        _row("", "cases", *columns), _row(*["---"] * (len(columns) + 2)), *table, "",
        "Off the diagonal: " + ("; ".join(f"{a} → {b}: {n}" for (a, b), n in wrong) or "nothing") + ".", "",
    ]  # fmt: skip


_FIGURES = ("| part", "| held", "| seen", "| all")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; 1 when it is stale or a failure was taken for a success."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="print the page, and compare it with the file instead of writing it"
    )
    parser.add_argument("--seen", action="store_true", help="list misses among the cases rules may be written against")
    options = parser.parse_args(arguments)
    answers = answer_corpus()
    if options.seen:
        for a in answers:
            if not a.right and not is_held_out(a.case):
                _say(f"{a.case['id']}: {a.given} ({a.verdict.rule}) {a.verdict.evidence[0].text[:120]!r}")
    page = render(answers)
    figures_only = "\n".join(line for line in page.splitlines() if line.startswith(_FIGURES))
    _say(page if options.check else figures_only)
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page
    if not options.check:
        PAGE.write_text(page, encoding="utf-8")
    elif stale:
        sys.stderr.write(f"{PAGE.name} is stale: run python -m tests.corpus.score\n")
    return int(any(a.false_success for a in answers) or (options.check and stale))


if __name__ == "__main__":
    sys.exit(main())
