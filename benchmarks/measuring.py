"""How the benchmarks measure: contenders take turns, medians are compared, a table of ratios is printed.

Machines that do other work besides make single times worthless; contenders that alternate meet the same noise, and the
median of the ratios within each round is what stays the same from hour to hour.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PYTHON = sys.executable


@dataclass(frozen=True)
class Cost:
    """What one execution cost.

    Attributes:
        wall_s: Seconds until it ended.
        cpu_s: Seconds of processor, user and system, all processes it waited for included.
    """

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Contender:
    """One way to do a thing.

    Attributes:
        name: As printed; ours in bold.
        run: Does it once.
    """

    name: str
    run: Callable[[], Cost]


@dataclass(frozen=True)
class Line:
    """One contender's result.

    Attributes:
        wall_s: Median.
        cpu_s: Median.
        wall_ratio: Median over the rounds of its wall time to the floor's in the same round.
        cpu_ratio: The same of processor time.
    """

    name: str
    wall_s: float
    cpu_s: float
    wall_ratio: float
    cpu_ratio: float


def execute(
    argv: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    accepted: Sequence[int] = (0,),
    stdin: Path | None = None,
    stdout: Path | None = None,
) -> Cost:
    """Run a command to its end and measure it, children included; what it prints is thrown away, or kept in `stdout`.

    Raises:
        RuntimeError: It ended with another code than those accepted: a benchmark of a failure measures nothing.
    """
    environment = {**_environment(), **(variables or {})}
    errors = folder / ".stderr"
    with (
        (stdin or Path(os.devnull)).open("rb") as source,
        (stdout or Path(os.devnull)).open("wb") as sink,
        errors.open("wb") as complaints,
    ):
        started = time.perf_counter()
        child = subprocess.Popen(argv, cwd=folder, env=environment, stdin=source, stdout=sink, stderr=complaints)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in accepted:
        raise RuntimeError(f"{' '.join(argv)}: exit {child.returncode}: {errors.read_text()[-2000:]}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime)


def _environment() -> dict[str, str]:
    # Compiled modules are kept, as they are for every user; the round that is not counted writes them.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPATH": str(PROJECT)}


def peak_memory_mib(argv: Sequence[str], *, folder: Path) -> float:
    """Run a command to its end; return the most memory that it and its processes had together, in MiB.

    Looked at every 50 ms; what processes share is counted once.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    peak_kib, null = 0, subprocess.DEVNULL
    child = subprocess.Popen(argv, cwd=folder, env=_environment(), stdin=null, stdout=null, stderr=null)
    while child.poll() is None:
        peak_kib = max(peak_kib, sum(map(_memory_kib, _family(child.pid))))
        time.sleep(0.05)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, argv)
    return peak_kib / 1024


def _family(pid: int) -> list[int]:
    """A process and all that came from it."""
    try:
        told = Path(f"/proc/{pid}/task").glob("*/children")
        children = [int(each) for path in told for each in path.read_text().split()]
    except OSError:  # it has ended
        return []
    return [pid, *(each for child in children for each in _family(child))]


def _memory_kib(pid: int) -> int:
    """Its memory, of what it shares its share; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def take_turns(contenders: Sequence[Contender], rounds: int) -> list[Line]:
    """Run every contender once a round, the first being the floor.

    A round before them warms caches and is not counted; with no rounds it is all there is, and shows that all run.
    """
    costs: dict[str, list[Cost]] = {each.name: [] for each in contenders}
    for number in range(rounds + 1):
        for each in contenders:
            cost = each.run()
            if number or not rounds:
                costs[each.name].append(cost)
    floor = costs[contenders[0].name]
    return [_line(name, taken, floor) for name, taken in costs.items()]


def _line(name: str, taken: Sequence[Cost], floor: Sequence[Cost]) -> Line:
    pairs = list(zip(taken, floor, strict=True))
    tick = 1e-4  # below what the system's accounting of processor time resolves
    return Line(
        name,
        statistics.median(cost.wall_s for cost in taken),
        statistics.median(cost.cpu_s for cost in taken),
        statistics.median(mine.wall_s / least.wall_s for mine, least in pairs),
        statistics.median(max(mine.cpu_s, tick) / max(least.cpu_s, tick) for mine, least in pairs),
    )


def table(title: str, lines: Sequence[Line], *, per: tuple[int, str] | None = None) -> str:
    """Render results as Markdown.

    Args:
        title: Head of the first column.
        per: Print processor time divided by this number, with this unit, such as ``(1000, "ms per run")``.
    """
    share = f" {per[1]} |" if per else ""
    head = (
        f"| {title} | CPU ms | × floor | wall ms | × floor |{share}\n|---|---:|---:|---:|---:|{'---:|' if per else ''}"
    )
    rows = [
        f"| {each.name} | {each.cpu_s * 1e3:,.0f} | {each.cpu_ratio:.1f} | {each.wall_s * 1e3:,.0f} "
        f"| {each.wall_ratio:.1f} |" + (f" {each.cpu_s * 1e3 / per[0]:.2f} |" if per else "")
        for each in lines
    ]
    return "\n".join([head, *rows]) + "\n"


def options_of(document: str | None) -> argparse.Namespace:
    """Read the command line every benchmark has."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, once: shows that it runs, not how fast")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser.parse_args()


def answer(text: str, figures: Mapping[str, object], *, as_json: bool) -> None:
    """Print the result."""
    sys.stdout.write(json.dumps(figures) + "\n" if as_json else text)


def run_benchmark(document: str | None, found: Callable[..., tuple[str, Mapping[str, object]]]) -> None:
    """Run as a benchmark: read the command line, measure in an empty folder that goes again, print what was found.

    Args:
        document: What the benchmark says of itself.
        found: Takes the folder and ``quick=``; returns the result as Markdown and its figures.
    """
    options = options_of(document)
    with tempfile.TemporaryDirectory() as folder:
        text, figures = found(Path(folder), quick=options.quick)
    answer(text, figures, as_json=options.json)


def as_figures(lines: Sequence[Line]) -> dict[str, object]:
    """Results as JSON."""
    return {each.name: vars(each) for each in lines}
