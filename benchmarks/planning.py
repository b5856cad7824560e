"""Planning 10,000 tasks: validate, expand, name, freeze, render; beside the least anyone has to do for that.

Run: ``python -m benchmarks.planning [--quick] [--json]``. Every line of the table is a process of its
own, from its start to its end.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.made_experiments import NAME, PLAN, write_experiment
from benchmarks.measuring import PYTHON, Contender, Cost, Line, as_figures, execute, run_benchmark, table, take_turns

PROGRAM = "{module: train.control, args: {epochs: 1}}"


def floor(folder: Path, *arguments: str) -> Cost:
    """Run one of `benchmarks.floors` in a folder; what it says it handled is in ``.stdout``."""
    return execute((PYTHON, "-m", "benchmarks.floors", *arguments), folder=folder, stdout=folder / ".stdout")


def handled(folder: Path) -> int:
    """How many things the last floor said it handled."""
    return int((folder / ".stdout").read_text())


def contenders(folder: Path, small: Path, tasks: int) -> list[Contender]:
    """Four ways through the same number of tasks, the least first, and ours for a tenth of them."""
    # Beside the project: what lies in it counts as code, and would be copied and hashed with every plan.
    runs, reference, copied = folder / "runs", folder.parent / "reference", folder.parent / "copied"

    def product() -> Cost:
        cost = floor(folder, "expand", str(tasks), "floor")
        assert handled(folder) == tasks
        return cost

    def same_bytes() -> Cost:
        cost = floor(folder, "copy", str(reference), str(copied))
        assert handled(folder) >= 2
        return cost

    def plan(place: Path, number: int) -> Cost:
        shutil.rmtree(place / "runs", ignore_errors=True)
        cost = execute(PLAN, folder=place)
        assert planned_tasks(place / "runs") == number
        return cost

    def plan_again() -> Cost:
        assert planned_tasks(runs) == tasks
        return execute(PLAN, folder=folder)

    plan(folder, tasks)
    shutil.copytree(runs, reference, ignore=shutil.ignore_patterns("code"))
    return [
        Contender("`itertools.product`, SHA-256, `json.dump` (floor)", product),
        Contender("writing the same bytes, durable", same_bytes),
        Contender("**hpc.plan**", lambda: plan(folder, tasks)),
        Contender("**hpc.plan** again, nothing changed", plan_again),
        Contender("**hpc.plan**, a tenth of the tasks", lambda: plan(small, tasks // 10)),
    ]


def planned_tasks(runs: Path) -> int:
    """Count the different tasks that were written, in the manifest and in the arrays: they have to agree."""
    manifest = json.loads((runs / NAME / "manifest.json").read_text())
    asked = {task["task_id"] for task in manifest["tasks"]}
    indices = (runs / NAME / "submissions").glob("*/index.json")
    submitted = {entry["task_id"] for path in indices for entry in json.loads(path.read_text())["entries"]}
    assert asked == submitted
    return len(asked)


def measure(folder: Path, *, tasks: int, rounds: int) -> list[Line]:
    """Take the measurements below an empty folder."""
    big, small = folder / "big", folder / "small"
    for place, number in ((big, tasks), (small, tasks // 10)):
        write_experiment(place, number, program=PROGRAM)
    return take_turns(contenders(big, small, tasks), rounds)


def render(lines: Sequence[Line], tasks: int) -> str:
    """The result as Markdown."""
    whole, tenth = lines[2], lines[4]
    return (
        table(f"{tasks:,} tasks", lines)
        + f"\nOne more task costs {(whole.cpu_s - tenth.cpu_s) / (0.9 * tasks) * 1e6:,.0f} µs of processor time. "
        f"Ten times as many take {whole.cpu_s / tenth.cpu_s:.1f} times as long, the start of the command included "
        "(100 would be quadratic).\n"
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    tasks, rounds = (400, 0) if quick else (10_000, 5)
    lines = measure(folder, tasks=tasks, rounds=rounds)
    return render(lines, tasks), {"tasks": tasks, "lines": as_figures(lines)}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
