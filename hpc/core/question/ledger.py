"""The ledger of results, ``ledger.jsonl``: what every run gave when it was collected, one line each, chained.

Each line carries the hash of the one before it, so none can be edited, removed or moved without trace. It is only ever
appended to: a run that is measured again adds a line, and both values stay. Rules only; nothing is read here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hpc.core.identity import content_hash
from hpc.core.records.record import Record, RecordError

RESULTS = ("divergence", "not_converged")
"""Failures that are a result: to run them anew is to choose what is reported."""

LAST_TIME = 253_402_300_799.0
"""The end of the year 9999."""


@dataclass(frozen=True)
class ResultLine(Record):
    """What one attempt gave, as it was collected.

    Attributes:
        time: When it was collected, Unix seconds.
        task_id: The task.
        run_name: Its name.
        attempt: The attempt, from 1.
        started: When that began, Unix seconds; null when nobody knows. With `attempt` it names an execution.
        outcome: ``finished`` or ``failed``.
        failure_class: Of a failed one; empty otherwise.
        values: Declared metric → final value; null where it was not finite.
        metrics_sha256: Digest of its ``metrics.h5``; empty where there is none, or it is too large to be read again.
        printed: The primary metric as it was printed last; null where numbers are not read from the output.
        previous: Hash of the line before; empty for the first.
        sha256: Hash of everything else here.
    """

    kind: ClassVar[str] = ""

    time: float
    task_id: str
    run_name: str
    attempt: int
    started: float | None
    outcome: str
    failure_class: str
    values: Mapping[str, Any]
    metrics_sha256: str = ""
    printed: Any = None
    previous: str = ""
    sha256: str = ""

    def problems(self) -> Iterator[str]:
        """A time that no calendar has, a value that is no number."""
        for name, value in (("time", self.time), ("started", self.started)):
            if value is not None and not 0 <= value <= LAST_TIME:
                yield f"{name}: {value} is no Unix time"
        # Not the numbers of a record, which end at 2 to the 63rd: a loss may be larger.
        for name, value in (*self.values.items(), ("printed", self.printed)):
            if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
                yield f"{name}: is not a number"

    @property
    def is_finished(self) -> bool:
        """Whether it gave values."""
        return self.outcome == "finished"

    @property
    def is_result(self) -> bool:
        """Whether somebody who saw it knew how the run came out."""
        return self.is_finished or self.failure_class in RESULTS

    @property
    def execution(self) -> tuple[int, float | None]:
        """Names the execution among those of its task."""
        return self.attempt, self.started


@dataclass(frozen=True)
class Ledger:
    """A ledger as it was read.

    Attributes:
        lines: Every line that matches its hash, oldest first.
        problems: What is wrong with the chain, or why it cannot be read.
    """

    lines: tuple[ResultLine, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """Hash of the newest line; empty where there is none."""
        return self.lines[-1].sha256 if self.lines else ""

    @property
    def by_task(self) -> dict[str, list[ResultLine]]:
        """Task id → its lines, oldest first."""
        found: dict[str, list[ResultLine]] = {}
        for line in self.lines:
            found.setdefault(line.task_id, []).append(line)
        return found


def link(lines: Iterable[Mapping[str, Any]], previous: str) -> Iterator[dict[str, Any]]:
    """Chain new lines to the hash of the last one."""
    for line in lines:
        body = {**line, "previous": previous}
        previous = content_hash(body)
        yield {**body, "sha256": previous}


def read_chain(numbered: Sequence[tuple[int, Any]]) -> Ledger:
    """Check a ledger.

    Args:
        numbered: Line number → what stands there, as JSON gave it; without lines that somebody died over.
    """
    lines, problems, previous = [], [], ""
    for number, found in numbered:
        try:
            line = ResultLine.from_json(found)
        except RecordError as error:
            problems.append(f"line {number} was not written by this toolkit: {error}")
            continue
        if _hash_of(found) != line.sha256:
            problems.append(f"line {number} ({line.run_name}) does not match its hash: it was edited")
        elif line.previous != previous:
            problems.append(
                f"line {number} ({line.run_name}) does not follow the line before it: lines are missing or moved"
            )
            lines.append(line)
        else:
            lines.append(line)
        previous = line.sha256
    return Ledger(tuple(lines), tuple(problems))


def _hash_of(found: Mapping[str, Any]) -> str:
    """The hash of a line as it stands there; empty where it holds what JSON cannot."""
    try:
        return content_hash({name: value for name, value in found.items() if name != "sha256"})
    except ValueError:
        return ""
