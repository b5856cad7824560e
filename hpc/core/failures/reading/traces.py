"""A log's lines with the part each of them plays, and the tracebacks found among them. Pure, linear."""

import builtins
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from hpc.core.failures.engine import Finder
from hpc.core.failures.reading.native import (
    read_announced,
    read_java,
    read_panic,
    read_stack,
    read_terminate,
)  # fmt: skip
from hpc.core.failures.reading.parts import Block, Frame, Line, Reader, Trace
from hpc.core.failures.reading.python import read_link, read_notebook, read_rich, read_traceback, read_warning
from hpc.core.immutable import immutable, replace

READERS: tuple[Reader, ...] = (
    read_rich, read_notebook, read_link, read_java, read_stack, read_traceback, read_terminate, read_panic,
    read_warning, read_announced,
)  # fmt: skip
"""Asked in this order at each line that none of them has taken; the first that recognises something takes its lines."""

_MAY_BEGIN = Finder(
    r"Traceback|most recent call|File \"|(?:handling of|The) (?:the )?above exception|terminate called|panicked at"
    r"|#\d|\[ ?\d|[Ss]tack|Backtrace|Image |goroutine|\bat |\.py:\d| @ |\d: |0x|\.go:|\.\.\. \d"
    r"|(?:[Ee]rror|ERROR|[Aa]bort|ABORT|[Ee]xception|Error using .{0,80}|Caused by|FATAL CALLED|error stack:"
    r"|\d\))\W{0,5}$"
    r"|(?:Error|Exception) in \w|Caused by: \w|^(?:[\w$]{1,60}\.){1,9}[\w$]{1,80}(?:Error|Exception)\b",
    ignore_case=False,
)


@immutable
class Reading:
    """A log, read: what each line is, and which of them belong together.

    Attributes:
        lines: All lines, in order.
        traces: The tracebacks, in the order they begin.
    """

    lines: tuple[Line, ...]
    traces: tuple[Trace, ...]

    @cached_property
    def by_message(self) -> dict[int, Trace]:
        """Place of a message → the traceback that ends with it."""
        return {trace.message: trace for trace in self.traces if trace.message is not None}


def read(lines: Sequence[Line]) -> Reading:
    """Read one log: the lines of each rank by themselves, for ranks write between one another's lines."""
    read_lines = list(lines)
    traces: list[Trace] = []
    streams: dict[str, list[int]] = {}
    for i, line in enumerate(lines):
        streams.setdefault(line.rank, []).append(i)
    for places in streams.values():
        of_rank: list[Trace] = []
        linked = causal = False
        for at, block in _blocks([lines[i].text for i in places]):
            own = places[at : at + len(block.parts)]
            for offset, (place, part) in enumerate(zip(own, block.parts, strict=True)):
                if part is not None:
                    text = block.texts.get(offset, read_lines[place].text)
                    read_lines[place] = replace(read_lines[place], part=part, text=text)
            if block.message is not None or block.frames:
                chain = of_rank[-1].chain if linked and of_rank else own[0]
                message = None if block.message is None else own[block.message]
                level = of_rank[-1].level + (not causal) if linked and of_rank else 0
                frames = block.frames if message is None else _as_raised(block.frames, read_lines[message].text)
                of_rank.append(Trace(own[0], message, frames, block.outermost, chain, level))
            linked, causal = block.linked, block.causal
        traces += _with_fate(of_rank)
    return Reading(tuple(read_lines), tuple(sorted(traces, key=lambda trace: trace.start)))


_RAISES = re.compile(r"(?:raise (?:\w{1,60}\.){0,6}(?P<name>\w{0,60}(?:Error|Exception))|(?P<asserts>assert))\b")
_NAME = re.compile(r"(?:\w{1,60}\.){0,9}(?P<name>\w{1,80})")


def _as_raised(frames: tuple[Frame, ...], message: str) -> tuple[Frame, ...]:
    """Leave out the innermost line of code where it would raise something else: it is not what ran."""
    code = _RAISES.match(frames[-1].code) if frames else None
    named = _NAME.match(message.lstrip())
    if code is None or named is None or _are_one(code["name"] or "AssertionError", named["name"]):
        return frames
    return (*frames[:-1], replace(frames[-1], code=""))


def _are_one(raised: str, named: str) -> bool:
    """Whether an exception may print this name; of what a system call refused Python itself chooses the class."""
    kinds = [getattr(builtins, name, object) for name in (raised, named)]
    return raised == named or all(isinstance(kind, type) and issubclass(kind, OSError) for kind in kinds)


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, Block]]:
    at = 0
    while at < len(texts):
        block = None
        if _MAY_BEGIN.found(texts[at]):
            block = next((found for reader in READERS if (found := reader(texts, at)) is not None), None)
        if block is not None:
            yield at, block
        at += len(block.parts) if block else 1


def _with_fate(traces: Sequence[Trace]) -> list[Trace]:
    """Of a chain the last member tells whether anybody caught it."""
    last = {trace.chain: trace.outermost for trace in traces}
    return [trace.ended(outermost=last[trace.chain]) for trace in traces]
