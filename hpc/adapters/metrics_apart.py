"""Metrics files read in a process of their own: HDF5 can crash on a damaged file, loop in it, or fill the memory.

One process serves any number of reads. Where it ends, or does not answer in time, that one file is named, and the next
read starts another. It answers with one line of JSON and the arrays behind it.
"""

import atexit
import contextlib
import json
import math
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from hpc.adapters.metrics_alike import ALIKE
from hpc.adapters.metrics_read import MOST_ROWS, RECORD, Contents, Series
from hpc.core.errors import InputError

MOST_SECONDS = 120.0
"""For one file; 40 million rows from a disk take 3."""
MOST_MEMORY_BYTES = 8 << 30
_MOST_LINE_BYTES = 64 << 20


def start_reader() -> "subprocess.Popen[bytes]":
    """Start a process that serves, with pipes to and from it."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from hpc.adapters.metrics_apart import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class MetricsProcess:
    """A process that reads metrics files."""

    def __init__(self) -> None:
        self._process = start_reader()
        self._requests = cast("BinaryIO", self._process.stdin)
        self._answers = cast("BinaryIO", self._process.stdout)
        self.is_over = self._is_late = False
        self._killed_at = math.inf
        self._done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def read(self, path: Path, first: Sequence[str]) -> Contents:
        """Read one file. Raises as `read_contents`."""
        self._killed_at = time.monotonic() + MOST_SECONDS
        try:
            return self._ask(path, first)
        except (OSError, ValueError, LookupError, TypeError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise InputError(f"is damaged: {self._end_as_words()}", str(path)) from None
        finally:
            self._killed_at = math.inf

    def _watch(self) -> None:
        """End the process where it does not answer in time. One thread for all reads: one each would cost a tenth."""
        while not self._done.wait(min(MOST_SECONDS, 1.0)):
            if time.monotonic() > self._killed_at:
                self._is_late = True
                self._process.kill()

    def end(self) -> None:
        """End the process, which holds nothing."""
        self.is_over = True
        self._done.set()
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()

    def _ask(self, path: Path, first: Sequence[str]) -> Contents:
        requests, answers = self._requests, self._answers
        requests.write(json.dumps([str(path), list(first)]).encode() + b"\n")
        requests.flush()
        answer = json.loads(answers.readline(_MOST_LINE_BYTES))
        if "absent" in answer:
            raise FileNotFoundError(answer["absent"])
        if "problem" in answer:
            raise InputError(answer["problem"])
        if sum(rows for _, rows in answer["series"]) > 2 * MOST_ROWS:
            raise ValueError("more rows than were asked for")
        series = {name: Series(*(_column(answers, rows, kind) for kind in _KINDS)) for name, rows in answer["series"]}
        return Contents(series, answer["summary"], answer["complete"], answer["attributes"], tuple(answer["problems"]))

    def _end_as_words(self) -> str:
        self.end()
        code = self._process.returncode
        if self._is_late:
            return f"HDF5 did not finish reading it within {MOST_SECONDS:g} s"
        return f"HDF5 crashed reading it ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


_KINDS = tuple(RECORD[field] for field in Series._fields)
_current: list[MetricsProcess] = []
_is_here: list[bool] = []


class UnsoundFileError(Exception):
    """A file that is to be read by a process apart: something is wrong with it."""


def read_here() -> None:
    """Let this process read files itself from here on: it may die over one, and somebody sees to it.

    `read_apart` then raises `UnsoundFileError` for all that is no sound file.
    """
    _is_here.append(True)


def _read_here(path: Path, first: Sequence[str]) -> Contents:
    try:
        return ALIKE.read(path, first)
    except FileNotFoundError:
        raise
    except (InputError, OSError) as error:
        raise UnsoundFileError(str(path)) from error


def read_apart(path: Path, first: Sequence[str] = ()) -> Contents:
    """Read a metrics file whatever is in it, at no risk for this process. Takes and raises as `read_contents`."""
    if _is_here:
        return _read_here(path, first)
    if not _current or _current[0].is_over:
        _current[:] = [MetricsProcess()]
        atexit.register(_current[0].end)
    return _current[0].read(path, first)


def _column(answers: BinaryIO, rows: int, kind: np.dtype[Any]) -> NDArray[Any]:
    content = answers.read(rows * kind.itemsize)
    if len(content) < rows * kind.itemsize:
        raise ValueError("the answer was cut")
    return np.frombuffer(content, kind)


def serve() -> None:
    """Answer requests until the other side is gone."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    for request in requests:
        path, first = json.loads(request)
        _answer(answers, Path(path), first)
        answers.flush()


def _answer(answers: BinaryIO, path: Path, first: Sequence[str]) -> None:
    try:
        contents = ALIKE.read(path, first)
    except FileNotFoundError as error:
        answers.write(json.dumps({"absent": str(error)}).encode() + b"\n")
        return
    except (InputError, OSError) as error:
        answers.write(json.dumps({"problem": str(error)}).encode() + b"\n")
        return
    rows = [(name, len(series.step)) for name, series in contents.series.items()]
    answers.write(json.dumps({**contents._asdict(), "series": rows}).encode() + b"\n")
    for series in contents.series.values():
        answers.writelines(np.asarray(column).tobytes() for column in series)
