"""The course of one log: where work went on, where it was said to be over, and so what a run outlived. Pure, linear."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate, islice

from hpc.core.failures import log_scan
from hpc.core.failures.ending import ends_badly, ends_well, ends_whole, ends_with_nothing, fails_few, tests_passed
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.reading.parts import Line
from hpc.core.failures.rule import Role, Rule, Tier
from hpc.core.immutable import immutable

BUFFER = 8192
"""Bytes a program holds back when its output is no terminal: as much progress can appear after its last words."""

_HANDLED = re.compile(
    r"\b(?:WARN(?:ING)?|retry(?:ing)?|retrie[sd]|ignor(?:ed|ing)|skipp?(?:ing|ed)|falling back|recover\w*|pruned"
    r"|keeping|(?:will )?continu(?:e|ing)|using (?:the )?(?:default|cached|cpu)|trying|attempt [2-9]"
    r"|instead|not available|disabled|optional|reduc(?:ing|ed|e)|halv(?:ing|ed|e)|proceed(?:s|ing)|anyway|tolerat\w+"
    r"|recovered|resuming|restart(?:ing|ed|s)?|skip|sleeping|backing off|cut(?:ting|s)?|bisect\w*|re-?queu\w+"
    r"|resubmit\w*|re-?launch\w*|rescheduled|re-?run\w*|replaced|next (?:mirror|server|node|host|try)"
    r"|roll(?:ing|ed)? back|(?:try|attempt|retry) \d{1,3} ?(?:/|of)|again|wait(?:ing|ed)?(?: for)? \d+ ?(?:s"
    r"|sec|min)\w*"
    r"|marked (?:as )?\w+|left out|excluded|flagged|kept|as expected|by design|on purpose|expected failure)\b"
    r"|\((?:[^()]{0,40}\b)?(?:as expected|expected|ok)\)",
    re.IGNORECASE,
)
_GAVE_UP = re.compile(
    r"\b(?:max(?:imum)? (?:number of )?retries|(?:no|out of) (?:more )?(?:retries|restarts)|retries (?:exceeded"
    r"|exhausted)"
    r"|after \d+ (?:retries|attempts|tries)|no (?:restarts?|retries) left)\b",
    re.IGNORECASE,
)
_AGAIN = re.compile(
    r"\b(?:retr(?:y|ying|ies|ied)|again|restart(?:ing|ed|s)?|(?:try|attempt) [2-9]|re-?queu\w+|resubmit\w*"
    r"|re-?launch\w*"
    r"|re-?schedul\w+|re-?run\w*|replac(?:ed|ing)|resum(?:ed|ing)|respawn\w*)\b",
    re.IGNORECASE,
)
"""What is said of a program that was killed and is started once more."""
_AT_THE_END = re.compile(
    r"\bclos(?:e|ing|ed)\b|\bshut(?:ting)? ?down|tear(?:ing)? ?down|clean(?:ing|ed)?[ -]?up|atexit|__del__|finali[sz]"
    r"|\bin thread\b|destroy|(?:delet|remov)(?:e|ing) (?:the )?(?:container|temp|scratch|work)|\bdispos|\bstopping\b"
    r"|\bat exit\b|\bshutdown hook|\bexit handler",
    re.IGNORECASE,
)
"""Words of a program that takes itself down."""
TEARDOWN = 4
"""Lines around a message in which such words count."""
_KILLS = re.compile(r"\bkill (?:-\w{1,8} )?(?P<pid>\d{2,9})\b")
_DIED = re.compile(r": {1,2}(?P<pid>\d{2,9}) (?:Killed|Terminated|Hangup|Interrupt)\b")
_OF_PARTS = re.compile(
    r"\b(?:case|sample|point|fold|molecule|structure|frame|replica|cell|bin|gene|pixel|chain|fit|k-point|band"
    r"|eigen\w{1,8}|voxel|level \d+|trajector\w{1,3}|member|instance|subject|window|tile|patch|row|atom"
    r"|spectrum|site|image)s?\b"
    r"|\bwarn(?:ing)?\b.{0,20}\d|\bin \d{1,9} (?:of|out of) \d",
    re.IGNORECASE,
)
_R_WARNINGS = re.compile(r"^Warning messages?:|^In addition: Warning|^There were \d+ warnings")
_ITEM = re.compile(r"^\s{0,8}(?:[|*-] ?)?(?P<head>\S{1,60})\s+(?P<next>\S{1,120})")
_NO_ITEM = re.compile(
    r"^(?:epoch|step|iter\w*|batch|rank|node|worker|task|error|fatal|warn\w*|exception|srun|slurmstepd|file|at|in|the"
    r"|traceback|\w*error|\w*exception|#\d*|\+|>|mpi\w*|pmpi\w*|caused|during|e|i|w|d|\(\S*|\[\S*)\b\W*",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
LISTED = 4
"""Lines around an item of a list in which the others stand."""
_IGNORED = re.compile(r"^(?:Exception ignored in|--- Logging error ---|Error in atexit)")
_AT_EXIT = re.compile(
    r"^(?:Exception in thread|Error in atexit|Task was destroyed|asyncio\.exceptions\.CancelledError)"
)
_EXCEPTION = re.compile(r"^\s*(?:\w+\.){0,8}[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b")
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
_KILLED_BY_SLURM = re.compile(r"^slurmstepd: error: (?:\*\*\* (?:JOB|STEP)|Detected \d+ oom)")
_LAUNCHER = re.compile(r"^(?:srun|slurmstepd|mpirun|prterun|\s*$)")
_NOT_FOUND = re.compile(r"(?P<name>[\w./+-]{1,200}): (?:command )?not found\.?$")
_PROGRAMS = re.compile(
    r"python[23]?(?:\.\d+)?|torchrun|accelerate|deepspeed|horovodrun|composer|srun|mpirun|mpiexec|apptainer"
    r"|singularity"
    r"|julia|Rscript|java|matlab|bash|sh"
)
"""What a job script starts its work with; without one of these nothing was done."""
_HELPERS = re.compile(
    r"ml|module|nvidia-smi|rocm-smi|nvcc|conda|mamba|deactivate|activate|source|tput|bc|jq|git|figlet|cowsay|time|clear"
    r"|hostname|numactl|mail|mailx|sendmail|notify\S{0,20}|lscpu|lspci|lsof|free|htop|top|module-info|sinfo"
    r"|squeue|sacct"
    r"|seff|scontrol|quota|lfs|tree|rsync|wget|curl|pigz|zip|bsdtar|gnuplot|dot|convert|xvfb\S{0,6}|stty|setenv|unalias"
    r"|complete|shopt|log\S{0,12}|print\S{0,6}|echo\S{1,6}|finger|dos2unix|parallel|ts|spack|pyenv|nvm|rbenv|starship"
    r"|direnv|zoxide|fzf|bat|exa|ibstat|ibv_devinfo|ucx_info|nvtop|dcgmi|slack\S{0,10}|ntfy|gpustat|neofetch|banner"
)
"""What a job script can do without: it looks around, loads modules, tells somebody."""
_LEFT_NOTHING = re.compile(r"^(?:cp|mv|tar|rsync|cat|tail|head|grep|ls)\b.{0,200}(?:no such file|cannot stat)",
                           re.IGNORECASE)  # fmt: skip


_STOPS = re.compile(r"\b(?:terminat|stopp|abort|quitt)(?:ing|ed)\b", re.IGNORECASE)
_GOES_ON = frozenset(
    {
        FailureClass.DATA, FailureClass.STORAGE, FailureClass.CHECKPOINT, FailureClass.ENVIRONMENT,
        FailureClass.CONTAINER, FailureClass.CONFIG, FailureClass.TIMEOUT,
    }
)  # fmt: skip
"""What the next command of a job script goes on after, with whatever there is."""
_SPOILS_RESULTS = frozenset({FailureClass.DATA, FailureClass.STORAGE, FailureClass.CHECKPOINT})
MUCH = 10
"""Lines of other work after which a word on a part of it is no word on the whole."""
CALM = 4
"""Lines of the program itself, nothing wrong with them, that show that it went on after a message it printed."""
_EPILOGUE = re.compile(
    r"^\W*(?:done|finished|end(?:ed)?|job\b|real\s|user\s|sys\s|elapsed|exit|epilog|clean(?:ing|ed)|wandb:|srun:"
    r"|slurm"
    r"|(?:mon|tue|wed|thu|fri|sat|sun)\b|\+ )",
    re.IGNORECASE,
)
"""What job scripts and trackers say whatever became of the program."""
_ANSWERED = re.compile(
    r"\b(?:reduc|halv|cut|bisect|retry|again|restart|smaller|relax|marked|expected|design|dropped|exclud|ignor"
    r"|skip)\w*",
    re.IGNORECASE,
)
_CONVERGED = re.compile(
    r"^(?!.{0,80}\b(?:not|no|fail\w*|never|without|un)\b).{0,120}\b(?:converged|convergence (?:\w+ )?(?:reached"
    r"|achieved|met|satisfied)|criteria (?:are |were )?(?:satisfied|met))\b",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"^(?:slurmstepd|srun: error|prterun|mpirun)|\bkilled\b|core dumped|segmentation fault|illegal instruction"
    r"|\bbus error|floating point exception$|: aborted\b|\bMPI_ABORT was invoked|called MPI_Abort\b"
    r"|\bsig(?:segv|ill|bus|fpe|abrt|kill)\b",
    re.IGNORECASE,
)
"""What is never said of a program that goes on."""


def says_handled(text: str) -> bool:
    """Whether a message itself says that the program dealt with it."""
    return bool(_HANDLED.search(_GAVE_UP.sub("", text)))


@immutable
class _Marks:
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


class Course:
    """One log's lines, each asked once what it tells of the work.

    Args:
        lines: The log, read.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self._known: dict[tuple[str, str], _Marks] = {}

    def _marks(self, kind: str, rank: str = "") -> _Marks:
        """The lines of a kind that a rank, or nobody in particular, wrote; of no rank: all."""
        if (kind, rank) not in self._known:
            if rank:
                places = [i for i in self._marks(kind).places if self.lines[i].rank in ("", rank)]
            else:
                ask = _KINDS[kind]
                places = [i for i, line in enumerate(self.lines) if line.speaks and ask(line.text)]
            sums = accumulate(len(self.lines[i].text) + 1 for i in places)
            self._known[kind, rank] = _Marks(tuple(places), tuple(sums))
        return self._known[kind, rank]

    def survived(self, i: int, rule: Rule, uncaught: bool | None) -> bool:
        """Whether the stream that spoke went on working: a step, an epoch, a saved model after the message.

        Another rank's steps prove nothing; a warning is survived already when the log merely goes on to a result, and
        what ranks say of each other when the program has already said that it came to its end. An exception that
        reached the top of the main program is survived only by more work than a buffer can have held back, or by the
        program's own word that it came to its end; a checkpoint is no such word. What Slurm killed survives nothing.

        Args:
            i: Place of the message.
            rule: What recognised it.
            uncaught: Whether it ends a traceback that reached the top of the program; None when it ends none.
        """
        line = self.lines[i]
        if rule.category is FailureClass.NOT_CONVERGED:
            later = self._marks("progress", line.rank).any_after(i) or self._marks("converged").any_after(i)
            if later or _ANSWERED.search(line.text) or self._went_on_to_an_end(i):
                return True
            return self._marks("well").any_after(i) and self._is_of_a_part(i)
        if rule.cause == "tests":  # their own "1 failed, 3 skipped" answers nothing; work that goes on does
            return self._marks("work").any_after(i) or self._marks("ended").any_after(i)
        if ends_with_nothing(line.text) and not says_handled(line.text):
            return False  # what is saved afterwards is empty
        if _KILLED_BY_SLURM.match(line.text):
            return self._marks("work").characters_after(i) > BUFFER  # another attempt, in the same file
        if rule.role is Role.TAKEN_AWAY:
            return self._marks("work").characters_after(i) > BUFFER  # given notice, it works on until its time is up
        if rule.role is Role.NO_PROGRAM:
            return self._went_without(i)
        stopped = rule.category is FailureClass.DIVERGENCE and _STOPS.search(line.text)
        working = self._marks("progress" if stopped else "work", line.rank)  # what diverged can be saved
        if uncaught:
            before = self._marks("progress").any_before(i)
            ended = self._marks("ended", line.rank).any_after(i)
            if self._told_after(i) and (working.any_after(i) or self._marks("over", line.rank).any_after(i)):
                return True
            return working.any_after(i) and (working.characters_after(i) > BUFFER or (before and ended))
        if working.any_after(i):
            return True
        if rule.tier in (Tier.SYMPTOM, Tier.TRACE) and self._ended_before(i):
            return True
        if uncaught is False and self._marks("result", line.rank).any_after(i):
            return True
        over = self._marks("over", line.rank).any_after(i) and not self._marks("nothing").any_after(i)
        return over and self._was_handled(i, uncaught)

    def passed(self, i: int, rule: Rule, uncaught: bool | None) -> bool:
        """Whether the program went on to other things after a message that it printed itself.

        That is less than to outlive it, and enough beside an exit code of 0: it said afterwards what it had done, and
        not, later still, that it had not. Who answers a traceback that reached the top of a program says so. After a
        message about an input that is damaged or a file system that is full, the next command of a script goes on with
        what there is: there the end has to be whole, or the message answered.
        """
        text = self.lines[i].text
        if fails_few(text) or i in self._killed_by_script or self._tests_ended_well(i):
            return True
        if rule.cause == "tests" or ends_with_nothing(text) or self._marks("nothing").any_after(i):
            return False
        end = max(i, self._marks("badly").last)
        whole, well = self._marks("whole").any_after(end), self._marks("well").any_after(end)
        if end == i and self._was_torn_down(i, rule, uncaught):
            return True
        if uncaught is None and (whole or well) and self._is_listed(i):
            return True
        if _FINAL.search(text):
            return (whole or well) and self._told_after(i, _AGAIN)
        handled = self._was_handled(i, uncaught) or self._told_after(i) or bool(_AT_THE_END.search(text))
        if whole or well:
            of_training = (
                rule.category is FailureClass.DIVERGENCE and rule.cause != "unstable" and uncaught is not False
            )
            if uncaught or of_training or self._dies_after(i):
                return handled
            if whole or handled or not (rule.category in _GOES_ON or ends_badly(text)):
                return True
        if uncaught is not None or rule.category in _SPOILS_RESULTS or end > i:
            return False
        calm = self._marks("calm").places
        return len(calm) - bisect_right(calm, i) >= CALM

    def _went_on_to_an_end(self, i: int) -> bool:
        """Whether a word on the whole follows, or at least `MUCH` lines of other work and one on what was done."""
        calm = self._marks("calm").places
        at = bisect_right(calm, i) + MUCH
        return self._marks("whole").any_after(i) or (at < len(calm) and self._marks("well").any_after(calm[at - 1]))

    def _told_after(self, i: int, words: re.Pattern[str] = _HANDLED) -> bool:
        """Whether the next two lines, those of launchers left out, say how the program does without what failed."""
        rank = self.lines[i].rank
        after = (
            line for line in self.lines[i + 1 : i + 7]
            if line.speaks and (not rank or line.rank in ("", rank)) and not _LAUNCHER.match(line.text)
        )  # fmt: skip
        return any(words.search(line.text) for line in islice(after, 2))

    def _tests_ended_well(self, i: int) -> bool:
        """Whether a test runner says afterwards that all tests passed: what they provoked is no failure."""
        passed = self._marks("tested").last
        return passed > i and passed > self._marks("badly").last

    def _was_torn_down(self, i: int, rule: Rule, uncaught: bool | None) -> bool:
        """Whether the program had its result, and the message is of how it, or a helper, was taken down."""
        text = self.lines[i].text
        whole = max(self._marks(kind).last_before(i) for kind in ("whole", "ended"))
        done = max(whole, self._marks("well").last_before(i))
        if done < 0 or self._marks("progress").last_before(i) > done + 2 or self._marks("progress").any_after(i):
            return False
        around = (line.text for line in self.lines[max(done, i - 3 * TEARDOWN) : i + TEARDOWN])
        if _FINAL.search(text):
            between = sum(1 for line in self.lines[done + 1 : i] if line.speaks and line.text.strip())
            return whole == done and between <= 2
        if rule.tier in (Tier.SYMPTOM, Tier.TRACE) and not uncaught:
            return not ends_badly(text)
        return any(_AT_THE_END.search(one) for one in around)

    def _is_listed(self, i: int) -> bool:
        """Whether the line is an item of a list, between others of the same form about other things."""
        item = _ITEM.match(self.lines[i].text)
        if item is None or _NO_ITEM.match(item["head"]):
            return False
        head, pair = _DIGITS.sub("0", item["head"]), (item["head"], item["next"])
        alike = 0
        for k in range(max(0, i - LISTED), min(len(self.lines), i + LISTED + 1)):
            other = _ITEM.match(self.lines[k].text) if k != i and self.lines[k].speaks else None
            if other and _DIGITS.sub("0", other["head"]) == head and (other["head"], other["next"]) != pair:
                alike += 1
        return alike >= 2  # a list has three items

    def _is_of_a_part(self, i: int) -> bool:
        """Whether a message speaks of one of many parts, or is among the warnings that R prints at its end."""
        if _OF_PARTS.search(self.lines[i].text) or self._is_listed(i):
            return True
        return any(_R_WARNINGS.match(line.text) for line in self.lines[max(0, i - TEARDOWN) : i])

    def _dies_after(self, i: int) -> bool:
        places = self._marks("final").places
        at = bisect_right(places, i)
        return any(not self._is_listed(k) for k in places[at : at + LISTED])

    def ends_well_after(self, i: int) -> bool:
        """Whether a word with content on what was done stands later."""
        return self._marks("well").any_after(i)

    @cached_property
    def _killed_by_script(self) -> frozenset[int]:
        """Places where the shell reports the end of a process that the job script had killed itself."""
        killed = {m["pid"] for line in self.lines if line.text.startswith("+") and (m := _KILLS.search(line.text))}
        if not killed:
            return frozenset()
        died = ((i, _DIED.search(line.text)) for i, line in enumerate(self.lines))
        return frozenset(i for i, m in died if m and m["pid"] in killed)

    def _was_handled(self, i: int, uncaught: bool | None) -> bool:
        """Whether the message says that it was dealt with, or the program does right after one it printed itself."""
        if says_handled(self.lines[i].text):
            return True
        return uncaught is None and self._told_after(i)

    def _ended_before(self, i: int) -> bool:
        """Whether the program had said that its work is done, and no work followed."""
        ended = self._marks("ended").last_before(i)
        return ended >= 0 and ended >= self._marks("progress").last_before(i)

    def _went_without(self, i: int) -> bool:
        """Whether the job did its work without a command that it did not find."""
        if self._marks("work").any_after(i) or self._marks("ended").any_after(i):
            return True
        name = found["name"].rpartition("/")[2] if (found := _NOT_FOUND.search(self.lines[i].text)) else ""
        said = sum(line.speaks and len(line.text.split()) > 1 for line in self.lines[i + 1 : i + 4])
        if said > 0 and _HELPERS.fullmatch(name):
            return True
        nothing = self._marks("left nothing").any_after(i)
        return self._marks("well").any_after(i) and not nothing and not _PROGRAMS.fullmatch(name)

    @cached_property
    def ends(self) -> frozenset[int]:
        """Places of the lines that say of the whole that it did not do what it was to do."""
        return frozenset(self._marks("badly").places)

    @cached_property
    def muted(self) -> frozenset[int]:
        """Lines of tracebacks that Python itself calls ignored: from the announcement to the exception's own line.

        So are those of threads and of interpreter exit once the program has said that it came to its end.
        """
        muted: set[int] = set()
        ended, progress = set(self._marks("ended").places), set(self._marks("progress").places)
        ignoring = finished = False
        for i, line in enumerate(self.lines):
            finished = i in ended or (finished and i not in progress)
            ignoring = ignoring or bool(_IGNORED.match(line.text)) or (finished and bool(_AT_EXIT.match(line.text)))
            if ignoring:
                muted.add(i)
                ignoring = not (line.speaks and _EXCEPTION.match(line.text))
        return frozenset(muted)


def _is_calm(text: str) -> bool:
    return len(text.split()) > 1 and not log_scan.suspicious(text) and not _EPILOGUE.match(text)


_KINDS: dict[str, Callable[[str], bool]] = {
    "calm": _is_calm,
    "progress": log_scan.is_progress,
    "work": lambda text: log_scan.is_progress(text) or log_scan.is_result(text),
    "ended": log_scan.says_ended,
    "result": lambda text: log_scan.says_ended(text) or bool(_RESULT.search(text)),
    "converged": lambda text: bool(_CONVERGED.search(text)),
    "well": ends_well,
    "tested": tests_passed,
    "left nothing": lambda text: bool(_LEFT_NOTHING.match(text)),
    "whole": ends_whole,
    "badly": ends_badly,
    "final": lambda text: bool(_FINAL.search(text)),
    "nothing": ends_with_nothing,
    "over": lambda text: log_scan.says_finished(text) or bool(_OVER.search(text) or _RESULT.search(text)),
}
