"""Trivial tasks through this machine's own queue, two at once, beside the least that could start them, and submitit.

Run: ``python -m benchmarks.queueing [--quick] [--json]``. Every program is `true`. Ours are claimed, recorded before
and after, and go on when the queue is killed; `xargs` records nothing. All processes are counted, detached ones too.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.made_experiments import planned, write_experiment
from benchmarks.measuring import PYTHON, Contender, Cost, Line, as_figures, execute, run_benchmark, table, take_turns

PROGRAM = "{command: 'true {rank} {rate} {seed}'}"
FAMILY = (PYTHON, "-m", "benchmarks.whole_family")


def ours(place: Path, tasks: int) -> Contender:
    """Submit that many tasks of an experiment that is planned anew each time, and wait for the last."""

    def run() -> Cost:
        shutil.rmtree(place, ignore_errors=True)
        write_experiment(place, tasks, program=PROGRAM)
        layout = planned(place)
        submit = (PYTHON, "-m", "hpc.submit", "bench", "--backend", "local", "--max-parallel", "2")
        cost = execute((*FAMILY, *submit), folder=place)
        assert len(list(layout.tasks.glob("*/attempt-1/exit.json"))) == tasks
        return cost

    return Contender(f"**hpc.submit --backend local**, {tasks} tasks", run)


def measure(folder: Path, *, tasks: int, rounds: int) -> list[Line]:
    """Take the measurements below an empty folder."""

    def by_xargs() -> Cost:
        return execute(("bash", "-c", f"seq {tasks} | xargs -P 2 -n 1 true"), folder=folder)

    def by_submitit() -> Cost:
        shutil.rmtree(folder / "submitit", ignore_errors=True)
        argv = (PYTHON, "-m", "benchmarks.queued_by_submitit", str(folder / "submitit"), str(tasks))
        return execute((*FAMILY, *argv), folder=folder)

    return take_turns(
        [
            Contender(f"`xargs -P 2`, {tasks} tasks (floor)", by_xargs),
            Contender(f"submitit, {tasks} tasks (peer)", by_submitit),
            ours(folder / "whole", tasks),
            ours(folder / "fifth", tasks // 5),
        ],
        rounds,
    )


def render(lines: Sequence[Line], tasks: int) -> str:
    """The result as Markdown."""
    whole, fifth = lines[2], lines[3]
    added = (whole.cpu_s - fifth.cpu_s) / (tasks - tasks // 5)
    return (
        table("tasks that do nothing", lines)
        + f"\nOne more task costs {added * 1e3:,.0f} ms of processor time. Five times as many take "
        f"{whole.cpu_s / fifth.cpu_s:.1f} times as long, the start of the command included (25 would be quadratic).\n"
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    tasks, rounds = (5, 0) if quick else (250, 2)
    lines = measure(folder, tasks=tasks, rounds=rounds)
    return render(lines, tasks), {"tasks": tasks, "lines": as_figures(lines)}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
