"""What the end of a run is worth, by its whole log: in vain, short of what was announced, or lost. Pure.

With an exit code of 0 a message spoils a result only if it is about the whole run. What it is about, its own words
seldom say; the other lines do: each item of the list failed, the last step is 12 of 50, nothing was saved afterwards.
"""

import re
from bisect import bisect_right
from functools import cached_property

from hpc.core.failures import log_scan
from hpc.core.failures.ending import ends_badly
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.log_noise import is_noise
from hpc.core.failures.marks import STOPS, MarkedLog, says_handled
from hpc.core.failures.rule import Rule, Tier
from hpc.core.failures.tallies import MAX_TEXT, Tallies

_STOPS_ONE = re.compile(
    r"\b(?:trial|worker|member|seed|config\w*|candidate|chain|child|helper|monitor|case|fold|replica|point) ?#?\d"
    r"|\bcommand '", re.IGNORECASE,
)  # fmt: skip
"""What is ended while the run goes on: one of many, or a helper."""
_ENDS_EARLY = re.compile(
    r"\bsig(?:term|usr[12]|int)\b|\b(?:received|caught|got) (?:signal|term|usr[12]|int)\b|\^C$|^terminated\W*$"
    r"|\b(?:time|hour) (?:budget|limit|allowance)|\bwall[ -]?(?:clock|time)\b|\brun ?time exceeded\b",
    re.IGNORECASE,
)
"""What a run may say that ends before its time, and on request."""
_ENDS_ITSELF = re.compile(
    r"\b(?:stopping|ending|shutting down|exiting|leaving|terminating|quitting|aborting|halting|winding down"
    r"|bailing out)\b"
    r"|\b(?:stopped|interrupted|aborted|halted|terminated) (?:at|after|in|on|by|because|due|early)\b",
    re.IGNORECASE,
)
_BY_DESIGN = re.compile(
    r"\b(?:improv\w*|patience|early.?stop\w*|stop\w* early|converg\w*|target|toleran\w*|plateau\w*|goal|solved"
    r"|criteri\w+"
    r"|reached|satisf\w*|optimal|optimum|enough|perfect|no longer|saturat\w*|stable|as planned)\b",
    re.IGNORECASE,
)
"""Why a run ends itself whose work is done."""
_EVALUATES = re.compile(
    r"\b(?:eval\w*|test|val|validation|scor\w+|predict\w*|infer\w*|benchmark|sampling|generating)\b", re.IGNORECASE
)
_TRAINS = re.compile(
    r"^(?!.{0,200}\b(?:should|probably|would|could|was|were|said)\b).{0,200}?(?:\b(?:epoch|iter\w{0,7}|update|step)s?\b"
    r"[\s:=\[(#/]{0,6}\d|\btrain(?:ing)?\b(?! (?:log|set))|\bfrom scratch\b|\bfine-?tun)", re.IGNORECASE,
)  # fmt: skip
"""What a program says that trains; not what it advises, or tells of a training before."""
_ANOTHER = re.compile(
    r"\b(?:fall\w* back|trying|using|loaded|resum\w+|restored|instead)\b.{0,60}(?:\.pt|\.ckpt|checkpoint|epoch|step"
    r"|previous|older|backup|mirror|cop(?:y|ies))|\bstrict=True\b",
    re.IGNORECASE,
)
"""What a program says that takes another checkpoint."""
_UNLOADED = re.compile(
    r"\bno (?:\w{1,20} )?(?:checkpoint|weights|ckpt|snapshot|adapter)s? (?:was |were )?(?:found|loaded|at)\b"
    r"|\b(?:model|weights|network|backbone) (?:is|are|stays?|remains?) (?:random|untrained)"
    r"|\b(?:is|are|stays?|remains?|left|kept) at (?:its |their )?(?:random )?initiali[sz]ation"
    r"|\b(?:continu|proceed|go|evaluat|scor|test)\w{0,5} (?:on )?with (?:the )?(?:initial|random|untrained|fresh)\w*"
    r"|(?<![\d.])0 ?(?:/|of|out of) ?[1-9]\d{0,8} (?:\w{1,20} ){0,3}(?:matched|loaded|restored|copied|applied)\b"
    r"|\b(?:missing|unexpected|unused|mismatched|skipped)\b.{0,30}?\b(?P<n>[1-9]\d{0,8}) ?(?:/|of|out of) ?(?P=n)\b"
    r"|(?<![\d.])(?P<m>[1-9]\d{0,8}) ?(?:/|of|out of) ?(?P=m) (?:\w{1,20} ){0,3}(?:missing|unexpected|unused|not "
    r"(?:used|found|loaded)|skipped)\b",
    re.IGNORECASE,
)
"""What is said of weights of which nothing was loaded."""
_MADE_UP = re.compile(
    r"\b(?:not found|missing|does not exist|no such|unavailable|empty|could not|cannot|failed)\b.{0,80}"
    r"\b(?:us(?:e|ing)|generat\w+|continu\w+ with|fall\w* back (?:to|on)|instead)\b.{0,40}"
    r"\b(?:random|synthetic|dummy|fake|mock|made-up|toy|zeros)\b",
    re.IGNORECASE,
)
"""What is said of an input that was not there, and was made up."""
_WRITES = re.compile(r"\b(?:sav|writ|dump|export|flush|stor|creat|copy)\w*", re.IGNORECASE)
_SIDE_FILE = re.compile(
    r"\b(?:tensorboard|wandb|events?|cache|caching|log(?:s|ging|file)?|history|profil\w+|plots?|preview|thumbnail"
    r"|temp\w*|tmp|lock\w*|telemetry|heartbeat|pid)\b",
    re.IGNORECASE,
)
"""Files that are no result."""
_SAYS_ERROR = re.compile(
    r"^(?!srun\b|slurmstepd\b|wandb\b|prolog\b|epilog\b|mpirun\b|prterun\b"
    r"|\[)\W{0,4}(?:[\w.()#/-]{1,30}(?::\d+)?(?:[:>] ?|\s)){0,4}?\W{0,3}"
    r"(?:(?i:(?:fatal|severe|panic|exception|error)(?: (?:error|is|in|at|while|opening|reading|code"
    r"|\d{1,6})\b[\w .]{0,24})?"
    r"[:!\]] {0,3}[^\s\d.-])|(?:FATAL|ERROR)\b)"
    r"|^Exception in thread \"main\"|^(?i:r\(\d{2,4}\);|invalid command\b|unknown command\b"
    r"|\S{1,24} is (?:infeasible|unbounded)\b)|\$Failed\b"
    r"|^(?i:model|problem|lp|system) is (?:infeasible|unbounded|singular)|(?i:\bstatus\b.{0,12}\binfeasible)"
)
"""How a program says that something went wrong, in a line of its own."""
UNDONE = 40
"""Lines before the first word on what was left undone in which its cause stands."""
FEW_CALM = 4
"""Lines of the program itself after an error, below which it did not go on."""


class Worth:
    """What the lines of a log say together about its end.

    Args:
        log: Its lines, by kind.
    """

    def __init__(self, log: MarkedLog) -> None:
        self._log = log
        self._lines = log.lines
        self._tallies = Tallies(log.lines)

    def cause_of(self, i: int) -> str:
        """What a line says together with the others: the cause of the row that stands for it; empty for most."""
        return next((cause for cause, places in self._places.items() if i in places), "")

    @cached_property
    def _places(self) -> dict[str, frozenset[int]]:
        return {
            "unloaded": self._unloaded,
            "nothing": self._tallies.empty,
            "none_good": frozenset(self._log.marks("nothing").places),
            "all_failed": self._tallies.all_failed,
            "made_up": self._made_up,
            "undone": self._undone,
            "short": self._stops | self._missing,
            "last_word": self._last_words,
        }

    @cached_property
    def told(self) -> frozenset[int]:
        """Places of the lines of a run that stopped short that may say that it was told to."""
        if self._tallies.short < 0:
            return frozenset()
        return frozenset(i for i in self._log.speaking if _ENDS_EARLY.search(self._text(i))) | self._stops

    def is_in_vain(self, i: int, rule: Rule) -> bool:
        """Whether nothing came of the work that a message is about, or other work was not done because of it."""
        if self.cause_of(i) in ("nothing", "all_failed", "unloaded", "made_up", "short"):
            return True
        if self._undone and min(self._undone) - UNDONE <= i <= max(self._undone):
            return True
        if rule.category is FailureClass.STORAGE and self._is_unsaved(i):
            return True
        return rule.category is FailureClass.CHECKPOINT and self._only_evaluates and not self._took_another(i)

    def is_left_with_none(self, i: int) -> bool:
        """Whether a summary says that all failed: one that follows, or one that nothing follows."""
        none = max(self._log.marks("nothing").last, self._tallies.none_good)
        later = max(self._log.marks(kind).last for kind in ("whole", "moving"))
        return none > i or none > later

    def goes_on_after(self, i: int) -> bool:
        """Whether the run made steps after it said that it ends, and came as far as it was to."""
        return self._log.marks("moving").any_after(i) and self._tallies.short < 0

    def stops_the_run(self, i: int, rule: Rule) -> bool:
        """Whether a message says that the run ends itself before its time: what it saves afterwards is no answer."""
        if _STOPS_ONE.search(self._text(i)) or self._log.is_listed(i):
            return False
        if rule.category is FailureClass.DIVERGENCE:
            return STOPS.search(self._text(i)) is not None
        return rule.cause in ("interrupt", "user", "told", "limit") and rule.tier is Tier.SYMPTOM

    def decides(self, i: int, rule: Rule) -> bool:
        """Whether a message speaks against an exit code of 0, where it is one that healthy runs print, too."""
        if not rule.needs_failure or self.cause_of(i) or ends_badly(self._lines[i].text):
            return True
        is_asked = rule.cause in ("user", "interrupt")  # of a person, whatever was counted
        return self.stops_the_run(i, rule) and (is_asked or self._tallies.short >= 0)

    def _text(self, i: int) -> str:
        return self._lines[i].text[:MAX_TEXT]

    @cached_property
    def _undone(self) -> frozenset[int]:
        """What was not done because something failed, if no complete count follows."""
        places = self._tallies.undone
        counts = (i for i in self._log.marks("whole").places if any(map(str.isdigit, self._text(i))))
        return frozenset(places if places and places[-1] > max(counts, default=-1) else ())

    @cached_property
    def _stops(self) -> frozenset[int]:
        """The last word of a run whose counter stands short of its total that says that it ends itself."""
        short = self._tallies.short
        if short < 0 or self._log.marks("ended").any_after(short) or self._log.marks("moving").any_after(short):
            return frozenset()
        said = [i for i in self._log.speaking if i >= short and _ENDS_ITSELF.search(self._text(i))]
        planned = any(_BY_DESIGN.search(self._text(i)) for i in self._log.speaking if i >= short - 1)
        return frozenset() if planned else frozenset(i for i in said if not _STOPS_ONE.search(self._text(i)))

    @cached_property
    def _missing(self) -> frozenset[int]:
        """What is said of results that are fewer than expected, if no word on the whole follows."""
        whole = self._log.marks("whole").last
        return frozenset(i for i in self._tallies.missing if i > whole)

    @cached_property
    def _only_evaluates(self) -> bool:
        """Whether the run measures a model that it does not train: without its weights it measures nothing."""
        said = [self._text(i) for i in self._log.speaking if not log_scan.suspicious(self._text(i))]
        return any(map(_EVALUATES.search, said)) and not any(map(_TRAINS.search, said))

    @cached_property
    def _unloaded(self) -> frozenset[int]:
        if not self._only_evaluates:
            return frozenset()
        said = (i for i in self._log.speaking if _UNLOADED.search(self._text(i)))
        return frozenset(i for i in said if not self._took_another(i))

    @cached_property
    def _made_up(self) -> frozenset[int]:
        return frozenset(i for i in self._log.speaking if _MADE_UP.search(self._text(i)))

    def _took_another(self, i: int) -> bool:
        return any(_ANOTHER.search(line.text) for line in self._lines[i : i + 3])

    def _is_unsaved(self, i: int) -> bool:
        """Whether a result could not be written, and nothing was written afterwards."""
        text = self._text(i)
        if not _WRITES.search(text) or _SIDE_FILE.search(text):
            return False
        return not any(self._log.marks(kind).any_after(i) for kind in ("saved", "product"))

    @cached_property
    def _last_words(self) -> frozenset[int]:
        """A program's own word of an error, if it is the last it says and nothing was done before.

        A job script may say something yet, and a program in few lines that it ends.
        """
        log = self._log
        if any(log.marks(kind).places for kind in ("whole", "ended", "tested")):
            return frozenset()
        last = max((i for i in log.speaking if self._says_error(i)), default=-1)
        calm = log.marks("calm").places
        if last < 0 or len(calm) - bisect_right(calm, last) >= FEW_CALM or log.marks("moving").any_after(last):
            return frozenset()
        has_result = any(log.marks(kind).any_after(last) for kind in ("well", "result"))
        return frozenset() if has_result and not self._tallies.none_after(last) else frozenset((last,))

    def _says_error(self, i: int) -> bool:
        text = self._text(i)
        if not _SAYS_ERROR.search(text) or is_noise(text) or self._log.is_listed(i):
            return False
        return not any(says_handled(line.text) for line in self._lines[i : i + 2])
