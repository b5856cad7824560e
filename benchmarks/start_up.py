"""How long a person waits for a command with nothing to do: ``--help`` of each, and ``status`` of a small experiment.

Run: ``python -m benchmarks.start_up [--quick] [--json]``. The floor is Python doing nothing, the peer Python importing
the library of the command line. What may be loaded is tested, not timed: ``tests/test_startup.py``.
"""

from pathlib import Path

from benchmarks.made_experiments import planned, write_experiment
from benchmarks.measuring import PYTHON, Contender, Cost, Line, as_figures, execute, run_benchmark, table, take_turns
from hpc.cli import COMMANDS


def measure(folder: Path, rounds: int) -> list[Line]:
    """Take the measurements below an empty folder."""
    write_experiment(folder, 6, program="{module: train.control, args: {epochs: 1}}")
    planned(folder)
    shown = folder / ".shown"

    def command(name: str, *argv: str) -> Contender:
        return Contender(name, lambda: execute((PYTHON, *argv), folder=folder))

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
        ],
        rounds,
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    lines = measure(folder, rounds=0 if quick else 15)
    return table("one start", lines), {"lines": as_figures(lines)}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
