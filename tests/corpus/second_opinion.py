"""Measure a second opinion: ``python -m tests.corpus.second_opinion WAVE ...`` (docs/decisions/0054, 0060).

A linear model is asked where a line decided with a stated confidence of at most `UNSURE`, or only an exit code or a
last word shows a success. It is heard where it is surer than the rule, and never says `success`. Each wave is answered
by a model that learned from all others.
"""

import argparse
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from hpc.core.failures import ending, log_scan
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.reading.parts import Line, Trace
from hpc.core.failures.scene import Scene, observe
from hpc.core.failures.templates import blank
from tests.corpus.answers import Answered, figures
from tests.corpus.cases import WHOLE, Case, evidence_of_case, is_held_out, load_cases
from tests.corpus.page import figures_row

UNSURE, LIKELY, DOUBTED = 0.9, 0.5, 0.1
"""Most a rule may state; least the model has to say among the failures; most it may say for a success to be doubted."""
WEAKLY_SHOWN = ("completed", "log-says-finished")
FROM_LOG = frozenset({"nothing-known", *(rule.id for rule in LOG_RULES)})
SEEN_IN, LOOSE = 2, 20.0  # logs in which a token has to stand; inverse of how strongly large weights are held down
Tokens = dict[str, set[str]]
Chances = dict[str, float]
_WORD = re.compile(r"[^\W\d_]{2,}|<[a-z]+>")
_PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_EXCEPTION = re.compile(r"\b([A-Z]\w{0,60}(?:Error|Exception|Interrupt|Exit|Timeout|Failure|Warning))\b")
_PACKAGE = re.compile(r"(?:site|dist)-packages/([\w-]+)")


def tokens(scene: Scene) -> Tokens:
    """What the model sees, by group: what is known of the end, messages, stacks, last lines and where they stand."""
    state, code = scene.evidence.state, scene.evidence.exit_code
    lines = [line for line in scene.lines if line.text.strip()]
    traces = [(reading.lines[i], trace) for reading in scene.readings for i, trace in reading.by_message.items()]
    alarms = [i for i, line in enumerate(lines) if log_scan.suspicious(line.text)]
    event = min(scene.open_events, key=lambda event: (event.rule.tier, event.position), default=None)
    said = [line.text for line, _ in traces[-3:]]
    said += [lines[i].text for i in dict.fromkeys((*alarms[:3], *alarms[-4:]))]
    return {
        "known": {f"state={state}", f"code={code}", f"{state} {code}"},
        "event": {f"e:{gram}" for gram in _grams(event.line.text)} if event else set(),
        "said": {f"m:{gram}" for text in said for gram in _grams(text)},
        "raised": {token for line, trace in traces for token in _raised(line, trace)},
        "end": {f"{k}:{gram}" for k in (15, 3) for line in lines[-k:] for gram in _grams(line.text)},
        "place": set(_places(lines, alarms, [i for i, one in enumerate(lines) if any(one is t for t, _ in traces)])),
    }


def _grams(text: str) -> Iterator[str]:
    """Words, and pairs of them, with numbers, paths and addresses blanked."""
    words = [word.lower() for word in _WORD.findall(blank(text[:400]))]
    yield from words
    yield from (" ".join(pair) for pair in pairwise(words))


def _raised(line: Line, trace: Trace) -> Iterator[str]:
    """The exception's name, whose innermost call it was, and the words of the innermost names."""
    name = _EXCEPTION.search(line.text[:400])
    frames = trace.frames[-6:]
    packages = [match[1] if (match := _PACKAGE.search(frame.path)) else "own" for frame in frames]
    yield from (f"by:{package}" for package in packages)
    yield from (f"in:{package}" for package in packages[-1:])
    yield from (f"x:{piece}" for piece in ((name[1], *_PIECE.findall(name[1])) if name else ()))
    for frame in frames:
        called = f"{frame.function} {frame.path.rsplit('/', 1)[-1].rsplit('.', 1)[0]}"
        yield from (f"f:{piece.lower()}" for piece in _PIECE.findall(called[:400]))


def _places(lines: Sequence[Line], alarms: Sequence[int], messages: Sequence[int]) -> Iterator[str]:
    """How much stands after the last alarm, message and sign of progress, and what the last lines are."""
    working = [i for i, line in enumerate(lines) if log_scan.is_progress(line.text)]
    marks = {"lines": [0], "alarm": alarms, "message": messages, "progress": working}
    for name, places in marks.items():
        yield f"{name}={bool(places)}"
        after = len(lines) - 1 - places[-1] if places else -1
        yield from (f"after {name}>={limit}" for limit in (1, 2, 4, 8, 15, 30, 60) if after >= limit)
    asked: dict[str, Callable[[str], bool]] = {
        "badly": ending.ends_badly, "well": ending.ends_well, "whole": ending.ends_whole, "alarm": log_scan.suspicious,
        "nothing": ending.ends_with_nothing, "progress": log_scan.is_progress, "over": log_scan.says_finished,
    }  # fmt: skip
    for place, line in enumerate(reversed(lines[-5:])):
        for name in (name for name, holds in asked.items() if holds(line.text)):
            yield f"end {name}"
            yield f"end {name} {place}"


def learned(read: Sequence[tuple[Case, Tokens]], asked: Sequence[Tokens]) -> list[Chances]:
    """Learn from cases and answer others: class → probability, each."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    counts = Counter(token for _, groups in read for group in groups.values() for token in group)
    place = {token: j for j, token in enumerate(sorted(t for t, count in counts.items() if count >= SEEN_IN))}

    def matrix(logs: Sequence[Tokens]) -> csr_matrix:
        cells = [
            (1 / math.sqrt(len(group)), i, place[token])
            for i, log in enumerate(logs) for group in log.values() for token in group if token in place
        ]  # fmt: skip
        values, rows, columns = zip(*cells, strict=True)
        return csr_matrix((values, (rows, columns)), shape=(len(logs), len(place)))

    model = LogisticRegression(C=LOOSE, max_iter=200, tol=1e-3)
    model.fit(matrix([log for _, log in read]), [case["category"] for case, _ in read])
    return [dict(zip(model.classes_, row, strict=True)) for row in model.predict_proba(matrix(asked))]


def reconsidered(verdict: Verdict, chances: Chances) -> Verdict:
    """The verdict, or the model's where rules are unsure and it is surer; never a success that was none."""
    is_success = verdict.category is FailureClass.SUCCESS
    is_open = verdict.rule in WEAKLY_SHOWN if is_success else verdict.rule in FROM_LOG and verdict.confidence <= UNSURE
    failed = {category: chance for category, chance in chances.items() if category != "success"}
    likeliest = max(failed, key=lambda category: failed[category])
    share = failed[likeliest] / sum(failed.values())
    doubted = not is_success or chances.get("success", 0.0) <= DOUBTED
    surer = share >= (LIKELY if is_success else max(LIKELY, verdict.confidence))
    theirs = Verdict(FailureClass(likeliest), "second-opinion", verdict.evidence)
    return theirs if is_open and doubted and surer else verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rules' figures of each wave, and those with a second opinion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("waves", nargs="+", metavar="WAVE")
    waves = parser.parse_args(arguments).waves
    cases, kept_apart = load_cases(), set(WHOLE) - set(waves)
    seen = {case["id"]: tokens(observe(evidence_of_case(case))) for case in cases if case["origin"] not in kept_apart}
    for wave in waves:
        read = [(c, seen[c["id"]]) for c in cases if c["origin"] not in (wave, *WHOLE) and not is_held_out(c)]
        alone = [Answered(case, classify(evidence_of_case(case))) for case in cases if case["origin"] == wave]
        chances = learned(read, [seen[a.case["id"]] for a in alone])
        both = [Answered(a.case, reconsidered(a.verdict, each)) for a, each in zip(alone, chances, strict=True)]
        for name, answers in (("rules", alone), ("with a second opinion", both)):
            found = figures(answers)
            sys.stdout.write(f"{figures_row(f'{wave}, {name}', found)} {found.false_failures.counted} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
