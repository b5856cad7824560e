"""What other runs of the same program printed, and what it tells of one that failed. Pure, bounded.

In a sweep one program runs many times. What stands in runs that finished is no cause, however bad it sounds; what
stands in none of them is the suspect. An index counts, for each template of a line, the finished and the failed runs it
stands in. It never decides whether a run is a success: it only chooses among the reasons of a failure.

The rule tables are imported where something is classified: where all runs finished, they are not asked.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from hpc.core.failures import log_scan
from hpc.core.failures.breaker import fingerprint
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine, Verdict
from hpc.core.failures.reading.prefixes import split_prefix
from hpc.core.failures.templates import key_of, template_of
from hpc.core.identity import content_hash
from hpc.core.immutable import field, immutable, replace
from hpc.core.words import counted

F = FailureClass

MOST_RUNS = 200
"""Runs of each kind that are counted: more tell nothing more."""
MOST_TEMPLATES = 5000
MOST_SUSPECTS = 40
"""Templates kept of each failed run, to tell which failed alike."""
USUAL_RUNS = 2
USUAL_SHARE = 0.2
"""A line is usual when it stands in so many finished runs, and in this share of them …"""
RARER = 3.0
"""… and is not so many times as frequent among the failed ones."""
ALIKE = 0.5
"""Share of the suspects of two failed runs that have to be the same for one cause to be behind both."""


class Kind(StrEnum):
    """How a counted run ended."""

    FINISHED = "finished"
    FAILED = "failed"


NOT_ITS_OWN = frozenset({F.CANCELLED, F.PREEMPTED})
"""Classes that say nothing of the program."""


@immutable
class Siblings:
    """The template index of an experiment.

    Attributes:
        counts: Key of a template → finished and failed runs it stands in.
        runs: Attempt (``S1/attempt-1``) → how it ended, for all that are counted.
        suspects: Failed attempt → keys of its suspicious lines.
        dropped: Most finished runs that a template stood in when it was dropped for room: what is not in `counts` may
            stand in as many.
    """

    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    runs: Mapping[str, Kind] = field(default_factory=dict)
    suspects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: int = 0

    @cached_property
    def finished(self) -> int:
        """Finished runs that are counted."""
        return sum(kind is Kind.FINISHED for kind in self.runs.values())

    @property
    def failed(self) -> int:
        """Failed runs that are counted."""
        return len(self.runs) - self.finished

    @cached_property
    def digest(self) -> str:
        """Names all that `judge_among` asks of it."""
        return content_hash([{key: list(count) for key, count in self.counts.items()}, self.finished, self.failed])

    def is_full(self, kind: Kind) -> bool:
        """Whether no more runs of a kind are counted."""
        return (self.finished if kind is Kind.FINISHED else self.failed) >= MOST_RUNS

    def is_usual(self, key: str) -> bool:
        """Whether a template stands in many finished runs, and is not the failed ones' above all."""
        finished, failed = self.counts.get(key, (0, 0))
        if finished < USUAL_RUNS or finished < USUAL_SHARE * self.finished:
            return False
        return failed / max(1, self.failed) < RARER * finished / max(1, self.finished)

    def may_change(self, verdict: Verdict) -> bool:
        """Whether `judge_among` could say something else than this: a usual line decided, or nothing with a cause."""
        if self.finished < USUAL_RUNS or verdict.category is F.SUCCESS:
            return False
        lines = [key_of(template_of(line.text)) for line in verdict.evidence]
        return any(map(self.is_usual, lines)) or not _says_more(verdict)

    def is_suspect(self, key: str) -> bool:
        """Whether a template stands in no finished run."""
        return self.counts.get(key, (0, 0))[0] == 0


def kind_of(verdict: Verdict) -> Kind | None:
    """How a run counts; None where it was ended from outside."""
    if verdict.category is F.SUCCESS:
        return Kind.FINISHED
    return None if verdict.category in NOT_ITS_OWN else Kind.FAILED


def add(siblings: Siblings, run: str, kind: Kind, keys: Mapping[str, LogLine]) -> Siblings:
    """Count one more run; one that is counted already, or of a kind that is full, changes nothing.

    Args:
        keys: Its templates, as `hpc.core.failures.templates.keys_of` has them.
    """
    if run in siblings.runs or siblings.is_full(kind):
        return siblings
    counts = dict(siblings.counts)
    for key in keys:
        finished, failed = counts.get(key, (0, 0))
        counts[key] = (finished + (kind is Kind.FINISHED), failed + (kind is Kind.FAILED))
    dropped = siblings.dropped
    if len(counts) > MOST_TEMPLATES:
        rarest = sorted(counts, key=lambda key: (sum(counts[key]), key))[: len(counts) - MOST_TEMPLATES * 9 // 10]
        dropped = max(dropped, *(counts[key][0] for key in rarest))
        counts = {key: count for key, count in counts.items() if key not in set(rarest)}
    suspects = dict(siblings.suspects)
    if kind is Kind.FAILED:
        telling = [key for key, line in keys.items() if log_scan.suspicious(line.text)]
        suspects[run] = tuple(telling[:MOST_SUSPECTS])
    return replace(siblings, counts=counts, runs={**siblings.runs, run: kind}, suspects=suspects, dropped=dropped)


# ── one run among them ───────────────────────────────────────────────────────────────────────────────────────────


def judge_among(evidence: Evidence, siblings: Siblings) -> Verdict:
    """Classify an attempt as `classify` does, and where usual lines decided, ask what decides without them.

    A success stays one and a failure a failure: only the reason can change, and only for one that says more than that
    the run failed.
    """
    from hpc.core.failures.classify import classify

    plain = classify(evidence)
    if plain.category is F.SUCCESS or siblings.finished < USUAL_RUNS:
        return plain
    usual = usual_events(evidence, siblings)
    verdict = plain
    if plain.evidence and plain.evidence[0] in usual:
        without = classify(replace(evidence, usual=usual))
        verdict = without if _says_more(without) else plain
    return _ranked(verdict, evidence, siblings, usual)


def usual_events(evidence: Evidence, siblings: Siblings) -> frozenset[LogLine]:
    """The lines of an attempt that a rule knows and that finished runs have too."""
    from hpc.core.failures.scene import observe

    events = observe(evidence).events
    return frozenset(event.line for event in events if siblings.is_usual(key_of(template_of(event.line.text))))


def _says_more(verdict: Verdict) -> bool:
    """Whether a verdict names a cause: no success, nothing that only shows that the run failed."""
    from hpc.core.failures.classify import find_rule
    from hpc.core.failures.fact_rules import FactRule, Step
    from hpc.core.failures.rule import Tier

    rule = find_rule(verdict.rule)
    if verdict.category in (F.SUCCESS, F.UNKNOWN) or rule is None:
        return False
    return rule.step is not Step.EXIT if isinstance(rule, FactRule) else rule.tier is not Tier.TRACE


def _ranked(verdict: Verdict, evidence: Evidence, siblings: Siblings, usual: Collection[LogLine]) -> Verdict:
    """The same verdict without usual lines behind the one that decided; one without a cause shows the suspects."""
    lines = [line for i, line in enumerate(verdict.evidence) if i == 0 or line not in usual]
    if not _says_more(verdict):
        lines += [line for line in suspects_of(evidence.log, siblings)[:2] if line not in lines]
    return replace(verdict, evidence=tuple(lines))


def suspects_of(log: Sequence[LogLine], siblings: Siblings) -> list[LogLine]:
    """Lines that sound like trouble and stand in no finished run: of one rank alone first, then of most failed runs."""
    seen: dict[str, LogLine] = {}
    speakers: dict[str, set[str]] = {}
    ranks: set[str] = set()
    for line in log:
        if not line.line or not log_scan.suspicious(line.text):
            continue
        rank = _speaker(line)
        ranks |= {rank} - {""}
        key = key_of(template_of(line.text))
        if key and siblings.is_suspect(key):
            seen.setdefault(key, line)
            speakers.setdefault(key, set()).add(rank)
    alone = {key for key, who in speakers.items() if len(ranks) >= ODD_OF and len(who) == 1 and "" not in who}
    failed = {key: siblings.counts.get(key, (0, 0))[1] for key in seen}
    return [seen[key] for key in sorted(seen, key=lambda key: (key not in alone, -failed[key]))]


ODD_OF = 3
"""Ranks that have to speak before one that says something else is the odd one."""


@immutable
class Comparison:
    """How the line that decided stands among the siblings.

    Attributes:
        finished, failed: Runs that are counted.
        in_finished, in_failed: How many of them have the line.
        at_most: Finished runs it may stand in besides, that nobody counted.
        phase: When in the run it came.
        odd: The one rank that says it; empty where several do or the log knows no ranks.
        ranks: Ranks that speak in the log.
        demoted: What would have decided, had no finished run said it too; None where nothing was passed over.
    """

    finished: int
    failed: int
    in_finished: int
    in_failed: int
    at_most: int = 0
    phase: str = ""
    odd: str = ""
    ranks: int = 0
    demoted: LogLine | None = None

    @property
    def text(self) -> str:
        """In words, as in ``seen in none of 37 finished runs and in 3 of 4 failed ones``; empty without siblings."""
        if not self.finished and self.failed < 2:  # it knows only itself
            return ""
        few = f"at most {self.at_most}" if self.at_most and not self.in_finished else ""
        finished = f"{few or self.in_finished or 'none'} of {counted(self.finished, 'finished run')}"
        failed = f"{self.in_failed or 'none'} of {counted(self.failed, 'failed run')}"
        said = [finished] * bool(self.finished) + [failed] * bool(self.failed)
        return f"seen in {' and in '.join(said)}"


def compare(verdict: Verdict, evidence: Evidence, siblings: Siblings) -> Comparison | None:
    """Compare the line that decided with the siblings; None where no line of a log decided.

    A verdict that names no cause is compared by its suspect.
    """
    from hpc.core.failures.classify import classify

    of_log = set(evidence.log)
    line = next((each for each in verdict.evidence if each in of_log and each.line), None)
    if line is None or verdict.category is F.SUCCESS:
        return None
    key = key_of(template_of(line.text))
    in_finished, in_failed = siblings.counts.get(key, (0, 0))
    at_most = 0 if key in siblings.counts else siblings.dropped
    odd, ranks = odd_rank(line, evidence.log)
    plain = classify(evidence).evidence[0] if siblings.finished else verdict.evidence[0]
    demoted = plain if plain != verdict.evidence[0] and plain in of_log else None
    return Comparison(
        siblings.finished, siblings.failed, in_finished, in_failed, at_most,
        phase_at(line, evidence.log, evidence.last_step), odd, ranks, demoted,
    )  # fmt: skip


def odd_rank(line: LogLine, log: Iterable[LogLine]) -> tuple[str, int]:
    """The one rank of at least `ODD_OF` that says what a line says, else empty; and how many ranks speak."""
    said = template_of(line.text)
    who: set[str] = set()
    ranks: set[str] = set()
    for each in log:
        rank = _speaker(each)
        ranks |= {rank} - {""}
        if rank not in who and template_of(each.text) == said:
            who.add(rank)
    (only,) = who if len(who) == 1 else ("",)
    return (only if len(ranks) >= ODD_OF else ""), len(ranks)


def _speaker(line: LogLine) -> str:
    """The rank that says a line, by its prefix or by the name of its file; empty where neither tells."""
    rank, _ = split_prefix(line.text)
    named = _OWN_FILE.search(line.source)
    return rank or (named[1] if named else "")


_OWN_FILE = re.compile(r"[.-](?:rank|node)?(\d+)$")


def phase_at(line: LogLine, log: Sequence[LogLine], last_step: int | None = None) -> str:
    """When in a run a line came: start, first step, steady, saving, or after its end; by the lines of its own file.

    Where that file shows no progress, as stderr of most programs, the other files and the metrics say how far it came.

    Args:
        last_step: Highest step of the metrics; None for none.
    """
    before = [each.text for each in log if each.source == line.source and each.line < line.line]
    if any(_SAVING.search(text) for text in before[-NEAR:]):
        return "while it saved"
    working = [i for i, text in enumerate(before) if log_scan.is_progress(text)]
    if any(log_scan.says_ended(text) for text in before[working[-1] + 1 if working else 0 :]):
        return "after its end"
    if not working:
        return _phase_elsewhere(line, log, last_step)
    steps = [step for i in working if (step := log_scan.step_of(before[i])) is not None]
    if max(steps, default=0) <= 1 and len(working) < NEAR:
        return "in the first step"
    return f"in the steady part, after step {steps[-1]}" if steps else "in the steady part"


def _phase_elsewhere(line: LogLine, log: Sequence[LogLine], last_step: int | None) -> str:
    """How far a run came by its metrics, else by its other files, whose lines have no order with this one's."""
    others = [each for each in log if each.source != line.source and log_scan.is_progress(each.text)]
    printed = next((step for each in reversed(others) if (step := log_scan.step_of(each.text)) is not None), None)
    if last_step is not None or printed is not None:
        return f"after step {printed if last_step is None else last_step}"
    return f"after progress in {others[-1].source}" if others else "before the first step"


_SAVING = re.compile(r"\b(?:saving|writing|storing)\b.{0,60}(?:checkpoint|model|weights|state)", re.IGNORECASE)
NEAR = 4
"""Lines before an event in which it must be said that something is being saved; steps that are no longer the first."""


# ── failures of one sweep by cause ───────────────────────────────────────────────────────────────────────────────


def are_alike(one: str, other: str, siblings: Siblings) -> bool:
    """Whether two failed attempts have the same suspects: lines that stand in no finished run."""
    ours, theirs = ({key for key in siblings.suspects.get(run, ()) if siblings.is_suspect(key)} for run in (one, other))
    return bool(ours and theirs) and len(ours & theirs) >= ALIKE * len(ours | theirs)


def group_by_cause(failed: Sequence[tuple[str, Verdict]], siblings: Siblings) -> list[int]:
    """Number the causes behind failures: of one class and sub-cause, and of one fingerprint or with the same suspects.

    Args:
        failed: Each attempt's name and verdict.

    Returns:
        A number for each, from 0 in the order in which causes come up.
    """
    firsts: list[tuple[str, Verdict]] = []
    numbers = []
    for run, verdict in failed:
        known = (n for n, first in enumerate(firsts) if _is_one_cause(first, (run, verdict), siblings))
        number = next(known, len(firsts))
        if number == len(firsts):
            firsts.append((run, verdict))
        numbers.append(number)
    return numbers


def _is_one_cause(one: tuple[str, Verdict], other: tuple[str, Verdict], siblings: Siblings) -> bool:
    (run, verdict), (other_run, other_verdict) = one, other
    if (verdict.category, verdict.cause) != (other_verdict.category, other_verdict.cause):
        return False
    return fingerprint(verdict) == fingerprint(other_verdict) or are_alike(run, other_run, siblings)
