"""Controller and shared file system of the model: nothing but counts of what is asked of them, minute by minute."""

from collections import defaultdict

from benchmarks.simulation.traces import MINUTE


class Meter:
    """Counts by minute.

    Attributes:
        total: All of them.
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        self._minutes: defaultdict[int, float] = defaultdict(float)
        self.total = 0.0

    def add(self, now_s: float, count: float, over_s: float = 0.0) -> None:
        """Count so many, spread evenly over the seconds that follow."""
        self.total += count
        first, last = int(now_s // MINUTE), int((now_s + over_s) // MINUTE)
        for minute in range(first, last + 1):
            self._minutes[minute] += count / (last - first + 1)

    def mean(self, until_s: float) -> float:
        """Per minute, from the start until then."""
        return self.total / max(1.0, until_s / MINUTE)

    @property
    def peak(self) -> float:
        """The most of any minute."""
        return max(self._minutes.values(), default=0.0)


class Controller:
    """What the loop asks of Slurm.

    Attributes:
        calls: Clients started: squeue, sacct, scontrol, sacctmgr, sbatch, scancel.
        arrays: sbatch calls for arrays among them.
        relays: sbatch calls for relays among them.
    """

    def __init__(self, max_jobs: int) -> None:
        """Begin with nothing asked.

        Args:
            max_jobs: Most jobs and elements the site takes of this user at a time.
        """
        self.calls, self.arrays, self.relays, self.max_jobs = Meter(), 0, 0, max_jobs

    def ask(self, now_s: float, calls: int) -> None:
        """Queries."""
        self.calls.add(now_s, calls)

    def submit(self, now_s: float, *, arrays: int = 0, relays: int = 0) -> None:
        """Submissions."""
        self.arrays += arrays
        self.relays += relays
        self.calls.add(now_s, arrays + relays)
