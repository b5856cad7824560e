"""Collecting 30,000 finished runs as `collecting` does 10,000: how time and memory grow where nobody waits for a table.

Run: ``python -m benchmarks.collecting_large [--quick] [--json]``. Each row once, at two sizes; memory is that of all
processes together, what they share counted once. Not among those that run when none is named: it takes half an hour.
The last column is what the growth between the two sizes says of 100,000 runs; it was not measured.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.collecting import METRICS, NEW, STEPS, change, collect, floor, made, peak_mib
from benchmarks.measuring import Line, as_figures, run_benchmark, table, take_turns
from hpc.snapshots.remembered import SETTLED_S

SIZES = (10_000, 30_000)
TOLD_OF = 100_000
ROWS = {"cold": None, "nothing new": 0, f"{NEW} new": NEW}
"""Row → runs that changed since the collection before; None: nothing is remembered of any."""


@dataclass(frozen=True)
class Taken:
    """What was measured at one size.

    Attributes:
        lines: The floor, and a line for each of `ROWS`.
        memory_mib: Row → most memory.
    """

    lines: Sequence[Line]
    memory_mib: Mapping[str, float]

    def of(self, row: str) -> tuple[float, float, float]:
        """Seconds, seconds of processor, memory."""
        line = self.lines[1 + list(ROWS).index(row)]
        return line.wall_s, line.cpu_s, self.memory_mib[row]


def measure(folder: Path, runs: int) -> Taken:
    """Take every row at one size."""
    place = made(folder / str(runs), runs)
    time.sleep(SETTLED_S)
    first = floor("h5py reads every series (floor)", "metrics", place, runs * STEPS * METRICS)
    rest = [collect(f"**hpc.collect**, {row}", place, runs, new=new) for row, new in ROWS.items()]
    lines, memory = take_turns([first, *rest], rounds=0), {}
    for row, new in ROWS.items():
        change(place, new or 0)
        memory[row] = peak_mib(place, forgets=new is None)
    return Taken(lines, memory)


def render(taken: Mapping[int, Taken]) -> str:
    """The result as Markdown."""
    small, large = taken
    head = f"| | {small:,} runs | {large:,} runs | exponent | {TOLD_OF:,}, by that |\n|---|---:|---:|---:|---:|\n"
    rows = ""
    for row in ROWS:
        for number, (what, unit) in enumerate((("wall", "s"), ("CPU", "s"), ("memory", "MiB"))):
            values = [max(each.of(row)[number], 1e-3) for each in taken.values()]
            exponent = math.log(values[1] / values[0]) / math.log(large / small)
            shown = (*values, values[1] * (TOLD_OF / large) ** exponent)
            told = [f"{value:,.{0 if unit == 'MiB' else 1}f} {unit}" for value in shown]
            rows += f"| {row}: {what} | {told[0]} | {told[1]} | {exponent:.2f} | {told[2]} |\n"
    return f"{table(f'{large:,} finished runs', taken[large].lines)}\n{head}{rows}"


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    taken = {size: measure(folder, size) for size in ((12, 24) if quick else SIZES)}
    figures = {str(size): as_figures(each.lines) for size, each in taken.items()}
    memory = {str(size): dict(each.memory_mib) for size, each in taken.items()}
    return render(taken), {"runs": max(taken), "lines": figures, "memory_mib": memory}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
