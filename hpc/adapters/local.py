"""Processes of this machine's own queue: forked from its runner, which they outlive, each with GPUs of its own."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from hpc.core.errors import EXIT_FAILED

_STANDARD = (0, 1, 2)


def fork(gpus: Sequence[int], run: Callable[..., int], *arguments: str | int) -> int:
    """Run a function in a process forked from this one; return its number.

    A fork takes a millisecond, where another interpreter with the same modules takes a hundred. The process is in a
    session of its own and shares no open file with us, so that no lock of ours lives on in it.

    Args:
        gpus: Devices it may use; what it starts sees no others.
        run: Gives the exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = EXIT_FAILED
    try:
        _close_all_but_standard()
        os.setsid()
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        code = run(*arguments)
    except BaseException:
        traceback.print_exc()
    finally:  # nothing of the runner's own is done twice: no lock is released, no buffer written
        sys.stderr.flush()
        os._exit(code)


def _close_all_but_standard() -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208  numbers
        if descriptor not in _STANDARD:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(descriptor)


def has_left(pid: int) -> bool:
    """Whether a process that `fork` gave has ended; it may not be asked again after that."""
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def count_gpus() -> int:
    """Count this machine's NVIDIA devices."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia*"))
