"""The experiment log on disk: ``history.jsonl`` (the source, appended to) and ``experiments.md`` (written from it)."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import MOST_JSON_BYTES, make_folder, read_regular, write_text
from hpc.adapters.ledger import append_json_line
from hpc.adapters.locks import lock
from hpc.core.errors import InputError

EVENTS, PAGE, LOCK = "history.jsonl", "experiments.md", ".history.lock"


class HistoryFiles:
    """The log below a folder of runs.

    Attributes:
        events: The source.
        page: What people read and edit.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events, self.page = root / EVENTS, root / PAGE

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the log's lock: reading, adding and writing the page are one step for everybody else.

        Raises:
            TemporaryError: Somebody else held it for a minute.
        """
        with lock(self.root / LOCK):
            yield

    def read(self) -> tuple[list[bytes], list[Mapping[str, Any]], int]:
        """Read the log.

        Returns:
            Its whole lines; the events in them, one a line; how many lines are none (a writer died over one, a merge
            left its marks).

        Raises:
            InputError: It is not a regular file, or not ours to read.
        """
        try:
            content = read_regular(self.events, MOST_JSON_BYTES)
        except FileNotFoundError:
            return [], [], 0
        lines, events, bad = [], [], 0
        for line in content.split(b"\n"):
            if not line.strip():
                continue
            event = _event(line)
            if event is None:
                bad += 1
            else:
                lines.append(line)
                events.append(event)
        return lines, events, bad

    def add(self, event: Mapping[str, Any]) -> None:
        """Add an event; a line that somebody died over is ended first. Call it with the lock held."""
        append_json_line(self.events, event)

    def read_page(self) -> str | None:
        """The page as it stands; None where there is none.

        Raises:
            InputError: It is not a regular file, not ours to read, or no UTF-8.
        """
        if not self.page.exists():  # also a link to a file that is not there yet
            return None
        try:
            return read_regular(self.page, MOST_JSON_BYTES).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"is not UTF-8 text ({error.reason} at byte {error.start})", str(self.page)) from None

    def write_page(self, text: str) -> None:
        """Replace the page as a whole; a link keeps leading to it."""
        make_folder(self.root)
        write_text(self.page.resolve(), text)


def _event(line: bytes) -> Mapping[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
