"""``intent.json`` and ``receipt.json``: somebody is about to call sbatch; Slurm took it."""

from collections.abc import Iterator

from hpc.core.immutable import immutable
from hpc.core.records.record import Record

LOCAL = "local"
"""Stands for the job of whatever this machine's own queue has."""
MAX_DIGITS = 10
"""Of a job id in Slurm."""


@immutable
class Asked(Record):
    """Who asked the scheduler, when, and under which terms; with the job once there is an answer.

    Attributes:
        time: Unix time.
        job: Array job id, or ``local``; empty in an intent.
        adopted: Whether the job was found again after a crash.
        cluster: The cluster asked; empty when it did not say.
        dependency: As given to ``sbatch --dependency``; empty for none.
        waits_for: Number of the submission that has to succeed first; 0: none.
        is_canary: Whether others wait for this one to succeed.
        host: Machine that asked.
        pid: Its process there.
        comment: The mark by which the job is found again, of a probe or a relay; an array's is its number's.
        at_once: Most elements at a time, as told to sbatch besides the script; 0: as the script says.
    """

    time: float
    job: str = ""
    adopted: bool = False
    cluster: str = ""
    dependency: str = ""
    waits_for: int = 0
    is_canary: bool = False
    host: str = ""
    pid: int = 0
    comment: str = ""
    at_once: int = 0

    def problems(self) -> Iterator[str]:
        """A job that is none: what is read here becomes a dependency, and part of a file's name."""
        is_id = self.job.isascii() and self.job.isdecimal() and len(self.job) <= MAX_DIGITS
        if not (is_id or self.job in ("", LOCAL)):
            yield f"job: {self.job[:80]!r} where a Slurm job such as 4711 is expected, or {LOCAL}"
