"""One attempt's logs, read once: who said what, which rule knows it, and whether work went on afterwards. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from hpc.core.failures import log_scan
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine
from hpc.core.failures.log_noise import is_noise
from hpc.core.failures.log_rules import LOG_RULES, NEIGHBOURS, Role, Rule, Tier

BUFFER = 8192
"""Bytes a program holds back when its output is no terminal: as much progress can appear after its last words."""

CALM_LINES = 60
"""Unsuspicious lines after an error that show that a program of unknown kind went on working."""


NAN_GRADIENTS = 5
"""Gradient norms in a row up to the end that have to be infinite or NaN before they count."""


@dataclass(frozen=True)
class Event:
    """One line a rule recognised.

    Attributes:
        rule: The row that recognised it.
        line: The line.
        rank: Rank that said it; empty when it carries none.
        position: Place in the evidence's order.
        survived: The same stream went on working afterwards.
    """

    rule: Rule
    line: LogLine
    rank: str
    position: int
    survived: bool

    @property
    def says_handled(self) -> bool:
        """Whether the message itself says that the program dealt with it."""
        return bool(_HANDLED.search(self.line.text))


@dataclass(frozen=True)
class _Line:
    """A log line, cleaned, with the rank prefix taken off."""

    origin: LogLine
    rank: str
    text: str
    position: int


@dataclass(frozen=True)
class Scene:
    """One attempt's logs, read once: who said what, and whether work went on afterwards."""

    evidence: Evidence
    lines: tuple[_Line, ...]

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Every recognised line that is not another line's fallout."""
        return tuple(
            event for source in dict.fromkeys(line.origin.source for line in self.lines) for event in self._in(source)
        )

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

    def _order(self, event: Event) -> tuple[bool, int]:
        return bool(self.root_rank) and event.rank != self.root_rank, event.position

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
    def finish(self) -> LogLine | None:
        """The program's last statement that it came to its end."""
        return next((line.origin for line in reversed(self.lines) if log_scan.says_finished(line.text)), None)

    @cached_property
    def lasting_nan(self) -> LogLine | None:
        """The first of the losses that are not finite, when no finite one follows; None when the log ends finite.

        wandb repeats at the end whatever was logged last under a name: its summary counts where nothing else reports.
        """
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
        reports = [(line, log_scan.gradient_is_finite(line.text)) for line in self.lines]
        known = [(line, finite) for line, finite in reports if finite is not None]
        tail = list(takewhile(lambda pair: not pair[1], reversed(known)))
        return tail[-1][0].origin if len(tail) >= NAN_GRADIENTS else None

    @cached_property
    def losses(self) -> tuple[tuple[float, _Line], ...]:
        """The finite losses the log reports, in its order, of the first rank that reports any."""
        found = [(value, line) for line in self.lines if (value := log_scan.loss_of(line.text)) is not None]
        return tuple(pair for pair in found if pair[1].rank == found[0][1].rank)

    @cached_property
    def begins_at_start(self) -> bool:
        """Whether the log shows the first steps of the training."""
        steps = [step for line in self.lines if (step := log_scan.step_of(line.text)) is not None]
        return bool(steps) and steps[0] <= 1

    @cached_property
    def silence_s(self) -> float | None:
        """Seconds between the last progress line and the last line of the log, by their own time stamps."""
        stamps = [(t, line) for line in self.lines if (t := log_scan.timestamp_s(line.text)) is not None]
        working = [t for t, line in stamps if log_scan.is_progress(line.text)]
        return stamps[-1][0] - working[-1] if working else None

    def _in(self, source: str) -> Iterator[Event]:
        lines = [line for line in self.lines if line.origin.source == source]
        muted = _muted(lines)
        raised = _raised(lines)
        reason = next((i for i, line in enumerate(lines) if _SLURM_REASON.search(line.text)), len(lines))
        for i, line in enumerate(lines[: reason + 1]):
            if i in muted or (i not in raised and (not log_scan.suspicious(line.text) or is_noise(line.text))):
                continue
            rule = _recognise(line, lines, i, self.evidence) or (_UNCAUGHT if i in raised else None)
            if rule is not None:
                uncaught = raised.get(i)
                yield Event(rule, line.origin, line.rank, line.position, _survived(line, rule, lines, i, uncaught))


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
_UNCAUGHT = next(rule for rule in LOG_RULES if rule.role is Role.UNCAUGHT)
_TRACEBACK = re.compile(r"^\s*(?:\^C)?Traceback \(most recent call last\)")
_LAST = re.compile(r"[A-Za-z_][\w.]{0,120}(?:: |:?$)")  # how a traceback ends: the exception's name, and its text
_TOP_FRAME = re.compile(r'^\s*File ".{1,400}", line \d+, in (?:<module>|_run_module_as_main)')
_AT_EXIT = re.compile(
    r"^(?:Exception in thread|Error in atexit|Task was destroyed|asyncio\.exceptions\.CancelledError)"
)
_IGNORED = re.compile(r"^(?:Exception ignored in|--- Logging error ---|Error in atexit)")
_HANDLED = re.compile(
    r"\b(?:WARN(?:ING)?|retry(?:ing)?|retries|ignor(?:ed|ing)|skipp?(?:ing|ed)|falling back|recover\w*)\b",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"^\s*(?:\w+\.){0,8}[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b")


def observe(evidence: Evidence) -> Scene:
    """Clean the lines, take rank prefixes off, and leave out what earlier attempts wrote into the same files."""
    lines = []
    for position, origin in enumerate(evidence.log):
        rank, text = log_scan.split_rank(log_scan.clean(origin.text))
        lines.append(_Line(origin, rank, log_scan.without_frame(text), position))
    kept: list[_Line] = []
    for source in dict.fromkeys(line.source for line in evidence.log):
        kept += _last_attempt([line for line in lines if line.origin.source == source])
    return Scene(evidence, tuple(kept))


def _last_attempt(lines: list[_Line]) -> list[_Line]:
    """What the newest attempt wrote, where Slurm appended several to one file."""
    start = 0
    for i, line in enumerate(lines):
        goes_on = _JOB_ENDED.search(line.text) and any(log_scan.is_progress(later.text) for later in lines[i + 1 :])
        if goes_on or _NEW_ATTEMPT.search(line.text):
            start = i + 1
    return lines[start:]


def _muted(lines: Sequence[_Line]) -> set[int]:
    """Lines of tracebacks that Python itself calls ignored: from the announcement to the exception's own line.

    So are those of threads and of interpreter exit once the program has said that it came to its end.
    """
    muted: set[int] = set()
    ignoring = finished = False
    for i, line in enumerate(lines):
        finished = log_scan.says_ended(line.text) or (finished and not log_scan.is_progress(line.text))
        ignoring = ignoring or bool(_IGNORED.match(line.text)) or (finished and bool(_AT_EXIT.match(line.text)))
        if ignoring:
            muted.add(i)
            ignoring = not _EXCEPTION.match(line.text)
    return muted


def _ended_before(lines: Sequence[_Line], i: int) -> bool:
    """Whether the program had said that its work is done, and no work followed."""
    for line in reversed(lines[:i]):
        if log_scan.says_ended(line.text):
            return True
        if log_scan.is_progress(line.text):
            return False
    return False


def _raised(lines: Sequence[_Line]) -> dict[int, bool]:
    """Places of the exceptions tracebacks end with, each with whether it reached the top of the main program.

    A traceback of an exception nobody caught begins in ``<module>``; one that was caught and printed begins where it
    was caught. Lines of other ranks in between are passed over.
    """
    found: dict[int, bool] = {}
    for i, line in enumerate(lines):
        if not _TRACEBACK.search(line.text):
            continue
        own = [k for k in range(i + 1, min(len(lines), i + 200)) if lines[k].rank == line.rank]
        end = next((k for k in own if lines[k].text.strip() and not lines[k].text.startswith((" ", "\t"))), None)
        if end is not None and _LAST.match(lines[end].text):
            top = lines[own[0]].text
            found[end] = bool(_TOP_FRAME.search(top)) and not any(
                _HANDLED.search(x.text) for x in lines[max(0, i - 2) : i]
            )
    return found


def _recognise(line: _Line, lines: Sequence[_Line], i: int, evidence: Evidence) -> Rule | None:
    for rule in LOG_RULES:
        if not rule.says.search(line.text) or (rule.when and not rule.when(evidence)):
            continue
        if rule.near is None or any(rule.near.search(other.text) for other in _around(lines, i)):
            return rule
    return None


def _around(lines: Sequence[_Line], i: int) -> Iterable[_Line]:
    return lines[max(0, i - NEIGHBOURS) : i + NEIGHBOURS + 1]


def _survived(line: _Line, rule: Rule, lines: Sequence[_Line], i: int, uncaught: bool | None) -> bool:
    """Whether the stream that spoke went on working: a step, an epoch, a saved model after the message.

    Another rank's steps prove nothing; a warning is survived already when the log merely goes on to a result, and what
    ranks say of each other when the program has already said that it came to its end. An exception that reached the top
    of the main program is survived only by more work than a buffer can have held back.
    """
    own = [other.text for other in lines[i + 1 :] if not line.rank or other.rank in ("", line.rank)]
    working = [text for text in own if log_scan.is_progress(text) or log_scan.is_result(text)]
    if rule.category is FailureClass.NOT_CONVERGED:
        return any(log_scan.is_progress(text) for text in own)
    if uncaught:
        before = any(log_scan.is_progress(other.text) for other in lines[:i])
        long = sum(len(text) + 1 for text in working) > BUFFER
        return bool(working) and before and (long or any(log_scan.says_finished(text) for text in own))
    if working:
        return True
    if rule.tier in (Tier.SYMPTOM, Tier.TRACE) and _ended_before(lines, i):
        return True
    return bool(_HANDLED.search(line.text)) and any(log_scan.says_finished(text) for text in own)
