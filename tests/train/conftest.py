"""Ways to start the workload: in this process (fast), or as a user does, with one or two processes."""

import os
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.train.train_runs import SMALL, Finished, command


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a launcher around the tests reaches the runs."""
    for name in list(os.environ):
        if name.startswith(("HPC_", "WANDB_", "ACCELERATE_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def train_here(tmp_path: Path) -> Callable[..., Finished]:
    """Run in this process, without the imports that take seconds each time; exceptions come through."""
    from accelerate.state import AcceleratorState

    from hpc.callbacks.stop import StopRequest
    from train.distributed import start

    def train(name: str, *arguments: str, program: str = "control") -> Finished:
        import torch

        # Beside other tests, threads that wait for each other take minutes for what one does in seconds.
        torch.set_num_threads(1)
        module = import_module(f"train.{program}")
        args = module.parser().parse_args([*SMALL[program], "--output_dir", str(tmp_path / name), *arguments])
        AcceleratorState._reset_state(reset_partial_state=True)  # else the first run's precision stays for all
        accelerator = start(
            mixed_precision=args.mixed_precision,
            zero_stage=None,
            accumulation=args.gradient_accumulation_steps,
            micro_batch=args.micro_batch_size,
            clip=args.clip,
        )
        return Finished(tmp_path / name, module.run(args, StopRequest(), accelerator).code)

    return train


@pytest.fixture
def train_apart(tmp_path: Path) -> Callable[..., Finished]:
    """Run as a user does, with the given number of processes."""

    def train(name: str, processes: int, *arguments: str) -> Finished:
        done = subprocess.run(
            command(processes, tmp_path / name, *arguments), capture_output=True, text=True, timeout=180, check=False
        )
        return Finished(tmp_path / name, done.returncode, done.stderr)

    return train
