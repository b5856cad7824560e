"""How long a person waits: for ``--help`` of each command, and for ``status`` of a small experiment and of a large one.

Run: ``python -m benchmarks.start_up [--quick] [--json]``. The floor is Python doing nothing, the peer Python importing
the library of the command line. What may be loaded is tested, not timed: ``tests/test_startup.py``. Of the large
experiment in this machine's queue all tasks wait, or all run (5 metrics of 200 steps each), or all are collected.
"""

import time
from pathlib import Path

from benchmarks.made_experiments import NAME, finished, planned, running, submitted, write_experiment
from benchmarks.measuring import PYTHON, Contender, Cost, Line, as_figures, execute, run_benchmark, table, take_turns
from hpc.cli import COMMANDS
from hpc.snapshots.remembered import SETTLED_S

PROGRAM = "{module: train.control, args: {epochs: 1}}"


STEPS = 200
METRICS = 4
"""Besides the primary one."""


def large(folder: Path, tasks: int) -> dict[str, Path]:
    """Make an experiment of so many tasks in each state: state, in words → its folder."""
    places = {"that wait": folder / "wait", "that run": folder / "run", "collected": folder / "collected"}
    for place in places.values():
        write_experiment(place, tasks, program=PROGRAM)
    waits, runs, collected = (planned(place) for place in places.values())
    submitted(waits)
    running(runs, STEPS, METRICS)
    finished(collected, STEPS, METRICS)
    execute((PYTHON, "-m", "hpc.collect", NAME), folder=places["collected"])
    return places


def measure(folder: Path, tasks: int, rounds: int) -> list[Line]:
    """Take the measurements below an empty folder."""
    write_experiment(folder, 6, program=PROGRAM)
    planned(folder)
    many = large(folder / "large", tasks)
    time.sleep(SETTLED_S)  # else what is collected is read once more
    shown = folder / ".shown"

    def command(name: str, *argv: str, place: Path = folder) -> Contender:
        return Contender(name, lambda: execute((PYTHON, *argv), folder=place))

    def helps(name: str, *argv: str) -> Contender:
        def run_and_look() -> Cost:
            cost = execute((PYTHON, *argv), folder=folder, stdout=shown)
            assert "Usage:" in shown.read_text()
            return cost

        return Contender(name, run_and_look)

    return take_turns(
        [
            command("`python -c pass` (floor)", "-c", "pass"),
            command('`python -c "import click"` (peer)', "-c", "import click"),
            helps("**hpc --help**", "-m", "hpc.cli", "--help"),
            *(helps(f"**hpc.{verb} --help**", "-m", f"hpc.{verb}", "--help") for verb in COMMANDS),
            command("**hpc.status** of 6 tasks", "-m", "hpc.status"),
            command("**hpc.status --json**", "-m", "hpc.status", "--json"),
            *(
                command(f"**hpc.status** of {tasks:,} {state}", "-m", "hpc.status", place=place)
                for state, place in many.items()
            ),
        ],
        rounds,
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    lines = measure(folder, tasks=12 if quick else 1000, rounds=0 if quick else 15)
    return table("one start", lines), {"lines": as_figures(lines)}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
