"""Readers of what other languages and debuggers print when a program ends: C++, Rust, Go, Java, Julia, R, Fortran."""

import re
from collections.abc import Sequence

from hpc.core.failures.reading.parts import Block, Frame, Part

LONGEST = 300

_TERMINATE = re.compile(r"terminate called after throwing an instance of"
                        r"(?: '(?:\w+::){0,6}(?P<name>\w+)(?:<.{0,80}>)?')?")  # fmt: skip
_NAMELESS = frozenset({"runtime_error", "logic_error", "exception", "error", "string", "bad_alloc", "invalid_argument"})
"""Types of C++ that say nothing, or no more than their message does."""
_WHAT = re.compile(r"^\s*what\(\):")


def read_terminate(texts: Sequence[str], at: int) -> Block | None:
    """C++'s last words are two lines and one message: what() decides."""
    thrown = _TERMINATE.search(texts[at])
    if thrown is None:
        return None
    name = "" if thrown["name"] in (None, *_NAMELESS) else f"{thrown['name']}: "
    for k in range(at + 1, min(len(texts), at + 6)):
        if _WHAT.match(texts[k]):
            said = texts[k].split("what():", 1)[1].strip()
            between = [Part.PROSE] * (k - at - 1)
            if said:
                return Block((Part.HEADER, *between, Part.MESSAGE), {k - at: name + said}, k - at)
            return Block((Part.MESSAGE, *between, Part.HEADER), {}, 0)
    return None


_ANNOUNCES = re.compile(
    r"^\W{0,12}(?:(?:[\w./-]{1,40} ?[|:]? ?){0,2}(?:fatal (?:io )?error|error|abort|exception"
    r"|(?:fatal )?error \d{0,4} ?\[[^\]]{1,120}\]|fatal (?:io )?error:? \([\w.-]{1,40}\)"
    r"|fatal error \(description follows\)|error in routine \s*\w{1,60}"
    r" \(\d{1,6}\)|error using .{1,80}|caused by|fatal called)\W{0,4}|.{0,300}\berror stack:"
    r"|\w{1,60}(?:Error|Exception)(?: in (?:rule|line|file) .{1,300})?:)\s*$",
    re.IGNORECASE,
)
_RULED = re.compile(r"^\W*$")
_CELL = re.compile(r"[-+]?(?:\d[\d.,]{0,30}(?:e[-+]?\d{1,3})?|nan|inf)", re.IGNORECASE)


def read_announced(texts: Sequence[str], at: int) -> Block | None:
    """ "Fatal error:" and what stands below it are one message: the line with the words speaks, for both."""
    if not _ANNOUNCES.match(texts[at]):
        return None
    said = next((k for k in range(at + 1, min(len(texts), at + 4)) if not _RULED.match(texts[k])), None)
    if said is None or _ANNOUNCES.match(texts[said]) or texts[said].startswith(("Traceback", "  File")):
        return None
    if _is_row(texts[said]):
        return None
    record = _record_below(texts, said)
    if record is not None:
        whole = " ".join(text.strip() for text in texts[at : record + 1])[:LONGEST_SAID]
        return Block((*[Part.HEADER] * (record - at), Part.PROSE), {record - at: whole}, None)
    more = [texts[said].strip()]
    if said + 1 < len(texts) and texts[said + 1].strip() and not _ANNOUNCES.match(texts[said + 1]):
        more.append(texts[said + 1].strip())
    whole = " ".join((texts[at].strip(), *more))[:LONGEST_SAID]
    between = [Part.HEADER] * (said - at)
    return Block((*between, Part.PROSE), {said - at: whole}, None)


_ENTRY = re.compile(r"^\s{1,12}(?P<key>[A-Za-z][\w ]{0,24}?) {0,2}[:=] {0,12}(?P<value>\S.{0,300})$")
_SAYS = re.compile(
    r"\A(?:\w{1,40} )?(?:text|message|msg|reason|description|what|cause|detail|error|string)s?", re.IGNORECASE
)


def _record_below(texts: Sequence[str], at: int) -> int | None:
    """Place of the entry with the words, where names and values stand below an announcement: file, line, code, text."""
    entries: list[tuple[int, str]] = []
    for k in range(at, min(len(texts), at + 8)):
        entry = _ENTRY.match(texts[k])
        if entry is None:
            break
        entries.append((k, entry["key"].strip()))
    return next((k for k, key in entries if _SAYS.fullmatch(key)), None) if len(entries) > 1 else None


def _is_row(text: str) -> bool:
    """Whether a line is numbers alone: a table's, whose head may end with ``error``, which is a metric then."""
    cells = text.replace("|", " ").split()
    return bool(cells) and all(_CELL.fullmatch(cell) for cell in cells)


LONGEST_SAID = 1000

_PANIC = re.compile(r"^thread '.{1,80}' (?:\(\d+\) )?panicked at (?P<said>.{0,400})")
_PLACE = re.compile(r"^\S{1,300}:\d{1,7}:\d{1,7}:$")


def read_panic(texts: Sequence[str], at: int) -> Block | None:
    """A panic of Rust, whose message stands below its place, or (older) before it on the same line."""
    panic = _PANIC.match(texts[at])
    if panic is None:
        return None
    if _PLACE.match(panic["said"]) and at + 1 < len(texts) and texts[at + 1].strip():
        return Block((Part.HEADER, Part.MESSAGE), {1: f"panic: {texts[at + 1].strip()}"}, 1)
    return Block((Part.MESSAGE,), {}, 0)


_STACK_FRAME = re.compile(
    r"^\s{0,8}#\d{1,3} {1,4}(?:0x[0-9a-f]+ in )?\S"  # gdb, sanitizers, gfortran
    r"|^\s{0,8}frame #\d{1,3}: "  # c10::Error
    r"|^\[[\w.-]{1,80}:\d{1,9}\] \[ ?\d{1,3}\] "  # Open MPI
    r"|^\s{1,8}at (?:[\w$.<>/]{1,200}\(.{0,200}\)|\S{1,300}:\d+)\s*$"  # Java, Rust
    r"|^\s{1,4}\.\.\. \d{1,4} more\s*$"
    r"|^ {1,4}\[\d{1,3}\] [\w.!#∘(λ\"@]{1,80}"  # Julia
    r"|^\s{2,8}@ \S{1,200} \S{0,300}:\d+"
    r"|^\s{1,6}\d{1,3}: {1,3}(?:0x[0-9a-f]{4,20} - )?[\w<>&:{}$ *\[\]]{3,200}(?:::\w|$)"  # Rust
    r"|^\S{0,300}\(\S{0,300}\) ?\[0x[0-9a-f]{4,20}\]$"  # glibc
    r"|^\[bt\] \(\d+\) "
    r"|^\t\S{1,300}\.go:\d{1,7}(?: \+0x[0-9a-f]+)?$"
)
_STACK_HEADER = re.compile(
    r"^\s{0,4}(?:Stacktrace|stack backtrace|Backtrace(?: for this error)?|Call stack|C\+\+ stack trace.{0,20}"
    r"|Image\s{2,20}PC\s{2,20}Routine.{0,80}|goroutine \d{1,9} \[.{1,40}\]):?\s*$"
    r"|^Exception raised from .{1,300}\(most recent call first\):$"
)


def read_stack(texts: Sequence[str], at: int) -> Block | None:
    """The calls of a native stack, with or without a header: names of functions and files, never a message."""
    header = _STACK_HEADER.match(texts[at])
    if header is None and not _STACK_FRAME.match(texts[at]):
        return None
    parts = [Part.HEADER if header else Part.FRAME]
    frames = [] if header else [Frame("", texts[at].strip())]
    table = bool(header and texts[at].lstrip().startswith("Image"))
    for k in range(at + 1, min(len(texts), at + LONGEST)):
        row = table and len(texts[k].split()) >= 4 and "0" in texts[k]
        if not _STACK_FRAME.match(texts[k]) and not row:
            break
        parts.append(Part.FRAME)
        frames.append(Frame("", texts[k].strip()))
    if header and len(parts) == 1 and not table:
        return None
    return Block(tuple(parts), {}, None, tuple(frames))


_THROWN = re.compile(
    r'^(?P<before>Exception in thread "[^"]{1,80}" |Caused by: )?'
    r"(?P<said>(?:[\w$]{1,60}\.){1,9}[\w$]{1,80}(?::? .{0,2000}|:)?)$"
)
_CALL = re.compile(r"^\s{1,8}(?:at [\w$.<>/@]{1,200}\(|\.\.\. \d{1,4} (?:more|common))")
_SAYS_MORE = re.compile(r": .{0,2000}?\S \S")


def read_java(texts: Sequence[str], at: int) -> Block | None:
    """An exception of the Java machine with its calls and causes: the deepest cause that is said in words speaks."""
    first = _THROWN.match(texts[at])
    if first is None or not (first["before"] or (at + 1 < len(texts) and _CALL.match(texts[at + 1]))):
        return None
    said = {0: first["said"]}
    parts, frames = [Part.HEADER], []
    for k in range(at + 1, min(len(texts), at + LONGEST)):
        if cause := _THROWN.match(texts[k]) if texts[k].startswith("Caused by: ") else None:
            said[k - at] = cause["said"]
            parts.append(Part.HEADER)
        elif _CALL.match(texts[k]):
            parts.append(Part.FRAME)
            frames.append(Frame("", texts[k].strip()))
        else:
            break
    message = max((offset for offset, text in said.items() if _SAYS_MORE.search(text)), default=max(said))
    parts[message] = Part.MESSAGE
    thread = (first["before"] or "").startswith("Exception in thread")
    return Block(tuple(parts), {message: said[message]}, message, tuple(frames), outermost=thread)
