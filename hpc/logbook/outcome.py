"""What came of a run: from arguments, from a metrics file of ours, from the end of a log."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc.adapters.files import open_regular
from hpc.core.errors import InputError
from hpc.core.history.metrics import kind_of, read_ending
from hpc.core.printable import one_line, printable

TAIL_BYTES = 4 << 20
"""So much of a log's end is read."""
MOST_LINE = 4096


@dataclass
class Outcome:
    """What is known of a run's end.

    Attributes:
        results: Metric → final value, finite.
        lost: Metrics that are no number at the end.
        step: Where it diverged; None where that is not said.
        notes: What was not taken and why, one sentence each.
    """

    results: dict[str, float] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    step: int | None = None
    notes: list[str] = field(default_factory=list)

    def take(self, values: Mapping[str, float]) -> None:
        """Add results; what is no number means that the run diverged."""
        for name, value in values.items():
            self.results.pop(name, None)
            if math.isfinite(value):
                self.results[name] = value
            else:
                self.lost.append(name)


def read_outcome(pairs: Sequence[str], log: str | None, metrics: str | None) -> Outcome:
    """Gather results; arguments go before the metrics file, that before the log.

    Raises:
        InputError: An argument is no ``name=number``, or a file holds no result or cannot be read.
    """
    found = Outcome()
    if log is not None:
        _from_log(found, Path(log))
    if metrics is not None:
        _from_metrics(found, Path(metrics))
    found.take(dict(map(_pair, pairs)))
    return found


def _pair(text: str) -> tuple[str, float]:
    name, given, value = text.partition("=")
    try:
        number = float(value.replace("_", "x"))
    except ValueError:
        number = None
    if not given or not name.strip() or number is None or one_line(name) != name:
        raise InputError(f"{one_line(text)!r} is not a result; write NAME=NUMBER, for example loss=3.1 score=0.42")
    return name.strip(), number


def _from_log(found: Outcome, path: Path) -> None:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        raise InputError(f"there is no log {path}") from None
    lines = (printable(line[:MOST_LINE]) for line in text.replace("\r", "\n").split("\n"))
    ending = read_ending(lines)
    if not ending.results and not ending.lost:
        raise InputError(
            "holds no 'name: value' or 'name=value' of a loss, score or cost in its last lines; give results as "
            "arguments: loss=3.1 score=0.42",
            str(path),
        )
    found.results |= ending.results
    found.lost += ending.lost
    found.step = ending.lost_step


def _from_metrics(found: Outcome, path: Path) -> None:
    from hpc.adapters.metrics_read import read_contents

    try:
        contents = read_contents(path)
    except FileNotFoundError:
        raise InputError(f"there is no metrics file {path}") from None
    last = {name: float(series.value[-1]) for name, series in contents.series.items() if len(series.value)}
    chosen = {name: value for name, value in last.items() if kind_of(name)} | contents.summary
    if not chosen:
        raise InputError("holds no final value, and no series of a loss, score or cost", str(path))
    found.take(chosen)
    found.notes += [f"{path}: {problem}" for problem in contents.problems]
    if not contents.complete:
        found.notes.append(f"{path}: the run has not closed it: these are the latest values")
