"""Packing tasks of one second: several in an array element (`pack`) beside one task an element.

Run: ``python -m benchmarks.packing [--quick] [--json]``. Where a Slurm answers (``make cluster-up``, and the line it
prints) it runs them, from ``sbatch`` to the last exit record, on one GPU (``max_gpus: 1``): there one task has the GPU,
or four share it. The line with four GPUs has the cores of the pack. Without Slurm each array script is run by hand, one
after the other: what the scheduler costs is then missing.

Program and records are the same in all lines; the floor is the program alone, four at a time.
"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.measuring import PYTHON, Contender, Cost, Line, as_figures, execute, run_benchmark, take_turns
from hpc.core.layout import RunLayout

EXPERIMENT = """\
name: bench
type: comparison
brief: {{stage: exploratory}}
program: {{command: "sleep {seconds} 0.000{{x}}"}}
sweep: {{grid: {{x: [{values}]}}, seeds: [42]}}
metrics: {{primary: {{name: wall_time}}}}
run_name: "X{{x}}"
resources: {{cpus: 1, gpus: {gpus}, mem: 100MB, time: "0:05:00"}}
{pack}
"""
PATIENCE_S = 600.0
_numbers = count(1)


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        tasks: Tasks of an experiment.
        seconds: How long each sleeps.
        rounds: Rounds that count.
    """

    tasks: int
    seconds: float
    rounds: int


def has_slurm() -> bool:
    """Whether a Slurm answers here."""
    if not shutil.which("sinfo"):
        return False
    return subprocess.run(["sinfo", "-h"], capture_output=True, check=False, timeout=60).returncode == 0


def bare(folder: Path, size: Size) -> Cost:
    """The program alone, four at a time."""
    line = f"seq {size.tasks} | xargs -P 4 -I{{}} sleep {size.seconds}"
    return execute(("bash", "-c", line), folder=folder)


def planned(folder: Path, size: Size, *, pack: str, max_gpus: int) -> RunLayout:
    """Plan an experiment of its own."""
    home = folder / f"run-{next(_numbers)}"
    text = EXPERIMENT.format(
        seconds=size.seconds,
        values=", ".join(map(str, range(size.tasks))),
        gpus=1,
        pack=pack,
    )
    profile = f"scheduler: slurm\npartition: main\nmax_gpus: {max_gpus}\napptainer: ''\n"
    for part, content in (("experiments/bench.yaml", text), ("clusters/here.yaml", profile)):
        file = home / "manifests" / part
        file.parent.mkdir(parents=True)
        file.write_text(content)
    execute((PYTHON, "-m", "hpc.plan", "bench", "--cluster", "here", "--json"), folder=home, accepted=(0, 1))
    return RunLayout(home / "runs", "bench")


def ends(layout: RunLayout) -> int:
    """How many tasks have left a record of their end."""
    return sum(1 for _ in layout.tasks.glob("*/attempt-1/exit.json"))


def on_slurm(folder: Path, size: Size, *, pack: str = "", max_gpus: int = 1) -> Cost:
    """From `sbatch` to the last record."""
    layout = planned(folder, size, pack=pack, max_gpus=max_gpus)
    started = time.perf_counter()
    execute(("sbatch", str(layout.submission(1).script)), folder=folder)
    while ends(layout) < size.tasks:
        if time.perf_counter() - started > PATIENCE_S:
            raise RuntimeError(f"{ends(layout)} of {size.tasks} tasks ended in {PATIENCE_S:.0f} s")
        time.sleep(0.05)
    return Cost(time.perf_counter() - started, 0.0)


def by_hand(folder: Path, size: Size, *, pack: str = "", elements: int) -> Cost:
    """Each array element's script, one after the other, as Slurm would start them on one GPU."""
    layout = planned(folder, size, pack=pack, max_gpus=1)
    wall_s = cpu_s = 0.0
    for element in range(elements):
        job = {"SLURM_ARRAY_TASK_ID": str(element), "HPC_LOCAL_JOB": f"local-{element}"}
        cost = execute(("bash", str(layout.submission(1).script)), folder=folder, variables=job)
        wall_s, cpu_s = wall_s + cost.wall_s, cpu_s + cost.cpu_s
    if ends(layout) != size.tasks:
        raise RuntimeError(f"{ends(layout)} of {size.tasks} tasks ended")
    return Cost(wall_s, cpu_s)


def measure(folder: Path, size: Size, *, slurm: bool) -> list[Line]:
    """Take the measurements below an empty folder."""
    one_by_one, four = "pack: {tasks: 8, at_once: 1}", "pack: {tasks: 8, at_once: 4}"
    packs = -(-size.tasks // 8)
    rows = [
        ("one task an element, one GPU", "", 1, size.tasks),
        ("**pack**: 8 in an element, 1 at once, one GPU", one_by_one, 1, packs),
        ("**pack**: 8 in an element, 4 at once, one GPU", four, 1, packs),
    ]
    if slurm:
        rows.insert(1, ("one task an element, four GPUs", "", 4, size.tasks))
        ways = [(name, partial(on_slurm, folder, size, pack=pack, max_gpus=gpus)) for name, pack, gpus, _ in rows]
    else:
        ways = [(name, partial(by_hand, folder, size, pack=pack, elements=number)) for name, pack, _, number in rows]
    contenders = [Contender("the program alone, four at a time (floor)", partial(bare, folder, size))]
    return take_turns([*contenders, *(Contender(name, run) for name, run in ways)], size.rounds)


def render(lines: Sequence[Line], size: Size, *, slurm: bool) -> str:
    """The result as Markdown."""
    head = f"| {size.tasks} tasks of {size.seconds:g} s | wall s | × floor | tasks a minute |\n|---|---:|---:|---:|"
    rows = [
        f"| {each.name} | {each.wall_s:,.1f} | {each.wall_ratio:.1f} | {60 * size.tasks / each.wall_s:,.0f} |"
        for each in lines
    ]
    told = f"On one GPU the pack does {lines[1].wall_ratio / lines[-1].wall_ratio:.1f} times as many tasks a minute"
    if slurm:
        told += f"; against the same cores, on four GPUs, {lines[2].wall_ratio / lines[-1].wall_ratio:.1f} times"
    where = "" if slurm else " No Slurm answered: what it costs is missing."
    return "\n".join([head, *rows]) + f"\n\n{told}.{where}\n"


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    slurm = not quick and has_slurm()
    size = Size(4, 0.1, 0) if quick else Size(24, 1.0, 2)
    folder.chmod(0o755)  # the jobs of a one-machine Slurm may be another user's
    lines = measure(folder, size, slurm=slurm)
    return render(lines, size, slurm=slurm), {"lines": as_figures(lines)}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
