"""What proves an end where nothing but a log is known: neither a state nor an exit code. Pure, linear.

A log that was cut looks like one that ended, until a line says what came of the work. Three things say so: a program's
or a scheduler's own word that it is over; a word on all that was to be done; a result with content (a file, a score).
A result is one only once the work is over: no step follows, nothing was announced that is not done, and it is said
once, for what is said of each epoch is said in the middle, too.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from hpc.core.failures import log_scan
from hpc.core.failures.engine import Finder
from hpc.core.failures.marks import MarkedLog
from hpc.core.failures.reading.parts import Line
from hpc.core.failures.tallies import MAX_TEXT, Tallies
from hpc.core.failures.templates import blank

LAST = 12
"""Lines at the end of a log that are asked, beside those that any job script or tracker prints."""
_OVER = Finder(
    r"^\W*(?:[\w/]{1,24} )?(?:run |program |job |calculation )?(?:terminated|ended) normally\b"
    r"|\bN o r m a l +t e r m i n a t i o n\b|\bnormal termination of\b|\bPROGRAM ENDED AT\b|^Finished mdrun\b"
    r"|\bworker group successfully finished\b|^Finalising parallel run$|^\W*Total wall time\b"
    r"|\b(?:script|job|program|command|payload) (?:returned|exited|ended|finished)(?: with)?(?: code| status)? 0\b"
    r"|\b(?:exit|return)(?:ed)?[ _](?:code|status)[ :=]{1,3}0\b|\bexited with 0\b"
    r"|\bstate: COMPLETED\b|^OK(?: \([\w=, ]{1,60}\))?$"
)
"""How programs, wrappers and schedulers say that it is over, and that all was well."""
_TOLD = re.compile(
    r"\bsig(?:term|usr[12]|int|kill|cont)\b|\b(?:received|caught|got|handling) (?:signal|term|usr[12]|int)\b"
    r"|\bsignal \(?\d|\binterrupted\b|\b(?:time|wall)[ -]?(?:clock |time )?(?:limit|budget|is up)\b|\bCANCELLED\b"
    r"|\bpreempt|\brequeue|\^C\b|\bkilled\b|\bout of memory\b",
    re.IGNORECASE,
)
"""What is said of a run that something ends before its work is done."""
_OF_ALL = re.compile(r"\b(?:finish|complet|done\b|success)", re.IGNORECASE)
"""What is said of work, and not of a file: a run may stop early, and rightly."""
_SAVED_ON_THE_WAY = re.compile(
    r"(?:\b|_)(?:checkpoints?|ckpts?|snapshots?|restart files?|intermediate|partial|interim|so far|temporary)(?:\b|_)",
    re.IGNORECASE,
)
"""What is written while the work goes on, so that it can be gone on with."""
_ON_THE_WAY = re.compile(
    r"\b(?:tmpfs|device|targets?|branch)\b"
    r"|\b(?:load|read(?!s\b)|found|pars|download|fetch|tokeni[sz]|cach|index|import|initial|(?:pre)?compil|captur"
    r"|build|built|open|start|begin|prepar|setup|set up|split|shuffl|stag|copied|unpack|extract|install|connect"
    r"|resum|restor|warm|config\w*|discover|detect|submit|queu|schedul|launch|spawn|attach|mount|pull|previous|baseline"
    r"|collect)\w*"
    r"|(?:\b|_)(?:fold|case|trial|sample|stage|part|shard|chunk|rank|epoch|step|iter(?:ation)?|batch|round|bracket"
    r"|config|seed|task|worker|replica|instance|frame|job|process)[\W_]{0,3}\d"
    r"|\w/\d{1,9} {1,8}\w|\bprocess >|^\W*WARN|^\[Parallel\("
    r"|^\W{0,8}(?:epilog|prolog|input|output|log)\w{0,4}\b|加载|下载|环境",
    re.IGNORECASE,
)
"""What is done before the work or in the middle of it, or to one of its parts."""
_PART = re.compile(r"(?<![\d.])(\d{1,12}(?:\.\d{1,9})?) ?(?:/|of|out of) ?(\d{1,12}(?:\.\d{1,9})?)(?![\d.]*\d)")


class LoneLog:
    """A log of which nothing else is known.

    Args:
        lines: The log, read.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines, self._log = lines, MarkedLog(lines)

    def end(self, *, in_trouble: bool) -> int:
        """Place of the line that proves that the program came to its end; -1 where none does.

        Args:
            in_trouble: Whether a message of a cause stands in the log: who fails writes files, too, and only the word
                that all is over counts.
        """
        speaking = self._log.speaking
        if any(_TOLD.search(self._text(i)) for i in speaking[-2 * LAST :]):
            return -1
        asked = [i for i in speaking if i > self._log.marks("moving").last][-LAST:]
        proves = self._is_over if in_trouble else self._is_end
        return next((i for i in reversed(asked) if proves(i)), -1)

    def finish(self) -> int:
        """Place of the last line that says that something is finished; -1 where that is a part of the work at most.

        A saved checkpoint is no end, nor is any other file where fewer steps were counted than announced.
        """
        said = (i for i in reversed(self._log.speaking) if log_scan.says_finished(self._log.lines[i].text))
        return next((i for i in said if self._is_of_all(self._text(i))), -1)

    def _is_of_all(self, text: str) -> bool:
        if _SAVED_ON_THE_WAY.search(text):
            return False
        return bool(_OF_ALL.search(text)) or not self._is_short

    def _is_over(self, i: int) -> bool:
        return _OVER.found(self._text(i))

    def _is_end(self, i: int) -> bool:
        text = self._text(i)
        if self._is_over(i):
            return True
        if self._is_short or self._log.is_listed(i) or self._is_repeated(text):
            return False
        marks = self._log.marks
        if any(i in marks(kind).places for kind in ("tested", "ended")):
            return True
        has_content = any(i in marks(kind).places for kind in ("whole", "product"))
        is_on_the_way = _SAVED_ON_THE_WAY.search(text) or _ON_THE_WAY.search(text)
        return has_content and not is_on_the_way and not _is_part(text)

    @cached_property
    def _is_short(self) -> bool:
        """Whether fewer steps were counted than announced."""
        return Tallies(self._log.lines).short >= 0

    def _is_repeated(self, text: str) -> bool:
        return self._forms[blank(text)] > 1

    @cached_property
    def _forms(self) -> Counter[str]:
        return Counter(blank(self._text(i)) for i in self._log.speaking)

    def _text(self, i: int) -> str:
        return self._log.lines[i].text[:MAX_TEXT]


def _is_part(text: str) -> bool:
    """Whether a line counts less than the whole it names."""
    return any(float(m[1]) < float(m[2]) for m in _PART.finditer(text))
