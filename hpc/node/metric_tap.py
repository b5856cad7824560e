"""Metrics of a program that knows nothing of us, taken from its stdout while it runs, or from files at its end.
Standard library at import.

`hpc.run_task` feeds it what the program prints; it writes the attempt's ``metrics.h5`` (``metrics.jsonl`` where h5py is
missing). It lives beside the commands, not among the adapters, because it joins a rule with a file format.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hpc.adapters.metrics_jsonl import JournalWriter, attributes_from_environment
from hpc.core.errors import InputError
from hpc.core.experiment.metric_source import MetricSource, Reading, match_line
from hpc.node.metric_files import find_files, read_files

FLUSH_INTERVAL_S = 2.0
MAX_LINE_BYTES = 65536
"""More than this without a line end is no line of metrics; it is dropped up to the next one."""


class _Writer(Protocol):
    def log(self, step: int, metrics: Mapping[str, float], /) -> None: ...
    def summary(self, scalars: Mapping[str, float], /) -> None: ...
    def close(self, *, complete: bool) -> None: ...


@dataclass
class Unread:
    """Values the program printed as metrics and that could not be read as such.

    Attributes:
        count: How many.
        example: What was wrong with the first; empty when there is none.
    """

    count: int = 0
    example: str = ""

    def add(self, reason: str) -> None:
        """Count one."""
        self.count += 1
        self.example = self.example or reason[:200]


class MetricTap:
    """Turns a byte stream into metrics, line by line; ``\\r`` of progress bars ends a line as well."""

    def __init__(
        self,
        source: MetricSource,
        metrics_path: Path,
        attributes: Mapping[str, str | float] | None = None,
        *,
        places: Sequence[Path] = (),
        code: Path | None = None,
        since: float = 0.0,
    ) -> None:
        """Open the metrics file.

        Args:
            source: What to look for.
            metrics_path: The attempt's ``metrics.h5``.
            attributes: Root attributes instead of those from this process's ``HPC_…`` environment.
            places: Folders that the path of a file source is relative to.
            code: The frozen code, whose files the program did not write.
            since: When the program was started; older files are not its own.

        Raises:
            TemporaryError: Another process writes this file.
            InputError: There is a file, and it is no metrics file.
            OSError: The file cannot be made, or its folder is not there.
        """
        self._source = source
        self._writer = _open_writer(metrics_path, dict(attributes or {}))
        self._places, self._code, self._since = places, code, since
        self._rest = b""
        self._overlong = False
        self._counted = 0
        self._last: dict[str, float] = {}
        self._complained: set[str] = set()
        self.last_step: int | None = None
        """Highest step so far."""
        self.unread = Unread()
        """What could not be read so far."""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of output, cut anywhere. Never raises for what the program printed."""
        *lines, rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._take(line)
        self._overlong = self._overlong or len(rest) > MAX_LINE_BYTES
        self._rest = b"" if self._overlong else rest

    @property
    def has_matched(self) -> bool:
        """Whether any number was found so far."""
        return bool(self._last)

    def close(self, finished: bool) -> dict[str, float]:
        """Write the last match of each metric as the summary; complete when finished and something matched.

        Returns:
            The summary.

        Raises:
            OSError: Not everything could be written.
        """
        self._take(self._rest)
        self._rest = b""
        if self._source.is_file:
            self._take_files()
        if finished and not self._last:
            what = f"file {self._source.path}" if self._source.is_file else "line of the program's output"
            found = "no number" if self.unread.count else f"no {what}"
            _say(f"{found} matched metrics.source; the metrics stay incomplete")
        self._writer.summary(self._last)
        self._writer.close(complete=finished and bool(self._last))
        return dict(self._last)

    def _take_files(self) -> None:
        """Read what the program left in files; one that cannot be read is said, and the others are."""
        for path in find_files(self._source, self._places, self._code, self._since):
            try:
                for reading in read_files(self._source, [path]):
                    self._record(reading)
            except OSError as error:
                self.unread.add(str(error))
                self._complain(str(error))

    def _take(self, line: bytes) -> None:
        if self._overlong:  # this is the end of a line whose beginning was dropped
            self._overlong = False
            return
        reading = match_line(self._source, line.decode("utf-8", errors="replace")) if line else None
        if reading is not None:
            self._record(reading)

    def _record(self, reading: Reading) -> None:
        for reason in reading.ignored:
            self.unread.add(reason)
            self._complain(reason)
        if not reading.values:
            return
        self._counted += 1
        step = self._counted if reading.step is None else reading.step
        try:
            self._writer.log(step, reading.values)
        except (InputError, OSError) as error:
            self.unread.add(str(error))
            self._complain(str(error))
            return
        self._last.update(reading.values)
        self.last_step = max(step, self.last_step or step)

    def _complain(self, reason: str) -> None:
        """Say it once per metric, not once per line."""
        subject = reason.partition(":")[0]
        if subject not in self._complained and len(self._complained) < 20:
            self._complained.add(subject)
            _say(f"ignored {reason}")


def warm_up() -> None:
    """Load what a tap needs, before forks that each would load it. No threads of numpy's are left that a fork loses."""
    name = "OPENBLAS_NUM_THREADS"
    is_ours = name not in os.environ
    os.environ.setdefault(name, "1")
    with contextlib.suppress(ImportError):
        import hpc.adapters.metrics_h5
        import hpc.core.experiment.metric_source
        import hpc.metrics  # noqa: F401
    if is_ours:
        del os.environ[name]


def _open_writer(metrics_path: Path, attributes: dict[str, str | float]) -> _Writer:
    try:
        from hpc.metrics import MetricsWriter
    except ImportError:
        journal = metrics_path.with_suffix(".jsonl")
        return JournalWriter(journal, attributes_from_environment(os.environ) | attributes)
    return MetricsWriter(metrics_path, flush_interval_s=FLUSH_INTERVAL_S, parents=False, **attributes)


def _say(text: str) -> None:
    sys.stderr.write(f"metrics: {text}\n")
