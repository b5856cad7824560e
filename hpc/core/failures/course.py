"""The course of one log: where work went on, where it was said to be over, and so what a run outlived. Pure,"
" linear."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice

from hpc.core.failures.ending import ends_badly, ends_with_nothing, fails_few
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.marks import FINAL, HANDLED, LISTED, STOPS, MarkedLog, says_handled, says_remedied
from hpc.core.failures.reading.parts import Line
from hpc.core.failures.rule import Role, Rule, Tier
from hpc.core.failures.templates import blank
from hpc.core.failures.worth import Worth

BUFFER = 8192
"""Bytes a program holds back when its output is no terminal: as much progress can appear after its last words."""

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
_DONE_ABOUT = re.compile(HANDLED.pattern.replace("WARN(?:ING)?|", "", 1), re.IGNORECASE)
"""The same without the level of a log: that alone does not say what was done about an exception."""
_TOLERATED = re.compile(
    r"\b(?:fail\w*|errors?) (?:(?:was|were|is|are|will be) )?(?:ignored|tolerated|allowed|expected|accepted)\b",
    re.IGNORECASE,
)
"""What is said of tests that may fail."""
_ZERO_OF = re.compile(r"(?<![\d.])0 ?(?:/|of|out of) ?[1-9]\d{0,11}\b")
_SOME_OF = re.compile(r"(?<![\d.])[1-9]\d{0,11} ?(?:/|of|out of) ?[1-9]\d{0,11}\b")
_IGNORED = re.compile(r"^(?:Exception ignored in|--- Logging error ---|Error in atexit)")
_AT_EXIT = re.compile(
    r"^(?:Exception in thread|Error in atexit|Task was destroyed|asyncio\.exceptions\.CancelledError)"
)
_EXCEPTION = re.compile(r"^\s*(?:\w+\.){0,8}[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b")
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
    r"ml|module|nvidia-smi|rocm-smi|nvcc|conda|mamba|deactivate|activate|source|tput|bc|jq|git|figlet|cowsay"
    r"|time|clear"
    r"|hostname|numactl|mail|mailx|sendmail|notify\S{0,20}|lscpu|lspci|lsof|free|htop|top|module-info|sinfo"
    r"|squeue|sacct"
    r"|seff|scontrol|quota|lfs|tree|rsync|wget|curl|pigz|zip|bsdtar|gnuplot|dot|convert|xvfb\S{0,6}|stty"
    r"|setenv|unalias"
    r"|complete|shopt|log\S{0,12}|print\S{0,6}|echo\S{1,6}|finger|dos2unix|parallel|ts|spack|pyenv|nvm|rbenv|starship"
    r"|direnv|zoxide|fzf|bat|exa|ibstat|ibv_devinfo|ucx_info|nvtop|dcgmi|slack\S{0,10}|ntfy|gpustat|neofetch|banner"
)
"""What a job script can do without: it looks around, loads modules, tells somebody."""


_GOES_ON = frozenset(
    {
        FailureClass.DATA, FailureClass.STORAGE, FailureClass.CHECKPOINT, FailureClass.ENVIRONMENT,
        FailureClass.CONTAINER, FailureClass.CONFIG, FailureClass.TIMEOUT,
    }
)  # fmt: skip
"""What the next command of a job script goes on after, with whatever there is."""
_WARNED_OF = frozenset({FailureClass.ENVIRONMENT, FailureClass.CHECKPOINT, FailureClass.CONFIG})
_WARNS = re.compile(
    r"\[?(?:WARN(?:ING)?)\b[\]|: ]|W\d{4} [\d:.]{8,16} |(?:[\w.:-]{1,60} ){1,2}(?:- )?\[?WARN(?:ING)?\b"
    r"|wandb: WARNING|(?i:ignor(?:ed|ing) error)\b"
)
"""A record that its program calls a warning: it went on, with less. Of a result that is lost that is no answer."""
_SPOILS_RESULTS = frozenset({FailureClass.DATA, FailureClass.STORAGE, FailureClass.CHECKPOINT})
MUCH = 10
"""Lines of other work after which a word on a part of it is no word on the whole."""
CALM = 4
"""Lines of the program itself, nothing wrong with them, that show that it went on after a message it printed."""
_ANSWERED = re.compile(
    r"\b(?:reduc|halv|cut|bisect|retry|again|restart|smaller|relax|marked|expected|design|dropped|exclud|ignor"
    r"|skip)\w*",
    re.IGNORECASE,
)
_OF_SYSTEM = re.compile(r"(?<!\S)['\"]?(?:/etc|/proc|/sys|/usr/share|~)/\S")
"""Files no result depends on."""
_CLEANS_UP = re.compile(
    r"^\+{1,3} (?:srun |sudo |-\S+ |\d+ |ssh \S+ )*(?:kill\w*|pkill|skill|rm|rmdir|umount|fusermount\S?"
    r"|scancel|unlink"
    r"|ssh-agent|deactivate|module|conda|sync|wait|redis-cli|ray|docker|podman|find|mail)\b",
    re.IGNORECASE,
)
"""Commands a job script takes its helpers down with, as the shell traces them."""
_TAKES_DOWN = re.compile(
    r"\b(?:kill|stopp|terminat|shutt)ing(?: down)?\b.{0,40}\b(?:servers?|workers?|process\w*|pid|monitor"
    r"|helpers?|daemon"
    r"|clients?|tunnel|cluster|engine|proxy)\b",
    re.IGNORECASE,
)
"""What a job script or a program says as it ends its helpers."""


class Course:
    """One log's lines, each asked once what it tells of the work.

    Args:
        lines: The log, read.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.log = MarkedLog(lines)
        self.marks = self.log.marks
        self.worth = Worth(self.log)

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
            later = self.marks("progress", line.rank).any_after(i) or self.marks("converged").any_after(i)
            if later or _ANSWERED.search(line.text) or says_remedied(line.text) or self._went_on_to_an_end(i):
                return True
            return self.marks("well").any_after(i) and self._is_of_a_part(i)
        if self.worth.is_in_vain(i, rule):
            return False
        if self.worth.stops_the_run(i, rule):
            return self.worth.goes_on_after(i)
        of_rule = self._survived_by_rule(i, rule)
        if of_rule is not None:
            return of_rule
        stopped = rule.category is FailureClass.DIVERGENCE and STOPS.search(line.text)
        working = self.marks("progress" if stopped else "work", line.rank)  # what diverged can be saved
        if uncaught:
            before = self.marks("progress").any_before(i)
            ended = self.marks("ended", line.rank).any_after(i)
            over = self.marks("over", line.rank).any_after(i)
            if self._told_after(i, _DONE_ABOUT) and (working.any_after(i) or over):
                return True
            return working.any_after(i) and (working.characters_after(i) > BUFFER or (before and ended))
        if working.any_after(i):
            return True
        if rule.tier in (Tier.SYMPTOM, Tier.TRACE) and self._ended_before(i):
            return True
        if uncaught is False and self.marks("result", line.rank).any_after(i):
            return True
        over = self.marks("over", line.rank).any_after(i) and not self.marks("nothing").any_after(i)
        return over and self._was_handled(i, uncaught)

    def _survived_by_rule(self, i: int, rule: Rule) -> bool | None:
        """What outlives messages of some kinds; None where it is the same as for all others."""
        text = self.lines[i].text
        if rule.cause == "tests":  # their own "1 failed, 3 skipped" answers nothing; work that goes on does
            return self.marks("work").any_after(i) or self.marks("ended").any_after(i)
        if self._is_first_count(i):
            return True
        if ends_with_nothing(text) and not says_handled(text):
            return False  # what is saved afterwards is empty
        if _KILLED_BY_SLURM.match(text) or rule.role is Role.TAKEN_AWAY:
            # Another attempt in the same file; given notice, a run works on until its time is up.
            return self.marks("work").characters_after(i) > BUFFER
        return self._went_without(i) if rule.role is Role.NO_PROGRAM else None

    def passed(self, i: int, rule: Rule, uncaught: bool | None) -> bool:
        """Whether the program went on to other things after a message that it printed itself.

        That is less than to outlive it, and enough beside an exit code of 0: it said afterwards what it had done, and
        not, later still, that it had not. Who answers a traceback that reached the top of a program says so. After a
        message about an input that is damaged or a file system that is full, the next command of a script goes on with
        what there is: there the end has to be whole, or the message answered.
        """
        text = self.lines[i].text
        if self._is_no_failure(i, rule):
            return True
        if rule.cause == "tests" or ends_with_nothing(text) or self.worth.is_in_vain(i, rule):
            return False
        if self.worth.is_left_with_none(i):
            return False
        if self.worth.stops_the_run(i, rule):
            return self.worth.goes_on_after(i) or self.marks("whole").any_after(i)
        end = max(i, self.marks("badly").last)
        whole, well = self.marks("whole").any_after(end), self.marks("well").any_after(end)
        ended = self.marks("whole").any_after(-1) or self.marks("well").any_after(-1)
        went_on = ended or rule.category is not FailureClass.CHECKPOINT or self.marks("calm").any_after(i)
        warned = uncaught is None and rule.category in _WARNED_OF and _WARNS.match(text) and went_on
        if warned or (end == i and (self._was_torn_down(i, rule, uncaught) or self._was_cleaned_up(i))):
            return True
        if (whole or well) and self.log.is_listed(self._head_of(i)):
            return True  # what a listed item says in more than one line
        if uncaught is None and (whole or well) and (self.log.is_listed(i) or _OF_SYSTEM.search(text)):
            return True
        if FINAL.search(text):
            return (whole or well) and self._told_after(i, _AGAIN)
        handled = self._was_handled(i, uncaught) or self._told_after(i) or bool(_AT_THE_END.search(text))
        if whole or well:
            of_training = (
                rule.category is FailureClass.DIVERGENCE and rule.cause != "unstable" and uncaught is not False
            )
            if uncaught or of_training or self._dies_after(i):
                return handled
            goes_on = rule.category in _GOES_ON and rule.cause != "library"
            if whole or handled or not (goes_on or ends_badly(text)):
                return True
        calm = self.marks("calm").places
        goes_on = len(calm) - bisect_right(calm, i) >= CALM
        if uncaught is not None or end > i or (rule.category in _SPOILS_RESULTS and not says_remedied(text)):
            return False
        return goes_on

    def _is_no_failure(self, i: int, rule: Rule) -> bool:
        """Whether it is a part's, provoked, allowed, done on purpose, or the first of a row of counts."""
        text = self.lines[i].text
        if fails_few(text) or i in self._killed_by_script or self._tests_ended_well(i):
            return True
        return self._is_first_count(i) or (rule.cause == "tests" and _TOLERATED.search(text) is not None)

    def _is_first_count(self, i: int) -> bool:
        """Whether a count of nothing done yet is followed by one of the same form that counts some."""
        text = self.lines[i].text
        return _ZERO_OF.search(text) is not None and self._counted_some.get(blank(text), -1) > i

    @cached_property
    def _counted_some(self) -> Mapping[str, int]:
        """Form of a line that counts some → where one of it stands last."""
        speaking = ((i, line.text) for i, line in enumerate(self.lines) if line.speaks)
        return {blank(text): i for i, text in speaking if _SOME_OF.search(text)}

    def _head_of(self, i: int) -> int:
        """Place of the line before a traceback's first, of which the message is given."""
        k = i - 1
        while k > 0 and not self.lines[k].speaks:
            k -= 1
        return k if k < i - 1 else i

    def _was_cleaned_up(self, i: int) -> bool:
        """Whether it is what a command says that takes down helpers, after something was done."""
        command = next((k for k in range(i - 1, max(-1, i - 3 * MUCH), -1) if self.lines[k].text.startswith("+ ")), -1)
        if command < 0 or not _CLEANS_UP.match(self.lines[command].text):
            return False
        return any(self.marks(kind).any_before(command) for kind in ("well", "whole", "ended"))

    def _went_on_to_an_end(self, i: int) -> bool:
        """Whether a word on the whole follows, or at least `MUCH` lines of other work and one on what was done."""
        calm = self.marks("calm").places
        at = bisect_right(calm, i) + MUCH
        return self.marks("whole").any_after(i) or (at < len(calm) and self.marks("well").any_after(calm[at - 1]))

    def _told_after(self, i: int, words: re.Pattern[str] = HANDLED) -> bool:
        """Whether the next two lines, those of launchers left out, say how the program does without what failed."""
        rank = self.lines[i].rank  # a host is no rank: its ranks answer for it
        after = (
            line for line in self.lines[i + 1 : i + 7]
            if line.speaks and (not rank.isdigit() or line.rank in ("", rank)) and not _LAUNCHER.match(line.text)
        )  # fmt: skip
        return any(words.search(line.text) for line in islice(after, 2))

    def _tests_ended_well(self, i: int) -> bool:
        """Whether a test runner says afterwards that all tests passed: what they provoked is no failure."""
        passed = self.marks("tested").last
        return passed > i and passed > self.marks("badly").last

    def _was_torn_down(self, i: int, rule: Rule, uncaught: bool | None) -> bool:
        """Whether the program had its result, and the message is of how it, or a helper, was taken down."""
        text = self.lines[i].text
        if rule.category in _SPOILS_RESULTS and not _AT_THE_END.search(text):
            return False  # that the result could not be written
        whole = max(self.marks(kind).last_before(i) for kind in ("whole", "ended"))
        done = max(whole, self.marks("well").last_before(i))
        if done < 0 or self.marks("progress").last_before(i) > done + 2 or self.marks("progress").any_after(i):
            return False
        around = (line.text for line in self.lines[max(done, i - 3 * TEARDOWN) : i + TEARDOWN])
        if FINAL.search(text):
            between = sum(1 for line in self.lines[done + 1 : i] if line.speaks and line.text.strip())
            taken_down = any(_TAKES_DOWN.search(line.text) for line in self.lines[done + 1 : i] if line.speaks)
            return (whole == done and between <= 2) or taken_down
        if rule.tier in (Tier.SYMPTOM, Tier.TRACE) and not uncaught:
            return not ends_badly(text)
        return any(_AT_THE_END.search(one) for one in around)

    def _is_of_a_part(self, i: int) -> bool:
        """Whether a message speaks of one of many parts, or is among the warnings that R prints at its end."""
        if _OF_PARTS.search(self.lines[i].text) or self.log.is_listed(i):
            return True
        return any(_R_WARNINGS.match(line.text) for line in self.lines[max(0, i - TEARDOWN) : i + 1])

    def _dies_after(self, i: int) -> bool:
        places = self.marks("final").places
        at = bisect_right(places, i)
        whole = self.marks("whole").last
        return any(k > whole and not self.log.is_listed(k) for k in places[at : at + LISTED])

    def ends_well_after(self, i: int) -> bool:
        """Whether a word with content on what was done stands later."""
        return self.marks("well").any_after(i)

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
        ended = self.marks("ended").last_before(i)
        return ended >= 0 and ended >= self.marks("progress").last_before(i)

    def _went_without(self, i: int) -> bool:
        """Whether the job did its work without a command that it did not find."""
        if self.marks("work").any_after(i) or self.marks("ended").any_after(i):
            return True
        name = found["name"].rpartition("/")[2] if (found := _NOT_FOUND.search(self.lines[i].text)) else ""
        said = sum(line.speaks and len(line.text.split()) > 1 for line in self.lines[i + 1 : i + 4])
        if said > 0 and _HELPERS.fullmatch(name):
            return True
        nothing = self.marks("left nothing").any_after(i)
        return self.marks("well").any_after(i) and not nothing and not _PROGRAMS.fullmatch(name)

    @cached_property
    def told(self) -> frozenset[int]:
        """Places of lines that rules are asked of though they need hold no word of alarm: what is said of the"
        " whole."""
        return frozenset(self.marks("badly").places) | self.worth.told

    @cached_property
    def muted(self) -> frozenset[int]:
        """Lines of tracebacks that Python itself calls ignored: from the announcement to the exception's own line.

        So are those of threads and of interpreter exit once the program has said that it came to its end.
        """
        muted: set[int] = set()
        ended, progress = set(self.marks("ended").places), set(self.marks("progress").places)
        ignoring = finished = False
        for i, line in enumerate(self.lines):
            finished = i in ended or (finished and i not in progress)
            ignoring = ignoring or bool(_IGNORED.match(line.text)) or (finished and bool(_AT_EXIT.match(line.text)))
            if ignoring:
                muted.add(i)
                ignoring = not (line.speaks and _EXCEPTION.match(line.text))
        return frozenset(muted)
