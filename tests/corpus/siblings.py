"""Measure what siblings add: ``python -m tests.corpus.siblings`` writes ``docs/failure-siblings.md``.

Sweeps are made from the cases rules may be written against; held-out cases are not touched. A failed case becomes a
failed run: lines that finished runs of the corpus print, and that a rule knows, are laid into its log at random places.
Its finished siblings print the same lines, each with numbers of its own. Whether siblings are looked at is the only
difference between the rows.
"""

import argparse
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

from hpc.core.failures.breaker import fingerprint
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine, Verdict
from hpc.core.failures.scene import observe
from hpc.core.failures.siblings import Kind, Siblings, add, group_by_cause, judge_among
from hpc.core.failures.templates import keys_of
from tests.corpus.cases import Case, evidence_of_case, is_held_out, load_cases

PAGE = Path(__file__).parents[2] / "docs" / "failure-siblings.md"
FINISHED = (2, 5, 20)
"""Finished runs beside the failed one."""
NOISY = 4
"""Lines that are laid into each log."""
EVERY = 4
"""Of the failed cases every so many is used: all of them take minutes."""
TAKEN = "2026-11-30, at 38610bc"
"""When the page was written last; change it with the page."""
SWEEPS, CAUSES, RUNS = 40, 4, 3
"""Sweeps whose failures are grouped: causes in each, and failed runs of each cause."""
_NUMBER = re.compile(r"(?<![\w.])\d{2,6}(?![\w.])")

Judge = Callable[[Evidence, Siblings], Verdict]


@cache
def seen_cases() -> tuple[list[Case], list[Case]]:
    """Failed and finished cases rules may be written against."""
    seen = [case for case in load_cases() if not is_held_out(case) and case.get("log")]
    return [c for c in seen if c["category"] != "success"][::EVERY], [c for c in seen if c["category"] == "success"]


@cache
def noise() -> tuple[str, ...]:
    """Every line of a finished run that a rule takes for a reason to fail."""
    found = [event.line.text for case in seen_cases()[1] for event in observe(evidence_of_case(case)).events]
    return tuple(dict.fromkeys(found))


def _renumbered(text: str, r: random.Random) -> str:
    return _NUMBER.sub(lambda _: str(r.randint(10, 99_999)), text)


def spliced(log: Sequence[LogLine], lines: Sequence[str], r: random.Random) -> tuple[LogLine, ...]:
    """A log with lines laid in at random places, numbered anew."""
    texts = [line.text for line in log]
    for line in lines:
        texts.insert(r.randint(0, len(texts)), _renumbered(line, r))
    return tuple(LogLine("log", i, text) for i, text in enumerate(texts, 1))


def index_of(lines: Sequence[str], finished: int, r: random.Random) -> Siblings:
    """The index of so many finished runs that print these lines."""
    known = Siblings()
    calm = [f"step {i} loss {1 / i:.3f}" for i in range(1, 6)]
    for i in range(finished):
        texts = [*calm, *(_renumbered(line, r) for line in lines), "training finished"]
        run = tuple(LogLine("log", k, text) for k, text in enumerate(texts, 1))
        known = add(known, f"S{i}/attempt-1", Kind.FINISHED, keys_of(run))
    return known


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def measure(case: Case, finished: int, *, cause_too: bool = False) -> tuple[Verdict, bool, bool]:
    """The verdict on a case in its sweep; whether it quotes a line that was laid in; whether success changed hands."""
    r = random.Random(case["id"])  # noqa: S311  made-up sweeps
    evidence = evidence_of_case(case)
    lines = r.sample(noise(), NOISY)
    run = replace(evidence, log=spliced(evidence.log, lines, r))
    own = [line.text for line in classify(evidence).evidence[:1] if line.line] if cause_too else []
    plain = classify(run)
    verdict = judge_among(run, index_of([*lines, *own], finished, r)) if finished else plain
    wrong_hands = (plain.category == "success") != (verdict.category == "success")
    laid = {_NUMBER.sub("", line) for line in lines}
    return verdict, bool(verdict.evidence) and _NUMBER.sub("", verdict.evidence[0].text) in laid, wrong_hands


def _naming_rows() -> list[str]:
    cases = seen_cases()[0]
    rows = []
    untouched = [classify(evidence_of_case(case)) for case in cases]
    settings = [("the log as it was", None, False), ("with noise, without siblings", 0, False)]
    settings += [(f"with noise, {n} finished siblings", n, False) for n in FINISHED]
    settings += [("20 finished siblings that also print the cause", 20, True)]
    for what, finished, cause_too in settings:
        told = (
            [(verdict, False, False) for verdict in untouched]
            if finished is None
            else [measure(case, finished, cause_too=cause_too) for case in cases]
        )
        right = sum(v.category == case["category"] for case, (v, _, _) in zip(cases, told, strict=True))
        fair = sum(
            v.category in (case["category"], *case.get("alt", ())) for case, (v, _, _) in zip(cases, told, strict=True)
        )
        shares = (f"{right / len(cases):.1%}", f"{fair / len(cases):.1%}")
        rows.append(_row(what, len(cases), *shares, sum(n for _, n, _ in told), sum(h for _, _, h in told)))
    return rows


def _grouping_rows() -> list[str]:
    """Pairs of failed runs of one sweep: together and rightly so, by the text of the deciding line and by siblings."""
    together = {"text": [0, 0], "siblings": [0, 0]}
    pairs = 0
    for sweep in range(SWEEPS):
        r = random.Random(sweep)  # noqa: S311
        lines = r.sample(noise(), 2 * NOISY)
        runs: list[tuple[int, Evidence]] = []
        for cause, case in enumerate(r.sample(seen_cases()[0], CAUSES)):
            evidence = evidence_of_case(case)
            noisy = (spliced(evidence.log, r.sample(lines, NOISY), r) for _ in range(RUNS))
            runs += [(cause, replace(evidence, log=log)) for log in noisy]
        known = index_of(lines, 20, r)
        for i, (_, evidence) in enumerate(runs):
            known = add(known, f"F{i}/attempt-1", Kind.FAILED, keys_of(evidence.log))
        marks: dict[str, Sequence[object]] = {
            "text": [fingerprint(classify(evidence)) for _, evidence in runs],
            "siblings": group_by_cause(
                [(f"F{i}/attempt-1", judge_among(evidence, known)) for i, (_, evidence) in enumerate(runs)], known
            ),
        }
        same = [(i, k) for i, k in combinations(range(len(runs)), 2)]
        pairs += sum(runs[i][0] == runs[k][0] for i, k in same)
        for how, mark in marks.items():
            put = [(i, k) for i, k in same if mark[i] == mark[k]]
            together[how][0] += len(put)
            together[how][1] += sum(runs[i][0] == runs[k][0] for i, k in put)
    return [
        _row(f"by {how}", f"{hits / pairs:.1%}", f"{hits / put:.1%}" if put else "—")
        for how, (put, hits) in together.items()
    ]


def render() -> str:
    """Write the page."""
    head = [
        "# What siblings add",
        "",
        "Generated by `python -m tests.corpus.siblings` from the seen part of `tests/corpus`; do not edit. Why and",
        "how: [decision 0042](decisions/0042-siblings.md).",
        f"Figures of {TAKEN}: they take minutes, and no test repeats them.",
        "",
        f"Sweeps are simulated: every {EVERY}th failed case becomes a failed run, and {NOISY} lines of finished runs",
        f"are inserted into its log at random places (of {len(noise())} lines that a rule takes for a cause of",
        "failure). Its finished siblings print the same lines with other numbers. *noise quoted*: an inserted line",
        "decided. *changed outcome*: a failure became a success, or a success a failure; must be 0.",
        "",
        _row("", "failures", "right", "defensible", "noise quoted", "changed outcome"),
        _row(*["---"] * 6),
        *_naming_rows(),
        "",
        "Here every finished run prints every inserted line. That is the best case, as for messages that appear at",
        "each start. The last row shows the cost: the finished runs print, and survive, the very line that ended the",
        "failed one. Such a line decides only if no other does.",
        "",
        "## Grouping",
        "",
        f"{SWEEPS} sweeps of {CAUSES} causes with {RUNS} failed runs each, each with its own selection of the",
        "sweep's noise. *found*: share of pairs with the same cause that are grouped together. *right*: share of the",
        "grouped pairs that have the same cause.",
        "",
        _row("", "found", "right"),
        _row(*["---"] * 3),
        *_grouping_rows(),
        "",
    ]
    return "\n".join(head)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; 1 when it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the page with the file instead of writing it")
    page = render()
    sys.stdout.write(page)
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page)


if __name__ == "__main__":
    sys.exit(main())
