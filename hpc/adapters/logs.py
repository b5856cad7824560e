"""Logs of any size as the few lines that may be evidence, with their true line numbers, in bounded memory.

Kept are the first `KEEP` and the last `KEEP` suspicious lines, and of all lines the first `HEAD` and the last `KEEP`.
Finding the suspicious ones in gigabytes is done on bytes: each needle of `hpc.core.failures.log_scan` is represented by
those four of its bytes that healthy logs hold least, and numpy looks all of them up at once in a table; only lines that
pass are decoded and asked properly.
"""

import os
import shlex
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from hpc.adapters.files import open_regular
from hpc.core.errors import InputError
from hpc.core.failures import log_scan
from hpc.core.failures.evidence import LogLine
from hpc.core.layout import AttemptLayout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEEP = 200
HEAD = 60
"""Lines from the beginning: where a curve begins shows what became of it."""
HEAD_BYTES = 1 << 16
CHUNK = 1 << 19  # bytes; fits the processor's cache with the copies made of it
TAIL_BYTES = 1 << 22  # the last lines are looked for in this much
_GZIP = b"\x1f\x8b"  # how gzip's files begin
_SMALL = 1 << 16  # below this plain Python is faster than loading numpy
_FOLD = 0x20202020  # sets the bit that makes ASCII letters lower case
_HASH = 2654435761  # Knuth's multiplicative hash; the upper 16 bits index the table


class Readable(Protocol):
    """What bytes can be read of, once."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def read_program_logs(attempt: AttemptLayout) -> tuple[LogLine, ...]:
    """Read what the program of an attempt printed, on every node; where it never began, what its ladder printed."""
    found = [(path, name) for name in ("stdout", "stderr") for path in sorted(attempt.home.glob(f"{name}*.log"))]
    found = found or [(attempt.sanity_log, "sanity")]
    return tuple(line for path, name in found for line in read_log_or_say_why(path, name))


def read_log_or_say_why(path: Path, source: str) -> tuple[LogLine, ...]:
    """Read as `read_log`; of a log that cannot be read the one line, numbered 0, says why."""
    try:
        return read_log(path, source)
    except InputError as error:
        return (LogLine(source, 0, str(error)),)
    except OSError as error:
        return (LogLine(source, 0, f"{path}: cannot be read: {error.strerror or error}"),)


def read_log(path: Path, source: str) -> tuple[LogLine, ...]:
    """Read what may be evidence from a log file, in file order.

    Args:
        path: The file; one that does not exist has no lines.
        source: What the lines are called in verdicts: ``stdout``, ``stderr``, ``slurm``.

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
        early, resume_at, resume_line = _first_suspicious(file)
        total = resume_line + _count_lines(file, resume_at)
        late = (early[KEEP:] + _last_suspicious(file, resume_at, size, total))[-KEEP:] if len(early) >= KEEP else []
        kept = dict(_first_lines(file) + _last_lines(file, size, total) + early[:KEEP] + late)
    return tuple(LogLine(source, number, kept[number]) for number in sorted(kept))


def read_packed_log(path: Path, source: str) -> tuple[LogLine, ...]:
    """Read as `read_log` a log that may be compressed by gzip, whatever it is called.

    Raises:
        FileNotFoundError: There is none.
        InputError: As `read_log`, or it is compressed and damaged.
        OSError: The file system has an error.
    """
    import gzip
    import zlib

    with open_regular(path) as file:
        if file.read(2) != _GZIP:
            return read_log(path, source)
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
    tail: dict[int, bytes] = {}
    ended = 0  # lines that have ended so far
    for chunk in _pieces(stream):
        for number, text in _suspicious_in(chunk):
            (first if len(first) < KEEP else late).append((ended + number, text))
        pieces = chunk.rsplit(b"\n", KEEP + 1)
        ended += chunk.count(b"\n")
        for number, piece in enumerate(pieces, start=ended + 2 - len(pieces)):
            if piece:  # a line that is longer than a chunk comes in parts
                tail[number] = (tail.get(number, b"") + piece)[: log_scan.MAX_LINE * 32]
            elif number <= ended:
                tail.setdefault(number, b"")
        for number in sorted(tail)[:-KEEP]:
            del tail[number]
    kept = {number: _decode(raw) for number, raw in tail.items()} | dict(first) | dict(late)
    return tuple(LogLine(source, number, kept[number]) for number in sorted(kept))


def _whole(data: bytes, source: str) -> tuple[LogLine, ...]:
    lines = [_decode(raw) for raw in data.split(b"\n")]
    if lines and not lines[-1]:
        lines.pop()
    suspects = [i for i, line in enumerate(lines) if log_scan.suspicious(line)]
    ends = (*range(min(HEAD, len(lines))), *range(max(0, len(lines) - KEEP), len(lines)))
    keep = {*suspects[:KEEP], *suspects[-KEEP:], *ends}
    return tuple(LogLine(source, i + 1, lines[i]) for i in sorted(keep))


def _decode(raw: bytes) -> str:
    return log_scan.clean(raw[: log_scan.MAX_LINE * 32].decode("utf-8", "replace"))


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


def _first_suspicious(file: BinaryIO) -> tuple[list[tuple[int, str]], int, int]:
    """At least the first `KEEP` suspicious lines, and the byte and line count at which the search stopped."""
    found: list[tuple[int, str]] = []
    offset = line = 0
    for chunk in _chunks(file, 0):
        found += [(line + number, text) for number, text in _suspicious_in(chunk)]
        offset += len(chunk)
        line += chunk.count(b"\n")
        if len(found) >= KEEP:
            break
    return found, offset, line


def _last_suspicious(file: BinaryIO, start: int, end: int, total: int) -> list[tuple[int, str]]:
    """The last `KEEP` suspicious lines after `start`, found from the end."""
    found: list[tuple[int, str]] = []
    below = total  # line ends before the block that is read next
    while end > start and len(found) < KEEP:
        begin = max(start, end - CHUNK)
        file.seek(begin)
        block = file.read(end - begin)
        if begin > start:  # give the torn first line to the next, earlier block
            cut = block.find(b"\n") + 1
            begin, block = (begin + cut, block[cut:]) if 0 < cut < len(block) else (begin, block)
        below -= block.count(b"\n")
        found = [(below + number, text) for number, text in _suspicious_in(block)] + found
        end = begin
    return found[-KEEP:]


def _count_lines(file: BinaryIO, start: int) -> int:
    """Line ends from a byte on."""
    file.seek(start)
    count = 0
    while block := file.read(CHUNK):
        count += block.count(b"\n")
    return count


def _first_lines(file: BinaryIO) -> list[tuple[int, str]]:
    """The first `HEAD` lines that end within the first `HEAD_BYTES`."""
    file.seek(0)
    whole = file.read(HEAD_BYTES).split(b"\n")[:-1]
    return [(number, _decode(raw)) for number, raw in enumerate(whole[:HEAD], 1)]


def _last_lines(file: BinaryIO, size: int, total: int) -> list[tuple[int, str]]:
    """The last `KEEP` lines, as far as they lie within the last `TAIL_BYTES`."""
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    lines = file.read(size - start).split(b"\n")
    unfinished = bool(lines.pop()) if not lines[-1] else True
    kept = lines[-KEEP:]
    first = total + unfinished - len(kept) + 1
    return [(first + i, _decode(raw)) for i, raw in enumerate(kept)]


def _suspicious_in(chunk: bytes) -> list[tuple[int, str]]:
    """Suspicious lines of a chunk, numbered from 1."""
    if len(chunk) < _SMALL:
        decoded = enumerate((_decode(raw) for raw in chunk.split(b"\n")), start=1)
        return [(number, text) for number, text in decoded if log_scan.suspicious(text)]
    found = []
    counted_to = number = end = 0
    for position in _candidates(chunk):
        if position < end:
            continue  # the same line again
        begin = chunk.rfind(b"\n", 0, position) + 1
        end = chunk.find(b"\n", position) + 1 or len(chunk)
        number += chunk.count(b"\n", counted_to, begin)
        counted_to = begin
        text = _decode_around(chunk, begin, position, end)
        if log_scan.suspicious(text):
            found.append((number + 1, text))
            if len(found) > 2 * KEEP:
                del found[KEEP : KEEP + 1]
    return found


def _decode_around(chunk: bytes, begin: int, position: int, end: int) -> str:
    """A line as text; of an overlong one (a progress bar that never ends its line) the part around a position."""
    if end - begin > log_scan.MAX_LINE * 32:
        begin = max(begin, chunk.rfind(b"\r", begin, position) + 1, position - log_scan.MAX_LINE)
        end = min(end, begin + 2 * log_scan.MAX_LINE)
    return _decode(chunk[begin:end])


def _candidates(chunk: bytes) -> list[int]:
    """Positions in a chunk at which a needle may begin, in order; at most four false ones in a thousand."""
    import numpy as np

    table, folded = _table()
    hits = []
    for shift in range(4):
        words = np.frombuffer(chunk, dtype="<u4", offset=shift, count=(len(chunk) - shift) // 4) | np.uint32(_FOLD)
        places = np.flatnonzero(table[(words * np.uint32(_HASH)) >> np.uint32(16)])
        places = places[np.isin(words[places], folded)]
        hits.append(places * 4 + shift)
    return [int(place) for place in np.sort(np.concatenate(hits))]


def _anchor(needle: bytes) -> bytes:
    """The four bytes of a needle by which it is looked for: rare ones, so that few healthy lines are decoded."""
    return min((needle[i : i + 4] for i in range(len(needle) - 3)), key=_commonness)


def _commonness(part: bytes) -> tuple[bool, int]:
    """How often four bytes are to be expected in a healthy log: words of progress lines first, then by letters."""
    return part in _COMMON, sum(_LETTERS.get(byte, 1) for byte in part)


_LETTERS = {byte: 20 - i for i, byte in enumerate(b" etaosinrlcdpmuhgbf")}
_COMMON = frozenset(
    word[i : i + 4]
    for word in (
        b" loss step epoch iter memory gpu time data train valid eval model batch samples learning rate default info"
        b" saving checkpoint save loading lost left right with from that this is not in on to the of and for "
    ).split(b"\0")
    for i in range(len(word) - 3)
)


@cache
def _table() -> tuple["NDArray[np.bool_]", "NDArray[np.uint32]"]:
    """Which hash values the needles' anchors have, and those anchors as folded 32-bit words."""
    import numpy as np

    anchors = b"".join(_anchor(needle.encode()) for needle in log_scan.NEEDLES)
    folded = np.unique(np.frombuffer(anchors, dtype="<u4") | np.uint32(_FOLD))
    table = np.zeros(1 << 16, dtype=np.bool_)
    table[(folded * np.uint32(_HASH)) >> np.uint32(16)] = True
    return table, folded
