"""One attempt's logs, read once: who said what, which rule knows it, and whether work went on afterwards. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import islice, takewhile

from hpc.core.failures import log_scan
from hpc.core.failures.course import Course
from hpc.core.failures.curves import Curve, read_curves
from hpc.core.failures.ending import ANSWERS
from hpc.core.failures.engine import Pattern
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine
from hpc.core.failures.log_noise import is_noise
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.lone import LoneLog
from hpc.core.failures.marks import says_handled
from hpc.core.failures.reading.languages import in_english
from hpc.core.failures.reading.parts import Line, Part, Trace
from hpc.core.failures.reading.prefixes import split_prefix, split_speakers
from hpc.core.failures.reading.sentence import sentence_of
from hpc.core.failures.reading.stock import without_stock
from hpc.core.failures.reading.traces import Reading, read
from hpc.core.failures.rule import DOING, NEIGHBOURS, Role, Rule, Tier
from hpc.core.failures.rule_gate import RuleGate
from hpc.core.immutable import immutable, replace
from hpc.core.slurm.states import SlurmState

CALM_LINES = 60
"""Unsuspicious lines after an error that show that a program of unknown kind went on working."""


LAST_WORDS = 15
"""Lines at the end of a failed run's log that may be evidence without a word of alarm."""
ANOTHER_ATTEMPT = 4
"""Lines after Slurm ended a job that show that another one wrote to the same file."""
NAN_GRADIENTS = 5
"""Gradient norms in a row up to the end that have to be infinite or NaN before they count."""


@immutable
class Event:
    """One line a rule recognised.

    Attributes:
        rule: The row that recognised it.
        line: The line.
        rank: Rank that said it; empty when it carries none.
        position: Place in the evidence's order.
        survived: The same stream went on working afterwards.
        passed: The program printed it and went on to other things: nothing to overrule an exit code of 0 with.
        decides: It may overrule one, whether or not healthy runs print the like.
        raised: It is the message of a traceback.
    """

    rule: Rule
    line: LogLine
    rank: str
    position: int
    survived: bool
    passed: bool = False
    decides: bool = True
    raised: bool = False

    @property
    def says_done_without(self) -> bool:
        """Whether the message says what was done instead: it ended nothing."""
        return _DONE_WITHOUT.search(self.line.text) is not None

    @property
    def says_handled(self) -> bool:
        """Whether the message itself says that the program dealt with it."""
        return says_handled(self.line.text)


@immutable
class Scene:
    """One attempt's logs, read once, and only when they are asked for: of a success that delivered nobody asks.

    Attributes:
        evidence: What is known of the attempt.
    """

    evidence: Evidence

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Its logs, one each, in the evidence's order."""
        return tuple(_read_logs(self.evidence))

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every line that may say something: code quoted in a traceback and the calls of a stack are none."""
        return tuple(line for reading in self.readings for line in reading.lines if line.speaks)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Every recognised line that is not another line's fallout, nor usual."""
        found = (event for reading in self.readings for event in self._in(reading))
        return tuple(event for event in found if event.line not in self.evidence.usual)

    @cached_property
    def open_events(self) -> tuple[Event, ...]:
        """Those nobody survived."""
        return tuple(event for event in self.events if not event.survived)

    def deepest(self, tier: Tier, *, survived: bool = False) -> Event | None:
        """The event of this tier that came first, in the rank torchrun names as root cause if it names one.

        Survived ones are asked for apart: output that was buffered appears after the error it came before, so they
        are the next best guess of a run that failed, unless the message itself says that it was handled.
        """
        if survived:
            events = [event for event in self.events if event.survived and not event.says_handled]
        else:
            events = list(self.open_events)
        return min((event for event in events if event.rule.tier is tier), key=self._order, default=None)

    def says(self, role: Role) -> Event | None:
        """The first event whose row has this role, survived or not."""
        return next((event for event in self.events if event.rule.role is role), None)

    def _order(self, event: Event) -> tuple[bool, bool, int]:
        return bool(self.root_rank) and event.rank != self.root_rank, event.says_done_without, event.position

    def went_on_after(self, event: Event) -> bool:
        """Whether the log goes on at length after an event with lines nothing is wrong with."""
        later = (line for line in self.lines if line.position > event.position)
        calm = sum(
            line.origin.source == event.line.source and not log_scan.suspicious(line.text) and bool(line.text.strip())
            for line in later
        )
        return calm >= CALM_LINES

    @cached_property
    def root_rank(self) -> str:
        """Rank in torchrun's "Root Cause (first observed failure)"; empty when there is no such block."""
        texts = [line.text for line in self.lines]
        start = next((i for i, text in enumerate(texts) if text.startswith("Root Cause (first observed")), None)
        if start is None:
            return ""
        return next((m[1] for text in texts[start : start + 8] if (m := _ROOT_RANK.match(text))), "")

    @cached_property
    def root_end(self) -> Event | None:
        """How the root cause ended, by its ``exitcode`` in torchrun's block; None when there is no such line."""
        places = (place for place, line in enumerate(self.lines) if line.text.startswith("Root Cause (first observed"))
        start = next(places, len(self.lines))
        line = next((one for one in self.lines[start : start + 8] if one.text.strip().startswith("exitcode")), None)
        if line is None:
            return None
        rule = next((one for one in LOG_RULES if one.tier is Tier.TRACE and one.says.search(line.text)), None)
        return Event(rule, line.origin, line.rank, line.position, survived=False) if rule else None

    @cached_property
    def lone_end(self) -> LogLine | None:
        """The line that proves an end where nothing but the log is known; None where no line does."""
        trouble = any(event.rule.tier in (Tier.ROOT, Tier.FAULT) for event in self.open_events)
        logs = [LoneLog(reading.lines) for reading in reversed(self.readings)]
        ends = [*((log, log.end(in_trouble=trouble)) for log in logs), *((log, log.finish()) for log in logs)]
        return next((log.lines[place].origin for log, place in ends if place >= 0), None)

    @cached_property
    def answer(self) -> LogLine | None:
        """The answer a solver printed, where its exit code is the one that stands for it; else None."""
        said = None if self.evidence.exit_signal else ANSWERS.get(self.evidence.exit_code or 0)
        return next((line.origin for line in self.lines if said and said.match(line.text)), None)

    @cached_property
    def names_nan(self) -> bool:
        """Whether any line names a number that is none: where none does, nobody need read them."""
        texts = " ".join(line.text for line in self.evidence.log)
        return log_scan.may_name_nan(texts) and any(log_scan.names_nan(line.text) for line in self.lines)

    @cached_property
    def lasting_nan(self) -> LogLine | None:
        """The first of the losses that are not finite, when no finite one follows; None when the log ends finite.

        wandb repeats at the end whatever was logged last under a name: its summary counts where nothing else reports.
        """
        if not self.names_nan:
            return None
        reports = [(line, log_scan.loss_is_finite(line.text)) for line in self.lines]
        known = [(line, finite) for line, finite in reports if finite is not None]
        own = [(line, finite) for line, finite in known if not line.text.startswith("wandb:")] or known
        first: LogLine | None = None
        for line, finite in own:
            first = None if finite else first or line.origin
        return first

    @cached_property
    def lasting_nan_gradient(self) -> LogLine | None:
        """The first of at least `NAN_GRADIENTS` gradient norms that are not finite up to the log's end; else None.

        Fewer are what mixed precision does when it looks for its scale.
        """
        if not self.names_nan:
            return None
        reports = [(line, log_scan.gradient_is_finite(line.text)) for line in self.lines]
        known = [(line, finite) for line, finite in reports if finite is not None]
        tail = list(takewhile(lambda pair: not pair[1], reversed(known)))
        return tail[-1][0].origin if len(tail) >= NAN_GRADIENTS else None

    @cached_property
    def losses(self) -> tuple[tuple[float, Line], ...]:
        """The finite losses the log reports, in its order, of the first rank that reports any."""
        found = [(value, line) for line in self.lines if (value := log_scan.loss_of(line.text)) is not None]
        return tuple(pair for pair in found if pair[1].rank == found[0][1].rank)

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """What the log reports of losses, scores and rewards, by name."""
        return read_curves(self.lines)

    @cached_property
    def begins_at_start(self) -> bool:
        """Whether the log shows the first steps of the training."""
        steps = [step for line in self.lines if (step := log_scan.step_of(line.text)) is not None]
        stride = next((step - steps[0] for step in steps if step > steps[0]), 0)
        return bool(steps) and steps[0] <= max(1, stride)  # what is told every 50 steps is told first at 50

    @cached_property
    def silence_s(self) -> float | None:
        """Seconds between the last progress line and the last line of the log, by their own time stamps."""
        stamps = [(t, line) for line in self.lines if (t := log_scan.timestamp_s(line.origin.text)) is not None]
        working = [t for t, line in stamps if log_scan.is_progress(line.text)]
        return stamps[-1][0] - working[-1] if working else None

    @property
    def _is_failed(self) -> bool:
        """Whether it is known to have ended badly: its last words are read whatever their words are."""
        code, signal = self.evidence.exit_code, self.evidence.exit_signal
        return bool(code or signal) or self.evidence.state in (SlurmState.FAILED, SlurmState.NODE_FAIL)

    def _in(self, reading: Reading) -> Iterator[Event]:
        lines, course = reading.lines, Course(reading.lines)
        reason = next((i for i, line in enumerate(lines) if _SLURM_REASON.search(line.text)), len(lines))
        last = len(lines) - LAST_WORDS if self._is_failed else len(lines)
        found: list[tuple[Event, Trace | None]] = []
        for i, line in enumerate(lines[: reason + 1]):
            trace = reading.by_message.get(i)
            known = _gate().may_match(line.text) if line.speaks else ()
            counted = course.worth.cause_of(i) if line.speaks and not self._is_failed else ""
            asked = i >= last or counted or i in course.told or log_scan.suspicious(line.text)
            of_part = asked and trace is None and _PART_FAILED.match(line.text)
            if trace is None and not ((known or of_part or counted) and asked and not is_noise(line.text)):
                continue
            if i in course.muted:
                continue
            rule = _recognise(known, lines, i, trace, self.evidence) or (_UNCAUGHT if trace else None)
            if rule is None or (rule.tier is Tier.TRACE and counted != "last_word"):
                rule = _counted_as(counted, rule)
            if trace is None and (rule is None or rule.tier is Tier.TRACE) and (of := _of_part(line, self.evidence)):
                over = self._is_failed or course.ends_well_after(i)
                found.append((Event(of, line.origin, line.rank, line.position, survived=over, passed=over), None))
            elif rule is not None:
                uncaught = trace.outermost if trace else None
                said = (line.origin, line.rank, line.position)
                survived, passed = course.survived(i, rule, uncaught), course.passed(i, rule, uncaught)
                ended = bool(uncaught) and not course.ends_well_after(i)  # no healthy run prints what ended it
                decides = ended or course.worth.decides(i, rule)
                found.append((Event(rule, *said, survived, passed, decides, trace is not None), trace))
        yield from _one_a_chain(found)


_DONE_WITHOUT = re.compile(
    r"[,;(] ?(?:\w+ ){0,3}(?:kept|left out|skipp(?:ed|ing)|ignor(?:ed|ing)|excluded|falling back|using \w+ instead)\b",
    re.IGNORECASE,
)
_ROOT_RANK = re.compile(r"^\s{0,20}rank\s{0,20}: (\d+)")
_SLURM_REASON = re.compile(
    r"slurmstepd: error: \*\*\* .{0,200}DUE TO (?:TIME LIMIT|PREEMPTION|JOB REQUEUE|NODE FAILURE|DEADLINE)"
)
_JOB_ENDED = re.compile(
    r"slurmstepd: error: \*\*\* JOB .{0,200}DUE TO (?:TIME LIMIT|PREEMPTION|JOB REQUEUE|NODE FAILURE)"
)
_NEW_ATTEMPT = re.compile(
    r"SLURM_RESTART_COUNT=[1-9]|attempts left; will restart worker group"
    r"|^[=\-# ]{0,12}(?:attempt|restart) (?:number )?[1-9]\d* ?[=\-#:]",
    re.IGNORECASE,
)


@cache
def _gate() -> RuleGate:
    return RuleGate([rule.says.pattern for rule in LOG_RULES])


_UNCAUGHT = next(rule for rule in LOG_RULES if rule.role is Role.UNCAUGHT)
_COUNTED = {rule.cause: rule for rule in LOG_RULES if rule.role is Role.COUNTED}
"""Rows of lines that are known by the others of their log, and not by their words."""


def _counted_as(counted: str, rule: Rule | None) -> Rule | None:
    """The row of a line that is known by the others; where that says nothing of a class, the line's own words do."""
    row = _COUNTED.get(counted)
    if row and rule and row.category is FailureClass.CODE_BUG and rule.cause == "vague":
        return replace(row, category=rule.category)
    return row or rule


def observe(evidence: Evidence) -> Scene:
    """What is known of an attempt, with its logs to be read."""
    return Scene(evidence)


def _read_logs(evidence: Evidence) -> Iterator[Reading]:
    """Clean the lines, take prefixes off, leave out what earlier attempts wrote, and read what is left."""
    for source in dict.fromkeys(line.source for line in evidence.log):
        places = [(k, line) for k, line in enumerate(evidence.log) if line.source == source]
        split = split_speakers([split_prefix(log_scan.clean(line.text)) for _, line in places])
        lines = [
            Line(origin, rank, without_stock(in_english(text)), position)
            for (position, origin), (rank, text) in zip(places, split, strict=True)
        ]
        yield read(_last_attempt(lines, ended_well=evidence.state is SlurmState.COMPLETED))


def _last_attempt(lines: list[Line], *, ended_well: bool) -> list[Line]:
    """What the newest attempt wrote, where Slurm appended several to one file.

    After a job was ended nothing more can be written by it: work that follows is another attempt's. Where the last one
    is known to have ended well, any lines that follow are.
    """
    start = 0
    for i, line in enumerate(lines):
        later = lines[i + 1 :] if _JOB_ENDED.search(line.text) else ()
        others = ended_well and sum(bool(one.text.strip()) for one in later) >= ANOTHER_ATTEMPT
        if others or any(log_scan.is_progress(one.text) for one in later) or _NEW_ATTEMPT.search(line.text):
            start = i + 1
    return lines[start:]


_SAYS_LITTLE = frozenset({"bug-exception", "bug-uncaught"})
"""Rules that know an exception by no more than that it is one."""


def _one_a_chain(found: Sequence[tuple[Event, Trace | None]]) -> list[Event]:
    """Of exceptions raised in handling one another the one that says most: together they are one event.

    A cause goes before a consequence, and either before an exception no rule knows; of equals the last, which is what
    the program made of it, or what that is said to be caused by.
    """
    best: dict[int, tuple[tuple[bool, int, int, int], Event]] = {}
    for event, trace in found:
        if trace is not None:
            weight = (event.rule.id in _SAYS_LITTLE, event.rule.tier, -trace.level, event.position)
            if trace.chain not in best or weight < best[trace.chain][0]:
                best[trace.chain] = (weight, event)
    return [event for event, trace in found if trace is None or best[trace.chain][1] is event]


def _recognise(
    known: Sequence[int], lines: Sequence[Line], i: int, trace: Trace | None, evidence: Evidence
) -> Rule | None:
    """The first row that knows a line, with its neighbours and, of a traceback's message, its stack in view."""
    text = lines[i].text
    for rule in (LOG_RULES[place] for place in known):
        said = sentence_of(text) if rule.sentence else text
        if not rule.says.search(said) or (rule.when and not rule.when(evidence)):
            continue
        if rule.stack and not (trace and trace.frames and rule.stack(trace.frames)):
            continue
        if rule.unless and trace and rule.unless(trace.frames, text):
            continue
        if rule.doing and not _was_doing(rule.doing, lines, i, trace):
            continue
        if rule.near is None or any(
            rule.near.search(other.text) for other in _around(lines, i) if other.part is not Part.SOURCE
        ):
            return rule
    return None


def _was_doing(doing: Pattern, lines: Sequence[Line], i: int, trace: Trace | None) -> bool:
    """Whether the program said right before a message, and before any progress, that this is what it was at."""
    start, rank = trace.start if trace else i, lines[i].rank
    before = (
        line.text for line in reversed(lines[max(0, start - 4 * DOING) : start])
        if line.speaks and line.text.strip() and line.rank in ("", rank)
    )  # fmt: skip
    for text in islice(before, DOING):
        if doing.search(text):
            return True
        if log_scan.is_progress(text):
            return False
    return False


_PART_FAILED = re.compile(
    r"^(?!\s*(?:[\w.]{1,80}(?:Error|Exception)\b|WARN)).{1,120}?\b(?:failed|error|FAILED|ERROR|crashed"
    r"|exception)\b.{0,12}?"
    r"[:(] ?(?P<said>(?:\w+\.){0,6}[A-Z]\w{0,60}(?:Error|Exception)\b.*)"
)


def _of_part(line: Line, evidence: Evidence) -> Rule | None:
    """The row that knows the exception of a part that failed, as a program says of one of many and goes on."""
    failed = _PART_FAILED.match(line.text)
    if failed is None or is_noise(line.text):
        return None
    alone = replace(line, text=failed["said"].rstrip(")"))
    rule = _recognise(_gate().may_match(alone.text), [alone], 0, None, evidence)
    return rule if rule and rule.tier in (Tier.ROOT, Tier.FAULT) else None


def _around(lines: Sequence[Line], i: int) -> Iterable[Line]:
    return lines[max(0, i - NEIGHBOURS) : i + NEIGHBOURS + 1]
