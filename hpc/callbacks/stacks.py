"""Lets the wrapper ask this process where it stands, when it seems to hang: SIGUSR2 writes the stacks of all threads.

Into a file that has no name and lies in memory: the wrapper finds it among the process's open files, which is also how
it knows that it may ask. Python's own handler answers while the program waits in a library.
"""

import faulthandler
import os
import signal
import threading
from contextlib import suppress

FILE = "hpc-stacks"
ASK = signal.SIGUSR2
_open: list[int] = []


def answer_where_it_stands() -> None:
    """Listen for `ASK`; nothing where the program listens for it itself, or where the system has no such files."""
    if _open or threading.current_thread() is not threading.main_thread() or signal.getsignal(ASK) != signal.SIG_DFL:
        return
    with suppress(OSError, AttributeError, RuntimeError, ValueError):
        descriptor = os.memfd_create(FILE)
        faulthandler.register(ASK, file=descriptor, all_threads=True)
        _open.append(descriptor)
