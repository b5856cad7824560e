"""``ledger.jsonl``: read for the report, and appended to by whoever collects. One write a round, under a lock."""

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from hpc.adapters.files import MOST_JSON_BYTES, read_regular
from hpc.adapters.ledger import append_json_lines
from hpc.adapters.locks import lock
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout
from hpc.core.question.ledger import Ledger, link, read_chain

Line = Mapping[str, Any]
_TASK = re.compile(rb'"task_id": ?"([0-9a-f]{12})"[^\n]*\}\Z')
"""In a line as we write them."""


def read_ledger(layout: RunLayout) -> Ledger:
    """Read and check it; what cannot be read is a problem of it, and no error."""
    try:
        return read_chain(list(_objects(read_regular(layout.ledger, MOST_JSON_BYTES))))
    except FileNotFoundError:
        return Ledger()
    except (InputError, OSError) as error:
        return Ledger(problems=(f"it cannot be read: {error}",))


def append_results(
    layout: RunLayout,
    choose: Callable[[Mapping[str, Line]], Iterable[Line]],
    told_last: Callable[[], str] = str,
    wanted: Container[str] | None = None,
) -> str:
    """Add lines; return the hash of the last one, empty where there is none.

    Args:
        choose: Gets the newest line of each task, gives the lines to add.
        told_last: Gives the hash of the newest line when results were written; empty where nobody says.
        wanted: The tasks that `choose` asks for: lines of others are not parsed. None: all of them.

    Raises:
        InputError: It cannot be read.
        OSError: It cannot be written.
        TemporaryError: Somebody else was at it for a minute.
    """
    with lock(layout.home / ".ledger.lock"):
        try:
            content = read_regular(layout.ledger, MOST_JSON_BYTES)
        except FileNotFoundError:
            content = b""
        newest: dict[str, bytes] = {}
        last, told, is_there = "", told_last(), False
        lines = content.split(b"\n")
        for raw, line in _objects_in(lines if wanted is None else _chosen(lines, wanted, told)):
            if isinstance(line, dict):
                newest[str(line.get("task_id"))] = raw
                last = str(line.get("sha256") or "")
                is_there |= last == told
        # Chained to what is gone, so that its loss shows: the file was removed, or its end.
        added = link(choose(_Newest(newest)), told if told and not is_there else last)
        if first := next(added, None):
            written = _Told(chain([first], added))
            append_json_lines(layout.ledger, written)
            last = written.last
        return last


class _Newest(Mapping[str, Line]):
    """The newest line of each task, parsed when somebody asks for it: parsed ones take four times as much."""

    def __init__(self, lines: Mapping[str, bytes]) -> None:
        self._lines = lines

    def __getitem__(self, task_id: str) -> Line:
        found: Line = json.loads(self._lines[task_id])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


class _Told:
    """Lines that are added, one after the other.

    Attributes:
        last: Hash of the newest that was asked for.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines, self.last = lines, ""

    def __iter__(self) -> Iterator[Line]:
        for line in self._lines:
            self.last = str(line["sha256"])
            yield line


def _chosen(lines: Sequence[bytes], wanted: Container[str], told: str) -> list[bytes]:
    """The lines that say something of these tasks, those with this hash, and the last; all that are cut or edited."""
    last = next((place for place in reversed(range(len(lines))) if _TASK.search(lines[place])), 0)
    chosen = [line for line in lines[:last] if _is_chosen(line, wanted, told.encode())]
    return [*chosen, *lines[last:]]


def _is_chosen(line: bytes, wanted: Container[str], told: bytes) -> bool:
    found = _TASK.search(line)
    return found is None or found[1].decode() in wanted or (bool(told) and told in line)


def _objects(content: bytes) -> Iterable[tuple[int, Any]]:
    """What stands in each line; a line that somebody died over holds nothing."""
    lines = enumerate(content.split(b"\n"), start=1)
    return ((number, found) for number, line in lines for _, found in _objects_in([line]))


def _objects_in(lines: Iterable[bytes]) -> Iterator[tuple[bytes, Any]]:
    """Each line that holds something, and what it holds."""
    for line in lines:
        try:
            if line.strip():
                yield line, json.loads(line)
        except (ValueError, RecursionError):
            continue
