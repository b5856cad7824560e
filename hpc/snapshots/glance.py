"""Whether what is remembered of a run is as it lies on disk, told by comparing bytes: nothing is parsed.

A look at a thousand finished runs that were collected asks the stamps of three files of each, and compares them with
the line that is kept of it as they would stand in there. What does not match letter by letter is looked at as always.
"""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from hpc.core.records.submitted import LOCAL

_STAMP = b"[%d,%d,%d,%d]"
_NUMBER = rb"-?[0-9.]+(?:e[-+][0-9]+)?"
_RESULT = re.compile(
    rb'\{"task_id":"[0-9a-f]{12}","run_name":"[^"\\]*","outcome":"finished"(?:,"altered":false)?(?:,"kept":(?:""|null))?,'
    rb'"summary":(\{[^{}]*\}),"attempts":\[\{"attempt":([0-9]+),"started":(%b),"ended":(%b),'
    rb'"manifest_sha":"[0-9a-f]*","verdict":\{"category":"success","evidence":\[\]\}\}\]\}' % (_NUMBER, _NUMBER)
)


class Result(NamedTuple):
    """What a collection says of a run that is finished, not altered and all there, by one attempt, and not checked.

    Attributes:
        summary: Its final values; JSON.
        number: Of its attempt.
        started, ended: Of its attempt, Unix time.
    """

    summary: bytes
    number: int
    started: float
    ended: float


def result_in(entry: bytes) -> Result | None:
    """Read a task in short (`hpc.snapshots.remembered.in_short`), as JSON; None where it is anything else."""
    found = _RESULT.fullmatch(entry)
    if found is None:
        return None
    summary, number, started, ended = found.groups()
    return Result(summary, int(number), float(started), float(ended))


def are_as_told(told: bytes, home: str, number: int, task_id: str, schedulers: Sequence[str]) -> bool:
    """Whether a run still has this one attempt, of this task, and its records are those that were read.

    Args:
        told: What is remembered of the run; JSON.
        home: Its folder.
        schedulers: Of each origin of records.
    """
    attempt = f"{home}/attempt-{number}"
    try:
        stamps = (_stamp(home), number, number, _stamp(f"{attempt}/task.json"), _stamp(f"{attempt}/exit.json"))
        begin = b"[%b,[%d],[[%d,[%b,%b," % stamps
        if not told.startswith(begin):
            return False
        kept, rest = b"null", told[len(begin) :]
        if not rest.startswith(b"null],"):  # this machine's own queue keeps nothing there
            kept = _stamp(f"{attempt}/scheduler.json")
    except OSError:
        return False
    origin = rest[len(kept) + 2 :].partition(b",")[0]
    is_of_task = rest.startswith(b'%b],%b,["%b",' % (kept, origin, task_id.encode())) and origin.isdigit()
    return is_of_task and (schedulers[int(origin)] == LOCAL) == (kept == b"null")


def _stamp(path: str) -> bytes:
    found = os.stat(path)  # noqa: PTH116  ten thousand at a time
    return _STAMP % (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
