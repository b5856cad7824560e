"""How long runs took, and the hours they used since a day. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from hpc.core.history.entries import Entry
from hpc.core.immutable import immutable

PERIODS = ("today", "yesterday", "week", "month", "year", "")
"""What a question may ask about: from the beginning of that day, week or month on; empty: everything."""


@immutable
class Lengths:
    """How long the runs of one program took.

    Attributes:
        program: The script or module.
        runs: Those that are over and of which it is known, shortest first.
    """

    program: str
    runs: tuple[Entry, ...]

    @property
    def seconds(self) -> list[float]:
        """Of each run."""
        return [entry.took_s or 0.0 for entry in self.runs]


def lengths_of(entries: Sequence[Entry]) -> list[Lengths]:
    """How long runs took, by program: lengths of different programs say nothing of each other."""
    known = [entry for entry in entries if entry.took_s is not None]
    programs = dict.fromkeys(entry.program for entry in known)
    return [
        Lengths(program, tuple(sorted((each for each in known if each.program == program), key=_took)))
        for program in programs
    ]


def _took(entry: Entry) -> float:
    return entry.took_s or 0.0


@immutable
class Used:
    """What the runs of an experiment, or of a program that was started by hand, used.

    Attributes:
        name: Which one.
        runs: Those that worked in that time.
        gpu, core: Hours of devices and of cores; None where nobody noted what was held.
        wall: Hours, all runs together.
    """

    name: str
    runs: int
    gpu: float | None
    core: float | None
    wall: float


def since_of(period: str, now: datetime) -> float:
    """Unix time at which a period of `PERIODS` begins; weeks begin on Monday."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {
        "today": day, "yesterday": day - timedelta(days=1), "week": day - timedelta(days=now.weekday()),
        "month": day.replace(day=1), "year": day.replace(month=1, day=1),
    }  # fmt: skip
    return begins[period].timestamp() if period else 0.0


def hours_since(entries: Sequence[Entry], since: float) -> Iterator[Used]:
    """What was used from a moment on, by experiment; what began before counts with the part after it."""
    names = dict.fromkeys(entry.experiment or entry.program for entry in entries)
    for name in names:
        own = [each for each in entries if (each.experiment or each.program) == name]
        pieces = [piece for entry in own for piece in entry.pieces if piece.ended >= since]
        if not pieces:
            continue
        hours = [piece.within(since) / 3600 for piece in pieces]
        gpu, core = (
            None
            if any(held is None for held in kind)
            else sum(each * (held or 0.0) for each, held in zip(hours, kind, strict=True))
            for kind in ([piece.gpus for piece in pieces], [piece.cores for piece in pieces])
        )
        runs = sum(any(piece.ended >= since for piece in entry.pieces) for entry in own)
        yield Used(name, runs, gpu, core, sum(hours))
