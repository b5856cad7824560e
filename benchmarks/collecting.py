"""Collecting 1,000 finished runs: records, logs and metrics of each read, a verdict given, everything written once.

Run: ``python -m benchmarks.collecting [--quick] [--json]``. A run has 4 metrics of 100 steps and a log of 100 lines.
The floors read the same files and conclude nothing.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.made_experiments import NAME, finished, planned, write_experiment
from benchmarks.measuring import (
    PYTHON,
    Contender,
    Cost,
    Line,
    answer,
    as_figures,
    execute,
    options_of,
    table,
    take_turns,
)
from hpc.core.layout import RunLayout

STEPS = 100
METRICS = 4


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


def collect(name: str, folder: Path, runs: int) -> Contender:
    """`hpc.collect`, held to finding every run finished."""

    def run() -> Cost:
        cost = execute((PYTHON, "-m", "hpc.collect", NAME), folder=folder)
        verdicts = json.loads((folder / "runs" / NAME / "collected" / "verdicts.json").read_text())["tasks"]
        assert len(verdicts) == runs
        assert {task["outcome"] for task in verdicts} == {"finished"}
        return cost

    return Contender(name, run)


def status(name: str, folder: Path, *, forgets: bool = False) -> Contender:
    """`hpc.status`, which remembers what it read of runs that are over; or has to read all of it."""

    def run() -> Cost:
        if forgets:
            RunLayout(folder / "runs", NAME).remembered.unlink(missing_ok=True)
        return execute((PYTHON, "-m", "hpc.status", NAME), folder=folder)

    return Contender(name, run)


def measure(folder: Path, *, runs: int, rounds: int) -> list[Line]:
    """Take the measurements below an empty folder."""
    all_runs, tenth = made(folder / "all", runs), made(folder / "tenth", runs // 10)
    return take_turns(
        [
            floor("h5py reads every series (floor)", "metrics", all_runs, runs * STEPS * METRICS),
            floor("reading records and logs", "records", all_runs, runs),
            collect("**hpc.collect**", all_runs, runs),
            collect("**hpc.collect**, a tenth of the runs", tenth, runs // 10),
            status("**hpc.status**", all_runs),
            status("**hpc.status**, nothing remembered", all_runs, forgets=True),
        ],
        rounds,
    )


def render(lines: list[Line], runs: int) -> str:
    """The result as Markdown."""
    whole, tenth = lines[2], lines[3]
    return (
        table(f"{runs:,} finished runs", lines)
        + f"\nOne more run costs {(whole.cpu_s - tenth.cpu_s) / (0.9 * runs) * 1e3:.1f} ms of processor time. "
        f"Ten times as many take {whole.cpu_s / tenth.cpu_s:.1f} times as long, the start of the command included "
        "(100 would be quadratic).\n"
    )


def main() -> None:
    """Measure and print."""
    options = options_of(__doc__)
    runs, rounds = (20, 0) if options.quick else (1000, 5)
    with tempfile.TemporaryDirectory() as name:
        lines = measure(Path(name), runs=runs, rounds=rounds)
    answer(render(lines, runs), {"runs": runs, "lines": as_figures(lines)}, as_json=options.json)


if __name__ == "__main__":
    main()
