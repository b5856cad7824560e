"""Collecting finished runs: records, logs and metrics of each read, a verdict given, everything written; and again.

Run: ``python -m benchmarks.collecting [--quick] [--json]``. A run has 5 metrics of 200 steps and a log of 200 lines
with words as trainers say them. The floors read the same files and conclude nothing. Every row is taken at three sizes:
the exponent is that of the time of the command above the time of one that only starts. Memory is that of all processes
of a collection together, what they share counted once.
"""

import json
import math
import os
import time
from pathlib import Path

from benchmarks.made_experiments import NAME, finished, planned, write_experiment
from benchmarks.measuring import (
    PYTHON,
    Contender,
    Cost,
    Line,
    as_figures,
    execute,
    peak_memory_mib,
    run_benchmark,
    table,
    take_turns,
)
from hpc.core.layout import RunLayout
from hpc.snapshots.remembered import SETTLED_S

STEPS = 200
METRICS = 5
NEW = 10
SIZES = (1_000, 3_000, 10_000)


def made(folder: Path, runs: int) -> Path:
    """Make an experiment of which every run has finished."""
    write_experiment(folder, runs, program="{module: train.control, args: {epochs: 1}}")
    finished(planned(folder), STEPS, METRICS)
    return folder


def floor(name: str, what: str, folder: Path, expected: int) -> Contender:
    """A reader of `benchmarks.floors`, held to the number of things there are."""

    def run() -> Cost:
        told = folder / ".stdout"
        tasks = folder / "runs" / NAME / "tasks"
        cost = execute((PYTHON, "-m", "benchmarks.floors", what, str(tasks)), folder=folder, stdout=told)
        assert int(told.read_text()) == expected
        return cost

    return Contender(name, run)


def collect(name: str, folder: Path, runs: int, *, new: int | None = None) -> Contender:
    """`hpc.collect`, held to finding every run finished.

    Args:
        new: Runs that changed since the collection before; None for one that has nothing of any before.
    """

    def run() -> Cost:
        layout = RunLayout(folder / "runs", NAME)
        if new is None:
            layout.remembered.unlink(missing_ok=True)
        change(folder, new or 0)
        cost = execute((PYTHON, "-m", "hpc.collect", NAME), folder=folder)
        verdicts = json.loads((folder / "runs" / NAME / "collected" / "verdicts.json").read_text())["tasks"]
        assert len(verdicts) == runs
        assert {task["outcome"] for task in verdicts} == {"finished"}
        return cost

    return Contender(name, run)


def change(folder: Path, runs: int) -> None:
    """Let some runs have changed since the collection before."""
    for attempt in sorted(RunLayout(folder / "runs", NAME).tasks.glob("*/attempt-1"))[:runs]:
        log = attempt / "stdout.log"
        log.write_bytes(log.read_bytes())
        os.utime(log, (0, 0))
    if runs:
        time.sleep(SETTLED_S)  # else they are looked at once more


def status(name: str, folder: Path, *, forgets: bool = False) -> Contender:
    """`hpc.status`, which remembers what it read of runs that are over; or has to read all of it."""

    def run() -> Cost:
        if forgets:
            RunLayout(folder / "runs", NAME).remembered.unlink(missing_ok=True)
        return execute((PYTHON, "-m", "hpc.status", NAME), folder=folder)

    return Contender(name, run)


def peak_mib(folder: Path, *, forgets: bool) -> float:
    """Most memory of a collection, its helpers included."""
    if forgets:
        RunLayout(folder / "runs", NAME).remembered.unlink(missing_ok=True)
    return peak_memory_mib((PYTHON, "-m", "hpc.collect", NAME), folder=folder)


def measure(folder: Path, *, sizes: tuple[int, ...], rounds: int) -> dict[int, list[Line]]:
    """Take the measurements below an empty folder; runs → lines."""
    found = {}
    for runs in sizes:
        place = made(folder / str(runs), runs)
        time.sleep(SETTLED_S)
        found[runs] = take_turns(
            [
                floor("h5py reads every series (floor)", "metrics", place, runs * STEPS * METRICS),
                floor("reading records and logs", "records", place, runs),
                started("hpc.collect --help", place),
                collect("**hpc.collect**, cold", place, runs),
                collect("**hpc.collect**, nothing new", place, runs, new=0),
                collect(f"**hpc.collect**, {NEW} new", place, runs, new=NEW),
                status("**hpc.status**", place),
                status("**hpc.status**, nothing remembered", place, forgets=True),
            ],
            rounds,
        )
    return found


def started(name: str, folder: Path) -> Contender:
    """What the command costs before it does anything."""
    return Contender(name, lambda: execute((PYTHON, "-m", "hpc.collect", "--help"), folder=folder))


def exponent(found: dict[int, list[Line]], row: int) -> float:
    """How a row grows with the runs: 1 is linear; by the smallest and the largest size, the start taken off."""
    small, large = min(found), max(found)
    costs = [max(found[size][row].cpu_s - found[size][2].cpu_s, 1e-3) for size in (small, large)]
    return math.log(costs[1] / costs[0]) / math.log(large / small)


def render(found: dict[int, list[Line]], memory: dict[int, tuple[float, float]]) -> str:
    """The result as Markdown."""
    largest = max(found)
    head = "| | " + " | ".join(f"{size:,} runs: CPU s" for size in found) + " | exponent |\n"
    rows = "".join(
        f"| {line.name} | {' | '.join(f'{lines[row].cpu_s:.2f}' for lines in found.values())} "
        f"| {exponent(found, row):.2f} |\n"
        for row, line in enumerate(found[largest]) if row > 2
    )  # fmt: skip
    told = "".join(
        f"\n{size:,} runs: at most {cold:,.0f} MiB cold, {warm:,.0f} MiB with nothing new."
        for size, (cold, warm) in memory.items()
    )
    told += "\nGrowth from {:,} runs: {} MiB cold, {} MiB with nothing new, for each 1,000.".format(
        min(memory), *(f"{_growth(memory, column):.1f}" for column in (0, 1))
    )
    return (
        f"{table(f'{largest:,} finished runs', found[largest])}\n"
        f"{head}|---|{'---:|' * (len(found) + 1)}\n{rows}{told}\n"
    )


def _growth(memory: dict[int, tuple[float, float]], column: int) -> float:
    """MiB a thousand runs more, from the smallest size to the largest."""
    small, large = min(memory), max(memory)
    return (memory[large][column] - memory[small][column]) / (large - small) * 1000


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    sizes, rounds = ((12, 24), 0) if quick else (SIZES, 3)
    taken = measure(folder, sizes=sizes, rounds=rounds)
    places = {size: folder / str(size) for size in sizes}
    memory = {size: (peak_mib(place, forgets=True), peak_mib(place, forgets=False)) for size, place in places.items()}
    figures = {str(size): as_figures(lines) for size, lines in taken.items()}
    return render(taken, memory), {"runs": max(sizes), "lines": figures, "memory_mib": memory}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
