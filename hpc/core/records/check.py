"""``check.json``: what the acceptance check of a run came to, where it is a command."""

from typing import ClassVar

from hpc.core.immutable import immutable
from hpc.core.records.record import Record

_NO_JUDGEMENT = (126, 127)
"""What a shell ends with where it cannot start a program."""


@immutable
class CheckRecord(Record):
    """One check that was run, after the program had finished and its end was on record.

    Attributes:
        command: Command line with placeholders, as it was declared.
        argv: The command line that ran.
        started: Unix time.
        ended: Unix time.
        exit_code: What it ended with; null where a signal ended it, or it never began.
        signal: Signal that ended it; null for none.
        problem: Why it gave no answer, where it could not be started or took too long; empty for nothing.
    """

    kind: ClassVar[str] = "check"

    command: str
    argv: tuple[str, ...]
    started: float
    ended: float
    exit_code: int | None = None
    signal: int | None = None
    problem: str = ""

    @property
    def no_answer(self) -> str:
        """Why it says neither yes nor no; empty where it does."""
        if self.problem:
            return self.problem
        if self.exit_code is None:
            return f"signal {self.signal} ended it"
        if self.exit_code in _NO_JUDGEMENT:
            return f"it could not be started (exit code {self.exit_code})"
        return f"signal {self.exit_code - 128} ended it" if 128 < self.exit_code <= 128 + 64 else ""
