"""What a log counts: what came out of the work, how far it came of what it announced, what was left undone. Pure.

A count is judged beside the others of its log: `0 files match` says that nothing was found unless another line counts
some, and `12 clips` that all of them failed if twelve failures stand below it. Each question is asked once of a log.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

from hpc.core.failures import log_scan
from hpc.core.failures.engine import Finder
from hpc.core.failures.log_noise import is_noise
from hpc.core.failures.reading.parts import Line
from hpc.core.failures.templates import blank
from hpc.core.immutable import immutable

MAX_TEXT = 400
"""Characters of a line that are read."""
_WORD = r"[A-Za-z][A-Za-z'-]{1,24}"
_BEFORE = re.compile(
    rf"(?:(?P<verb>{_WORD}) )?(?<![\w.,:/+*-])(?P<number>\d[\d,]{{0,14}})(?![\w.%:/]*\w) "
    rf"(?P<words>{_WORD}(?: {_WORD}){{0,4}})"
)
_AFTER = re.compile(
    rf"(?P<words>(?:{_WORD} ){{0,4}}{_WORD}) {{0,3}}[:=] {{0,12}}(?P<number>\d[\d,]{{0,14}})(?![\w.%:/]*\w)"
)
_JOINS = re.compile(
    r"(?:in|at|of|to|from|for|on|with|and|or|were|was|are|is|have|has|that|which|by|per|under|out|after|before"
    r"|within|left"
    r"|match(?:ed)?|found|loaded|read|written|processed|kept|passed|selected|remain(?:ed)?)$",
    re.IGNORECASE,
)
"""Words that end the name of a thing."""
_NO_THING = re.compile(
    r"(?:.{0,20}(?:error|fail|fault|warn|duplicat|outlier|conflict|crash|hang|violat|issue|problem|mismatch"
    r"|differ|chang|gap"
    r"|retr[iy]|restart|second|minute|hour|day|byte|epoch|step|rank|worker|thread|gpu|device|layer|node|core"
    r"|update|leak|miss|skip|invalid|timeout|candidate|col(?:umn)?|dimension|new|old|existing|cached|previous|extra"
    r"|stale|bad|corrupt|damaged|remaining|unused|pending|unmatched|more|further|other|additional|checkpoint|cach"
    r"|exit|code|status|bit|loss|detection|collision|reset|drop|swap|iteration|constraint|ghost|plugin|callback|hook"
    r"|override|option|trial|task|attempt|fits|unknown|imaginary|negative|dangerous|build).{0,20})",
    re.IGNORECASE,
)
"""Of what it is no loss that there is none: trouble, time, machines, and what is left from before."""
_TAKEN_OUT = re.compile(
    r"(?:skip|fail|drop|remov|filter|trim|reject|ignor|discard|exclud|miss|dedup|retri|restart|kill|prun|los|cach"
    r"|correct|flag|mask|clip|delet|clean|evict|repair|fix|chang|updat|upgrad|remain|requeu|resubmit|unm|mov)\w*",
    re.IGNORECASE,
)
_HAS = re.compile(
    r"\w{2,20}ed|wrote|read|found|got|over|on|kept|sent|writing|saving|reading|loading|processing|total|input|output"
    r"|with|saw|made|built|gave|drew",
    re.IGNORECASE,
)
"""Words before a count of what a program took in or gave out."""
_HAD = re.compile(r"\b(?:match(?:ed)?|found|loaded|read|written|processed|kept|passed|selected|in|out|to process)$")
_SIGN = Finder(
    r"\bnothing to (?:align|process|merge|train|do|evaluate|plot|write|score|average|convert|fit)\b|\b0it \["
    r"|\bmean of empty\b|\[\s{0,3}\]$"
    r"|\bempty (?:slice|list|table|data ?frame|array|result|file|input|output|data ?set)\b"
    r"|\((?:0|no|zero) (?:rows|entries|bytes|results|records|hits|lines|data)\)|\(empty\)"
    r"|^-[rwxsS-]{6}[rwxtT-]{3}[.+@]? +\d+ +\S+ +\S+ +0 .{0,200}\.(?:gz|bz2|zip|tar|bam|vcf|csv|tsv|json|parquet|npz"
    r"|npy|h5|hdf5|nc|fa|fasta|fastq|xyz|pdb|pt|pth|ckpt|pkl|mat|root|tif|png|pdf)$"
    r"|\bshape \(0,|\bno good\b"
)
_RESULT = r"\b(?:mean|median|average|rms\w?|score|rate|acc\w{0,5}|f1|rouge\S{0,3})\b.{0,30}[:=|]\s{0,8}"
_NO_RESULT, _SOME_RESULT = Finder(_RESULT + r"(?:nan|n/?a)\b"), Finder(_RESULT + r"[-+]?\d")
"""Signs that what was worked on is empty; one alone is none."""
SIGNS = 2
_UNDONE = Finder(
    r"\bcould not run node\b|\bnot remade because of\b|\bupstream[_ ]failed\W{1,3}[1-9]|\bhad failed dependenc"
    r"|\b[1-9]\d{0,8} (?:tasks? |stages? |jobs? |steps? |nodes? |rules? |cells? )?(?:were |was )?(?:not run|never run"
    r"|not executed|not started|never started|not attempted|left pending|upstream[_ ]failed|blocked by)\b"
    r"|\b(?:skipped|skipping|not run|not started|blocked|pending)\b.{0,40}\b(?:because|since|due to|as) .{0,60}"
    r"\b(?:fail|depend|upstream|prerequisite|parent)"
    r"|\bupstream .{0,24}\b(?:fail\w*|did not)|\bskipped, needs\b|\b(?:fail\w*|unmet|broken) (?:upstream"
    r"|dependenc\w*|prerequisites?|parents?)\b"
)
"""What is said of the parts of a workflow that come after one that failed."""
_GOOD = re.compile(
    r"\b(?:completed?|succeeded|success(?:ful)?|ok|passed|done|good"
    r"|finished)\W{1,12}(\d{1,9})\b(?!\.\d)",
    re.IGNORECASE,
)
_BAD = re.compile(r"\b(?:failed|failures?|errors?|errored|crashed)\W{1,12}([1-9]\d{0,8})\b(?!\.\d)", re.IGNORECASE)
FEW = 0.1
"""Share of what is missing below which it is no word on the whole."""
TABLE = 4
"""Lines of a summary that are read together."""
_OF = re.compile(
    r"\b[A-Za-z]{2,14}[\s:=\[(#]{1,4}(\d{1,12}) ?(?:/|of|out of) ?(\d{1,12})\b(?!/)|\b(\d{1,12}) ?(?:/|of"
    r"|out of) ?(\d{1,12})"
    r" [A-Za-z]{3,14}s\b",
    re.IGNORECASE,
)
_EXPECTED = re.compile(
    r"\bexpect\w*\W{1,3}(?:\w{1,20} ){0,2}(?P<a>[1-9]\d{0,11})\b(?: (?P<of>[a-z]{3,20})\b)?"
    r"(?![.\d]).{0,24}\b(?:found|got|have|has|only|but|present|there|exist\w*|written|produced|received)\W{1,3}"
    r"(?:\w{1,20} ){0,2}(?P<b>\d{1,12})\b(?![.\d])(?: (?P<one>[a-z]{3,20})\b)?",
    re.IGNORECASE,
)
_GIVEN_OUT = re.compile(
    r"\b(?:outputs?|results?|files?|products?|tasks?|jobs?|rows?|records?|samples?|frames?|members?|chunks?|parts?|tiles?"
    r"|shards?|steps?|cases?|images?|predictions?)\b",
    re.IGNORECASE,
)
_IN_ADDITION = ("new", "more", "left", "extra", "unused")
_AGAIN = re.compile(r"\b(?:attempt|try|tries|retry\w*|retries|trying|waiting|wait|again)\b", re.IGNORECASE)
_WHOLE_NUMBERS = re.compile(r"(?<![\d.])\d{1,12}(?![\d.]*\d)")
_SUBSTANCE = re.compile(rf"(?<![\w.,:/+*-])(?P<number>[1-9][\d,]{{0,14}}) (?P<thing>{_WORD})")
_MEASURED = re.compile(
    r"(?<![\w.])[-+]?\d{1,9}\.\d{1,12}(?:e[-+]?\d{1,3})?(?! ?(?:[KMGT]i?B|s|sec\w*|min\w*|h|hours)\b)\b"
)
_LEFT_OUT = re.compile(
    r"^\W+$|^\W{0,6}(?:and )?(?P<n>\d{1,9}) (?:more|other|others|further|similar|additional|identical)\b(?!.{0,60}\d)"
    r"|\b(?P<many>\d{1,9}) (?:more )?(?:similar )?(?:lines?|messages?|entries|warnings|errors) .{0,40}"
    r"\b(?:left out|omitted|suppressed|skipped|elided|snipped|hidden|not shown|cut)\b"
    r"|\b(?:last )?message repeated \d{1,9} times",
    re.IGNORECASE,
)
"""What stands for lines that were left out: it says that they are like the ones before, and counts nothing."""
NEAR = 12
"""Lines before a list in which it is announced."""
FAILURES = 3
"""Items that have to fail alike before they are all of a list."""


@immutable
class _Count:
    """A number of things: how many, of what, whether taken in or given out, or trained on, and in which line."""

    place: int
    number: int
    thing: str
    moved: bool
    matters: bool
    of_training: bool


class Tallies:
    """The counts of one log.

    Args:
        lines: The log, read.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._speaking = [
            i for i, line in enumerate(lines) if line.speaks and line.text.strip() and not _LEFT_OUT.search(line.text)
        ]
        self._working = [i for i in self._speaking if log_scan.is_progress(lines[i].text) and not self._is_trouble(i)]

    def _text(self, i: int) -> str:
        return self._lines[i].text[:MAX_TEXT]

    @cached_property
    def _counts(self) -> tuple[_Count, ...]:
        return tuple(count for i in self._speaking for count in _counts_in(i, self._text(i)))

    @cached_property
    def _counted(self) -> frozenset[str]:
        """Things of which some line counts some."""
        return frozenset(count.thing for count in self._counts if count.number)

    @cached_property
    def _forms(self) -> dict[int, str]:
        return {i: blank(self._text(i)) for i in self._speaking}

    def _is_trouble(self, i: int) -> bool:
        text = self._text(i)
        return log_scan.suspicious(text) and not is_noise(text) and len(_MEASURED.findall(text)) < 2

    @cached_property
    def empty(self) -> frozenset[int]:
        """Places of the lines that say that there was nothing to work on, or that nothing came out of it."""
        counts, some = self._counts, self._counted
        last_work = self._working[-2] if len(self._working) > 1 else -1
        unfed = {c.place for c in counts if not c.number and c.of_training}
        none = unfed | {
            c.place
            for c in counts
            if c.moved and c.matters and not c.number and c.thing not in some and c.place > last_work
        }
        is_measured = any(_SOME_RESULT.found(self._text(i)) for i in self._speaking)
        signs = [i for i in self._speaking if i > last_work and self._is_sign(i, is_measured)]
        return frozenset(none or (signs if len(signs) >= SIGNS else ()))

    def none_after(self, i: int) -> bool:
        """Whether a count of nothing follows, of things that are counted nowhere else."""
        zeros = (c for c in self._counts if c.place > i and not c.number)
        return any(c.matters and c.thing not in self._counted for c in zeros)

    def _is_sign(self, i: int, is_measured: bool) -> bool:
        return _SIGN.found(self._text(i)) or (not is_measured and _NO_RESULT.found(self._text(i)))

    @cached_property
    def none_good(self) -> int:
        """Place of the last summary that counts failures and no success; -1 where there is none."""
        last = -1
        for at, i in enumerate(self._speaking):
            good = _GOOD.search(self._text(i))
            if good and int(good[1]) == 0:
                around = self._speaking[max(0, at - TABLE) : at + TABLE + 1]
                if any(_BAD.search(self._text(k)) for k in around):
                    last = i
        return last

    @cached_property
    def undone(self) -> tuple[int, ...]:
        """Places of the lines that say that parts were not done because another one failed."""
        return tuple(i for i in self._speaking if _UNDONE.found(self._text(i)))

    @cached_property
    def short(self) -> int:
        """Place of the last count of steps, where it is below the total it names; -1 where it is not."""
        place = -1
        for i in self._speaking:
            for m in _OF.finditer(self._text(i)):
                done, whole = (int(part) for part in (m[1] or m[3], m[2] or m[4]))
                place = i if done + 1 < whole else -1  # counters begin at 0 or at 1
        return place

    @cached_property
    def missing(self) -> frozenset[int]:
        """Places of the lines that say that less came out than was expected, by a tenth or more."""
        found = ((i, _EXPECTED.search(self._text(i))) for i in self._speaking if "xpect" in self._text(i))
        short = (i for i, m in found if m and int(m["b"]) < (1 - FEW) * int(m["a"]) and _are_of_one_kind(m))
        return frozenset(i for i in short if _GIVEN_OUT.search(self._text(i)))

    @cached_property
    def all_failed(self) -> frozenset[int]:
        """Places of failures that are all there is: every item of a list failed, alike, and nothing came of"
        " the list."""
        kinds: dict[str, list[int]] = {}
        for i in self._speaking:
            text = self._text(i)
            if self._is_trouble(i) and not _AGAIN.search(text) and not _things_in(text):
                kinds.setdefault(blank(text), []).append(i)
        lists = (places for places in kinds.values() if len(places) >= FAILURES and self._is_whole_list(places))
        return frozenset(i for places in lists for i in places)

    def _is_whole_list(self, places: Sequence[int]) -> bool:
        first, last, many = places[0], places[-1], len(places)
        begin, end = self._lines[first].origin, self._lines[last].origin
        if end.line - begin.line > last - first + many or self._any_within(self._working, first, last):
            return False  # lines between them are not known, or say that work was done
        if any(_AGAIN.search(self._text(i)) for i in (self._before(first), self._after(last)) if i is not None):
            return False  # what introduces the list, or follows it, says that all are tried once more
        inside = Counter(self._forms[i] for i in range(first, last + 1) if i in self._forms)
        if any(number < many - 1 for number in inside.values()):
            return False  # something was different at one of them
        return self._is_every_item(places) and not self._has_substance(places)

    @staticmethod
    def _any_within(places: Sequence[int], first: int, last: int) -> bool:
        at = bisect_right(places, first)
        return at < len(places) and places[at] < last

    def _is_every_item(self, places: Sequence[int]) -> bool:
        """Whether the items are counted from the first, or are as many as were announced."""
        announced = self._numbers_before(places[0])
        if len(places) in announced or len(places) + self._left_out(places) in announced:
            return True
        pairs = [(places[0], places[1])]
        head = self._speaking[bisect_right(self._speaking, places[0] - 1) - 1]  # the line each of them begins with
        if head < places[0] and places[1] - places[0] > 1:
            pairs.append((head, head + places[1] - places[0]))
        return any(_counts_up_from_start(self._text(a), self._text(b)) for a, b in pairs)

    def _before(self, place: int) -> int | None:
        at = bisect_right(self._speaking, place - 1)
        return self._speaking[at - 1] if at else None

    def _after(self, place: int) -> int | None:
        at = bisect_right(self._speaking, place)
        return self._speaking[at] if at < len(self._speaking) else None

    def _left_out(self, places: Sequence[int]) -> int:
        """How many more items a line among them, or right behind them, says were left out."""
        found = (_LEFT_OUT.search(self._text(i)) for i in range(places[0], min(len(self._lines), places[-1] + 3)))
        return sum(int(m["n"] or m["many"] or 0) for m in found if m)

    def _numbers_before(self, place: int) -> set[int]:
        """The whole numbers of the last lines before a list: how long it is to be is among them."""
        at = bisect_right(self._speaking, place - 1)
        return {int(n) for k in self._speaking[max(0, at - NEAR) : at] for n in _WHOLE_NUMBERS.findall(self._text(k))}

    def _has_substance(self, places: Sequence[int]) -> bool:
        """Whether anything is counted or measured after a list of failures, but the items themselves."""
        known = self._numbers_before(places[0]) | {len(places)}
        for i in self._speaking[bisect_right(self._speaking, places[-1]) :]:
            text = self._text(i)
            if _MEASURED.search(text) or log_scan.is_progress(text) or _things_in(text) - known:
                return True
        return False


def _are_of_one_kind(found: re.Match[str]) -> bool:
    """Whether what was found are those that were expected: no other things, and not some that come in addition."""
    of, one = ((found[name] or "").rstrip("s") for name in ("of", "one"))
    if one in _IN_ADDITION:
        return False
    return one == of or not (_GIVEN_OUT.fullmatch(of) and _GIVEN_OUT.fullmatch(one))


def _things_in(text: str) -> set[int]:
    """The numbers above 0 of things that a line counts."""
    return {int(m["number"].replace(",", "")) for m in _SUBSTANCE.finditer(text) if not _is_time(m["thing"])}


_TIME = re.compile(
    r"(?:s|sec\w*|m|min\w*|h|hours?|ms|days?|bytes|[KMG]i?B|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)$",
    re.IGNORECASE,
)


def _is_time(word: str) -> bool:
    return _TIME.match(word) is not None


def _counts_up_from_start(one: str, other: str) -> bool:
    """Whether two lines of one form differ by a number that begins at 0 or 1."""
    pairs = zip(_DIGITS.findall(one), _DIGITS.findall(other), strict=False)
    first = next(((int(a), int(b)) for a, b in pairs if a != b), None)
    return first is not None and first[0] in (0, 1) and first[1] > first[0]


_DIGITS = re.compile(r"\d{1,12}")


def _counts_in(place: int, text: str) -> Iterator[_Count]:
    if not any(digit in text for digit in "0123456789"):
        return
    for m in _BEFORE.finditer(text):
        verb, words = m["verb"] or "", m["words"].split()
        name = _name_of(words)
        had = bool(_HAD.search(" ".join(words))) or any(word.endswith("ed") and not _TAKEN_OUT.match(word)
                                                        for word in words[len(name) :][:2])  # fmt: skip
        moved = (bool(_HAS.fullmatch(verb)) or had) and not _TAKEN_OUT.match(verb)
        yield from _count(place, m["number"], name, moved)
    for m in _AFTER.finditer(text):
        words = m["words"].split()
        moved = bool(_HAD.search(m["words"].lower())) or words[0].lower() in ("total", "input", "output", "number")
        yield from _count(place, m["number"], _name_of(words), moved)


def _name_of(words: Sequence[str]) -> list[str]:
    """The words of a thing's name: up to a preposition or a verb; at a count's end, from the thing on."""
    name: list[str] = []
    for word in words:
        if _JOINS.match(word) or (name and word.endswith("ed")):
            if name:
                break
            continue
        name.append(word)
    return name


def _count(place: int, number: str, name: Sequence[str], moved: bool) -> Iterator[_Count]:
    things = [word.lower() for word in name if len(word) > 3 and word.endswith("s") and not word.endswith("ss")]
    if not things or "never" in name or "not" in name:
        return
    of_training = name[0].lower() in ("train", "training")
    is_loss = not any(_NO_THING.fullmatch(word) or _TAKEN_OUT.match(word) for word in name)
    yield _Count(place, int(number.replace(",", "")), things[-1], moved, is_loss, of_training)
