"""What was exported already, so that an export can be repeated, and go on where one was cut short."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import move_away, read_json_or_none, write_json
from hpc.core.errors import InputError


class Ledger:
    """Task id → what was sent of it, in a file that is written after every run."""

    def __init__(self, path: Path, target: Mapping[str, str]) -> None:
        """Read it; one of another target (another project, another folder) counts for nothing.

        Args:
            path: The file.
            target: Where the export goes.

        Raises:
            InputError: The file is no ledger.
        """
        told: Any = read_json_or_none(path)
        if told is not None and not _is_ledger(told):
            remedy = f"restore it from a copy, or move it away and every run is sent again: {move_away(path)}"
            raise InputError(f"is not a ledger of an export; it was edited. {remedy}", str(path))
        is_same = told is not None and told.get("target") == dict(target)
        self._path, self._target = path, dict(target)
        self._sent: dict[str, dict[str, str]] = dict(told["sent"]) if is_same else {}

    def has(self, task_id: str, digest: str) -> bool:
        """Whether this very content was sent."""
        return self._sent.get(task_id, {}).get("digest") == digest

    def place(self, task_id: str) -> str:
        """Where it was sent; empty where it was not, or where there was nothing to send."""
        return self._sent.get(task_id, {}).get("place", "")

    def note(self, task_id: str, digest: str, place: str) -> None:
        """Write down that it was."""
        self._sent[task_id] = {"digest": digest, "place": place}
        write_json(self._path, {"kind": "export", "schema": 1, "target": self._target, "sent": self._sent})


def _is_ledger(told: Any) -> bool:
    """Whether a JSON value has what a ledger is asked for."""
    sent = told.get("sent") if isinstance(told, dict) else None
    return isinstance(sent, dict) and all(isinstance(one, dict) for one in sent.values())
