"""Where the processes of a run stand, and which of them stands elsewhere than the others. Pure.

A stack is read from what py-spy, Python's faulthandler or the kernel says of a process; the frame at work comes first.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hpc.core.records.watch import Frame, Rank
from hpc.core.words import counted, few

MOST_FRAMES = 40
NAMED = 3
"""Frames that a sentence names."""
_COLLECTIVE = re.compile(
    r"(?i:_?(?:all_?reduce|all_?gather|all_?to_?all|reduce_?scatter|broadcast|barrier|monitored_barrier|gather|scatter"
    r"|wait_for_all|wait_for_everyone)"
    r"(?:v|w|p|(?:_(?:base|tensor|into|coalesced|object|list|single|async|sync|op|grads?))*))"
    r"|I?(?:Allreduce|Allgather|Alltoall|Bcast|Barrier)[vw]?|(?:nccl|rccl|MPI_|PMPI_)\w+"
)
"""Functions in which a process waits for the others."""
_DEEP = 12
"""Frames in which that function is looked for: above it stands what the library does in it."""
_THREAD = re.compile(r"^(?P<current>Current thread|Thread) 0x[0-9a-f]+.{0,200}\(most recent call first\):\s*$")
_FRAME = re.compile(r'^  File "(?P<file>.{1,4000})", line (?P<line>\d+|\?\?\?) in (?P<function>.{1,400})$')


@dataclass(frozen=True)
class Picture:
    """All processes of a run at one moment, compared.

    Attributes:
        odd: Those that stand elsewhere than the others; empty where nobody does, or where all stand apart.
        text: One sentence for people.
    """

    odd: tuple[Rank, ...]
    text: str


def read_pyspy(text: str) -> tuple[Frame, ...]:
    """Read ``py-spy dump --json``: the main thread's frames; nothing where it is none."""
    try:
        threads = json.loads(text)
        mains = [each for each in threads if each.get("thread_name") == "MainThread"]
        frames = (mains or threads)[0]["frames"] if threads else []
        return tuple(
            Frame(
                str(each["name"]), str(each.get("short_filename") or each.get("filename")), int(each.get("line") or 0)
            )
            for each in frames[:MOST_FRAMES]
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return ()


def read_faulthandler(text: str) -> tuple[Frame, ...]:
    """Read what Python's faulthandler wrote: the frames of the thread that took the signal, which is the main one."""
    threads: list[tuple[bool, list[Frame]]] = []
    for line in text.splitlines():
        if found := _THREAD.match(line):
            threads.append((found["current"].startswith("Current"), []))
        elif threads and (found := _FRAME.match(line)):
            number = int(found["line"]) if found["line"].isdecimal() else 0
            threads[-1][1].append(Frame(found["function"], found["file"].rpartition("/")[2], number))
    chosen = [frames for is_current, frames in threads if is_current] or [frames for _, frames in threads[-1:]]
    return tuple(chosen[-1][:MOST_FRAMES]) if chosen else ()


def in_collective(rank: Rank) -> bool:
    """Whether a process waits for the others."""
    return _call(rank) is not None


def _call(rank: Rank) -> int | None:
    """Which frame is the call in which a process waits for the others, the outermost such; None where it does not."""
    found = [place for place, each in enumerate(rank.frames[:_DEEP]) if _COLLECTIVE.fullmatch(_bare(each.function))]
    return found[-1] if found else None


def _bare(function: str) -> str:
    return function.rpartition(".")[2]


def same_place(first: Rank, second: Rank) -> bool:
    """Whether a process stands where it stood: the same calls at the same lines, however it polls in the last one."""
    one, other = _call(first), _call(second)
    if one is None or other is None:
        return bool(first.frames) and first.frames == second.frames
    same_call = first.frames[one].function == second.frames[other].function
    return same_call and first.frames[one + 1 :] == second.frames[other + 1 :]


def stands(rank: Rank) -> str:
    """Where a process stands: ``recv (socket.py:706) < fetch (data.py:41)``."""
    if not rank.frames:
        return f"an unknown place ({rank.state})" if rank.state else "an unknown place"
    shown = [each for each in rank.frames[:NAMED] if each.function != "<module>"] or rank.frames[:1]
    own = next((each for each in rank.frames[NAMED:] if _is_own(each)), None)
    return " < ".join(map(_place, [*shown, *([own] if own and not any(map(_is_own, shown)) else [])]))


def _is_own(frame: Frame) -> bool:
    """Whether a frame may be the program's: libraries' files have names that everybody knows."""
    return frame.line > 0 and frame.file not in _LIBRARY_FILES and not frame.file.startswith("<")


_LIBRARY_FILES = frozenset({
    "threading.py", "socket.py", "selectors.py", "connection.py", "popen_fork.py", "subprocess.py", "queue.py",
    "distributed_c10d.py", "c10d_logger.py", "synchronize.py", "runpy.py", "ssl.py", "asyncio.py", "base_events.py",
    "queues.py", "_tensor.py", "graph.py", "module.py", "dataloader.py", "logger.py",
})  # fmt: skip


def _place(frame: Frame) -> str:
    where = f" ({frame.file}:{frame.line})" if frame.line else f" ({frame.file})" if frame.file else ""
    return f"{frame.function}{where}"


def compare(ranks: Sequence[Rank]) -> Picture:
    """Find which process stands elsewhere: outside the collective that others wait in, else apart from most."""
    if len(ranks) < 2:
        return Picture((), f"it is in {stands(ranks[0])}" if ranks else "no process was found")
    waiting = [each for each in ranks if in_collective(each)]
    outside = [each for each in ranks if not in_collective(each)]
    if waiting and outside and len(outside) <= len(waiting):
        return Picture(tuple(outside), _say(outside, waiting))
    groups = _grouped(ranks)
    most = groups[0]
    if len(most) == len(ranks):
        return Picture((), f"all {len(ranks)} processes are in {stands(most[0])}")
    if 2 * len(most) > len(ranks):
        odd = [each for each in ranks if each not in most]
        return Picture(tuple(odd), _say(odd, most))
    each = "; ".join(f"{counted(len(group), 'process', 'processes')} in {stands(group[0])}" for group in groups[:NAMED])
    return Picture((), f"the processes are in {len(groups)} places: {each}")


def _say(odd: Sequence[Rank], others: Sequence[Rank]) -> str:
    places = [f"{name_of(each)} is in {stands(each)}" for each in odd[:NAMED]]
    more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
    rest = counted(len(others), "other")
    return f"{'; '.join(places)}{more}; {rest} {'waits' if len(others) == 1 else 'wait'} in {stands(others[0])}"


def name_of(rank: Rank) -> str:
    """``rank 3 on n2``, or ``process 812`` where it has no rank."""
    who = f"rank {rank.rank}" if rank.rank else f"process {rank.pid}"
    return f"{who} on {rank.node}" if rank.node else who


def _grouped(ranks: Iterable[Rank]) -> list[list[Rank]]:
    """Processes whose functions are the same, the largest group first; lines differ within one loop."""
    groups: dict[tuple[tuple[str, str], ...], list[Rank]] = {}
    for each in ranks:
        groups.setdefault(tuple((frame.function, frame.file) for frame in each.frames), []).append(each)
    return sorted(groups.values(), key=len, reverse=True)


def render(ranks: Sequence[Rank]) -> Iterator[str]:
    """All stacks as text, a block for each process; those that are alike are said once."""
    for group in _grouped(ranks):
        first = group[0]
        told = ", ".join(filter(None, (first.source, first.state)))
        yield f"{few([name_of(each) for each in group], 16)} ({told}):"
        yield from (f"  {_place(frame)}" for frame in first.frames)
        if not first.frames:
            yield "  unknown place"
        yield ""
