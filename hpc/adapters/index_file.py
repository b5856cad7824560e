"""``index.json`` of a submission, so laid out that one element of a hundred thousand is found without the others.

It is plain JSON, its last member ``entries`` with a line an entry, each as long as the longest (spaces fill it up).
``entries_at`` says where the first one begins, how long each is, how many there are, and how large the file is. A file
of another size was edited; one without that member is of an earlier version, or has entries of very different length:
such are read whole.

Standard library only: the wrapper on the compute node reads it.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import json_text, open_regular, read_json, write_text

_HEAD_BYTES = 1 << 16
_MOST_FILLED = 2
"""So many times as large as without spaces an index may become."""
_AT = re.compile(rb'\{\s*"entries_at": \{"first": *(\d+), "bytes": *(\d+), "count": *(\d+), "size": *(\d+)\}')
_END = "\n ]\n}\n"


def write_index(path: Path, content: Mapping[str, Any]) -> None:
    """Write an index as a whole; `content` is that of `hpc.core.records.index.SubmissionIndex`."""
    write_text(path, _render(content))


def _render(content: Mapping[str, Any]) -> str:
    """Lay an index out; numbers of ``entries_at`` have a fixed width, so that they do not move what they say."""
    entries = [json.dumps(entry, allow_nan=False) for entry in content["entries"]]  # ASCII: a character is a byte
    longest = max(map(len, entries), default=0)
    if longest * len(entries) > _MOST_FILLED * (sum(map(len, entries)) + _HEAD_BYTES):
        return json_text(content)
    lines = ",\n".join(entry.ljust(longest) for entry in entries)
    members = (
        f" {json.dumps(name)}: {_shown(value)},\n"
        for name, value in content.items()
        if name not in ("entries", "entries_at")
    )
    rest = "".join(members) + ' "entries": [\n'
    row = longest + len(",\n")

    def head(first: int, size: int) -> str:
        at = f'"first":{first:>12}, "bytes":{row:>8}, "count":{len(entries):>8}, "size":{size:>14}'
        return f'{{\n "entries_at": {{{at}}},\n{rest}'

    first = len(head(0, 0).encode())
    return head(first, first + len(lines) + len(_END)) + lines + _END


def _shown(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False).replace("\n", "\n ")


def read_elements(path: Path, position: int) -> tuple[Any, int]:
    """Read an index with the entries of one array index alone.

    Returns:
        Its content, and how many array indices there are. Where it is no index the content is what there is, and 0.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is not JSON, or cannot be read.
    """
    return _seek(path, position) or _cut(read_json(path), position)


def place_of_entries(head: bytes, size: int) -> tuple[int, int, int] | None:
    """Say where the entries of an index stand; None where the file does not say it, or was edited.

    Args:
        head: How the file begins.
        size: How large it is.

    Returns:
        The byte at which the first one begins, the length of each line, and how many there are.
    """
    at = _AT.match(head)
    if at is None:
        return None
    first, row, count, told = map(int, at.groups())
    return (first, row, count) if told == size else None


def _seek(path: Path, position: int) -> tuple[Any, int] | None:
    """Read the head and one element's lines; None where the file does not say where they are, or was edited."""
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
        place = place_of_entries(head, os.fstat(file.fileno()).st_size)
        if place is None:
            return None
        first, row, count = place
        head += file.read(max(0, first - len(head)))
        try:
            content = json.loads(head[:first] + b"]}")
            tasks = tasks_of(content)
            file.seek(first + position * tasks * row)
            wanted = max(0, min(tasks, count - position * tasks))
            content["entries"] = json.loads(b"[" + file.read(wanted * row)[: wanted * row - 2] + b"]") if wanted else []
        except ValueError:  # edited, and as large as before
            return None
    return content, -(-count // tasks)


def _cut(content: Any, position: int) -> tuple[Any, int]:
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        return content, 0
    tasks = tasks_of(content)
    own = entries[position * tasks : (position + 1) * tasks]
    return {**content, "entries": own}, -(-len(entries) // tasks)


def tasks_of(content: Mapping[str, Any]) -> int:
    """How many tasks share an array index."""
    pack = content.get("pack")
    tasks = pack.get("tasks") if isinstance(pack, dict) else 1
    return tasks if isinstance(tasks, int) and tasks > 0 else 1
