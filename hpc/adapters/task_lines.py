"""Which tasks a manifest or an index names, without parsing what else it says of each.

Both are written with a line a task that begins with its id and the name of its run; a hundred thousand of them are told
apart in a twentieth of the time that it takes to parse them. A file that is laid out otherwise (a short list, one that
was edited) has no such lines, and is read whole by whoever asked.
"""

import json
import re
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, overload

from hpc.adapters.files import MOST_JSON_BYTES, read_regular
from hpc.adapters.index_file import place_of_entries
from hpc.core.immutable import immutable
from hpc.core.records.index import Element

_TASK = re.compile(r' *\{"task_id": "([0-9a-f]{12})", "run_name": "([^"\\]+)", ')
_AT_ONCE = 256
_BEGIN, _BETWEEN, _END = '\n "tasks": [\n  ', ",\n  ", "\n ]"


@immutable
class TaskLines:
    """The tasks of a file, each as it stands there.

    Attributes:
        rest: Everything else in the file; its list of tasks is empty.
        ids: Task by task.
        run_names: Likewise.
        lines: Likewise; JSON.
        digest: SHA-256 of the file.
    """

    rest: Mapping[str, Any]
    ids: Sequence[str]
    run_names: Sequence[str]
    lines: Sequence[str]
    digest: str

    def read(self, wanted: Container[str]) -> list[dict[str, Any]]:
        """Parse the tasks with these ids.

        Raises:
            ValueError: A line was edited.
        """
        lines = [line for own, line in zip(self.ids, self.lines, strict=True) if own in wanted]
        found: list[dict[str, Any]] = json.loads(f"[{','.join(lines)}]")
        if len(found) != len(lines):
            raise ValueError("a line holds more than one task")
        return found

    def read_all(self) -> Iterator[dict[str, Any]]:
        """Parse one task after the other, a few at a time: these have the names of their members in common.

        Raises:
            ValueError: A line was edited.
        """
        for first in range(0, len(self.lines), _AT_ONCE):
            yield from json.loads(f"[{','.join(self.lines[first : first + _AT_ONCE])}]")


class LazyEntries(Sequence[Element]):
    """The entries of an index, each parsed when somebody asks for it; their places stay."""

    def __init__(self, lines: TaskLines, attempt: int | None = None) -> None:
        """Take the file's content.

        Args:
            attempt: What every entry authorises; None where they differ, or nobody knows.
        """
        self._lines, self._attempt = lines, attempt

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lines.ids)

    @overload
    def __getitem__(self, place: int) -> Element: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Element, ...]: ...
    def __getitem__(self, place: int | slice) -> Element | tuple[Element, ...]:
        """As of the whole index."""
        lines = self._lines.lines[place]
        if isinstance(lines, str):
            return Element.from_json(json.loads(lines))
        return tuple(Element.from_json(json.loads(line)) for line in lines)

    def attempt(self, place: int) -> int:
        """Number of the attempt that an entry authorises."""
        if self._attempt is not None:
            return self._attempt
        return int(json.loads(self._lines.lines[place])["attempt"])

    def named(self) -> Iterator[tuple[str, str]]:
        """Id and name of the run, entry by entry."""
        return zip(self._lines.ids, self._lines.run_names, strict=True)


class LazyManifest(Mapping[str, Any]):
    """A manifest whose tasks are parsed when somebody asks for them."""

    def __init__(self, lines: TaskLines) -> None:
        """Take the file's content."""
        # Nearly nobody asks, and it is much the same again and again: packed, it takes a tenth.
        self._tasks, self._content = zlib.compress(f"[{','.join(lines.lines)}]".encode(), 1), dict(lines.rest)
        self._is_whole = False

    def __getitem__(self, name: str) -> Any:
        """As of the whole manifest."""
        if name == "tasks" and not self._is_whole:
            self._content["tasks"] = json.loads(zlib.decompress(self._tasks))
            self._is_whole = True
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        """The names of all members."""
        return iter(self._content)

    def __len__(self) -> int:
        """How many members there are."""
        return len(self._content)


def manifest_lines(path: Path) -> TaskLines | None:
    """Read a manifest; None for one whose tasks do not stand on lines. That nobody edited it is not checked.

    Raises:
        FileNotFoundError: There is none.
        InputError: It cannot be read.
        OSError: The file system has an error.
    """
    raw = read_regular(path, MOST_JSON_BYTES)
    text = raw.decode("utf-8", "replace")
    begin = text.find(_BEGIN)
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        return None
    lines = text[begin + len(_BEGIN) : end].split(_BETWEEN)
    return _told(text[:begin] + '\n "tasks": [' + text[end + 2 :], lines, raw)


def index_lines(path: Path) -> TaskLines | None:
    """Read an index, as `manifest_lines`; what its entries are called there is ``entries``.

    Raises:
        FileNotFoundError: There is none.
        InputError: It cannot be read.
        OSError: The file system has an error.
    """
    raw = read_regular(path, MOST_JSON_BYTES)
    first, row, count = place_of_entries(raw, len(raw)) or (0, 0, 0)
    if not count or not raw.isascii():  # else a character is not a byte
        return None
    text = raw.decode("ascii")
    lines = [text[start : start + row - 2] for start in range(first, first + count * row, row)]
    return _told(text[:first] + "]}", lines, raw)


def _told(rest: str, lines: Sequence[str], raw: bytes) -> TaskLines | None:
    found = list(map(_TASK.match, lines))
    try:
        content = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    tasks = [each.groups() for each in found if each]
    if len(tasks) < len(lines):
        return None
    digest = sha256(raw).hexdigest()
    return TaskLines(content, [own for own, _ in tasks], [name for _, name in tasks], lines, digest)
