"""What a line of a log is: clean text, worth keeping, progress, the word of one rank. Pure and linear in its length.

Patterns here and in the rule table have no nested quantifiers and meet lines of at most `MAX_LINE` characters, so a
hostile log can be long but never slow.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from hpc.core.failures.engine import Finder, is_fast
from hpc.core.failures.reading import languages
from hpc.core.printable import is_printable, printable

MAX_LINE = 2000

NEEDLES = (
    "error", "exception", "traceback", "fail", "fatal", "kill", "abort", "cancel", "out of memory",
    "allocat", "alloc failed", " nan", "=nan", ":nan", "(nan", "[nan", "`nan", "not-a-number", "non-finite", "diverg",
    "space left", "not found", "no such", "xid ", "fault", "timed out", "timed-out",
    "timeout", "time limit", "preempt", "requeue", "lost communication",
    "converge", "interrupt", "terminat", "is lost", "device handle", "invalid", "corrupt", "mismatch", "stale file",
    "overlay", "dev/shm", "shared memory", "can't open", "cannot open", "unable to", "could not", "couldn't",
    "refused", "in use", "quota", "unrecognized", "solved 0", "launch failed", "restart", "bus ", "core dumped",
    "semlock", "infinite", "exhausted", "node_failure", "not been", "no learning", "denied", "illegal",
    "minimum loss scale", "hardware", "missing", "not compiled",
    "undefined symbol", "unreachable", "exceeded", "usage:", "nccl warn", "ibv_",
    "truncat", "double free", "free(): ", "smashing", "unbound variable", "gpu hang", "gpu reset",
    "oomd", "memory budget",
    "squashfs", "override '", "not in struct", "user namespace", "not used by", "unsupported", "unknown command",
    "badgzip", "badzip", "requested and", "too large", "no data left", "mpi_err", "ofi poll",
    "not converge", "virtual memory", "cannot ", "exceed",
    "hccl", "ccl_error", "watchdog", "heartbeat", "subset of ranks", "mpi_init", "pmix", "unable to reach", "was "
    "not built",
    "unstable", "moving too fast", "lincs", "points exceeded", "sigfpe", "floating ", "diverged_", "licen",
    "code=80", "class version", "classnotfound", "can't locate", "no progress", "no heartbeat", "imeout (",
    "reclaimed",
    "improperly", "mpi_abort", "uncorrectable", "got 0 bytes", "too short", "vanished", "directory not",
    "merging override", "could not be", "access to", "gated", "marked dead", "stuck", "deadlock", "due to signal",
    "os { code", "0 trials", "no trials", "0 runs", "no runs", "none of", "succeeded", "ascii as enc", "openmp",
    "locale", "array size", "unknown ", "parse", "unexpected", "severe (", "stopping training", "is required",
    "hw exception", "panic", "stackoverflow", "giving up", "gave up", "bailing out", "nothing was", "nothing saved",
    "nothing written", "incomplete", "unsuccessful", "crashed", "too many", "did not", "unlikely", "unable", "can't",
    "nan ", "no route", "unsatisfi", "packages not", "packagenotfound", "packagesnotfound", "toomanyrequests",
    "rate limit",
    "unresolved", "bad line in", "is undefined", "is not equal", "must ", "is greater than", "larger than",
    "insufficient",
    "not enough", "bad_alloc", "modulefile", "too old", "no code object", "nobinaryfor", "missinginput", "ecc ",
    "needs reset",
    "not operational", "blew up", "blown up", "syntax error", "undefined ", "can't ", " eof", "does not match",
    "incompatible", "contains nan", "no overlapping", "does not look like", "wrong number", "too small", "unrecogni",
    "bad gateway", "service unavailable", "slowdown", "connection closed", "not allowed", "not supported", "required",
    "expired", "not available", "badly", "no input", "is empty", "0 atoms", "bad substitution", "found 0 ",
    " 0 batches", "better than", "above chance", "user request", "random policy", "did not learn", "does not beat",
    "at chance", "chance level", "collapse", "no improvement", "iterations reached", "iteration limit", "of iterations",
    "same as random", "indistinguishable from", "not learn", "never learn", "never moved", "not mix", "random guess",
    "majority class", "single class", "one class", "same class", "predictions are", "tolerance not", "still above",
    "walltime", "wall time", "wall-clock", "evict", "throttl", "powering", "blow", "wrong", "sigint", "signal 2",
)  # fmt: skip
"""Lower-case beginnings of trouble. A line without any of them is never evidence, which is what makes logs of
gigabytes readable."""

_AS_A_METRIC = ("error", "fail", "invalid", "missing", "mismatch", "converge", "timeout")
"""Needles that are names of metrics too: ``val_error=0.31`` and ``failed: 0.0`` are no trouble."""
# After such a needle: the rest of the name, and anything but `=` or `:` and a number. RE2 has no look-ahead, so what
# may follow is spelt out.
_NO_NUMBER = (
    r"""[\w/]*(?:$|["'](?:$|[^=: \t])|[^\w/"'=: \t]|["']?[ \t]+(?:$|[^=: \t])"""
    r"""|["']?[ \t]*[=:][ \t]*(?:$|[^-+.\d \t]|[-+]\D)|["']?[ \t]*:[ \t]*[-+]?\d+(?:$|[^\d.]))"""
)


_PLAIN = tuple(needle for needle in (*NEEDLES, *languages.NEEDLES) if needle not in _AS_A_METRIC)
_AMBIGUOUS = "(?:" + "|".join(_AS_A_METRIC) + ")" + _NO_NUMBER
SUSPICION = "|".join(re.escape(needle) for needle in _PLAIN) + "|" + _AMBIGUOUS
"""The needles as one pattern for both engines, case ignored."""
MARKED_CALM = " nan iterations:   0"
"""Megatron says so at every step."""

_RANK = re.compile(
    r"^\s*(?:"
    r"\[?(?:rank|default|Rank |worker)(?P<named>\d+)\]?:? ?"  # torchrun, PyTorch ≥ 2.2: [rank3]: …, [default3]:…
    r"|(?P<label>\d{1,5}): "  # srun --label
    r"|\(\w[\w.]* (?:pid|rank)=(?P<pid>\d+)[^)]*\) ?"  # Ray: (RayTrainWorker pid=4711) …
    r"|\[\d+,(?P<mpi>\d+)\]<std(?:out|err)>: ?"  # mpirun --tag-output
    r")"
)
_STAMP = re.compile(r"\b(\d{4})[-/](\d\d)[-/](\d\d)[T _](\d\d):(\d\d):(\d\d)")
_PROGRESS = Finder(
    r"(?:\b(?:step|steps|iter|iters|iteration|epoch|ep|it|batch|num_updates|global_step|update)\b[\s:=\[(#/]{0,6}\d"
    r"|\b\d[\d,]{0,15} steps\b|^\s{0,4}(?:time|t) ?= ?\d"
    r"|\b\w{0,24}loss\w{0,12}[\s\"':=|]{1,4}-?\d"
    r"|\b\d{1,12}/\d{1,12} \[[\d:]{1,12}<)",
)
_NOT_PROGRESS = Finder(
    r"slurmstepd|srun:|CANCELLED|Error\b|Exception\b|\bERROR\b|\bFATAL\b|^\s*File \"|Traceback|ProcessGroup|\[c10d\]"
    r"|no new step|not progress|stuck|\bassert\b",
    ignore_case=False,
)
_SAVED = Finder(
    r"\b(?:saved?|saving|wrote|written)\b.{0,60}(?:checkpoint|model|weights|\.pt\b|\.ckpt|\.pth|\.hdf5"
    r"|\.safetensors|\.zip)"
    r"|(?:checkpoint|model|weights)\b.{0,40}\bsaved\b|\btrain_runtime\b"
    r"|\bfinal (?:\w+ ){0,3}(?:loss|accuracy|acc|error|reward|score|return|metric\w*)\b.{0,20}\d"
    r"|Trainer\.fit` stopped: `max_(?:epochs|steps)|\btrial \d{1,9} finished with value",
)
_NOT_SAVED = Finder(
    r"\b(?:fail\w*|unable|could not|couldn't|cannot|can't|not|never) (?:to )?(?:be )?(?:sav|writ|stor)\w*"
)
_FINISHED = Finder(
    r"\b(?:training|train|fit|optimi[sz]ation|simulation|experiment|all \d* ?(?:epochs|steps|iterations))\b\W{0,3}"
    r"(?:is |has |was |have )?(?:done|completed?|finished|ended|successful\w*)\b"
    r"|\bdone training\b|\bfinished (?:training|normally|successfully|all)\b|\bcompleted successfully\b"
    r"|\bMPI_Finalize ok\b|\btotal wall time\b|^COMPLETED\b|\breached (?:max|the planned|target)\b|\bbest model\b",
)
_ENDED = Finder(
    r"\btrain_runtime\b|`Trainer\.fit` stopped|exiting program after \d+ iterations"
    r"|\bsaved (?:final )?model to\b.{0,80}final"
    r"|^final (?:\w+ ){0,3}(?:loss|accuracy|acc|error|reward|score|return)\b.{0,20}\d",
)
_FINISHED_OR_ENDED = Finder(f"(?:{_FINISHED.pattern})|(?:{_ENDED.pattern})")
_LOSS = re.compile(
    r"\b(?:\w{0,24}loss\w{0,12}|ppl|perplexity|nll)['\"]?\s{0,3}[:=|]?\s{0,6}"
    r"(?P<value>[-+]?(?:nan|inf(?:inity)?|\d[\d.,]*(?:e[-+]?\d+)?))(?![\w])",
    re.IGNORECASE,
)
_GRADIENT = re.compile(
    r"\b(?:grad(?:ient)?[_ .-]?norm|gnorm)['\"]?\s{0,3}[:=|]?\s{0,6}"
    r"(?P<value>[-+]?(?:nan|inf(?:inity)?|\d[\d.,]*(?:e[-+]?\d+)?))(?![\w])",
    re.IGNORECASE,
)
_LOSS_SCALE = re.compile(r"loss[_ ]?scal", re.IGNORECASE)


def clean(raw: str) -> str:
    """One line as a person sees it: nothing a terminal obeys, the telling part of a rewritten progress bar, cut."""
    text = raw.rstrip("\r\n")
    if "\r" not in text:
        return printable(text)[:MAX_LINE]
    parts = [part for each in text.split("\r") if (part := printable(each)).strip()]
    return next((part for part in parts if suspicious(part)), parts[-1] if parts else "")[:MAX_LINE]


@lru_cache(maxsize=2048)
def suspicious(line: str) -> bool:
    """Whether a line may be evidence. Cheap, and generous: rules decide later, with its neighbours in view.

    Asked of every line of every log, and of those of one log more than once.
    """
    text = line[: MAX_LINE * 4].replace(MARKED_CALM, "")
    if is_fast():
        return _SUSPICIOUS.found(text)
    lowered = text.lower()
    for needle in _PLAIN:
        if needle in lowered:
            return True
    return any(needle in lowered for needle in _AS_A_METRIC) and _IN_DOUBT.found(text)


_SUSPICIOUS = Finder(SUSPICION, ascii_words=True)
_IN_DOUBT = Finder(_AMBIGUOUS, ascii_words=True)


def split_rank(line: str) -> tuple[str, str]:
    """Take a rank prefix off: ``[rank3]: KeyError`` gives ``("3", "KeyError")``; no prefix gives ``("", line)``."""
    match = _RANK.match(line)
    if match is None:
        return "", line
    return next(group for group in match.groups() if group is not None), line[match.end() :]


_FRAME = re.compile(
    r"^(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,:+Z]{0,16}\]? ?|\s{1,12}[|+] )"
    r"(?=\s{0,8}(?:(?:Exception Group )?Traceback|File \"|[\w.]{1,80}(?:Error|Exception)\b|KeyboardInterrupt)|    )"
)


def without_frame(line: str) -> str:
    """Take the time stamp, or the bars of an exception group, from a line of a traceback; others keep theirs."""
    match = _FRAME.match(line)
    return line[match.end() :] if match else line


def is_progress(line: str) -> bool:
    """A line that only a program that is still working prints: a step, an epoch, a loss that is a number."""
    return _PROGRESS.found(line) and not _NOT_PROGRESS.found(line)


def is_result(line: str) -> bool:
    """A line that says that something worth having was reached or stored, such as a saved model."""
    return _SAVED.found(line) and not (_NOT_PROGRESS.found(line) or _NOT_SAVED.found(line))


def says_finished(line: str) -> bool:
    """A program's own statement that it came to its end. A job script may say the same of a program that crashed."""
    return (_FINISHED.found(line) and not _NOT_PROGRESS.found(line)) or is_result(line)


def says_ended(line: str) -> bool:
    """A program's own statement that all its work is done, as opposed to a checkpoint that was saved on the way."""
    return _FINISHED_OR_ENDED.found(line) and not _NOT_PROGRESS.found(line)


_NAN = Finder(r"nan|\binf(?:inity)?\b")
_PERHAPS_NAN = Finder(r"nan|inf(?:inity)?\b")


def names_nan(line: str) -> bool:
    """Whether a line holds a word for a number that is not finite. Cheap, and generous."""
    return _NAN.found(line)


def may_name_nan(text: str) -> bool:
    """Whether a line of a log may hold such a word, whatever is taken off the line later. Asked of whole logs."""
    return not is_printable(text) or _PERHAPS_NAN.found(text)


def loss_is_finite(line: str) -> bool | None:
    """Whether the losses a progress line reports are numbers; None where it reports none."""
    values = [match["value"].lower().lstrip("+-") for match in _LOSS.finditer(line) if not _LOSS_SCALE.search(match[0])]
    if not values or _NOT_PROGRESS.found(line):
        return None
    return not any(value.startswith(("nan", "inf")) for value in values)


def gradient_is_finite(line: str) -> bool | None:
    """Whether the gradient norm a progress line reports is a number; None where it reports none."""
    match = _GRADIENT.search(line)
    if match is None or _NOT_PROGRESS.found(line):
        return None
    return not match["value"].lower().lstrip("+-").startswith(("nan", "inf"))


_FIRST = re.compile(r"\b(?:step|iter|iteration|epoch|update)\b[\s:=\[(#/]{0,6}(\d{1,9})\b", re.IGNORECASE)


def loss_of(line: str) -> float | None:
    """The first finite loss a progress line reports; None where it reports none."""
    if not is_progress(line):
        return None
    for match in _LOSS.finditer(line):
        text = match["value"].rstrip(".,").replace(",", "")
        if not _LOSS_SCALE.search(match[0]) and text[-1:].isdigit():
            return float(text)
    return None


def step_of(line: str) -> int | None:
    """The step, iteration or epoch a line reports; None where it reports none."""
    match = _FIRST.search(line)
    return int(match[1]) if match else None


def timestamp_s(line: str) -> float | None:
    """The first date and time in a line, as seconds; None where there is none. Only differences mean anything."""
    match = _STAMP.search(line)
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups()), tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]  # six ints
    except ValueError:
        return None
