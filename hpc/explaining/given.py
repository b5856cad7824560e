"""Evidence from what somebody gives: a log, a stream, an attempt's folder, and the scheduler's words beside it."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.adapters.progress import working
from hpc.console import note
from hpc.core.errors import InputError
from hpc.core.failures.evidence import Evidence, LogLine
from hpc.core.immutable import immutable, replace
from hpc.core.progress import BYTES
from hpc.core.slurm.states import SlurmState, parse_state

if TYPE_CHECKING:
    from hpc.adapters.logs import Readable


@immutable
class Given:
    """What is said beside a log: the state Slurm reported, the exit code and signal, the metrics; each None if not."""

    state: str | None = None
    exit_code: str | int | None = None
    metrics: Any = None

    @property
    def is_anything(self) -> bool:
        """Whether anything is said."""
        return self.state is not None or self.exit_code is not None or self.metrics is not None


def parse_exit(text: str | int | None) -> tuple[int | None, int | None]:
    """Read ``1:0`` (code:signal, as sacct prints it) or a bare code; return code and signal, None where unknown or 0.

    Raises:
        InputError: It is neither.
    """
    if text is None or text == "":
        return None, None
    code, _, signal = str(text).partition(":")
    try:
        return int(code), int(signal or 0) or None
    except ValueError:
        raise InputError(f"'{text}' is not an exit code; write CODE or CODE:SIGNAL, for example 1:0") from None


def parse_metrics(value: Any) -> dict[str, tuple[float, ...]]:
    """Read a list of numbers (one unnamed metric) or a mapping of names to lists; "nan" and "inf" may be strings.

    Raises:
        InputError: It is neither.
    """
    if value is None:
        return {}
    named = value if isinstance(value, Mapping) else {"metric": value}
    try:
        return {str(name): tuple(_number(value) for value in values) for name, values in named.items()}
    except (TypeError, ValueError):
        raise InputError("metrics must be a list of numbers, or a mapping of names to such lists") from None


def _number(value: Any) -> float:
    """A metric value; JSON has no NaN, so null and "nan" stand for it; a whole number may be too large for a float."""
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def parse_known_state(text: str | None) -> SlurmState | None:
    """Read a state as `parse_state`; None where none is given.

    Raises:
        InputError: It is no state of Slurm's; the message names the nearest.
    """
    if not text:
        return None
    state = parse_state(text)
    word = (text.split() or [""])[0].upper()
    if state is SlurmState.UNKNOWN and word != SlurmState.UNKNOWN:
        close = get_close_matches(word, list(SlurmState), n=1)
        hint = f"did you mean {close[0]}?" if close else "such as FAILED, TIMEOUT or 'CANCELLED by 1000'"
        raise InputError(f"'{text}' is not a state of Slurm's; {hint}")
    return state


def evidence_of_log(
    path: Path | None, state: str | None, exit_code: str | int | None, metrics: Any, source: str = "log"
) -> Evidence:
    """What a log file, compressed or not, and a scheduler's words say.

    Raises:
        InputError: There is no such file, or an argument cannot be read.
        OSError: The file cannot be read.
    """
    return evidence_of_lines(read_given_log(path, source) if path else (), Given(state, exit_code, metrics))


def read_given_log(path: Path, source: str) -> tuple[LogLine, ...]:
    """Read a log that somebody named.

    Raises:
        InputError: There is none, or it is damaged.
        OSError: It cannot be read.
    """
    from hpc.adapters.logs import read_packed_log

    try:
        with working(f"reading {path.name}", path.stat().st_size, BYTES) as step:
            return read_packed_log(path, source, step)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def evidence_of_stream(stream: "Readable", given: Given) -> Evidence:
    """What is read from standard input says."""
    from hpc.adapters.logs import read_log_stream

    return evidence_of_lines(read_log_stream(stream, "stdin"), given)


def evidence_of_lines(lines: tuple[LogLine, ...], given: Given) -> Evidence:
    """What lines and a scheduler's words say.

    Raises:
        InputError: A word cannot be read.
    """
    code, signal = parse_exit(given.exit_code)
    return Evidence(
        state=parse_known_state(given.state),
        exit_code=code,
        exit_signal=signal,
        log=lines,
        series=parse_metrics(given.metrics),
    )


def evidence_of_attempt(folder: Path, given: Given) -> Evidence:
    """What an attempt directory holds. What was given on the command line goes before it."""
    from hpc.snapshots.evidence import gather, read_results
    from hpc.snapshots.snapshot import attempt_in
    from hpc.snapshots.states import Progress

    layout, attempt = attempt_in(folder)
    if attempt.progress is not Progress.OVER:
        note(f"note: {folder} left no record of its end; to ask Slurm: python -m hpc.collect {layout.experiment}")
    if attempt.unreadable:
        note(f"note: judged by its logs alone; cannot be read: {attempt.unreadable}")
    found = gather(layout, attempt, read_results(attempt.layout))
    said: dict[str, Any] = {"state": parse_known_state(given.state)} if given.state else {}
    if given.exit_code is not None:
        said["exit_code"], said["exit_signal"] = parse_exit(given.exit_code)
    if given.metrics is not None:
        said["series"] = parse_metrics(given.metrics)
    return replace(found, **said)
