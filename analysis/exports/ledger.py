"""What was exported already, so that an export can be repeated, and go on where one was cut short."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json_or_none, write_json


class Ledger:
    """Task id → what was sent of it, in a file that is written after every run."""

    def __init__(self, path: Path, target: Mapping[str, str]) -> None:
        """Read it; one of another target (another project, another folder) counts for nothing.

        Args:
            path: The file.
            target: Where the export goes.
        """
        told: Any = read_json_or_none(path)
        is_same = isinstance(told, dict) and told.get("target") == dict(target)
        self._path, self._target = path, dict(target)
        self._sent: dict[str, dict[str, str]] = dict(told["sent"]) if is_same else {}

    def has(self, task_id: str, digest: str) -> bool:
        """Whether this very content was sent."""
        return self._sent.get(task_id, {}).get("digest") == digest

    def note(self, task_id: str, digest: str, place: str) -> None:
        """Write down that it was."""
        self._sent[task_id] = {"digest": digest, "place": place}
        write_json(self._path, {"kind": "export", "schema": 1, "target": self._target, "sent": self._sent})
