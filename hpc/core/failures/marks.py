"""A log's lines by kind: calm, progress, a word on the end. Each line is asked once of each kind. Pure, linear."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate

from hpc.core.failures import log_scan
from hpc.core.failures.ending import ends_badly, ends_well, ends_whole, ends_with_nothing, tests_passed
from hpc.core.failures.reading.parts import Line
from hpc.core.immutable import immutable

_ITEM = re.compile(r"^\s{0,8}(?:(?:[|*>•·]|-{1,2}|={1,2}>?) {0,4})?(?P<head>\S{1,60})\s+(?P<next>\S{1,120})")
_NO_ITEM = re.compile(
    r"^(?:epoch|step|iter\w*|batch|rank|node|worker|task|error|fatal|warn\w*|exception|srun|slurmstepd|file|at|in|the"
    r"|traceback|\w*error|\w*exception|#\d*|\+|>|mpi\w*|pmpi\w*|caused|during|e|i|w|d|\(\S*|\[\S*)\b\W*",
    re.IGNORECASE,
)
_FIELD = re.compile(r"\S+(?: \S+)*")
_LEVEL = re.compile(
    r"\W*(?:debug|info|notice|warn(?:ing)?|error|err|critical|fatal|severe|trace|[deiwf])\W*", re.IGNORECASE
)
COLUMNS = 2
"""Columns that rows of one table have in common, at least …"""
WORDS = 3
"""Words in one column, at most."""
ROWS = 2
"""… with so many of their neighbours."""
_DIGITS = re.compile(r"\d+")
LISTED = 4
"""Lines around an item of a list in which the others stand."""
_RESULT = re.compile(
    r"\bexit(?:ed)?(?: with)?(?: code| status)?[ :=]{1,3}0\b|^best (?:trial|params?|score|value|config|hyper)",
    re.IGNORECASE,
)
_OVER = re.compile(
    r"\b(?:finished|completed?|done) in \d|\btotal (?:time|runtime|elapsed|duration)\b.{0,30}\d"
    r"|\btime (?:used|elapsed|taken)\b.{0,30}\d|\ball done\b|\brun (?:is )?(?:completed?|finished)\b"
    r"|\bevaluation (?:is )?(?:completed?|finished|done)\b|^(?:wrote|written|saved|finished|done|summary"
    r"|processed \d)",
    re.IGNORECASE,
)
_LEFT_NOTHING = re.compile(r"^(?:cp|mv|tar|rsync|cat|tail|head|grep|ls)\b.{0,200}(?:no such file|cannot stat)",
                           re.IGNORECASE)  # fmt: skip
STOPS = re.compile(
    r"\b(?:terminat|stopp|abort|quitt|leav|halt|exit)(?:ing|ed)\b|\bbreak(?:ing)? out\b"
    r"|\bwill (?:now )?(?:terminate|stop|exit|abort|quit)\b",
    re.IGNORECASE,
)
"""How a program says that it ends itself."""
_SAVES = re.compile(r"\b(?:sav|writ|checkpoint)\w*", re.IGNORECASE)
_NAMED = re.compile(r"\w\.[A-Za-z]\w{1,9}\b|\w/|\d\.\d|\b[1-9]\d{0,14} [a-z]")
"""What names or measures a result: a file, a number."""
_EPILOGUE = re.compile(
    r"^\W*(?:done|finished|end(?:ed)?|job\b|real\s|user\s|sys\s|elapsed|exit|epilog|clean(?:ing|ed)|wandb:|srun:"
    r"|slurm"
    r"|(?:mon|tue|wed|thu|fri|sat|sun)\b|\+ )",
    re.IGNORECASE,
)
"""What job scripts and trackers say whatever became of the program."""
HANDLED = re.compile(
    r"\b(?:WARN(?:ING)?|retry(?:ing)?|retrie[sd]|ignor(?:ed|ing)|skipp?(?:ing|ed)|falling back|recover(?:ed"
    r"|ing|s|y)|pruned"
    r"|keeping|(?:will )?continu(?:e|ing)|using (?:the )?(?:default|cached|cpu)|trying|attempt [2-9]"
    r"|instead|not available|disabled|optional|reduc(?:ing|ed|e)|halv(?:ing|ed|e)|proceed(?:s|ing)|anyway|tolerat\w+"
    r"|recovered|resuming|restart(?:ing|ed|s)?|skip|sleeping|backing off|cut(?:ting|s)?|bisect\w*|re-?queu\w+"
    r"|resubmit\w*|re-?launch\w*|rescheduled|re-?run\w*|replaced|next (?:mirror|server|node|host|try)"
    r"|roll(?:ing|ed)? back|(?:try|attempt|retry) \d{1,3} ?(?:/|of)|(?:second|third|next|another|new) (?:attempt"
    r"|try|round|pass)|again|wait(?:ing|ed)?(?: for)? \d+ ?(?:s"
    r"|sec|min)\w*"
    r"|marked (?:as )?\w+|left out|excluded|flagged|kept|as expected|by design|on purpose|expected failure)\b"
    r"|[:,;] using \w|\((?:[^()]{0,40}\b)?(?:as expected|expected|ok)\)",
    re.IGNORECASE,
)
_REMEDY = re.compile(
    r"[;,] (?:[a-z][\w-]{0,20} ){0,3}(?:(?:was|were|is|are|has been|have been) (?:now )?)?"
    r"(?:extended|replaced|relaxed|clipped|clamped|rounded|capped|reset|padded|filled|imputed|interpolated"
    r"|substituted"
    r"|adjusted|corrected|increased|enlarged|doubled|turned off|switched|redirected|deferred|postponed|recomputed"
    r"|regenerated|rebuilt|rerun|repeated|omitted|dropped|masked|(?:left|set|taken|cut|put|moved) (?:as|at|to|by"
    r"|back|off"
    r"|from|in)\b)",
    re.IGNORECASE,
)
"""The second half of a sentence that says what was done about the first."""
_GAVE_UP = re.compile(
    r"\b(?:max(?:imum)? (?:number of )?retries|(?:no|out of) (?:more )?(?:retries|restarts)|retries (?:exceeded"
    r"|exhausted)"
    r"|after \d+ (?:retries|attempts|tries)|no (?:restarts?|retries) left)\b",
    re.IGNORECASE,
)
_CONVERGED = re.compile(
    r"^(?!.{0,80}\b(?:not|no|fail\w*|never|without|un)\b).{0,120}\b(?:converged|convergence (?:\w+ )?(?:reached"
    r"|achieved|met|satisfied)|criteria (?:are |were )?(?:satisfied|met))\b",
    re.IGNORECASE,
)
FINAL = re.compile(
    r"^(?:slurmstepd|srun: error|prterun|mpirun)|\bkilled\b|core dumped|segmentation fault|illegal instruction"
    r"|\bbus error|floating point exception$|: aborted\b|\bMPI_ABORT was invoked|called MPI_Abort\b"
    r"|\bsig(?:segv|ill|bus|fpe|abrt|kill)\b",
    re.IGNORECASE,
)
"""What is never said of a program that goes on."""


def says_remedied(text: str) -> bool:
    """Whether a message goes on to say what was done about it."""
    return _REMEDY.search(text) is not None


def says_handled(text: str) -> bool:
    """Whether a message itself says that the program dealt with it."""
    return HANDLED.search(_GAVE_UP.sub("", text)) is not None or says_remedied(text)


@immutable
class Marks:
    """Places of the lines of one kind, and how many characters they hold up to each."""

    places: tuple[int, ...]
    sums: tuple[int, ...]

    def any_after(self, i: int) -> bool:
        return bool(self.places) and self.places[-1] > i

    @property
    def last(self) -> int:
        return self.places[-1] if self.places else -1

    def any_before(self, i: int) -> bool:
        return bool(self.places) and self.places[0] < i

    def last_before(self, i: int) -> int:
        at = bisect_right(self.places, i - 1)
        return self.places[at - 1] if at else -1

    def characters_after(self, i: int) -> int:
        at = bisect_right(self.places, i)
        return (self.sums[-1] - (self.sums[at - 1] if at else 0)) if self.places else 0


class MarkedLog:
    """One log, and the places of its lines by kind.

    Args:
        lines: The log, read.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.speaking = [i for i, line in enumerate(lines) if line.speaks and line.text.strip()]
        self._known: dict[tuple[str, str], Marks] = {}

    def marks(self, kind: str, rank: str = "") -> Marks:
        """The lines of a kind that a rank, or nobody in particular, wrote; of no rank: all."""
        if (kind, rank) not in self._known:
            if rank:
                places = [i for i in self.marks(kind).places if self.lines[i].rank in ("", rank)]
            else:
                ask = _KINDS[kind]
                places = [i for i, line in enumerate(self.lines) if line.speaks and ask(line.text)]
            sums = accumulate(len(self.lines[i].text) + 1 for i in places)
            self._known[kind, rank] = Marks(tuple(places), tuple(sums))
        return self._known[kind, rank]

    def is_listed(self, i: int) -> bool:
        """Whether the line is an item of a list, between others of the same form about other things."""
        if self._is_row(i):
            return True
        item = _ITEM.match(self.lines[i].text)
        if item is None or _NO_ITEM.match(item["head"]) or not any(map(str.isalnum, item["head"])):
            return False
        head, pair = _DIGITS.sub("0", item["head"]), (item["head"], item["next"])
        alike = 0
        at = bisect_right(self.speaking, i)
        for k in self.speaking[max(0, at - 1 - LISTED) : at + LISTED]:
            other = _ITEM.match(self.lines[k].text) if k != i else None
            if other and _DIGITS.sub("0", other["head"]) == head and (other["head"], other["next"]) != pair:
                alike += 1
        return alike >= 2  # a list has three items

    def _is_row(self, i: int) -> bool:
        """Whether the line is a row of a table: its columns begin or end where those of its neighbours do."""
        own = _columns(self.lines[i].text)
        if not own:
            return False
        at = bisect_right(self.speaking, i)
        near = (k for k in self.speaking[max(0, at - 1 - LISTED) : at + LISTED] if k != i)
        return sum(len(own & _columns(self.lines[k].text)) >= COLUMNS for k in near) >= ROWS


@lru_cache(maxsize=512)
def _columns(text: str) -> frozenset[int]:
    """Where the fields of a row behind its first begin, and (negative) end; empty where it is no row, but a log's."""
    if "  " not in text:
        return frozenset()
    fields = [(m.start(), m.end(), m[0]) for m in _FIELD.finditer(text)]
    if len(fields) <= COLUMNS or any(_LEVEL.fullmatch(field) for _, _, field in fields[:3]):
        return frozenset()
    if any(field.count(" ") >= WORDS for _, _, field in fields[1:]):
        return frozenset()  # a sentence behind what every line of this log begins with
    return frozenset(place for begin, end, _ in fields[1:] for place in (begin, -end))


def _is_calm(text: str) -> bool:
    return len(text.split()) > 1 and not log_scan.suspicious(text) and not _EPILOGUE.match(text)


_KINDS: dict[str, Callable[[str], bool]] = {
    "calm": _is_calm,
    "progress": log_scan.is_progress,
    "moving": lambda text: log_scan.is_progress(text) and not _SAVES.search(text) and not STOPS.search(text),
    "work": lambda text: log_scan.is_progress(text) or log_scan.is_result(text),
    "saved": log_scan.is_result,
    "ended": log_scan.says_ended,
    "result": lambda text: log_scan.says_ended(text) or bool(_RESULT.search(text)),
    "converged": lambda text: bool(_CONVERGED.search(text)),
    "well": ends_well,
    "product": lambda text: bool(_NAMED.search(text)) and ends_well(text),
    "tested": tests_passed,
    "left nothing": lambda text: bool(_LEFT_NOTHING.match(text)),
    "whole": ends_whole,
    "badly": ends_badly,
    "final": lambda text: bool(FINAL.search(text)),
    "nothing": ends_with_nothing,
    "over": lambda text: log_scan.says_finished(text) or bool(_OVER.search(text) or _RESULT.search(text)),
}
