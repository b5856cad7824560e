"""The log of a folder of runs: read with what people wrote into its page, added to, and written out again."""

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from hpc.adapters.history_file import HistoryFiles
from hpc.console import note
from hpc.core.errors import InputError
from hpc.core.history.entries import Entry, Log, fold, stamp
from hpc.core.history.page import changes, read_state, render_page
from hpc.core.immutable import immutable
from hpc.core.words import counted, few
from hpc.logbook.experiments import Planned, find_planned
from hpc.workspace import Workspace


@immutable
class Source:
    """The log as it was read.

    Attributes:
        lines: Its whole lines.
        events: What stands in them.
    """

    lines: Sequence[bytes]
    events: Sequence[Mapping[str, Any]]


def time_now() -> str:
    """This moment, ISO 8601 with the local offset."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


class Book:
    """Reads and writes the log of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.files = HistoryFiles(workspace.root)
        self.page_problem: InputError | None = None
        """Why what people wrote into the page does not count here; None where it does, or was not asked for."""

    @functools.cached_property
    def planned(self) -> Planned:
        """The toolkit's experiments below the same folder."""
        return find_planned(self.workspace)

    def read(self, *, page: bool = False) -> Log:
        """Read the log.

        Args:
            page: Whether what somebody wrote into the page since it was written counts already.
        """
        source = self._source()
        log = self._fold(source)
        if page:
            try:
                changed = self._changes(source, log)
            except InputError as error:
                self.page_problem = error
                note(f"note: {error}")
            else:
                log = fold([*source.events, changed], self.planned.experiments) if changed else log
        return log

    def with_event(self, event: Mapping[str, Any]) -> Log:
        """What the log would be with one event more; nothing is written."""
        source = self._source()
        changed = self._changes(source, self._fold(source, quiet=True))
        return fold([*source.events, *([changed] if changed else []), event], self.planned.experiments)

    def runs(self, log: Log) -> list[Entry]:
        """What questions are about: the runs of the log, and those of the toolkit's experiments."""
        return [*(entry for entry in log.entries if not entry.experiment), *self.planned.runs]

    def record(self, make: Callable[[Log], Mapping[str, Any] | None]) -> Log:
        """Add an event, with what somebody wrote into the page meanwhile, and write the page.

        A page that cannot be read back is left as it is, and that is said: the event is kept all the same.

        Args:
            make: Gives the event, or None where only the page is to be written; it may raise, and nothing is changed.
        """
        with self.files.held():
            source = self._source()
            self.page_problem = problem = self._take_page(source, self._fold(source))
            event = make(self._fold(self._source(quiet=True), quiet=True))
            if event:
                self.files.add(event)
            source = self._source(quiet=True)
            log = self._fold(source, quiet=True)
            if problem is None:
                self.files.write_page(render_page(log, stamp(source.lines)))
        if problem is not None and event is None:
            raise problem
        if problem is not None:
            note(f"note: it is recorded in {self.files.events}. {problem}")
        return log

    def _take_page(self, source: Source, log: Log) -> InputError | None:
        """Keep what somebody wrote into the page; what is wrong with it where it cannot be read back."""
        try:
            changed = self._changes(source, log)
        except InputError as error:
            return error
        if changed:
            self.files.add({"event": "page", "time": time_now(), **changed})
        return None

    def _source(self, *, quiet: bool = False) -> Source:
        lines, events, bad = self.files.read()
        if bad and not quiet:
            note(f"note: {self.files.events}: skipped {counted(bad, 'line')} that cannot be read (cut or edited)")
        return Source(lines, events)

    def _fold(self, source: Source, *, quiet: bool = False) -> Log:
        log = fold(source.events, self.planned.experiments)
        if log.problems and not quiet:
            note(f"note: {self.files.events}: skipped {few(log.problems)}")
        return log

    def _changes(self, source: Source, log: Log) -> dict[str, Any]:
        text = self.files.read_page()
        written = render_page(log, stamp(source.lines))
        if text is None or text == written:
            return {}
        state = read_state(text)
        count = int(state.partition("-")[0]) if state else 0
        is_known = bool(state) and stamp(source.lines[:count]) == state
        base = log if is_known else None
        if is_known and count < len(source.lines):
            base = fold(source.events[:count], self.planned.experiments)
        try:
            found = changes(text, log, base, written)
        except InputError as error:
            raise InputError(str(error), str(self.files.page)) from None
        return {"event": "page", **found} if found else {}
