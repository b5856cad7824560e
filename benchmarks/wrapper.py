"""What the wrapper costs a task: `hpc.run_task` around a program that does nothing, beside starting that program bare.

Run: ``python -m benchmarks.wrapper [--quick] [--json]``. Each measurement is a task of its own, started by its array
script as Slurm starts it: claim, ``task.json``, launch, supervision, ``exit.json``. In a container too, where Apptainer
and the image ``minimal`` are (``make image IMAGE=minimal``); without them those lines are missing, and it says so.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.made_experiments import planned, write_experiment
from benchmarks.measuring import (
    PROJECT,
    PYTHON,
    Contender,
    Cost,
    Line,
    as_figures,
    execute,
    run_benchmark,
    table,
    take_turns,
)
from hpc.core.layout import RunLayout

PROGRAM = "{command: 'true {rank} {rate} {seed}'}"
IMAGE = PROJECT / "images" / "minimal.sif"


def find_apptainer() -> str:
    """Find the apptainer command: the private one under ``.lab``, else the one on PATH; empty where there is none."""
    private = PROJECT / ".lab" / "apptainer" / "bin" / "apptainer"
    return str(private) if private.exists() else shutil.which("apptainer") or ""


def wrapped(folder: Path, layout: RunLayout) -> Contender:
    """A contender that runs the next task of an experiment each time."""
    positions: Iterator[int] = iter(range(1000))
    submission = layout.submission(1)

    def run() -> Cost:
        position = next(positions)
        variables = {"SLURM_ARRAY_TASK_ID": str(position), "HPC_LOCAL_JOB": f"local-{position}"}
        cost = execute(("bash", str(submission.script)), folder=folder, variables=variables)
        entry = json.loads(submission.index.read_text())["entries"][position]
        assert json.loads(layout.task(entry["run_name"]).attempt(1).exit_json.read_text())["exit_code"] == 0
        return cost

    inside = json.loads(submission.index.read_text())["container"]
    return Contender(f"**hpc.run_task** around `true`{' in minimal.sif' if inside else ''}", run)


def measure(folder: Path, *, rounds: int, apptainer: str) -> list[Line]:
    """Take the measurements below an empty folder."""
    host, inside = folder / "host", folder / "inside"
    write_experiment(host, rounds + 1, program=PROGRAM)

    def bare(name: str, *argv: str) -> Contender:
        return Contender(name, lambda: execute(argv, folder=host))

    contenders = [
        bare("`bash -c true` (floor)", "bash", "-c", "true"),
        bare("`python -c pass`", PYTHON, "-c", "pass"),
        wrapped(host, planned(host)),
    ]
    if apptainer:
        write_experiment(
            inside, rounds + 1, program=PROGRAM, image="minimal", apptainer=apptainer, images=str(IMAGE.parent)
        )
        contenders += [
            bare(
                "`apptainer exec minimal.sif true`",
                apptainer,
                "-q",
                "exec",
                "--cleanenv",
                "--no-home",
                "--pid",
                str(IMAGE),
                "true",
            ),
            wrapped(inside, planned(inside)),
        ]
    return take_turns(contenders, rounds)


def render(lines: list[Line]) -> str:
    """The result as Markdown."""
    text = table("one task", lines)
    if len(lines) < 5:
        return text + "\nNo Apptainer or no image `minimal` here: nothing was measured in a container.\n"
    added = (lines[4].wall_s - lines[3].wall_s) * 1e3
    return (
        text + f"\nAround a container the wrapper adds {added:,.0f} ms to the time `apptainer exec` takes by itself.\n"
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    apptainer = find_apptainer() if IMAGE.exists() and os.access(IMAGE, os.R_OK) else ""
    lines = measure(folder, rounds=0 if quick else 15, apptainer=apptainer)
    return render(lines), {"lines": as_figures(lines)}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
