"""A picture on a terminal's second screen, drawn over until somebody has seen enough; the first one comes back.

Drawn anew at every look and whenever the terminal has another size. What was shown last stays behind on the first
screen, also after Ctrl-C or an error.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from hpc.console import spelled
from hpc.core.picture import Line
from hpc.core.printable import printable

Picture = Callable[[int], list[Line]]
"""Width in characters → lines."""
EXIT_TERMINATED = 128 + signal.SIGTERM


class Screen:
    """The second screen, while a picture is shown there."""

    def __init__(self) -> None:
        """Take nothing yet: entering does."""
        console = Console(highlight=False)
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._shown: _Drawn | None = None

    def __enter__(self) -> Self:
        """Take the screen, and let a resize wake whoever waits."""
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)
        ours = ((signal.SIGWINCH, _only_wake), (signal.SIGTERM, _end))
        self._before = {number: signal.signal(number, what) for number, what in ours}
        self._wakes_before = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        self._live.start()
        return self

    def show(self, picture: Picture) -> None:
        """Draw a picture in place of the last."""
        self._shown = _Drawn(picture)
        self._live.update(self._shown, refresh=True)

    def wait(self, seconds: float) -> None:
        """Wait, and draw anew what is shown as often as the terminal has another size."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._woken], [], [], left)[0]:
                os.read(self._woken, 4096)
                self._live.refresh()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the second screen; what was shown last is printed on the first."""
        self._live.stop()
        signal.set_wakeup_fd(self._wakes_before)
        for number, what in self._before.items():
            signal.signal(number, what)
        for end in (self._woken, self._wakes):
            os.close(end)
        if self._shown is not None:
            self._live.console.print(self._shown)


class _Drawn:
    """A picture as rich asks for it: with the width there is at that moment."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._picture(options.max_width):
            yield Text.assemble(*((printable(spelled(text)), style) for text, style in line))


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """A signal that shall end a wait and nothing else."""


def _end(_number: int, _frame: FrameType | None) -> None:
    """Being terminated, leave the way that gives the screen back."""
    raise SystemExit(EXIT_TERMINATED)
