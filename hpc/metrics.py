"""Metrics of a training run, from inside the program: ``from hpc.metrics import MetricsWriter``.

    with MetricsWriter() as metrics:                      # $HPC_ATTEMPT_DIR/metrics.h5, or ./metrics.h5 by hand
        for step, batch in enumerate(batches):
            metrics.log(step, loss=loss, lr=rate)         # a few µs; a thread writes every two seconds
            metrics.log(step, {"train/grad_norm": norm})  # names that are no Python identifiers
        metrics.summary(final_error=error)                # final values
                                                          # leaving without an exception makes the file complete

One process writes (rank 0); any number read, at any moment: `read`, `read_summary`, `read_attributes`, `is_complete`.
Steps are 64-bit integers, values and times 64-bit floats; times are Unix seconds. A series is three arrays of
one length.

The names in `__all__` are public and stay (docs/data-formats.md). Where they are defined is not.
"""

import atexit
import contextlib
import operator
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, SupportsIndex

from hpc.adapters import locks
from hpc.adapters.metrics_h5 import MetricsFile, pack_row
from hpc.adapters.metrics_jsonl import attributes_from_environment, write_summary
from hpc.adapters.metrics_read import (
    MOST_SERIES,
    Series,
    check_name,
    is_complete,
    read,
    read_attributes,
    read_summary,
)
from hpc.core.errors import InputError, TemporaryError

__all__ = ["MetricsWriter", "Series", "is_complete", "read", "read_attributes", "read_summary"]

BUFFER_LIMIT_BYTES = 64 << 20
"""How much is kept in memory while the disk is full (2.8 million values); beyond it the oldest rows are given up."""

_LOCK_WAIT_S = 5.0


class MetricsWriter:
    """Writes one attempt's metrics; readable by others at any moment, also after ``kill -9`` of this process.

    At most the last `flush_interval_s` seconds of rows are lost by a kill. A disk that is full does not stop the
    program: one warning, rows are kept in memory and written once there is room; only `close` raises.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        flush_interval_s: float = 2.0,
        parents: bool = True,
        **attributes: str | float,
    ) -> None:
        """Open the file, new or to be continued, and start the thread that writes it.

        Args:
            path: The file; ``$HPC_ATTEMPT_DIR/metrics.h5`` when not given, ``metrics.h5`` here when that is not set.
            flush_interval_s: Seconds between two writes.
            parents: Make the missing folders of a `path`. An attempt's own folder is never made: whoever removed it
                meant to.
            attributes: Root attributes beyond, or instead of, those taken from the ``HPC_…`` environment.

        Raises:
            TemporaryError: Another process writes this file.
            InputError: There is a file, and it is no metrics file.
            OSError: The file cannot be made.
        """
        if not flush_interval_s > 0:
            raise InputError(f"flush_interval_s is {flush_interval_s}; it must be a positive number of seconds")
        self.path = Path(path) if path is not None else default_path()
        self._owner = os.getpid()
        self._guard = threading.RLock()  # a signal handler may log while it interrupts `log`
        self._writing = threading.Lock()
        self._buffer: dict[str, bytearray] = {}
        self._pending: dict[str, bytearray] = {}
        self._summary: dict[str, float] = {}
        self._unwritten_summary: dict[str, float] = {}
        self._last_step: int | None = None
        self._failing = False
        self._given_up = 0
        self._held = contextlib.ExitStack()
        self._lock_file(parents and path is not None)
        try:
            self._file = MetricsFile(self.path, attributes_from_environment(os.environ) | attributes)
            self._series_names, self._summary_names = self._file.names()
        except BaseException:
            self._held.close()
            raise
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._flush_repeatedly, args=(flush_interval_s,), name="metrics", daemon=True
        )
        self._thread.start()
        atexit.register(self._at_exit)

    def log(
        self,
        step: SupportsIndex,
        metrics: Mapping[str, SupportsFloat] | None = None,
        /,
        **more: SupportsFloat,
    ) -> None:
        """Record values at a step. Nothing is written here: a thread does that.

        Args:
            step: An integer; it need not grow.
            metrics: Values by name, for names such as ``train/loss``.
            more: Values by name.

        Raises:
            InputError: A name or value that cannot be one, or the writer is closed or belongs to another process.
        """
        self._check_open()
        values = {**metrics, **more} if metrics else more
        number, now = _step(step), time.time()
        self._admit(self._series_names, values)
        rows = [(name, pack_row(number, _number(name, value), now)) for name, value in values.items()]
        with self._guard:
            self._last_step = number
            for name, row in rows:
                block = self._buffer.get(name)
                if block is None:
                    block = self._buffer[name] = bytearray()
                block += row

    def summary(self, scalars: Mapping[str, SupportsFloat] | None = None, /, **more: SupportsFloat) -> None:
        """Record final values; the last one of a name counts. Takes names as `log`, and raises as it does."""
        self._check_open()
        values = {name: _number(name, value) for name, value in {**(scalars or {}), **more}.items()}
        self._admit(self._summary_names, values)
        with self._guard:
            self._summary.update(values)
            self._unwritten_summary.update(values)

    def flush(self) -> None:
        """Write what was logged so far, now.

        Raises:
            OSError: It could not be written; it is kept and tried again.
        """
        with self._writing:
            with self._guard:
                taken, self._buffer = self._buffer, {}
                scalars, self._unwritten_summary = self._unwritten_summary, {}
            for name, block in taken.items():
                self._pending.setdefault(name, bytearray()).extend(block)
            try:
                if self._pending:
                    self._file.append(self._pending)
                if scalars:
                    self._file.set_summary(scalars)
            except OSError:
                with self._guard:
                    self._unwritten_summary = {**scalars, **self._unwritten_summary}
                self._bound_pending()
                raise

    def close(self, *, complete: bool = True) -> None:
        """Write the rest, mark the file complete, leave ``summary.json`` beside it. A second call does nothing.

        Raises:
            OSError: Not everything could be written; the file holds what could and stays incomplete.
        """
        if self._stop.is_set() or os.getpid() != self._owner:
            return
        self._stop.set()
        self._thread.join()
        atexit.unregister(self._at_exit)
        try:
            self.flush()
            complete = complete and not self._given_up
            self._file.finish(complete=complete)
            write_summary(self.path.parent, self._summary, self._last_step, complete=complete)
        finally:
            self._held.close()
            if self._given_up:
                _say(f"{self.path}: {self._given_up} values were lost while the disk was full; it stays incomplete")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close(complete=False)
        except OSError as failure:
            _say(f"{self.path}: not everything could be written: {failure}")

    def _admit(self, known: set[str], values: Mapping[str, Any]) -> None:
        """Refuse names that no reader would give back: a whole call at once, before anything of it is kept."""
        coming = [name for name in values if name not in known]
        for name in coming:
            check_name(name)
        with self._guard:
            if len(known) + len(coming) > MOST_SERIES:
                raise InputError(
                    f"{coming[-1]!r} would be metric number {len(known) + len(coming):,}; a file has at most "
                    f"{MOST_SERIES:,}. What varies, such as a sample's number, belongs in the step or the value"
                )
            known.update(coming)

    def _check_open(self) -> None:
        if os.getpid() != self._owner:
            raise InputError(f"this writer belongs to process {self._owner}; open another file in a forked process")
        if self._stop.is_set():
            raise InputError("this writer is closed")

    def _lock_file(self, parents: bool) -> None:
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            self._held.enter_context(locks.lock(lock, _LOCK_WAIT_S, parents=parents))
        except TemporaryError:
            raise TemporaryError(
                f"{self.path} is being written by another process. "
                "Only one process may write a file: log on rank 0 only, or give each process its own path"
            ) from None

    def _flush_repeatedly(self, interval_s: float) -> None:
        while not self._stop.wait(interval_s):
            self._try_flush()

    def _try_flush(self) -> None:
        """Flush; a failure is said once and does not stop the program."""
        try:
            self.flush()
        except OSError as error:
            if not self._failing:
                _say(f"{self.path}: cannot be written ({error}); values are kept in memory until it works")
            self._failing = True
            return
        if self._failing:
            _say(f"{self.path}: is written again")
        self._failing = False

    def _bound_pending(self) -> None:
        if sum(map(len, self._pending.values())) <= BUFFER_LIMIT_BYTES:
            return
        row = len(pack_row(0, 0.0, 0.0))
        for block in self._pending.values():
            half = len(block) // row // 2
            del block[: half * row]
            self._given_up += half

    def _at_exit(self) -> None:
        """The program ended without `close`: keep the rows, claim nothing."""
        if os.getpid() == self._owner:
            self._stop.set()
            self._thread.join()
            self._try_flush()


def default_path() -> Path:
    """Where metrics go when nothing is said: the attempt's folder, or here when a program is started by hand."""
    return Path(os.environ.get("HPC_ATTEMPT_DIR") or ".") / "metrics.h5"


def _step(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        raise InputError(f"step {step!r} is not an integer") from None
    if not -(2**63) <= number < 2**63:
        raise InputError(f"step {number} does not fit into 64 bits")
    return number


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        OverflowError,
    ) as error:  # RuntimeError: torch, for more than one value
        raise InputError(f"metric {name!r} needs one number, not {type(value).__name__} ({error})") from None


def _say(text: str) -> None:
    sys.stderr.write(f"metrics: {text}\n")
