"""A program's stdout on its way to the log and the metric tap. Loaded only where it is read (the tap loads h5py)."""

import os
import re
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hpc.adapters.files import open_log, open_regular
from hpc.core.errors import HpcError
from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord

if TYPE_CHECKING:
    from hpc.node.metric_tap import MetricTap

FILE_TIMES_S = 2.0
"""Some file systems keep times to two seconds."""
_RANK_LOG = re.compile(r"stdout\.rank(\d+)\.log")


def _inside(task: TaskRecord, attempt: AttemptLayout) -> Path:
    """Where in its working copy the program is started; its top where it works elsewhere."""
    folder = Path(task.workdir)
    return folder.relative_to(attempt.work) if folder.is_relative_to(attempt.work) else Path()


class Pump:
    """Copies a program's stdout to its log and to the metric tap, on a thread of its own."""

    def __init__(self, pipe: IO[bytes], task: TaskRecord, attempt: AttemptLayout) -> None:
        from hpc.core.experiment.metric_source import parse_source
        from hpc.node.metric_tap import MetricTap

        kind, pattern = task.metrics_source
        told = task.environment
        attributes: dict[str, str | float] = {
            "experiment": task.experiment,
            "task_id": task.task_id,
            "run_name": task.run_name,
            "attempt": task.attempt,
            "manifest_sha": task.manifest_sha,
            "image_sha256": told["HPC_IMAGE_SHA256"],
            "git_commit": told["HPC_GIT_COMMIT"],
        }
        self._pipe, self._attempt = pipe, attempt
        self._is_several = task.nodes * task.processes > 1
        self._is_apart = task.stdout_is_read and self._is_several
        self._problem = ""
        self._log: IO[bytes] | None = None
        self._tap: MetricTap | None = None
        # The program runs by now: what cannot be kept is said, and does not end it.
        try:
            self._log = open_log(attempt.stdout)
            source, inner = parse_source((kind, pattern)), _inside(task, attempt)
            places, code = (attempt.work / inner, attempt.home, attempt.home.parent), Path(task.code.path) / inner
            since = attempt.stdout.stat().st_ctime - FILE_TIMES_S
            self._tap = MetricTap(source, attempt.metrics, attributes, places=places, code=code, since=since)
        except (HpcError, OSError) as error:
            self._give_up("output" if self._log is None else "metrics", error)
        self._thread = threading.Thread(target=self._copy, name="stdout", daemon=True)
        self._thread.start()

    def _copy(self) -> None:
        while chunk := os.read(self._pipe.fileno(), 65536):
            self._keep(chunk)
            if self._tap:
                self._tap.feed(chunk)

    def _keep(self, chunk: bytes) -> None:
        """Write to the log; on a full disk go on reading all the same, or the program would wait in its print."""
        try:
            while chunk and self._log:
                chunk = chunk[self._log.write(chunk) :]
        except OSError as error:
            if self._log:
                self._log.close()
            self._log = None
            self._give_up("output", error)

    def _give_up(self, what: str, error: Exception) -> None:
        self._problem = self._problem or str(error)
        print(f"hpc: the program's {what} is lost from now on: {error}", flush=True)

    def last_step(self) -> int | None:
        """Highest step that was printed so far; None before the first."""
        return self._tap.last_step if self._tap else None

    @property
    def unread(self) -> tuple[int, str]:
        """How many printed values could not be read as metrics, and what was wrong with the first."""
        return (self._tap.unread.count, self._tap.unread.example) if self._tap else (0, "")

    def close(self, *, finished: bool) -> str:
        """Take what is left once every writer of the pipe has gone; say what could not be kept."""
        self._thread.join()
        self._pipe.close()
        if self._log:
            self._log.close()
        try:
            if self._tap:
                self._tap.feed(b"\n")  # what stands in a last line without an end counts, too
                if self._is_apart and not self._tap.has_matched:
                    self._ask_other_ranks(self._tap)
                if not (self._is_several or self._tap.has_matched):
                    self._ask_stderr(self._tap)
                self._tap.close(finished)
        except (HpcError, OSError) as error:
            self._problem = self._problem or str(error)
        return self._problem

    def _ask_other_ranks(self, tap: "MetricTap") -> None:
        """Read their own logs where the first rank printed no metric: some trainers print on the last rank alone."""
        found = [each for path in self._attempt.home.iterdir() if (each := _RANK_LOG.fullmatch(path.name))]
        for each in sorted(found, key=lambda match: int(match[1]), reverse=True):
            with open_regular(self._attempt.home / each[0]) as file:
                while chunk := file.read(65536):
                    tap.feed(chunk)
            tap.feed(b"\n")
            if tap.has_matched:
                print(f"metrics: rank 0 printed none; taken from {each[0]}", flush=True)
                return

    def _ask_stderr(self, tap: "MetricTap") -> None:
        """Read what one process logged where it printed no metric: Python's `logging`, absl and tqdm write to stderr.

        Several ranks share it, and their numbers would mix.
        """
        with open_regular(self._attempt.stderr) as file:
            while chunk := file.read(65536):
                tap.feed(chunk)
        tap.feed(b"\n")
        if tap.has_matched:
            print("metrics: none on stdout; taken from stderr", flush=True)
