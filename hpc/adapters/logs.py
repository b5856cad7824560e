"""Logs of any size as the few lines that may be evidence, with their true line numbers, in bounded memory.

Kept are the first `HEAD` lines, the first and the last `KEEP` suspicious lines, and the last `KEEP` lines of all. What
is suspicious is one pattern (`hpc.core.failures.log_scan.SUSPICION`), which is looked for in whole pieces of the file;
only lines it hits are decoded, so that the time hardly depends on what the lines are.
"""

import os
import shlex
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from hpc.adapters.files import open_regular
from hpc.adapters.packed import names_in
from hpc.core.errors import InputError
from hpc.core.failures import log_scan
from hpc.core.failures.engine import bytes_pattern, is_fast
from hpc.core.failures.evidence import LogLine
from hpc.core.layout import AttemptLayout

KEEP = 200
HEAD = 60
"""Lines from the beginning: where a curve begins shows what became of it."""
CHUNK = 1 << 19  # bytes; fits the processor's cache
TAIL_BYTES = 1 << 22  # the last lines are looked for in this much
_GZIP = b"\x1f\x8b"  # how gzip's files begin
_LAST_BLOCK = 1 << 15  # what is read first from the end; doubled as long as it holds too little

_CLEAN = bytes([*b"\t\n", *range(0x20, 0x7F)])
"""Of a log with these bytes only, a line is what stands between two ends."""
_CALM = log_scan.MARKED_CALM.encode()
_BLANK = b" " * len(_CALM)


class Readable(Protocol):
    """What bytes can be read of, once."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def read_program_logs(attempt: AttemptLayout) -> tuple[LogLine, ...]:
    """Read what the program of an attempt printed, on every node; where it never began, what its ladder printed.

    Each file is a source of its own, as in ``stderr.rank3``: what one rank says is survived by its own work only.
    """
    try:
        names = sorted(names_in(attempt.home))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    logs = [name for name in names if name.endswith(".log")]
    found = [name for stream in ("stdout", "stderr") for name in logs if name.startswith(stream)]
    paths = [attempt.home / name for name in found] or [attempt.sanity_log]
    return tuple(line for path in paths for line in read_log_or_say_why(path, path.name.removesuffix(".log")))


def read_log_or_say_why(path: Path, source: str) -> tuple[LogLine, ...]:
    """Read as `read_log`; of a log that cannot be read the one line, numbered 0, says why."""
    try:
        return read_log(path, source)
    except InputError as error:
        return (LogLine(source, 0, str(error)),)
    except OSError as error:
        return (LogLine(source, 0, f"{path}: cannot be read: {error.strerror or error}"),)


Told = Callable[[int], object]
"""Is told how many bytes more were read."""


def read_log(path: Path, source: str, tell: Told = abs) -> tuple[LogLine, ...]:
    """Read what may be evidence from a log file, in file order.

    Args:
        path: The file; one that does not exist has no lines.
        source: What the lines are called in verdicts: ``stdout``, ``stderr``, ``slurm``.
        tell: Is told how much of a long one was read.

    Raises:
        InputError: It is not a regular file, or not ours to read; the message says what to do.
        OSError: The file system has an error.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return ()
    with file:
        size = os.fstat(file.fileno()).st_size
        if size <= TAIL_BYTES // 8:
            return _whole(file.read(TAIL_BYTES), source)  # it may have grown meanwhile
        early, resume_at, resume_line = _first_suspicious(file, tell)
        total = resume_line + _count_lines(file, resume_at, tell)
        late = _last_suspicious(file, resume_at, size, total) if len(early) == KEEP else []
        kept = dict(_first_lines(file) + _last_lines(file, size, total) + early + late)
    return tuple(LogLine(source, number, kept[number]) for number in sorted(kept))


def read_packed_log(path: Path, source: str, tell: Told = abs) -> tuple[LogLine, ...]:
    """Read as `read_log` a log that may be compressed by gzip, whatever it is called; of one that is, nothing is told.

    Raises:
        FileNotFoundError: There is none.
        InputError: As `read_log`, or it is compressed and damaged.
        OSError: The file system has an error.
    """
    import gzip
    import zlib

    with open_regular(path) as file:
        if file.read(2) != _GZIP:
            return read_log(path, source, tell)
        file.seek(0)
        try:
            with gzip.open(file) as unpacked:
                return read_log_stream(unpacked, source)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            whole = f"gzip -dc {shlex.quote(str(path))}"
            raise InputError(f"{path} is compressed and damaged: {error}; to unpack what is whole: {whole}") from None


def read_log_stream(stream: Readable, source: str) -> tuple[LogLine, ...]:
    """Read as `read_log` what can be read once only, such as standard input; in bounded memory, too."""
    first: list[tuple[int, str]] = []
    late: deque[tuple[int, str]] = deque(maxlen=KEEP)
    head: dict[int, bytes] = {}
    tail: dict[int, bytes] = {}
    ended = 0  # lines that have ended so far
    for chunk in _pieces(stream):
        found = _suspicious_in(chunk) if len(first) < KEEP else _last_suspicious_in(chunk)
        for number, text, _ in found:
            (first if len(first) < KEEP else late).append((ended + number, text))
        if ended < HEAD:
            for number, piece in enumerate(chunk.split(b"\n", HEAD - ended)[: HEAD - ended], start=ended + 1):
                head[number] = (head.get(number, b"") + piece)[: log_scan.MAX_LINE * 32]
        pieces = chunk.rsplit(b"\n", KEEP + 1)
        ended += chunk.count(b"\n")
        for number, piece in enumerate(pieces, start=ended + 2 - len(pieces)):
            if piece:  # a line that is longer than a chunk comes in parts
                tail[number] = (tail.get(number, b"") + piece)[: log_scan.MAX_LINE * 32]
            elif number <= ended:
                tail.setdefault(number, b"")
        for number in sorted(tail)[:-KEEP]:
            del tail[number]
    if not head.get(ended + 1):  # what the last line's end is followed by is no line
        head.pop(ended + 1, None)
    kept = {number: _decode(raw) for number, raw in (head | tail).items()} | dict(first) | dict(late)
    return tuple(LogLine(source, number, kept[number]) for number in sorted(kept))


def _whole(data: bytes, source: str) -> tuple[LogLine, ...]:
    raw, decode = data.split(b"\n"), _decode if data.translate(None, _CLEAN) else _decode_clean
    if not decode(raw[-1]):
        raw.pop()
    suspects: list[int] = []
    if len(raw) <= HEAD + KEEP:  # all of it is kept
        pass
    elif b"\x1b" in data:  # colours may stand within a word
        suspects = [i for i, line in enumerate(raw) if log_scan.suspicious(_decode(line))]
    else:
        suspects = [number - 1 for number, _, _ in _suspicious_in(data)]
    ends = {*range(min(HEAD, len(raw))), *range(max(0, len(raw) - KEEP), len(raw))}
    keep = {*suspects[:KEEP], *suspects[-KEEP:], *ends}
    return tuple(LogLine(source, i + 1, decode(raw[i])) for i in sorted(keep) if i < len(raw))


def _decode(raw: bytes) -> str:
    return log_scan.clean(raw[: log_scan.MAX_LINE * 32].decode("utf-8", "replace"))


def _decode_clean(raw: bytes) -> str:
    """The same of a line that is clean already."""
    return raw[: log_scan.MAX_LINE].decode("ascii")


def _chunks(file: BinaryIO, start: int) -> Iterator[bytes]:
    """The file from `start` in pieces that end at a line end, unless a line is longer than a chunk."""
    file.seek(start)
    return _pieces(file)


def _pieces(file: Readable) -> Iterator[bytes]:
    """What is left of a stream, cut as `_chunks` cuts."""
    rest = b""
    while block := file.read(CHUNK):
        block = rest + block
        cut = block.rfind(b"\n") + 1 if len(block) < 2 * CHUNK or b"\n" in block else len(block)
        rest = block[cut:]
        if cut:
            yield block[:cut]
    if rest:
        yield rest


def _first_suspicious(file: BinaryIO, tell: Told) -> tuple[list[tuple[int, str]], int, int]:
    """At most the first `KEEP` suspicious lines, and the byte and line count at which the search stopped."""
    found: list[tuple[int, str]] = []
    offset = line = 0
    for chunk in _chunks(file, 0):
        for number, text, end in _suspicious_in(chunk):
            found.append((line + number, text))
            if len(found) == KEEP:
                tell(end)
                return found, offset + end, line + chunk.count(b"\n", 0, end)
        tell(len(chunk))
        offset += len(chunk)
        line += chunk.count(b"\n")
    return found, offset, line


def _last_suspicious(file: BinaryIO, start: int, end: int, total: int) -> list[tuple[int, str]]:
    """The last `KEEP` suspicious lines after `start`, found from the end."""
    found: list[tuple[int, str]] = []
    below = total  # line ends before the block that is read next
    width = _LAST_BLOCK
    while end > start and len(found) < KEEP:
        begin = max(start, end - width)
        file.seek(begin)
        block = file.read(end - begin)
        if begin > start:  # give the torn first line to the next, earlier block
            cut = block.find(b"\n") + 1
            begin, block = (begin + cut, block[cut:]) if 0 < cut < len(block) else (begin, block)
        below -= block.count(b"\n")
        found = [(below + number, text) for number, text, _ in _suspicious_in(block)] + found
        end, width = begin, min(CHUNK, 2 * width)
    return found[-KEEP:]


def _count_lines(file: BinaryIO, start: int, tell: Told) -> int:
    """Line ends from a byte on."""
    file.seek(start)
    count = 0
    while block := file.read(CHUNK):
        count += block.count(b"\n")
        tell(len(block))
    return count


def _first_lines(file: BinaryIO) -> list[tuple[int, str]]:
    """The first `HEAD` lines, as far as they lie within the first chunk."""
    file.seek(0)
    lines = file.read(CHUNK).split(b"\n", HEAD)
    return [(number, _decode(raw)) for number, raw in enumerate(lines[:HEAD], start=1)]


def _last_lines(file: BinaryIO, size: int, total: int) -> list[tuple[int, str]]:
    """The last `KEEP` lines, as far as they lie within the last `TAIL_BYTES`."""
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    lines = file.read(size - start).split(b"\n")
    unfinished = bool(lines.pop()) if not lines[-1] else True
    kept = lines[-KEEP:]
    first = total + unfinished - len(kept) + 1
    return [(first + i, _decode(raw)) for i, raw in enumerate(kept)]


def _suspicious_in(chunk: bytes) -> Iterator[tuple[int, str, int]]:
    """Suspicious lines of a chunk: number, from 1; text; the byte after it."""
    if not is_fast():
        yield from _suspicious_one_by_one(chunk)
        return
    find = bytes_pattern(log_scan.SUSPICION).search
    searched = chunk.replace(_CALM, _BLANK) if _CALM in chunk else chunk
    at = counted_to = number = 0
    while at < len(chunk) and (hit := find(searched, at)) is not None:
        position = hit.start()
        begin = chunk.rfind(b"\n", 0, position) + 1
        at = chunk.find(b"\n", position) + 1 or len(chunk)
        number += chunk.count(b"\n", counted_to, begin)
        counted_to = begin
        text = _decode_around(chunk, begin, position, at)
        if log_scan.suspicious(text):
            yield number + 1, text, at


def _last_suspicious_in(chunk: bytes) -> list[tuple[int, str, int]]:
    """At least the last `KEEP` suspicious lines of a chunk, as far as it has so many."""
    width = _LAST_BLOCK
    while True:
        begin = chunk.rfind(b"\n", 0, max(0, len(chunk) - width)) + 1
        above = chunk.count(b"\n", 0, begin)
        found = [(above + number, text, begin + end) for number, text, end in _suspicious_in(chunk[begin:])]
        if len(found) >= KEEP or not begin:
            return found
        width *= 2


def _suspicious_one_by_one(chunk: bytes) -> Iterator[tuple[int, str, int]]:
    """The same without the engine: each line is decoded and asked."""
    end = 0
    for number, raw in enumerate(chunk.split(b"\n"), start=1):
        end += len(raw) + 1
        text = _decode(raw)
        if log_scan.suspicious(text):
            yield number, text, min(end, len(chunk))


def _decode_around(chunk: bytes, begin: int, position: int, end: int) -> str:
    """A line as text; of an overlong one (a progress bar that never ends its line) the part around a position."""
    if end - begin > log_scan.MAX_LINE * 32:
        begin = max(begin, chunk.rfind(b"\r", begin, position) + 1, position - log_scan.MAX_LINE)
        end = min(end, begin + 2 * log_scan.MAX_LINE)
    return _decode(chunk[begin:end])
