"""``ledger.jsonl``: read for the report, and appended to by whoever collects. One write a round, under a lock."""

import json
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
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
    choose: Callable[[Mapping[str, Line]], Sequence[Line]],
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
        newest: dict[str, Line] = {}
        last, told, is_there = "", told_last(), False
        for _, line in _objects(content if wanted is None else _chosen(content, wanted, told)):
            if isinstance(line, dict):
                newest[str(line.get("task_id"))] = line
                last = str(line.get("sha256") or "")
                is_there |= last == told
        # Chained to what is gone, so that its loss shows: the file was removed, or its end.
        added = link(choose(newest), told if told and not is_there else last)
        if added:
            append_json_lines(layout.ledger, added)
        return str(added[-1]["sha256"]) if added else last


def _chosen(content: bytes, wanted: Container[str], told: str) -> bytes:
    """The lines that say something of these tasks, those with this hash, and the last; all that are cut or edited."""
    lines = content.split(b"\n")
    last = next((place for place in reversed(range(len(lines))) if _TASK.search(lines[place])), 0)
    chosen = [line for line in lines[:last] if _is_chosen(line, wanted, told.encode())]
    return b"\n".join((*chosen, *lines[last:]))


def _is_chosen(line: bytes, wanted: Container[str], told: bytes) -> bool:
    found = _TASK.search(line)
    return found is None or found[1].decode() in wanted or (bool(told) and told in line)


def _objects(content: bytes) -> Iterable[tuple[int, Any]]:
    """What stands in each line; a line that somebody died over holds nothing."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            if line.strip():
                yield number, json.loads(line)
        except (ValueError, RecursionError):
            continue
