"""Submitting 10,000 and 100,000 tasks to a Slurm that answers at once, and looking at those that wait.

Run: ``python -m benchmarks.submitting [--quick] [--json]``. The clients are one line of shell each, which count how
often they are called: what is measured is ours, not the controller's. The floor calls ``sbatch`` for every array script
and remembers nothing. A ``status`` is the second one: the first remembers what it has checked.
"""

import json
import math
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.made_experiments import NAME, write_experiment
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

PROGRAM = "{module: train.control, args: {epochs: 1}}"
CLIENTS = {
    "sbatch": 'wc -l < "$0.calls"',  # a new job id each
    "scontrol": "echo 'MaxArraySize = 100001'",
    "squeue": "exit 0",
    "sacct": "exit 0",
    "sacctmgr": "exit 0",
}
"""A client of Slurm → what it answers."""


@dataclass(frozen=True)
class Site:
    """A planned experiment before pretended clients of Slurm.

    Attributes:
        folder: The project.
        tasks: How many tasks it has.
        arrays: In how many arrays.
    """

    folder: Path
    tasks: int
    arrays: int

    @property
    def bin(self) -> Path:
        """Where the clients lie."""
        return self.folder.parent / f"{self.folder.name}.bin"

    def variables(self) -> dict[str, str]:
        """The environment of a command that meets them."""
        return {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "HPC_CLUSTER": "here"}

    def calls(self) -> dict[str, int]:
        """How often each client was called since the last `renew`."""
        logs = {name: self.bin / f"{name}.calls" for name in CLIENTS}
        return {name: len(log.read_text().splitlines()) for name, log in logs.items() if log.exists()}

    def renew(self) -> None:
        """Go back to where it was planned, with nothing submitted and no call counted."""
        shutil.rmtree(self.folder / "runs", ignore_errors=True)
        shutil.copytree(self.folder.parent / f"{self.folder.name}.planned", self.folder / "runs", symlinks=True)
        for log in self.bin.glob("*.calls"):
            log.unlink()


def made_site(folder: Path, tasks: int, per_array: int) -> Site:
    """Plan so many tasks in arrays of a given size."""
    site = Site(folder, tasks, math.ceil(tasks / per_array))
    write_experiment(folder, tasks, program=PROGRAM)
    profile = f"scheduler: slurm\napptainer: ''\nimage_dir: images\nmax_array_size: {per_array}\n"
    (folder / "manifests/clusters/here.yaml").write_text(profile)
    site.bin.mkdir()
    for name, answer in CLIENTS.items():
        client = site.bin / name
        client.write_text(f'#!/bin/sh\necho "$*" >> "$0.calls"\n{answer}\n')
        client.chmod(client.stat().st_mode | stat.S_IXUSR)
    execute((PYTHON, "-m", "hpc.plan", NAME, "--json"), folder=folder, variables=site.variables())
    shutil.copytree(folder / "runs", folder.parent / f"{folder.name}.planned", symlinks=True)
    return site


def sbatch_alone(site: Site) -> Cost:
    """Call ``sbatch`` for every array script."""
    site.renew()
    loop = f"for each in runs/{NAME}/submissions/*/array.sbatch; do sbatch --parsable $each; done"
    cost = execute(("sh", "-c", loop), folder=site.folder, variables=site.variables())
    assert site.calls() == {"sbatch": site.arrays}
    return cost


def submit(site: Site) -> Cost:
    """Submit all of it."""
    site.renew()
    argv = (PYTHON, "-m", "hpc.submit", NAME)
    cost = execute(argv, folder=site.folder, variables=site.variables())
    assert len(list((site.folder / "runs" / NAME / "submissions").glob("*/receipt.json"))) == site.arrays
    return cost


def look(site: Site) -> Cost:
    """Ask for the status of what waits."""
    answer = site.folder.parent / "status.json"
    argv = (PYTHON, "-m", "hpc.status", NAME, "--json")
    cost = execute(argv, folder=site.folder, variables=site.variables(), stdout=answer)
    found = json.loads(answer.read_text())["outcomes"]
    assert found["pending"] == sum(found.values()) == site.tasks, found
    return cost


def measure(small: Site, large: Site, rounds: int) -> list[Line]:
    """Both sizes in turns; a look after the submission it looks at."""
    submit(large)
    return take_turns(
        [
            Contender(f"`sbatch` alone, {large.arrays} arrays (floor)", lambda: sbatch_alone(large)),
            Contender(f"**hpc.submit**, {small.tasks:,} tasks in {small.arrays} arrays", lambda: submit(small)),
            Contender(f"**hpc.status** of {small.tasks:,} that wait", lambda: look(small)),
            Contender(f"**hpc.submit**, {large.tasks:,} tasks in {large.arrays} arrays", lambda: submit(large)),
            Contender(f"**hpc.status** of {large.tasks:,} that wait, first", lambda: look(large)),
            Contender(f"**hpc.status** of {large.tasks:,} that wait", lambda: look(large)),
        ],
        rounds,
    )


def render(lines: Sequence[Line], small: Site, large: Site, calls: dict[str, int], memory_mib: float) -> str:
    """The result as Markdown."""
    growth = math.log(lines[3].cpu_s / lines[1].cpu_s, large.tasks / small.tasks)
    others = ", ".join(f"`{name}` {count}" for name, count in calls.items())
    return (
        table("tasks", lines)
        + f"\nProcessor time of `submit` grows with the number of tasks to the power of {growth:.2f}, the start of the "
        f"command included. For {large.tasks:,} tasks it called {others} times. A `status` of those that wait takes at "
        f"most {memory_mib:.0f} MiB.\n"
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    few, many, per_array, rounds = (40, 400, 20, 0) if quick else (10_000, 100_000, 260, 3)
    small, large = made_site(folder / "small", few, per_array), made_site(folder / "large", many, per_array)
    lines = measure(small, large, rounds)
    submit(large)
    calls = large.calls()
    look(large)
    argv = (PYTHON, "-m", "hpc.status", NAME)
    os.environ.update(large.variables())
    memory_mib = peak_memory_mib(argv, folder=large.folder)
    text = render(lines, small, large, calls, memory_mib)
    return text, {"lines": as_figures(lines), "calls": calls, "memory_mib": memory_mib}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
