"""The program of `make demo`: a halved micro-batch is the same training, and so is one that was stopped and resumed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hpc.metrics import read, read_summary
from train import imitate

SMALL = ("--demonstrations", "64", "--width", "16", "--epochs", "12")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Train in a folder of its own; return the losses."""
    torch.set_num_threads(1)

    def run(name: str, *more: str) -> np.ndarray:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("HPC_ATTEMPT_DIR", str(folder))
        imitate.main([*SMALL, *more])
        return read(folder / "metrics.h5")["loss"].value

    yield run
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def test_a_halved_micro_batch_is_the_same_training(train) -> None:
    whole = train("whole", "--micro_batch_size", "16")
    halved = train("halved", "--micro_batch_size", "8", "--gradient_accumulation_steps", "2")
    assert whole[-1] < whole[0] / 2
    np.testing.assert_allclose(halved, whole, rtol=1e-4)


def test_it_goes_on_where_it_was_stopped(train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train("whole", "--micro_batch_size", "16")
    folder = tmp_path / "stopped"
    folder.mkdir()
    program = "import os, signal, sys\nfrom train import imitate\nlook = imitate.draw\n" + (
        "def draw(count, batch, seed, step):\n"
        "    step == 20 and os.kill(os.getpid(), signal.SIGUSR1)\n    return look(count, batch, seed, step)\n"
        "imitate.draw = draw\nimitate.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, *SMALL, "--micro_batch_size", "16"]
    assert (
        subprocess.run(
            command, env={**os.environ, "HPC_ATTEMPT_DIR": str(folder), "OMP_NUM_THREADS": "1"}, check=False
        ).returncode
        == 85
    )
    monkeypatch.setenv("HPC_RESUME_FROM", str(folder / "checkpoints/step-00000020"))
    rest = train("resumed", "--micro_batch_size", "16")
    np.testing.assert_array_equal([*read(folder / "metrics.h5")["loss"].value, *rest], whole)
    assert read_summary(tmp_path / "resumed/metrics.h5").keys() >= {"final_error", "control_cost", "training_time"}
