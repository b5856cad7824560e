"""Measure the classifier on the corpus: ``python -m tests.corpus.score`` writes ``docs/failure-classifier.md``.

It keeps beside it which cases are right (``right.txt``), so that none is lost unseen. ``--check`` compares instead of
writing (CI). ``--seen`` lists the misses among the cases rules may be written against; the misses of the held-out part
are deliberately not listed.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hpc.core.words import counted
from tests.corpus.answers import Answered, answer_all, answer_corpus
from tests.corpus.cases import is_held_out, load_cases
from tests.corpus.kept import load_kept, lost_cases, renewed, save_kept
from tests.corpus.page import render

PAGE = Path(__file__).parents[2] / "docs" / "failure-classifier.md"
TIMED_EVERY = 40
"""Of so many cases one is timed."""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _list_seen(answers: Sequence[Answered]) -> None:
    for a in answers:
        if not a.right and not is_held_out(a.case):
            _say(f"{a.case['id']}: {a.given} ({a.verdict.rule}) {a.verdict.evidence[0].text[:120]!r}")


def _figures_of(page: str) -> str:
    """The tables of figures: all of the page but the confusion of classes."""
    return page[page.index("## Failures") : page.index("## Confusion")]


def _each_ms() -> float:
    """Processor time a case: of some, since the answers may have been remembered; after one that loads the rules."""
    first, *some = load_cases()[::TIMED_EVERY]
    answer_all([first])
    began = time.process_time()
    answer_all(some)
    return 1000 * (time.process_time() - began) / len(some)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page and what is kept; 1 when it is stale, or a case that was right is wrong now."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare the page with the file instead of writing it")
    parser.add_argument("--seen", action="store_true", help="list misses among the cases rules may be written against")
    parser.add_argument(
        "--forget", nargs="+", default=(), metavar="ID", help="cases that were right and may be wrong from now on"
    )
    options = parser.parse_args(arguments)
    answers = answer_corpus()
    if options.seen:
        _list_seen(answers)
    page = render(answers)
    _say(_figures_of(page))
    _say(f"{_each_ms():.1f} ms of processor time a case, reading its log included")
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page
    if options.check:
        if stale:
            sys.stderr.write(f"{PAGE.name} is stale: run python -m tests.corpus.score\n")
    else:
        PAGE.write_text(page, encoding="utf-8")
        save_kept(renewed(answers, load_kept(), options.forget))
    lost = lost_cases(answers, load_kept())
    if lost:
        names = " ".join(lost)
        sys.stderr.write(
            f"right before and wrong now, {counted(len(lost), 'case')}: {names}\n"
            f"where that is meant: python -m tests.corpus.score --forget {names}\n"
        )
    return int(bool(lost) or (options.check and stale))


if __name__ == "__main__":
    sys.exit(main())
