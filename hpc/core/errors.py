"""What can go wrong, and the exit code each kind ends with.

HpcError                 anything this project raises on purpose
├── InputError           what a person wrote is not valid (exit 2); carries every problem found, not only the first
├── NothingToDo          the request is valid and already satisfied (exit 3)
└── TemporaryError       Slurm or the file system did not answer; the same command may work later (exit 75)
"""

import errno
from collections.abc import Mapping, Sequence

from hpc.core.immutable import immutable

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOTHING = 3
EXIT_STORAGE = 74
"""Of the wrapper only: the run folder cannot be written, or was removed. Its log may be lost; this code is not."""
EXIT_TEMPORARY = 75
EXIT_CHECKPOINTED = 85
EXIT_INTERRUPTED = 130


DOCTOR = "python -m hpc.doctor"
"""The command that looks at everything runs need."""
_MAKE_ROOM = "free space, or keep runs elsewhere (HPC_ROOT)"
_REMEDIES: Mapping[int | None, str] = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: "keep runs where they can be written (HPC_ROOT)",
}


class HpcError(Exception):
    """Anything this project raises on purpose; its text is meant for the user as it stands."""

    exit_code = EXIT_FAILED


@immutable
class Problem:
    """One thing that is wrong in a file.

    Attributes:
        message: What was found, what would be valid, what to do.
        where: Dotted path inside the file, such as ``resources.mem``; empty for the file as a whole.
        line: Line in the file, from 1; 0 where there is none.
        remedy: What takes a file that is of no use out of the way; empty where the message says all.
    """

    message: str
    where: str = ""
    line: int = 0
    remedy: str = ""


class InputError(HpcError):
    """What a person wrote is not valid; nothing was changed."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Sequence[Problem] | str, source: str = "") -> None:
        if isinstance(problems, str):
            problems = (Problem(problems),)
        self.problems = tuple(problems)
        self.source = source
        super().__init__("\n".join(self._describe(problem) for problem in self.problems))

    def _describe(self, problem: Problem) -> str:
        place = ":".join(part for part in (self.source, str(problem.line or "")) if part)
        message = "; ".join(part for part in (problem.message, problem.remedy) if part)
        return ": ".join(part for part in (place, problem.where, message) if part)


class NothingToDo(HpcError):  # noqa: N818  an answer, not an error
    """The request is valid and already satisfied."""

    exit_code = EXIT_NOTHING


class TemporaryError(HpcError):
    """Slurm or the file system did not answer; the same command may work later."""

    exit_code = EXIT_TEMPORARY


def describe_os_error(error: OSError) -> str:
    """Say what the file system answered and what to do: a full or read-only disk says only that it is one."""
    remedy = _REMEDIES.get(error.errno)
    if not remedy:
        return str(error)
    return f"{error}; {remedy}, then run the same command again; to see what else is wrong: {DOCTOR}"


def nearest(word: str, valid: Sequence[str]) -> str:
    """Say what would have been valid: ``did you mean 'gpus'? (valid: cpus, gpus, mem)``."""
    from difflib import get_close_matches  # here: the wrapper on the compute node never asks

    listed = "valid: " + ", ".join(sorted(valid))
    close = get_close_matches(word, valid, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'? ({listed})" if close else listed


def nearest_of_many(word: str, valid: Sequence[str], most: int = 8) -> str:
    """The same of so many that they are not all listed: the nearest, and how many there are."""
    from difflib import get_close_matches

    if len(valid) <= most:
        return nearest(word, valid)
    close = get_close_matches(word, valid, n=most, cutoff=0.3)
    shown = ", ".join(close or sorted(valid)[:most])
    listed = f"valid: {shown}, … of {len(valid)}"
    return f"did you mean '{close[0]}'? ({listed})" if close else listed
