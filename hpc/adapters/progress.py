"""What long work is doing, shown on the terminal while a person waits: one line on stderr, gone when it is done.

    with working("writing figures", len(names)) as step:
        for name in names:
            ...
            step()
    for state in through("judging runs", states): ...

Any room may say what it does; whether it is shown is decided once, where a command begins (`on_terminal`). Nothing is
in a pipe, in a batch log, on a dumb terminal, beside ``--json``, and in Python that imports us: there it costs nothing.
What takes less than `DELAY_S` shows nothing. Whatever is printed meanwhile, on either stream, stands above the line.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from hpc.adapters.terminal import USUAL

if TYPE_CHECKING:
    from hpc.core.picture import Line

T = TypeVar("T")
DELAY_S = 1.0
"""Nothing flashes for work that is done sooner."""
EVERY_S = 0.1
_PAUSE_S = 0.3
"""Work that begins so soon after other work goes on with it, and is not waited for anew."""
_SHORT_S = 0.3
"""What takes no longer within other work is not told by itself."""
_RATE_OVER_S = 10.0
"""The rate is that of the last so many seconds."""
_SETTLES_S = 1.0
"""For how long a rate is no rate yet."""
_ERASE = "\r\x1b[K"
_MARKS = "━─"
_STYLES = {"dim": "\x1b[2m", "green": "\x1b[32m"}


class Step:
    """A piece of work; calling it says that one more thing, or so many, are done."""

    __slots__ = ("_seen", "done", "since", "total", "unit", "what")

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        """Begin it."""
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.since = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque([(self.since, 0)])

    def __call__(self, more: int = 1) -> None:
        """So much more is done."""
        self.done += more

    def at(self, done: int, total: int | None) -> None:
        """So much is done, of so much."""
        self.done, self.total = done, total

    def says(self, what: str) -> None:
        """Something else is being done."""
        self.what = what

    def line(self, columns: int, marks: str) -> "Line":
        """Draw how far it is now."""
        from hpc.core.progress import Standing, progress_line  # here: most work is done before it is drawn

        now, done = time.monotonic(), self.done
        self._seen.append((now, done))
        while now - self._seen[1][0] > _RATE_OVER_S:
            self._seen.popleft()
        (since, before), elapsed = self._seen[0], now - self.since
        rate = (done - before) / (now - since) if elapsed >= _SETTLES_S else 0.0
        return progress_line(Standing(self.what, done, self.total, self.unit, elapsed, rate), columns, marks)


@contextmanager
def on_terminal(*, silent: bool = False) -> Iterator[None]:
    """Show on stderr what is being done meanwhile, where that is a terminal; around a whole command.

    Args:
        silent: Nothing is shown: a program reads what this command prints.
    """
    if silent or _shown.is_on or not _can_be_drawn_on(sys.stderr):
        yield
        return
    _shown.is_on = True
    try:
        yield
    finally:
        _shown.end()


def is_shown() -> bool:
    """Whether a person sees what is being done."""
    return _shown.is_on


@contextmanager
def working(what: str, total: int | None = None, unit: str = "") -> Iterator[Step]:
    """Say what is being done until it is done; within other work, it is this that is shown.

    Args:
        total: How much there is of it; None where nobody knows.
        unit: `hpc.core.progress.BYTES` where bytes are counted.
    """
    step = Step(what, total, unit)
    if not _shown.is_on:
        yield step
        return
    board = _shown.board()
    board.begin(step)
    try:
        yield step
    finally:
        board.leave(step)


def through(what: str, items: Iterable[T], total: int | None = None) -> Iterable[T]:
    """Say what is being done with each of these, and how many are done.

    Args:
        total: How many there are, where `items` does not know.
    """
    if not _shown.is_on:
        return items
    return _counted(what, items, len(items) if total is None and isinstance(items, Sized) else total)


def one_more(more: int = 1) -> None:
    """So much more is done of the work under way, whoever it was that began it."""
    if _shown.is_on:
        _shown.advance(more)


def _counted(what: str, items: Iterable[T], total: int | None) -> Iterator[T]:
    with working(what, total) as step:
        for each in items:
            yield each
            step.done += 1


def _can_be_drawn_on(stream: TextIO | None) -> bool:
    """Whether a person looks on at a terminal whose cursor can be moved."""
    with suppress(ValueError, OSError):  # it was closed
        return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    return False


class _Board:
    """The line on the terminal: the work under way, and a thread that draws the innermost of it."""

    def __init__(self, stream: TextIO) -> None:
        """Take a terminal."""
        import threading  # here: most commands have no long work

        self._stream, self._descriptor = stream, stream.fileno()
        self.lock, self._is_over = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="progress", daemon=True)
        self._steps: list[Step] = []
        self._above: list[_Above] = []
        self._began = self._ended = float("-inf")
        self._drawn, self._is_in_line = "", False
        self._marks = _MARKS if _can_say(f"{_MARKS}…", stream) else "#-"
        self._is_coloured = not os.environ.get("NO_COLOR")

    def start(self) -> None:
        """Draw from now on."""
        self._thread.start()

    def begin(self, step: Step) -> None:
        """Some work begins."""
        with self.lock:
            if not self._steps:
                if step.since - self._ended > _PAUSE_S:
                    self._began = step.since
                self._above = [_Above(name, self) for name in ("stdout", "stderr")]
            self._steps.append(step)

    def leave(self, step: Step) -> None:
        """It is done, or given up."""
        with self.lock:
            if step in self._steps:
                self._steps.remove(step)
            if not self._steps:
                self._ended = time.monotonic()
                self._clear()
                self.restore()

    def advance(self, more: int) -> None:
        """So much more is done of the innermost."""
        with self.lock:
            if self._steps:
                self._steps[-1](more)

    def end(self) -> None:
        """The command is over, whatever of its work was never finished."""
        self._is_over.set()
        with self.lock:
            self._steps.clear()
            self._clear()
            self.restore()
        self._thread.join()

    def restore(self) -> None:
        """Leave the standard streams to themselves."""
        for each in self._above:
            each.restore()
        self._above = []

    def print_above(self, stream: TextIO, text: str) -> int:
        """Print where the line was; it comes back below."""
        with self.lock:
            self._clear()
            count = stream.write(text)
            self._is_in_line = not text.endswith("\n") if text else self._is_in_line
            return count

    def _clear(self) -> None:
        if self._drawn:
            self._drawn = ""
            self._write(_ERASE)

    def _draw_on(self) -> None:
        while not self._is_over.wait(EVERY_S):
            with self.lock:
                self._draw()

    def _draw(self) -> None:
        if self._is_over.is_set() or not self._steps or time.monotonic() - self._began < DELAY_S or self._is_in_line:
            return
        if not self._is_in_foreground():  # somebody types there
            return
        line = self._told().line(self._columns() - 1, self._marks)
        drawn = "".join(self._styled(text, style) for text, style in line)
        if drawn != self._drawn:
            self._drawn = drawn
            self._write(f"\r{drawn}\x1b[K\r")

    def _told(self) -> Step:
        """The innermost work that is not over at once: many small parts of something large are told by that."""
        old_enough = time.monotonic() - _SHORT_S
        return next((each for each in reversed(self._steps) if each.since <= old_enough), self._steps[0])

    def _styled(self, text: str, style: str) -> str:
        return f"{_STYLES[style]}{text}\x1b[0m" if style and text and self._is_coloured else text

    def _columns(self) -> int:
        """As wide as the terminal is, whatever COLUMNS says: a line that is broken could not be taken away."""
        try:
            return os.get_terminal_size(self._descriptor).columns or USUAL
        except OSError:
            return USUAL

    def _is_in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # not the terminal of this session: nobody can put us behind
            return True

    def _write(self, text: str) -> None:
        """Past the stream, so that nothing of ours waits in it; a terminal that is gone shows no more."""
        data = text.encode(self._stream.encoding or "ascii", "replace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self._is_over.set()


def _can_say(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class _Above:
    """A standard stream whose text stands above the line; where it is no terminal, it is left as it is."""

    def __init__(self, name: str, board: _Board) -> None:
        """Take the place of ``sys.stdout`` or ``sys.stderr``."""
        self._name, self._board = name, board
        self._stream: TextIO | None = getattr(sys, name)
        with suppress(ValueError, OSError):
            if self._stream is not None and self._stream.isatty():
                setattr(sys, name, self)

    def restore(self) -> None:
        """Put the stream back in its place, unless something else stands there by now."""
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)

    def write(self, text: str) -> int:
        """Print it where the line was."""
        return self._board.print_above(cast("TextIO", self._stream), text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Likewise."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


class _Shown:
    """What this process shows: whether it does, and its line, which most commands never need."""

    def __init__(self) -> None:
        """Show nothing."""
        self.is_on = False
        self._board: _Board | None = None
        self._held: list[_Board] = []

    def board(self) -> _Board:
        """The line."""
        if self._board is None:
            self._board = _Board(sys.stderr)
            self._board.start()
        return self._board

    def advance(self, more: int) -> None:
        """So much more is done of the innermost work."""
        if self._board is not None:
            self._board.advance(more)

    def end(self) -> None:
        """Show nothing any more."""
        board, self._board, self.is_on = self._board, None, False
        if board is not None:
            board.end()

    def hold(self) -> None:
        """Draw nothing while this process is copied."""
        if self._board is not None:
            self._board.lock.acquire()
            self._held.append(self._board)

    def go_on(self) -> None:
        """It was copied."""
        if self._held:
            self._held.pop().lock.release()

    def forget(self) -> None:
        """We are the copy: the line is the other's, and nobody draws here."""
        if self._held:
            board = self._held.pop()
            board.restore()
            board.lock.release()
        self._board, self.is_on = None, False


_shown = _Shown()
os.register_at_fork(before=_shown.hold, after_in_parent=_shown.go_on, after_in_child=_shown.forget)
