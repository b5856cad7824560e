"""A person at a terminal: a command in a pseudo-terminal of its own, each answer typed when it is asked for."""

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

ASKS = (b"  > ", b"]: ")
"""How a question of ours ends."""
SILENT_S = 240
"""Longest silence of a command; three daemons and two other tests may share its two cores."""


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
    # The terminal says how wide it is; a variable that a test before this one has set would go before it.
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, columns))
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
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
            if seen.endswith(ASKS):
                assert waiting, f"asked more than there are answers:\n{seen.decode()}"
                os.write(ours, waiting.pop(0).encode() + b"\n")
        code = process.wait(SILENT_S)
    finally:
        process.kill()
        os.close(ours)
    assert not waiting, f"never asked for {waiting}:\n{seen.decode()}"
    return code, seen.decode().replace("\r\n", "\n")
