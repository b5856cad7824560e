"""What a run leaves behind, and the command line that starts it."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpc.metrics import read, read_summary

SMALL = {
    "control": (
        "--demonstrations", "48", "--evaluations", "4", "--horizon", "12", "--d_model", "16", "--print_every", "1000",
    ),
    "symmetry": (
        "--samples", "64", "--test_samples", "32", "--d_model", "16", "--d_state", "4", "--micro_batch_size", "8",
        "--max_steps", "6", "--print_every", "1000",
    ),
}  # fmt: skip
"""Program → arguments that make it small."""


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    home: Path
    code: int
    stderr: str = ""

    def series(self, metric: str) -> dict[int, float]:
        """Values of one metric by step."""
        series = read(self.home / "metrics.h5")[metric]
        return dict(zip(series.step.tolist(), series.value.tolist(), strict=True))

    def losses(self, after: int = 0) -> NDArray[np.float64]:
        """Losses in step order, of the steps after the given one."""
        return np.array([value for step, value in sorted(self.series("loss").items()) if step > after])

    @property
    def summary(self) -> dict[str, float]:
        return dict(read_summary(self.home / "metrics.h5"))

    @property
    def outcome(self) -> dict[str, object]:
        outcome: dict[str, object] = json.loads((self.home / "outcome.json").read_text())
        return outcome

    def checkpoint(self, step: int) -> str:
        """Path of a checkpoint, as given to --resume."""
        return str(self.home / "checkpoints" / f"step-{step:08d}")


def command(processes: int, home: Path, *arguments: str) -> list[str]:
    """The command line a user would type."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    begin = launcher if processes > 1 else [sys.executable]
    return [*begin, "-m", "train.control", *SMALL["control"], "--output_dir", str(home), *arguments]
