"""What is kept of a task of a collection: one line, of which only what somebody asks for is parsed.

Of a hundred thousand finished runs a collection asks when they ended and what their primary metric is. As objects what
is kept of them fills a gigabyte; as lines, a twelfth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hpc.adapters.keyed_lines import KeyedLines
from hpc.core.failures.outcomes import Outcome

Entry = Mapping[str, Any]
FINISHED, FAILED, NOTHING = b"F", b"X", b"-"
_ID = 12
_EVIDENCE = 32
_FIELDS = 7
_NONE = b"null"


class Brief:
    """A line: task, evidence, kind, what else is kept, whether it is altered, its primary value, and the task in short.

    Attributes:
        line: Fields with tabs between them, ASCII; no line end.
    """

    __slots__ = ("_line",)

    def __init__(self, line: bytes) -> None:
        """Take a line as `brief_of` made it."""
        self._line = line

    @property
    def line(self) -> bytes:
        """All of it."""
        return self._line

    @property
    def key(self) -> bytes:
        """Id of the task."""
        return self.line[:_ID]

    @property
    def evidence(self) -> bytes:
        """What names the evidence on it; empty where it has to be judged anew."""
        return self.line[_ID + 1 : _ID + 1 + _EVIDENCE].partition(b"\t")[0]

    def _field(self, number: int) -> bytes:
        return self.line.split(b"\t", _FIELDS - 1)[number]

    @property
    def kind(self) -> bytes:
        """`FINISHED` or `FAILED` where something is kept of the verdicts on it, else `NOTHING`."""
        return self._field(2)

    @property
    def told(self) -> Any:
        """Of a finished run its last step, of a failed one what `hpc.rounds.settled_failures` keeps."""
        return json.loads(self._field(3))

    @property
    def altered(self) -> bool:
        """Whether what was run last is not what was asked."""
        return self._field(4) == b"1"

    @property
    def value(self) -> float | None:
        """Final value of the primary metric; None where it has none."""
        told = self._field(5)
        return None if told == _NONE else float(told)

    @property
    def last_step(self) -> int | None:
        """Of a finished run its last step; None where it logged none."""
        told = self._field(3)
        return None if told == _NONE else int(told)

    @property
    def told_entry(self) -> bytes:
        """The task of ``verdicts.json`` in short, as JSON."""
        return self._field(_FIELDS - 1)

    @property
    def entry(self) -> Entry:
        """The task of ``verdicts.json`` in short."""
        return LateEntry(self)

    def unsettled(self) -> Brief:
        """The same, to be judged anew by the next collection."""
        fields = self.line.split(b"\t", _FIELDS - 1)
        fields[1:4] = b"", NOTHING, _NONE
        return Brief(b"\t".join(fields))


class PutDown(Brief):
    """A line that lies in a spool."""

    __slots__ = ("lines", "number")

    def __init__(self, lines: KeyedLines, number: int) -> None:
        """Take the place of a line as `brief_of` made it."""
        self.lines, self.number = lines, number

    @property
    def line(self) -> bytes:
        """All of it."""
        return self.lines.line(self.number)


class LateEntry(Mapping[str, Any]):
    """A task in short that is parsed each time somebody looks at it: of most nobody does."""

    __slots__ = ("_brief",)

    def __init__(self, brief: Brief) -> None:
        """Take what is kept of the task."""
        self._brief = brief

    def whole(self) -> dict[str, Any]:
        """The task, parsed."""
        found: dict[str, Any] = json.loads(self._brief.line.split(b"\t", _FIELDS - 1)[-1])
        return found

    def __getitem__(self, name: str) -> Any:
        return self.whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())


def whole_of(entry: Entry) -> Entry:
    """A task in short, parsed once for many looks at it."""
    return entry.whole() if isinstance(entry, LateEntry) else entry


def brief_of(entry: Entry, primary: str, evidence: str = "", kind: bytes = NOTHING, told: object = None) -> Brief:
    """Make the line of a task.

    Args:
        entry: In short.
        primary: Name of the primary metric.
        evidence: As `Brief.evidence`.
        kind: As `Brief.kind`.
        told: As `Brief.told`.
    """
    whole = whole_of(entry)
    value = whole["summary"].get(primary)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fields = (
        whole["task_id"].encode(), evidence.encode(), kind, as_json(told), b"1" if whole.get("altered") else b"0",
        as_json(value if is_number else None), as_json(whole),
    )  # fmt: skip
    return Brief(b"\t".join(fields))


def is_finished(entry: Entry | None) -> bool:
    """Whether a task of a collection has its result."""
    return entry is not None and entry["outcome"] == Outcome.FINISHED


def as_json(value: object) -> bytes:
    """A value as compact JSON: ASCII, without tabs or line ends."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()
