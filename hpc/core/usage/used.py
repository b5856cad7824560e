"""What each run used of what it asked for, and what would do for the next sweep."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpc.core.forecast.forecast import ENOUGH_RUNS, MARGIN, round_memory, round_time, say_memory, say_span
from hpc.core.immutable import immutable
from hpc.core.resources import MINUTE, render_memory, render_time
from hpc.core.usage.split import TimeSplit
from hpc.core.words import counted, two_digits

WORTH = 0.75
"""Less is advised where it is at most this part of what is asked: a smaller gain is not worth the risk."""
IDLE_GPU = 0.5
"""GPUs that are busy for less than this part of the time are worth a word."""
LEAST_MIB, LEAST_S = 1024, 30 * MINUTE
"""Nothing is won by asking for less than these."""
J_PER_KWH = 3.6e6


@immutable
class Used:
    """A task: all of its attempts, as they were collected. None is not measured.

    Attributes:
        run_name: Its name.
        outcome: What became of it.
        attempts: How many it had.
        longest_s: Its longest attempt.
        time_s: Time limit of that attempt.
        peak_memory_mib: Highest of all attempts, failed ones included.
        memory_mib: Host memory asked for by the attempt that had it.
        cores: Cores busy on average over all attempts that were measured, per node.
        cpus: Cores asked for, per node.
        gpu_busy: Share of time its GPUs were busy, as sampled.
        peak_gpu_memory_mib: Highest GPU memory.
        gpus: GPUs per node.
        energy_j: Energy: what Slurm measured of the nodes, else what was sampled of the GPUs.
    """

    run_name: str
    outcome: str
    attempts: int
    longest_s: float | None = None
    time_s: float | None = None
    peak_memory_mib: float | None = None
    memory_mib: float | None = None
    cores: float | None = None
    cpus: int | None = None
    gpu_busy: float | None = None
    peak_gpu_memory_mib: float | None = None
    gpus: int = 0
    energy_j: float | None = None

    @property
    def time_share(self) -> float | None:
        """Its longest attempt as a share of its limit."""
        return self.longest_s / self.time_s if self.longest_s is not None and self.time_s else None

    @property
    def memory_share(self) -> float | None:
        """Its highest peak as a share of what was asked for."""
        return self.peak_memory_mib / self.memory_mib if self.peak_memory_mib is not None and self.memory_mib else None

    @property
    def cpu_share(self) -> float | None:
        """Cores busy as a share of those asked for."""
        return self.cores / self.cpus if self.cores is not None and self.cpus else None


def used_by(task: Mapping[str, Any], energy_j: float | None = None) -> Used:
    """What a task of ``verdicts.json`` used.

    Args:
        energy_j: What Slurm measured; None where it did not.
    """
    attempts = [each for each in task["attempts"] if not each.get("adopted")]
    longest: Mapping[str, Any] = max(attempts, key=lambda each: each.get("elapsed_s") or 0.0, default={})
    highest: Mapping[str, Any] = max(attempts, key=lambda each: each.get("peak_memory_mib") or 0.0, default={})
    timed = [each for each in attempts if each.get("cpu_seconds") is not None and (each.get("elapsed_s") or 0) > 0]
    node_s = sum(each["elapsed_s"] * (each.get("nodes") or 1) for each in timed)
    busy = [each for each in attempts if each.get("gpu_busy") is not None and (each.get("elapsed_s") or 0) > 0]
    sampled = [each["gpu_energy_j"] for each in attempts if each.get("gpu_energy_j") is not None]
    gpu_peaks = [each["peak_gpu_memory_mib"] for each in attempts if each.get("peak_gpu_memory_mib") is not None]
    return Used(
        task["run_name"],
        task["outcome"],
        len(attempts),
        longest.get("elapsed_s"),
        longest.get("time_s"),
        highest.get("peak_memory_mib"),
        highest.get("memory_mib"),
        sum(each["cpu_seconds"] for each in timed) / node_s if node_s else None,
        next((each["cpus"] for each in reversed(attempts) if each.get("cpus")), None),
        sum(each["gpu_busy"] * each["elapsed_s"] for each in busy) / sum(each["elapsed_s"] for each in busy)
        if busy
        else None,
        max(gpu_peaks, default=None),
        max((each.get("gpus") or 0 for each in attempts), default=0),
        energy_j if energy_j is not None else (sum(sampled) if sampled else None),
    )


def advise(runs: Sequence[Used]) -> Iterator[str]:
    """Say where less would do in the next sweep, each group of runs that asked alike by itself.

    Never less than the most that was seen × `MARGIN`, failed attempts included.
    """
    for memory, group in _grouped(runs, "memory_mib", "peak_memory_mib").items():
        peak = max(each.peak_memory_mib or 0.0 for each in group)
        if memory >= LEAST_MIB and (enough := round_memory(peak * MARGIN)) <= WORTH * memory:
            yield (
                f"{render_memory(int(memory))} of memory requested, peak {say_memory(peak)} in "
                f"{counted(len(group), 'run')}: {render_memory(enough)} would be enough"
            )
    for limit, group in _grouped(runs, "time_s", "longest_s").items():
        longest = max(each.longest_s or 0.0 for each in group)
        if limit >= LEAST_S and (enough := round_time(longest * MARGIN)) <= WORTH * limit:
            yield (
                f"time limit {render_time(int(limit))}, longest attempt {say_span(longest)} in "
                f"{counted(len(group), 'run')}: {render_time(enough)} would be enough"
            )
    for cpus, group in _grouped(runs, "cpus", "cores").items():
        cores = max(each.cores or 0.0 for each in group)
        enough_cores = int(-(-cores * MARGIN // 1)) or 1
        if enough_cores <= WORTH * cpus:
            yield (
                f"{int(cpus)} cores requested, at most {two_digits(cores)} busy on average in "
                f"{counted(len(group), 'run')}: {enough_cores} would be enough"
            )
    shares = [each.gpu_busy for each in runs if each.gpu_busy is not None]
    if len(shares) >= ENOUGH_RUNS and (mean := sum(shares) / len(shares)) < IDLE_GPU:
        yield (
            f"GPUs busy {mean:.0%} of the time in {counted(len(shares), 'run')}: a larger micro-batch, more loader "
            "workers, or a smaller GPU"
        )


def _grouped(runs: Sequence[Used], asked: str, used: str) -> dict[float, list[Used]]:
    """Runs by what they asked for, those that were measured; groups of too few are left out."""
    groups: dict[float, list[Used]] = {}
    for each in runs:
        if getattr(each, asked) and getattr(each, used) is not None:
            groups.setdefault(getattr(each, asked), []).append(each)
    return {value: group for value, group in groups.items() if len(group) >= ENOUGH_RUNS}


def say_split(split: TimeSplit | None, of: int) -> Iterator[str]:
    """Say where the time went, one line, and the ETTR.

    Args:
        of: Runs that are over.
    """
    if split is None or split.ettr is None:
        yield "where the time went: not measured"
        return
    parts = (
        ("productive", split.productive_s), ("start-up", split.startup_s), ("checkpoints", split.checkpoint_s),
        ("rolled back", split.rolled_back_s), ("queue", split.queue_s),
    )  # fmt: skip
    whole = (split.elapsed_s or 0.0) + (split.queue_s or 0.0)
    told = [f"{name} {'not measured' if value is None else _part(value, whole)}" for name, value in parts]
    note = "" if split.runs == of else f"; {of - split.runs} of {of} not measured"
    yield f"where the time of {counted(split.runs, 'run')} went: {', '.join(told)}{note}"
    yield f"ETTR {split.ettr:.0%}: productive time over all time from submission to end"


def _part(value: float, whole: float) -> str:
    return f"{say_span(value)} ({value / whole:.0%})" if whole else say_span(value)


def say_energy(joules: float, runs: int, carbon: float, source: str) -> str:
    """Say energy, and CO₂ where the profile states a factor.

    Args:
        carbon: Kilograms per kWh; 0: not stated.
        source: Who measured it.
    """
    kwh = joules / J_PER_KWH
    co2 = f", {two_digits(kwh * carbon)} kg CO₂ at {carbon:g} kg/kWh" if carbon else ""
    return f"energy: {two_digits(kwh)} kWh in {counted(runs, 'run')} ({source}){co2}"
