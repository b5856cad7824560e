"""The same training divided in every way: how far its losses and its end lie from those of one process.

    python -m benchmarks.equivalence          the table of docs/distribution.md, some minutes

Every row is `train.control` started as a user starts it, with the same seed, data and global batch. Printed is the
largest relative difference of a loss from the run that one process made alone, over all steps that both have.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.metrics import read, read_summary

STEPS = 24
CONTROL = (
    "--max_steps", str(STEPS), "--demonstrations", "128", "--evaluations", "8", "--d_model", "32", "--layers", "2",
    "--print_every", "1000", "--checkpoint_every", "12", "--learning_rate", "2e-3",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way to divide a global batch of 16.

    Attributes:
        processes: How many compute it.
        arguments: Of the program.
        resumes: The way whose checkpoint of step 12 it goes on from; empty for a start from nothing.
    """

    processes: int
    arguments: tuple[str, ...]
    resumes: str = ""


def micro(samples: int, accumulation: int = 1) -> tuple[str, ...]:
    """Arguments that divide a process's share."""
    return ("--micro_batch_size", str(samples), "--gradient_accumulation_steps", str(accumulation))


WAYS: Mapping[str, Way] = {
    "one process": Way(1, micro(16)),
    "the same again": Way(1, micro(16)),
    "one process, resumed at step 12": Way(1, micro(16), "one process"),
    "one process, accumulation 2": Way(1, micro(8, 2)),
    "one process, halved after step 12 (healed)": Way(1, micro(8, 2), "one process"),
    "two processes (DDP)": Way(2, micro(8)),
    "two processes, accumulation 2": Way(2, micro(4, 2)),
    "two processes, ZeRO 1": Way(2, (*micro(8), "--zero_stage", "1")),
    "two processes, ZeRO 2": Way(2, (*micro(8), "--zero_stage", "2")),
    "two processes, ZeRO 3": Way(2, (*micro(8), "--zero_stage", "3")),
    "two processes, ZeRO 3, resumed from DDP at step 12": Way(
        2, (*micro(8), "--zero_stage", "3"), "two processes (DDP)"
    ),
    "one process, bf16": Way(1, (*micro(16), "--mixed_precision", "bf16")),
    "two processes, ZeRO 2, bf16": Way(2, (*micro(8), "--zero_stage", "2", "--mixed_precision", "bf16")),
}
"""Name → how."""


def train(way: Way, home: Path, source: Path | None) -> None:
    """Train once.

    Raises:
        RuntimeError: It failed: there is nothing to compare.
    """
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={way.processes}"]
    resumed = ["--resume", str(source / "checkpoints" / "step-00000012")] if source else []
    argv = [*(launcher if way.processes > 1 else [sys.executable]), "-m", "train.control", *CONTROL, *way.arguments]
    done = subprocess.run([*argv, "--output_dir", str(home), *resumed], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr[-2000:]}")


def losses(home: Path) -> dict[int, float]:
    """Loss of each step."""
    series = read(home / "metrics.h5")["loss"]
    return dict(zip(series.step.tolist(), series.value.tolist(), strict=True))


def main() -> None:
    """Run from the command line."""
    print("| how it was divided | steps | largest difference of a loss | of the final error |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        homes = {name: Path(folder) / str(number) for number, name in enumerate(WAYS)}
        first = next(iter(WAYS))
        for name, way in WAYS.items():
            train(way, homes[name], homes[way.resumes] if way.resumes else None)
            here, there = losses(homes[name]), losses(homes[first])
            apart = max(abs(value / there[step] - 1) for step, value in here.items())
            ends = [read_summary(homes[each] / "metrics.h5")["final_error"] for each in (name, first)]
            print(f"| {name} | {len(here)} | {apart:.1e} | {abs(ends[0] / ends[1] - 1):.1e} |", flush=True)


if __name__ == "__main__":
    main()
