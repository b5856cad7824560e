"""`metrics.jsonl`: the same rows as `metrics.h5`, for a wrapper on a node without h5py. Standard library only.

One JSON object a line: ``{"attributes": {…}}`` first, ``{"step", "time", "metrics": {…}}`` per row,
``{"summary": {…}, "attributes": {"complete": true}}`` last. Non-finite numbers are texts (``"nan"``).
A line counts once its newline is there. `hpc.metrics.read` reads it where there is no ``metrics.h5``.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters import files


def attributes_from_environment(environment: Mapping[str, str]) -> dict[str, str | float]:
    """Root attributes of a metrics file from the ``HPC_…`` variables; empty texts and attempt 1 by hand."""
    attempt = environment.get("HPC_ATTEMPT", "")
    return {
        "experiment": environment.get("HPC_EXPERIMENT", ""),
        "task_id": environment.get("HPC_TASK_ID", ""),
        "run_name": environment.get("HPC_RUN_NAME", ""),
        "attempt": int(attempt) if attempt.isdigit() else 1,
        "manifest_sha": environment.get("HPC_MANIFEST_SHA", ""),
        "image_sha256": environment.get("HPC_IMAGE_SHA256", ""),
        "git_commit": environment.get("HPC_GIT_COMMIT", ""),
        "created": time.time(),
    }


def write_summary(folder: Path, summary: Mapping[str, float], last_step: int | None, *, complete: bool) -> None:
    """Leave ``summary.json`` beside the metrics, for readers without h5py; a value that is not finite is null.

    Raises:
        OSError: It cannot be written.
    """
    finite = {name: value if math.isfinite(value) else None for name, value in summary.items()}
    content = {"summary": finite, "last_step": last_step, "complete": complete}
    files.write_json(folder / "summary.json", content, parents=False)


class JournalWriter:
    """Appends rows to a ``metrics.jsonl``; same calls as `hpc.metrics.MetricsWriter`."""

    def __init__(self, path: Path, attributes: Mapping[str, str | float]) -> None:
        """Open it, new or to be continued; a line cut by a kill is removed.

        Raises:
            OSError: It cannot be made.
        """
        self._folder = path.parent
        self._summary: dict[str, float] = {}
        self._last_step: int | None = None
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, files.mode_in(path.parent)), "r+b", buffering=0)
        whole = self._file.read().rfind(b"\n") + 1
        self._file.truncate(whole)
        self._file.seek(whole)
        self._append({"attributes": {"schema": 1, "complete": False, **attributes}})

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row."""
        self._last_step = step
        self._append({"step": step, "time": time.time(), "metrics": _strict(metrics)})

    def summary(self, scalars: Mapping[str, float]) -> None:
        """Append final values; the last of a name counts."""
        self._summary.update(scalars)
        self._append({"summary": _strict(scalars)})

    def close(self, *, complete: bool = True) -> None:
        """Say whether that is all there will be."""
        self._append({"attributes": {"complete": complete}})
        self._file.close()
        write_summary(self._folder, self._summary, self._last_step, complete=complete)

    def _append(self, record: Mapping[str, Any]) -> None:
        # One unbuffered write a line: what is written survives a kill.
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _strict(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
