"""How a client of Slurm's is called: with a time-out, its answer as text, its refusals as errors.

Every client call is bounded. Slurm's clients retry for minutes where a daemon hangs, and may take as long over a great
queue where it does not: after `PATIENCE_S` without an answer the daemon is asked for something small, and given up when
it does not answer that within `PING_S` either. So who waits for a hung daemon waits 10 s, and not 60.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, overload

from hpc.core.errors import HpcError, TemporaryError
from hpc.core.slurm.answers import is_refusal, shown

TIMEOUT_S = 60.0
PATIENCE_S = 6.0
"""After so long without an answer a client's daemon has to show that it lives."""
PING_S = 4.0
QUICK_S = 5.0
"""For what is asked in passing: without an answer the command goes on."""
# A user's own settings of how Slurm's clients print, and of what sbatch takes before the script's own lines.
_SETTINGS = re.compile(
    r"SLURM_TIME_FORMAT|SQUEUE_.*|SACCT_.*|SBATCH_(ARRAY_INX|JOB_NAME|COMMENT|OUTPUT|ERROR|OPEN_MODE|REQUEUE|NO_REQUEUE"
    r"|SIGNAL|TIMELIMIT|MEM_PER_NODE|MEM_PER_CPU|MEM_PER_GPU|GRES|GPUS.*|KILL_INVALID_DEP|DEPENDENCY|TEST_ONLY|WAIT)"
)


class SlurmError(HpcError):
    """Slurm answered, and the answer was no."""


class SubmitLimitReached(SlurmError):  # noqa: N818  an answer, not an error
    """Slurm takes no more jobs of this size from this user now."""


class NoAnswer(TemporaryError):  # noqa: N818  says what happened
    """A client was given up, because it printed nothing in time."""


class NotHere(TemporaryError):  # noqa: N818  says what happened
    """This machine belongs to no Slurm: the client is not installed, or finds no configuration."""


def run_client(
    arguments: Sequence[str], timeout_s: float = TIMEOUT_S, ping: Sequence[str] = (), **variables: str
) -> str:
    """Run one Slurm command and give what it prints; see `ask_client`."""
    return ask_client(arguments, timeout_s, ping, **variables)[0]


def run_quickly(arguments: Sequence[str], **variables: str) -> str:
    """Run one Slurm command in passing, for `QUICK_S` seconds at most, and give what it prints; see `ask_client`."""
    return run_client(arguments, QUICK_S, **variables)


def ask_client(
    arguments: Sequence[str], timeout_s: float = TIMEOUT_S, ping: Sequence[str] = (), text: str = "", **variables: str
) -> tuple[str, str]:
    """Run one Slurm command; return what it prints on stdout and on stderr. Bytes that are no UTF-8 come as ``\\xff``.

    Args:
        ping: A small question to the same daemon. A client that is slow is waited for only while this is answered.
        text: What it reads on stdin.
        variables: Environment variables for this call.

    Raises:
        TemporaryError: It is not there, did not answer in time, or gave an answer that may mean anything.
        SlurmError: It refused for certain (`hpc.core.slurm.answers`); the text is Slurm's own.
    """
    inherited = {name: value for name, value in os.environ.items() if not _SETTINGS.fullmatch(name)}
    # The length: or long lists of elements are cut to 64 characters.
    environment = {**inherited, "SLURM_BITSTR_LEN": "0", **variables}
    code, answer, complaint = _call(arguments, timeout_s, ping, environment, text)
    if code == 0:
        return answer, complaint
    message = (complaint or answer).strip()
    if "configuration source" in message:
        raise NotHere(
            f"{arguments[0]} finds no slurm.conf here: try again on a login node of the cluster, or plan with "
            "--cluster local to use this machine alone; what else is missing here: python -m hpc.doctor"
        )
    if is_refusal(message):
        raise SlurmError(f"{arguments[0]}: {message}")
    raise TemporaryError(f"{arguments[0]}: {shown(message) or f'ended with {code}'}; nothing was lost, try again later")


def _call(
    arguments: Sequence[str], timeout_s: float, ping: Sequence[str], environment: Mapping[str, str], text: str
) -> tuple[int, str, str]:
    """Run a command in a process group of its own, so that what a site's wrapper started ends with it."""
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE if text else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            process_group=0,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except FileNotFoundError:
        raise NotHere(
            f"{arguments[0]} is not on PATH: run this on a login node of the cluster; what else is missing here: "
            "python -m hpc.doctor"
        ) from None
    except OSError as error:
        raise TemporaryError(f"{arguments[0]} cannot be started here: {error.strerror}; try again later") from None
    with process:
        try:
            answer, complaint = _wait_for(process, arguments[0], timeout_s, ping, text or None)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, answer, complaint


def _wait_for(
    process: "subprocess.Popen[str]", name: str, timeout_s: float, ping: Sequence[str], text: str | None
) -> tuple[str, str]:
    waits = (min(PATIENCE_S, timeout_s), timeout_s - PATIENCE_S) if ping else (timeout_s,)
    for wait_s in waits:
        try:
            return process.communicate(text, timeout=wait_s)
        except subprocess.TimeoutExpired:
            if ping and not _lives(ping):
                raise NoAnswer(
                    f"{name} did not answer within {PATIENCE_S:g} s, nor {ping[0]} a small question; try again later"
                ) from None
    raise NoAnswer(f"{name} did not answer within {timeout_s:g} s; try again later")


def _lives(ping: Sequence[str]) -> bool:
    """Whether a daemon answers a small question, be it with a refusal."""
    try:
        run_client(ping, PING_S)
    except NoAnswer:
        return False
    except HpcError:
        return True
    return True


PING_CONTROLLER = ("scontrol", "ping")
PING_ACCOUNTING = ("sacctmgr", "-nP", "show", "cluster", "format=Cluster")
"""Small questions to the two daemons."""
_NUMBER = re.compile(r"[0-9]{1,18}")


@overload
def read_count(text: str) -> int | None: ...


@overload
def read_count(text: str, unit: float) -> float | None: ...


def read_count(text: str, unit: float = 1) -> float | None:
    """Read a whole number, times a unit; None for anything else, such as no limit."""
    return int(text) * unit if _NUMBER.fullmatch(text) else None


def read_cell(value: str) -> str:
    """Read a cell of a table; empty where it holds one of Slurm's words for nothing."""
    return "" if value in ("(null)", "N/A", "Unknown", "None") else value


T = TypeVar("T")


def or_nothing(ask: Callable[[], T], nothing: T) -> T:
    """Ask for what a command goes on without: `nothing` where there is no answer, or a refusal."""
    try:
        return ask()
    except HpcError:
        return nothing
