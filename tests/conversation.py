"""A person at a terminal: a command in a pseudo-terminal of its own, each answer typed when it is asked for."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

ASKS = (b"  > ", b"]: ")
"""How a question of ours ends."""
SILENT_S = 240
"""Longest silence of a command; three daemons and two other tests may share its two cores."""
_DRAWN = re.compile(r"\r[^\r\n]+\x1b\[K\r|\r\x1b\[K")
"""A line that tells how far long work is, as it comes and goes (`hpc.adapters.progress`)."""


def stood(seen: str) -> str:
    """What stood on a terminal in the end: nothing that was drawn while somebody waited."""
    return _DRAWN.sub("", seen).replace("\r\n", "\n")


def drawn(seen: str) -> str:
    """What was drawn while somebody waited, a line each."""
    return "\n".join(re.sub(r"\x1b\[[0-9;]*[mK]|\r", "", each) for each in _DRAWN.findall(seen))


def converse(
    command: Sequence[str], answers: Sequence[str], folder: Path, environment: dict[str, str], columns: int = 200
) -> tuple[int, str]:
    """Run ``python COMMAND`` and answer what it asks.

    Args:
        columns: Width of the terminal.

    Returns:
        The exit code, and everything that stood on the terminal.

    Raises:
        AssertionError: It was silent too long, asked more than there are answers, or did not ask for all of them.
    """
    code, seen = watch(command, folder, environment, columns, answers)
    return code, stood(seen)


def watch(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    columns: int = 200,
    answers: Sequence[str] = (),
    interrupt_at: bytes = b"",
) -> tuple[int, str]:
    """Run ``python COMMAND`` as `converse` does.

    Args:
        interrupt_at: What is seen when somebody presses Ctrl-C.

    Returns:
        The exit code, and everything that was written to the terminal, what was drawn over included.
    """
    # The terminal says how wide it is; a variable that a test before this one has set would go before it.
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, columns))
    process = subprocess.Popen(
        # As at a terminal, also where the tests run behind an `&`: what a shell starts so ignores Ctrl-C.
        ["env", "--default-signal=INT", sys.executable, *command], cwd=folder, env=environment,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen, waiting = b"", list(answers)
    try:
        while True:
            assert select.select([ours], [], [], SILENT_S)[0], f"silent for {SILENT_S} s after:\n{seen.decode()}"
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end was closed: the command is over
                break
            seen += piece
            if interrupt_at and interrupt_at in seen:
                process.send_signal(signal.SIGINT)
                interrupt_at = b""
            if seen.endswith(ASKS):
                assert waiting, f"asked more than there are answers:\n{seen.decode()}"
                os.write(ours, waiting.pop(0).encode() + b"\n")
        code = process.wait(SILENT_S)
    finally:
        process.kill()
        os.close(ours)
    assert not waiting, f"never asked for {waiting}:\n{seen.decode()}"
    return code, seen.decode()
